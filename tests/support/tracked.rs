//! Entries of connection tracking without the packets that would make them:
//! `linux/netfilter/nfnetlink_conntrack.h`.

use std::net::IpAddr;

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

const NEW: u16 = 1 << 8;
const GET: u16 = 1 << 8 | 1;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
const NESTED: u16 = 1 << 15;
const NLMSG_DONE: u16 = 3;
const NLMSG_ERROR: u16 = 2;

/// A UDP flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracked {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    /// Where its answers go to.
    pub(crate) translated_to: IpAddr,
    pub(crate) port: u16,
    pub(crate) mark: u32,
}

/// The table of this thread's network namespace.
pub(crate) struct Tracking {
    socket: Socket,
}

impl Tracking {
    pub(crate) fn open() -> Self {
        let mut socket = Socket::new(NETLINK_NETFILTER).expect("a netlink socket");
        socket.bind_auto().expect("an address");
        Self { socket }
    }

    pub(crate) fn add(&mut self, flow: Tracked) {
        self.add_all(&[flow]);
    }

    /// Adds many with few system calls.
    pub(crate) fn add_all(&mut self, flows: &[Tracked]) {
        for some in flows.chunks(100) {
            let mut requests = Vec::new();
            for (place, flow) in (1..).zip(some) {
                let ack = if place == some.len() { ACK } else { 0 };
                requests.extend(creation(flow, REQUEST | CREATE | EXCLUSIVE | ack));
            }
            self.send(&requests);
            let (answer, _) = self.socket.recv_from_full().expect("an answer");
            let answer = NetlinkBuffer::new(&answer);
            let code = answer
                .payload()
                .first_chunk()
                .map(|c| i32::from_ne_bytes(*c));
            assert_eq!(code, Some(0), "the kernel takes the flows");
        }
    }

    /// How many flows there are whose answers go to `address`.
    pub(crate) fn answered_to(&mut self, address: IpAddr) -> usize {
        let wanted = octets(address);
        self.send(&message(GET, REQUEST | DUMP, address, &[]));
        let mut count = 0;
        loop {
            let (datagram, _) = self.socket.recv_from_full().expect("an answer");
            let mut rest = datagram.as_slice();
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                match message.message_type() {
                    NLMSG_DONE => return count,
                    NLMSG_ERROR => panic!("the kernel does not list its flows"),
                    _ => count += usize::from(reply_destination(message.payload()) == wanted),
                }
                rest = &rest[(message.length() as usize).next_multiple_of(4)..];
            }
        }
    }

    /// The marks of all IPv4 flows, in order.
    pub(crate) fn marks(&mut self) -> Vec<u32> {
        const MARK: u16 = 8;
        let mut marks = self.numbers(MARK);
        marks.sort_unstable();
        marks
    }

    /// How many IPv4 flows a flow table carries (`IPS_OFFLOAD`).
    pub(crate) fn offloaded(&mut self) -> usize {
        const STATUS: u16 = 3;
        const OFFLOAD: u32 = 1 << 14;
        let statuses = self.numbers(STATUS).into_iter();
        statuses.filter(|status| status & OFFLOAD != 0).count()
    }

    /// A number of each IPv4 flow.
    fn numbers(&mut self, kind: u16) -> Vec<u32> {
        self.send(&message(GET, REQUEST | DUMP, IpAddr::from([0; 4]), &[]));
        let mut numbers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full().expect("an answer");
            let mut rest = datagram.as_slice();
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                match message.message_type() {
                    NLMSG_DONE => return numbers,
                    NLMSG_ERROR => panic!("the kernel does not list its flows"),
                    _ => {
                        let mut attributes = NlasIterator::new(&message.payload()[4..]);
                        let number = attributes.find_map(|one| {
                            let one = one.ok().filter(|one| one.kind() == kind)?;
                            Some(u32::from_be_bytes(*one.value().first_chunk()?))
                        });
                        numbers.push(number.unwrap_or(0));
                    }
                }
                rest = &rest[(message.length() as usize).next_multiple_of(4)..];
            }
        }
    }

    fn send(&self, requests: &[u8]) {
        let kernel = SocketAddr::new(0, 0);
        self.socket
            .send_to(requests, &kernel, 0)
            .expect("it is sent");
    }
}

fn creation(flow: &Tracked, flags: u16) -> Vec<u8> {
    const TUPLE_ORIG: u16 = 1;
    const TUPLE_REPLY: u16 = 2;
    const STATUS: u16 = 3;
    const TIMEOUT: u16 = 7;
    const MARK: u16 = 8;
    const SEEN_REPLY: u32 = 1 << 1;
    const ASSURED: u32 = 1 << 2;
    const CONFIRMED: u32 = 1 << 3;
    let there = tuple(flow.from, flow.to, [flow.port, 443]);
    let back = tuple(flow.to, flow.translated_to, [443, flow.port]);
    let mut body = attribute(TUPLE_ORIG | NESTED, &there);
    body.extend(attribute(TUPLE_REPLY | NESTED, &back));
    body.extend(attribute(
        STATUS,
        &(SEEN_REPLY | ASSURED | CONFIRMED).to_be_bytes(),
    ));
    body.extend(attribute(TIMEOUT, &600_u32.to_be_bytes()));
    body.extend(attribute(MARK, &flow.mark.to_be_bytes()));
    message(NEW, flags, flow.from, &body)
}

fn tuple(from: IpAddr, to: IpAddr, [sport, dport]: [u16; 2]) -> Vec<u8> {
    let (source, destination) = if from.is_ipv4() { (1, 2) } else { (3, 4) };
    let mut ip = attribute(source, &octets(from));
    ip.extend(attribute(destination, &octets(to)));
    let mut protocol = attribute(1, &[17]);
    protocol.extend(attribute(2, &sport.to_be_bytes()));
    protocol.extend(attribute(3, &dport.to_be_bytes()));
    let mut tuple = attribute(1 | NESTED, &ip);
    tuple.extend(attribute(2 | NESTED, &protocol));
    tuple
}

fn message(kind: u16, flags: u16, family: IpAddr, body: &[u8]) -> Vec<u8> {
    let family = if family.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let length = u32::try_from(20 + body.len()).expect("a short message");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([u8::try_from(family).expect("a family"), 0, 0, 0]);
    bytes.extend(body);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("a short attribute");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn reply_destination(body: &[u8]) -> Vec<u8> {
    let inside = |bytes: &[u8], kinds: &[u16]| {
        let found = NlasIterator::new(bytes)
            .map_while(Result::ok)
            .find(|attribute| kinds.contains(&attribute.kind()));
        found
            .map(|attribute| attribute.value().to_vec())
            .unwrap_or_default()
    };
    let reply = inside(&body[4..], &[2]);
    inside(&inside(&reply, &[1]), &[2, 4])
}
