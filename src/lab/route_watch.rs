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
use crate::lab::event::{LabEvent, TrafficExit};
use crate::lab::family::LabFamily;
use crate::lab::internet::{ECHO, ECHO6};
use crate::lab::namespace::Namespace;
use crate::lab::netlink::{Netlink, RouteQuery};
use crate::lab::network::{CLIENT, CLIENT6, LAN, index_of};
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};

/// Tells the way now, and again whenever it changes, until the handle is dropped.
pub(super) fn watch(
    router: &Namespace,
    family: LabFamily,
    sink: Sender<LabEvent>,
) -> Result<ShutdownHandle, LabError> {
    let watch = || {
        let (handle, shutdown) = shutdown::pair()?;
        let watch = router.run(|| RouteWatch::open(family, sink))?;
        router.spawn("route-watch", move || watch.run(&shutdown))?;
        Ok::<_, io::Error>(handle)
    };
    watch().doing(|| "watch the routes of the router".to_owned())
}

/// The client's traffic as it comes into the router, looked up in the router's namespace.
pub(super) fn traffic(family: LabFamily) -> io::Result<RouteQuery> {
    let (source, destination) = match family {
        LabFamily::Ipv4 => (CLIENT.into(), ECHO.into()),
        LabFamily::Ipv6 => (CLIENT6.into(), ECHO6.into()),
    };
    Ok(RouteQuery {
        source,
        destination,
        input: index_of(LAN)?,
    })
}

struct RouteWatch {
    family: LabFamily,
    changes: Socket,
    kernel: Netlink,
    packet: RouteQuery,
    last: Option<TrafficExit>,
    sink: Sender<LabEvent>,
}

impl RouteWatch {
    fn open(family: LabFamily, sink: Sender<LabEvent>) -> io::Result<Self> {
        // `linux/rtnetlink.h`
        const RTNLGRP_LINK: u32 = 1;
        const RTNLGRP_IPV4_ROUTE: u32 = 7;
        const RTNLGRP_IPV4_RULE: u32 = 8;
        const RTNLGRP_IPV6_ROUTE: u32 = 11;
        const RTNLGRP_IPV6_RULE: u32 = 19;
        let of_family = match family {
            LabFamily::Ipv4 => [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE],
            LabFamily::Ipv6 => [RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE],
        };
        let mut changes = Socket::new(NETLINK_ROUTE)?;
        changes.bind(&SocketAddr::new(0, 0))?;
        changes.set_non_blocking(true)?;
        for group in of_family.into_iter().chain([RTNLGRP_LINK]) {
            changes.add_membership(group)?;
        }
        Ok(Self {
            family,
            changes,
            kernel: Netlink::open()?,
            packet: traffic(family)?,
            last: None,
            sink,
        })
    }

    fn run(mut self, shutdown: &Shutdown) {
        while !shutdown.is_requested() {
            self.forget_changes();
            let is_delivered = self.look();
            let polled = self.wait(shutdown);
            if is_delivered.is_err() || !matches!(polled, Ok(()) | Err(Errno::EINTR)) {
                return;
            }
        }
    }

    /// Fails when the receiver is gone.
    fn look(&mut self) -> Result<(), ()> {
        let Ok(index) = self.kernel.exit_for(self.packet) else {
            // The interface went away between two steps; its own event is on the way.
            return Ok(());
        };
        let name = index.and_then(|index| if_indextoname(index.get()).ok());
        let way: TrafficExit = name.map(|name| name.to_string_lossy().into_owned());
        if self.last.as_ref() == Some(&way) {
            return Ok(());
        }
        self.last = Some(way.clone());
        self.sink
            .send(LabEvent::Exit(self.family, clock::now(), way))
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

    fn wait(&self, shutdown: &Shutdown) -> nix::Result<()> {
        let mut watched = [
            PollFd::new(self.changes.as_fd(), PollFlags::POLLIN),
            PollFd::new(shutdown.as_fd(), PollFlags::POLLIN),
        ];
        ppoll(&mut watched, None, None).map(drop)
    }
}
