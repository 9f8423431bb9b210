//! What an uplink says before all the others, and what they say of it: see [`crate::engine::docket`].

use super::{Outbox, Phase, Signal, Uplink};
use crate::engine::docket::{Appeal, Charge, Notice, Testimony};
use crate::engine::election::Fitness;
use crate::engine::event::{Change, Event};
use crate::engine::outage::Silence;
use crate::engine::round::RoundResult;
use crate::engine::state::State;
use crate::engine::target::{Standing, TargetTrack};
use crate::routing::Family;
use crate::units::{Moment, Target};

/// So many dense rounds tell a witness enough.
const SUMMONED_ROUNDS: u8 = 3;

impl Uplink {
    /// What it knows of a target by probes sent from `since` on; nothing if it cannot know.
    pub fn testify(&self, target: &Target, since: Moment) -> Option<Testimony> {
        if self.attachment.trouble.is_some() {
            return None;
        }
        let track = self.targets.iter().find(|t| t.target() == target)?;
        let lives = self.targets.iter().any(|t| t.has_spoken_since(since));
        match track.testimony(since) {
            told @ (Testimony::Heard | Testimony::Wrong) => Some(told),
            Testimony::Silent if lives => Some(Testimony::Silent),
            Testimony::Silent | Testimony::Open => {
                let is_dead = self.standing == Phase::Down && !lives;
                (!is_dead).then_some(Testimony::Open)
            }
        }
    }

    /// Asks all its targets, now and densely for a moment.
    pub fn summon(&mut self, now: Moment) {
        self.summoned = SUMMONED_ROUNDS;
        self.probe_at(now);
    }

    /// Too few targets answer, and these do elsewhere.
    pub fn found_silent(&mut self, now: Moment, out: &mut Outbox) {
        if let Some(silence) = self.outage.verdict(now, self.demand()) {
            self.signal(Signal::Silent(silence), now, out);
        }
    }

    /// The target is at fault on all uplinks: it is no reason to call this one anything.
    pub fn excuse(&mut self, target: &Target, why: &str, now: Moment) {
        let mut targets = self.targets.iter();
        let Some(place) = targets.position(|track| track.target() == target) else {
            return;
        };
        self.targets[place].excuse(why.to_owned(), now);
        self.portal.excuse(place);
        self.wrong_answer = None;
        self.forget_rounds();
        self.probe_soon(now);
    }

    /// A target that was set aside for all uplinks counts again.
    pub fn reinstate(&mut self, target: &Target) -> bool {
        let mut targets = self.targets.iter_mut();
        let track = targets.find(|track| track.target() == target);
        track.is_some_and(TargetTrack::reinstate)
    }

    /// When the first round of its present silence was sent.
    pub fn silent_since_round(&self) -> Option<Moment> {
        self.outage.began()
    }

    /// It counts as usable, but is in doubt and has answered nothing since then.
    pub fn is_alive_but_silent_since(&self, since: Moment) -> bool {
        let is_usable = self.candidate().fitness() > Fitness::Unusable;
        let has_spoken = self.targets.iter().any(|t| t.has_spoken_since(since));
        is_usable && self.outage.is_suspected() && !has_spoken
    }

    /// How many targets of a family must answer: those that are at fault themselves are not asked of
    /// it.
    pub(super) fn quorum_of(&self, family: Family) -> usize {
        let of_family = self.asked_by(family).iter();
        let able = of_family.filter(|place| !self.targets[*place].is_excused());
        self.settings.probe.quorum.min(able.count()).max(1)
    }

    /// Only targets that are at fault themselves are left to ask by this family: whatever they say, it
    /// came through.
    pub(super) fn hears_whatever(&self, family: Family) -> bool {
        let mut of_family = self.asked_by(family).iter();
        of_family.all(|place| self.targets[place].is_excused())
    }

    /// A round whose answers were wrong is as good as one that was answered.
    pub(super) fn is_life(&self, round: usize) -> bool {
        let is_wrong =
            |family: Family| self.rounds[round].judge_family(family) == RoundResult::Wrong;
        let mut families = Family::ROUTED.into_iter();
        families.any(|family| is_wrong(family) && self.hears_whatever(family))
    }

    /// Too few targets answered for too long. If some said anything at all, the others may be to
    /// blame.
    pub(super) fn judge_silence(&mut self, silence: Silence, now: Moment, out: &mut Outbox) {
        if self.is_known_to_be_slow(now) {
            return;
        }
        let since = self.outage.began().unwrap_or(now);
        let is_partial = self.targets.iter().any(|t| t.has_spoken_since(since));
        if !is_partial {
            self.signal(Signal::Silent(silence), now, out);
            return;
        }
        let standing = self.targets.iter().filter(|track| track.is_standing());
        let silent = standing.filter(|track| track.testimony(since) != Testimony::Heard);
        let targets: Vec<_> = silent.map(|track| track.target().clone()).collect();
        for target in targets {
            self.appeal(target, Charge::Outage(silence), since, out);
        }
    }

    /// It is degraded, and answers keep coming that are given up before they come: as long as they
    /// do, it is alive. Each vouches for the time in which another was to come.
    fn is_known_to_be_slow(&self, now: Moment) -> bool {
        let probe = &self.settings.probe;
        let vouches_for = probe.timeout.max(probe.interval) * 2;
        let is_recent = |late| now.since(late) < vouches_for;
        self.standing == Phase::Degraded && self.late_answer.is_some_and(is_recent)
    }

    pub(super) fn appeal(&self, target: Target, charge: Charge, since: Moment, out: &mut Outbox) {
        out.notices.push(Notice::Appeal(Appeal {
            uplink: self.settings.name.clone(),
            target,
            charge,
            since,
        }));
    }

    /// A target's standing has changed.
    pub(super) fn note_standing(
        &self,
        place: usize,
        standing: Option<Standing>,
        now: Moment,
        out: &mut Outbox,
    ) {
        let target = self.targets[place].target().clone();
        match standing {
            None => {}
            Some(Standing::SetAside { since }) => {
                let why = "does not answer while others do".to_owned();
                self.appeal(target, Charge::SetAside(why), since, out);
            }
            Some(Standing::AnswersEverywhere) => out.notices.push(Notice::AnswersAgain(target)),
            Some(Standing::Reinstated) => {
                let reason = format!("{target} answers again");
                self.tell_of_target(target, [State::Down, State::Up], reason, now, out);
            }
        }
    }

    /// Tells of a target of this uplink alone.
    pub fn tell_of_target(
        &self,
        target: Target,
        [from, to]: [State; 2],
        reason: String,
        now: Moment,
        out: &mut Outbox,
    ) {
        out.events.push(Event {
            at: now,
            change: Change::Target {
                uplink: Some(self.settings.name.clone()),
                interface: Some(self.settings.interface.clone()),
                target,
                from,
                to,
            },
            reason,
        });
    }
}
