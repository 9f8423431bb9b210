//! Warm and cold standbys, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::earlier::carrying;
use crate::support::{at, brief, group, name, settings};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::command::Command;
use uplinkd::engine::event::{Change, Errand, Event};
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::settings::{ColdSettings, Policy, Settings, Standby};
use uplinkd::engine::state::State;
use uplinkd::engine::status::UplinkStatus;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::{Attachment, Trouble};
use uplinkd::units::{Bytes, InterfaceName, Moment, Wall};

const COLD: ColdSettings = ColdSettings {
    linger: Duration::from_secs(300),
    ready_within: Duration::from_secs(60),
    exercise_every: None,
};

/// How often the hook looks whether there is something to do for the modem.
const LOOK_EVERY: f64 = 0.05;

/// What answers.
#[derive(Default)]
struct Net {
    dead: BTreeSet<&'static str>,
    /// This machine refuses the probes through these.
    refused: BTreeSet<&'static str>,
    asked: Vec<(String, f64)>,
}

impl World for Net {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let uplink = order.uplink.as_str();
        let now = now.since_start().as_secs_f64();
        self.asked.push((uplink.to_owned(), now));
        (!self.dead.contains(uplink)).then_some(Duration::from_millis(10))
    }

    fn outcome(&mut self, order: &ProbeOrder, now: Moment) -> Option<(Duration, ProbeOutcome)> {
        if self.refused.contains(order.uplink.as_str()) {
            let why = "Operation not permitted (os error 1)".to_owned();
            return Some((Duration::ZERO, ProbeOutcome::Refused(why)));
        }
        let rtt = self.answer(order, now)?;
        Some((rtt, ProbeOutcome::Reply(rtt)))
    }
}

/// An engine with a modem behind `lte` that follows the errands: it takes so many seconds to dial,
/// and none if it cannot.
struct Site {
    replay: Replay<Net>,
    dial: Option<f64>,
    events: Vec<Event>,
    pending: Vec<(f64, Attachment)>,
}

fn absent() -> Attachment {
    Attachment {
        trouble: Some(Trouble::Absent),
        ..Attachment::default()
    }
}

fn cold(uplinks: &[&str], cold: ColdSettings) -> Settings {
    let mut settings = settings(uplinks);
    let lte = settings.uplinks.iter_mut().find(|u| u.name == name("lte"));
    lte.expect("lte").standby = Standby::Cold(cold);
    settings
}

fn exercised(seconds: u64) -> ColdSettings {
    ColdSettings {
        exercise_every: Some(Duration::from_secs(seconds)),
        ..COLD
    }
}

impl Site {
    /// With its modem asleep.
    fn new(settings: Settings) -> Self {
        let mut site = Self::with_lte_up(settings);
        site.attach(absent());
        site
    }

    fn with_lte_up(settings: Settings) -> Self {
        Self {
            replay: Replay::new(settings, Net::default()),
            dial: Some(5.0),
            events: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn now(&self) -> f64 {
        self.replay.now().since_start().as_secs_f64()
    }

    fn tell(&mut self, input: Input) {
        let happened = self.replay.input(input);
        self.note(happened);
    }

    fn attach(&mut self, attachment: Attachment) {
        let uplink = name("lte");
        self.tell(Input::Attachment { uplink, attachment });
    }

    fn note(&mut self, happened: Vec<Event>) {
        for event in &happened {
            let then = event.at.since_start().as_secs_f64();
            match (&event.change, self.dial) {
                (
                    Change::Standby {
                        errand: Errand::Up, ..
                    },
                    Some(dial),
                ) => {
                    self.pending.push((then + dial, attached(2)));
                }
                (
                    Change::Standby {
                        errand: Errand::Down,
                        ..
                    },
                    _,
                ) => {
                    self.pending.push((then + 1.0, absent()));
                }
                (_, _) => {}
            }
        }
        self.events.extend(happened);
    }

    /// Lets the time pass, and returns what happened.
    fn until(&mut self, end: f64) -> Vec<String> {
        let from = self.events.len();
        while self.now() < end {
            let next = (self.now() + LOOK_EVERY).min(end);
            let happened = self.replay.run_until(at(next));
            self.note(happened);
            let due = self.pending.extract_if(.., |(then, _)| *then <= next);
            for (_, attachment) in due.collect::<Vec<_>>() {
                self.attach(attachment);
            }
        }
        brief(&self.events[from..])
    }

    fn kill(&mut self, uplink: &'static str) {
        self.replay.world().dead.insert(uplink);
    }

    /// What is refused from now on.
    fn refuse(&mut self, uplinks: &[&'static str]) {
        self.replay.world().refused = uplinks.iter().copied().collect();
    }

    fn state(&self, uplink: &str) -> State {
        let wall = Wall::reading(std::time::UNIX_EPOCH, self.replay.now());
        let status = self.replay.engine().status(wall);
        let mut uplinks = status.uplinks.iter();
        uplinks.find(|u| u.name == name(uplink)).expect("it").state
    }

    fn mend(&mut self, uplink: &'static str) {
        self.replay.world().dead.remove(uplink);
    }

    /// A cable is pulled: no other sign is so clear.
    fn unplug(&mut self, uplink: &'static str) {
        let attachment = Attachment {
            trouble: Some(Trouble::NoCarrier),
            ..attached(1)
        };
        let uplink = name(uplink);
        self.tell(Input::Attachment { uplink, attachment });
    }

    fn lte(&self) -> UplinkStatus {
        let wall = Wall::reading(std::time::UNIX_EPOCH, self.replay.now());
        let status = self.replay.engine().status(wall);
        let mut uplinks = status.uplinks.into_iter();
        uplinks.find(|u| u.name == name("lte")).expect("lte")
    }

    fn carrier(&self) -> &str {
        self.replay.engine().carrier().expect("a carrier").as_str()
    }

    fn when(&self, what: &str) -> f64 {
        crate::support::when(&self.events, what).unwrap_or_else(|| {
            panic!("no {what} in {:?}", brief(&self.events));
        })
    }

    fn count(&self, what: &str) -> usize {
        let happened = brief(&self.events);
        happened.iter().filter(|event| *event == what).count()
    }

    fn reason(&self, what: &str) -> &str {
        let at = brief(&self.events).iter().rposition(|event| event == what);
        &self.events[at.expect("it happened")].reason
    }

    fn asked(&mut self, uplink: &str, span: std::ops::Range<f64>) -> usize {
        let asked = self.replay.world().asked.iter();
        asked
            .filter(|(of, then)| of == uplink && span.contains(then))
            .count()
    }
}

#[test]
fn a_cold_uplink_that_is_not_needed_is_cold_and_raises_no_alarm() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    let happened = site.until(3_600.0);
    assert_eq!(happened, ["uplink.up fiber", "switch  -> fiber"]);
    let lte = site.lte();
    assert_eq!(lte.state, State::Cold);
    assert!(
        lte.reason.starts_with("brought up when needed"),
        "{}",
        lte.reason
    );
    // Whatever is missing of it.
    for trouble in [Trouble::Down, Trouble::NoCarrier, Trouble::NoAddress] {
        site.attach(Attachment {
            trouble: Some(trouble),
            ..attached(2)
        });
        assert_eq!(site.lte().state, State::Cold, "{trouble:?}");
    }
    assert_eq!(site.until(7_200.0), Vec::<String>::new());
    assert_eq!(site.asked("lte", 0.1..7_200.0), 0);
}

#[test]
fn it_is_called_while_the_carrier_is_in_grave_doubt_before_the_verdict() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.kill("fiber");
    site.until(120.0);
    let (up, down) = (site.when("standby.up lte"), site.when("uplink.down fiber"));
    assert!(up < down, "{up} {down}");
    assert!(site.reason("standby.up lte").contains("fiber"));
    // The first answer is enough where nothing else is usable.
    let switch = site.when("switch fiber -> lte");
    assert!(switch < up + 5.0 + 0.2, "{up} {switch}");
    assert_eq!(site.carrier(), "lte");
}

#[test]
fn it_is_called_for_a_group_of_traffic_that_has_no_uplink_before_it() {
    let with_group = |uplinks: &[&str]| {
        let mut settings = cold(&["fiber", "lte"], COLD);
        let uplinks = uplinks.iter().copied().map(name).collect();
        settings
            .groups
            .push(group("voice", Policy::Failover, uplinks));
        Site::new(settings)
    };
    let mut spared = with_group(&["fiber", "lte"]);
    spared.until(600.0);
    assert_eq!(
        spared.count("standby.up lte"),
        0,
        "{:?}",
        brief(&spared.events)
    );
    let mut first = with_group(&["lte", "fiber"]);
    first.until(600.0);
    assert_eq!(
        first.count("standby.up lte"),
        1,
        "{:?}",
        brief(&first.events)
    );
    assert_eq!(
        first.count("standby.down lte"),
        0,
        "{:?}",
        brief(&first.events)
    );
    assert_eq!(first.carrier(), "fiber");
    assert!(first.lte().active);
}

#[test]
fn a_pulled_cable_calls_it_at_once() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.unplug("fiber");
    assert!((site.when("standby.up lte") - 60.0).abs() < 1e-6);
    assert_eq!(site.lte().state, State::Cold);
    assert!(
        site.lte().reason.starts_with("is brought up"),
        "{}",
        site.lte().reason
    );
}

#[test]
fn probes_that_are_refused_where_it_could_be_probed_call_it_and_are_the_other_ones_trouble_if_its_own_leave()
 {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.refuse(&["fiber"]);
    let happened = site.until(120.0);
    assert!(
        !happened.contains(&"machine.refuses".to_owned()),
        "{happened:?}"
    );
    assert!(site.reason("standby.up lte").contains("not permitted"));
    let (up, switch) = (
        site.when("standby.up lte"),
        site.when("switch fiber -> lte"),
    );
    assert!((60.0..63.0).contains(&up), "{up}");
    // It dials for 5 s; then fiber has `outage_within`.
    assert!(switch < up + 5.0 + 10.0 + 2.0, "{up} {switch}");
}

#[test]
fn what_is_refused_on_it_too_is_the_machines_doing_and_it_rests_again() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.refuse(&["fiber", "lte"]);
    let happened = site.until(3_000.0);
    let expected = ["standby.up lte", "machine.refuses", "standby.down lte"];
    assert_eq!(happened, expected);
    assert_eq!(site.state("fiber"), State::Up);
    site.refuse(&[]);
    assert_eq!(site.until(3_600.0), ["machine.sends"]);
}

#[test]
fn where_it_cannot_be_brought_up_what_is_refused_on_all_others_is_the_machines_doing() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.dial = None;
    site.until(60.0);
    site.refuse(&["fiber"]);
    let happened = site.until(3_000.0);
    // It is tried once more at the moment at which it is found not to be usable.
    let expected = [
        "standby.up lte",
        "standby.unready lte",
        "standby.up lte",
        "machine.refuses",
        "standby.down lte",
    ];
    assert_eq!(happened, expected);
    assert!(site.when("machine.refuses") < 125.0);
    assert_eq!((site.state("fiber"), site.carrier()), (State::Up, "fiber"));
    assert!(
        !happened.contains(&"machine.sends".to_owned()),
        "{happened:?}"
    );
}

#[test]
fn a_single_missed_probe_calls_no_cold_uplink() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.kill("fiber");
    // Until a probe is sent that is missed.
    while site.asked("fiber", 60.0..1e9) == 0 {
        let next = site.now() + LOOK_EVERY;
        site.until(next);
    }
    site.mend("fiber");
    site.until(600.0);
    assert_eq!(site.count("standby.up lte"), 0, "{:?}", brief(&site.events));
}

#[test]
fn it_stays_up_until_the_failback_and_goes_down_after_the_linger() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.kill("fiber");
    site.until(3_600.0);
    assert_eq!(site.count("standby.down lte"), 0);
    site.mend("fiber");
    site.until(4_500.0);
    let (back, down) = (
        site.when("switch lte -> fiber"),
        site.when("standby.down lte"),
    );
    assert!((300.0..302.0).contains(&(down - back)), "{back} {down}");
    assert_eq!(site.lte().state, State::Cold);
    // To go to sleep is no outage, nor is it a fall.
    assert_eq!(site.count("uplink.down lte"), 0);
    assert!(site.lte().penalty < 0.01);
}

#[test]
fn a_doubt_that_was_for_nothing_takes_it_down_again_after_the_linger() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.unplug("fiber");
    site.until(62.0);
    let (uplink, attachment) = (name("fiber"), attached(1));
    site.tell(Input::Attachment { uplink, attachment });
    site.until(1_200.0);
    assert_eq!(site.count("standby.up lte"), 1);
    assert_eq!(site.count("standby.down lte"), 1);
    assert_eq!(site.count("standby.unready lte"), 0);
    assert_eq!(site.lte().state, State::Cold);
}

#[test]
fn a_doubt_that_comes_and_goes_calls_it_once_and_does_not_begin_its_time_anew() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.dial = None;
    site.until(60.0);
    for turn in 0..20_u8 {
        let next = site.now() + 5.0;
        if turn.is_multiple_of(2) {
            site.unplug("fiber");
        } else {
            let (uplink, attachment) = (name("fiber"), attached(1));
            site.tell(Input::Attachment { uplink, attachment });
        }
        site.until(next);
    }
    let unready = site.when("standby.unready lte");
    assert!((120.0..130.5).contains(&unready), "{unready}");
    assert_eq!(site.count("standby.up lte"), 2, "{:?}", brief(&site.events));
}

#[test]
fn it_is_not_called_while_one_that_goes_before_it_is_well() {
    let mut site = Site::new(cold(&["fiber", "backup", "lte"], COLD));
    site.until(60.0);
    site.kill("fiber");
    site.until(600.0);
    assert_eq!(site.carrier(), "backup");
    assert_eq!(site.count("standby.up lte"), 0);
    site.kill("backup");
    site.until(700.0);
    assert_eq!(site.carrier(), "lte");
}

#[test]
fn it_is_called_although_one_that_it_goes_before_has_taken_over() {
    let mut site = Site::new(cold(&["fiber", "lte", "backup"], COLD));
    site.until(60.0);
    site.unplug("fiber");
    assert_eq!(site.carrier(), "backup");
    site.until(180.0);
    assert_eq!(site.carrier(), "lte");
}

#[test]
fn a_switch_by_hand_wakes_it_and_goes_there_once_it_is_usable() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    let switch = Command::switch(name("lte"));
    assert_eq!(site.replay.engine().check(&switch), Ok(()));
    site.tell(Input::Command(switch.into()));
    assert_eq!(site.carrier(), "fiber");
    site.until(66.0);
    assert_eq!(site.carrier(), "lte");
    site.until(3_000.0);
    assert_eq!(site.carrier(), "lte");
    site.tell(Input::Command(Command::Auto.into()));
    assert_eq!(site.carrier(), "fiber");
    site.until(3_400.0);
    assert_eq!(site.lte().state, State::Cold);
}

#[test]
fn in_maintenance_it_can_neither_be_switched_to_nor_is_it_called() {
    let mut site = Site::new(cold(&["fiber", "lte"], exercised(600)));
    site.until(60.0);
    site.tell(Input::Command(Command::disable(name("lte")).into()));
    let switch = Command::switch(name("lte"));
    assert!(site.replay.engine().check(&switch).is_err());
    site.unplug("fiber");
    site.until(3_600.0);
    assert_eq!(site.count("standby.up lte"), 0);
}

#[test]
fn one_that_does_not_come_up_is_unready_once_and_tried_ever_more_rarely() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.dial = None;
    site.until(60.0);
    site.unplug("fiber");
    site.until(119.0);
    assert_eq!(site.lte().state, State::Cold);
    site.until(3_660.0);
    let unready = site.when("standby.unready lte");
    assert!((60.0..60.1).contains(&(unready - 60.0)), "{unready}");
    assert_eq!(site.count("standby.unready lte"), 1);
    assert_eq!(
        site.reason("standby.unready lte"),
        "not usable within 60 s: no interface eth2"
    );
    let lte = site.lte();
    assert_eq!(lte.state, State::Absent);
    assert!(
        lte.reason.contains("not usable within 60 s"),
        "{}",
        lte.reason
    );
    let tries: Vec<_> = (site.events.iter())
        .filter(|event| brief(std::slice::from_ref(event)) == ["standby.up lte"])
        .map(|event| event.at.since_start().as_secs_f64().round() - 60.0)
        .collect();
    assert_eq!(tries[..5], [0.0, 60.0, 180.0, 420.0, 900.0]);
    assert!((9..11).contains(&tries.len()), "{tries:?}");
    // The operator puts in another SIM.
    site.dial = Some(5.0);
    site.until(4_400.0);
    assert_eq!(site.carrier(), "lte");
}

#[test]
fn one_whose_link_comes_up_and_never_answers_is_down_only_when_its_time_is_over() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.kill("lte");
    site.until(60.0);
    site.unplug("fiber");
    site.until(119.0);
    assert_eq!(site.lte().state, State::Unknown);
    site.until(130.0);
    assert_eq!(site.lte().state, State::Down);
    assert_eq!(
        site.reason("standby.unready lte"),
        "not usable within 60 s: eth2 is up, no answer"
    );
    assert_eq!(site.count("uplink.down lte"), 0);
    // Four times a second at most.
    let asked = site.asked("lte", 66.0..119.0);
    assert!(asked < 53 * 6, "{asked}");
}

#[test]
fn an_exercise_that_passes_lets_it_go_down_at_once_and_moves_no_traffic() {
    let mut site = Site::new(cold(&["fiber", "lte"], exercised(600)));
    site.until(1_300.0);
    assert_eq!(site.count("standby.up lte"), 2);
    assert_eq!(site.count("standby.down lte"), 2);
    assert_eq!(site.count("standby.unready lte"), 0);
    let (up, down) = (site.when("standby.up lte"), site.when("standby.down lte"));
    assert!((599.0..601.0).contains(&up), "{up}");
    assert!(down - up < 5.2, "{up} {down}");
    assert!(site.reason("standby.down lte").contains("passed"));
    assert_eq!(site.lte().state, State::Cold);
    assert_eq!(site.count("switch fiber -> lte"), 0);
}

#[test]
fn an_exercise_that_fails_is_told_and_shown_until_one_passes() {
    let mut site = Site::new(cold(&["fiber", "lte"], exercised(600)));
    site.dial = None;
    site.until(700.0);
    assert_eq!(site.count("standby.unready lte"), 1);
    assert!(site.reason("standby.unready lte").starts_with("exercise: "));
    assert!(site.when("standby.down lte") >= site.when("standby.unready lte"));
    let lte = site.lte();
    assert_eq!(lte.state, State::Absent);
    assert!(lte.reason.contains("not usable"), "{}", lte.reason);
    assert_eq!(site.count("uplink.down lte"), 0);
    site.dial = Some(20.0);
    site.until(1_400.0);
    assert_eq!(site.count("standby.unready lte"), 1);
    assert_eq!(site.lte().state, State::Cold);
}

#[test]
fn the_first_exercise_is_an_hour_after_the_start_however_rare_they_are() {
    let mut site = Site::new(cold(&["fiber", "lte"], exercised(30 * 86_400)));
    site.until(3_700.0);
    let up = site.when("standby.up lte");
    assert!((3_599.0..3_601.0).contains(&up), "{up}");
}

#[test]
fn an_outage_during_an_exercise_keeps_it_up() {
    let mut site = Site::new(cold(&["fiber", "lte"], exercised(600)));
    site.until(602.0);
    site.unplug("fiber");
    site.until(1_000.0);
    assert_eq!(site.carrier(), "lte");
    assert_eq!(site.count("standby.up lte"), 1);
    assert_eq!(site.count("standby.down lte"), 0);
}

#[test]
fn one_that_is_found_up_and_carrying_is_kept_and_one_that_is_not_needed_goes_down() {
    let mut site = Site::with_lte_up(cold(&["fiber", "lte"], COLD));
    site.until(200.0);
    assert_eq!(site.count("standby.down lte"), 0);
    site.until(400.0);
    assert_eq!(site.count("standby.down lte"), 1);

    let mut site = Site::with_lte_up(cold(&["fiber", "lte"], COLD));
    site.tell(carrying("lte"));
    site.kill("fiber");
    site.until(3_600.0);
    assert_eq!(site.carrier(), "lte");
    let errands = [site.count("standby.up lte"), site.count("standby.down lte")];
    assert_eq!(errands, [0, 0], "{:?}", brief(&site.events));
}

#[test]
fn it_is_not_taken_down_while_no_other_is_well() {
    let mut site = Site::with_lte_up(cold(
        &["lte", "fiber"],
        ColdSettings {
            linger: Duration::ZERO,
            ..COLD
        },
    ));
    site.kill("fiber");
    site.until(3_600.0);
    assert_eq!(site.count("standby.down lte"), 0);
}

#[test]
fn while_the_machine_boots_no_cold_uplink_is_called() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.unplug("fiber");
    site.until(8.0);
    let (uplink, attachment) = (name("fiber"), attached(1));
    site.tell(Input::Attachment { uplink, attachment });
    site.until(120.0);
    assert_eq!(site.count("standby.up lte"), 0, "{:?}", site.events);

    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.unplug("fiber");
    site.until(120.0);
    let up = site.when("standby.up lte");
    assert!((10.0..11.0).contains(&up), "{up}");
    assert_eq!(site.carrier(), "lte");
}

#[test]
fn a_cold_uplink_that_fails_while_it_carries_is_down_and_called_again() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.unplug("fiber");
    site.until(120.0);
    site.attach(absent());
    assert_eq!(site.lte().state, State::Absent);
    assert_eq!(site.count("uplink.down lte"), 1);
    site.until(300.0);
    assert_eq!(site.count("standby.unready lte"), 1);
    assert_eq!(site.count("standby.up lte"), 2);
    assert_eq!(site.lte().state, State::Up);
}

#[test]
fn a_reload_makes_a_hot_uplink_cold_and_a_cold_one_hot() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.tell(Input::Settings(Box::new(settings(&["fiber", "lte"]))));
    site.attach(absent());
    assert_eq!(site.lte().state, State::Absent);
    let settings = cold(&["fiber", "lte"], COLD);
    site.tell(Input::Settings(Box::new(settings.clone())));
    site.attach(absent());
    assert_eq!(site.lte().state, State::Cold);

    let mut site = Site::with_lte_up(crate::support::settings(&["fiber", "lte"]));
    site.until(60.0);
    site.tell(Input::Settings(Box::new(settings)));
    site.until(300.0);
    assert_eq!(site.lte().state, State::Up);
    site.until(400.0);
    assert_eq!(site.lte().state, State::Cold);
}

fn warm() -> Settings {
    let mut settings = settings(&["fiber", "lte"]);
    settings.uplinks[1].standby = Standby::Warm;
    settings.uplinks[1].probe.standby_interval = Duration::from_secs(300);
    settings
}

#[test]
fn a_warm_standby_is_probed_every_five_minutes_and_called_at_the_first_doubt() {
    let mut site = Site::with_lte_up(warm());
    site.until(3_660.0);
    let asked = site.asked("lte", 60.0..3_660.0);
    assert!((10..=15).contains(&asked), "{asked}");
    site.kill("fiber");
    site.until(3_700.0);
    let (down, switch) = (
        site.when("uplink.down fiber"),
        site.when("switch fiber -> lte"),
    );
    assert!((switch - down).abs() < 1e-6, "{down} {switch}");
}

#[test]
fn a_warm_standby_is_not_probed_more_often_because_it_is_lossy_or_dead() {
    let mut site = Site::with_lte_up(warm());
    site.until(60.0);
    site.kill("lte");
    site.until(7_200.0);
    assert_eq!(site.lte().state, State::Down);
    let asked = site.asked("lte", 3_600.0..7_200.0);
    assert!(asked < 20, "{asked}");
}

#[test]
fn a_warm_standby_that_is_metered_has_one_pace_the_rarer_one() {
    let mut settings = warm();
    settings.uplinks[1].probe_budget = Some(Bytes(50_000_000));
    let mut site = Site::with_lte_up(settings);
    site.until(3_660.0);
    let asked = site.asked("lte", 60.0..3_660.0);
    assert!((10..=15).contains(&asked), "{asked}");
}

#[test]
fn an_errand_names_the_uplink_and_its_interface() {
    let mut site = Site::new(cold(&["fiber", "lte"], COLD));
    site.until(60.0);
    site.unplug("fiber");
    let wall = Wall::reading(std::time::UNIX_EPOCH, site.replay.now());
    let records = site.events.iter().map(|event| event.record(wall));
    let mut ups = records.filter(|record| record.event.name() == "standby.up");
    let up = ups.next().expect("it is called");
    assert_eq!(up.uplink, Some(name("lte")));
    let interface: InterfaceName = "eth2".parse().expect("a name");
    assert_eq!(up.interface, Some(interface));
}
