//! Flows that a flow table carries past routes and packet filter (`flow_offloading` of OpenWrt).

use uplinkd::kernel::netfilter::flow_tables;

use super::*;

const NESTED: u16 = 1 << 15;
const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_NEWFLOWTABLE`, `NFT_MSG_NEWCHAIN`, `NFT_MSG_NEWRULE`.
const NEW: [u16; 3] = [NFTABLES | 0x16, NFTABLES | 0x3, NFTABLES | 0x6];
const TABLE: &[u8] = b"theirs\0";
const CHAIN: &[u8] = b"forward\0";
const FLOW_TABLE: &[u8] = b"fast\0";

pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn nested(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &attributes.concat())
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, body: &[Vec<u8>]) -> Vec<u8> {
    let body = body.concat();
    let length = u32::try_from(20 + body.len()).expect("short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// What the router forwards goes by a flow table from its second packet on.
fn offload() {
    let number = |kind, value: u32| attribute(kind, &value.to_be_bytes());
    let names = [LAN, FIBER, LTE].map(|name| attribute(1, format!("{name}\0").as_bytes()));
    let ingress = [number(1, 0), number(2, 0), nested(3, &names)];
    let flow_table = [
        attribute(1, TABLE),
        attribute(2, FLOW_TABLE),
        nested(3, &ingress),
    ];
    let chain = [
        attribute(1, TABLE),
        attribute(3, CHAIN),
        nested(4, &[number(1, 2), number(2, 0)]),
        attribute(7, b"filter\0"),
    ];
    let step = [
        attribute(1, b"flow_offload\0"),
        nested(2, &[attribute(1, FLOW_TABLE)]),
    ];
    let rule = [
        attribute(1, TABLE),
        attribute(2, CHAIN),
        nested(4, &[nested(1, &step)]),
    ];
    // REQUEST, ACK and CREATE; APPEND for the rule.
    let [plain, appended] = [0x405, 0xc05];
    let requests = [
        message(0x10, 1, 0, 10, &[]),
        message(NEW[0], plain, 2, 0, &flow_table),
        message(NEW[1], plain, 2, 0, &chain),
        message(NEW[2], appended, 2, 0, &rule),
        message(0x11, 1, 0, 10, &[]),
    ];
    let mut socket = Socket::new(NETLINK_NETFILTER).expect("a netlink socket");
    socket.bind_auto().expect("an address");
    let kernel = NetlinkAddress::new(0, 0);
    let sent = socket.send_to(&requests.concat(), &kernel, 0);
    sent.expect("it is sent");
    for what in ["a flow table", "a chain", "a rule"] {
        let (answer, _) = socket.recv_from_full().expect("an answer");
        let answer = NetlinkBuffer::new(&answer);
        let code = answer.payload().first_chunk();
        let code = code.map(|code| i32::from_ne_bytes(*code));
        assert_eq!(code, Some(0), "this kernel has no {what}");
    }
}

/// Flows of a healthy uplink that is left stay, those of a dead one are moved, as without a flow table.
async fn is_moved(world: World, nat: Nat) {
    let mut site = Site::new(world, nat).await;
    assert_eq!(flow_tables().expect("listed"), [""; 0]);
    offload();
    assert_eq!(flow_tables().expect("listed"), ["theirs fast"]);
    let to = serve(&site.internet);
    site.carry(FIBER, &[FIBER, LTE]).await;
    let old = Udp::open(&site.client, to).waits(NEVER);
    for _ in 0..10 {
        assert_eq!(old.ask(), Some(BY_FIBER));
    }
    let carried = Tracking::open().offloaded();
    assert_eq!(carried, 1, "the flow table carries it");
    for carrying in [LTE, FIBER, LTE] {
        site.carry(carrying, &[FIBER, LTE]).await;
        for _ in 0..20 {
            assert_eq!(old.ask(), Some(BY_FIBER), "while {carrying} carries");
        }
    }
    let addresses = [BY_FIBER.into()].into();
    assert_eq!(
        end_flows(&addresses, &TrafficOf::all()).expect("flows are ended"),
        1
    );
    forget_flows(
        &[(Family::Ipv4, marks_of(0))].into(),
        &addresses,
        &TrafficOf::all(),
    )
    .expect("forgotten");
    // The flow table sees with a packet that the route is another.
    let mut answers = (0..5).map(|_| old.ask());
    assert!(answers.any(|by| by == Some(BY_LTE)), "{nat:?}: it is moved");
    for _ in 0..20 {
        assert_eq!(old.ask(), Some(BY_LTE), "{nat:?}");
    }
}

#[test]
#[ignore = "needs a kernel with a flow table: tests/vm/run tests"]
fn a_masqueraded_flow_that_a_flow_table_carries_is_moved_and_stays_as_others_do() {
    netns::run(async |world| is_moved(world, Nat::Masquerade).await);
}

#[test]
#[ignore = "needs a kernel with a flow table: tests/vm/run tests"]
fn a_flow_of_a_fixed_source_that_a_flow_table_carries_is_moved_and_stays_as_others_do() {
    netns::run(async |world| is_moved(world, Nat::Fixed).await);
}
