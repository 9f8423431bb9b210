//! Uplinks with several next hops: two routers on one segment.

use std::time::Duration;

use crate::lossy::{RTT, shown, state, switches};
use crate::support::{at, brief, line, name, probe, settings, when};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::{Command, IssuedCommand};
use uplinkd::engine::event::Event;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::{Failback, Settings};
use uplinkd::engine::state::State;
use uplinkd::engine::status::NextHopState;
use uplinkd::replay::{Replay, World, attached, attached_by_both};
use uplinkd::routing::{Attachment, Desired, Family, Numbering, RoutingMode};
use uplinkd::units::Moment;

const BOTH: [&str; 2] = ["192.0.2.1", "2001:db8:a::1"];
const CHANGED: &str = "uplink.next_hop fiber";

/// Which of fiber's routers, the preferred one first, delivers the packets of a family at a time.
type Alive = fn(usize, Family, f64) -> bool;

/// Probes go by the next hop that was ordered, and other packets by that of the routes. Without rules all go by the
/// active route, and where that leads through another uplink, by the default routes of others: to the first router.
struct TwoRouters {
    alive: Alive,
    mode: RoutingMode,
    hops: Attachment,
    routes: Desired,
    by_others: u32,
}

impl TwoRouters {
    /// The router by which the packets of fiber go.
    fn in_use(&self, family: Family) -> Option<usize> {
        let numbering = Numbering {
            mode: self.mode,
            ..Numbering::default()
        };
        let place = match self.mode {
            RoutingMode::Table => numbering.uplink_place(0),
            RoutingMode::Main => numbering.carrier_place(),
        };
        let mut routes = self.routes.routes.iter().filter(|route| place.holds(route));
        let route = routes.find(|route| Family::of(route.destination.addr()) == family);
        let Some(route) = route else {
            return (self.mode == RoutingMode::Main).then_some(0);
        };
        let hops = &self.hops.next_hops[&family];
        let place = hops.iter().position(|hop| *hop == route.paths[0]);
        match self.mode {
            RoutingMode::Table => place,
            RoutingMode::Main => place.or(Some(0)),
        }
    }
}

impl World for TwoRouters {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        if order.uplink != name("fiber") {
            return Some(RTT);
        }
        let family = order.target.address().map_or(Family::Ipv4, Family::of);
        let router = match order.hop {
            Some(hop) => usize::from(hop.0),
            None => self.in_use(family)?,
        };
        self.by_others += u32::from(order.hop.is_some());
        (self.alive)(router, family, now.since_start().as_secs_f64()).then_some(RTT)
    }

    fn routed(&mut self, desired: &Desired) {
        self.routes = desired.clone();
    }
}

fn with_two_routers(mut attachment: Attachment) -> Attachment {
    for (family, path) in &attachment.paths {
        let second = match family {
            Family::Ipv4 => "10.0.1.254",
            Family::Ipv6 => "fe80::2",
        };
        let gateway = Some(second.parse().expect("an address"));
        let second = uplinkd::routing::Path {
            gateway,
            ..path.clone()
        };
        attachment
            .next_hops
            .insert(*family, vec![path.clone(), second]);
    }
    attachment
}

fn site(settings: Settings, hops: Attachment, alive: Alive) -> Replay<TwoRouters> {
    let mode = settings.numbering.mode;
    let mut site = Replay::new(
        settings,
        TwoRouters {
            alive,
            mode,
            hops: hops.clone(),
            routes: Desired::default(),
            by_others: 0,
        },
    );
    site.input(Input::Attachment {
        uplink: name("fiber"),
        attachment: hops,
    });
    site
}

fn ipv4(alive: Alive) -> Replay<TwoRouters> {
    let hops = with_two_routers(attached(1));
    site(settings(&["fiber", "lte"]), hops, alive)
}

/// IPv4, with other settings than the usual ones.
fn ipv4_with(change: impl FnOnce(&mut Settings), alive: Alive) -> Replay<TwoRouters> {
    let mut settings = settings(&["fiber", "lte"]);
    change(&mut settings);
    site(settings, with_two_routers(attached(1)), alive)
}

fn dual(alive: Alive) -> Replay<TwoRouters> {
    let mut settings = settings(&["fiber", "lte"]);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&BOTH);
    }
    site(settings, with_two_routers(attached_by_both(1)), alive)
}

fn turns(events: &[Event]) -> Vec<f64> {
    let turns = events.iter().filter(|event| line(event) == CHANGED);
    turns
        .map(|event| event.at.since_start().as_secs_f64())
        .collect()
}

#[test]
fn the_uplink_goes_on_by_the_next_hop_that_works_within_one_verdict_and_is_not_left() {
    for mut site in [ipv4, dual].map(|of| of(|router, _, now| router == 1 || now < 20.0)) {
        let start = site.run_until(at(1.0));
        assert_eq!(switches(&start), 1, "the first choice");
        let asked = site.world().by_others;
        site.run_until(at(20.0));
        assert_eq!(site.world().by_others, asked, "nothing was in doubt");
        let events = site.run_until(at(60.0));
        assert_eq!(brief(&events), [CHANGED]);
        let after = turns(&events)[0] - 20.0;
        assert!(after <= 1.9, "{after} s");
        assert_eq!(state(&site, "fiber"), State::Up);
        let hops = shown(&site, "fiber").next_hops;
        assert!(hops.len() >= 2, "{hops:?}");
        for pair in hops.chunks(2) {
            let states = [pair[0].state, pair[1].state];
            assert_eq!(states, [NextHopState::Silent, NextHopState::InUse]);
        }
    }
}

#[test]
fn new_connections_stay_with_an_uplink_in_doubt_that_has_another_next_hop_which_answers() {
    let gone: [Alive; 2] = [
        |router, _, now| router == 1 || now < 20.0,
        |_, _, now| now < 20.0,
    ];
    for of in [ipv4, dual] {
        let [second_stays, both_die] = gone.map(|alive| {
            let mut site = of(alive);
            let uplinks = ["fiber", "lte"].map(name);
            let flows = uplinks.map(|name| Family::ROUTED.map(|family| (name.clone(), family)));
            site.input(Input::FlowsRemembered(
                flows.into_iter().flatten().collect(),
            ));
            site.run_until(at(20.0));
            brief(&site.run_until(at(60.0)))
        });
        assert_eq!(second_stays, [CHANGED]);
        assert_eq!(both_die[0], "switch.soft fiber -> lte", "{both_die:?}");
    }
}

#[test]
fn a_preferred_next_hop_is_gone_back_to_after_failback_after_and_later_each_time_it_dies_again() {
    let mut site = ipv4(|router, _, now| router == 1 || now < 20.0 || (now % 400.0) > 40.0);
    let events = site.run_until(at(1_700.0));
    assert_eq!(switches(&events), 1, "{:?}", brief(&events));
    let turns = turns(&events);
    let away: Vec<_> = turns
        .chunks_exact(2)
        .map(|turn| turn[1] - turn[0])
        .collect();
    let least = [60.0, 120.0, 240.0];
    assert!(away.len() >= least.len(), "{turns:?}");
    for (away, least) in away.iter().zip(least) {
        assert!((least..least + 60.0).contains(away), "{away} s: {turns:?}");
    }
    assert_eq!(state(&site, "fiber"), State::Up);
}

#[test]
fn what_is_forgotten_of_an_uplink_is_how_often_its_next_hops_were_left_as_well() {
    // The third outage begins at 800 s.
    let alive: Alive = |router, _, now| router == 1 || now < 20.0 || (now % 400.0) > 40.0;
    for (forgotten_at, least) in [(None, 240.0), (Some(790.0), 60.0), (Some(900.0), 60.0)] {
        let (mut site, mut events) = (ipv4(alive), Vec::new());
        if let Some(then) = forgotten_at {
            events.extend(site.run_until(at(then)));
            let uplink = name("fiber");
            site.input(Input::Command(Command::Forget { uplink }.into()));
        }
        events.extend(site.run_until(at(1_190.0)));
        let turns = turns(&events);
        let [.., left, back] = turns[..] else {
            panic!("{:?}", brief(&events));
        };
        assert!((800.0..830.0).contains(&left), "{turns:?}");
        let back = back - left;
        assert!((least..least + 60.0).contains(&back), "{back} s: {turns:?}");
    }
}

#[test]
fn an_uplink_none_of_whose_next_hops_works_is_left_as_soon_as_one_with_a_single_one() {
    let mut site = ipv4(|_, _, now| now < 20.0);
    let events = site.run_until(at(40.0));
    assert_eq!(turns(&events), [0.0; 0]);
    let left = when(&events, "switch fiber -> lte").expect("it is left");
    assert!(left <= 21.9, "{left} s");
}

#[test]
fn an_uplink_that_was_dead_comes_back_by_the_next_hop_that_works_again() {
    let mut site = ipv4(|router, _, now| now < 20.0 || (router == 1 && now >= 50.0));
    let events = site.run_until(at(100.0));
    assert_eq!(turns(&events).len(), 1, "{:?}", brief(&events));
    assert_eq!(state(&site, "fiber"), State::Up);
}

#[test]
fn where_the_preferred_next_hop_is_dead_from_the_start_the_uplink_comes_up_by_the_other() {
    let mut site = ipv4(|router, _, _| router == 1);
    let events = site.run_until(at(20.0));
    assert_eq!(turns(&events).len(), 1, "{:?}", brief(&events));
    assert_eq!(state(&site, "fiber"), State::Up);
}

#[test]
fn a_family_that_dies_with_its_router_goes_on_by_another_and_is_not_led_elsewhere() {
    let mut site = dual(|router, family, now| router == 1 || family == Family::Ipv4 || now < 20.0);
    site.run_until(at(20.0));
    let events = site.run_until(at(60.0));
    assert_eq!(brief(&events), [CHANGED]);
    let after = turns(&events)[0] - 20.0;
    assert!(after <= 4.0, "{after} s");
    assert_eq!(site.world().in_use(Family::Ipv4), Some(0));
    assert_eq!(site.world().in_use(Family::Ipv6), Some(1));
    assert_eq!(shown(&site, "fiber").broken, []);
}

#[test]
fn a_restart_goes_on_by_the_next_hop_of_the_routes_and_a_better_one_is_trusted_first() {
    let mut hops = with_two_routers(attached(1));
    let second = hops.next_hops[&Family::Ipv4][1].clone();
    hops.paths.insert(Family::Ipv4, second);
    let mut site = site(settings(&["fiber", "lte"]), hops, |_, _, _| true);
    site.run_until(at(59.0));
    assert_eq!(site.world().in_use(Family::Ipv4), Some(1));
    let events = site.run_until(at(70.0));
    assert_eq!(brief(&events), [CHANGED]);
    assert_eq!(site.world().in_use(Family::Ipv4), Some(0));
}

#[test]
fn a_preferred_next_hop_that_answers_again_for_failback_after_is_gone_back_to_within_one_interval()
{
    for after in [0.0, 5.0, 90.0] {
        let change = |settings: &mut Settings| {
            settings.failover.failback_after = Duration::from_secs_f64(after);
        };
        let alive = |router, _, now| router == 1 || !(20.0..40.0).contains(&now);
        let events = ipv4_with(change, alive).run_until(at(150.0));
        let [_, back] = turns(&events)[..] else {
            panic!("{:?}", brief(&events));
        };
        // It is asked every 5 s.
        let most = 40.0 + after + 6.1;
        assert!((40.0 + after..=most).contains(&back), "{after} s: {back}");
    }
}

#[test]
fn without_a_failback_of_its_own_the_agent_goes_back_to_a_next_hop_when_an_operator_says_so() {
    let change = |settings: &mut Settings| settings.failover.failback = Failback::Manual;
    let alive = |router, _, now| router == 1 || !(20.0..40.0).contains(&now);
    let mut site = ipv4_with(change, alive);
    let events = site.run_until(at(900.0));
    assert_eq!(turns(&events).len(), 1, "{:?}", brief(&events));
    site.input(Input::Command(IssuedCommand::from(Command::Auto)));
    let events = site.run_until(at(902.0));
    assert_eq!(brief(&events), [CHANGED]);
    assert_eq!(site.world().in_use(Family::Ipv4), Some(0));
}

#[test]
fn a_better_next_hop_that_appears_later_is_used_as_soon_as_it_answers_and_one_that_does_not_never()
{
    for (alive, is_used) in [
        ((|_, _, _| true) as Alive, true),
        (|router, _, _| router == 1, false),
    ] {
        let mut hops = with_two_routers(attached(1));
        // What was there alone is the second one now.
        if let Some(hops) = hops.next_hops.get_mut(&Family::Ipv4) {
            hops.reverse();
        }
        let mut site = site(settings(&["fiber", "lte"]), hops, alive);
        site.run_until(at(3.0));
        let in_use = site.world().in_use(Family::Ipv4);
        assert_eq!(in_use, Some(usize::from(!is_used)));
    }
}

/// In the mode "main", with fiber alone or beside lte.
fn in_main(uplinks: &[&str], alive: Alive) -> Replay<TwoRouters> {
    let mut settings = settings(uplinks);
    settings.numbering.mode = RoutingMode::Main;
    site(settings, with_two_routers(attached(1)), alive)
}

#[test]
fn in_main_mode_the_last_uplink_goes_on_by_the_next_hop_that_works() {
    let mut site = in_main(&["fiber"], |router, _, now| {
        if router == 0 { now < 20.0 } else { now < 60.0 }
    });
    site.run_until(at(20.0));
    let events = site.run_until(at(50.0));
    assert_eq!(turns(&events).len(), 1, "{:?}", brief(&events));
    let after = turns(&events)[0] - 20.0;
    assert!(after <= 4.0, "{after} s");
    assert_eq!(site.world().in_use(Family::Ipv4), Some(1));
    assert_eq!(site.world().by_others, 0, "no rule leads there");
    assert_eq!(state(&site, "fiber"), State::Up);
    // Nothing works: each is tried in turn, and nothing is reported.
    assert_eq!(turns(&site.run_until(at(90.0))), [0.0; 0]);
}

#[test]
fn in_main_mode_an_uplink_is_left_for_another_one_before_its_next_hops_are_tried() {
    let mut site = in_main(&["fiber", "lte"], |router, _, now| {
        router == 1 || !(20.0..40.0).contains(&now)
    });
    let events = site.run_until(at(200.0));
    let left = when(&events, "switch fiber -> lte");
    assert!(
        left.is_some_and(|left| left <= 21.9),
        "{:?}",
        brief(&events)
    );
    assert_eq!(turns(&events), [0.0; 0]);
    assert_eq!(
        site.world().in_use(Family::Ipv4),
        Some(0),
        "it is used again"
    );
}
