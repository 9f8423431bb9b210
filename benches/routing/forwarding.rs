//! What flow memory costs the traffic that is forwarded: the same traffic with and without it, in pairs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use uplinkd::kernel::netfilter::{
    NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable, PacketHook,
    commit,
};

use crate::host::Host;
use crate::netns::{ForeignDefault, World, sysctl};
use crate::side::Side;
use crate::{FIBER, LTE, row};

const PAIRS: usize = 10;
const LASTS: Duration = Duration::from_secs(1);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
/// As many datagrams by one system call, of 64 bytes with their IP header.
const AT_ONCE: usize = 64;
const SMALL: [u8; 36] = [0; 36];

/// A router that translates, as most do: connections are tracked with and without flow memory.
fn masquerade() {
    let table = NetfilterTable {
        family: NetfilterFamily::Ipv4,
        name: "nat",
    };
    let chain = NetfilterChain {
        name: "postrouting",
        kind: "nat",
        hook: PacketHook::PostRouting,
        priority: 100,
    };
    let mut batch = NetfilterBatch::default();
    batch.add_table(table);
    batch.add_chain(table, &chain);
    batch.add_rule(table, &chain, "nat", &[NetfilterStep::Masquerade]);
    commit(&batch).expect("the kernel translates");
}

/// A LAN with a client, and the internet behind both uplinks of this namespace.
async fn network(world: &World) -> (Host, Host) {
    world.speak_ipv6();
    let (client, internet) = (Host::new(), Host::new());
    world.wire_to("lan", "eth0", client.descriptor()).await;
    for (interface, far) in [(FIBER, "to-fiber"), (LTE, "to-lte")] {
        world.wire_to(interface, far, internet.descriptor()).await;
    }
    let net = |text: &str| text.parse().expect("a net");
    client.set_up(async |world| {
        world.set_up("eth0", true).await;
        world.add_address("eth0", net("10.0.0.7/24")).await;
        let via = Ipv4Addr::new(10, 0, 0, 1);
        world
            .add_default("eth0", ForeignDefault { via, metric: 0 })
            .await;
    });
    internet.set_up(async |world| {
        for (interface, address) in [("to-fiber", "10.1.0.1/24"), ("to-lte", "10.2.0.1/24")] {
            world.set_up(interface, true).await;
            world.add_address(interface, net(address)).await;
        }
        world.add_address("lo", net("203.0.113.80/32")).await;
    });
    sysctl("ipv4/ip_forward", "1");
    world.add_address("lan", net("10.0.0.1/24")).await;
    for (number, name) in [(1, FIBER), (2, LTE)] {
        world
            .add_address(name, net(&format!("10.{number}.0.2/24")))
            .await;
        let address = format!("2001:db8:{number}::2/64").parse().expect("a net");
        world.take_address6(name, address).await;
        let (via, metric) = (Ipv4Addr::new(10, number, 0, 1), 100 * u32::from(number));
        world
            .add_default(name, ForeignDefault { via, metric })
            .await;
    }
    masquerade();
    (client, internet)
}

/// Bytes of one TCP connection in a second.
fn tcp(client: &Host, internet: &Host) -> f64 {
    let listener = internet.run(|| TcpListener::bind((SERVER, 0)).expect("a listener"));
    let server = listener.local_addr().expect("its address");
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut buffer, mut bytes) = (vec![0; 1 << 18], 0_u64);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes += count as u64;
        }
        bytes
    });
    let mut stream = client.run(|| TcpStream::connect(server).expect("a connection"));
    let (data, start) = (vec![0; 1 << 16], Instant::now());
    while start.elapsed() < LASTS {
        stream.write_all(&data).expect("sent");
    }
    let took = start.elapsed();
    drop(stream);
    rate(receiver.join().expect("it is read"), took)
}

/// Small datagrams of one flow in a second that come to the other end of the router.
fn small(client: &Host, internet: &Host) -> f64 {
    let socket = client.run(|| UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    let server = match SocketAddr::from((SERVER, 9)) {
        SocketAddr::V4(server) => SockaddrIn::from(server),
        SocketAddr::V6(_) => return 0.0,
    };
    let received = || {
        internet.run(|| {
            let path = "/proc/thread-self/net/dev";
            let table = std::fs::read_to_string(path).expect("the counters");
            let line = table
                .lines()
                .find_map(|line| line.trim().strip_prefix("to-fiber:"));
            let mut fields = line.expect("the interface").split_whitespace();
            let count = fields.nth(1).and_then(|field| field.parse::<u64>().ok());
            count.expect("a number")
        })
    };
    let (before, start) = (received(), Instant::now());
    let mut headers = MultiHeaders::preallocate(AT_ONCE, None);
    let datagrams = [[std::io::IoSlice::new(&SMALL)]; AT_ONCE];
    while start.elapsed() < LASTS {
        let to = [Some(server); AT_ONCE];
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &datagrams,
            to,
            [],
            MsgFlags::empty(),
        );
        assert!(sent.is_ok_and(|sent| sent.count() > 0));
    }
    rate(received() - before, start.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Prints the rates with flow memory as a share of those without, the median of so many pairs, least and most.
pub(crate) async fn forwarding(world: &World) {
    let (client, internet) = network(world).await;
    let mut side = Side::start([FIBER, LTE]).await;
    for (what, must, measure) in [
        ("TCP", "97 %", tcp as fn(&Host, &Host) -> f64),
        ("datagrams of 64 bytes", "92 %", small),
    ] {
        let (mut shares, mut rates) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let mut found = [0.0; 2];
            // Each is the first of a pair as often as the other.
            for remembers in [pair % 2 == 0, pair % 2 == 1] {
                side.remember(remembers).await;
                found[usize::from(remembers)] = measure(&client, &internet);
            }
            shares.push(found[1] / found[0] * 100.0);
            rates.push(found[0]);
        }
        shares.sort_by(f64::total_cmp);
        rates.sort_by(f64::total_cmp);
        let [least, median, most] = [0, PAIRS / 2, PAIRS - 1].map(|place| shares[place]);
        let unit = if what == "TCP" { "bytes" } else { "packets" };
        let without = rates[PAIRS / 2];
        let what = format!("forwarded {what} with flow memory ({without:.2e} {unit}/s without)");
        row(
            &what,
            &format!("{median:.1} % ({least:.1} to {most:.1})"),
            must,
        );
    }
    side.stop().await;
}
