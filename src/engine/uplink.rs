//! One uplink: its link, its standby, and what its monitor makes of it.
//!
//! ```text
//!  Uplink ─┬─> UplinkMonitor ─┬─> Rounds       probes that are under way, and their fates
//!          │                  ├─> Targets      where probes go
//!          │                  ├─> Evidence     outage, quality, families, traffic, portal
//!          │                  ├─> NextHops     by which of several next hops it goes
//!          │                  ├─> UplinkJudge  what the rounds mean, as signals
//!          │                  ├─> Health       the state machine that takes the signals
//!          │                  └─> Pacer        when to probe next, and with what budget
//!          └─> Link ────────────> Cold         a standby that is brought up when needed
//! ```

mod absence;
mod allowance;
mod basis;
mod blame;
mod cold;
mod doubt;
mod drilled;
mod evidence;
mod family_hops;
mod health;
mod judge;
mod link;
mod monitor;
mod next_hops;
mod outbox;
mod pacer;
mod places;
mod portal;
mod purse;
mod read_model;
mod refusals;
mod reports;
mod reroute;
mod rounds;
mod standby;
mod targets;

use std::time::Duration;

use crate::engine::allowance::AllowanceTrack;
use crate::engine::candidate::{Candidate, Fitness, Role};
use crate::engine::family::FamilyOutlook;
use crate::engine::ids::UplinkId;
use crate::engine::input::ProbeOutcome;
use crate::engine::loss::Learner;
use crate::engine::schedule::{Doubt, Need, Pace, Spread};
use crate::engine::score::{LastingScore, score};
use crate::engine::settings::UplinkSettings;
use crate::engine::state::State;
use crate::engine::status::{UplinkFigures, UplinkStatus};
use crate::engine::timer::sooner;
use crate::routing::{Attachment, Family};
use crate::units::{Counters, Moment, ProbeId, Wall};

use cold::StandbySight;
use health::{Phase, Signal};
use link::{LinkChange, LinkFinding, UplinkLink};
use monitor::UplinkMonitor;

pub use allowance::AllowanceNews;
pub use cold::StandbyCall;
pub use drilled::BeforeDrill;
pub use family_hops::HopTerms;
pub use outbox::{Outbox, ProbeIds};
pub use purse::Purse;
pub use read_model::UplinkPart;
pub use refusals::{RefusalScope, Refusals, SendState};

/// One uplink. The rest of the engine sees its parts only through it.
///
/// Large: each input, each question of an election and each call of a standby has its line here; what they do
/// is in the parts.
#[derive(Clone, Debug)]
pub struct Uplink {
    id: UplinkId,
    link: UplinkLink,
    monitor: UplinkMonitor,
    allowance: Option<Box<AllowanceTrack>>,
}

impl Uplink {
    /// An uplink of which nothing is known, from `now` on.
    pub fn new(id: UplinkId, settings: UplinkSettings, now: Moment, spread: Spread) -> Self {
        Self {
            id,
            link: UplinkLink::new(&settings, now),
            allowance: AllowanceTrack::adapted(None, &settings),
            monitor: UplinkMonitor::new(id, settings, now, spread),
        }
    }

    /// Its place in the configuration.
    pub fn id(&self) -> UplinkId {
        self.id
    }

    /// Its settings.
    pub fn settings(&self) -> &UplinkSettings {
        &self.monitor.settings
    }

    /// How it is attached.
    pub fn attachment(&self) -> &Attachment {
        &self.link.attachment
    }

    /// How the election sees it.
    pub fn candidate(&self) -> Candidate<'_> {
        let UplinkMonitor {
            settings,
            health,
            evidence,
            ..
        } = &self.monitor;
        Candidate {
            id: self.id,
            name: &settings.name,
            tier: settings.tier,
            state: health.state(),
            well_since: health.well_since(),
            has_path: !self.link.attachment.paths.is_empty(),
            has_failed: health.has_failed(),
            is_suspected: evidence.outage.is_suspected() || evidence.outage.is_traffic_silent(),
            suppressed_until: None,
            role: Role::Aside,
            score: None,
            delivery: None,
            switch_points: settings.health.switch_points(),
            allowance: self.allowance_standing(),
            reason: health.reason(),
        }
    }

    /// How the election of the carrier of a family sees that.
    pub fn outlook(&self, family: Family) -> FamilyOutlook<'_> {
        self.monitor.evidence.families.outlook(family)
    }

    /// How good it has been for the last minutes; none while its round trip is not known, or is that
    /// of our own traffic.
    pub fn lasting_score(&self) -> Option<LastingScore> {
        let (targets, evidence) = (&self.monitor.targets, &self.monitor.evidence);
        if evidence.passive.is_full() {
            return None;
        }
        let (rtt, jitter) = (targets.rtt()?, targets.jitter().unwrap_or_default());
        let quality = &evidence.quality;
        Some(LastingScore {
            whole: score(quality.usual_loss(), rtt, jitter),
            delivery: score(quality.present_loss(), rtt, Duration::ZERO),
        })
    }

    /// Its state as it is shown.
    pub fn state(&self) -> State {
        let families = &self.monitor.evidence.families;
        self.monitor.health.shown_state(families.complaint())
    }

    /// When its present outage began.
    pub fn outage_since(&self) -> Option<Moment> {
        self.monitor.health.outage_since()
    }

    /// Why it is in this state.
    pub fn reason(&self) -> String {
        let complaint = self.monitor.evidence.families.complaint();
        self.monitor.health.shown_reason(complaint)
    }

    /// The read model. `wall` translates times.
    pub fn status(&self, part: UplinkPart, wall: Wall) -> UplinkStatus {
        read_model::status(&self.monitor, &self.link.attachment, part, wall)
    }

    /// The part of that which samples take.
    pub fn figures(&self, is_carrying: bool) -> UplinkFigures {
        read_model::figures(&self.monitor, &self.link.attachment, is_carrying).0
    }

    /// The machine slept, or the agent was held up: what was under way then says nothing, and whatever
    /// has lasted begins anew.
    pub fn wake(&mut self, now: Moment) {
        self.link.wake(now);
        self.monitor.wake(now);
    }

    /// When it wants to be looked at again.
    pub fn next_timeout(&self) -> Option<Moment> {
        sooner(self.monitor.next_timeout(), self.link.due())
    }

    /// Takes its place in a changed configuration and its settings there. What was learnt stays; what was
    /// measured stays for targets that do.
    pub fn adapt(&mut self, id: UplinkId, settings: UplinkSettings, now: Moment) {
        self.id = id;
        self.monitor.reports.set_id(id);
        if *self.settings() == settings {
            return;
        }
        self.allowance = AllowanceTrack::adapted(self.allowance.take(), &settings);
        if self.link.adapt(&settings, now) {
            // What its link is like means something else now.
            self.monitor.health.forget();
        }
        self.monitor.is_coming_up = self.link.is_coming_up();
        self.monitor
            .adapt(settings, &self.link.attachment.paths, now);
    }

    /// On these terms it changes its next hop from now on.
    pub fn set_hop_terms(&mut self, terms: HopTerms) {
        self.monitor.next_hops.adapt(terms);
    }

    /// An operator sends the traffic back to its preferred next hop.
    pub fn send_back(&mut self, now: Moment) {
        self.monitor.next_hops.send_back(now);
    }

    /// What an earlier run learnt about its loss.
    pub fn recall(&mut self, learner: Learner) {
        self.monitor.evidence.recall(learner);
    }

    /// What was learnt of it is forgotten.
    pub fn forget(&mut self) {
        self.recall(Learner::default());
        self.monitor.next_hops.forget();
    }

    /// What was learnt about its loss.
    pub fn learnt(&self) -> Learner {
        self.monitor.evidence.outage.learnt()
    }

    /// What its probes may cost, if that is limited.
    pub fn purse(&self) -> Option<&Purse> {
        self.monitor.pacer.purse()
    }

    /// The same, to pay with.
    pub fn purse_mut(&mut self) -> Option<&mut Purse> {
        self.monitor.pacer.purse_mut().as_deref_mut()
    }

    /// All that is known of it, for the end of a drill.
    pub fn before_drill(&self) -> BeforeDrill {
        BeforeDrill::of(&self.monitor)
    }

    /// It is again what it was before a drill.
    pub fn after_drill(&mut self, before: BeforeDrill, now: Moment) {
        before.restore(&mut self.monitor, now);
    }

    /// It fails after a drill: from now on that is an outage of its own.
    pub fn fail_after_drill(&mut self, now: Moment) {
        self.monitor.health.fail_anew(now);
        self.monitor.reports.changed();
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

    /// It is of no use, whether or not it is in maintenance.
    pub fn is_dead(&self) -> bool {
        self.monitor.health.phase().is_lost() || self.link.attachment.paths.is_empty()
    }

    /// Begins or ends maintenance.
    pub fn set_disabled(&mut self, is_disabled: bool, now: Moment, reason: &str, out: &mut Outbox) {
        self.monitor.health.set_disabled(is_disabled);
        self.monitor.report(reason.to_owned(), now);
        self.monitor.reports.collect(out);
    }

    /// The link is now like this.
    pub fn attach(&mut self, mut attachment: Attachment, now: Moment, out: &mut Outbox) {
        self.monitor.next_hops.attach(&mut attachment, now);
        let is_unknown = self.monitor.health.phase() == Phase::Unknown;
        let LinkChange { has_come, was_away } = match self.link.attach(attachment, is_unknown, now)
        {
            LinkFinding::Same => return,
            LinkFinding::PathsAway(families) => return self.monitor.pause(families, now, out),
            LinkFinding::PathsBack => return self.monitor.resume(now),
            LinkFinding::Changed(change) => change,
        };
        self.monitor.reports.changed();
        self.monitor.is_coming_up = self.link.is_coming_up();
        let is_to_be_asked = self.monitor.attach(&self.link.attachment, now);
        if let Some(failed) = self.link.failed(&self.settings().interface) {
            self.monitor.lose_link(failed, now);
        } else if has_come {
            self.monitor.forget_rounds();
            self.monitor.evidence.refusals.forget();
            let interface = self.settings().interface.clone();
            self.monitor.signal(Signal::LinkReady(interface), now);
            self.monitor.probe_soon(now);
        } else if is_to_be_asked || was_away {
            self.monitor.probe_soon(now);
        }
        // A family that was broken may have lost its next hop.
        let reason = self.monitor.health.reason().to_owned();
        self.monitor.report(reason, now);
        self.monitor.reports.collect(out);
    }

    /// Takes what became of a probe.
    pub fn probed(&mut self, id: ProbeId, outcome: ProbeOutcome, now: Moment, out: &mut Outbox) {
        self.monitor.probed(id, outcome, now);
        self.settle(now, out);
    }

    /// A probe left this machine so much later than it was ordered.
    pub fn sent_late(&mut self, id: ProbeId, by: Duration) {
        self.monitor.sent_late(id, by);
    }

    /// All answers that had come by `until` are taken in.
    pub fn answers_read(&mut self, until: Moment) {
        self.monitor.rounds.answers_read(until);
    }

    /// A deadline has passed up to which the answers were not read.
    pub fn awaits_answers(&self, now: Moment) -> bool {
        self.monitor.rounds.awaits_answers(now)
    }

    /// The agent was kept from running for so long, until now.
    pub fn stalled(&mut self, lasts: Duration, now: Moment, out: &mut Outbox) {
        self.monitor.stalled(lasts, now);
        self.settle(now, out);
    }

    /// Whether its probes of a family are sent.
    pub fn send_state(&self, family: Family) -> SendState {
        let targets = &self.monitor.targets;
        let is_asked = self.monitor.is_attached && targets.can_ask(family);
        let counting = targets.standing_of(family);
        let state = is_asked.then(|| self.refusals().state(family, counting));
        state.unwrap_or(SendState::Unasked)
    }

    /// What this machine refuses to send of its probes.
    pub fn refusals(&self) -> &Refusals {
        &self.monitor.evidence.refusals
    }

    /// It is a cold standby that could be asked if it were called, or soon can be.
    pub fn may_be_woken(&self) -> bool {
        self.link.may_be_woken() && self.state() != State::Disabled && !self.is_off()
    }

    /// It has asked since then, or tried to.
    pub fn has_asked_since(&self, since: Moment) -> bool {
        self.monitor.rounds.last_sent() >= Some(since)
    }

    /// What the refusals of a family's probes say.
    pub fn set_refusal_scope(&mut self, family: Family, scope: RefusalScope) {
        if self.monitor.evidence.set_refusal_scope(family, scope) {
            self.monitor.reports.changed();
        }
    }

    /// Takes the counters of its interface.
    pub fn counted(&mut self, counters: Counters, now: Moment) {
        self.monitor.counted(counters, now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outbox) {
        if let Some(found) = self.link.overdue(now) {
            self.attach(found, now, out);
        }
        self.monitor.handle_timeout(now, &mut out.ids);
        self.settle(now, out);
    }

    /// What follows from what was judged.
    fn settle(&mut self, now: Moment, out: &mut Outbox) {
        reroute::follow(&mut self.link, &mut self.monitor, now);
        self.monitor.reports.collect(out);
    }

    /// So much depends on it from now on.
    pub fn set_need(&mut self, need: Need, now: Moment) {
        let interval = self.settings().probe.interval;
        if self.monitor.pacer.set_need(need, interval, now) {
            self.monitor.hurry(now);
        }
    }

    /// Probes of it, or of a family of it, are missed now: without that no doubt begins.
    #[inline]
    pub fn has_missed(&self) -> bool {
        self.monitor.evidence.has_missed()
    }

    /// Since when a family is in well-founded doubt: nothing that was sent later was answered, which is rare on this
    /// link while it is alive. One that began `before` lasts until an answer.
    pub fn founded_doubt(&self, family: Family, before: Option<Moment>) -> Option<Moment> {
        let has_way = self.link.attachment.paths.contains_key(&family);
        doubt::founded(&self.monitor, family, before).filter(|_| has_way)
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

    /// Takes whether it is needed, and says what is to be done about it.
    pub fn wake_standby(&mut self, call: &StandbyCall, now: Moment, out: &mut Outbox) {
        let sight = StandbySight {
            is_usable: self.candidate().condition() >= Fitness::Poor,
            is_carrying: self.is_carrying(),
        };
        standby::follow(&mut self.link, &mut self.monitor, (call, sight), now);
        self.monitor.reports.collect(out);
    }
}
