//! Soft failover: where new connections go while the uplink that carries is in doubt, in virtual time.

use std::time::{Duration, UNIX_EPOCH};

use uplinkd::engine::action::{Departure, DepartureCause, ProbeOrder};
use uplinkd::engine::command::Command;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::{Policy, Settings, SoftFailover, Standby};
use uplinkd::engine::status::Status;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::Family;
use uplinkd::units::{Bytes, Counters, Moment, UplinkName, Wall};

use crate::lossy::lossy;
use crate::support::{at, brief, name, probe, settings, when};

/// A round trip of both links, in seconds.
const RTT: f64 = 0.01;
/// Packets a second each way, of the flows that fiber carries, and of a call.
const PACE: f64 = 200.0;
const PACE_OF_CALL: f64 = 50.0;

/// A client streams through fiber, whose provider answers nothing in some spans of time.
#[derive(Default)]
struct Streamed {
    /// When the stream began; none: nothing flows.
    began: Option<f64>,
    /// When fiber answers nothing.
    outages: Vec<(f64, f64)>,
    /// The same of lte.
    lte: Vec<(f64, f64)>,
    /// It is a call.
    is_call: bool,
    /// Only probes by IPv6 are lost.
    only_ipv6: bool,
    left: Vec<Departure>,
}

fn is_in(spans: &[(f64, f64)], when: f64) -> bool {
    spans.iter().any(|(from, to)| (*from..*to).contains(&when))
}

impl World for Streamed {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let half_way = now.since_start().as_secs_f64() + RTT / 2.0;
        let outages = match order.uplink.as_str() {
            "fiber" => &self.outages,
            _ => &self.lte,
        };
        let is_meant = !self.only_ipv6 || order.target.to_string().contains(':');
        let is_lost = is_meant && is_in(outages, half_way);
        (!is_lost).then(|| Duration::from_secs_f64(RTT))
    }

    fn left(&mut self, departure: Departure, _: Moment) {
        self.left.push(departure);
    }

    fn counters(&mut self, uplink: &UplinkName, now: Moment) -> Option<Counters> {
        let began = self.began.filter(|_| *uplink == name("fiber"))?;
        let now = now.since_start().as_secs_f64();
        let pace = if self.is_call { PACE_OF_CALL } else { PACE };
        let count = |until: f64| ((until - began).max(0.0) * pace).floor();
        let lost = self.outages.iter().map(|(from, to)| {
            let until = to.min(now - RTT / 2.0);
            (count(until) - count(*from)).max(0.0)
        });
        let received = count(now - RTT) - lost.sum::<f64>();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "thousands of packets"
        )]
        let [tx_packets, rx_packets] = [count(now), received].map(|count| count as u64);
        Some(Counters {
            rx_packets,
            tx_packets,
            rx_bytes: rx_packets * 50,
            tx_bytes: tx_packets * 50,
        })
    }
}

/// With flows that the kernel remembers on these uplinks.
fn site(settings: Settings, world: Streamed, remembering: &[&str]) -> Replay<Streamed> {
    let mut replay = Replay::new(settings, world);
    replay.input(remembered(remembering));
    replay
}

fn remembered(uplinks: &[&str]) -> Input {
    let families = |uplink: &&str| Family::ROUTED.map(|family| (name(uplink), family));
    Input::FlowsRemembered(uplinks.iter().flat_map(families).collect())
}

fn two() -> Settings {
    settings(&["fiber", "lte"])
}

fn status(replay: &Replay<impl World>) -> Status {
    let now = replay.now();
    let wall = Wall::reading(UNIX_EPOCH + now.since_start(), now);
    replay.engine().status(wall)
}

fn dead_from(from: f64) -> Streamed {
    Streamed {
        began: Some(2.0),
        outages: vec![(from, f64::INFINITY)],
        ..Streamed::default()
    }
}

const GOES: &str = "switch.soft fiber -> lte";
const COMES_BACK: &str = "switch.soft lte -> fiber";

fn soft(events: &[Event]) -> Vec<String> {
    let lines = brief(events).into_iter();
    lines
        .filter(|line| line.starts_with("switch"))
        .skip(1)
        .collect()
}

/// How long new connections stay with a blackhole, at the median and at worst; the verdict completes it.
fn stay(is_call: bool) -> [f64; 2] {
    let mut delays = Vec::new();
    for place in 0..40 {
        let from = 5.0 + f64::from(place) * 0.0251;
        let world = Streamed {
            is_call,
            ..dead_from(from)
        };
        let mut replay = site(two(), world, &["fiber", "lte"]);
        let events = replay.run_until(at(from + 5.0));
        delays.push(when(&events, GOES).expect("they leave") - from);
        assert_eq!(soft(&events), [GOES, "switch fiber -> lte"]);
    }
    delays.sort_by(f64::total_cmp);
    [delays[delays.len() / 2], delays[delays.len() - 1]]
}

#[test]
fn new_connections_leave_a_blackhole_under_a_stream_within_a_fifth_of_a_second() {
    let [median, worst] = stay(false);
    assert!(median <= 0.2 && worst <= 0.35, "{median}, {worst}");
}

#[test]
fn during_a_call_of_fifty_packets_a_second_they_leave_it_hardly_later() {
    let [median, worst] = stay(true);
    assert!(median <= 0.25 && worst <= 0.4, "{median}, {worst}");
}

#[test]
fn two_hundred_false_doubts_touch_no_established_flow_no_carrier_and_no_timer() {
    let outages: Vec<_> = (1..=200)
        .map(|place| f64::from(place) * 20.0)
        .map(|from| (from, from + 0.25))
        .collect();
    let world = Streamed {
        began: Some(2.0),
        outages,
        ..Streamed::default()
    };
    let mut replay = site(two(), world, &["fiber", "lte"]);
    let mut events = replay.run_until(at(10.0));
    let before = status(&replay);
    for place in 1..=200 {
        events.extend(replay.run_until(at(f64::from(place) * 20.0 + 10.0)));
        // What silences are usual would be learnt, and no doubt would be founded.
        let uplink = name("fiber");
        events.extend(replay.input(Input::Command(Command::Forget { uplink }.into())));
    }
    let after = status(&replay);
    let told = soft(&events);
    assert_eq!(told.len(), 2 * 200);
    let pairs = told.chunks(2);
    pairs.for_each(|pair| assert_eq!(pair, [GOES, COMES_BACK]));
    assert_eq!(after.active, [name("fiber")]);
    assert_eq!(
        (after.since, after.last_switch),
        (before.since, before.last_switch)
    );
    assert_eq!(after.uplinks[0].penalty.to_bits(), 0.0_f64.to_bits());
    assert_eq!(after.uplinks[0].since, before.uplinks[0].since);
    assert_eq!(after.new_connections, []);
    let left = replay.world().left.as_slice().iter().map(|left| left.cause);
    let only_new = |cause| matches!(cause, DepartureCause::Doubt(_));
    assert!(
        left.clone().all(only_new),
        "established flows were left: {:?}",
        left.collect::<Vec<_>>()
    );
}

#[test]
fn at_five_percent_of_loss_new_connections_move_less_than_once_an_hour() {
    const HOURS: u32 = 24;
    for seed in 1..=2 {
        let mut replay = lossy(two(), seed, |_, _| 0.05);
        replay.input(remembered(&["fiber", "lte"]));
        let events = replay.run_until(at(f64::from(HOURS) * 3_600.0));
        let moves = brief(&events).into_iter().filter(|line| line == GOES);
        let moves = moves.count();
        assert!(moves <= HOURS as usize, "seed {seed}: {moves}");
    }
}

#[test]
fn while_it_is_soft_the_status_says_where_new_connections_go_and_who_carries() {
    let mut replay = site(two(), dead_from(5.0), &["fiber", "lte"]);
    let events = replay.run_until(at(5.3));
    assert_eq!(soft(&events), [GOES]);
    let status = status(&replay);
    assert_eq!(status.active, [name("fiber")]);
    let [new] = status.new_connections.as_slice() else {
        panic!("{:?}", status.new_connections);
    };
    assert_eq!(
        (&*new.from, &*new.to),
        (&[name("fiber")][..], &[name("lte")][..])
    );
}

#[test]
fn what_began_on_the_uplink_in_doubt_without_an_answer_is_ended_and_nothing_else() {
    let mut replay = site(two(), dead_from(5.0), &["fiber", "lte"]);
    replay.run_until(at(5.3));
    let left = std::mem::take(&mut replay.world().left);
    let [Departure { uplinks, cause, .. }] = left.as_slice() else {
        panic!("{left:?}");
    };
    let DepartureCause::Doubt(since) = *cause else {
        panic!("{cause:?}");
    };
    assert!((at(3.9)..at(5.1)).contains(&since), "{since:?}");
    assert_eq!(
        uplinks
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["fiber"]
    );
}

/// Whether new connections move before the verdict.
fn moves(
    settings: Settings,
    remembering: &[&str],
    before: impl FnOnce(&mut Replay<Streamed>),
) -> bool {
    let mut replay = site(settings, dead_from(8.0), remembering);
    replay.run_until(at(6.0));
    before(&mut replay);
    let events = replay.run_until(at(12.0));
    brief(&events).iter().any(|line| line == GOES)
}

#[test]
fn new_connections_stay_where_the_configuration_the_kernel_or_an_operator_says_so() {
    let both = ["fiber", "lte"];
    let metered = |soft| {
        let mut settings = two();
        settings.failover.soft = soft;
        settings.uplinks[1].probe_budget = Some(Bytes(50_000_000));
        settings
    };
    let nothing = |_: &mut Replay<Streamed>| {};
    assert!(moves(two(), &both, nothing));
    assert!(moves(metered(SoftFailover::Always), &both, nothing));
    assert!(
        !moves(metered(SoftFailover::Auto), &both, nothing),
        "to a metered standby"
    );
    let mut off = two();
    off.failover.soft = SoftFailover::Off;
    assert!(!moves(off, &both, nothing), "off");
    assert!(
        !moves(two(), &["lte"], nothing),
        "established ones would not stay"
    );
    assert!(
        !moves(two(), &["fiber"], nothing),
        "they would not stay when it is over"
    );
    assert!(
        !moves(two(), &both, |replay| {
            let mut command = Command::switch(name("fiber"));
            if let Command::Switch { pin, .. } = &mut command {
                *pin = true;
            }
            replay.input(Input::Command(command.into()));
        }),
        "under a pin"
    );
    let observing = |replay: &mut Replay<Streamed>| {
        replay.input(Input::FlowsRemembered([].into()));
    };
    assert!(!moves(two(), &both, observing), "the memory is gone");
}

#[test]
fn a_standby_in_doubt_takes_no_new_connections_and_a_third_uplink_does() {
    let world = || Streamed {
        lte: vec![(4.9, f64::INFINITY)],
        ..dead_from(5.0)
    };
    let mut replay = site(two(), world(), &["fiber", "lte"]);
    replay.run_until(at(5.0));
    let events = replay.run_until(at(9.0));
    let at_the_end = status(&replay).new_connections;
    assert_eq!(at_the_end, [], "{:?}", brief(&events));
    let mut three = settings(&["fiber", "backup", "lte"]);
    three.uplinks[1].probe_budget = Some(Bytes(50_000_000));
    let mut replay = site(three, dead_from(5.0), &["fiber", "backup", "lte"]);
    assert_eq!(
        soft(&replay.run_until(at(5.35)))[..1],
        [GOES],
        "past the metered one"
    );
}

#[test]
fn where_uplinks_share_the_traffic_the_others_take_the_new_connections_of_the_one_in_doubt() {
    let mut shared = two();
    shared.failover.policy = Policy::Balance;
    for uplink in &mut shared.uplinks {
        uplink.tier = uplinkd::units::Tier(1);
    }
    let mut replay = site(shared, dead_from(8.0), &["fiber", "lte"]);
    let events = replay.run_until(at(12.0));
    let told = brief(&events);
    assert!(
        told.iter()
            .any(|line| line == "switch.soft fiber,lte -> lte"),
        "{told:?}"
    );
}

#[test]
fn the_new_connections_of_one_family_move_alone() {
    let mut settings = two();
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]);
    }
    let world = Streamed {
        only_ipv6: true,
        began: None,
        ..dead_from(20.0)
    };
    let mut replay = site(settings, world, &["fiber", "lte"]);
    let events = replay.run_until(at(40.0));
    let told = soft(&events);
    assert_eq!(
        told,
        [
            "switch.soft IPv6: fiber -> lte",
            "switch IPv6: fiber -> lte"
        ]
    );
}

fn by_gateway(gateway: &str) -> Input {
    let mut attachment = attached(1);
    let path = attachment.paths.get_mut(&Family::Ipv4);
    path.expect("a path").gateway = Some(gateway.parse().expect("an address"));
    let uplink = name("fiber");
    Input::Attachment { uplink, attachment }
}

#[test]
fn a_change_of_a_dead_link_takes_no_new_connection_back_to_it() {
    for millis in [150, 400, 700] {
        for still in [0.2, 0.3, 0.5] {
            let world = Streamed {
                began: None,
                ..dead_from(5.0)
            };
            let mut replay = site(two(), world, &["fiber", "lte"]);
            let mut events = replay.run_until(at(5.0));
            while !events
                .iter()
                .any(|event| event.change.kind().to_string() == "switch.soft")
            {
                events.extend(replay.run_until(replay.now() + Duration::from_millis(50)));
            }
            let mut until = replay.now() + Duration::from_secs_f64(still);
            for gateway in ["10.0.1.254", "10.0.1.1"].iter().cycle().take(40) {
                events.extend(replay.input(by_gateway(gateway)));
                events.extend(replay.run_until(until));
                until = until + Duration::from_millis(millis);
            }
            assert_eq!(
                soft(&events),
                [GOES, "switch fiber -> lte"],
                "{millis} ms, {still} s"
            );
        }
    }
}

#[test]
fn an_answer_by_another_next_hop_takes_new_connections_back() {
    let mut world = dead_from(5.0);
    world.outages = vec![(5.0, 5.5)];
    let mut replay = site(two(), world, &["fiber", "lte"]);
    let mut events = replay.run_until(at(5.35));
    assert_eq!(soft(&events), [GOES]);
    events.extend(replay.input(by_gateway("10.0.1.254")));
    events.extend(replay.run_until(at(5.58)));
    assert_eq!(soft(&events), [GOES, COMES_BACK]);
    let back = when(&events, COMES_BACK).expect("they come back");
    assert!(back >= 5.5, "{back} s");
}

#[test]
fn a_reload_or_a_cold_standby_leaves_no_soft_move_behind() {
    let mut replay = site(two(), dead_from(5.0), &["fiber", "lte"]);
    replay.run_until(at(5.3));
    assert_ne!(status(&replay).new_connections, []);
    let mut off = two();
    off.failover.soft = SoftFailover::Off;
    let events = replay.input(Input::Settings(Box::new(off)));
    assert_eq!(status(&replay).new_connections, []);
    assert!(
        brief(&events).contains(&COMES_BACK.to_owned()),
        "{events:?}"
    );
    let mut cold = two();
    cold.uplinks[1].standby = Standby::Cold(uplinkd::engine::settings::ColdSettings {
        linger: Duration::from_secs(3_600),
        ready_within: Duration::from_secs(60),
        exercise_every: None,
    });
    assert!(!moves(cold, &["fiber", "lte"], |_| {}));
}
