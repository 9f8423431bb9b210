//! What holds for the engine whatever happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs::File;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cases::cases;
use crate::extent::extent;
use crate::support::{brief, group, name, probe, settings};
use proptest::prelude::*;
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, Departure, DepartureCause, ProbeOrder};
use uplinkd::engine::budget::{PERIOD, cost};
use uplinkd::engine::command::Command;
use uplinkd::engine::event::cause::SwitchCause;
use uplinkd::engine::event::{Change, Errand, Event};
use uplinkd::engine::input::{EarlierRun, Input, KeptSpan, ProbeOutcome};
use uplinkd::engine::loss::Learner;
use uplinkd::engine::settings::{
    BestSettings, ColdSettings, DampingSettings, Failback, FailbackFlows, FailoverSettings, Flows,
    Policy, Settings, Standby,
};
use uplinkd::engine::state::State;
use uplinkd::engine::status::{GroupStatus, NewConnections, SelectionMode, Status, UplinkStatus};
use uplinkd::recorder::{FORM, Header, Recorder};
use uplinkd::recording::{ReplayStep, replay_steps};
use uplinkd::replay::{Replay, attached, attached_by_both};
use uplinkd::routing::{Attachment, Desired, Family, Numbering, Path, Trouble};
use uplinkd::units::{
    Bytes, Counters, GroupName, Moment, ProbeId, Score, Tier, Timestamp, UplinkName, Wall,
};

const UPLINKS: [&str; 3] = ["fiber", "lte", "backup"];
const TARGETS: [&str; 5] = [
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "2001:db8:a::1",
    "2001:db8:b::1",
];

/// Something that befalls an engine.
#[derive(Clone, Debug)]
enum Step {
    /// So many timeouts come, each when it is asked for; what is asked of a link that works is
    /// answered meanwhile.
    Live(u8),
    /// Time passes without a call.
    Sleep(Duration),
    /// The clock is set back.
    Back(Duration),
    /// From now on a link answers such a share of its probes by one family, or by both.
    Link(usize, Option<Family>, u8),
    /// An answer to one of the last probes, whether or not it was answered before.
    Answer(usize, ProbeOutcome),
    /// An answer to a probe that never was, or of another uplink.
    Stray(usize, u64),
    /// With a way out by IPv4, or by both families.
    Attach(usize, Option<Trouble>, u8, bool),
    Carrying(usize),
    CarryingApart(Family, usize),
    /// What the interface counts.
    Counters(usize, [u64; 4]),
    /// What an earlier run is said to have learnt.
    Learnt(usize, f64),
    /// What an earlier run is said to have left of a budget.
    Unspent(usize, u64),
    Command(Command),
    /// What a person wished before a restart.
    Restored(Command),
    /// An uplink is drained that has so many flows.
    Drain(usize, u16),
    /// The kernel remembers the flows of these uplinks.
    Remembered([bool; 3]),
    /// Flows had stayed on an uplink for so long before a restart.
    Kept(usize, u64),
    /// Another configuration, of so many uplinks.
    Settings(usize, Rules),
    /// The wall clock jumps to here.
    Wall(SystemTime),
}

/// How the uplinks of a configuration are chosen.
#[derive(Clone, Copy, Debug)]
struct Rules {
    policy: Policy,
    failback: Failback,
    /// Of failback and of a lasting advantage, in seconds.
    waits: u64,
    /// All uplinks are of one tier.
    is_flat: bool,
    recover_after: u64,
    /// Targets of both families.
    is_dual: bool,
    damping: DampingSettings,
    /// The last uplink is cold, and has these seconds to linger.
    cold: Option<u64>,
    /// Some traffic goes by all but the first uplink, by this policy.
    group: Option<Policy>,
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Failover),
        Just(Policy::Best),
        Just(Policy::Balance)
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let failback = prop_oneof![3 => Just(Failback::Auto), 1 => Just(Failback::Manual)];
    let damping = (1..900_u64, 0..3_600_u64, 0.5..4.0, 0.05..0.99).prop_map(
        |(half_life, longest, suppress, share)| DampingSettings {
            half_life: Duration::from_secs(half_life),
            longest: Duration::from_secs(longest),
            suppress,
            reuse: suppress * share,
        },
    );
    (
        (policy(), prop::option::of(policy())),
        failback,
        0..90_u64,
        any::<bool>(),
        0..6_u64,
        any::<bool>(),
        damping,
        prop::option::of(0..400_u64),
    )
        .prop_map(
            |((policy, group), failback, waits, is_flat, recover_after, is_dual, damping, cold)| {
                Rules {
                    policy,
                    failback,
                    waits,
                    is_flat,
                    recover_after,
                    is_dual,
                    damping,
                    cold,
                    group,
                }
            },
        )
}

impl Rules {
    fn of(self, count: usize) -> Settings {
        let mut settings = some_settings(count, self.is_dual);
        let failover = &mut settings.failover;
        failover.policy = self.policy;
        failover.failback = self.failback;
        failover.failback_after = Duration::from_secs(self.waits);
        failover.damping = self.damping;
        failover.best = BestSettings {
            margin: Score(3),
            after: Duration::from_secs(self.waits.max(10)),
        };
        settings.failback_flows = FailbackFlows {
            fate: [None, Some(Flows::Keep)][usize::from(self.is_dual)],
            limit_ms: NonZeroU32::new(30_000).filter(|_| !self.is_flat),
        };
        for uplink in &mut settings.uplinks {
            uplink.health.recover_after = Duration::from_secs(self.recover_after);
            if self.is_flat {
                uplink.tier = Tier(1);
            }
        }
        let names = settings.uplinks.iter().map(|uplink| uplink.name.clone());
        let behind: Vec<_> = names.skip(1).collect();
        if let Some(policy) = self.group.filter(|_| !behind.is_empty()) {
            settings.groups.push(group("voice", policy, behind));
        }
        if let (Some(linger), Some(last)) = (self.cold, settings.uplinks.last_mut()) {
            last.standby = Standby::Cold(ColdSettings {
                linger: Duration::from_secs(linger),
                ready_within: Duration::from_secs(60),
                exercise_every: Some(Duration::from_secs(600)),
            });
        }
        settings
    }
}

fn step() -> impl Strategy<Value = Step> {
    let uplink = 0..UPLINKS.len();
    let millis = |range: std::ops::Range<u64>| range.prop_map(Duration::from_millis);
    prop_oneof![
        12 => (1..60_u8).prop_map(Step::Live),
        2 => millis(0..5_000).prop_map(Step::Sleep),
        1 => millis(3_600_000..90_000_000).prop_map(Step::Sleep),
        1 => millis(1..4_000_000).prop_map(Step::Back),
        8 => (uplink.clone(), prop::option::of(family()), prop_oneof![Just(0_u8), Just(100), 0..=100_u8])
            .prop_map(|(uplink, family, share)| Step::Link(uplink, family, share)),
        4 => (0..40_usize, outcome()).prop_map(|(back, outcome)| Step::Answer(back, outcome)),
        2 => (uplink.clone(), any::<u64>()).prop_map(|(uplink, id)| Step::Stray(uplink, id)),
        2 => (uplink.clone(), trouble(), 1..4_u8, any::<bool>())
            .prop_map(|(uplink, trouble, place, has_both)| Step::Attach(uplink, trouble, place, has_both)),
        1 => uplink.clone().prop_map(Step::Carrying),
        1 => (family(), uplink.clone())
            .prop_map(|(family, uplink)| Step::CarryingApart(family, uplink)),
        3 => (uplink.clone(), counters()).prop_map(|(uplink, counters)| Step::Counters(uplink, counters)),
        1 => (uplink.clone(), learnt()).prop_map(|(uplink, number)| Step::Learnt(uplink, number)),
        1 => (uplink.clone(), any::<u64>()).prop_map(|(uplink, left)| Step::Unspent(uplink, left)),
        2 => command().prop_map(Step::Command),
        1 => command().prop_map(Step::Restored),
        1 => (uplink.clone(), 0..3_u16).prop_map(|(uplink, flows)| Step::Drain(uplink, flows)),
        1 => any::<[bool; 3]>().prop_map(Step::Remembered),
        1 => (uplink.clone(), 0..9_000_u64).prop_map(|(uplink, lasted)| Step::Kept(uplink, lasted)),
        1 => (1..=UPLINKS.len(), rules()).prop_map(|(count, rules)| Step::Settings(count, rules)),
        1 => any::<u32>().prop_map(|seconds| {
            Step::Wall(UNIX_EPOCH + Duration::from_secs(u64::from(seconds)))
        }),
    ]
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

/// The first so many uplinks, with targets of both families if wanted.
fn some_settings(count: usize, is_dual: bool) -> Settings {
    let mut settings = settings(&UPLINKS[..count]);
    if is_dual {
        for uplink in &mut settings.uplinks {
            uplink.probe = probe(&TARGETS);
        }
    }
    settings
}

fn dual_settings() -> Settings {
    some_settings(UPLINKS.len(), true)
}

fn counters() -> impl Strategy<Value = [u64; 4]> {
    prop_oneof![
        prop::array::uniform4(0..1_000_000_u64),
        prop::array::uniform4(any::<u64>()),
    ]
}

fn learnt() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1e6, Just(0.0), Just(-5.0), Just(1e300)]
}

fn attachment_of(trouble: Option<Trouble>, place: u8, has_both: bool) -> Attachment {
    let attached = if has_both { attached_by_both } else { attached };
    let whole = if trouble == Some(Trouble::Absent) {
        Attachment::default()
    } else {
        attached(place)
    };
    Attachment { trouble, ..whole }
}

/// A learner all of whose numbers are this one, as a file may hold it that was tampered with.
fn learner(number: f64) -> Learner {
    let mut value = serde_json::to_value(Learner::default()).expect("JSON");
    fill(&mut value, number);
    serde_json::from_value(value).expect("a learner")
}

/// Sets all numbers of a value.
fn fill(value: &mut serde_json::Value, number: f64) {
    if let Some(fields) = value.as_object_mut() {
        for one in fields.values_mut() {
            fill(one, number);
        }
    } else if let Some(items) = value.as_array_mut() {
        for one in items {
            fill(one, number);
        }
    } else {
        *value = number.into();
    }
}

fn outcome() -> impl Strategy<Value = ProbeOutcome> {
    prop_oneof![
        (0..4_000_u64).prop_map(|millis| ProbeOutcome::Reply(Duration::from_millis(millis))),
        Just(ProbeOutcome::Reply(Duration::from_secs(3600))),
        Just(ProbeOutcome::Unreachable("no route".to_owned())),
        Just(ProbeOutcome::Wrong("an error".to_owned())),
        Just(ProbeOutcome::Captive("a landing page".to_owned())),
        Just(ProbeOutcome::NotSent("no socket".to_owned())),
        Just(ProbeOutcome::Refused("no buffer".to_owned())),
    ]
}

fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    prop_oneof![
        Just(None),
        Just(Some(Trouble::Absent)),
        Just(Some(Trouble::NoCarrier)),
        Just(Some(Trouble::NoNextHop)),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let uplink = (0..UPLINKS.len()).prop_map(|place| name(UPLINKS[place]));
    prop_oneof![
        2 => uplink.clone().prop_map(Command::switch),
        1 => uplink.clone().prop_map(Command::pin),
        2 => Just(Command::Auto),
        2 => uplink.clone().prop_map(Command::disable),
        2 => uplink.prop_map(Command::enable),
    ]
}

/// Flows had stayed on an uplink for so many seconds.
fn kept(uplink: usize, lasted: u64) -> EarlierRun {
    let span = KeptSpan {
        uplink: name(UPLINKS[uplink]),
        family: Family::Ipv4,
        lasted: Duration::from_secs(lasted),
    };
    EarlierRun {
        kept: vec![span],
        ..EarlierRun::default()
    }
}

/// An engine and all that is asked of it. What it is told is kept.
struct Rig {
    engine: Engine,
    now: Moment,
    /// The share of probes that each link answers by each family, in percent.
    links: [[u8; 2]; 3],
    attachments: BTreeMap<UplinkName, Attachment>,
    desired: Desired,
    chance: u64,
    /// The last probes that were asked for.
    orders: VecDeque<ProbeOrder>,
    due: Vec<(Moment, ProbeOrder)>,
    told: Vec<(Moment, Option<Input>)>,
    actions: Vec<(Moment, Action)>,
    /// The latest that the clock has shown.
    latest: Moment,
    /// What is in force.
    failover: FailoverSettings,
    /// The wall clock as it was read last.
    wall: SystemTime,
    /// What people saw after the last input.
    seen: Status,
    /// What carries the default group, by what was told last.
    active: Vec<UplinkName>,
    /// What the probes of the second uplink may cost in 30 days.
    limit: Option<Bytes>,
    /// What each of its probes cost, by the latest time there has been.
    costs: Vec<(Moment, u64)>,
}

/// `settings` in which the probes of the second uplink may cost this.
fn metered(mut settings: Settings, limit: Bytes) -> Settings {
    if let Some(uplink) = settings.uplinks.get_mut(1) {
        uplink.probe_budget = Some(limit);
    }
    settings
}

/// As many actions as one call may bring about: a round to every target of every uplink, routes, and
/// some events.
const MOST_ACTIONS: usize = 60;

/// As many timeouts as may be due at one moment.
const MOST_TIMEOUTS: usize = 30;

impl Rig {
    fn new(settings: Settings) -> Self {
        let limit = settings.uplinks.get(1);
        let limit = limit.and_then(|uplink| uplink.probe_budget);
        let failover = settings.failover;
        let engine = Engine::new(settings, Moment::START);
        let mut rig = Self {
            limit,
            failover,
            latest: Moment::START,
            wall: UNIX_EPOCH,
            seen: engine.status(Wall::reading(UNIX_EPOCH, Moment::START)),
            engine,
            active: Vec::new(),
            now: Moment::START,
            links: [[100; 2]; 3],
            attachments: BTreeMap::new(),
            desired: Desired::default(),
            chance: 1,
            orders: VecDeque::new(),
            due: Vec::new(),
            told: Vec::new(),
            actions: Vec::new(),
            costs: Vec::new(),
        };
        for (place, uplink) in (1..).zip(UPLINKS) {
            rig.tell(Some(Input::Attachment {
                uplink: name(uplink),
                attachment: attached_by_both(place),
            }));
        }
        rig
    }

    fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Live(timeouts) => (0..timeouts).for_each(|_| self.live()),
            Step::Sleep(span) => {
                self.now = self.now + span;
                self.catch_up();
            }
            Step::Back(span) => self.now = self.now - span,
            Step::Link(uplink, None, share) => self.links[uplink] = [share; 2],
            Step::Link(uplink, Some(family), share) => {
                self.links[uplink][family as usize] = share;
            }
            Step::Answer(back, outcome) => {
                if let Some(order) = self.orders.iter().rev().nth(back).cloned() {
                    self.answer(order.uplink, order.id, outcome);
                }
            }
            Step::Stray(uplink, id) => {
                let outcome = ProbeOutcome::Reply(Duration::from_millis(9));
                self.answer(name(UPLINKS[uplink]), ProbeId(id), outcome);
            }
            Step::Attach(uplink, trouble, place, has_both) => {
                let uplink = name(UPLINKS[uplink]);
                let attachment = attachment_of(trouble, place, has_both);
                self.tell(Some(Input::Attachment { uplink, attachment }));
            }
            Step::Carrying(uplink) => self.resume(EarlierRun {
                carrying: Some(name(UPLINKS[uplink])),
                ..EarlierRun::default()
            }),
            Step::CarryingApart(family, uplink) => self.resume(EarlierRun {
                apart: [(family, name(UPLINKS[uplink]))].into(),
                ..EarlierRun::default()
            }),
            Step::Counters(uplink, [rx_packets, tx_packets, rx_bytes, tx_bytes]) => {
                self.tell(Some(Input::Counters {
                    uplink: name(UPLINKS[uplink]),
                    counters: Counters {
                        rx_packets,
                        tx_packets,
                        rx_bytes,
                        tx_bytes,
                    },
                }));
            }
            Step::Learnt(uplink, number) => self.resume(EarlierRun {
                learnt: [(name(UPLINKS[uplink]), learner(number))].into(),
                ..EarlierRun::default()
            }),
            Step::Unspent(uplink, left) => self.resume(EarlierRun {
                unspent: [(name(UPLINKS[uplink]), Bytes(left))].into(),
                ..EarlierRun::default()
            }),
            Step::Command(command) => self.tell(Some(Input::Command(command.into()))),
            Step::Restored(command) => self.resume(EarlierRun {
                chosen: vec![command.into()],
                ..EarlierRun::default()
            }),
            Step::Drain(uplink, count) => self.drain(uplink, count),
            Step::Remembered(uplinks) => self.remembers(uplinks),
            Step::Kept(uplink, lasted) => self.resume(kept(uplink, lasted)),
            Step::Settings(count, rules) => {
                let mut settings = rules.of(count);
                if let Some(limit) = self.limit {
                    settings = metered(settings, limit);
                }
                self.failover = settings.failover;
                let remains =
                    |uplink: &UplinkName| settings.uplinks.iter().any(|u| u.name == *uplink);
                self.attachments.retain(|uplink, _| remains(uplink));
                self.tell(Some(Input::Settings(Box::new(settings))));
            }
            Step::Wall(wall) => self.wall = wall,
        }
    }

    fn remembers(&mut self, uplinks: [bool; 3]) {
        let known = UPLINKS.into_iter().zip(uplinks).filter(|(_, is_so)| *is_so);
        let keys =
            known.flat_map(|(uplink, _)| Family::ROUTED.map(|family| (name(uplink), family)));
        self.tell(Some(Input::FlowsRemembered(keys.collect())));
    }

    fn resume(&mut self, earlier: EarlierRun) {
        self.tell(Some(Input::Resume(Box::new(earlier))));
    }

    /// An uplink is drained that has so many flows.
    fn drain(&mut self, uplink: usize, count: u16) {
        let uplink = name(UPLINKS[uplink]);
        let command = Command::Disable {
            uplink: uplink.clone(),
            drain: Some("10m".parse().expect("a limit")),
            force: false,
        };
        self.tell(Some(Input::Command(command.into())));
        let flows = count.into();
        self.tell(Some(Input::FlowsCounted { uplink, flows }));
    }

    /// Until the next timeout, or the next answer.
    fn live(&mut self) {
        let next_answer = self.due.iter().map(|(at, _)| *at).min();
        let Some(next) = next_answer
            .into_iter()
            .chain(self.engine.poll_timeout())
            .min()
        else {
            return;
        };
        self.now = self.now.max(next);
        let answered: Vec<_> = self.due.extract_if(.., |(at, _)| *at <= self.now).collect();
        for (_, order) in answered {
            let outcome = ProbeOutcome::Reply(Duration::from_millis(10));
            self.answer(order.uplink, order.id, outcome);
        }
        self.catch_up();
    }

    /// Everything that is due by now is done in a few calls.
    fn catch_up(&mut self) {
        let mut calls = 0;
        while self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.tell(None);
            calls += 1;
            assert!(
                calls <= MOST_TIMEOUTS,
                "it spins at {}: {}",
                self.now,
                Brief(&self.status())
            );
        }
    }

    fn answer(&mut self, uplink: UplinkName, id: ProbeId, outcome: ProbeOutcome) {
        self.tell(Some(Input::Probe {
            uplink,
            id,
            outcome,
        }));
    }

    fn tell(&mut self, input: Option<Input>) {
        self.told.push((self.now, input.clone()));
        self.latest = self.latest.max(self.now);
        let is_by_hand = matches!(
            input,
            Some(
                Input::Command(_)
                    | Input::Resume(_)
                    | Input::FlowsCounted { .. }
                    | Input::Settings(_)
            )
        );
        let is_resumed = matches!(input, Some(Input::Resume(_)));
        let before = self.seen.clone();
        if let Some(Input::Attachment { uplink, attachment }) = &input
            && before.uplinks.iter().any(|u| u.name == *uplink)
        {
            let (uplink, attachment) = (uplink.clone(), attachment.clone());
            self.attachments.insert(uplink, attachment);
        }
        match input {
            Some(input) => self.engine.handle_input(self.now, input),
            None => self.engine.handle_timeout(self.now),
        }
        let (mut count, mut switches) = (0, Vec::new());
        while let Some(action) = self.engine.poll_action() {
            count += 1;
            match &action {
                Action::Probe(order) => self.asked(order),
                Action::Event(event) => {
                    self.judge(event, &before);
                    switches.extend(ToldSwitch::of(event));
                }
                Action::Leave(departure) => self.judge_departure(departure),
                Action::Route(desired) => self.desired = desired.clone(),
                Action::Count(_) | Action::Drain(..) | Action::Drill(_) | Action::Trace(_) => {}
            }
            self.actions.push((self.now, action));
        }
        assert!(count <= MOST_ACTIONS, "{count} actions at once");
        let after = self.status();
        assert_eq!(self.engine.figures(), after.figures());
        let goes_as_one = self.failover.policy != Policy::Balance && after.groups.is_empty();
        if goes_as_one {
            self.judge_families(&before, &after, is_by_hand);
        }
        let is_abandoned = after.active.is_empty() && !before.active.is_empty();
        assert!(
            !is_abandoned || is_by_hand,
            "no uplink carries the traffic any more"
        );
        judge_told(&before, &after, &switches, is_resumed);
        self.judge_calm(&after);
        self.active.clone_from(&after.active);
        self.seen = after;
    }

    /// The limit ends no flow of an uplink that carries traffic of that family.
    fn judge_departure(&self, departure: &Departure) {
        assert!(!departure.addresses.is_empty() || !departure.uplinks.is_empty());
        if departure.cause == DepartureCause::Limit {
            let status = self.status();
            let carries = |(left, family): &(UplinkName, Family)| {
                let mut uplinks = status.uplinks.iter();
                uplinks.any(|uplink| uplink.name == *left && uplink.carries.contains(family))
            };
            assert!(!departure.uplinks.iter().any(carries), "{departure:?}");
        }
    }

    /// Whatever else holds it back, the lead never stays where it is of no use while another uplink
    /// is of some, and not as silent at the moment, unless a person pinned it there; and no uplink is kept waiting for longer than was
    /// said. A family that is carried apart may have nowhere else to go.
    fn judge_calm(&self, status: &Status) {
        let mut answering = status.uplinks.iter().filter(|uplink| !uplink.in_doubt);
        let usable = answering.any(|uplink| fitness(status, &uplink.name).1 > 0);
        let is_lost = |name: &UplinkName| {
            let uplink = status.uplinks.iter().find(|uplink| uplink.name == *name);
            // Nothing is known of it yet: that is heard within moments.
            let is_unjudged = uplink.is_some_and(|uplink| uplink.state == State::Unknown);
            fitness(status, name).1 == 0 && !is_unjudged
        };
        let is_pinned = |name: &UplinkName| {
            let chosen = status.choices.switch.as_ref();
            chosen.is_some_and(|chosen| chosen.pinned && chosen.uplink == *name)
        };
        let is_abandoned = |name: &UplinkName| is_lost(name) && !is_pinned(name);
        // Of those that share it one may be kept for a family that is not heard elsewhere yet.
        let is_stranded = |active: &[UplinkName], policy| match policy {
            Policy::Balance => !active.is_empty() && active.iter().all(is_abandoned),
            Policy::Failover | Policy::Best => active.first().is_some_and(is_abandoned),
        };
        assert!(
            !usable || !is_stranded(&status.active, status.policy),
            "stays where it is of no use: {}",
            Brief(status)
        );
        let answers = |name: &UplinkName| {
            let uplink = status.uplinks.iter().find(|uplink| uplink.name == *name);
            uplink.is_some_and(|uplink| !uplink.in_doubt) && fitness(status, name).1 > 0
        };
        for group in &status.groups {
            let mut choices = group.uplinks.iter().chain(&status.active);
            assert!(
                !choices.any(answers) || !is_stranded(&group.active, Policy::Balance),
                "{} stays where it is of no use: {}",
                group.name,
                Brief(status)
            );
        }
        let latest = self
            .reading()
            .at(self.latest + self.failover.damping.longest);
        for uplink in &status.uplinks {
            let is_in_time = uplink.suppressed_until.is_none_or(|until| until <= latest);
            assert!(is_in_time, "waits too long: {uplink:#?}");
            // Shown as degraded: one of its families does not answer.
            let is_well = matches!(uplink.state, State::Up | State::Degraded);
            let may_wait = is_well && !status.active.contains(&uplink.name);
            assert!(uplink.waits.is_none() || may_wait, "{uplink:#?}");
            let latest = self.reading().at(self.latest + FailbackFlows::LIMIT);
            let is_kept_in_time = uplink.flows_until.is_none_or(|until| until <= latest);
            assert!(is_kept_in_time, "keeps flows for too long: {uplink:#?}");
            assert!(
                uplink.penalty.is_finite() && uplink.penalty >= 0.0,
                "{uplink:#?}"
            );
        }
    }

    /// The most that the metered uplink cost in any 30 days.
    fn dearest_month(&self) -> u64 {
        let month = |end: usize| {
            let (until, _) = self.costs[end];
            let within = self.costs[..=end].iter();
            let costs = within.filter(|(at, _)| until.since(*at) <= PERIOD);
            costs.map(|(_, cost)| cost).sum()
        };
        (0..self.costs.len()).map(month).max().unwrap_or(0)
    }

    fn asked(&mut self, order: &ProbeOrder) {
        if order.uplink == name(UPLINKS[1]) {
            let latest = self
                .costs
                .last()
                .map_or(self.now, |(at, _)| self.now.max(*at));
            let probe = &settings(&UPLINKS).uplinks[1].probe;
            self.costs.push((latest, cost(&order.target, probe)));
        }
        if self.orders.len() == 100 {
            self.orders.pop_front();
        }
        self.orders.push_back(order.clone());
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        let place = UPLINKS
            .iter()
            .position(|uplink| name(uplink) == order.uplink);
        let is_answered = place.is_some_and(|place| {
            let family = Family::of(order.target.address().expect("an address"));
            (self.chance >> 33) % 100 < self.links[place][family as usize].into()
        });
        if is_answered {
            let at = self.now + Duration::from_millis(10);
            self.due.push((at, order.clone()));
        }
    }

    /// The lead goes to an uplink that can carry traffic, and to no lesser one unless a person asked.
    fn judge(&mut self, event: &Event, before: &Status) {
        if let Change::Standby {
            uplink,
            errand: Errand::Down,
            ..
        } = &event.change
        {
            self.judge_rest(uplink);
        }
        let Change::Switch {
            group,
            family,
            from,
            to,
            active,
            ..
        } = &event.change
        else {
            return;
        };
        let after = self.status();
        let is_by_hand =
            after.mode == SelectionMode::Manual || before.mode == SelectionMode::Manual;
        if group.is_some() || self.failover.policy == Policy::Balance {
            let is_of_use = |name| fitness(&after, name).1 > 0;
            let mut groups = after.groups.iter();
            let own = groups.find(|own| Some(&own.name) == group.as_ref());
            // Where nothing is of use it may still be shared by fewer, or go where a person wants it.
            let is_less = to.iter().all(|name| from.contains(name));
            let may_be_useless = match own {
                Some(own) if own.with_rest => *active == after.active,
                Some(_) => is_less,
                None => is_less || is_by_hand || group.is_some(),
            };
            assert!(
                may_be_useless || to.iter().any(is_of_use),
                "shared by what is of no use: {event:?}{}",
                Brief(&after)
            );
            return;
        }
        let from = std::mem::replace(&mut self.active, active.clone());
        // A family goes apart, and back to the leader, by how it works there, not by the uplink as a whole. Where
        // several shared the traffic and do so no more, the one that goes on led them.
        let is_whole = family.is_none() && active.len() == 1;
        let goes_on =
            from.first() == active.first() || (from.len() > 1 && from.contains(&active[0]));
        if !is_whole || goes_on {
            return;
        }
        let (left, taken) = (from.first(), &active[0]);
        let (_, at_best) = fitness(&after, taken);
        assert!(
            at_best > 0,
            "switched to what is of no use: {event:?}{}",
            Brief(&after)
        );
        let at_least = from.first().map_or(0, |from| fitness(&after, from).0);
        assert!(
            is_by_hand || at_best >= at_least,
            "switched to a lesser one: {event:?}{}",
            Brief(&after)
        );
        let tier = |name: &UplinkName| {
            let mut uplinks = after.uplinks.iter();
            uplinks.find(|u| u.name == *name).map(|u| u.tier)
        };
        let is_equal = at_best == at_least && at_least == fitness(&after, taken).0;
        // A machine that slept may leave it by its families, of which nothing was heard, before it is called down.
        let is_as_fit = left
            .filter(|left| is_equal && !Self::is_suppressed(before, left) && !self.is_dead(left));
        if let Some(left) = is_as_fit.filter(|left| tier(left).is_some() && !is_by_hand) {
            let is_for_the_score =
                self.failover.policy == Policy::Best && tier(taken) == tier(left);
            assert!(
                tier(taken) < tier(left) || is_for_the_score,
                "switched to one that is no better: {event:?}{}",
                Brief(&after)
            );
            assert!(
                !Self::is_suppressed(&after, taken),
                "switched to one that keeps falling: {event:?}{}",
                Brief(&after)
            );
        }
    }

    /// Its link answers nothing.
    fn is_dead(&self, uplink: &UplinkName) -> bool {
        let links = UPLINKS.iter().zip(&self.links);
        let mut own = links.filter(|(known, _)| name(known) == *uplink);
        own.any(|(_, shares)| shares.iter().all(|share| *share == 0))
    }

    /// What is taken down carries nothing, and another uplink is well.
    fn judge_rest(&self, uplink: &UplinkName) {
        let after = self.status();
        let mut others = after.uplinks.iter().filter(|other| other.name != *uplink);
        let has_other = others.any(|other| fitness(&after, &other.name).1 == 3);
        let carries = after.active.contains(uplink);
        assert!(has_other && !carries, "taken down: {}", Brief(&after));
    }

    fn is_suppressed(status: &Status, name: &UplinkName) -> bool {
        let mut uplinks = status.uplinks.iter();
        uplinks.any(|uplink| uplink.name == *name && uplink.suppressed_until.is_some())
    }

    /// Each family is where people are told, and is not moved to where it is broken unless the lead
    /// goes there and takes it along.
    fn judge_families(&self, before: &Status, after: &Status, is_by_hand: bool) {
        for family in Family::ROUTED {
            let carriers = carriers(after, family);
            assert!(carriers.len() <= 1, "{family}: {}", Brief(after));
            let carrying = carriers.first().map(|uplink| &uplink.name);
            let mut soft = after.new_connections.iter();
            let soft = soft.find(|new| new.group.is_none() && new.family == family);
            if let Some(soft) = soft {
                judge_soft(soft, carrying, after);
            }
            let taking = soft.map_or(carrying, |soft| soft.to.first());
            let path = taking.map(|uplink| self.attachments[uplink].paths.get(&family).cloned());
            // The route of a path that is away stays for a short grace.
            let is_away = path == Some(None);
            if !after.active.is_empty() && !is_away {
                assert_eq!(
                    self.way(family),
                    path.flatten(),
                    "{family}: {}",
                    Brief(after)
                );
            }
            let Some(carrier) = carriers.first() else {
                continue;
            };
            let is_leader = after.active.first() == Some(&carrier.name);
            let is_same = carriers_names(before, family) == carriers_names(after, family);
            // Its last way may come back before the link does, and may be the only one.
            let has_no_choice = carriers_names(before, family).is_empty()
                || !after.uplinks.iter().any(|uplink| can_carry(uplink, family));
            let is_right = is_leader || is_same || has_no_choice || can_carry(carrier, family);
            assert!(
                is_right || is_by_hand,
                "{family}: {}{}",
                Brief(before),
                Brief(after)
            );
        }
    }

    /// Where the kernel is to send a family.
    fn way(&self, family: Family) -> Option<Path> {
        let numbering = Numbering::default();
        let mut routes = self.desired.routes.iter();
        let destination = family.default_destination();
        let route = routes.find(|r| r.table == numbering.table && r.destination == destination)?;
        route.paths.first().cloned()
    }

    fn status(&self) -> Status {
        self.engine.status(self.reading())
    }

    fn reading(&self) -> Wall {
        Wall::reading(self.wall, self.now)
    }
}

/// How fit an uplink is to carry traffic, by what people can see: at least, and at best. One that is
/// shown as degraded because a family is broken is as good as any for the other.
fn fitness(status: &Status, name: &UplinkName) -> (u8, u8) {
    let uplink = status.uplinks.iter().find(|uplink| uplink.name == *name);
    let has_way =
        |uplink: &&UplinkStatus| !(uplink.families.is_empty() && uplink.broken.is_empty());
    let Some(uplink) = uplink.filter(has_way) else {
        return (0, 0);
    };
    match uplink.state {
        State::Up => (3, 3),
        State::Degraded if uplink.reason.contains("IPv") => (2, 3),
        State::Degraded => (2, 2),
        State::Recovering => (1, 1),
        State::Unknown | State::Down | State::Disabled | State::Absent | State::Cold => (0, 0),
    }
}

/// What matters of a status, a line for each uplink and group.
struct Brief<'a>(&'a Status);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status) = self;
        let (policy, active, choices) = (status.policy, &status.active, &status.choices);
        write!(f, "\n{policy:?} by {active:?}, {choices:?}")?;
        for uplink in &status.uplinks {
            let UplinkStatus {
                name,
                tier,
                state,
                reason,
                in_doubt,
                ..
            } = uplink;
            write!(
                f,
                "\n  {name} (tier {tier}) {state}: {reason}, in doubt: {in_doubt}"
            )?;
            let UplinkStatus {
                families,
                broken,
                carries,
                suppressed_until,
                ..
            } = uplink;
            write!(
                f,
                "; {families:?}, broken {broken:?}, carries {carries:?}, {suppressed_until:?}"
            )?;
        }
        for group in &status.groups {
            write!(f, "\n  {group:?}")?;
        }
        Ok(())
    }
}

fn carriers(status: &Status, family: Family) -> Vec<&UplinkStatus> {
    let uplinks = status.uplinks.iter();
    uplinks.filter(|u| u.carries.contains(&family)).collect()
}

/// New connections leave only an uplink in doubt that carries, for one that is well.
fn judge_soft(soft: &NewConnections, carrying: Option<&UplinkName>, after: &Status) {
    let uplink = |name: &UplinkName| {
        let mut uplinks = after.uplinks.iter();
        uplinks.find(|uplink| uplink.name == *name)
    };
    // The doubt of one family alone is not shown.
    let is_left = |name: &UplinkName| {
        let from = uplink(name).filter(|from| from.state == State::Up);
        from.is_some_and(|from| from.in_doubt || from.families.len() > 1)
    };
    let is_well =
        |name: &UplinkName| uplink(name).is_some_and(|to| !to.in_doubt && to.state == State::Up);
    assert_eq!(soft.from.first(), carrying, "{}", Brief(after));
    assert!(soft.from.iter().all(is_left), "{soft:?}{}", Brief(after));
    assert!(soft.to.iter().all(is_well), "{soft:?}{}", Brief(after));
}

fn carriers_names(status: &Status, family: Family) -> Vec<&UplinkName> {
    let carriers = carriers(status, family).into_iter();
    carriers.map(|uplink| &uplink.name).collect()
}

/// A switch as it is told.
struct ToldSwitch {
    group: Option<GroupName>,
    family: Option<Family>,
    from: BTreeSet<UplinkName>,
    to: BTreeSet<UplinkName>,
    active: BTreeSet<UplinkName>,
}

impl ToldSwitch {
    fn of(event: &Event) -> Option<Self> {
        let Change::Switch {
            group,
            family,
            from,
            to,
            active,
            cause,
            outage_ms: _,
        } = event.change.clone()
        else {
            return None;
        };
        let [from, to, active] = [from, to, active].map(BTreeSet::from_iter);
        assert!(!event.reason.is_empty(), "{event:?}");
        assert_ne!(cause, SwitchCause::Unknown, "{event:?}");
        Some(Self {
            group,
            family,
            from,
            to,
            active,
        })
    }
}

/// A switch is told if and only if what carries a family has changed, as far as people can see it.
fn judge_told(before: &Status, after: &Status, switches: &[ToldSwitch], is_resumed: bool) {
    let seen = || format!("{}{}", Brief(before), Brief(after));
    for switch in switches {
        assert_ne!(switch.from, switch.to, "{}", seen());
    }
    let of = |group: Option<&GroupName>| {
        let own = switches
            .iter()
            .filter(move |one| one.group.as_ref() == group);
        own.collect::<Vec<_>>()
    };
    if before.groups.is_empty() && after.groups.is_empty() {
        let own = of(None);
        // What an earlier run left was not seen before.
        if !is_resumed {
            judge_moves(before, after, &own);
        }
        if let Some(switch) = own.last() {
            let active = after.active.iter().cloned().collect();
            assert_eq!(switch.active, active, "{}", seen());
        }
    }
    let is_shared = |status: &Status| status.policy == Policy::Balance;
    for group in &after.groups {
        let mut known = before.groups.iter();
        let known = known.find(|known| known.name == group.name);
        let leads = |group: &GroupStatus| group.active.first().cloned();
        let is_one = |group: &GroupStatus| group.policy != Policy::Balance;
        let sides = known.filter(|known| is_one(known) && is_one(group));
        let sides = sides.and_then(|known| leads(known).zip(leads(group)));
        let has_moved = sides.is_some_and(|(from, to)| from != to);
        let is_plain = !is_resumed && !is_shared(before) && !is_shared(after);
        let is_told = !of(Some(&group.name)).is_empty();
        assert!(!has_moved || !is_plain || is_told, "untold: {}", seen());
    }
}

/// Each family moves as the switches of the default group say, and stays where none is told of it.
fn judge_moves(before: &Status, after: &Status, switches: &[&ToldSwitch]) {
    let seen = || format!("{}{}", Brief(before), Brief(after));
    let sides = |family: Family| {
        [before, after].map(|status| -> BTreeSet<UplinkName> {
            let carriers = carriers_names(status, family).into_iter();
            carriers.cloned().collect()
        })
    };
    let concerns = |switch: &ToldSwitch, of: Family| switch.family.is_none_or(|one| one == of);
    for family in Family::ROUTED {
        let [from, to] = sides(family);
        let told = switches.iter().filter(|switch| concerns(switch, family));
        let told: Vec<_> = told.collect();
        let (Some(first), Some(last)) = (told.first(), told.last()) else {
            let is_still = from == to || from.is_empty() || to.is_empty();
            assert!(is_still, "untold, {family}: {}", seen());
            continue;
        };
        assert!(from.is_subset(&first.from), "from, {family}: {}", seen());
        assert!(to.is_subset(&last.to), "to, {family}: {}", seen());
    }
    if let [switch] = switches {
        let families = Family::ROUTED.into_iter();
        let mut moved = families
            .filter(|family| concerns(switch, *family))
            .map(sides);
        let has_moved = moved.any(|[from, to]| from != to);
        assert!(has_moved, "unmoved: {}", seen());
    }
}

/// By what people can see.
fn can_carry(uplink: &UplinkStatus, family: Family) -> bool {
    let is_usable = matches!(
        uplink.state,
        State::Up | State::Degraded | State::Recovering
    );
    is_usable && uplink.families.contains(&family)
}

fn life() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..120)
}

/// Links that come and go, without a command.
fn unrest() -> impl Strategy<Value = Vec<Step>> {
    let uplink = 0..UPLINKS.len();
    let share = prop_oneof![3 => Just(100_u8), 2 => Just(0), 1 => 50..100_u8];
    let trouble = prop_oneof![2 => Just(None), 1 => Just(Some(Trouble::NoCarrier))];
    let step = prop_oneof![
        5 => (20..60_u8).prop_map(Step::Live),
        2 => (uplink.clone(), share).prop_map(|(uplink, share)| Step::Link(uplink, None, share)),
        2 => (uplink, trouble).prop_map(|(uplink, trouble)| Step::Attach(uplink, trouble, 1, true)),
    ];
    prop::collection::vec(step, 60..160)
}

fn header(settings: Settings) -> Header {
    Header {
        recording: FORM,
        version: "0".to_owned(),
        started: Timestamp(std::time::UNIX_EPOCH),
        at: Moment::START,
        settings,
    }
}

proptest! {
    // Each case is long.
    #![proptest_config(cases(5))]

    #[test]
    fn however_the_links_come_and_go_it_switches_to_a_better_or_a_steadier_one_only(
        unrest in unrest(),
        rules in rules(),
    ) {
        let mut rig = Rig::new(rules.of(UPLINKS.len()));
        for step in &unrest {
            rig.take(step);
        }
    }

    #[test]
    fn an_engine_that_is_told_the_same_wants_the_same(life in life(), rules in rules()) {
        let settings = metered(rules.of(UPLINKS.len()), Bytes(1_000_000));
        let mut rig = Rig::new(settings.clone());
        // A clock that is set back is not recorded: the agent's is monotonic.
        for step in life.iter().filter(|step| !matches!(step, Step::Back(_))) {
            rig.take(step);
        }
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("recording");
        let file = File::create(&path).expect("a file");
        let header = header(settings);
        let mut recorder = Recorder::new(file, &header, u64::MAX).expect("a recording");
        for (at, input) in &rig.told {
            recorder.record(*at, input.as_ref()).expect("a line");
        }
        drop(recorder);
        let mut wants = Vec::new();
        replay_steps(&path, |seen| {
            if let ReplayStep::Action(at, action) = seen {
                wants.push((at, action));
            }
        })
        .expect("a good recording");
        let bytes = |actions: &[(Moment, Action)]| serde_json::to_string(actions).expect("JSON");
        prop_assert_eq!(bytes(&wants), bytes(&rig.actions));
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn whatever_happens_it_neither_panics_nor_spins_nor_switches_to_a_lesser_uplink(
        life in life(),
        rules in rules(),
    ) {
        let mut rig = Rig::new(rules.of(UPLINKS.len()));
        for step in &life {
            rig.take(step);
        }
    }

    #[test]
    fn whatever_happens_a_metered_uplink_costs_no_more_than_its_budget_in_any_thirty_days(
        life in life(),
        rules in rules(),
        kilobytes in 20..400_u64,
    ) {
        let limit = Bytes(kilobytes * 1_000);
        let mut rig = Rig::new(metered(rules.of(UPLINKS.len()), limit));
        for step in &life {
            rig.take(step);
        }
        prop_assert!(rig.dearest_month() <= limit.0, "{} of {limit}", rig.dearest_month());
    }

    #[test]
    fn answers_that_are_not_asked_for_change_nothing(
        seed in any::<u64>(),
        strays in prop::collection::vec((5_000..600_000_u64, 0..3_usize, 0..3_u8), 1..60),
    ) {
        let world = move |order: &ProbeOrder, now: Moment| {
            // The same fate for the same probe, however often it is asked.
            let at = u64::try_from(now.since_start().as_micros()).unwrap_or(0);
            let hash = (at ^ seed ^ order.id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let is_dead = order.uplink == name("fiber") && (at / 100_000_000) % 3 == 1;
            (!is_dead && !hash.is_multiple_of(20)).then(|| Duration::from_micros(10_000 + hash % 5_000))
        };
        let mut calm = Replay::new(dual_settings(), world);
        let mut teased = Replay::new(dual_settings(), world);
        let mut strays = strays.clone();
        strays.sort_unstable();
        for (millis, uplink, kind) in strays {
            let at = Moment::after_start(Duration::from_millis(millis));
            let expected = calm.run_until(at);
            let mut happened = teased.run_until(at);
            let id = match kind {
                // One that never was, the first one, which was answered long ago, or one to come.
                0 => u64::MAX - millis,
                1 => 0,
                _ => 1_000_000 + millis,
            };
            happened.extend(teased.input(Input::Probe {
                uplink: name(UPLINKS[uplink]),
                id: ProbeId(id),
                outcome: ProbeOutcome::Reply(Duration::from_millis(1)),
            }));
            prop_assert_eq!(brief(&happened), brief(&expected));
        }
    }
}

#[test]
fn an_engine_that_lives_long_with_everything_going_wrong_does_not_grow() {
    let mut rig = Rig::new(dual_settings());
    let mut sizes = Vec::new();
    let turns = extent(9, 60_u8);
    for turn in 0..turns {
        let uplink = usize::from(turn % 3);
        for step in [
            Step::Link(uplink, None, turn.wrapping_mul(37) % 101),
            Step::Link(uplink, Some(Family::Ipv6), turn.wrapping_mul(59) % 101),
            Step::Live(200),
            Step::Answer(30, ProbeOutcome::Reply(Duration::from_secs(2))),
            Step::Attach(
                uplink,
                (turn % 7 == 0).then_some(Trouble::NoCarrier),
                1 + turn % 3,
                true,
            ),
            Step::Live(200),
            Step::Attach(uplink, None, 1, turn % 5 != 0),
            Step::Stray(uplink, u64::from(turn)),
            Step::Live(200),
        ] {
            rig.take(&step);
        }
        rig.told.clear();
        rig.actions.clear();
        sizes.push(format!("{:?}", rig.engine).len());
    }
    // It learns in the first.
    let third = sizes.len() / 3;
    let early = sizes[third..2 * third].iter().max().expect("sizes");
    let late = sizes[2 * third..].iter().max().expect("sizes");
    assert!(late * 2 < early * 3, "{early} bytes became {late}");
}
