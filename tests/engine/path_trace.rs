//! Where the path of an uplink broke, in virtual time: what is asked, what follows, and that no verdict hangs on it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use uplinkd::engine::action::{ProbeOrder, TraceOrder};
use uplinkd::engine::event::broken_at::BrokenAt;
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::{Input, TracedHops, TracedPath};
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::units::{Bytes, Moment};

use crate::lossy::{shown, state};
use crate::support::{at, brief, name, probe, settings};

const MODEM: [u8; 4] = [192, 168, 1, 1];
const ACCESS: [u8; 4] = [203, 0, 113, 1];
const CORE: [u8; 4] = [198, 51, 100, 1];

/// A path of some hops, each of which answers after ten milliseconds, as the target does behind them.
struct PathWorld {
    hops: Vec<[u8; 4]>,
    /// So many of them still work, if fiber is broken.
    broken_after: Option<usize>,
    orders: Vec<(Moment, TraceOrder)>,
    answers: VecDeque<(Moment, Input)>,
}

impl PathWorld {
    fn new(hops: &[[u8; 4]]) -> Self {
        Self {
            hops: hops.to_vec(),
            broken_after: None,
            orders: Vec::new(),
            answers: VecDeque::new(),
        }
    }
}

impl World for PathWorld {
    fn answer(&mut self, order: &ProbeOrder, _: Moment) -> Option<Duration> {
        let is_broken = self.broken_after.is_some() && order.uplink == name("fiber");
        (!is_broken).then_some(Duration::from_millis(10))
    }

    fn trace(&mut self, order: &TraceOrder, now: Moment) {
        self.orders.push((now, order.clone()));
        let working = self.broken_after.unwrap_or(self.hops.len());
        let hops = self.hops.iter().enumerate();
        let hops = hops.map(|(place, hop)| (place < working).then(|| IpAddr::from(*hop)));
        let hops = TracedHops {
            hops: hops.collect(),
            slowest: Duration::from_millis(10),
            has_arrived: false,
        };
        let input = Input::Traced(TracedPath {
            uplink: order.uplink.clone(),
            in_doubt: order.in_doubt,
            hops,
        });
        self.answers.push_back((now + order.listen_for, input));
    }

    fn next_input(&mut self, now: Moment) -> Option<Input> {
        let is_due = self.answers.front().is_some_and(|(due, _)| *due <= now);
        let due = is_due.then(|| self.answers.pop_front()).flatten();
        due.map(|(_, input)| input)
    }

    fn next_input_at(&self) -> Option<Moment> {
        self.answers.front().map(|(due, _)| *due)
    }
}

fn two() -> Settings {
    settings(&["fiber", "lte"])
}

/// Ten minutes old.
fn site(settings: Settings, hops: &[[u8; 4]]) -> Replay<PathWorld> {
    let mut replay = Replay::new(settings, PathWorld::new(hops));
    replay.run_until(at(600.0));
    replay
}

/// The outage of fiber whose path works up to so many hops.
fn broken_after(replay: &mut Replay<PathWorld>, working: usize) -> Vec<Event> {
    replay.world().broken_after = Some(working);
    let until = replay.now() + Duration::from_secs(20);
    let events = replay.run_until(until);
    assert_eq!(state(replay, "fiber"), State::Down);
    events
}

/// What the event of an outage says.
fn said(events: &[Event]) -> (Option<BrokenAt>, &str) {
    let said = events.iter().find_map(|event| {
        let Change::Uplink {
            to: State::Down,
            broken_at,
            ..
        } = &event.change
        else {
            return None;
        };
        Some((*broken_at, &*event.reason))
    });
    said.expect("an outage")
}

#[test]
fn an_outage_says_where_the_path_broke_by_the_first_known_hop_that_is_silent() {
    let path = [MODEM, ACCESS, CORE];
    for (working, at, words) in [
        (0, BrokenAt::OwnSide, "it broke on the own side"),
        (1, BrokenAt::AccessLine, "it broke on the access line"),
        (2, BrokenAt::Provider, "it broke at the provider"),
        (3, BrokenAt::Beyond, "it broke beyond the first hops"),
    ] {
        let mut replay = site(two(), &path);
        let events = broken_after(&mut replay, working);
        let (broken_at, reason) = said(&events);
        assert_eq!(broken_at, Some(at));
        assert!(reason.ends_with(words), "{reason}");
        let shown = shown(&replay, "fiber");
        assert_eq!(shown.broken_at, Some(at));
        assert!(shown.reason.ends_with(words), "{}", shown.reason);
    }
    // The line ends in this router: its first hop is the provider's.
    let mut replay = site(two(), &path[1..]);
    assert_eq!(
        said(&broken_after(&mut replay, 0)).0,
        Some(BrokenAt::AccessLine)
    );
}

#[test]
fn a_private_hop_before_an_address_of_the_provider_is_no_router_of_the_site() {
    let mut attachment = attached(1);
    attachment.addresses = [IpAddr::from([198, 18, 2, 2])].into();
    let uplink = name("fiber");
    let mut replay = Replay::new(two(), PathWorld::new(&[MODEM, ACCESS]));
    replay.input(Input::Attachment { uplink, attachment });
    replay.run_until(at(600.0));
    let events = broken_after(&mut replay, 0);
    assert_eq!(said(&events).0, Some(BrokenAt::AccessLine));
}

#[test]
fn the_path_is_asked_by_ipv4_where_there_is_a_target_of_it() {
    let mut settings = two();
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&["2001:db8::1", "192.0.2.1"]);
    }
    let mut replay = site(settings, &[MODEM, ACCESS]);
    let orders = &replay.world().orders;
    assert!(!orders.is_empty());
    assert!(orders.iter().all(|(_, order)| order.target.is_ipv4()));
}

#[test]
fn an_outage_that_moves_is_told_by_the_status() {
    let mut replay = site(two(), &[MODEM, ACCESS, CORE]);
    broken_after(&mut replay, 0);
    assert_eq!(shown(&replay, "fiber").broken_at, Some(BrokenAt::OwnSide));
    broken_after(&mut replay, 2);
    assert_eq!(shown(&replay, "fiber").broken_at, Some(BrokenAt::Provider));
}

#[test]
fn no_verdict_and_no_switch_hangs_on_where_the_path_broke() {
    let run = |hops: &[[u8; 4]], working| {
        let mut replay = site(two(), hops);
        let events = broken_after(&mut replay, working);
        let times: Vec<_> = events.iter().map(|event| event.at).collect();
        (brief(&events), times, replay.probes().clone())
    };
    let untold = run(&[], 0);
    for working in 0..3 {
        assert_eq!(run(&[MODEM, ACCESS], working.min(2)), untold);
    }
}

#[test]
fn a_path_is_learnt_once_an_hour_and_asked_no_more_than_every_ten_seconds() {
    let mut replay = site(two(), &[MODEM, ACCESS]);
    replay.run_until(at(6.0 * 3_600.0));
    let of_fiber = |replay: &mut Replay<PathWorld>, in_doubt| {
        let orders = &replay.world().orders;
        let orders = orders
            .iter()
            .filter(|(_, order)| order.uplink == name("fiber") && order.in_doubt == in_doubt);
        orders.map(|(at, _)| *at).collect::<Vec<_>>()
    };
    let learnt = of_fiber(&mut replay, false);
    assert!((5..=6).contains(&learnt.len()), "{learnt:?}");
    assert_eq!(of_fiber(&mut replay, true), []);
    // It loses a round, and another, and so on.
    for second in 0..60 {
        replay.world().broken_after = Some(1).filter(|_| second % 3 == 0);
        let soon = replay.now() + Duration::from_secs(1);
        replay.run_until(soon);
    }
    let asked = of_fiber(&mut replay, true);
    assert!((1..=7).contains(&asked.len()), "{asked:?}");
}

#[test]
fn what_is_not_known_is_not_said() {
    // No hop answers when all is well.
    let mut replay = site(two(), &[]);
    assert_eq!(said(&broken_after(&mut replay, 0)).0, None);
    // The link is another than before.
    let mut replay = site(two(), &[MODEM, ACCESS]);
    let attachment = attached(9);
    replay.input(Input::Attachment {
        uplink: name("fiber"),
        attachment,
    });
    assert_eq!(said(&broken_after(&mut replay, 1)).0, None);
    // It is over, and the next outage is asked about anew.
    let mut replay = site(two(), &[MODEM, ACCESS, CORE]);
    broken_after(&mut replay, 1);
    replay.world().broken_after = None;
    let until = replay.now() + Duration::from_secs(120);
    replay.run_until(until);
    assert_eq!(shown(&replay, "fiber").broken_at, None);
    assert_eq!(
        said(&broken_after(&mut replay, 2)).0,
        Some(BrokenAt::Provider)
    );
}

#[test]
fn the_path_of_a_metered_uplink_is_never_asked() {
    let mut metered = two();
    metered.uplinks[0].probe_budget = Some(Bytes(50_000_000));
    let mut replay = site(metered, &[MODEM, ACCESS]);
    broken_after(&mut replay, 1);
    let orders = &replay.world().orders;
    assert!(
        orders
            .iter()
            .all(|(_, order)| order.uplink != name("fiber"))
    );
}
