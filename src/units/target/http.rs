//! A web page and its expected answer.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::fault::{TargetError, TargetFault, number};
use super::host::Endpoint;
use super::wire_cost::WireCost;

/// A web page and its expected answer. The expectation stands in the fragment of the URL, which is not
/// sent: `http://host/path#status=200&text=Success`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpTarget {
    /// With or without TLS.
    pub scheme: Scheme,
    /// The web server.
    pub endpoint: Endpoint,
    /// The path and the query, from `/` on; visible ASCII only.
    pub path: String,
    /// The expected answer.
    pub expect: PageExpectation,
}

/// With or without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// The expected answer of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageExpectation {
    /// Its status; if not given, 204 for a path that ends in `generate_204`, else any of 200 to 299.
    pub status: Option<u16>,
    /// A text in the beginning of its body.
    pub text: Option<String>,
}

impl Scheme {
    /// The default port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl HttpTarget {
    /// The final status codes (RFC 9110, section 15).
    pub const STATUS: RangeInclusive<u16> = 200..=599;
    /// The longest expected text, in bytes.
    pub const MAX_TEXT: usize = 256;

    pub(super) fn parse(scheme: Scheme, rest: &str) -> Result<Self, TargetFault> {
        let (url, expect) = rest.split_once('#').unwrap_or((rest, ""));
        let end_of_host = url.find(['/', '?']).unwrap_or(url.len());
        let (endpoint, path) = url.split_at(end_of_host);
        let slash = if path.starts_with('/') { "" } else { "/" };
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetFault::Path);
        }
        Ok(Self {
            scheme,
            endpoint: Endpoint::parse(endpoint, Some(scheme.port()))?,
            path: format!("{slash}{path}"),
            expect: expect.parse()?,
        })
    }

    /// This page with one more expectation.
    ///
    /// # Errors
    /// If it already has one of that kind.
    pub fn expecting(&self, expect: PageExpectation) -> Result<Self, TargetError> {
        let mut target = self.clone();
        target.expect.merge(expect).map_err(|fault| TargetError {
            target: self.to_string(),
            fault,
        })?;
        Ok(target)
    }

    /// Whether a status is as expected.
    pub fn is_status(&self, status: u16) -> bool {
        match self.expect.status {
            Some(expected) => status == expected,
            None if self.is_empty_page() => status == 204,
            None => (200..300).contains(&status),
        }
    }

    /// Host and port as a `Host` field has them (RFC 9110, section 7.2).
    pub fn authority(&self) -> String {
        self.endpoint.brief(self.scheme.port())
    }

    /// The URL of the page, without its expectation.
    pub fn url(&self) -> String {
        let scheme = self.scheme.as_str();
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    pub(super) fn wire_cost(&self) -> WireCost {
        /// Request line and header fields, without path and host.
        const REQUEST: u64 = 256;
        /// The prober reads 4 KiB, and its socket has room for as much again, twice.
        const ANSWER: u64 = 16 << 10;
        const HANDSHAKE: u64 = 16 << 10;
        let handshake = match self.scheme {
            Scheme::Http => 0,
            Scheme::Https => HANDSHAKE,
        };
        WireCost {
            is_connection: true,
            sent: self.path.len() as u64 + self.authority().len() as u64 + REQUEST,
            received: ANSWER + handshake,
        }
    }

    fn is_empty_page(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        path.ends_with("generate_204")
    }
}

impl PageExpectation {
    /// The keys of expectations.
    pub const KEYS: [&str; 2] = ["status", "text"];

    /// Adds the expectations of another; none may be given twice.
    fn merge(&mut self, other: Self) -> Result<(), TargetFault> {
        if other.status.is_some() && self.status.is_some() {
            return Err(TargetFault::Twice("status"));
        }
        if other.text.is_some() && self.text.is_some() {
            return Err(TargetFault::Twice("text"));
        }
        self.status = self.status.or(other.status);
        self.text = self.text.take().or(other.text);
        Ok(())
    }

    /// An expected status.
    pub fn of_status(status: &str) -> Result<Self, TargetFault> {
        let (first, last) = HttpTarget::STATUS.into_inner();
        let number = number(status, &HttpTarget::STATUS)
            .ok_or_else(|| TargetFault::bound("status", status, &format!("{first} to {last}")))?;
        Ok(Self {
            status: Some(number),
            text: None,
        })
    }

    /// An expected text.
    pub fn of_text(text: String) -> Result<Self, TargetFault> {
        if (1..=HttpTarget::MAX_TEXT).contains(&text.len()) {
            Ok(Self {
                status: None,
                text: Some(text),
            })
        } else {
            Err(bad_text(&text))
        }
    }
}

impl FromStr for PageExpectation {
    type Err = TargetFault;

    /// `status=200&text=Success`, both optional.
    fn from_str(text: &str) -> Result<Self, TargetFault> {
        let mut expect = Self::default();
        for item in text.split('&').filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            expect.merge(match key {
                "status" => Self::of_status(value),
                "text" => decode(value)
                    .ok_or_else(|| bad_text(value))
                    .and_then(Self::of_text),
                key => Err(TargetFault::option("expectation", key, &Self::KEYS)),
            }?)?;
        }
        Ok(expect)
    }
}

impl fmt::Display for PageExpectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map(|status| format!("status={status}"));
        let text = self.text.as_deref();
        let text = text.map(|text| format!("text={}", encode(text)));
        let items: Vec<_> = status.into_iter().chain(text).collect();
        f.write_str(&items.join("&"))
    }
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())?;
        if self.expect == PageExpectation::default() {
            return Ok(());
        }
        write!(f, "#{}", self.expect)
    }
}

fn bad_text(text: &str) -> TargetFault {
    let most = HttpTarget::MAX_TEXT;
    let allowed = format!("1 to {most} bytes, with %XX for other bytes than letters and digits");
    TargetFault::bound("text", text, &allowed)
}

/// Percent-encoding of all but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            let are_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok().filter(|_| are_hex)?;
            (byte, &after[2..])
        } else {
            (first, after)
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
