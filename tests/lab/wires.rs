//! The lab's wires carry what their lanes let through, and no sooner: the real pump.
//!
//! A stream of stamped packets crosses the `lan` wire from the client to the router. What a lane does is
//! held in virtual time, in `lanes`.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::{quantile, run_test_isolated};
use uplinkd::lab::lane::Impairment;
use uplinkd::lab::{LabNetwork, Towards, clock};
use uplinkd::units::Moment;

const SEED: u64 = 20_261_121;
const ROUTER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 1), 4000);
/// How long a stream lasts.
const SPAN: Duration = Duration::from_secs(4);
const PACE: Duration = Duration::from_micros(2500);

/// What the router saw of a stream.
struct StreamSeen {
    sent: u32,
    /// Sequence number and time under way, in the order of arrival.
    arrivals: Vec<(u32, Duration)>,
}

/// Sends from the client to the router for [`SPAN`], one packet every [`PACE`].
fn stream(network: &LabNetwork) -> StreamSeen {
    let sent = u32::try_from(SPAN.as_micros() / PACE.as_micros()).expect("a few thousand");
    let router = network.router();
    let receiver = router.run(|| UdpSocket::bind(ROUTER)).expect("bind");
    let sender = network.client().run(|| UdpSocket::bind("0.0.0.0:0"));
    let sender = sender.expect("bind");
    let patience = Some(Duration::from_secs(1));
    receiver.set_read_timeout(patience).expect("set a timeout");
    let (arrived, arrivals) = channel();
    let listening = thread::spawn(move || {
        let mut packet = [0; 64];
        while receiver.recv(&mut packet).is_ok() {
            let now = clock::now();
            let number = u32::from_be_bytes(packet[..4].try_into().expect("4 bytes"));
            let sent = u64::from_be_bytes(packet[4..12].try_into().expect("8 bytes"));
            let sent = Moment::after_start(Duration::from_nanos(sent));
            arrived
                .send((number, now.since(sent)))
                .expect("the test listens");
        }
    });
    let start = clock::now();
    for number in 0..sent {
        wait_until(start + PACE * number);
        let mut packet = [0; 64];
        packet[..4].copy_from_slice(&number.to_be_bytes());
        let now = u64::try_from(clock::now().since_start().as_nanos()).expect("584 years");
        packet[4..12].copy_from_slice(&now.to_be_bytes());
        sender.send_to(&packet, ROUTER).expect("send");
    }
    listening.join().expect("the listener ends");
    StreamSeen {
        sent,
        arrivals: arrivals.iter().collect(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a meter waits on time")]
fn wait_until(moment: Moment) {
    thread::sleep(moment.since(clock::now()));
}

impl StreamSeen {
    fn lost(&self) -> usize {
        let mut numbers: Vec<_> = self.arrivals.iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.sent as usize - numbers.len()
    }

    /// The time under way that this share of packets stays below, in milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        quantile(self.arrivals.iter().map(|(_, time)| *time), share)
    }
}

/// A stream over a `lan` wire that is set like this towards the internet.
fn measure(impairment: Impairment) -> StreamSeen {
    let network = LabNetwork::build(SEED).expect("build the network");
    let lan = network.wire("lan").expect("there is a LAN");
    // The first packet asks for the address of the next hop; that is not the wire's doing.
    stream_warms_up(&network);
    lan.set_towards(Towards::Internet, impairment)
        .expect("set the wire");
    stream(&network)
}

fn stream_warms_up(network: &LabNetwork) {
    let probe = network.client().run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.send_to(b"who has", ROUTER)
    });
    probe.expect("send");
    wait_until(clock::now() + Duration::from_millis(100));
}

#[test]
fn a_wire_loses_nothing_and_delivers_no_frame_before_its_delay() {
    run_test_isolated(
        "a_wire_loses_nothing_and_delivers_no_frame_before_its_delay",
        || {
            let seen = measure(Impairment {
                delay: Duration::from_millis(20),
                ..Impairment::default()
            });
            assert_eq!(seen.lost(), 0, "of {}", seen.sent);
            let (first, early) = (seen.quantile(0.0), seen.quantile(0.1));
            assert!(first >= 20.0, "{first} ms");
            // A busy machine wakes the pump late for some of the frames, not for all; twice the delay is another one.
            assert!(early < 40.0, "a tenth within {early} ms");
        },
    );
}

#[test]
fn a_one_way_blackhole_and_a_pulled_cable_stop_everything_until_mended() {
    run_test_isolated(
        "a_one_way_blackhole_and_a_pulled_cable_stop_everything_until_mended",
        || {
            let network = LabNetwork::build(SEED).expect("build the network");
            let lan = network.wire("lan").expect("there is a LAN");
            let receiver = network
                .router()
                .run(|| UdpSocket::bind(ROUTER))
                .expect("bind");
            let patience = Some(Duration::from_millis(300));
            receiver.set_read_timeout(patience).expect("set a timeout");
            let arrives = || {
                stream_warms_up(&network);
                receiver.recv(&mut [0; 64]).is_ok()
            };
            assert!(arrives(), "a perfect wire");
            let blackhole = Impairment {
                blackhole: true,
                ..Impairment::default()
            };
            lan.set_towards(Towards::Internet, blackhole)
                .expect("break it");
            assert!(!arrives(), "a blackhole on the way");
            lan.mend().expect("mend it");
            assert!(arrives(), "mended");
            lan.unplug().expect("pull the cable");
            assert!(!arrives(), "no cable");
            lan.mend().expect("plug it in");
            // The kernel lets packets through a link again within a second of its carrier.
            assert!((0..10).any(|_| arrives()), "plugged in");
        },
    );
}
