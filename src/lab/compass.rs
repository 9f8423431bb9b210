//! The way of the client's traffic, as the router's kernel sees it, whatever the agent says.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::happening::{Happening, Way};
use crate::lab::internet::ECHO;
use crate::lab::lifeline::{self, Lifeline, Tether};
use crate::lab::namespace::Namespace;
use crate::lab::netlink::{Netlink, Packet};
use crate::lab::network::{CLIENT, LAN, index_of};

/// Tells the way now, and again whenever it changes, until the lifeline is dropped.
pub(super) fn watch(router: &Namespace, sink: Sender<Happening>) -> Result<Lifeline, LabError> {
    let watch = || {
        let (lifeline, tether) = lifeline::pair()?;
        let compass = router.run(|| Compass::open(sink))?;
        router.spawn("compass", move || compass.run(&tether))?;
        Ok::<_, io::Error>(lifeline)
    };
    watch().doing(|| "watch the routes of the router".to_owned())
}

/// The client's traffic, as it comes into the router, in whose namespace this must be asked.
pub(super) fn traffic() -> io::Result<Packet> {
    Ok(Packet {
        source: CLIENT,
        destination: ECHO,
        input: index_of(LAN)?,
    })
}

struct Compass {
    changes: Socket,
    kernel: Netlink,
    packet: Packet,
    last: Option<Way>,
    sink: Sender<Happening>,
}

impl Compass {
    fn open(sink: Sender<Happening>) -> io::Result<Self> {
        // `linux/rtnetlink.h`
        const RTNLGRP_LINK: u32 = 1;
        const RTNLGRP_IPV4_ROUTE: u32 = 7;
        const RTNLGRP_IPV4_RULE: u32 = 8;
        let mut changes = Socket::new(NETLINK_ROUTE)?;
        changes.bind(&SocketAddr::new(0, 0))?;
        changes.set_non_blocking(true)?;
        for group in [RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE] {
            changes.add_membership(group)?;
        }
        Ok(Self {
            changes,
            kernel: Netlink::open()?,
            packet: traffic()?,
            last: None,
            sink,
        })
    }

    fn run(mut self, tether: &Tether) {
        while tether.holds() {
            self.forget_changes();
            let is_heard = self.look();
            let polled = self.wait(tether);
            if is_heard.is_err() || !matches!(polled, Ok(()) | Err(Errno::EINTR)) {
                return;
            }
        }
    }

    /// Fails when nobody listens any more.
    fn look(&mut self) -> Result<(), ()> {
        let Ok(index) = self.kernel.way_of(self.packet) else {
            // The interface went away between two steps; its own event is on the way.
            return Ok(());
        };
        let name = index.and_then(|index| if_indextoname(index.get()).ok());
        let way: Way = name.map(|name| name.to_string_lossy().into_owned());
        if self.last.as_ref() == Some(&way) {
            return Ok(());
        }
        self.last = Some(way.clone());
        self.sink
            .send(Happening::Way(clock::now(), way))
            .map_err(drop)
    }

    /// A change says "look again", nothing more; one that was dropped for want of space says the
    /// same.
    fn forget_changes(&self) {
        loop {
            match self.changes.recv_from_full() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn wait(&self, tether: &Tether) -> nix::Result<()> {
        let mut watched = [
            PollFd::new(self.changes.as_fd(), PollFlags::POLLIN),
            PollFd::new(tether.as_fd(), PollFlags::POLLIN),
        ];
        ppoll(&mut watched, None, None).map(drop)
    }
}
