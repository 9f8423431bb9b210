//! The kernel's events about carriers, as any listener gets them.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Hears when interfaces get or lose their carrier, on a thread of its own.
pub(crate) struct Listener(Receiver<(u32, bool, Instant)>);

impl Listener {
    pub(crate) fn start() -> Self {
        const GROUP_OF_LINKS: u32 = 1;
        let mut socket = Socket::new(NETLINK_ROUTE).expect("a socket");
        socket
            .bind(&SocketAddr::new(0, GROUP_OF_LINKS))
            .expect("a group");
        let (heard, listener) = channel();
        thread::spawn(move || {
            while let Ok((event, _)) = socket.recv_from_full() {
                let now = Instant::now();
                if let Some((index, has_carrier)) = carrier(&event)
                    && heard.send((index, has_carrier, now)).is_err()
                {
                    return;
                }
            }
        });
        Self(listener)
    }

    /// When the last event said that of an interface.
    pub(crate) fn heard(&self, name: &str, has_carrier: bool) -> Instant {
        let index = nix::net::if_::if_nametoindex(name).expect("an interface");
        loop {
            let (whose, what, when) = self.0.recv().expect("the listener lives");
            if (whose, what) == (index, has_carrier) {
                return when;
            }
        }
    }
}

/// The index and `IFF_LOWER_UP` of an `RTM_NEWLINK`: after the header of 16 bytes family, type, index and flags.
fn carrier(event: &[u8]) -> Option<(u32, bool)> {
    const RTM_NEWLINK: u16 = 16;
    const IFF_LOWER_UP: u32 = 1 << 16;
    let kind = u16::from_ne_bytes(event.get(4..6)?.try_into().ok()?);
    let number = |at: usize| Some(u32::from_ne_bytes(event.get(at..at + 4)?.try_into().ok()?));
    (kind == RTM_NEWLINK).then_some((number(20)?, number(24)? & IFF_LOWER_UP != 0))
}
