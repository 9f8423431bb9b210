//! TLS for https targets, with the roots of the web.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::units::Host;

/// Starts TLS on a connection; an error of kind `InvalidData` is about the far end's certificate.
pub(super) async fn secure(stream: TcpStream, host: &Host) -> io::Result<TlsStream<TcpStream>> {
    web()?.connect(name(host)?, stream).await
}

fn web() -> io::Result<&'static TlsConnector> {
    static WEB: OnceLock<TlsConnector> = OnceLock::new();
    if let Some(connector) = WEB.get() {
        return Ok(connector);
    }
    let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let connector = trusting(roots)?;
    Ok(WEB.get_or_init(|| connector))
}

fn trusting(roots: RootCertStore) -> io::Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

fn name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Address(address) => Ok((*address).into()),
        Host::Name(name) => name
            .as_str()
            .to_owned()
            .try_into()
            .map_err(io::Error::other),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

    use super::*;
    use crate::units::{HttpTarget, Target};

    const CERTIFICATE: &[u8] = include_bytes!("../../tests/support/tls/page.test.cert.der");
    const KEY: &[u8] = include_bytes!("../../tests/support/tls/page.test.key.der");

    /// A server with a certificate for `page.test` and 127.0.0.1, and a connection to it.
    async fn connection() -> TcpStream {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(CERTIFICATE)],
                PrivatePkcs8KeyDer::from(KEY).into(),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.expect("a client");
            if let Ok(mut client) = acceptor.accept(client).await {
                let mut request = [0; 4];
                client.read_exact(&mut request).await.expect("a request");
                assert_eq!(&request, b"GET ");
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                client.write_all(answer).await.expect("a client that waits");
            }
        });
        TcpStream::connect(address).await.expect("a server")
    }

    fn page(text: &str) -> Arc<HttpTarget> {
        match text.parse() {
            Ok(Target::Http(page)) => page,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn ours() -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(CERTIFICATE))
            .expect("a root");
        trusting(roots).expect("a connector")
    }

    #[tokio::test]
    async fn a_page_is_fetched_from_a_server_with_a_valid_certificate() {
        for text in [
            "https://page.test/generate_204",
            "https://127.0.0.1/generate_204",
        ] {
            let page = page(text);
            let server = name(&page.endpoint.host).expect("a name");
            let stream = ours().connect(server, connection().await).await;
            let verdict = super::super::http::request(&page, stream.expect("it is safe")).await;
            assert_eq!(verdict.expect("an answer"), Ok(()));
        }
    }

    #[tokio::test]
    async fn a_server_without_a_valid_certificate_is_refused() {
        let other = name(&page("https://other.test/").endpoint.host).expect("a name");
        let error = ours()
            .connect(other, connection().await)
            .await
            .expect_err("wrong name");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let host = page("https://page.test/").endpoint.host.clone();
        let error = secure(connection().await, &host)
            .await
            .expect_err("wrong root");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
