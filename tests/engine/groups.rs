//! Groups of traffic and the policy `balance`: the engine's guarantees, in virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::earlier::sharing;
use crate::lossy::lossy;
use crate::support::{self, at, brief, name, probe, settings, when};
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, Departure, DepartureCause, ProbeOrder};
use uplinkd::engine::command::Command;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::settings::{Policy, Settings, WhenNone};
use uplinkd::engine::status::{GroupStatus, Status};
use uplinkd::replay::{Replay, World, attached, attached_by_both};
use uplinkd::routing::traffic::{Ports, Selector};
use uplinkd::routing::{Attachment, Desired, Family, Route, Trouble};
use uplinkd::units::{IpProtocol, Moment, Tier, UplinkName, Wall, Weight};

/// Uplinks of one tier that share the traffic.
fn balanced(uplinks: &[&str]) -> Settings {
    let mut settings = settings(uplinks);
    settings.failover.policy = Policy::Balance;
    for uplink in &mut settings.uplinks {
        uplink.tier = Tier(1);
    }
    settings
}

/// `group` has these uplinks, and port 5060.
fn with_group(mut settings: Settings, group: &str, policy: Policy, uplinks: &[&str]) -> Settings {
    let uplinks = uplinks.iter().copied().map(name);
    settings
        .groups
        .push(support::group(group, policy, uplinks.collect()));
    let port = 5060;
    let traffic = Selector {
        protocol: Some(IpProtocol(17)),
        dport: Some(Ports {
            first: port,
            last: port,
        }),
        ..Selector::default()
    };
    settings.rules.push(support::rule(group, traffic));
    settings
}

fn status(replay: &Replay<impl World>) -> Status {
    let wall = Wall::reading(std::time::UNIX_EPOCH, replay.now());
    replay.engine().status(wall)
}

fn active(replay: &Replay<impl World>) -> Vec<String> {
    texts(&status(replay).active)
}

fn group(replay: &Replay<impl World>) -> GroupStatus {
    status(replay).groups.remove(0)
}

fn texts(names: &[UplinkName]) -> Vec<String> {
    let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

fn is_dead(order: &ProbeOrder, uplink: &str, during: std::ops::Range<f64>, now: f64) -> f64 {
    f64::from(order.uplink == name(uplink) && during.contains(&now))
}

#[test]
fn all_that_are_well_share_the_traffic_within_seconds_of_the_start() {
    let mut replay = lossy(balanced(&["a", "b", "c"]), 1, |_, _| 0.0);
    replay.run_until(at(5.0));
    assert_eq!(active(&replay), ["a", "b", "c"]);
    let status = status(&replay);
    assert!(status.uplinks.iter().all(|uplink| uplink.active));
}

#[test]
fn one_that_dies_leaves_at_once_and_joins_by_the_rules_of_failback() {
    let mut replay = lossy(balanced(&["a", "b", "c"]), 1, |order, now| {
        is_dead(order, "b", 30.0..60.0, now)
    });
    replay.run_until(at(30.0));
    let events = replay.run_until(at(59.0));
    let left = when(&events, "switch a,b,c -> a,c").expect("it leaves");
    assert!((30.0..32.0).contains(&left), "{left}");
    assert_eq!(active(&replay), ["a", "c"]);
    let events = replay.run_until(at(200.0));
    let up = when(&events, "uplink.recovering b").expect("answers again");
    let back = when(&events, "switch a,c -> a,b,c").expect("it joins");
    assert!((back - up - 60.0).abs() < 2.0, "up {up}, back {back}");
}

#[test]
fn the_leader_is_left_like_any_other_and_those_that_share_stay() {
    let mut replay = lossy(balanced(&["a", "b", "c"]), 1, |order, now| {
        is_dead(order, "a", 30.0..60.0, now)
    });
    replay.run_until(at(30.0));
    let events = replay.run_until(at(59.0));
    let left = when(&events, "switch a,b,c -> b,c");
    assert!(left.is_some(), "{:?}", brief(&events));
    let events = replay.run_until(at(200.0));
    let switches = brief(&events);
    let switches: Vec<_> = switches
        .iter()
        .filter(|line| line.starts_with("switch"))
        .collect();
    assert_eq!(switches, ["switch b,c -> a,b,c"]);
}

#[test]
fn a_degraded_one_yields_while_another_is_well() {
    let mut replay = lossy(balanced(&["a", "b"]), 1, |order, now| {
        let is_bad = order.uplink == name("b") && (30.0..120.0).contains(&now);
        if is_bad { 0.35 } else { 0.0 }
    });
    replay.run_until(at(100.0));
    assert_eq!(active(&replay), ["a"]);
    replay.run_until(at(400.0));
    assert_eq!(active(&replay), ["a", "b"]);
}

#[test]
fn where_all_fail_none_is_left_for_nothing() {
    let mut replay = lossy(balanced(&["a", "b"]), 1, |_, now| f64::from(now >= 30.0));
    replay.run_until(at(30.0));
    replay.run_until(at(200.0));
    assert!(!active(&replay).is_empty());
    let path = status(&replay).uplinks.iter().filter(|u| u.active).count();
    assert!(path >= 1);
}

#[test]
fn a_lower_tier_is_used_only_when_all_of_the_better_are_dead() {
    let mut settings = balanced(&["a", "b", "c", "d"]);
    settings.uplinks[2].tier = Tier(2);
    settings.uplinks[3].tier = Tier(2);
    let mut replay = lossy(settings, 1, |order, now| {
        let a = is_dead(order, "a", 30.0..90.0, now);
        a + is_dead(order, "b", 60.0..90.0, now)
    });
    replay.run_until(at(29.0));
    assert_eq!(active(&replay), ["a", "b"]);
    replay.run_until(at(59.0));
    assert_eq!(active(&replay), ["b"]);
    replay.run_until(at(80.0));
    assert_eq!(active(&replay), ["c", "d"]);
    replay.run_until(at(300.0));
    assert_eq!(active(&replay), ["a", "b"]);
}

#[test]
fn what_a_person_chose_carries_everything_alone_until_auto() {
    let mut replay = lossy(balanced(&["a", "b"]), 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    replay.input(Input::Command(Command::switch(name("b")).into()));
    assert_eq!(active(&replay), ["b"]);
    replay.run_until(at(100.0));
    assert_eq!(active(&replay), ["b"]);
    replay.input(Input::Command(Command::Auto.into()));
    assert_eq!(active(&replay), ["a", "b"]);
}

#[test]
fn a_family_is_shared_by_those_by_which_it_works() {
    let mut settings = balanced(&["a", "b", "c"]);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&[
            "192.0.2.1",
            "198.51.100.1",
            "2001:db8:a::1",
            "2001:db8:b::1",
        ]);
    }
    let mut replay = lossy(settings, 1, |order, now| {
        let is_v6 = order
            .target
            .address()
            .is_some_and(|address| address.is_ipv6());
        f64::from(is_v6) * is_dead(order, "b", 30.0..90.0, now)
    });
    for (place, uplink) in (1..).zip(["a", "b", "c"]) {
        let (uplink, attachment) = (name(uplink), attached_by_both(place));
        replay.input(Input::Attachment { uplink, attachment });
    }
    replay.run_until(at(20.0));
    let carries = |replay: &Replay<_>, family: Family| {
        let uplinks = status(replay).uplinks.into_iter();
        let carriers = uplinks.filter(|uplink| uplink.carries.contains(&family));
        texts(&carriers.map(|uplink| uplink.name).collect::<Vec<_>>())
    };
    assert_eq!(carries(&replay, Family::Ipv6), ["a", "b", "c"]);
    replay.run_until(at(60.0));
    assert_eq!(carries(&replay, Family::Ipv4), ["a", "b", "c"]);
    assert_eq!(carries(&replay, Family::Ipv6), ["a", "c"]);
    replay.run_until(at(300.0));
    assert_eq!(carries(&replay, Family::Ipv6), ["a", "b", "c"]);
}

#[test]
fn the_weights_stand_in_the_routes() {
    let mut settings = balanced(&["a", "b"]);
    settings.uplinks[1].weight = Weight(3);
    let numbering = settings.numbering;
    let mut site = Site::new(settings);
    site.runs(10);
    let desired = site.desired.flattened();
    let mut routes = desired.routes.iter();
    let route = routes.find(|route| numbering.carrier_place().holds(route));
    let paths = &route.expect("a route").paths;
    let weights: Vec<_> = paths.iter().map(|path| path.weight.0).collect();
    assert_eq!(weights, [1, 3]);
}

#[test]
fn a_restart_goes_on_with_all_that_shared() {
    let mut replay = lossy(balanced(&["a", "b"]), 1, |_, _| 0.0);
    let mut events: Vec<Event> = replay.input(sharing("b", &["a", "b"]));
    assert_eq!(active(&replay), ["a", "b"]);
    events.extend(replay.run_until(at(30.0)));
    assert_eq!(switches(&events), []);
}

#[test]
fn a_restart_that_hears_of_its_links_one_by_one_goes_on_with_all_that_shared() {
    let mut site = Site::unattached(balanced(&["a", "b"]));
    site.tell(sharing("a", &["a", "b"]));
    for (place, uplink) in [(1, "a"), (2, "b")] {
        site.attach(uplink, with_address(place));
        site.runs(1);
    }
    let wall = Wall::reading(std::time::UNIX_EPOCH, site.now);
    assert_eq!(texts(&site.engine.status(wall).active), ["a", "b"]);
}

#[test]
fn a_group_goes_its_own_way_in_the_order_of_its_list() {
    let tiers = settings(&["fiber", "dsl", "lte"]);
    let settings = with_group(tiers, "voice", Policy::Failover, &["lte", "fiber"]);
    let mut replay = lossy(settings, 1, |order, now| {
        is_dead(order, "lte", 30.0..60.0, now)
    });
    replay.run_until(at(20.0));
    assert_eq!(active(&replay), ["fiber"]);
    assert_eq!(texts(&group(&replay).active), ["lte"]);
    let events = replay.run_until(at(50.0));
    let left = when(&events, "switch voice: lte -> fiber");
    assert!(left.is_some(), "{:?}", brief(&events));
    assert_eq!(active(&replay), ["fiber"]);
    replay.run_until(at(200.0));
    assert_eq!(texts(&group(&replay).active), ["lte"]);
}

#[test]
fn a_group_of_which_nothing_works_goes_with_the_rest_and_takes_up_its_own_again() {
    let tiers = settings(&["fiber", "dsl", "lte"]);
    let settings = with_group(tiers, "backups", Policy::Failover, &["dsl"]);
    let mut replay = lossy(settings, 1, |order, now| {
        is_dead(order, "dsl", 30.0..60.0, now)
    });
    replay.run_until(at(20.0));
    assert_eq!(texts(&group(&replay).active), ["dsl"]);
    assert!(!group(&replay).with_rest);
    let events = replay.run_until(at(50.0));
    assert!(
        when(&events, "switch backups: dsl -> fiber").is_some(),
        "{:?}",
        brief(&events)
    );
    assert!(group(&replay).with_rest);
    assert_eq!(texts(&group(&replay).active), ["fiber"]);
    let events = replay.run_until(at(200.0));
    let up = when(&events, "uplink.recovering dsl").expect("answers again");
    let back = when(&events, "switch backups: fiber -> dsl").expect("its own again");
    assert!((back - up - 60.0).abs() < 2.0, "up {up}, back {back}");
}

/// A world in which dsl is dead from 30 s to 60 s; what the kernel is to hold there.
struct DslDies {
    desired: Rc<RefCell<Desired>>,
}

impl World for DslDies {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let now = now.since_start().as_secs_f64();
        (is_dead(order, "dsl", 30.0..60.0, now) == 0.0).then(|| Duration::from_millis(10))
    }

    fn routed(&mut self, desired: &Desired) {
        self.desired.replace(desired.clone());
    }
}

#[test]
fn a_group_that_may_not_use_other_uplinks_is_refused_and_taken_up_at_once() {
    let tiers = settings(&["fiber", "dsl", "lte"]);
    let mut settings = with_group(tiers, "diet", Policy::Failover, &["dsl"]);
    settings.groups[0].when_none = WhenNone::Drop;
    let numbering = settings.numbering;
    let desired = Rc::new(RefCell::new(Desired::default()));
    let world = DslDies {
        desired: Rc::clone(&desired),
    };
    let mut replay = Replay::new(settings, world);
    let table = numbering.group_place(0).table;
    // Whether each route of the group refuses its traffic.
    let routes = || -> Vec<bool> {
        let desired = desired.borrow();
        let of_group = desired.routes.iter().filter(|route| route.table == table);
        of_group.map(Route::is_refusal).collect()
    };
    replay.run_until(at(20.0));
    assert_eq!(texts(&group(&replay).active), ["dsl"]);
    assert!(!group(&replay).refused);
    assert_eq!(routes(), [false, true]);
    let events = replay.run_until(at(50.0));
    let refused =
        when(&events, "switch diet: dsl ->").unwrap_or_else(|| panic!("{:?}", brief(&events)));
    assert!((30.0..32.0).contains(&refused), "{refused}");
    let said = events
        .iter()
        .find(|event| event.reason.contains("its traffic is refused"));
    assert!(said.is_some(), "{:?}", brief(&events));
    let now = group(&replay);
    assert!(
        now.refused && !now.with_rest && now.active.is_empty(),
        "{now:?}"
    );
    assert_eq!(routes(), [true]);
    assert_eq!(active(&replay), ["fiber"]);
    let events = replay.run_until(at(200.0));
    let up = when(&events, "uplink.recovering dsl").expect("answers again");
    let back = when(&events, "switch diet:  -> dsl").expect("its own again");
    assert!(back - up < 1.0, "up {up}, back {back}");
    assert!(!group(&replay).refused);
}

#[test]
fn a_group_whose_uplinks_fall_silent_together_goes_with_the_rest_at_the_first_verdict() {
    let tiers = settings(&["fiber", "dsl", "lte"]);
    let settings = with_group(tiers, "backups", Policy::Failover, &["dsl", "lte"]);
    let mut replay = lossy(settings, 1, |order, now| {
        f64::from(now >= 30.0 && order.uplink != name("fiber"))
    });
    let events = replay.run_until(at(50.0));
    let down = when(&events, "uplink.down dsl").expect("it is dead");
    let left = when(&events, "switch backups: dsl -> fiber");
    assert_eq!(left, Some(down), "{:?}", brief(&events));
}

#[test]
fn a_group_does_not_follow_the_rest_to_where_that_is_pinned_although_it_is_dead() {
    let tiers = settings(&["fiber", "dsl", "lte"]);
    let settings = with_group(tiers, "backups", Policy::Failover, &["dsl"]);
    let mut replay = lossy(settings, 1, |order, now| {
        f64::from(now >= 30.0 && order.uplink != name("fiber"))
    });
    replay.run_until(at(20.0));
    replay.input(Input::Command(Command::pin(name("lte")).into()));
    let events = replay.run_until(at(100.0));
    assert_eq!(active(&replay), ["lte"]);
    assert_eq!(texts(&group(&replay).active), ["dsl"]);
    assert_eq!(when(&events, "switch backups: dsl -> lte"), None);
}

#[test]
fn where_nothing_works_at_all_every_group_stays_where_it_is() {
    let tiers = settings(&["fiber", "lte"]);
    let settings = with_group(tiers, "voice", Policy::Failover, &["lte"]);
    let mut replay = lossy(settings, 1, |_, now| f64::from(now >= 30.0));
    replay.run_until(at(200.0));
    assert_eq!(texts(&group(&replay).active), ["lte"]);
    assert_eq!(active(&replay), ["fiber"]);
}

#[test]
fn a_choice_by_hand_is_for_the_rest_and_maintenance_for_all() {
    let tiers = settings(&["fiber", "lte"]);
    let settings = with_group(tiers, "voice", Policy::Failover, &["fiber", "lte"]);
    let mut replay = lossy(settings, 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    replay.input(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(active(&replay), ["lte"]);
    assert_eq!(texts(&group(&replay).active), ["fiber"]);
    replay.input(Input::Command(Command::disable(name("fiber")).into()));
    assert_eq!(texts(&group(&replay).active), ["lte"]);
}

#[test]
fn a_reload_keeps_groups_by_name_and_drops_those_that_are_gone() {
    let tiers = settings(&["fiber", "lte"]);
    let with = with_group(tiers.clone(), "voice", Policy::Failover, &["lte", "fiber"]);
    let mut replay = lossy(with.clone(), 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    let mut other = with;
    other.groups[0].uplinks.reverse();
    let events = replay.input(Input::Settings(Box::new(other)));
    assert!(
        texts(&group(&replay).active) == ["fiber"],
        "{:?}",
        brief(&events)
    );
    replay.input(Input::Settings(Box::new(tiers)));
    assert!(status(&replay).groups.is_empty());
}

/// The switches among events, in short, with their reasons.
fn switches(events: &[Event]) -> Vec<(String, &str)> {
    let lines = brief(events).into_iter().zip(events);
    let switches = lines.filter(|(line, _)| line.starts_with("switch "));
    switches
        .map(|(line, event)| (line, event.reason.as_str()))
        .collect()
}

#[test]
fn a_member_that_vanishes_leaves_by_a_switch_whatever_becomes_of_its_link() {
    let unplugged = |trouble| Attachment {
        trouble: Some(trouble),
        ..Attachment::default()
    };
    for (trouble, why) in [
        (Trouble::Absent, "b absent: no interface eth2"),
        (Trouble::Down, "b down: eth2 is set down"),
        (Trouble::NoCarrier, "b down: eth2 has no carrier"),
    ] {
        let mut replay = lossy(balanced(&["a", "b", "c"]), 1, |_, _| 0.0);
        replay.run_until(at(30.0));
        let (uplink, attachment) = (name("b"), unplugged(trouble));
        let events = replay.input(Input::Attachment { uplink, attachment });
        let told = [("switch a,b,c -> a,c".to_owned(), why)];
        assert_eq!(switches(&events), told);
        let (uplink, attachment) = (name("a"), unplugged(trouble));
        let events = replay.input(Input::Attachment { uplink, attachment });
        assert_eq!(brief(&events).last().expect("it leaves"), "switch a,c -> c");
        for (place, uplink) in [(1, "a"), (2, "b")] {
            let (uplink, attachment) = (name(uplink), attached(place));
            replay.input(Input::Attachment { uplink, attachment });
        }
        let events = replay.run_until(at(100.0));
        let back = switches(&events);
        assert!(
            back.last().expect("they join").0.ends_with("-> a,b,c"),
            "{back:?}"
        );
        let is_failback = |(_, why): &(String, &str)| why.starts_with("failback: ");
        assert!(back.iter().all(is_failback), "{back:?}");
    }
}

#[test]
fn a_member_that_loses_the_way_of_one_family_leaves_that_one_by_a_switch() {
    let mut settings = balanced(&["a", "b", "c"]);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&["192.0.2.1", "2001:db8:a::1"]);
    }
    let mut replay = lossy(settings, 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    let (uplink, attachment) = (name("b"), attached(2));
    replay.input(Input::Attachment { uplink, attachment });
    let events = replay.run_until(at(21.0));
    let told = (
        "switch IPv6: a,b,c -> a,c".to_owned(),
        "b: IPv6 has no way out",
    );
    assert_eq!(switches(&events), [told]);
}

#[test]
fn where_all_fail_those_that_still_have_a_way_out_keep_the_traffic() {
    let mut replay = lossy(balanced(&["a", "b"]), 1, |_, now| f64::from(now >= 30.0));
    replay.run_until(at(60.0));
    assert_eq!(active(&replay), ["a", "b"]);
    let (uplink, attachment) = (name("a"), Attachment::default());
    let attachment = Attachment {
        trouble: Some(Trouble::Absent),
        ..attachment
    };
    let events = replay.input(Input::Attachment { uplink, attachment });
    let told = ("switch a,b -> b".to_owned(), "a absent: no interface eth1");
    assert_eq!(switches(&events), [told]);
    let b = &status(&replay).uplinks[1];
    assert_eq!(b.carries, [Family::Ipv4]);
}

#[test]
fn after_a_stop_and_a_start_all_that_are_well_share_again_at_once() {
    for shared in [vec!["b"], vec!["a", "b"]] {
        let mut replay = lossy(balanced(&["a", "b", "c"]), 1, |_, _| 0.0);
        let mut events = replay.input(sharing("b", &shared));
        events.extend(replay.run_until(at(5.0)));
        assert_eq!(active(&replay), ["a", "b", "c"]);
        let switches = switches(&events);
        let is_failback = |reason: &str| reason.contains("failback");
        assert!(
            !switches.iter().any(|(_, reason)| is_failback(reason)),
            "{switches:?}"
        );
        let last = &switches.last().expect("they join").0;
        assert!(last.ends_with("-> a,b,c"), "{switches:?}");
    }
}

#[test]
fn a_member_that_fails_after_a_restart_joins_by_the_rules_of_failback_all_the_same() {
    let mut replay = lossy(balanced(&["a", "b"]), 1, |order, now| {
        is_dead(order, "b", 30.0..60.0, now)
    });
    replay.input(sharing("a", &["a", "b"]));
    let events = replay.run_until(at(200.0));
    let up = when(&events, "uplink.recovering b").expect("answers again");
    let back = when(&events, "switch a -> a,b").expect("it joins");
    assert!((back - up - 60.0).abs() < 2.0, "up {up}, back {back}");
}

#[test]
fn a_reload_tells_a_switch_of_each_group_that_moves_and_of_no_other() {
    let tiers = settings(&["fiber", "lte"]);
    let stays = with_group(tiers.clone(), "web", Policy::Failover, &["fiber", "lte"]);
    let moves = with_group(stays.clone(), "voice", Policy::Failover, &["lte", "fiber"]);
    let mut renamed = moves.clone();
    renamed.uplinks[1].name = name("mobile");
    renamed.groups[0].uplinks[1] = name("mobile");
    renamed.groups[1].uplinks[0] = name("mobile");
    let mut swapped = renamed.clone();
    swapped.groups[1].uplinks.reverse();
    let mut replay = lossy(tiers.clone(), 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    let gone = "the group was removed, its traffic goes with the default group";
    let expected = [
        (stays.clone(), vec![]),
        (
            moves,
            vec![(
                "switch voice: fiber -> lte",
                "lte is the first that is usable",
            )],
        ),
        (renamed, vec![]),
        (
            swapped,
            vec![("switch voice: mobile -> fiber", "fiber is preferred")],
        ),
        (stays, vec![]),
        (tiers, vec![]),
    ];
    let mut until = 20.0;
    for (settings, expected) in expected {
        let mut events = replay.input(Input::Settings(Box::new(settings)));
        until += 100.0;
        events.extend(replay.run_until(at(until)));
        let expected: Vec<_> = expected.into_iter().collect();
        let told = switches(&events);
        let told: Vec<_> = told
            .iter()
            .map(|(line, why)| (line.as_str(), *why))
            .collect();
        assert_eq!(told, expected);
    }
    let own = with_group(
        settings(&["fiber", "lte"]),
        "voice",
        Policy::Failover,
        &["lte"],
    );
    let mut replay = lossy(own, 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    let tiers = settings(&["fiber", "lte"]);
    let events = replay.input(Input::Settings(Box::new(tiers)));
    let told = ("switch voice: lte -> fiber".to_owned(), gone);
    assert_eq!(switches(&events), [told]);
}

#[test]
fn a_reload_that_removes_what_carries_tells_where_its_traffic_goes() {
    let settings = settings(&["fiber", "lte"]);
    let mut replay = lossy(settings.clone(), 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    let mut others = settings;
    others.uplinks.remove(0);
    let mut events = replay.input(Input::Settings(Box::new(others)));
    events.extend(replay.run_until(at(30.0)));
    let told = (
        "switch fiber -> lte".to_owned(),
        "lte is the first that is usable",
    );
    assert_eq!(switches(&events), [told]);
}

#[test]
fn a_member_that_a_reload_removes_is_told_as_one_that_leaves() {
    let settings = balanced(&["a", "b", "c"]);
    let mut replay = lossy(settings.clone(), 1, |_, _| 0.0);
    replay.run_until(at(20.0));
    let mut others = settings;
    others.uplinks.remove(1);
    let events = replay.input(Input::Settings(Box::new(others)));
    let told = (
        "switch a,b,c -> a,c".to_owned(),
        "b is not configured any more",
    );
    assert_eq!(switches(&events), [told]);
}

#[test]
fn a_group_that_goes_with_the_default_group_is_told_to_move_with_it() {
    let tiers = settings(&["fiber", "dsl", "lte"]);
    let settings = with_group(tiers, "backups", Policy::Failover, &["lte"]);
    let mut replay = lossy(settings, 1, |order, now| {
        let fiber = is_dead(order, "fiber", 60.0..1e9, now);
        fiber + is_dead(order, "lte", 30.0..90.0, now)
    });
    replay.run_until(at(59.0));
    let events = replay.run_until(at(80.0));
    let told = switches(&events);
    let lines: Vec<_> = told.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(
        lines,
        ["switch fiber -> dsl", "switch backups: fiber -> dsl"]
    );
    let why = format!("the group goes with the default group: {}", told[0].1);
    assert_eq!(told[1].1, why);
    let events = replay.run_until(at(200.0));
    assert_eq!(switches(&events)[0].0, "switch backups: dsl -> lte");
}

fn with_address(place: u8) -> Attachment {
    let sources = [format!("10.0.{place}.2/24").parse().expect("an address")].into();
    Attachment {
        sources,
        ..attached(place)
    }
}

#[test]
fn only_the_flows_of_the_member_that_leaves_are_ended_and_of_the_groups_that_leave() {
    let settings = with_group(
        balanced(&["a", "b", "c"]),
        "voice",
        Policy::Failover,
        &["a", "b"],
    );
    let mut site = Site::new(settings);
    site.runs(20);
    let cut = Attachment {
        trouble: Some(Trouble::NoCarrier),
        ..with_address(3)
    };
    site.attach("c", cut);
    let left: Vec<_> = site.left.iter().flat_map(|left| &left.addresses).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].to_string(), "10.0.3.2");
    // The rest leaves a for what a person wants; voice stays there.
    site.left.clear();
    site.tell(Input::Command(Command::switch(name("b")).into()));
    let of_the_rest = Departure {
        addresses: ["10.0.1.2".parse().expect("an address")].into(),
        uplinks: [(name("a"), Family::Ipv4)].into(),
        groups: [None].into(),
        cause: DepartureCause::Chosen,
    };
    assert_eq!(site.left, [of_the_rest]);
}

#[test]
fn the_flows_of_a_group_that_leaves_a_healthy_uplink_to_another_stay_where_they_are_remembered() {
    let both = ["a", "b"];
    let mut settings = with_group(balanced(&both), "voice", Policy::Failover, &both);
    settings.failover.policy = Policy::Failover;
    let mut site = Site::new(settings);
    let remembered = both.map(|uplink| (name(uplink), Family::Ipv4));
    site.tell(Input::FlowsRemembered(remembered.into()));
    site.runs(20);
    site.tell(Input::Command(Command::switch(name("b")).into()));
    assert_eq!(site.left, []);
}

/// An engine each of whose probes is answered.
struct Site {
    engine: Engine,
    now: Moment,
    desired: Desired,
    left: Vec<Departure>,
}

impl Site {
    fn new(settings: Settings) -> Self {
        let names: Vec<_> = settings.uplinks.iter().map(|u| u.name.clone()).collect();
        let mut site = Self::unattached(settings);
        for (place, uplink) in (1..).zip(names) {
            site.attach(uplink.as_str(), with_address(place));
        }
        site
    }

    fn unattached(settings: Settings) -> Self {
        Self {
            engine: Engine::new(settings, Moment::START),
            now: Moment::START,
            desired: Desired::default(),
            left: Vec::new(),
        }
    }

    fn attach(&mut self, uplink: &str, attachment: Attachment) {
        let uplink = name(uplink);
        self.tell(Input::Attachment { uplink, attachment });
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle_input(self.now, input);
        self.act();
    }

    fn runs(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.engine.handle_timeout(self.now);
            self.act();
        }
        self.now = end;
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Probe(order) => {
                    let answer = Input::Probe {
                        uplink: order.uplink,
                        id: order.id,
                        outcome: ProbeOutcome::Reply(Duration::from_millis(10)),
                    };
                    self.engine.handle_input(self.now, answer);
                }
                Action::Route(desired) => self.desired = desired,
                Action::Leave(left) => self.left.push(left),
                Action::Event(_)
                | Action::Count(_)
                | Action::Drain(..)
                | Action::Drill(_)
                | Action::Trace(_) => {}
            }
        }
    }
}
