//! A web page: the expected one, or the landing page of a captive portal.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::job::ProbeExit;
use super::socket::{self, now};
use crate::engine::input::ProbeOutcome;
use crate::units::{HttpTarget, Scheme};

/// The part of an answer that is read: head and body together.
const MAX_ANSWER: usize = 4096;
/// The receive buffer of a socket; the kernel doubles it.
const RECEIVE_BUFFER: u32 = 4096;
/// Header fields that are read.
const MAX_FIELDS: usize = 64;

/// Gets the page through the interface; none if there is no complete answer in time.
pub(super) async fn probe(
    page: &HttpTarget,
    address: SocketAddr,
    exit: &ProbeExit,
    listen_for: Duration,
) -> Option<ProbeOutcome> {
    let begun = now();
    let fetched = timeout(listen_for, fetch(page, address, exit)).await.ok()?;
    Some(match fetched {
        Ok(()) => ProbeOutcome::Reply(begun.elapsed()),
        Err(outcome) => outcome,
    })
}

/// Redirects are not followed: they lead to another page.
async fn fetch(
    page: &HttpTarget,
    address: SocketAddr,
    exit: &ProbeExit,
) -> Result<(), ProbeOutcome> {
    let failed = |error: io::Error| socket::read(page.url(), &error);
    let socket = socket::tcp(address, exit).map_err(|e| socket::none(exit, &e))?;
    // A small window: a long page costs no more than a short one.
    socket
        .set_recv_buffer_size(RECEIVE_BUFFER)
        .map_err(|e| socket::none(exit, &e))?;
    let stream = socket::connect(socket, address).await.map_err(failed)?;
    match page.scheme {
        Scheme::Http => request(page, stream).await.map_err(failed)?,
        Scheme::Https => secured(page, stream).await?,
    }
}

#[cfg(feature = "tls")]
async fn secured(
    page: &HttpTarget,
    stream: tokio::net::TcpStream,
) -> Result<Result<(), ProbeOutcome>, ProbeOutcome> {
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::InvalidData {
            let url = page.url();
            ProbeOutcome::Wrong(format!("captive portal or a wrong clock: {url}: {error}"))
        } else {
            socket::read(page.url(), &error)
        }
    };
    let stream = super::tls::secure(stream, &page.endpoint.host)
        .await
        .map_err(failed)?;
    request(page, stream).await.map_err(failed)
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "it waits where there is TLS")]
async fn secured(
    _page: &HttpTarget,
    _stream: tokio::net::TcpStream,
) -> Result<Result<(), ProbeOutcome>, ProbeOutcome> {
    Err(ProbeOutcome::NotSent(
        "https needs a build with the feature tls".to_owned(),
    ))
}

/// Requests the page, and reads until the verdict is clear.
pub(super) async fn request(
    page: &HttpTarget,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<Result<(), ProbeOutcome>> {
    stream.write_all(request_of(page).as_bytes()).await?;
    let mut answer = Vec::with_capacity(MAX_ANSWER);
    loop {
        let room = MAX_ANSWER - answer.len();
        let count = (&mut stream).take(room as u64).read_buf(&mut answer).await;
        let is_all = match count {
            Ok(count) => count == 0 || answer.len() >= MAX_ANSWER,
            Err(error) if answer.is_empty() => return Err(error),
            // Some servers end a connection like this; what was read counts.
            Err(_) => true,
        };
        if is_all && answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(verdict) = judge(page, &answer, is_all) {
            return Ok(verdict);
        }
    }
}

fn request_of(page: &HttpTarget) -> String {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: uplinkd/{}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        page.path,
        page.authority(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The verdict on an answer: the page, or how it differs; none while more has to be read. `is_all`: no
/// more will be read.
fn judge(page: &HttpTarget, answer: &[u8], is_all: bool) -> Option<Result<(), ProbeOutcome>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(answer);
    let (body, location) = match (parsed, head.code) {
        // An interim answer (RFC 9110, section 15.2).
        (Ok(httparse::Status::Complete(end)), Some(100..200)) => {
            return judge(page, &answer[end..], is_all);
        }
        (Ok(httparse::Status::Complete(end)), _) => (Some(&answer[end..]), location(head.headers)),
        (Ok(httparse::Status::Partial), Some(200..)) if is_all => (None, None),
        (Ok(httparse::Status::Partial), _) if !is_all => {
            let is_known = head.code.is_some_and(|status| page.is_status(status));
            return (is_known && page.expect.text.is_none()).then_some(Ok(()));
        }
        (Err(httparse::Error::TooManyHeaders), Some(200..)) => (None, None),
        (Ok(httparse::Status::Partial) | Err(_), _) => {
            return Some(Err(captive(page, "answered what is not HTTP")));
        }
    };
    let status = head.code?;
    if !page.is_status(status) {
        return Some(Err(wrong_status(page, status, location)));
    }
    let Some(text) = &page.expect.text else {
        return Some(Ok(()));
    };
    let is_there = body.is_some_and(|body| contains(body, text.as_bytes()));
    if is_there {
        Some(Ok(()))
    } else if is_all || body.is_none() {
        let what = format!("answered {status} without {text:?}");
        Some(Err(captive(page, &what)))
    } else {
        None
    }
}

/// A redirect, a page instead of 204, and 511 (RFC 6585, section 6) come from a captive portal; other
/// errors are more likely the server's.
fn wrong_status(page: &HttpTarget, status: u16, location: Option<String>) -> ProbeOutcome {
    let url = page.url();
    match (status, location) {
        (300..400, Some(to)) if leads_to_itself(page, &to) => ProbeOutcome::Wrong(format!(
            "{url} answered {status} to {to}, which may be its usual answer: use another target or \
             expect status {status}"
        )),
        (300..400, Some(to)) => captive(page, &format!("answered {status} to {to}")),
        (200..400 | 511, _) => captive(page, &format!("answered {status}")),
        (_, _) => ProbeOutcome::Wrong(format!("{url} answered {status}")),
    }
}

fn captive(page: &HttpTarget, what: &str) -> ProbeOutcome {
    ProbeOutcome::Captive(format!("captive portal: {} {what}", page.url()))
}

/// Whether a redirect leads to the same host by https.
fn leads_to_itself(page: &HttpTarget, location: &str) -> bool {
    let host = page.endpoint.host.to_string();
    let rest = location
        .get(..8)
        .filter(|scheme| scheme.eq_ignore_ascii_case("https://"))
        .and_then(|_| location.get(8..8 + host.len()));
    let after = location.get(8 + host.len()..).unwrap_or_default();
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(&host))
        && (after.is_empty() || after.starts_with(['/', ':', '?', '#']))
}

/// The destination of a redirect, in visible characters.
fn location(fields: &[httparse::Header<'_>]) -> Option<String> {
    const MAX_SHOWN: usize = 120;
    let field = fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("location"))?;
    let shown = field.value.iter().take(MAX_SHOWN);
    let visible = shown.map(|byte| match byte {
        byte if byte.is_ascii_graphic() => char::from(*byte),
        _ => '?',
    });
    Some(visible.collect())
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::cases;
    use crate::units::Target;

    fn page(text: &str) -> std::sync::Arc<HttpTarget> {
        match text.parse() {
            Ok(Target::Http(page)) => page,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// The reason why a complete answer is wrong: empty if it is as expected.
    fn verdict(target: &str, answer: &str) -> String {
        let verdict = judge(&page(target), answer.as_bytes(), true);
        match verdict.expect("a verdict").err() {
            None => String::new(),
            Some(ProbeOutcome::Captive(what)) => {
                assert!(what.starts_with("captive portal: "), "{what}");
                what
            }
            Some(ProbeOutcome::Wrong(what)) => {
                assert!(!what.contains("captive portal"), "{what}");
                what
            }
            Some(
                other @ (ProbeOutcome::Reply(_)
                | ProbeOutcome::Unreachable(_)
                | ProbeOutcome::NotSent(_)
                | ProbeOutcome::Refused(_)),
            ) => {
                panic!("{other:?}")
            }
        }
    }

    const EMPTY: &str = "http://192.0.2.1/generate_204";
    const TEXT: &str = "http://192.0.2.1/ncsi.txt#text=Success";

    #[test]
    fn a_landing_page_is_no_reply() {
        for (target, answer, says) in [
            (EMPTY, "HTTP/1.1 204 No Content\r\n\r\n", ""),
            (
                EMPTY,
                "HTTP/1.1 302 Found\r\nlocation: http://login.example/?a=b\r\n\r\n",
                "captive portal: http://192.0.2.1/generate_204 answered 302 to \
                 http://login.example/?a=b",
            ),
            (
                EMPTY,
                "HTTP/1.0 200 OK\r\n\r\n<html>pay</html>",
                "captive portal: http://192.0.2.1/generate_204 answered 200",
            ),
            (
                EMPTY,
                "HTTP/1.1 511 Network Authentication Required\r\n\r\n",
                "captive portal: http://192.0.2.1/generate_204 answered 511",
            ),
            (
                EMPTY,
                "HTTP/1.1 503 Busy\r\n\r\n",
                "http://192.0.2.1/generate_204 answered 503",
            ),
            (
                EMPTY,
                "SSH-2.0-OpenSSH_9.9\r\n",
                "captive portal: http://192.0.2.1/generate_204 answered what is not HTTP",
            ),
            (TEXT, "HTTP/1.1 200 OK\r\n\r\n7\r\nSuccess\r\n0\r\n", ""),
            (
                TEXT,
                "HTTP/1.1 200 OK\r\nX: Success\r\n\r\nWelcome",
                "captive portal: http://192.0.2.1/ncsi.txt answered 200 without \"Success\"",
            ),
            (
                "http://192.0.2.1/#status=302",
                "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
                "",
            ),
            (
                "http://192.0.2.1/",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                "",
            ),
        ] {
            assert_eq!(verdict(target, answer), says, "{answer}");
        }
    }

    #[test]
    fn a_page_that_moves_to_https_is_no_captive_portal() {
        let moved = |to: &str| {
            let answer = format!("HTTP/1.1 301 Moved\r\nLocation: {to}\r\n\r\n");
            verdict("http://www.example.com/", &answer)
        };
        assert!(moved("HTTPS://www.Example.com/").ends_with("expect status 301"));
        assert!(moved("https://www.example.com.login.test/").starts_with("captive portal"));
        assert!(moved("https://www.example").starts_with("captive portal"));
        assert!(moved("https://ä").starts_with("captive portal"));
    }

    #[test]
    fn a_verdict_needs_only_the_status_without_an_expected_text() {
        let flood = format!("HTTP/1.1 204 No Content\r\n{}", "A: b\r\n".repeat(500));
        assert_eq!(judge(&page(EMPTY), flood.as_bytes(), false), Some(Ok(())));
        let long = format!("HTTP/1.1 302 Found\r\nA: {}", "b".repeat(MAX_ANSWER));
        let said = verdict(EMPTY, &long[..MAX_ANSWER]);
        assert!(said.starts_with("captive portal"), "{said}");
    }

    #[test]
    fn a_verdict_waits_for_the_expected_text() {
        let answer = b"HTTP/1.1 200 OK\r\n\r\nSuccess";
        for length in 0..answer.len() {
            assert_eq!(
                judge(&page(TEXT), &answer[..length], false),
                None,
                "{length}"
            );
        }
        assert_eq!(judge(&page(TEXT), answer, false), Some(Ok(())));
    }

    #[test]
    fn the_destination_of_a_redirect_is_shortened_and_visible() {
        let answer = format!(
            "HTTP/1.1 302 F\r\nLocation: a\tb\u{e4}{}\r\n\r\n",
            "c".repeat(999)
        );
        let said = verdict(EMPTY, &answer);
        assert!(said.contains(" to a?b??ccc"), "{said}");
        assert!(said.len() < 200);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn no_answer_makes_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..MAX_ANSWER),
            is_all in any::<bool>(),
        ) {
            let head = b"HTTP/1.1 200 OK\r\n";
            for target in [EMPTY, TEXT] {
                let judged = judge(&page(target), &bytes, is_all);
                prop_assert!(judged.is_some() || !is_all || bytes.is_empty());
                judge(&page(target), &[head, &bytes[..]].concat(), is_all);
            }
        }
    }
}
