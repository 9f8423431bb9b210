//! One uplink: its link, its probes, its evidence, and the state that follows from them.

mod blame;
mod cold;
mod families;
mod metered;
mod pacing;
mod places;
mod portal;
mod probing;
mod read_model;
mod standby;

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::action::{Action, ProbeOrder};
use crate::engine::damping::Turn;
use crate::engine::detection_time::Rhythm;
use crate::engine::docket::Notice;
use crate::engine::election::{Candidate, Role};
use crate::engine::event::{Change, Event};
use crate::engine::family::Families;
use crate::engine::loss::Learner;
use crate::engine::outage::{Demand, Outage, Silence};
use crate::engine::passive::Passive;
use crate::engine::quality::Quality;
use crate::engine::round::{Round, RoundProbe, losses_of_a_failure};
use crate::engine::schedule::{Need, Spread};
use crate::engine::score::score;
use crate::engine::settings::UplinkSettings;
use crate::engine::state::State;
use crate::engine::target::TargetTrack;
use crate::engine::timer::{Timer, Timers};
use crate::engine::uplink::metered::Metered;
use crate::engine::uplink::pacing::Call;
use crate::engine::wording::seconds;
use crate::routing::{Attachment, Family, Trouble};
use crate::units::{Loss, Moment, Score, UplinkName};

pub use cold::Call as StandbyCall;
use cold::Cold;
use places::Places;
use portal::Portal;

/// The routes that probes take are written before the probes are sent.
const ROUTES_FIRST: Duration = Duration::from_millis(30);

/// Where an uplink puts what it wants done.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Probes to send.
    pub probes: VecDeque<ProbeOrder>,
    /// Uplinks whose counters are worth reading.
    pub counts: VecDeque<UplinkName>,
    /// What happened.
    pub events: Vec<Event>,
    /// How whole uplinks changed, for the damping.
    pub turns: Vec<Turn>,
    /// What is to be settled between all uplinks.
    pub notices: Vec<Notice>,
    /// Something changed that the choice may depend on, whether or not there is an event of it.
    pub is_changed: bool,
    next_probe: u64,
}

impl Outbox {
    /// The next thing to do that leaves from here.
    pub fn take_order(&mut self) -> Option<Action> {
        let count = self.counts.pop_front().map(Action::Count);
        count.or_else(|| self.probes.pop_front().map(Action::Probe))
    }
}

/// One uplink.
#[derive(Clone, Debug)]
pub struct Uplink {
    settings: UplinkSettings,
    attachment: Attachment,
    standing: Phase,
    /// The state as a whole that the damping was told last.
    whole: State,
    /// The state that people were told last, and since when it is.
    shown: State,
    since: Moment,
    reason: String,
    /// Since when nothing has spoken against it, trial time included.
    well_since: Moment,
    is_disabled: bool,
    has_failed: bool,
    /// When its quality last changed the state.
    requalified: Option<Moment>,
    targets: Vec<TargetTrack>,
    /// The targets by the family by which they are asked, as long as the ways out are these.
    asked_by: [Places; Family::ROUTED.len()],
    rounds: VecDeque<Round>,
    /// Room for the probes of the next round, from one that is over.
    spare_room: Vec<RoundProbe>,
    turn: usize,
    outage: Outage,
    families: Families,
    quality: Quality,
    passive: Passive,
    is_carrying: bool,
    need: Need,
    call: Call,
    /// Since when, while it is down, its return is awaited.
    awaited_since: Moment,
    budget: Option<Box<Metered>>,
    /// Of a cold one: whether it is up, and why.
    cold: Option<Box<Cold>>,
    mute_since: Option<Moment>,
    /// What somebody else answered in place of a target, since the last true answer.
    wrong_answer: Option<String>,
    /// When an answer last came that had been given up, and was slower than latency may be.
    late_answer: Option<Moment>,
    portal: Portal,
    /// So many rounds are yet to tell another uplink what it wants to know.
    summoned: u8,
    spread: Spread,
    timers: Timers,
}

/// What the evidence says, whatever a person has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unknown,
    Up,
    Degraded,
    Recovering {
        tally: (u32, u32),
    },
    Down,
    Absent,
    /// Not up, and nobody needs it; or it is coming up.
    Cold,
}

/// What may move an uplink from one phase to another.
enum Signal {
    LinkFailed(Trouble),
    LinkReady,
    /// It was called, and did not become usable in time.
    Unready(String),
    Answered,
    Silent(Silence),
    Mute(String),
    Captive(String),
    Disproved(Duration),
    Trusted,
    Worse(String),
    Better,
}

impl Uplink {
    /// An uplink of which nothing is known, from `now` on.
    pub fn new(settings: UplinkSettings, now: Moment, spread: Spread) -> Self {
        let targets = settings.probe.targets.iter();
        let window = settings.health.window;
        let budget = Metered::of(&settings, now);
        let cold = Cold::of(&settings, now);
        let mut uplink = Self {
            asked_by: Default::default(),
            targets: targets
                .map(|target| TargetTrack::new(target.clone(), window))
                .collect(),
            quality: Quality::new(&settings.health),
            settings,
            attachment: Attachment {
                trouble: Some(Trouble::Absent),
                ..Attachment::default()
            },
            standing: Phase::Unknown,
            whole: State::Unknown,
            shown: State::Unknown,
            since: now,
            reason: "nothing known yet".to_owned(),
            well_since: now,
            is_disabled: false,
            has_failed: false,
            requalified: None,
            rounds: VecDeque::new(),
            spare_room: Vec::new(),
            turn: 0,
            outage: Outage::default(),
            families: Families::default(),
            passive: Passive::default(),
            is_carrying: false,
            need: Need::default(),
            call: Call::default(),
            awaited_since: now,
            budget,
            cold,
            mute_since: None,
            wrong_answer: None,
            late_answer: None,
            portal: Portal::default(),
            summoned: 0,
            spread,
            timers: Timers::default(),
        };
        uplink.sort_targets();
        uplink
    }

    /// Its settings.
    pub fn settings(&self) -> &UplinkSettings {
        &self.settings
    }

    /// How it is attached.
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// How the election sees it.
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate {
            name: &self.settings.name,
            tier: self.settings.tier,
            state: self.fitness(),
            well_since: self.well_since,
            has_path: !self.attachment.paths.is_empty(),
            has_failed: self.has_failed,
            is_suspected: self.outage.is_suspected() || self.outage.is_traffic_silent(),
            suppressed_until: None,
            role: Role::Aside,
            score: None,
            reason: &self.reason,
        }
    }

    /// How good it has been for the last minutes; none while its round trip is not known, or is that
    /// of our own traffic.
    pub fn lasting_score(&self) -> Option<Score> {
        if self.passive.is_full() {
            return None;
        }
        let jitter = self.jitter().unwrap_or_default();
        Some(score(self.quality.usual_loss(), self.rtt()?, jitter))
    }

    /// Its state as people see it.
    pub fn state(&self) -> State {
        let whole = self.fitness();
        let is_partly_broken = whole == State::Up && self.families.complaint().is_some();
        if is_partly_broken {
            State::Degraded
        } else {
            whole
        }
    }

    /// Its state as a whole, whatever is wrong with one family of it.
    fn fitness(&self) -> State {
        if self.is_disabled {
            return State::Disabled;
        }
        self.standing.state()
    }

    /// Why it is in this state.
    pub fn reason(&self) -> String {
        self.words()
    }

    /// For a long time nobody looked (the machine slept, or the agent was held up): what was under
    /// way then tells nothing, and whatever has lasted begins anew.
    pub fn wake(&mut self, now: Moment) {
        self.forget_rounds();
        self.well_since = now;
        self.wake_cold(now);
        if let Phase::Recovering { tally } = &mut self.standing {
            *tally = (0, 0);
            let trust_at = now + self.settings.health.recover_after;
            self.timers.set(Timer::Recover, trust_at);
        }
        self.probe_soon(now);
    }

    /// When it wants to be looked at again.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.timers.next().into_iter().chain(self.call_due()).min()
    }

    /// Takes changed settings. What was learnt stays; what was measured stays for targets that do.
    pub fn adapt(&mut self, settings: UplinkSettings, now: Moment) {
        let window = settings.health.window;
        let mut old = std::mem::take(&mut self.targets);
        for target in &settings.probe.targets {
            let kept = old.iter().position(|old| old.target() == target);
            let mut track = match kept {
                Some(place) => old.swap_remove(place),
                None => TargetTrack::new(target.clone(), window),
            };
            track.set_window(window);
            self.targets.push(track);
        }
        self.portal.forget();
        self.rounds.clear();
        self.quality.adapt(&settings.health);
        self.budget = Metered::adapted(self.budget.take(), &settings, now);
        self.settings = settings;
        self.adapt_cold(now);
        self.sort_families(now);
        self.probe_soon(now);
    }

    /// What an earlier run learnt about its loss.
    pub fn recall(&mut self, learner: Learner) {
        self.outage.recall(learner);
        self.families.recall(learner);
    }

    /// What was learnt about its loss.
    pub fn learnt(&self) -> Learner {
        self.outage.learnt()
    }

    /// It carries the traffic, or no longer does. Whoever takes over is asked at once.
    pub fn set_carrying(&mut self, is_carrying: bool, now: Moment) {
        if is_carrying != self.is_carrying {
            self.is_carrying = is_carrying;
            self.forget_traffic();
            self.timers.stop(Timer::Count);
            if is_carrying {
                self.call(now);
            }
        }
    }

    /// It carries the traffic.
    pub fn is_carrying(&self) -> bool {
        self.is_carrying
    }

    /// Another one was chosen because this one does not answer at the moment: the way back is a
    /// failback.
    pub fn pass_over(&mut self, now: Moment) {
        self.well_since = now;
        self.has_failed = true;
    }

    /// What the counters told is of another time or place.
    fn forget_traffic(&mut self) {
        self.passive.restart();
        self.quality.set_full(false);
    }

    /// It is in maintenance.
    pub fn is_disabled(&self) -> bool {
        self.is_disabled
    }

    /// It is of no use, whether or not it is in maintenance.
    pub fn is_dead(&self) -> bool {
        let is_lost = match self.standing {
            Phase::Down | Phase::Absent | Phase::Cold => true,
            Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering { .. } => false,
        };
        is_lost || self.attachment.paths.is_empty()
    }

    /// Begins or ends maintenance.
    pub fn set_disabled(&mut self, is_disabled: bool, now: Moment, reason: &str, out: &mut Outbox) {
        self.is_disabled = is_disabled;
        self.tell(now, reason.to_owned(), out);
    }

    /// The link is now like this.
    pub fn attach(&mut self, attachment: Attachment, now: Moment, out: &mut Outbox) {
        if attachment == self.attachment && self.standing != Phase::Unknown {
            return;
        }
        let is_elsewhere = attachment.paths != self.attachment.paths
            || attachment.addresses != self.attachment.addresses;
        let trouble_before = self.attachment.trouble;
        self.attachment = attachment;
        self.find_up(trouble_before, now);
        self.sort_families(now);
        if is_elsewhere {
            self.forget_traffic();
            self.targets.iter_mut().for_each(TargetTrack::restart);
            self.portal.forget();
        }
        match self.attachment.trouble {
            Some(trouble) => {
                self.forget_rounds();
                self.timers = Timers::default();
                self.signal(Signal::LinkFailed(trouble), now, out);
            }
            None if trouble_before.is_some() => {
                self.forget_rounds();
                self.signal(Signal::LinkReady, now, out);
                self.probe_soon(now);
            }
            None if is_elsewhere => {
                self.forget_rounds();
                self.probe_soon(now);
            }
            None => {}
        }
        // A family that was broken may have lost its way out.
        self.tell(now, self.reason.clone(), out);
    }

    fn demand(&self) -> Demand {
        Demand {
            false_alarm_every: self.settings.health.false_alarm_every,
            interval: self.settings.probe.interval,
            outage_within: self.settings.health.outage_within,
        }
    }

    fn rhythm(&self) -> Rhythm<impl Fn(Duration) -> Duration> {
        let probe = &self.settings.probe;
        let groups = self.askable();
        let asked = groups
            .iter()
            .map(|group| group.len())
            .filter(|asked| *asked > 0);
        let losses = |asked| losses_of_a_failure(asked, probe.quorum);
        let deadlines = groups.iter().flat_map(|group| group.iter());
        let deadlines = deadlines.map(|place| self.targets[place].deadline(probe.timeout));
        Rhythm {
            steady: self.routine_spacing(),
            confirm: |silence| self.confirm_spacing(silence),
            deadline: deadlines.max().unwrap_or(probe.timeout),
            losses: [
                asked
                    .clone()
                    .map(|asked| losses(asked.min(probe.quorum)))
                    .min()
                    .unwrap_or(1),
                asked.map(losses).sum(),
            ],
        }
    }

    fn signal(&mut self, signal: Signal, now: Moment, out: &mut Outbox) {
        if let (Phase::Degraded, Signal::Worse(complaint)) = (self.standing, &signal)
            && !self.is_disabled
        {
            self.reason.clone_from(complaint);
        }
        let interface = &self.settings.interface;
        let (phase, reason) = match (self.standing, signal) {
            (_, Signal::LinkFailed(trouble)) if self.is_resting() => self.rest(trouble),
            (Phase::Unknown, Signal::Silent(_) | Signal::Mute(_)) if self.is_coming_up() => return,
            (Phase::Cold, Signal::LinkReady) => {
                (Phase::Unknown, format!("{interface} is up, no answer yet"))
            }
            (Phase::Unknown | Phase::Cold | Phase::Down | Phase::Absent, Signal::Unready(why)) => {
                (self.phase_of_unready(), why)
            }
            (_, Signal::LinkFailed(Trouble::Absent)) => {
                (Phase::Absent, format!("no interface {interface}"))
            }
            (_, Signal::LinkFailed(trouble)) => (Phase::Down, explain(trouble, interface.as_str())),
            (Phase::Absent | Phase::Down, Signal::LinkReady) if self.has_failed => {
                (Phase::Down, format!("{interface} is back, no answer yet"))
            }
            (Phase::Unknown, Signal::Answered) => (Phase::Up, "answers".to_owned()),
            (Phase::Down, Signal::Answered) => {
                let tally = (1, 0);
                (Phase::Recovering { tally }, "answers again".to_owned())
            }
            (
                Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering { .. },
                Signal::Silent(silence),
            ) => (Phase::Down, self.explain_silence(silence)),
            (
                Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering { .. },
                Signal::Mute(why),
            ) => (Phase::Down, format!("cannot be probed: {why}")),
            (
                Phase::Unknown
                | Phase::Up
                | Phase::Degraded
                | Phase::Recovering { .. }
                | Phase::Down,
                Signal::Captive(what),
            ) => (Phase::Down, what),
            (Phase::Down, Signal::Disproved(rtt)) => self.disproved(rtt),
            (Phase::Recovering { tally }, Signal::Trusted) => self.trusted(tally),
            (Phase::Up, Signal::Worse(complaint)) => (Phase::Degraded, complaint),
            (Phase::Degraded, Signal::Better) => (Phase::Up, "well again".to_owned()),
            (
                Phase::Unknown
                | Phase::Up
                | Phase::Degraded
                | Phase::Recovering { .. }
                | Phase::Down
                | Phase::Absent
                | Phase::Cold,
                Signal::LinkReady
                | Signal::Unready(_)
                | Signal::Answered
                | Signal::Silent(_)
                | Signal::Mute(_)
                | Signal::Captive(_)
                | Signal::Disproved(_)
                | Signal::Trusted
                | Signal::Worse(_)
                | Signal::Better,
            ) => return,
        };
        out.is_changed = true;
        self.enter(phase, now);
        self.tell(now, reason, out);
    }

    fn enter(&mut self, phase: Phase, now: Moment) {
        let has_come_up = self.standing == Phase::Unknown && phase == Phase::Up;
        let keeps_well = matches!(self.standing, Phase::Recovering { .. }) && phase == Phase::Up;
        if !keeps_well {
            self.well_since = now;
        }
        let is_by_quality = matches!(
            (self.standing, phase),
            (_, Phase::Degraded) | (Phase::Degraded, Phase::Up)
        );
        self.requalified = is_by_quality.then_some(now);
        if phase == Phase::Down && self.standing != Phase::Down {
            self.awaited_since = now;
        }
        self.standing = phase;
        self.has_failed |= matches!(phase, Phase::Down | Phase::Absent | Phase::Degraded);
        // That somebody took it down says nothing against it.
        self.has_failed &= phase != Phase::Cold;
        let trust_at = now + self.settings.health.recover_after;
        let is_recovering = matches!(phase, Phase::Recovering { .. });
        if matches!(phase, Phase::Down | Phase::Absent | Phase::Cold) {
            self.families.restart();
        }
        self.timers
            .set_or_stop(Timer::Recover, is_recovering.then_some(trust_at));
        if is_recovering || has_come_up {
            self.quality = Quality::from(&self.settings.health, now);
        }
        self.hurry(now);
    }

    /// A probe from before the verdict was answered after it: slow is not dead. The traffic may have
    /// moved by then, and comes back by the rules of failback.
    fn disproved(&mut self, rtt: Duration) -> (Phase, String) {
        if rtt < self.settings.health.latency.enter {
            return (Phase::Up, "answers came late".to_owned());
        }
        self.quality.blame_latency(rtt);
        let complaint = self.quality.complaint();
        (Phase::Degraded, complaint.unwrap_or_default())
    }

    fn trusted(&mut self, (rounds, failed): (u32, u32)) -> (Phase, String) {
        let loss = Loss::from_ratio(f64::from(failed) / f64::from(rounds.max(1)));
        let lasted = seconds(self.settings.health.recover_after);
        if loss >= self.settings.health.loss.enter {
            self.quality.blame_loss(loss);
        }
        match self.quality.complaint() {
            Some(complaint) => (Phase::Degraded, complaint),
            None => (Phase::Up, format!("answered for {lasted}")),
        }
    }

    /// Tells of the state as a whole, and of that which people see, if it is another than they were told last.
    fn tell(&mut self, now: Moment, reason: String, out: &mut Outbox) {
        self.reason = reason;
        self.turn_as_a_whole(out);
        let (from, to) = (self.shown, self.state());
        if from == to {
            return;
        }
        self.shown = to;
        self.since = now;
        if self.is_told_by_standby(from, to) {
            return;
        }
        out.events.push(Event {
            at: now,
            change: Change::Uplink {
                uplink: self.settings.name.clone(),
                interface: self.settings.interface.clone(),
                from,
                to,
            },
            reason: self.words(),
        });
    }

    fn turn_as_a_whole(&mut self, out: &mut Outbox) {
        let to = self.fitness();
        let from = std::mem::replace(&mut self.whole, to);
        if from != to {
            out.turns.push(Turn {
                uplink: self.settings.name.clone(),
                interface: self.settings.interface.clone(),
                from,
                to,
            });
        }
    }

    fn explain_silence(&self, silence: Silence) -> String {
        if let Some(what) = &self.wrong_answer {
            return what.clone();
        }
        let targets = self.targets.len();
        let lasts = seconds(silence.lasts);
        let rounds = silence.rounds;
        let quorum = self.settings.probe.quorum;
        if let [only] = &*self.targets {
            let target = only.target();
            format!(
                "no answer for {lasts}, in {rounds} probes to 1 target, {target}: nobody else is asked"
            )
        } else if quorum == 1 {
            format!("no answer for {lasts}, in {rounds} rounds of probes to {targets} targets")
        } else {
            format!("fewer than {quorum} of {targets} targets answer for {lasts}, {rounds} rounds")
        }
    }
}

impl Phase {
    fn state(self) -> State {
        match self {
            Self::Unknown => State::Unknown,
            Self::Up => State::Up,
            Self::Degraded => State::Degraded,
            Self::Recovering { .. } => State::Recovering,
            Self::Down => State::Down,
            Self::Absent => State::Absent,
            Self::Cold => State::Cold,
        }
    }
}

/// Long after the deadline, so that a late answer still undoes a miss.
fn listen_for(timeout: Duration) -> Duration {
    timeout * 2 + Duration::from_secs(1)
}

fn explain(trouble: Trouble, interface: &str) -> String {
    match trouble {
        Trouble::Absent => format!("no interface {interface}"),
        Trouble::Down => format!("{interface} is set down"),
        Trouble::NoCarrier => format!("{interface} has no carrier"),
        Trouble::NoAddress => format!("{interface} has no address"),
        Trouble::NoNextHop => format!(
            "no next hop on {interface}: no default route goes through it and no `gateway` is set"
        ),
    }
}
