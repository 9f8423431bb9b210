//! What is told of delegated prefixes, in virtual time.

use std::time::Duration;

use crate::support::{at, brief, name, probe, settings, when};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::event::Event;
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Settings;
use uplinkd::replay::{Replay, attached, attached_by_both};
use uplinkd::routing::{Attachment, Trouble};
use uplinkd::units::sorted::SortedSet;
use uplinkd::units::{Moment, Wall};

const FIBERS: &str = "2001:db8:f::/48";
const LTES: &str = "2001:db8:e::/56";

fn dual() -> Settings {
    let mut settings = settings(&["fiber", "lte"]);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&["192.0.2.1", "203.0.113.1", "2001:db8:a::1", "2001:db8:b::1"]);
    }
    settings
}

fn with_prefix(attachment: Attachment, prefix: &str) -> Attachment {
    let prefixes = [prefix.parse().expect("a prefix")].into();
    Attachment {
        prefixes,
        ..attachment
    }
}

/// Fiber is dead for ten minutes, from the second minute on.
fn outage(order: &ProbeOrder, now: Moment) -> Option<Duration> {
    let is_dead = order.uplink.as_str() == "fiber" && (at(120.0)..at(720.0)).contains(&now);
    (!is_dead).then_some(Duration::from_millis(10))
}

type Site = Replay<fn(&ProbeOrder, Moment) -> Option<Duration>>;

fn site(lte: Attachment) -> Site {
    let mut site: Site = Replay::new(dual(), outage);
    let fiber = with_prefix(attached_by_both(1), FIBERS);
    for (uplink, attachment) in [("fiber", fiber), ("lte", lte)] {
        attach(&mut site, uplink, attachment);
    }
    site
}

fn attach(site: &mut Site, uplink: &str, attachment: Attachment) -> Vec<Event> {
    let uplink = name(uplink);
    site.input(Input::Attachment { uplink, attachment })
}

fn of_prefixes(events: &[Event]) -> Vec<String> {
    let mut happened = brief(events);
    happened.retain(|event| event.starts_with("prefix."));
    happened
}

#[test]
fn the_prefixes_of_the_uplink_that_carries_ipv6_are_preferred_and_all_others_deprecated() {
    let mut site = site(with_prefix(attached_by_both(2), LTES));
    let start = site.run_until(at(60.0));
    // Whatever an earlier run left behind.
    assert_eq!(
        of_prefixes(&start),
        ["prefix.preferred fiber", "prefix.deprecated lte"]
    );
    let events = site.run_until(at(1_000.0));
    assert_eq!(
        of_prefixes(&events),
        [
            "prefix.deprecated fiber",
            "prefix.preferred lte",
            "prefix.preferred fiber",
            "prefix.deprecated lte",
        ]
    );
    let switch = when(&events, "switch fiber -> lte").expect("a switch");
    let left = when(&events, "prefix.deprecated fiber").expect("it is left");
    assert!((left - switch).abs() < 1e-6, "{switch} {left}");

    let wall = Wall::reading(std::time::UNIX_EPOCH, site.now());
    let records = events.iter().map(|event| event.record(wall));
    let mut left = records.filter(|record| record.event.name() == "prefix.deprecated");
    let record = left.next().expect("it is left");
    let prefixes: SortedSet<_> = [FIBERS.parse().expect("a prefix")].into();
    assert_eq!(record.prefixes, prefixes);
    assert_eq!(record.uplink, Some(name("fiber")));
    assert_eq!(record.reason, "fiber does not carry IPv6");
}

#[test]
fn a_prefix_is_deprecated_although_the_uplink_that_takes_over_has_no_ipv6() {
    let mut site = site(attached(2));
    site.run_until(at(60.0));
    let events = site.run_until(at(1_000.0));
    assert_eq!(
        of_prefixes(&events),
        ["prefix.deprecated fiber", "prefix.preferred fiber"]
    );
}

#[test]
fn a_deprecated_prefix_stays_so_while_its_uplink_leads_and_none_has_ipv6() {
    let mut site = site(with_prefix(attached_by_both(2), LTES));
    site.run_until(at(60.0));
    let mut events = attach(&mut site, "fiber", with_prefix(attached(1), FIBERS));
    events.extend(site.run_until(at(100.0)));
    let apart = ["prefix.deprecated fiber", "prefix.preferred lte"];
    assert_eq!(of_prefixes(&events), apart);
    let mut events = attach(&mut site, "lte", with_prefix(attached(2), LTES));
    events.extend(site.run_until(at(110.0)));
    assert_eq!(of_prefixes(&events), ["prefix.deprecated lte"]);
}

#[test]
fn a_prefix_that_vanishes_with_its_link_is_deprecated_by_its_name() {
    let mut site = site(with_prefix(attached_by_both(2), LTES));
    site.run_until(at(60.0));
    let absent = Attachment {
        trouble: Some(Trouble::Absent),
        ..Attachment::default()
    };
    let events = attach(&mut site, "fiber", absent);
    assert_eq!(
        of_prefixes(&events),
        ["prefix.deprecated fiber", "prefix.preferred lte"]
    );
}

#[test]
fn another_prefix_of_the_same_uplink_is_told_as_well() {
    let mut site = site(with_prefix(attached_by_both(2), LTES));
    site.run_until(at(60.0));
    let attachment = with_prefix(attached_by_both(1), "2001:db8:d::/48");
    let events = attach(&mut site, "fiber", attachment);
    assert_eq!(of_prefixes(&events), ["prefix.preferred fiber"]);
}

#[test]
fn an_outage_of_all_uplinks_deprecates_nothing() {
    let dead = |_: &ProbeOrder, now: Moment| (now < at(120.0)).then_some(Duration::from_millis(10));
    let mut site: Site = Replay::new(dual(), dead);
    attach(&mut site, "fiber", with_prefix(attached_by_both(1), FIBERS));
    site.run_until(at(60.0));
    assert_eq!(
        of_prefixes(&site.run_until(at(1_000.0))),
        Vec::<String>::new()
    );
}
