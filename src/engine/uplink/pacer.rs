//! When an uplink is probed next, and what of that its budget affords.
//!
//! The pacer knows how much depends on the uplink and when it was last asked; whatever else matters
//! comes as a [`Situation`].

use std::time::Duration;

use super::health::Phase;
use super::purse::{Purse, RoundTargets};
use crate::engine::budget::Purpose;
use crate::engine::schedule::{Breadth, Doubt, Need, Pace, Spread, Wait};
use crate::engine::settings::ProbeSettings;
use crate::engine::target::TargetTrack;
use crate::units::Moment;

/// The routes that probes take are written before the probes are sent.
const ROUTES_FIRST: Duration = Duration::from_millis(30);

/// Of the silence so far, what passes until the next round of a verdict on a metered uplink.
const SILENCE_SHARE: u32 = 5;

/// A silence that is an outage is watched briskly until it has lasted for so long.
const WATCHED_TO_LEARN: Duration = Duration::from_secs(4);

/// So many dense rounds show what other uplinks want to know.
const ROUNDS_FOR_OTHERS: u8 = 3;

/// An uplink at one moment, as far as it matters for its probes.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, read one by one"
)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) now: Moment,
    pub(super) phase: Phase,
    pub(super) doubt: Doubt,
    /// It misses probes, or a family of it does.
    pub(super) is_suspected: bool,
    /// Its own traffic gets no answers.
    pub(super) is_traffic_silent: bool,
    /// One of its families has to win its trust back.
    pub(super) has_family_on_trial: bool,
    pub(super) is_carrying: bool,
    /// It was called, and may still become usable in time.
    pub(super) is_coming_up: bool,
    /// It is a warm standby.
    pub(super) is_warm: bool,
    /// When the first of the rounds was sent that are unanswered, with none answered since.
    pub(super) silent_from: Option<Moment>,
    /// That silence, if more probes say nothing more about it.
    pub(super) wait: Option<Wait>,
    /// When the last round was sent.
    pub(super) last_round: Option<Moment>,
}

impl Situation {
    pub(super) fn may_be_dead(&self) -> bool {
        self.is_suspected || self.is_traffic_silent
    }

    /// How long the answer of a target is waited for.
    pub(super) fn patience(&self, track: &TargetTrack, timeout: Duration) -> Duration {
        if self.is_traffic_silent && self.silent_from.is_some() {
            track.deadline_in_silence(timeout)
        } else {
            track.deadline(timeout)
        }
    }

    fn silence(&self) -> Option<Duration> {
        Some(self.now.since(self.silent_from?))
    }

    /// A silence about which more probes say nothing more.
    fn wait_at(&self, pace: Pace) -> Option<Wait> {
        self.wait.filter(|_| pace == Pace::Confirm)
    }
}

/// Whether it was asked if it would take over.
#[derive(Clone, Copy, Debug, Default)]
enum TakeoverCheck {
    /// Never yet.
    #[default]
    Never,
    /// Since then; the round is still to be sent.
    Due(Moment),
    /// Then, and the round was sent.
    Made(Moment),
}

impl TakeoverCheck {
    fn is_recent(self, interval: Duration, now: Moment) -> bool {
        match self {
            Self::Never => false,
            Self::Due(at) | Self::Made(at) => now.since(at) < interval,
        }
    }
}

/// The pacer of one uplink.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    need: Need,
    check: TakeoverCheck,
    /// Since when, while it is down, its return is awaited.
    awaited_since: Moment,
    /// So many rounds are yet to show other uplinks what they want to know.
    rounds_for_others: u8,
    next_round: Option<Moment>,
    /// The next round waits for routes to be written.
    awaits_routes: bool,
    spread: Spread,
    purse: Option<Box<Purse>>,
}

impl Pacer {
    pub(super) fn new(spread: Spread, purse: Option<Box<Purse>>, now: Moment) -> Self {
        Self {
            need: Need::default(),
            check: TakeoverCheck::default(),
            awaited_since: now,
            rounds_for_others: 0,
            next_round: None,
            awaits_routes: false,
            spread,
            purse,
        }
    }

    /// The budget of a metered uplink.
    pub(super) fn purse(&self) -> Option<&Purse> {
        self.purse.as_deref()
    }

    /// The same, to spend or to change.
    pub(super) fn purse_mut(&mut self) -> &mut Option<Box<Purse>> {
        &mut self.purse
    }

    pub(super) fn is_metered(&self) -> bool {
        self.purse.is_some()
    }

    /// When the next round is due.
    pub(super) fn next_round(&self) -> Option<Moment> {
        self.next_round
    }

    /// The next round goes out at `then`.
    pub(super) fn probe_at(&mut self, then: Moment) {
        self.next_round = Some(then);
    }

    /// No round is due any more.
    pub(super) fn stop(&mut self) {
        self.next_round = None;
        self.awaits_routes = false;
    }

    /// The round that is due, if one is, is to be sent now.
    pub(super) fn take_due(&mut self, now: Moment) -> bool {
        let is_due = self.next_round.is_some_and(|at| at <= now);
        if is_due {
            self.next_round = None;
            self.awaits_routes = false;
        }
        is_due
    }

    /// So much depends on it from now on; whether the next round may have to come sooner.
    pub(super) fn set_need(&mut self, need: Need, interval: Duration, now: Moment) -> bool {
        if need == self.need {
            return false;
        }
        self.need = need;
        match need {
            Need::Called => {
                if !self.check.is_recent(interval, now) {
                    self.check_takeover(now);
                }
                true
            }
            Need::Watched => true,
            Need::Standby => false,
        }
    }

    /// All its targets are to be asked at once whether it would take over.
    pub(super) fn check_takeover(&mut self, now: Moment) {
        self.check = TakeoverCheck::Due(now);
    }

    /// All its targets are to be asked, now and densely for a moment.
    pub(super) fn probe_for_others(&mut self, now: Moment) {
        self.rounds_for_others = ROUNDS_FOR_OTHERS;
        self.probe_at(now);
    }

    /// There is a reason to hope that it answers.
    pub(super) fn await_return(&mut self, now: Moment) {
        self.awaited_since = now;
    }

    /// It is asked as soon as its routes are written. Further changes until then put off nothing.
    pub(super) fn probe_soon(&mut self, now: Moment) {
        let soon = now + ROUTES_FIRST;
        let is_awaited = self.awaits_routes && self.next_round.is_some_and(|at| at <= soon);
        if !is_awaited {
            self.next_round = Some(soon);
            self.awaits_routes = true;
        }
    }

    /// A round has been sent.
    pub(super) fn sent(&mut self) {
        if let TakeoverCheck::Due(at) = self.check {
            self.check = TakeoverCheck::Made(at);
        }
        self.rounds_for_others = self.rounds_for_others.saturating_sub(1);
    }

    /// How urgent it is to know, within what can be afforded.
    pub(super) fn pace(&self, now: &Situation) -> Pace {
        self.afford(self.wanted_pace(now), now)
    }

    /// How urgent it would be if probes cost nothing.
    fn wanted_pace(&self, now: &Situation) -> Pace {
        let is_checked = matches!(self.check, TakeoverCheck::Due(_));
        match now.phase {
            _ if self.rounds_for_others > 0 => Pace::Confirm,
            // It may take a minute until a modem that is up has a network.
            Phase::Unknown if now.is_coming_up && now.is_suspected && !self.is_metered() => {
                Pace::Brisk
            }
            Phase::Unknown => Pace::Confirm,
            Phase::Up if is_checked || now.doubt > Doubt::None => Pace::Confirm,
            Phase::Degraded | Phase::Recovering(_) if is_checked || now.is_suspected => {
                Pace::Confirm
            }
            Phase::Degraded if self.need == Need::Standby && now.is_warm => Pace::Standby,
            Phase::Degraded if self.need == Need::Standby => Pace::Steady,
            Phase::Degraded | Phase::Recovering(_) => Pace::Brisk,
            Phase::Up if now.has_family_on_trial => Pace::Brisk,
            Phase::Up => self.unhurried(),
            // When a silence ends soon after the verdict decides how long the next one is waited for.
            Phase::Down if now.silence().is_some_and(|lasts| lasts < WATCHED_TO_LEARN) => {
                Pace::Brisk
            }
            Phase::Down | Phase::Absent | Phase::Cold => match self.need {
                Need::Standby | Need::Called => Pace::BackOff {
                    age: now.now.since(self.awaited_since),
                },
                Need::Watched => Pace::Steady,
            },
        }
    }

    /// The pace while nothing speaks against it.
    fn unhurried(&self) -> Pace {
        match self.need {
            Need::Standby => Pace::Standby,
            Need::Watched | Need::Called => Pace::Steady,
        }
    }

    /// The pace that a metered uplink can afford instead of `pace`.
    ///
    /// Whether a standby is dead has time until it is needed, and so has a question of quality; the
    /// way back is slow for a dead one anyway. One that is asked for others answers for all of them.
    fn afford(&self, pace: Pace, now: &Situation) -> Pace {
        let Some(purse) = self.purse.as_ref().filter(|_| self.rounds_for_others == 0) else {
            return pace;
        };
        let is_checked = matches!(self.check, TakeoverCheck::Due(_));
        let is_at_stake = now.is_carrying || is_checked || self.need == Need::Called;
        let may_be_dead = now.may_be_dead();
        match (now.phase, pace) {
            (Phase::Down | Phase::Absent | Phase::Cold, _) => Pace::BackOff {
                age: now.now.since(self.awaited_since),
            },
            (Phase::Recovering(_), Pace::Confirm) if !is_at_stake => Pace::Brisk,
            (Phase::Up | Phase::Degraded, Pace::Confirm) if may_be_dead && !is_at_stake => {
                Pace::Brisk
            }
            (Phase::Degraded, Pace::Brisk) => Pace::Steady,
            (Phase::Up | Phase::Degraded, Pace::Confirm | Pace::Brisk)
                if !may_be_dead && !is_checked =>
            {
                if purse.has_plenty() {
                    Pace::Brisk
                } else {
                    Pace::Steady
                }
            }
            (Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Recovering(_), pace) => pace,
        }
    }

    /// The time until the next round at this pace.
    fn spacing(&self, pace: Pace, now: &Situation, probe: &ProbeSettings) -> Duration {
        let spacing = pace.spacing(probe);
        let Some(purse) = &self.purse else {
            return spacing;
        };
        let every = purse.every();
        match pace {
            Pace::Standby | Pace::Steady => spacing.max(every),
            Pace::BackOff { age } if age >= every * 10 => every,
            Pace::BackOff { .. } => spacing.min(every),
            Pace::Brisk => spacing,
            Pace::Confirm => self.confirm_spacing(now.silence().unwrap_or_default(), probe),
        }
    }

    /// The time between two rounds of a verdict, after so long a silence.
    pub(super) fn confirm_spacing(&self, silence: Duration, probe: &ProbeSettings) -> Duration {
        let spacing = Pace::Confirm.spacing(probe);
        if !self.is_metered() {
            return spacing;
        }
        let most = probe.interval.max(spacing);
        (silence / SILENCE_SHARE).clamp(spacing, most)
    }

    /// The time between two rounds while nothing speaks against it.
    pub(super) fn routine_spacing(&self, probe: &ProbeSettings) -> Duration {
        let spacing = self.unhurried().spacing(probe);
        let purse = self.purse.as_ref();
        purse.map_or(spacing, |purse| spacing.max(purse.every()))
    }

    /// How many targets the next round asks. Where it is metered, a verdict asks all of them once:
    /// from then on it is the length of the silence that speaks.
    pub(super) fn breadth(
        &self,
        pace: Pace,
        now: &Situation,
        has_asked_all_since: impl Fn(Moment) -> bool,
    ) -> Breadth {
        if let Some(wait) = now.wait_at(pace) {
            return wait.breadth(now.now);
        }
        let silent_from = now.silent_from.filter(|_| self.is_metered());
        if silent_from.is_some_and(has_asked_all_since) {
            Breadth::Turn
        } else {
            pace.breadth()
        }
    }

    /// Sets the next round after one that was sent or saved.
    pub(super) fn await_next_round(&mut self, now: &Situation, probe: &ProbeSettings) {
        let pace = self.pace(now);
        let spacing = self.spacing(pace, now, probe);
        let next = match now.wait_at(pace) {
            Some(wait) => wait.next(now.now, spacing),
            None => now.now + self.spread.spread(pace, spacing),
        };
        self.next_round = Some(next);
    }

    /// Moves the next round nearer if the pace asks for it.
    pub(super) fn hurry(&mut self, now: &Situation, probe: &ProbeSettings) {
        let Some(last) = now.last_round else {
            return;
        };
        let pace = self.pace(now);
        let is_in_no_hurry =
            pace.is_slow() || (pace == Pace::Steady && !self.is_behind(now, probe));
        if is_in_no_hurry {
            return;
        }
        let spacing = self.spacing(pace, now, probe);
        let due = now
            .wait_at(pace)
            .map_or(last + spacing, |wait| wait.next(last, spacing));
        let due = due.max(now.now);
        if self.next_round.is_some_and(|at| at > due) {
            self.next_round = Some(due);
        }
    }

    /// The next round was set when it was in less of a hurry.
    fn is_behind(&self, now: &Situation, probe: &ProbeSettings) -> bool {
        let latest = now.now + self.spacing(Pace::Steady, now, probe) * 6 / 5;
        self.next_round.is_some_and(|at| at > latest)
    }

    /// Traffic that flows shows what a routine probe would.
    pub(super) fn saves_a_probe(&mut self, now: &Situation, is_flowing: bool) -> bool {
        let is_routine = now.phase == Phase::Up && self.pace(now) == Pace::Steady;
        let is_shown = is_routine && now.is_carrying && is_flowing;
        let purse = self.purse.as_mut();
        purse.is_some_and(|purse| purse.saves_a_probe(is_shown))
    }

    /// Pays for a round. Nothing if that is too much, and then the next round is when there may be
    /// enough.
    pub(super) fn pay(
        &mut self,
        chosen: RoundTargets,
        pace: Pace,
        now: &Situation,
        probe: &ProbeSettings,
    ) -> Option<RoundTargets> {
        let purpose = match pace {
            Pace::Confirm => Purpose::Verdict,
            Pace::Brisk if now.phase == Phase::Up && !now.may_be_dead() => Purpose::Quality,
            Pace::Standby | Pace::BackOff { .. } | Pace::Steady | Pace::Brisk => Purpose::Routine,
        };
        let Some(purse) = &mut self.purse else {
            return Some(chosen);
        };
        match purse.pay(chosen, purpose, probe, now.now) {
            Ok(paid) => Some(paid),
            Err(again) => {
                self.next_round = Some(again);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::settings::usual::probe;

    const CALM: Situation = Situation {
        now: Moment::START,
        phase: Phase::Up,
        doubt: Doubt::None,
        is_suspected: false,
        is_traffic_silent: false,
        has_family_on_trial: false,
        is_carrying: true,
        is_coming_up: false,
        is_warm: false,
        silent_from: None,
        wait: None,
        last_round: Some(Moment::START),
    };

    fn pacer() -> Pacer {
        Pacer::new(Spread::new(1), None, Moment::START)
    }

    #[test]
    fn doubt_brings_the_next_round_of_an_uplink_that_is_up_near() {
        let mut pacer = pacer();
        pacer.await_next_round(&CALM, &probe());
        let calm = pacer.next_round().expect("a round is due");
        assert!(calm >= Moment::START + Duration::from_millis(800));
        pacer.hurry(&CALM, &probe());
        assert_eq!(pacer.next_round(), Some(calm), "nothing has changed");
        let doubt = Doubt::Slight;
        pacer.hurry(&Situation { doubt, ..CALM }, &probe());
        let soon = Moment::START + Duration::from_millis(50);
        assert_eq!(pacer.next_round(), Some(soon));
    }

    #[test]
    fn a_standby_is_probed_slowly_until_it_may_have_to_take_over() {
        let mut pacer = pacer();
        let interval = probe().interval;
        assert!(!pacer.set_need(Need::Standby, interval, CALM.now));
        assert_eq!(pacer.pace(&CALM), Pace::Standby);
        assert!(pacer.set_need(Need::Called, interval, CALM.now));
        assert_eq!(pacer.pace(&CALM), Pace::Confirm);
        pacer.sent();
        assert_eq!(pacer.pace(&CALM), Pace::Steady, "one round is enough");
        pacer.set_need(Need::Standby, interval, CALM.now);
        pacer.set_need(Need::Called, interval, CALM.now);
        assert_eq!(pacer.pace(&CALM), Pace::Steady, "and not again at once");
    }

    #[test]
    fn a_dead_uplink_that_nothing_waits_for_is_probed_ever_more_rarely() {
        let mut pacer = pacer();
        let age = Duration::from_secs(100);
        let down = Situation {
            now: Moment::START + age,
            phase: Phase::Down,
            ..CALM
        };
        assert_eq!(pacer.pace(&down), Pace::Steady);
        pacer.set_need(Need::Standby, probe().interval, CALM.now);
        assert_eq!(pacer.pace(&down), Pace::BackOff { age });
    }

    #[test]
    fn a_round_for_other_uplinks_is_sent_now_and_densely() {
        let mut pacer = pacer();
        pacer.set_need(Need::Standby, probe().interval, CALM.now);
        pacer.probe_for_others(CALM.now);
        assert!(pacer.take_due(CALM.now) && !pacer.take_due(CALM.now));
        for _ in 0..ROUNDS_FOR_OTHERS {
            assert_eq!(pacer.pace(&CALM), Pace::Confirm);
            pacer.sent();
        }
        assert_eq!(pacer.pace(&CALM), Pace::Standby);
    }
}
