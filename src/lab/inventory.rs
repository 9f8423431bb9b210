//! Everything that decides where the packets of a node go, listed, to be held against an earlier list:
//! routes and rules of both families in all tables, nexthop objects, and the chains and rules of netfilter, of any
//! origin.

use std::fmt;
use std::io;
use std::time::Duration;

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteFlags};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::kernel::netfilter;
use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::namespace::Namespace;
use crate::units::sorted::SortedMap;

/// What stands in a node's kernel: each object as text, and how often it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory(SortedMap<String, i32>);

/// What one inventory has more than another, and less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InventoryDifference {
    pub(super) left_behind: Vec<String>,
    pub(super) missing: Vec<String>,
}

impl Inventory {
    /// Takes that of a node now.
    pub(super) fn of(node: &Namespace) -> Result<Self, LabError> {
        node.run(take).doing(|| {
            format!(
                "list the routes, rules and nexthop objects of {}",
                node.name()
            )
        })
    }

    /// As [`of`](Self::of), once this many interfaces of the node have all their own IPv6 routes: the
    /// kernel adds them when it has noticed the carrier, up to a second after that is there.
    pub(super) fn of_settled(node: &Namespace, interfaces: usize) -> Result<Self, LabError> {
        const SETTLES_WITHIN: Duration = Duration::from_secs(5);
        const AGAIN: Duration = Duration::from_millis(10);
        let limit = clock::now() + SETTLES_WITHIN;
        loop {
            let inventory = Self::of(node)?;
            // Of the link-local prefix and of the one of its address.
            let is_settled = inventory.anycast_routes() >= 2 * interfaces;
            if is_settled || clock::now() > limit {
                return Ok(inventory);
            }
            clock::pause(AGAIN);
        }
    }

    fn anycast_routes(&self) -> usize {
        let lines = self.0.keys();
        lines.filter(|line| line.contains("kind: Anycast")).count()
    }

    /// How this differs from `before`.
    pub(super) fn since(&self, before: &Self) -> InventoryDifference {
        let more = |these: &Self, those: &Self| {
            let lines = these.0.iter();
            let count = |line: &String| those.0.get(line).copied().unwrap_or(0);
            let more = lines.filter(|(line, times)| **times > count(line));
            more.map(|(line, _)| line.clone()).collect()
        };
        InventoryDifference {
            left_behind: more(self, before),
            missing: more(before, self),
        }
    }
}

impl InventoryDifference {
    /// Nothing differs.
    pub(super) fn is_nothing(&self) -> bool {
        self.left_behind.is_empty() && self.missing.is_empty()
    }

    /// Nexthop objects are among what is left.
    pub(super) fn has_next_hops(&self) -> bool {
        let mut left = self.left_behind.iter();
        left.any(|line| line.starts_with(NEXT_HOP))
    }
}

impl fmt::Display for InventoryDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nothing() {
            return f.write_str("nothing is left, and nothing is missing");
        }
        let left = self.left_behind.iter().map(|line| ("left", line));
        let all = left.chain(self.missing.iter().map(|line| ("missing", line)));
        for (place, (what, line)) in all.enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{what}: {line}")?;
        }
        Ok(())
    }
}

/// A list to request: `linux/rtnetlink.h`, and the size of what follows the header.
struct KernelList {
    request: u16,
    entry: u16,
    family: u8,
    body: usize,
}

const ROUTES: (u16, u16, usize) = (26, 24, 12);
const RULES: (u16, u16, usize) = (34, 32, 12);
const NEXT_HOPS: (u16, u16, usize) = (106, 104, 8);

fn take() -> io::Result<Inventory> {
    let [unspecified, v4, v6] =
        [libc::AF_UNSPEC, libc::AF_INET, libc::AF_INET6].map(|family| family.to_le_bytes()[0]);
    let lists = [
        (ROUTES, v4),
        (ROUTES, v6),
        (RULES, v4),
        (RULES, v6),
        (NEXT_HOPS, unspecified),
    ];
    let mut inventory = Inventory::default();
    for ((request, entry, body), family) in lists {
        let list = KernelList {
            request,
            entry,
            family,
            body,
        };
        for line in list.read()? {
            *inventory.0.entry(line).or_default() += 1;
        }
    }
    for line in netfilter::inventory()? {
        *inventory.0.entry(line).or_default() += 1;
    }
    Ok(inventory)
}

impl KernelList {
    /// One line for each entry; none where the kernel knows nothing of the kind.
    fn read(&self) -> io::Result<Vec<String>> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.send_to(&self.request(), &SocketAddr::new(0, 0), 0)?;
        let mut lines = Vec::new();
        loop {
            let (datagram, _) = socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let length = message.length() as usize;
                match message.message_type() {
                    NLMSG_DONE => return Ok(lines),
                    NLMSG_ERROR => return refusal(message.payload()).map(|()| lines),
                    kind if kind == self.entry => lines.extend(line(&rest[..length])),
                    _ => {}
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    fn request(&self) -> Vec<u8> {
        const HEADER: usize = 16;
        let length = u32::try_from(HEADER + self.body).unwrap_or(u32::MAX);
        let [low, high, ..] = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP).to_le_bytes();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(self.request.to_ne_bytes());
        bytes.extend(u16::from_le_bytes([low, high]).to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.push(self.family);
        bytes.resize(HEADER + self.body, 0);
        bytes
    }
}

const NEXT_HOP: &str = "nexthop object";

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A kernel without a family, without policy routing or without nexthop objects has none of them.
fn refusal(body: &[u8]) -> io::Result<()> {
    let code = body
        .first_chunk()
        .map_or(0, |code| -i32::from_ne_bytes(*code));
    match code {
        0 | libc::EOPNOTSUPP | libc::EAFNOSUPPORT => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// An entry in words as far as they are known, in numbers where not; none if it is a route that the
/// kernel keeps for itself. How long a route will last is left out.
fn line(message: &[u8]) -> Option<String> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message).map(|m| m.payload) {
        Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(mut route))) => {
            let is_learnt_by_the_kernel = route.header.flags.contains(RouteFlags::Cloned);
            let lasts = |one: &RouteAttribute| matches!(one, RouteAttribute::CacheInfo(_));
            route.attributes.retain(|attribute| !lasts(attribute));
            (!is_learnt_by_the_kernel).then(|| format!("{route:?}"))
        }
        Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRule(rule))) => {
            Some(format!("{rule:?}"))
        }
        Ok(_) | Err(_) => {
            const HEADER: usize = 16;
            Some(format!("{NEXT_HOP} {:02x?}", message.get(HEADER..)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::namespace::run_test_isolated;
    use crate::lab::netlink::Netlink;
    use crate::lab::network::index_of;

    /// `linux/nexthop.h`: a nexthop object of IPv4 that leads nowhere, with a number.
    fn make_next_hop(number: u32) -> io::Result<()> {
        const RTM_NEWNEXTHOP: u16 = 104;
        const NHA_ID: u16 = 1;
        const NHA_BLACKHOLE: u16 = 4;
        const OURS: u8 = 117;
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE;
        let [low, high, ..] = flags.to_le_bytes();
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend(RTM_NEWNEXTHOP.to_ne_bytes());
        bytes.extend(u16::from_le_bytes([low, high]).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend([libc::AF_INET.to_le_bytes()[0], 0, OURS, 0, 0, 0, 0, 0]);
        for (kind, value) in [(NHA_ID, &number.to_ne_bytes()[..]), (NHA_BLACKHOLE, &[])] {
            let length = u16::try_from(4 + value.len()).expect("short");
            bytes.extend(length.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
        }
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        let (answer, _) = socket.recv_from_full()?;
        refusal(NetlinkBuffer::new(&answer).payload())
    }

    #[test]
    fn a_nexthop_object_that_was_left_is_seen_though_no_route_uses_it() {
        let name = "lab::inventory::tests::\
                    a_nexthop_object_that_was_left_is_seen_though_no_route_uses_it";
        run_test_isolated(name, || {
            let node = Namespace::create("node").expect("a namespace");
            // An object that leads nowhere leads there by it.
            node.run(|| Netlink::open()?.set_up(index_of("lo")?))
                .expect("a loopback that is up");
            let before = Inventory::of(&node).expect("a list");
            assert!(before.0.len() >= 3, "three rules at least: {before:?}");
            node.run(|| make_next_hop(11_700)).expect("an object");
            let after = Inventory::of(&node).expect("a list");
            let difference = after.since(&before);
            assert_eq!(difference.left_behind.len(), 1, "{difference}");
            assert_eq!(difference.missing, Vec::<String>::new());
            assert_eq!(before.since(&after).missing.len(), 1);
            assert!(before.since(&before).is_nothing());
        });
    }

    #[test]
    fn the_same_rule_twice_is_one_too_many() {
        let once = Inventory([("rule".to_owned(), 1)].into());
        let twice = Inventory([("rule".to_owned(), 2)].into());
        assert_eq!(twice.since(&once).left_behind, ["rule"]);
        assert_eq!(once.since(&twice).missing, ["rule"]);
    }
}
