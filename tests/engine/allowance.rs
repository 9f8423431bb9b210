//! Allowances, in virtual time: what is counted, when a period begins, and what follows where one is used up.

use std::time::Duration;

use proptest::prelude::*;

use crate::cases::cases;
use crate::lossy::{shown, state};
use crate::support::{at, brief, name, settings};
use uplinkd::engine::Engine;
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::{Command, CommandRefusal};
use uplinkd::engine::event::cause::SwitchCause;
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::{EarlierRun, Input};
use uplinkd::engine::settings::{AllowanceAction, AllowanceSettings, Settings};
use uplinkd::engine::state::State;
use uplinkd::engine::status::{AllowanceStatus, WaitReason};
use uplinkd::replay::{Replay, World};
use uplinkd::routing::desired::Carrying;
use uplinkd::routing::{Attachment, Desired, Family};
use uplinkd::units::{
    BillingDay, BootId, Bytes, Counters, IfIndex, InterfaceReading, Moment, Timestamp, ZonedTime,
};

const GB: u64 = 1_000_000_000;

/// Uplinks that answer in ten milliseconds but for these, and the paths that the kernel was to have for the traffic.
#[derive(Default)]
struct SpendingWorld {
    dead: Vec<&'static str>,
    routes: Option<Desired>,
}

impl World for SpendingWorld {
    fn answer(&mut self, order: &ProbeOrder, _: Moment) -> Option<Duration> {
        let is_dead = self.dead.contains(&order.uplink.as_str());
        (!is_dead).then_some(Duration::from_millis(10))
    }

    fn routed(&mut self, desired: &Desired) {
        self.routes = Some(desired.clone());
    }
}

type Site = Replay<SpendingWorld>;

/// Fiber has 100 GB from the 10th of a month on.
fn with_allowance(action: AllowanceAction) -> Settings {
    let mut settings = settings(&["fiber", "lte"]);
    settings.uplinks[0].allowance = Some(Box::new(AllowanceSettings {
        limit: Bytes(100 * GB),
        day: BillingDay(10),
        action,
    }));
    settings
}

fn site(action: AllowanceAction) -> Site {
    let mut site = Replay::new(with_allowance(action), SpendingWorld::default());
    site.run_until(at(60.0));
    site
}

/// The interface has counted so many bytes, in packets of a usual size.
fn reading(received: u64) -> InterfaceReading {
    let index = IfIndex::new(3).expect("an index");
    InterfaceReading {
        counters: Counters {
            rx_packets: received / 1_000,
            tx_packets: 0,
            rx_bytes: received,
            tx_bytes: 0,
        },
        index,
        newest: index,
        boot: BootId(1),
    }
}

fn traffic(uplink: &str, reading: InterfaceReading) -> Input {
    let uplink = name(uplink);
    Input::Traffic { uplink, reading }
}

/// So much has gone through since the start; what that brings about within a minute.
fn spend(site: &mut Site, gigabytes: u64) -> Vec<Event> {
    let mut events = site.input(traffic("fiber", reading(0)));
    events.extend(site.input(traffic("fiber", reading(gigabytes * GB))));
    let next = site.now() + Duration::from_secs(60);
    events.extend(site.run_until(next));
    events
}

fn used(uplink: &str, used: &str) -> Command {
    Command::Allowance {
        uplink: name(uplink),
        used: used.parse().expect("an amount"),
    }
}

fn set_used(site: &mut Site, amount: &str) -> Vec<Event> {
    let mut events = site.input(Input::Command(used("fiber", amount).into()));
    let next = site.now() + Duration::from_secs(60);
    events.extend(site.run_until(next));
    events
}

fn allowance(site: &Site) -> AllowanceStatus {
    shown(site, "fiber").allowance.expect("it has one")
}

fn causes(events: &[Event]) -> Vec<SwitchCause> {
    let causes = events.iter().filter_map(|event| {
        let Change::Switch { cause, .. } = &event.change else {
            return None;
        };
        Some(*cause)
    });
    causes.collect()
}

fn time(site: &mut Site, utc: &str) -> Vec<Event> {
    let utc = Timestamp(humantime::parse_rfc3339(utc).expect("a time"));
    let offset = 3_600;
    let mut events = site.input(Input::Time(ZonedTime { utc, offset }));
    let next = site.now() + Duration::from_secs(60);
    events.extend(site.run_until(next));
    events
}

fn percents(events: &[Event]) -> Vec<u8> {
    let percents = events.iter().filter_map(|event| {
        let Change::Allowance(change) = &event.change else {
            return None;
        };
        Some(change.percent)
    });
    percents.collect()
}

#[test]
fn a_used_allowance_is_announced_once_at_75_at_95_and_at_100_percent() {
    let mut site = site(AllowanceAction::Warn);
    let mut events = Vec::new();
    for tenths in 0..1_100 {
        events.extend(site.input(traffic("fiber", reading(tenths * GB / 10))));
    }
    assert_eq!(percents(&events), [75, 95, 100]);
    assert_eq!(brief(&events), ["allowance.reached fiber"; 3]);
    assert_eq!(events[0].reason, "75 GB of 100 GB are used (75 %)");
    assert_eq!(site.engine().carrier(), Some(&name("fiber")));
    assert!((allowance(&site).used_percent - 109.9).abs() < 0.1);
}

#[test]
fn what_an_operator_sets_right_is_counted_on_and_announced_if_it_is_news() {
    let mut site = site(AllowanceAction::Warn);
    spend(&mut site, 80);
    assert_eq!(percents(&set_used(&mut site, "78.5GB")), [0; 0]);
    let told = set_used(&mut site, "96GB");
    assert_eq!(percents(&told), [95]);
    assert_eq!(told[0].reason, "96 GB of 100 GB are used (96 %)");
    assert_eq!(percents(&set_used(&mut site, "1GB")), [0; 0]);
    site.input(traffic("fiber", reading(81 * GB)));
    assert_eq!(allowance(&site).used_bytes, Bytes(2 * GB));
    let refusal = site.engine().check(&used("lte", "1GB"));
    assert_eq!(refusal, Err(CommandRefusal::NoAllowance(name("lte"))));
}

#[test]
fn a_spent_last_resort_is_left_for_what_is_usable_and_carries_where_nothing_else_is() {
    let mut site = site(AllowanceAction::LastResort);
    let left = spend(&mut site, 100);
    assert_eq!(
        brief(&left),
        ["allowance.reached fiber", "switch fiber -> lte"]
    );
    assert_eq!(causes(&left), [SwitchCause::Allowance]);
    let waits = shown(&site, "fiber").waits.expect("it waits");
    assert_eq!(waits.reason, WaitReason::Allowance);
    site.world().dead.push("lte");
    let dead = site.run_until(at(200.0));
    assert_eq!(brief(&dead), ["uplink.down lte", "switch lte -> fiber"]);
    site.world().dead.clear();
    let back = site.run_until(at(300.0));
    let switches = brief(&back);
    assert!(
        switches.contains(&"switch fiber -> lte".to_owned()),
        "{switches:?}"
    );
    assert_eq!(site.engine().carrier(), Some(&name("lte")));
}

#[test]
fn an_operator_may_send_the_traffic_to_a_spent_last_resort_and_to_nothing_that_is_off() {
    let mut site = site(AllowanceAction::LastResort);
    spend(&mut site, 100);
    let chosen = site.input(Input::Command(Command::switch(name("fiber")).into()));
    assert_eq!(brief(&chosen), ["switch lte -> fiber"]);
    let stays = site.run_until(at(600.0));
    assert_eq!(brief(&stays), [""; 0]);
    let mut off = self::site(AllowanceAction::Off);
    spend(&mut off, 100);
    let refusal = off.engine().check(&Command::switch(name("fiber")));
    let refusal = refusal.expect_err("it is off").to_string();
    assert_eq!(
        refusal,
        "fiber cannot carry the traffic: its allowance is used up"
    );
}

/// The paths of the default group.
fn carried(site: &mut Site) -> Carrying {
    let desired = site.world().routes.clone().expect("routes");
    let settings = with_allowance(AllowanceAction::Off);
    let place = settings.numbering.carrier_place();
    let routes = desired.routes.iter().filter(|route| place.holds(route));
    let paths = routes.map(|route| (Family::of(route.destination.addr()), route.paths.clone()));
    paths.collect()
}

#[test]
fn no_route_leads_traffic_to_an_uplink_that_is_off_even_where_nothing_else_is_usable() {
    let mut site = site(AllowanceAction::Off);
    assert_eq!(carried(&mut site).len(), 1);
    let left = spend(&mut site, 100);
    assert_eq!(causes(&left), [SwitchCause::Allowance]);
    site.world().dead.push("lte");
    let dead = site.run_until(at(300.0));
    assert_eq!(brief(&dead), ["uplink.down lte", "no_usable_uplink"]);
    let why = &dead[1].reason;
    assert!(why.ends_with("fiber: its allowance is used up"), "{why}");
    assert_eq!(state(&site, "fiber"), State::Up, "it is probed on");
    // The traffic stays with what carried it last, and that is not fiber.
    let lte = carried(&mut site)[&Family::Ipv4].clone();
    assert_eq!(lte[0].gateway, Some([10, 0, 2, 1].into()));
    site.world().dead.clear();
    site.run_until(at(400.0));
    // It is off while it carries the traffic, and nothing else is usable.
    let mut alone = self::site(AllowanceAction::Off);
    alone.world().dead.push("lte");
    alone.run_until(at(120.0));
    let left = spend(&mut alone, 100);
    let expected = [
        "allowance.reached fiber",
        "no_usable_uplink",
        "switch fiber -> lte",
    ];
    assert_eq!(brief(&left), expected);
    assert_eq!(causes(&left), [SwitchCause::Allowance]);
    assert_eq!(carried(&mut alone)[&Family::Ipv4], lte);
    // Nor has any other a link.
    let (uplink, attachment) = (name("lte"), Attachment::default());
    alone.input(Input::Attachment { uplink, attachment });
    alone.run_until(at(300.0));
    assert_eq!(carried(&mut alone), Carrying::new());
}

#[test]
fn a_new_period_begins_on_its_day_by_local_time_and_gives_the_traffic_back() {
    let mut site = site(AllowanceAction::LastResort);
    time(&mut site, "2026-11-28T12:00:00Z");
    spend(&mut site, 100);
    assert_eq!(site.engine().carrier(), Some(&name("lte")));
    let status = allowance(&site);
    let days = [status.begins, status.ends].map(|day| day.expect("a day").to_string());
    assert_eq!(days, ["2026-11-10", "2026-12-10"]);
    let before = time(&mut site, "2026-12-09T22:59:00Z");
    assert_eq!(brief(&before), [""; 0]);
    let begun = time(&mut site, "2026-12-09T23:00:00Z");
    assert_eq!(brief(&begun), ["switch lte -> fiber"]);
    assert_eq!(allowance(&site).used_bytes, Bytes(0));
    site.input(traffic("fiber", reading(180 * GB)));
    assert_eq!(allowance(&site).used_bytes, Bytes(80 * GB));
    let again = site.input(traffic("fiber", reading(181 * GB)));
    assert_eq!(percents(&again), [0; 0], "it was announced at 80 GB");
}

#[test]
fn a_clock_that_is_not_set_or_shows_the_time_of_the_firmware_ends_no_period() {
    let mut site = site(AllowanceAction::Warn);
    time(&mut site, "1970-01-01T00:00:00Z");
    spend(&mut site, 40);
    assert_eq!(allowance(&site).begins, None);
    for utc in [
        "2026-11-28T12:00:00Z",
        "2026-03-01T00:00:00Z",
        "1970-03-01T00:00:00Z",
        "2026-11-28T12:01:00Z",
    ] {
        time(&mut site, utc);
        assert_eq!(allowance(&site).used_bytes, Bytes(40 * GB), "{utc}");
        let begins = allowance(&site).begins.expect("a day").to_string();
        assert_eq!(begins, "2026-11-10", "{utc}");
    }
    // A clock that was years ahead for half a day has begun a period, and is believed again half a day after it was
    // set right.
    for hour in 0..=12 {
        time(&mut site, &format!("2031-01-01T{hour:02}:00:00Z"));
        let next = site.now() + Duration::from_secs(3_540);
        site.run_until(next);
    }
    assert_eq!(allowance(&site).used_bytes, Bytes(0));
    spend(&mut site, 5);
    for hour in 0..=12 {
        let utc = format!("2026-11-29T{hour:02}:00:00Z");
        time(&mut site, &utc);
        let next = site.now() + Duration::from_secs(3_540);
        site.run_until(next);
        let is_believed = allowance(&site).begins.expect("a day").to_string() == "2026-11-10";
        assert_eq!(is_believed, hour == 12, "{utc}");
    }
    assert_eq!(allowance(&site).used_bytes, Bytes(5 * GB));
}

#[test]
fn a_clock_that_leaps_ahead_and_is_set_right_within_half_a_day_ends_no_period() {
    for restarts in [false, true] {
        let mut site = site(AllowanceAction::LastResort);
        time(&mut site, "2026-11-28T12:00:00Z");
        spend(&mut site, 100);
        assert_eq!(site.engine().carrier(), Some(&name("lte")));
        let mut told = percents(&time(&mut site, "2037-01-01T00:00:00Z"));
        assert_eq!(allowance(&site).used_bytes, Bytes(0));
        // Once more, before it is set right.
        told.extend(percents(&time(&mut site, "2040-05-01T00:00:00Z")));
        site.input(traffic("fiber", reading(105 * GB)));
        if restarts {
            let allowances = site.engine().allowances();
            site = self::site(AllowanceAction::LastResort);
            let earlier = EarlierRun {
                allowances,
                ..EarlierRun::default()
            };
            site.input(Input::Resume(Box::new(earlier)));
            told.extend(percents(&time(&mut site, "2040-05-01T00:10:00Z")));
        }
        told.extend(percents(&time(&mut site, "2026-11-28T12:20:00Z")));
        let status = allowance(&site);
        assert_eq!(status.used_bytes, Bytes(105 * GB));
        assert_eq!(status.begins.expect("a day").to_string(), "2026-11-10");
        assert_eq!(site.engine().carrier(), Some(&name("lte")));
        assert_eq!(told, [0; 0], "what was announced is no news");
        // The real end of the period.
        time(&mut site, "2026-12-09T23:00:00Z");
        assert_eq!(allowance(&site).used_bytes, Bytes(0));
    }
}

#[test]
fn a_reload_keeps_what_was_counted_also_on_another_interface_and_for_another_day() {
    let mut site = site(AllowanceAction::Warn);
    time(&mut site, "2026-11-28T12:00:00Z");
    spend(&mut site, 40);
    let mut changed = with_allowance(AllowanceAction::LastResort);
    changed.uplinks[0].interface = "eth9".parse().expect("a name");
    let of = changed.uplinks[0].allowance.as_mut().expect("it has one");
    (of.day, of.limit) = (BillingDay(20), Bytes(50 * GB));
    let events = site.input(Input::Settings(Box::new(changed)));
    assert_eq!(allowance(&site).used_bytes, Bytes(40 * GB));
    assert_eq!(percents(&events), [0; 0]);
    time(&mut site, "2026-11-28T12:02:00Z");
    let status = allowance(&site);
    assert_eq!(status.used_bytes, Bytes(40 * GB));
    assert_eq!(status.begins.expect("a day").to_string(), "2026-11-20");
}

#[test]
fn a_cold_standby_that_is_off_is_not_brought_up() {
    let text = "[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n\
                [[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\nstandby = \"cold\"\n\
                allowance = \"1GB\"\nallowance_action = \"off\"\n";
    let config = uplinkd::config::Config::parse(text, "uplinkd.toml").expect("a configuration");
    let mut site = Replay::new(config.engine, SpendingWorld::default());
    site.run_until(at(600.0));
    site.input(Input::Command(used("lte", "1GB").into()));
    site.world().dead.push("fiber");
    let events = site.run_until(at(660.0));
    assert_eq!(
        brief(&events),
        ["uplink.down fiber", "no_usable_uplink"],
        "no standby.up"
    );
    let events = site.input(Input::Command(used("lte", "0B").into()));
    assert!(brief(&events).contains(&"standby.up lte".to_owned()));
}

/// How often the agent reads counters and how often it writes what it counted, in seconds.
const READ_EVERY: u64 = 30;
const WRITE_EVERY: u64 = 3_500;

/// A machine whose agent counts an allowance, and what has really gone through.
struct CountedMachine {
    /// The bits of its counters.
    width: u64,
    counters: Counters,
    index: u32,
    newest: u32,
    boot: u64,
    engine: Engine,
    now: u64,
    sent: u64,
    /// What had gone through at the last reading.
    sent_read: u64,
    /// What the file holds, when it was written, and what had gone through by then.
    disk: EarlierRun,
    written: u64,
    sent_written: u64,
    /// The counters have begun anew since then.
    has_begun_anew: bool,
    /// What may be missing, and the longest time of which something is.
    may_miss: u64,
    longest: u64,
}

/// What happens to it.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// The agent is killed, and another starts later.
    Kill { later: u64 },
    /// The same, after it has stopped by itself.
    Stop { later: u64 },
    /// The machine is started again in order.
    Reboot { later: u64 },
    /// The power is cut.
    PowerCut { later: u64 },
    /// The interface is made anew.
    NewIndex,
    /// The driver has set its counters back.
    SetBack,
}

impl CountedMachine {
    fn new(width: u64, counters: Counters) -> Self {
        let mut machine = Self {
            width,
            counters,
            index: 3,
            newest: 4,
            boot: 1,
            engine: Engine::new(with_allowance(AllowanceAction::Warn), Moment::START),
            now: 0,
            sent: 0,
            sent_read: 0,
            disk: EarlierRun::default(),
            written: 0,
            sent_written: 0,
            has_begun_anew: false,
            may_miss: 0,
            longest: 0,
        };
        machine.read();
        machine.write();
        machine
    }

    fn tell(&mut self, input: Input) {
        let now = Moment::after_start(Duration::from_secs(self.now));
        self.engine.handle_input(now, input);
        while self.engine.poll_action().is_some() {}
    }

    fn read(&mut self) {
        let shown = |counter: u64| counter & (u64::MAX >> (64 - self.width));
        let Counters {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
        } = self.counters;
        let counters = Counters {
            rx_packets: shown(rx_packets),
            tx_packets: shown(tx_packets),
            rx_bytes: shown(rx_bytes),
            tx_bytes: shown(tx_bytes),
        };
        let reading = InterfaceReading {
            counters,
            index: IfIndex::new(self.index).expect("an index"),
            newest: IfIndex::new(self.newest).expect("an index"),
            boot: BootId(self.boot),
        };
        self.tell(traffic("fiber", reading));
        self.sent_read = self.sent;
    }

    fn write(&mut self) {
        self.disk.allowances = self.engine.allowances();
        (self.written, self.sent_written) = (self.now, self.sent_read);
        self.has_begun_anew = false;
    }

    /// So much goes through, in packets of this size.
    fn carry(&mut self, bytes: u64, size: u64) {
        let (received, sent) = (bytes / 3 * 2, bytes - bytes / 3 * 2);
        let Counters {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
        } = self.counters;
        self.counters = Counters {
            rx_packets: rx_packets.wrapping_add(received.div_ceil(size)),
            tx_packets: tx_packets.wrapping_add(sent.div_ceil(size)),
            rx_bytes: rx_bytes.wrapping_add(received),
            tx_bytes: tx_bytes.wrapping_add(sent),
        };
        self.sent += bytes;
    }

    /// Time passes while the agent runs, at so many bytes a second.
    fn run(&mut self, seconds: u64, rate: u64, size: u64) {
        for _ in 0..seconds / READ_EVERY {
            self.now += READ_EVERY;
            self.carry(rate * READ_EVERY, size);
            self.read();
            if self.now - self.written >= WRITE_EVERY {
                self.write();
            }
        }
        let rest = seconds % READ_EVERY;
        self.now += rest;
        self.carry(rate * rest, size);
    }

    /// The agent does not run for so long, and then another one does.
    fn start(&mut self, later: u64, rate: u64, size: u64) {
        self.now += later;
        self.carry(rate * later, size);
        let now = Moment::after_start(Duration::from_secs(self.now));
        self.engine = Engine::new(with_allowance(AllowanceAction::Warn), now);
        let earlier = self.disk.clone();
        self.tell(Input::Resume(Box::new(earlier)));
        self.read();
    }

    fn boot(&mut self) {
        self.boot += 1;
        self.counters = Counters::default();
        (self.index, self.newest) = (3, 4);
    }

    fn suffer(&mut self, mishap: Mishap, rate: u64, size: u64) {
        match mishap {
            Mishap::Kill { later } => {
                self.start(later, rate, size);
                if self.width == 32 || self.has_begun_anew {
                    // Since the reading that is on the disk it may have wrapped more than once.
                    self.may_miss += self.sent - self.sent_written;
                    self.longest = self.longest.max(self.now - self.written);
                }
            }
            Mishap::Stop { later } => {
                self.read();
                self.write();
                self.start(later, rate, size);
            }
            Mishap::Reboot { later } => {
                self.read();
                self.write();
                self.boot();
                self.start(later, rate, size);
            }
            Mishap::PowerCut { later } => {
                self.may_miss += self.sent - self.sent_written;
                self.longest = self.longest.max(self.now - self.written);
                self.boot();
                self.start(later, rate, size);
            }
            Mishap::NewIndex => {
                self.may_miss += self.sent - self.sent_read;
                self.newest += 1;
                self.index = self.newest;
                self.counters = Counters::default();
                self.has_begun_anew = true;
            }
            Mishap::SetBack => {
                self.may_miss += self.sent - self.sent_read;
                self.counters = Counters::default();
                self.has_begun_anew = true;
                self.read();
            }
        }
    }

    fn counted(&self) -> u64 {
        self.engine.allowances()[&name("fiber")].used.0
    }
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        // A counter of 32 bits that wraps while nothing reads it is not known to have wrapped twice.
        (0..30_u64).prop_map(|later| Mishap::Kill { later }),
        (0..30_u64).prop_map(|later| Mishap::Stop { later }),
        (0..30_u64).prop_map(|later| Mishap::Reboot { later }),
        (0..30_u64).prop_map(|later| Mishap::PowerCut { later }),
        Just(Mishap::NewIndex),
        Just(Mishap::SetBack),
    ]
}

/// Counters from which those of 32 or of 64 bits soon wrap, or do not.
fn counters() -> impl Strategy<Value = Counters> {
    let edge = || prop_oneof![Just(0), Just(u64::from(u32::MAX)), Just(u64::MAX)];
    let near =
        move || (edge(), 0..3 * GB).prop_map(|(edge, off): (u64, u64)| edge.saturating_sub(off));
    (near(), near()).prop_map(|(rx_bytes, tx_bytes)| Counters {
        rx_packets: rx_bytes / 800,
        tx_packets: tx_bytes / 500,
        rx_bytes,
        tx_bytes,
    })
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn kills_stops_reboots_new_indices_wraps_and_counters_set_back_cost_no_more_than_an_hour_each(
        width in prop_oneof![Just(32_u64), Just(64_u64)],
        counters in counters(),
        steps in prop::collection::vec(
            (1..10_000_u64, 0..100_000_000_u64, 60..1_500_u64, mishap()),
            50,
        ),
    ) {
        let mut machine = CountedMachine::new(width, counters);
        let mut is_orderly = true;
        for (seconds, rate, size, mishap) in steps {
            machine.run(seconds, rate, size);
            machine.suffer(mishap, rate, size);
            is_orderly &= match mishap {
                Mishap::Kill { .. } => width == 64,
                Mishap::Stop { .. } | Mishap::Reboot { .. } => true,
                Mishap::PowerCut { .. } | Mishap::NewIndex | Mishap::SetBack => false,
            };
            let missing = machine.sent_read.checked_sub(machine.counted());
            let missing = missing.expect("nothing is counted twice");
            prop_assert!(missing <= machine.may_miss, "{missing} of {}", machine.may_miss);
            prop_assert!(machine.longest <= 3_600);
            prop_assert!(!is_orderly || missing == 0);
        }
    }
}

#[test]
fn fifty_kills_stops_and_reboots_in_order_cost_no_byte() {
    let mut machine = CountedMachine::new(64, Counters::default());
    for (step, later) in (0..25).cycle().take(50).enumerate() {
        machine.run(997 * (later % 7 + 1), 12_345_678, 700);
        let mishaps = [
            Mishap::Kill { later },
            Mishap::Stop { later },
            Mishap::Reboot { later },
        ];
        machine.suffer(mishaps[step % 3], 12_345_678, 700);
    }
    assert_eq!(machine.counted(), machine.sent);
    assert!(machine.sent > 1_000 * GB, "{}", machine.sent);
}

#[test]
fn an_uplink_that_moves_to_an_interface_that_was_there_does_not_take_over_what_that_counted() {
    let mut site = site(AllowanceAction::Warn);
    spend(&mut site, 3);
    let other = InterfaceReading {
        index: IfIndex::new(2).expect("an index"),
        ..reading(70 * GB)
    };
    site.input(traffic("fiber", other));
    assert_eq!(allowance(&site).used_bytes, Bytes(3 * GB));
}
