//! A path that fails on purpose, on a real kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use uplinkd::kernel::netfilter::{NetfilterBatch, NetfilterFamily, NetfilterTable, commit};
use uplinkd::kernel::{PATH_CUT_LASTS, PathCut, remove_path_cut};

use super::ipv6::net6;
use super::{FIBER, LTE, PATIENCE, name, net};
use crate::host::Host;
use crate::netns::{self, World};

const HERE: [(&str, &str, &str); 2] = [
    (FIBER, "10.1.0.2/24", "fe80::1:2/64"),
    (LTE, "10.2.0.2/24", "fe80::2:2/64"),
];
const DHCP_CLIENT: u16 = 68;
const PORT: u16 = 7000;
/// How long a packet is waited for that should not come.
const NEVER: Duration = Duration::from_millis(200);

/// A neighbour at the far end of both uplinks.
struct Neighbour(Host);

impl Neighbour {
    async fn of(world: &World) -> Self {
        world.speak_ipv6();
        let host = Host::new();
        for (interface, far) in [(FIBER, "to-fiber"), (LTE, "to-lte")] {
            world.wire_to(interface, far, host.descriptor()).await;
        }
        host.set_up(|world| async move {
            for (far, address) in [("to-fiber", "10.1.0.1/24"), ("to-lte", "10.2.0.1/24")] {
                world.set_up(far, true).await;
                world.add_address(far, net(address)).await;
            }
        });
        for (interface, address, link_local) in HERE {
            world.add_address(interface, net(address)).await;
            world.add_address6(interface, net6(link_local)).await;
        }
        Self(host)
    }

    /// Sends this machine a packet, from this address of its own.
    fn send(&self, to: SocketAddr) {
        self.0.run(|| {
            let any: IpAddr = match to {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0)).expect("a socket");
            // A refusal of an earlier packet is no news.
            drop(socket.send_to(b"!", to));
        });
    }

    /// Whether what it sends arrives at `at`.
    fn is_heard(&self, at: &UdpSocket, to: SocketAddr, limit: Duration) -> bool {
        self.send(to);
        at.set_read_timeout(Some(limit)).expect("a timeout");
        at.recv(&mut [0; 8]).is_ok()
    }
}

fn listen(port: u16) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a socket")
}

fn by(interface: &str, port: u16) -> SocketAddr {
    let last = if interface == FIBER { 1 } else { 2 };
    SocketAddr::new(Ipv4Addr::new(10, last, 0, 2).into(), port)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a path stays cut is time that passes"
)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_cut_path_drops_what_arrives_by_its_interface_alone_and_spares_what_belongs_to_the_link() {
    netns::run(async |world| {
        let far = Neighbour::of(&world).await;
        let (ours, dhcp) = (listen(PORT), listen(DHCP_CLIENT));
        for interface in [FIBER, LTE] {
            assert!(far.is_heard(&ours, by(interface, PORT), PATIENCE));
        }
        let mut cut = PathCut::begin(&name(FIBER)).expect("a kernel with nf_tables");
        assert!(!far.is_heard(&ours, by(FIBER, PORT), NEVER), "the cut path");
        assert!(far.is_heard(&ours, by(LTE, PORT), PATIENCE), "the other");
        cut.prolong().expect("prolonged");
        assert!(
            far.is_heard(&dhcp, by(FIBER, DHCP_CLIENT), PATIENCE),
            "DHCP"
        );
        let ours6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT + 1)).expect("a socket");
        let scope = far.0.run(|| if_nametoindex("to-fiber").expect("its index"));
        let link_local = "fe80::1:2".parse().expect("an address");
        let link_local = SocketAddrV6::new(link_local, PORT + 1, 0, scope);
        // Neighbour discovery comes before it: the far end has not seen this address yet.
        let is_heard = || far.is_heard(&ours6, link_local.into(), NEVER);
        let deadline = now() + PATIENCE;
        let mut is_link_heard = false;
        while !is_link_heard && now() < deadline {
            cut.prolong().expect("prolonged");
            is_link_heard = is_heard();
        }
        assert!(is_link_heard, "a link-local address");
        // What leaves by the interface is not dropped: this machine would be to blame for it.
        let theirs = far.0.run(|| listen(PORT));
        let to = SocketAddr::new(Ipv4Addr::new(10, 1, 0, 1).into(), PORT);
        ours.send_to(b"!", to).expect("not refused");
        theirs.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        theirs.recv(&mut [0; 8]).expect("it arrives");
        drop(cut);
        assert!(far.is_heard(&ours, by(FIBER, PORT), PATIENCE), "afterwards");
    });
}

#[test]
fn the_kernel_itself_mends_the_path_of_an_agent_that_is_gone() {
    netns::run(async |world| {
        let far = Neighbour::of(&world).await;
        let ours = listen(PORT);
        let mut cut = PathCut::begin(&name(FIBER)).expect("a kernel with nf_tables");
        let begun = now();
        let mut prolonged = begun;
        while begun.elapsed() < PATH_CUT_LASTS * 2 {
            cut.prolong().expect("prolonged");
            prolonged = now();
            let is_heard = far.is_heard(&ours, by(FIBER, PORT), Duration::from_millis(100));
            let is_in_time = prolonged.elapsed() < PATH_CUT_LASTS;
            assert!(!is_heard || !is_in_time, "prolonged in time and open");
        }
        // As after a SIGKILL: nothing is undone by this process.
        std::mem::forget(cut);
        let deadline = now() + PATIENCE;
        while !far.is_heard(&ours, by(FIBER, PORT), Duration::from_millis(20)) {
            assert!(now() < deadline, "the path stays cut");
        }
        let lasted = prolonged.elapsed();
        assert!(
            lasted + Duration::from_millis(20) >= PATH_CUT_LASTS,
            "{lasted:?}"
        );
        // The next start.
        remove_path_cut().expect("removed");
        remove_path_cut().expect("nothing to remove");
    });
}

#[test]
fn rules_that_other_software_has_removed_are_noticed() {
    netns::run(async |world| {
        let _far = Neighbour::of(&world).await;
        let mut cut = PathCut::begin(&name(FIBER)).expect("a kernel with nf_tables");
        let table = NetfilterTable {
            family: NetfilterFamily::Inet,
            name: "uplinkd-drill",
        };
        let mut flush = NetfilterBatch::default();
        flush.delete_table(table);
        commit(&flush).expect("flushed");
        cut.prolong().expect_err("nothing drops any more");
    });
}
