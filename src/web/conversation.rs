//! One client, from its request to the end of its answer.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::page::{PageStatus, WebPage};

/// The longest head of a request.
const MAX_HEAD: usize = 8 * 1024;
/// Header fields of a request.
const MAX_FIELDS: usize = 64;
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// How long the owner of the pages may take.
const PAGE_WITHIN: Duration = Duration::from_secs(5);
const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// What a client still sends is read for so long and so far: a connection that is closed before loses
/// the answer on its way (RFC 9112, section 9.6).
const LINGER_FOR: Duration = Duration::from_secs(1);
const MAX_LINGER: u64 = 4 * 1024 * 1024;

/// What a request says.
#[derive(Debug, PartialEq, Eq)]
struct RequestHead {
    path: String,
    host: Option<String>,
}

/// A request for a page.
#[derive(Debug)]
pub struct PageRequest {
    /// The path, without a query.
    pub path: String,
    /// The host that the client named.
    pub host: Option<String>,
    /// The address of the client; none at a Unix socket.
    pub peer: Option<IpAddr>,
    reply: oneshot::Sender<WebPage>,
}

impl PageRequest {
    /// Answers. A client that is gone is no error.
    pub fn answer(self, page: WebPage) {
        drop(self.reply.send(page));
    }
}

/// Answers the request of a client.
pub(super) async fn hold<S>(
    mut stream: S,
    peer: Option<IpAddr>,
    requests: mpsc::Sender<PageRequest>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(Some(request)) = timeout(REQUEST_WITHIN, read_request(&mut stream)).await else {
        return;
    };
    let page = match request {
        Ok(head) => find_page(head, peer, &requests).await,
        Err(refused) => WebPage::none(refused),
    };
    let written = timeout(WRITE_WITHIN, write(&mut stream, &page)).await;
    if matches!(written, Ok(Ok(()))) {
        let mut rest = stream.take(MAX_LINGER);
        let mut nowhere = tokio::io::sink();
        let read = tokio::io::copy(&mut rest, &mut nowhere);
        drop(timeout(LINGER_FOR, read).await);
    }
}

/// The path of the page, or why there is none; none if the client left.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
) -> Option<Result<RequestHead, PageStatus>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let room = MAX_HEAD - head.len();
        let count = stream.take(room as u64).read_buf(&mut head).await.ok()?;
        if count == 0 {
            return None;
        }
        let request = understand(&head);
        if request.is_some() {
            return request;
        }
    }
}

/// What a request asks for; none while its head is not complete.
fn understand(head: &[u8]) -> Option<Result<RequestHead, PageStatus>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err(PageStatus::HeadTooLarge));
        }
        Err(_) => return Some(Err(PageStatus::BadRequest)),
    }
    if request.method != Some("GET") {
        return Some(Err(PageStatus::MethodNotAllowed));
    }
    let target = request.path.unwrap_or_default();
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut fields = request.headers.iter();
    let host = fields.find(|field| field.name.eq_ignore_ascii_case("host"));
    Some(Ok(RequestHead {
        path: path.to_owned(),
        host: host.map(|field| String::from_utf8_lossy(field.value).trim().to_owned()),
    }))
}

async fn find_page(
    head: RequestHead,
    peer: Option<IpAddr>,
    requests: &mpsc::Sender<PageRequest>,
) -> WebPage {
    let page = async {
        let (reply, page) = oneshot::channel();
        let RequestHead { path, host } = head;
        let request = PageRequest {
            path,
            host,
            peer,
            reply,
        };
        requests.send(request).await.ok()?;
        page.await.ok()
    };
    let page = timeout(PAGE_WITHIN, page).await.ok().flatten();
    page.unwrap_or_else(|| WebPage::none(PageStatus::Unavailable))
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), page: &WebPage) -> std::io::Result<()> {
    stream.write_all(&page.bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_when_its_head_is_complete_and_no_earlier() {
        let request = b"GET /metrics?x=1 HTTP/1.1\r\nHost: router\r\n\r\n";
        for length in 0..request.len() {
            assert_eq!(understand(&request[..length]), None, "{length}");
        }
        let head = RequestHead {
            path: "/metrics".to_owned(),
            host: Some("router".to_owned()),
        };
        assert_eq!(understand(request), Some(Ok(head)));
    }

    #[test]
    fn what_is_no_request_for_a_page_is_refused_by_its_fault() {
        let post = b"POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nfour";
        assert_eq!(understand(post), Some(Err(PageStatus::MethodNotAllowed)));
        let garbage = b"\x16\x03\x01\x02\x00\x01";
        assert_eq!(understand(garbage), Some(Err(PageStatus::BadRequest)));
        let long = [b"GET /".to_vec(), vec![b'x'; MAX_HEAD]].concat();
        let long = understand(&long[..MAX_HEAD]);
        assert_eq!(long, Some(Err(PageStatus::HeadTooLarge)));
        let fields = "a: b\r\n".repeat(MAX_FIELDS + 1);
        let many = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let many = understand(many.as_bytes());
        assert_eq!(many, Some(Err(PageStatus::HeadTooLarge)));
    }
}
