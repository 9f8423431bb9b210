//! The answer to a request.

use std::fmt::Write;
use std::sync::Arc;

/// A page, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebPage {
    /// What became of the request.
    pub status: PageStatus,
    /// The media type of the body.
    pub media_type: &'static str,
    /// The body.
    pub body: Arc<str>,
}

/// What became of a request (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStatus {
    /// The page follows.
    Found,
    /// It is no request of HTTP/1.
    BadRequest,
    /// This client may not read it.
    Forbidden,
    /// It names another host.
    Misdirected,
    /// There is no page at this path.
    NotFound,
    /// Pages are only read.
    MethodNotAllowed,
    /// The head of the request is too long.
    HeadTooLarge,
    /// The page cannot be made now.
    Unavailable,
}

/// What a page may load: what this server has, and no more.
const CONTENT_POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
                              connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                              frame-ancestors 'none'";
const PLAIN: &str = "text/plain; charset=utf-8";

impl PageStatus {
    const fn line(self) -> &'static str {
        match self {
            Self::Found => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::Misdirected => "421 Misdirected Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

impl WebPage {
    /// A line of plain text.
    pub fn plain(text: &str) -> Self {
        Self {
            status: PageStatus::Found,
            media_type: PLAIN,
            body: text.into(),
        }
    }

    /// No page, for this reason.
    pub fn none(status: PageStatus) -> Self {
        Self {
            status,
            media_type: PLAIN,
            body: format!("{}\n", status.line()).into(),
        }
    }

    /// The answer as it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status.line());
        if self.status == PageStatus::MethodNotAllowed {
            head.push_str("Allow: GET\r\n");
        }
        let _ = write!(
            head,
            "Content-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\n{CONTENT_POLICY}\r\nConnection: close\r\n\r\n",
            self.media_type,
            self.body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }
}
