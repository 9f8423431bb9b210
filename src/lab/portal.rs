//! A provider's landing page: the provider answers in the name of every target, pings as they would
//! and web pages with a redirect to where one pays.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::lab::error::{Doing, LabError};
use crate::lab::internet::{self, TARGETS};
use crate::lab::namespace::Namespace;
use crate::lab::netlink::{AddressPrefix, Netlink};
use crate::lab::network::index_of;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::units::IfIndex;

const HTTP: u16 = 80;
const REDIRECT: &[u8] =
    b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nConnection: close\r\n\r\n";
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);

/// A landing page; it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct LandingPage<'n> {
    provider: &'n Namespace,
    _service: ShutdownHandle,
}

impl<'n> LandingPage<'n> {
    /// Puts the page between the customers of this provider and the internet.
    pub(super) fn raise(provider: &'n Namespace) -> Result<Self, LabError> {
        let raise = || {
            let (line, shutdown) = shutdown::pair()?;
            let page = provider.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, HTTP)))?;
            page.set_nonblocking(true)?;
            provider.spawn("portal", move || serve(&page, &shutdown))?;
            let portal = Self {
                provider,
                _service: line,
            };
            as_targets(provider, Netlink::add_address)?;
            Ok::<_, io::Error>(portal)
        };
        raise().doing(|| format!("raise the landing page of {}", provider.name()))
    }
}

impl Drop for LandingPage<'_> {
    fn drop(&mut self) {
        // What is left behind fails the phase that follows, and goes with the network.
        drop(as_targets(self.provider, Netlink::remove_address));
    }
}

fn as_targets(
    provider: &Namespace,
    change: fn(&mut Netlink, IfIndex, AddressPrefix) -> io::Result<()>,
) -> io::Result<()> {
    provider.run(|| {
        let mut netlink = Netlink::open()?;
        let lo = index_of("lo")?;
        (TARGETS.iter())
            .try_for_each(|host| change(&mut netlink, lo, AddressPrefix((*host).into(), 32)))
    })
}

fn serve(page: &TcpListener, shutdown: &Shutdown) {
    while internet::wait(&[page], shutdown) {
        while let Ok((client, _)) = page.accept() {
            // A client that goes away in the middle harms only itself.
            drop(redirect(&client));
        }
    }
}

fn redirect(mut client: &TcpStream) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let mut request = [0; 1024];
    let asked = client.read(&mut request)?;
    if asked == 0 {
        return Ok(());
    }
    client.write_all(REDIRECT)
}
