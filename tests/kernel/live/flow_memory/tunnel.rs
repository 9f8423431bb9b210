//! A WireGuard tunnel of a LAN host through the router: it has no connection to lose, and never ends by itself.

use netlink_packet_core::NlasIterator;
use netlink_sys::protocols::NETLINK_GENERIC;

use super::flow_table::{attribute, nested};
use super::*;

/// `linux/genetlink.h` and `linux/wireguard.h`.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const GET_DEVICE: u8 = 0;
const SET_DEVICE: u8 = 1;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;

const PORT: u16 = 51_820;
/// Inside the tunnel.
const NEAR: &str = "10.8.0.2/24";
const FAR: &str = "10.8.0.1/24";
const FAR_END: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);

/// A socket of generic netlink, and the number of WireGuard's family.
struct WireGuard {
    socket: Socket,
    family: u16,
}

/// What a device knows of its only peer.
#[derive(Debug, PartialEq, Eq)]
struct Peer {
    /// Where its last packet came from.
    endpoint: Ipv4Addr,
    /// In nanoseconds since 1970.
    last_handshake: i128,
}

impl WireGuard {
    /// Of this thread's namespace.
    fn open() -> Self {
        let mut socket = Socket::new(NETLINK_GENERIC).expect("a netlink socket");
        socket.bind_auto().expect("an address");
        let mut this = Self {
            socket,
            family: CONTROLLER,
        };
        let name = attribute(2, b"wireguard\0");
        let answer = this.ask(GET_FAMILY, REQUEST, &[name]);
        let number = value(&answer, 1).first_chunk().copied();
        this.family = number.map(u16::from_ne_bytes).expect("a number");
        this
    }

    /// The attributes of the answer; of a list, which is asked for last, those of the first entry.
    fn ask(&mut self, command: u8, flags: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = attributes.concat();
        let length = u32::try_from(20 + body.len()).expect("short");
        let mut request = length.to_ne_bytes().to_vec();
        request.extend([self.family.to_ne_bytes(), flags.to_ne_bytes()].concat());
        request.extend([0; 8]);
        request.extend([command, 1, 0, 0]);
        request.extend(body);
        let sent = self.socket.send_to(&request, &NetlinkAddress::new(0, 0), 0);
        sent.expect("it is sent");
        let (answer, _) = self.socket.recv_from_full().expect("an answer");
        let payload = NetlinkBuffer::new(&answer).payload().to_vec();
        if flags & ACK == ACK {
            assert_eq!(payload[..4], [0; 4], "the kernel takes it");
        }
        payload.get(4..).unwrap_or_default().to_vec()
    }

    /// Makes a key, and returns what the peer must know of it.
    fn make_key(&mut self, private: [u8; 32]) -> Vec<u8> {
        let device = attribute(2, b"wg0\0");
        let port = attribute(6, &PORT.to_ne_bytes());
        let key = attribute(3, &private);
        self.ask(SET_DEVICE, REQUEST | ACK, &[device.clone(), key, port]);
        let answer = self.ask(GET_DEVICE, REQUEST | DUMP, &[device]);
        value(&answer, 4).to_vec()
    }

    fn set_peer(&mut self, key: &[u8], endpoint: Option<Ipv4Addr>) {
        let net = [
            attribute(1, &2_u16.to_ne_bytes()),
            attribute(2, &[10, 8, 0, 0]),
            attribute(3, &[24]),
        ];
        let mut peer = vec![attribute(1, key), nested(9, &[nested(0, &net)])];
        if let Some(endpoint) = endpoint {
            let mut address = 2_u16.to_ne_bytes().to_vec();
            address.extend(PORT.to_be_bytes());
            address.extend(endpoint.octets());
            address.resize(16, 0);
            peer.push(attribute(4, &address));
        }
        let peers = nested(8, &[nested(0, &peer)]);
        let device = attribute(2, b"wg0\0");
        self.ask(SET_DEVICE, REQUEST | ACK, &[device, peers]);
    }

    fn peer(&mut self) -> Peer {
        let answer = self.ask(GET_DEVICE, REQUEST | DUMP, &[attribute(2, b"wg0\0")]);
        let peer = value(value(&answer, 8), 0);
        let octets: [u8; 4] = value(peer, 4)[4..8].try_into().expect("an address");
        let time = value(peer, 6);
        let number = |at: usize| i64::from_ne_bytes(time[at..at + 8].try_into().expect("a number"));
        Peer {
            endpoint: octets.into(),
            last_handshake: i128::from(number(0)) * 1_000_000_000 + i128::from(number(8)),
        }
    }
}

/// The value of the first attribute of a kind.
fn value(attributes: &[u8], kind: u16) -> &[u8] {
    let own = NlasIterator::new(attributes).flatten();
    let mut own = own.filter(|one| one.kind() == kind);
    let found = own.next().expect("the attribute");
    let start = found.value().as_ptr() as usize - attributes.as_ptr() as usize;
    &attributes[start..start + found.value().len()]
}

/// A tunnel from the client to the server; a socket in it.
fn tunnel(site: &Site) -> Udp {
    let make = |host: &Host, address: &'static str| {
        host.set_up(|world| async move {
            assert!(world.wireguard("wg0").await, "this kernel has no WireGuard");
            world.set_up("wg0", true).await;
            world.add_address("wg0", net(address)).await;
        });
    };
    make(&site.client, NEAR);
    make(&site.internet, FAR);
    let near = site.client.run(|| WireGuard::open().make_key([7; 32]));
    let far = site.internet.run(|| WireGuard::open().make_key([9; 32]));
    (site.internet).run(|| WireGuard::open().set_peer(&near, None));
    (site.client).run(|| WireGuard::open().set_peer(&far, Some(SERVER)));
    answer((site.internet).run(|| UdpSocket::bind((FAR_END, 7000)).expect("a socket")));
    Udp::open(&site.client, SocketAddr::new(FAR_END.into(), 7000))
}

#[test]
#[ignore = "needs a kernel with wireguard: tests/vm/run tests"]
fn a_tunnel_goes_through_a_switch_and_back_and_after_a_failure_elsewhere_without_a_handshake() {
    netns::run(async |world| {
        let mut site = Site::new(world, Nat::Masquerade).await;
        site.carry(FIBER, &[FIBER, LTE]).await;
        let inside = tunnel(&site);
        let near = Some(Ipv4Addr::new(10, 8, 0, 2));
        assert_eq!(inside.ask(), near);
        let begun = site.internet.run(|| WireGuard::open().peer());
        assert_eq!(begun.endpoint, BY_FIBER);
        for carrying in [LTE, FIBER, LTE] {
            site.carry(carrying, &[FIBER, LTE]).await;
            for time in 0..100 {
                assert_eq!(inside.ask(), near, "the {time}th while {carrying} carries");
            }
            let now = site.internet.run(|| WireGuard::open().peer());
            assert_eq!(now, begun, "while {carrying} carries");
        }
        // Fiber is down.
        let addresses = [BY_FIBER.into()].into();
        end_flows(&addresses, &TrafficOf::all()).expect("ended");
        site.carry(LTE, &[LTE]).await;
        for _ in 0..100 {
            assert_eq!(inside.ask(), near, "it roams");
        }
        let roamed = site.internet.run(|| WireGuard::open().peer());
        let elsewhere = Peer {
            endpoint: BY_LTE,
            ..begun
        };
        assert_eq!(roamed, elsewhere);
    });
}
