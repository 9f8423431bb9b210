//! One uplink: its link, its standby, and what its monitor makes of it.
//!
//! ```text
//!  Uplink ──> UplinkMonitor ──> Rounds    what was asked and answered
//!    │           ├──────> Targets   whom it asks
//!    │           ├──────> Evidence  outage, quality, families, traffic, portal
//!    │           ├──────> Pacer     when to probe next, and with what budget
//!    │           └──────> Health    the state machine
//!    └─────────> Cold               a standby that is brought up when needed
//! ```

mod absence;
mod basis;
mod cold;
mod evidence;
mod health;
mod monitor;
mod outbox;
mod pacer;
mod places;
mod portal;
mod purse;
mod read_model;
mod reports;
mod rounds;
mod targets;

use crate::engine::candidate::{Candidate, Fitness, Role};
use crate::engine::event::{Change, Errand};
use crate::engine::family::FamilyOutlook;
use crate::engine::ids::UplinkId;
use crate::engine::input::ProbeOutcome;
use crate::engine::loss::Learner;
use crate::engine::schedule::{Doubt, Need, Pace, Spread};
use crate::engine::score::score;
use crate::engine::settings::UplinkSettings;
use crate::engine::state::State;
use crate::engine::status::UplinkStatus;
use crate::engine::suspicion::{Observation, SuspectedFault};
use crate::engine::target::TargetTrack;
use crate::engine::wording::seconds;
use crate::routing::{Attachment, Family, Trouble};
use crate::units::{Bytes, Counters, InterfaceName, Moment, ProbeId, Score, Target, Wall};

use absence::PathAbsence;
use cold::{Aim, Cold, StandbySight, StandbyTurn};
use health::{Phase, Signal};
use monitor::UplinkMonitor;

pub use cold::StandbyCall;
pub use outbox::{Outbox, ProbeIds};

/// One uplink. It has more than 40 methods, most of one line: the rest of the engine sees the parts
/// only through them.
#[derive(Clone, Debug)]
pub struct Uplink {
    id: UplinkId,
    attachment: Attachment,
    monitor: UplinkMonitor,
    /// A path of it is away for a moment.
    absence: Option<PathAbsence>,
    /// Of a cold one: whether it is up, and why.
    cold: Option<Box<Cold>>,
}

impl Uplink {
    /// An uplink of which nothing is known, from `now` on.
    pub fn new(id: UplinkId, settings: UplinkSettings, now: Moment, spread: Spread) -> Self {
        Self {
            id,
            attachment: Attachment {
                trouble: Some(Trouble::Absent),
                ..Attachment::default()
            },
            absence: None,
            cold: Cold::of(&settings, now),
            monitor: UplinkMonitor::new(settings, now, spread),
        }
    }

    /// Its place in the configuration.
    pub fn id(&self) -> UplinkId {
        self.id
    }

    /// It has another place in the configuration now.
    pub fn set_id(&mut self, id: UplinkId) {
        self.id = id;
    }

    /// Its settings.
    pub fn settings(&self) -> &UplinkSettings {
        &self.monitor.settings
    }

    /// How it is attached.
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// How the election sees it.
    pub fn candidate(&self) -> Candidate<'_> {
        let UplinkMonitor {
            settings,
            health,
            evidence,
            ..
        } = &self.monitor;
        let outage = &evidence.outage;
        Candidate {
            id: self.id,
            name: &settings.name,
            tier: settings.tier,
            state: health.state(),
            well_since: health.well_since(),
            has_path: !self.attachment.paths.is_empty(),
            has_failed: health.has_failed(),
            is_suspected: outage.is_suspected() || outage.is_traffic_silent(),
            suppressed_until: None,
            role: Role::Aside,
            score: None,
            reason: health.reason(),
        }
    }

    /// How the election of the carrier of a family sees that.
    pub fn outlook(&self, family: Family) -> FamilyOutlook<'_> {
        self.monitor.evidence.families.outlook(family)
    }

    /// How good it has been for the last minutes; none while its round trip is not known, or is that
    /// of our own traffic.
    pub fn lasting_score(&self) -> Option<Score> {
        let UplinkMonitor {
            targets, evidence, ..
        } = &self.monitor;
        if evidence.passive.is_full() {
            return None;
        }
        let jitter = targets.jitter().unwrap_or_default();
        Some(score(evidence.quality.usual_loss(), targets.rtt()?, jitter))
    }

    /// Its state as it is shown.
    pub fn state(&self) -> State {
        let complaint = self.monitor.evidence.families.complaint();
        self.monitor.health.shown_state(complaint)
    }

    /// Why it is in this state.
    pub fn reason(&self) -> String {
        let complaint = self.monitor.evidence.families.complaint();
        self.monitor.health.shown_reason(complaint)
    }

    /// The read model. `wall` translates times.
    pub fn status(&self, carries: Vec<Family>, is_active: bool, wall: Wall) -> UplinkStatus {
        read_model::status(&self.monitor, &self.attachment, carries, is_active, wall)
    }

    /// The machine slept, or the agent was held up: what was under way then says nothing, and whatever
    /// has lasted begins anew.
    pub fn wake(&mut self, now: Moment) {
        if let Some(cold) = &mut self.cold {
            cold.wake(now);
        }
        self.monitor.wake(now);
    }

    /// When it wants to be looked at again.
    pub fn next_timeout(&self) -> Option<Moment> {
        let monitor = self.monitor.next_timeout().into_iter();
        let cold = self.cold.as_ref().and_then(|cold| cold.due());
        let absence = self.absence.as_ref().map(PathAbsence::until);
        monitor.chain(cold).chain(absence).min()
    }

    /// Takes changed settings. What was learnt stays; what was measured stays for targets that do.
    pub fn adapt(&mut self, settings: UplinkSettings, now: Moment) {
        let is_attached = self.attachment.trouble.is_none();
        let was_cold = self.cold.is_some();
        self.cold = Cold::adapted(self.cold.take(), &settings, is_attached, now);
        if was_cold != self.cold.is_some() && !is_attached {
            // What its link is like means something else now.
            self.monitor.health.forget();
        }
        self.monitor.is_coming_up = (self.cold.as_ref()).is_some_and(|cold| cold.is_coming_up());
        self.monitor.adapt(settings, &self.attachment.paths, now);
    }

    /// What an earlier run learnt about its loss.
    pub fn recall(&mut self, learner: Learner) {
        self.monitor.evidence.recall(learner);
    }

    /// What was learnt about its loss.
    pub fn learnt(&self) -> Learner {
        self.monitor.evidence.outage.learnt()
    }

    /// What an earlier run left of its budget.
    pub fn recall_budget(&mut self, left: Bytes) {
        if let Some(purse) = self.monitor.pacer.purse_mut() {
            purse.recall(left);
        }
    }

    /// What a later run may spend.
    pub fn keep_budget(&mut self) -> Option<Bytes> {
        let purse = self.monitor.pacer.purse_mut().as_mut()?;
        Some(purse.keep())
    }

    /// It has spent so much that it should be written down.
    pub fn has_spent(&self) -> bool {
        let purse = self.monitor.pacer.purse();
        purse.is_some_and(purse::Purse::is_unkept)
    }

    /// It carries the traffic, or no longer does.
    pub fn set_carrying(&mut self, is_carrying: bool, now: Moment) {
        self.monitor.set_carrying(is_carrying, now);
    }

    /// It carries the traffic.
    pub fn is_carrying(&self) -> bool {
        self.monitor.is_carrying
    }

    /// Another one was chosen because this one does not answer at the moment: the way back is a
    /// failback.
    pub fn pass_over(&mut self, now: Moment) {
        self.monitor.health.pass_over(now);
    }

    /// It is in maintenance.
    pub fn is_disabled(&self) -> bool {
        self.monitor.health.is_disabled()
    }

    /// It is of no use, whether or not it is in maintenance.
    pub fn is_dead(&self) -> bool {
        self.monitor.health.phase().is_lost() || self.attachment.paths.is_empty()
    }

    /// Begins or ends maintenance.
    pub fn set_disabled(&mut self, is_disabled: bool, now: Moment, reason: &str, out: &mut Outbox) {
        self.monitor.health.set_disabled(is_disabled);
        self.monitor.report(reason.to_owned(), now);
        self.monitor.reports.collect(out);
    }

    /// The link is now like this.
    pub fn attach(&mut self, attachment: Attachment, now: Moment, out: &mut Outbox) {
        let is_unknown = self.monitor.health.phase() == Phase::Unknown;
        let absence = self.absence.take();
        if attachment == self.attachment && !is_unknown {
            if absence.is_some() {
                self.monitor.resume(now);
            }
            return;
        }
        let was_away = absence.is_some();
        let is_resting = self.cold.as_ref().is_some_and(|cold| cold.is_resting());
        if !is_resting {
            self.absence = PathAbsence::next(absence, &self.attachment, &attachment, now);
        }
        if self.absence.is_some() {
            let known = self.attachment.paths.keys().copied();
            let away = known.filter(|family| !attachment.paths.contains_key(family));
            self.monitor.pause(away, now);
            self.monitor.reports.collect(out);
            return;
        }
        self.settle_attachment(attachment, was_away, now);
        self.monitor.reports.collect(out);
    }

    /// The link is like this; `was_away`: a path of it was, and nothing was asked meanwhile.
    fn settle_attachment(&mut self, attachment: Attachment, was_away: bool, now: Moment) {
        let is_unknown = self.monitor.health.phase() == Phase::Unknown;
        let before = std::mem::replace(&mut self.attachment, attachment).trouble;
        let trouble = self.attachment.trouble;
        let has_come = before.is_some() && trouble.is_none();
        if let Some(cold) = &mut self.cold {
            let is_gone = matches!(trouble, Some(Trouble::Absent | Trouble::Down));
            cold.find(has_come || (is_unknown && !is_gone), is_gone, now);
            self.monitor.is_coming_up = cold.is_coming_up();
        }
        let is_to_be_asked = self.monitor.attach(&self.attachment, now);
        if let Some(trouble) = trouble {
            self.monitor.lose_link(
                link_failed(self.cold.as_deref(), trouble, &self.settings().interface),
                now,
            );
        } else if has_come {
            self.monitor.forget_rounds();
            let interface = self.settings().interface.clone();
            self.monitor.signal(Signal::LinkReady(interface), now);
            self.monitor.probe_soon(now);
        } else if is_to_be_asked || was_away {
            self.monitor.probe_soon(now);
        }
        // A family that was broken may have lost its next hop.
        let reason = self.monitor.health.reason().to_owned();
        self.monitor.report(reason, now);
    }

    /// Takes what became of a probe.
    pub fn probed(&mut self, id: ProbeId, outcome: ProbeOutcome, now: Moment, out: &mut Outbox) {
        self.monitor.probed(id, outcome, now);
        self.monitor.reports.collect(out);
    }

    /// Takes the counters of its interface.
    pub fn counted(&mut self, counters: Counters, now: Moment) {
        self.monitor.counted(counters, now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outbox) {
        if let Some(absence) = self.absence.take_if(|absence| absence.until() <= now) {
            self.settle_attachment(absence.into_attachment(), true, now);
        }
        self.monitor.handle_timeout(now, &mut out.ids);
        self.monitor.reports.collect(out);
    }

    /// So much depends on it from now on.
    pub fn set_need(&mut self, need: Need, now: Moment) {
        let interval = self.settings().probe.interval;
        if self.monitor.pacer.set_need(need, interval, now) {
            self.monitor.hurry(now);
        }
    }

    /// How much speaks against it, beyond what it has been judged for.
    pub fn doubt(&self) -> Doubt {
        self.monitor.evidence.doubt()
    }

    /// When the next round is due.
    pub fn next_round(&self) -> Option<Moment> {
        self.monitor.pacer.next_round()
    }

    /// The next round goes out at `then`.
    pub fn probe_at(&mut self, then: Moment) {
        self.monitor.pacer.probe_at(then);
    }

    /// The pace of the next round at `then`, if it is due by then.
    pub fn pace_of_round(&self, then: Moment) -> Option<Pace> {
        let is_due = self.next_round().is_some_and(|at| at <= then);
        is_due.then(|| self.monitor.pacer.pace(&self.monitor.situation(then)))
    }

    /// What it knows of a target by probes sent from `since` on; nothing if it cannot know.
    pub fn observation(&self, target: &Target, since: Moment) -> Option<Observation> {
        if self.attachment.trouble.is_some() {
            return None;
        }
        let UplinkMonitor {
            targets, health, ..
        } = &self.monitor;
        let track = targets.at(targets.find(target)?);
        let lives = targets.has_spoken_since(since);
        match track.observation(since) {
            seen @ (Observation::Answers | Observation::Wrong) => Some(seen),
            Observation::Silent if lives => Some(Observation::Silent),
            Observation::Silent | Observation::Open => {
                let is_dead = health.phase() == Phase::Down && !lives;
                (!is_dead).then_some(Observation::Open)
            }
        }
    }

    /// Asks all its targets, now and densely for a moment.
    pub fn probe_now(&mut self, now: Moment) {
        self.monitor.pacer.probe_for_others(now);
    }

    /// The uplink is to blame, and not the target in question.
    pub fn found_at_fault(
        &mut self,
        target: Target,
        fault: SuspectedFault,
        now: Moment,
        out: &mut Outbox,
    ) {
        if let SuspectedFault::SetAside(why) = &fault {
            let reason = format!("{target} {why}: set aside, asked again later");
            let reports = &mut self.monitor.reports;
            reports.target(target, [State::Up, State::Down], reason, now);
        }
        self.monitor.found_at_fault(fault, now);
        self.monitor.reports.collect(out);
    }

    /// The target is at fault on all uplinks: it is no reason to call this one anything.
    pub fn excuse(&mut self, target: &Target, why: &str, now: Moment) {
        if let Some(place) = self.monitor.targets.find(target) {
            self.monitor.excuse(place, why, now);
        }
    }

    /// A target that was set aside for all uplinks counts again.
    pub fn reinstate(&mut self, target: &Target) -> bool {
        let targets = &mut self.monitor.targets;
        let place = targets.find(target);
        place.is_some_and(|place| TargetTrack::reinstate(targets.at_mut(place)))
    }

    /// When the first round of its present silence was sent.
    pub fn silent_since_round(&self) -> Option<Moment> {
        self.monitor.evidence.outage.suspected_since()
    }

    /// It counts as usable, but is in doubt and has answered nothing since then.
    pub fn is_alive_but_silent_since(&self, since: Moment) -> bool {
        let is_usable = self.candidate().fitness() > Fitness::Unusable;
        let has_spoken = self.monitor.targets.has_spoken_since(since);
        is_usable && self.silent_since_round().is_some() && !has_spoken
    }

    /// It is brought up when needed.
    pub fn is_cold(&self) -> bool {
        self.cold.is_some()
    }

    /// Takes whether it is needed, and says what is to be done about it.
    pub fn rouse(&mut self, call: &StandbyCall, now: Moment, out: &mut Outbox) {
        let sight = StandbySight {
            is_usable: self.candidate().fitness() >= Fitness::Poor,
            is_carrying: self.is_carrying(),
        };
        while let Some(cold) = &mut self.cold
            && let Some(turn) = cold.take_turn(call, sight, now)
        {
            self.monitor.is_coming_up = cold.is_coming_up();
            self.apply_standby_turn(turn, now);
        }
        self.monitor.reports.collect(out);
    }

    fn apply_standby_turn(&mut self, turn: StandbyTurn, now: Moment) {
        let (errand, reason) = match turn {
            StandbyTurn::Quiet | StandbyTurn::Ready => return,
            StandbyTurn::StillUnready => {
                self.unready("", now);
                return;
            }
            StandbyTurn::Unready(Aim::Exercise) => {
                (Errand::Unready, self.unready("exercise: ", now))
            }
            StandbyTurn::Unready(Aim::Need | Aim::Return) => {
                (Errand::Unready, self.unready("", now))
            }
            StandbyTurn::Up(reason) => (Errand::Up, reason),
            StandbyTurn::Down(reason) => (Errand::Down, reason),
        };
        let change = Change::Standby {
            uplink: self.settings().name.clone(),
            interface: self.settings().interface.clone(),
            errand,
        };
        self.monitor.reports.event(change, reason, now);
        if errand != Errand::Unready
            && let Some(trouble) = self.attachment.trouble
        {
            self.monitor.signal(
                link_failed(self.cold.as_deref(), trouble, &self.settings().interface),
                now,
            );
        }
    }

    /// It was called and is not usable in time; why.
    fn unready(&mut self, before: &str, now: Moment) -> String {
        let Some(cold) = &mut self.cold else {
            return String::new();
        };
        let within = seconds(cold.ready_within());
        let interface = &self.monitor.settings.interface;
        let health = &self.monitor.health;
        let what = match (health.phase(), self.attachment.trouble) {
            (_, Some(trouble)) => explain(trouble, interface.as_str()),
            (Phase::Unknown, None) => format!("{interface} is up, no answer"),
            (_, None) => health.reason().to_owned(),
        };
        let reason = format!("{before}not usable within {within}: {what}");
        cold.found_unready(&reason);
        let phase = unusable(self.attachment.trouble);
        self.monitor
            .signal(Signal::Unready(phase, reason.clone()), now);
        reason
    }
}

/// The link is not in order, unless it is a cold standby's that need not be.
fn link_failed(cold: Option<&Cold>, trouble: Trouble, interface: &InterfaceName) -> Signal {
    let why = explain(trouble, interface.as_str());
    let resting = cold.filter(|cold| cold.is_resting());
    match resting.map(|cold| cold.rests_as(&why)) {
        Some(Ok(why)) => Signal::Rests(Phase::Cold, why),
        Some(Err(unready)) => Signal::Rests(unusable(Some(trouble)), unready),
        None => Signal::LinkFailed(trouble, why),
    }
}

/// What an uplink is that cannot be used, by the trouble with its link.
fn unusable(trouble: Option<Trouble>) -> Phase {
    match trouble {
        Some(Trouble::Absent) => Phase::Absent,
        Some(Trouble::Down | Trouble::NoCarrier | Trouble::NoAddress | Trouble::NoNextHop)
        | None => Phase::Down,
    }
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
