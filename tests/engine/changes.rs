//! Changes of addresses and next hops while an uplink is watched: only evidence that depended on what
//! changed is void.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::cases::cases;
use crate::lossy::{RTT, shown, state, switches};
use crate::support::{at, brief, line, name, probe, settings};
use ipnet::IpNet;
use proptest::prelude::*;
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World, attached, attached_by_both};
use uplinkd::routing::{Attachment, Family, Trouble};
use uplinkd::units::Moment;

const DUAL: [&str; 4] = [
    "192.0.2.1",
    "198.51.100.1",
    "2001:db8:a::1",
    "2001:db8:b::1",
];
/// Of fiber, where it is attached by both families.
const ITS_ADDRESS: &str = "2001:db8:1::2";
/// The link of fiber dies then.
const DIES: f64 = 20.0;

/// Fiber is attached otherwise at given times, and answers until it dies.
struct Changing {
    changes: VecDeque<(Moment, Attachment)>,
    is_dead: IsDead,
}

impl World for Changing {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let is_dead = (self.is_dead)(order, now.since_start().as_secs_f64());
        (!is_dead).then_some(RTT)
    }

    fn next_input(&mut self, now: Moment) -> Option<Input> {
        self.changes.front().filter(|(at, _)| *at <= now)?;
        let (_, attachment) = self.changes.pop_front()?;
        let uplink = name("fiber");
        Some(Input::Attachment { uplink, attachment })
    }

    fn next_input_at(&self) -> Option<Moment> {
        self.changes.front().map(|(at, _)| *at)
    }
}

fn dies(order: &ProbeOrder, now: f64) -> bool {
    order.uplink == name("fiber") && now >= DIES
}

fn lives(_: &ProbeOrder, _: f64) -> bool {
    false
}

fn dual() -> Settings {
    let mut settings = settings(&["fiber", "lte"]);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&DUAL);
    }
    settings
}

/// Two attachments in turn, each for the next of these times in seconds.
fn alternate(of: [&Attachment; 2], spans: &[f64], end: f64) -> VecDeque<(Moment, Attachment)> {
    let mut now = 1.0;
    let mut changes = VecDeque::new();
    for (turn, span) in spans.iter().cycle().enumerate() {
        if now > end {
            break;
        }
        changes.push_back((at(now), of[turn % 2].clone()));
        now += span;
    }
    changes
}

fn events(
    settings: Settings,
    changes: VecDeque<(Moment, Attachment)>,
    is_dead: IsDead,
    end: f64,
) -> (Vec<Event>, State) {
    let mut replay = Replay::new(settings, Changing { changes, is_dead });
    let events = replay.run_until(at(end));
    let state = state(&replay, "fiber");
    (events, state)
}

/// How long after its death fiber is left.
fn left_after(settings: Settings, changes: VecDeque<(Moment, Attachment)>) -> f64 {
    left_if(settings, changes, dies)
}

/// The same counted from then where it `is_dead` otherwise, or not at all.
fn left_if(settings: Settings, changes: VecDeque<(Moment, Attachment)>, is_dead: IsDead) -> f64 {
    let (events, _) = events(settings, changes, is_dead, DIES + 30.0);
    let left = events.iter().find(|event| {
        let line = line(event);
        event.at >= at(DIES) && line.starts_with("switch ") && line.ends_with("fiber -> lte")
    });
    let left = left.unwrap_or_else(|| panic!("never left: {:?}", brief(&events)));
    left.at.since(at(DIES)).as_secs_f64()
}

fn with_address(of: &Attachment, address: &str, prefix: u8) -> Attachment {
    let mut attachment = of.clone();
    let address: IpAddr = address.parse().expect("an address");
    attachment.addresses.insert(address);
    attachment
        .sources
        .insert(IpNet::new_assert(address, prefix));
    attachment
}

fn with_next_hop(of: &Attachment, family: Family, gateway: &str) -> Attachment {
    let mut attachment = of.clone();
    let path = attachment.paths.get_mut(&family).expect("a path");
    path.gateway = Some(gateway.parse().expect("an address"));
    attachment
}

fn without_ipv6_path(of: &Attachment) -> Attachment {
    let mut attachment = of.clone();
    attachment.paths.remove(&Family::Ipv6);
    attachment
}

fn flushed(of: &Attachment) -> Attachment {
    Attachment {
        trouble: Some(Trouble::NoAddress),
        index: of.index,
        ..Attachment::default()
    }
}

/// By IPv6 alone.
fn by_ipv6(of: &Attachment) -> Attachment {
    let mut attachment = of.clone();
    attachment.paths.remove(&Family::Ipv4);
    attachment.addresses.retain(IpAddr::is_ipv6);
    attachment.sources.retain(|net| net.addr().is_ipv6());
    attachment
}

/// Without its IPv6 addresses; these are tentative.
fn detecting(of: &Attachment, tentative: &[&str]) -> Attachment {
    let mut attachment = without_ipv6_path(of);
    attachment.addresses.retain(IpAddr::is_ipv4);
    attachment.sources.retain(|net| net.addr().is_ipv4());
    let tentative = tentative.iter().map(|address| address.parse());
    attachment.tentative = tentative
        .map(|parsed| parsed.expect("an address"))
        .collect();
    if attachment.paths.is_empty() {
        attachment.trouble = Some(Trouble::NoAddress);
    }
    attachment
}

/// The IPv6 address of fiber is flushed, added again after 20 ms, and usable after so long.
fn flushed_and_detected(whole: &Attachment, from: f64, lasts: f64) -> [(Moment, Attachment); 3] {
    [
        (at(from), detecting(whole, &[])),
        (at(from + 0.02), detecting(whole, &[ITS_ADDRESS])),
        (at(from + lasts), whole.clone()),
    ]
}

/// Between two changes, as in a DHCP client or a router that advertises in haste.
fn spans() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.4..1.0_f64, 8..24)
}

/// At any rate at all.
fn any_spans() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![0.001..0.05_f64, 0.02..0.4, 0.3..2.0], 2..24)
}

/// A dead link is left within `outage_within`, whatever changes at these times.
#[track_caller]
fn assert_left_within_the_limit(spans: &[f64]) {
    let whole = attached(1);
    let others = [
        with_next_hop(&whole, Family::Ipv4, "10.0.1.254"),
        with_address(&attached(9), "10.0.9.3", 24),
        with_address(&whole, "10.0.1.77", 24),
        flushed(&whole),
    ];
    for other in &others {
        let changes = alternate([&whole, other], spans, DIES + 30.0);
        let (events, _) = events(settings(&["fiber", "lte"]), changes, dies, DIES + 30.0);
        // Without an address it may have been left before.
        let until = events.iter().filter(|event| event.at <= at(DIES + 10.0));
        let mut moves = until.map(line).filter(|line| line.starts_with("switch"));
        let carries = moves.next_back().unwrap_or_default();
        assert!(
            carries.ends_with("-> lte"),
            "{spans:?}: {:?}",
            brief(&events)
        );
    }
}

#[test]
fn an_address_that_goes_before_any_probe_could_be_answered_postpones_no_verdict_beyond_the_limit() {
    assert_left_within_the_limit(&[0.023, 0.029]);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..cases(12) })]

    #[test]
    fn a_dead_link_is_left_as_soon_as_ever_whatever_second_address_comes_and_goes(
        spans in spans(),
    ) {
        let whole = attached(1);
        let more = with_address(&whole, "10.0.1.77", 24);
        let elsewhere = with_address(&whole, "172.16.0.1", 16);
        for more in [&more, &elsewhere] {
            let changes = alternate([&whole, more], &spans, DIES + 30.0);
            let after = left_after(settings(&["fiber", "lte"]), changes);
            prop_assert!(after <= 1.9, "{after} s");
        }
    }

    #[test]
    fn a_dead_link_is_left_as_soon_as_ever_while_routers_of_the_segment_come_and_go(
        spans in spans(),
    ) {
        let whole = attached_by_both(1);
        let rogue = with_next_hop(&whole, Family::Ipv6, "fe80::bad");
        let withdrawn = without_ipv6_path(&whole);
        for other in [&rogue, &withdrawn] {
            let changes = alternate([&whole, other], &spans, DIES + 30.0);
            let after = left_after(dual(), changes);
            prop_assert!(after <= 1.9, "{after} s");
        }
    }

    #[test]
    fn no_sequence_of_changes_postpones_a_verdict_beyond_the_limit(
        spans in any_spans(),
    ) {
        assert_left_within_the_limit(&spans);
    }

    #[test]
    fn no_sequence_of_tentative_addresses_postpones_a_verdict_beyond_the_limit(
        spans in any_spans(),
    ) {
        let whole = attached_by_both(1);
        for whole in [by_ipv6(&whole), whole] {
            let detecting = detecting(&whole, &[ITS_ADDRESS]);
            let changes = alternate([&whole, &detecting], &spans, DIES + 30.0);
            let (events, _) = events(dual(), changes, dies, DIES + 30.0);
            let until = events.iter().filter(|event| event.at <= at(DIES + 10.0));
            let mut moves = until.map(line).filter(|line| line.starts_with("switch"));
            let carries = moves.next_back().unwrap_or_default();
            prop_assert!(carries.ends_with("-> lte"), "{:?}", brief(&events));
        }
    }

    #[test]
    fn changes_of_addresses_alone_are_no_outage(spans in any_spans()) {
        let whole = attached_by_both(1);
        let more = with_address(&whole, "10.0.1.77", 24);
        let changes = alternate([&whole, &more], &spans, 60.0);
        let (events, state) = events(dual(), changes, lives, 60.0);
        prop_assert_eq!(switches(&events), 1, "{:?}", brief(&events));
        prop_assert_eq!(state, State::Up);
    }
}

#[test]
fn a_default_that_alternates_between_two_dead_gateways_is_left_as_soon_as_ever() {
    for millis in [400, 700, 1_000] {
        let whole = attached(1);
        let other = with_next_hop(&whole, Family::Ipv4, "10.0.1.254");
        let spans = [f64::from(millis) / 1e3];
        let after = left_after(
            settings(&["fiber", "lte"]),
            alternate([&whole, &other], &spans, DIES + 30.0),
        );
        assert!(after <= 1.9, "{millis} ms: {after} s");
    }
}

#[test]
fn ipv4_that_dies_alone_is_left_while_the_ipv6_router_comes_and_goes() {
    let whole = attached_by_both(1);
    let withdrawn = without_ipv6_path(&whole);
    let changes = alternate([&whole, &withdrawn], &[0.7], DIES + 30.0);
    let is_dead = |order: &ProbeOrder, now: f64| {
        let is_ipv4 = order
            .target
            .address()
            .is_some_and(|target| target.is_ipv4());
        dies(order, now) && is_ipv4
    };
    let (events, _) = events(dual(), changes, is_dead, DIES + 30.0);
    let left = events.iter().find(|event| {
        event.at >= at(DIES) && event.change.kind().to_string().starts_with("switch")
    });
    let left = left.unwrap_or_else(|| panic!("never left: {:?}", brief(&events)));
    let after = left.at.since(at(DIES)).as_secs_f64();
    assert!(after <= 1.9, "{after} s");
}

#[test]
fn an_address_that_is_away_for_milliseconds_moves_nothing_and_costs_nothing() {
    let whole = attached(1);
    let mut changes = VecDeque::new();
    for times in 0..8_u32 {
        let gone = 10.0 + f64::from(times) * 20.0;
        changes.push_back((at(gone), flushed(&whole)));
        changes.push_back((at(gone + 0.02), whole.clone()));
    }
    let (events, state) = events(settings(&["fiber", "lte"]), changes, lives, 200.0);
    let lines = brief(&events);
    let first_second = events.iter().filter(|event| event.at <= at(1.0)).count();
    assert_eq!(lines.len(), first_second, "{lines:?}");
    assert_eq!(state, State::Up);
}

#[test]
fn a_next_hop_that_goes_and_comes_back_equal_moves_neither_family() {
    let whole = attached_by_both(1);
    let no_hop = Attachment {
        trouble: Some(Trouble::NoNextHop),
        paths: [].into(),
        ..whole.clone()
    };
    let mut changes = VecDeque::new();
    for (gone, other) in [(10.0, without_ipv6_path(&whole)), (30.0, no_hop)] {
        changes.push_back((at(gone), other));
        changes.push_back((at(gone + 0.1), whole.clone()));
    }
    let (events, state) = events(dual(), changes, lives, 100.0);
    let lines = brief(&events);
    let first_second = events.iter().filter(|event| event.at <= at(1.0)).count();
    assert_eq!(lines.len(), first_second, "{lines:?}");
    assert_eq!(state, State::Up);
}

#[test]
fn an_ipv6_address_that_is_added_again_moves_nothing_while_it_is_tentative() {
    for whole in [attached_by_both(1), by_ipv6(&attached_by_both(1))] {
        let mut changes = VecDeque::from([(at(1.0), whole.clone())]);
        for times in 1..8_u32 {
            changes.extend(flushed_and_detected(&whole, f64::from(times) * 20.0, 2.0));
        }
        let (events, state) = events(dual(), changes, lives, 200.0);
        let later: Vec<_> = events.iter().filter(|event| event.at > at(10.0)).collect();
        assert!(later.is_empty(), "{later:?}");
        assert_eq!(state, State::Up);
    }
}

#[test]
fn an_uplink_that_dies_while_its_ipv6_address_is_tentative_is_left_as_soon_as_ever() {
    for before in [0.1, 0.5, 1.0, 1.5] {
        let whole = attached_by_both(1);
        let changes = flushed_and_detected(&whole, DIES - before, 2.0);
        let after = left_after(dual(), changes.into());
        assert!(after <= 1.9, "{before} s before: {after} s");
    }
}

#[test]
fn an_ipv6_address_that_is_taken_or_another_one_is_left_at_once() {
    let whole = by_ipv6(&attached_by_both(1));
    let first = (at(1.0), whole.clone());
    let [gone, back, _] = flushed_and_detected(&whole, DIES, 2.0);
    let fails = (at(DIES + 0.15), detecting(&whole, &[]));
    let taken = [first.clone(), gone.clone(), back.clone(), fails];
    assert!(left_if(dual(), taken.into(), lives) <= 0.16);
    let another = (at(DIES + 0.02), detecting(&whole, &["2001:db8:1::77"]));
    let renumbered = [first.clone(), gone.clone(), another];
    assert!(left_if(dual(), renumbered.into(), lives) <= 0.03);
    let never = [first, gone, back];
    let after = left_if(dual(), never.into(), lives);
    assert!((2.4..2.6).contains(&after), "{after} s");
}

#[test]
fn ipv6_alone_leaves_an_uplink_whose_ipv6_address_is_taken_and_ipv4_an_uplink_without_its_own() {
    let whole = attached_by_both(1);
    let [gone, back, _] = flushed_and_detected(&whole, DIES, 2.0);
    let fails = (at(DIES + 0.9), detecting(&whole, &[]));
    let changes = [gone, back, fails].into();
    let mut replay = Replay::new(
        dual(),
        Changing {
            changes,
            is_dead: lives,
        },
    );
    for (until, families) in [(0.89, 2), (0.95, 1)] {
        replay.run_until(at(DIES + until));
        assert_eq!(shown(&replay, "fiber").carries.len(), families, "{until} s");
    }
    // The grace of one family is not that of the other.
    let both = Attachment {
        tentative: [ITS_ADDRESS.parse().expect("an address")].into(),
        ..flushed(&whole)
    };
    let after = left_if(dual(), [(at(DIES), both)].into(), lives);
    assert!(after <= 0.5, "{after} s");
}

#[test]
fn an_address_that_stays_away_is_left_within_half_a_second() {
    let whole = attached(1);
    let changes = [(at(DIES), flushed(&whole))].into();
    assert!(left_after(settings(&["fiber", "lte"]), changes) <= 0.5);
}

#[test]
fn a_link_that_loses_its_carrier_is_left_at_once() {
    let no_carrier = Attachment {
        trouble: Some(Trouble::NoCarrier),
        ..attached(1)
    };
    let changes = [(at(DIES), no_carrier)].into();
    assert!(left_after(settings(&["fiber", "lte"]), changes) <= 0.01);
}

#[test]
fn a_short_silence_in_which_the_next_hop_changes_is_over_with_the_first_answer() {
    let whole = attached(1);
    let other = with_next_hop(&whole, Family::Ipv4, "10.0.1.254");
    for (lasts, is_dead) in SILENCES {
        for changes_after in [0.1, 0.3, 0.5, 0.7, 0.9] {
            let change = (at(DIES + lasts * changes_after), other.clone());
            let settings = settings(&["fiber", "lte"]);
            let (events, _) = events(settings, [change].into(), is_dead, DIES + 30.0);
            let lines = brief(&events);
            let degraded = lines.iter().find(|line| line.contains("degraded"));
            assert_eq!(degraded, None, "{lasts} s, {changes_after}: {lines:?}");
        }
    }
}

/// Whether the link is dead for a probe at a time.
type IsDead = fn(&ProbeOrder, f64) -> bool;

/// Fiber is silent for so many seconds.
const SILENCES: [(f64, IsDead); 4] = [
    (0.8, |order, now| dies(order, now) && now < DIES + 0.8),
    (1.0, |order, now| dies(order, now) && now < DIES + 1.0),
    (1.3, |order, now| dies(order, now) && now < DIES + 1.3),
    (1.6, |order, now| dies(order, now) && now < DIES + 1.6),
];
