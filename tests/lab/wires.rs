//! The lab's wires are what they are set to be: the real pump, held against its settings.
//!
//! A stream of stamped packets crosses the `lan` wire from the client to the router. Bounds are wide
//! enough for two loaded cores and narrow enough to tell one setting from another.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts in these tests are far below 2^52"
)]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::run_test_isolated;
use uplinkd::lab::lane::{Bursts, Impairment, Rate};
use uplinkd::lab::{LabNetwork, Towards, clock};
use uplinkd::units::{Loss, Moment};

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
    /// How much later than asked this machine woke a sleeper meanwhile, on average.
    lateness: Duration,
}

/// Sends from the client to the router for [`SPAN`], one packet every `pace`.
fn stream(network: &LabNetwork, pace: Duration) -> StreamSeen {
    let sent = u32::try_from(SPAN.as_micros() / pace.as_micros()).expect("a few thousand");
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
    let yardstick = thread::spawn(lateness);
    let start = clock::now();
    for number in 0..sent {
        wait_until(start + pace * number);
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
        lateness: yardstick.join().expect("the yardstick ends"),
    }
}

/// A machine that has other things to do wakes sleepers late, those of the wire as any other.
fn lateness() -> Duration {
    let nap = Duration::from_millis(1);
    let start = clock::now();
    let mut naps = 0;
    while clock::now().since(start) < SPAN {
        wait_until(clock::now() + nap);
        naps += 1;
    }
    (clock::now().since(start) / naps).saturating_sub(nap)
}

#[expect(clippy::disallowed_methods, reason = "a meter waits on time")]
fn wait_until(moment: Moment) {
    thread::sleep(moment.since(clock::now()));
}

impl StreamSeen {
    fn share_lost(&self) -> f64 {
        let mut numbers: Vec<_> = self.arrivals.iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        1.0 - numbers.len() as f64 / f64::from(self.sent)
    }

    fn share_twice(&self) -> f64 {
        let first_copies = (1.0 - self.share_lost()) * f64::from(self.sent);
        self.arrivals.len() as f64 / first_copies - 1.0
    }

    fn share_overtaken(&self) -> f64 {
        let out_of_order = self
            .arrivals
            .windows(2)
            .filter(|pair| pair[1].0 < pair[0].0);
        out_of_order.count() as f64 / self.arrivals.len() as f64
    }

    /// The time under way that this share of packets stays below, in milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        let mut times: Vec<_> = self.arrivals.iter().map(|(_, time)| *time).collect();
        times.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is an index"
        )]
        let index = ((times.len() - 1) as f64 * share) as usize;
        times[index].as_secs_f64() * 1000.0
    }

    /// Holds such a time against what was asked. A packet meets two sleepers on its way, that of
    /// the wire and its receiver, and those may be as late as any other on a busy machine.
    #[expect(clippy::print_stderr, reason = "the figures are worth reading")]
    #[track_caller]
    fn assert_time(&self, what: &str, share: f64, wanted: f64, within: f64) {
        const ON_A_QUIET_MACHINE: Duration = Duration::from_micros(100);
        let late = self.lateness.saturating_sub(ON_A_QUIET_MACHINE) * 2;
        let late = late.as_secs_f64() * 1000.0;
        let measured = self.quantile(share);
        let line =
            format!("{what}: {measured:.3} ms, asked for {wanted} +- {within}, {late:.3} late");
        eprintln!("{line}");
        let is_near = (wanted - within..=wanted + within + late).contains(&measured);
        assert!(is_near, "{line}");
    }
}

/// A stream over a `lan` wire that is set like this towards the internet.
fn measure(impairment: Impairment) -> StreamSeen {
    measure_every(PACE, impairment)
}

fn measure_every(pace: Duration, impairment: Impairment) -> StreamSeen {
    let network = LabNetwork::build(SEED).expect("build the network");
    let lan = network.wire("lan").expect("there is a LAN");
    // The first packet asks for the address of the next hop; that is not the wire's doing.
    stream_warms_up(&network);
    lan.set_towards(Towards::Internet, impairment)
        .expect("set the wire");
    stream(&network, pace)
}

fn stream_warms_up(network: &LabNetwork) {
    let probe = network.client().run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.send_to(b"who has", ROUTER)
    });
    probe.expect("send");
    wait_until(clock::now() + Duration::from_millis(100));
}

#[expect(clippy::print_stderr, reason = "the figures are worth reading")]
#[track_caller]
fn assert_near(what: &str, measured: f64, wanted: f64, within: f64) {
    eprintln!("{what}: {measured:.4}, asked for {wanted} +- {within}");
    let is_near = (measured - wanted).abs() <= within;
    assert!(
        is_near,
        "{what}: {measured}, asked for {wanted} +- {within}"
    );
}

#[test]
fn the_pump_adds_less_than_300_us_at_the_median_and_loses_nothing() {
    run_test_isolated(
        "the_pump_adds_less_than_300_us_at_the_median_and_loses_nothing",
        || {
            let seen = measure(Impairment::default());
            assert_near("lost", seen.share_lost(), 0.0, 0.0);
            seen.assert_time("median", 0.5, 0.0, 0.3);
        },
    );
}

#[test]
fn delay_is_as_asked_at_the_median_and_never_less() {
    run_test_isolated("delay_is_as_asked_at_the_median_and_never_less", || {
        let seen = measure(Impairment {
            delay: Duration::from_millis(20),
            ..Impairment::default()
        });
        assert_near("lost", seen.share_lost(), 0.0, 0.0);
        seen.assert_time("median", 0.5, 20.15, 0.15);
        assert!(seen.quantile(0.0) >= 20.0);
    });
}

#[test]
fn jitter_spreads_the_delay_evenly_over_its_span() {
    run_test_isolated("jitter_spreads_the_delay_evenly_over_its_span", || {
        // Not above the pace, so that keeping the order does not bend the distribution.
        let jitter = Duration::from_millis(10);
        let impairment = Impairment {
            delay: Duration::from_millis(10),
            jitter,
            ..Impairment::default()
        };
        let seen = measure_every(jitter, impairment);
        seen.assert_time("first decile", 0.1, 11.0, 1.0);
        seen.assert_time("median", 0.5, 15.0, 1.5);
        seen.assert_time("last decile", 0.9, 19.0, 1.5);
        assert_near("overtaken", seen.share_overtaken(), 0.0, 0.0);
    });
}

#[test]
fn independent_loss_and_duplication_happen_as_often_as_asked() {
    run_test_isolated(
        "independent_loss_and_duplication_happen_as_often_as_asked",
        || {
            let seen = measure(Impairment {
                loss: Loss::from_percent(30.0),
                duplicate: Loss::from_percent(10.0),
                ..Impairment::default()
            });
            // Four standard deviations at 1,600 packets.
            assert_near("lost", seen.share_lost(), 0.3, 0.046);
            assert_near("twice", seen.share_twice(), 0.1, 0.036);
        },
    );
}

#[test]
fn bursts_lose_their_share_of_time() {
    run_test_isolated("bursts_lose_their_share_of_time", || {
        let seen = measure(Impairment {
            bursts: Some(Bursts {
                mean: Duration::from_millis(10),
                share: Loss::from_percent(20.0),
                loss: Loss::from_percent(100.0),
            }),
            ..Impairment::default()
        });
        // 4 s hold 80 bursts: the share scatters by about 0.025.
        assert_near("lost", seen.share_lost(), 0.2, 0.1);
        let follows_a_loss = |pair: &[(u32, Duration)]| pair[1].0 != pair[0].0 + 1;
        let bursts = seen.arrivals.windows(2).filter(|pair| follows_a_loss(pair));
        let length = seen.share_lost() * f64::from(seen.sent) / bursts.count() as f64;
        // Independent loss of 20 % would give 1.25 packets; 10 ms are 4.
        assert_near("packets a burst", length, 4.5, 1.7);
    });
}

#[test]
fn a_bottleneck_fills_its_queue_and_drops_the_rest() {
    run_test_isolated("a_bottleneck_fills_its_queue_and_drops_the_rest", || {
        // 106 bytes on the wire, 400 times a second, are 339 kbit/s: half of it fits.
        let seen = measure(Impairment {
            rate: Some(Rate {
                bits_per_second: 169_600,
                queue: Duration::from_millis(50),
            }),
            ..Impairment::default()
        });
        assert_near("lost", seen.share_lost(), 0.5, 0.03);
        seen.assert_time("median", 0.5, 54.0, 5.0);
    });
}

#[test]
fn reordered_frames_overtake_as_often_as_asked() {
    run_test_isolated("reordered_frames_overtake_as_often_as_asked", || {
        let seen = measure(Impairment {
            delay: Duration::from_millis(4),
            reorder: Loss::from_percent(10.0),
            ..Impairment::default()
        });
        assert_near("lost", seen.share_lost(), 0.0, 0.0);
        // Each that overtakes is followed by one that it overtook, unless that overtakes as well.
        assert_near("overtaken", seen.share_overtaken(), 0.09, 0.03);
    });
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
