//! What the traffic leaves behind, in virtual time.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use uplinkd::engine::Engine;
use uplinkd::engine::action::DepartureCause::{self, Chosen, Doubt, Failed};
use uplinkd::engine::action::{Action, Departure};
use uplinkd::engine::command::Command;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::settings::Settings;
use uplinkd::replay::{attached, attached_by_both};
use uplinkd::routing::{Attachment, Trouble};
use uplinkd::units::Moment;
use uplinkd::units::sorted::SortedSet;

use crate::support::{name, settings};

const RTT: Duration = Duration::from_millis(10);

/// Two uplinks that answer unless they are dead.
pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) now: Moment,
    pub(crate) dead: SortedSet<&'static str>,
    pub(crate) left: Vec<Departure>,
    /// The uplinks whose flows are not remembered as theirs any more.
    pub(crate) forgotten: Vec<String>,
}

impl Site {
    /// With these addresses, and the traffic on fiber.
    fn new(fiber: &[&str], lte: &[&str]) -> Self {
        let mut site = Self::bare(settings(&["fiber", "lte"]));
        site.attach("fiber", with(1, fiber));
        site.attach("lte", with(2, lte));
        site.runs(5);
        assert_eq!(site.engine.carrier(), Some(&name("fiber")));
        assert_eq!(site.left, []);
        site
    }

    /// Nothing is attached yet.
    pub(crate) fn bare(settings: Settings) -> Self {
        let now = Moment::START;
        Self {
            engine: Engine::new(settings, now),
            now,
            dead: SortedSet::new(),
            left: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    pub(crate) fn attach(&mut self, uplink: &str, attachment: Attachment) {
        let uplink = name(uplink);
        self.tell(Input::Attachment { uplink, attachment });
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.engine.handle_input(self.now, input);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Probe(order) if !self.dead.contains(order.uplink.as_str()) => {
                    let answer = Input::Probe {
                        uplink: order.uplink,
                        id: order.id,
                        outcome: ProbeOutcome::Reply(RTT),
                    };
                    self.engine.handle_input(self.now, answer);
                }
                Action::Leave(departure) if matches!(departure.cause, Doubt(_)) => {}
                Action::Leave(mut departure) => {
                    let forgotten = std::mem::take(&mut departure.uplinks).into_iter();
                    let forgotten = forgotten.map(|(uplink, family)| format!("{uplink} {family}"));
                    self.forgotten.extend(forgotten);
                    self.left.push(departure);
                }
                Action::Probe(_)
                | Action::Route(_)
                | Action::Count(_)
                | Action::Event(_)
                | Action::Drain(..)
                | Action::Drill(_)
                | Action::Trace(_) => {}
            }
        }
    }

    pub(crate) fn runs(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = next;
            self.engine.handle_timeout(next);
            self.act();
        }
        self.now = end;
    }
}

pub(crate) fn with(index: u8, addresses: &[&str]) -> Attachment {
    let addresses = ips(addresses);
    let sources = addresses.iter().copied().map(IpNet::from).collect();
    Attachment {
        addresses,
        sources,
        ..attached(index)
    }
}

fn ips(addresses: &[&str]) -> SortedSet<IpAddr> {
    let parse = |text: &&str| text.parse().expect("an address");
    addresses.iter().map(parse).collect()
}

pub(crate) fn departure(addresses: &[&str], cause: DepartureCause) -> Departure {
    Departure {
        addresses: ips(addresses),
        uplinks: SortedSet::new(),
        groups: SortedSet::new(),
        cause,
    }
}

pub(crate) const FIBER: &str = "192.0.2.10";
pub(crate) const LTE: &str = "198.51.100.10";

#[test]
fn a_dead_uplink_is_left_by_its_address_and_not_by_choice() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.dead.insert("fiber");
    site.runs(5);
    assert_eq!(site.left, [departure(&[FIBER], Failed)]);
}

#[test]
fn the_flows_of_an_uplink_that_is_left_are_forgotten_and_those_of_a_lost_address_are_not() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.attach("fiber", with(1, &["192.0.2.99"]));
    assert_eq!(site.forgotten, [""; 0]);
    site.dead.insert("fiber");
    site.runs(5);
    assert_eq!(site.forgotten, ["fiber IPv4"]);
}

#[test]
fn a_standby_that_dies_leaves_the_flows_that_were_remembered_as_its_own() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.dead.insert("lte");
    site.runs(60);
    assert_eq!(site.left, [departure(&[LTE], Failed)]);
    assert_eq!(site.forgotten, ["lte IPv4"]);
}

#[test]
fn a_failback_leaves_an_uplink_that_is_well() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.dead.insert("fiber");
    site.runs(5);
    site.dead.clear();
    site.left.clear();
    site.runs(120);
    assert_eq!(site.left, [departure(&[LTE], Chosen)]);
}

#[test]
fn a_person_who_moves_the_traffic_leaves_an_uplink_that_is_well() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.tell(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(site.left, [departure(&[FIBER], Chosen)]);
}

#[test]
fn uplinks_that_share_an_address_leave_nothing_behind() {
    let mut site = Site::new(&[FIBER], &[FIBER]);
    site.tell(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(site.left, []);
}

#[test]
fn an_uplink_that_gets_another_address_leaves_the_old_one() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.attach("fiber", with(1, &["192.0.2.99"]));
    assert_eq!(site.left, [departure(&[FIBER], Failed)]);
}

/// Fiber by IPv6, known by `lasting`; packets go from all of `sources`.
fn by_ipv6(lasting: &str, sources: &[&str]) -> Attachment {
    let mut attachment = attached_by_both(1);
    attachment.addresses = ips(&[FIBER, lasting]);
    let sources = sources.iter().copied().chain([FIBER]);
    attachment.sources = sources.map(net).collect();
    attachment
}

fn net(address: &str) -> IpNet {
    let address: IpAddr = address.parse().expect("an address");
    address.into()
}

const OLD: &str = "2001:db8:1::2";
const NEW: &str = "2001:db8:2::2";
const TEMPORARY: &str = "2001:db8:1::77";

#[test]
fn a_deprecated_address_is_not_left_until_it_is_gone() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.attach("fiber", by_ipv6(OLD, &[OLD]));
    site.attach("fiber", by_ipv6(NEW, &[OLD, NEW]));
    assert_eq!(site.left, []);
    site.attach("fiber", by_ipv6(NEW, &[NEW]));
    assert_eq!(site.left, [departure(&[OLD], Failed)]);
}

#[test]
fn a_switch_leaves_temporary_addresses_too() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    site.attach("fiber", by_ipv6(OLD, &[OLD, TEMPORARY]));
    let mut lte = attached_by_both(2);
    lte.addresses = ips(&[LTE, NEW]);
    lte.sources = [LTE, NEW].map(net).into();
    site.attach("lte", lte);
    site.runs(5);
    site.tell(Input::Command(Command::switch(name("lte")).into()));
    assert_eq!(site.left, [departure(&[FIBER, OLD, TEMPORARY], Chosen)]);
}

#[test]
fn an_interface_that_vanishes_is_left_by_the_address_that_it_had() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    let gone = Attachment {
        trouble: Some(Trouble::Absent),
        ..Attachment::default()
    };
    site.attach("fiber", gone);
    assert_eq!(site.engine.carrier(), Some(&name("lte")));
    assert_eq!(site.left, [departure(&[FIBER], Failed)]);
}

#[test]
fn a_link_that_comes_back_with_its_address_has_left_nothing() {
    let mut site = Site::new(&[FIBER], &[LTE]);
    let gone = Attachment {
        trouble: Some(Trouble::Absent),
        ..Attachment::default()
    };
    site.attach("lte", gone.clone());
    // The flows that were remembered as its own.
    assert_eq!(site.left, [departure(&[LTE], Failed)]);
    site.left.clear();
    site.attach("fiber", gone);
    site.runs(1);
    site.attach("fiber", with(7, &[FIBER]));
    site.runs(5);
    assert_eq!(site.engine.carrier(), Some(&name("fiber")));
    assert_eq!(site.left, []);
}
