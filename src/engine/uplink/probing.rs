//! How an uplink is probed, and how answers and their lack become evidence.

use super::places::Places;
use super::{Outbox, Phase, Signal, Uplink, listen_for};
use crate::engine::action::ProbeOrder;
use crate::engine::input::ProbeOutcome;
use crate::engine::passive::BUSY_EVERY;
use crate::engine::quality::ClosedRound;
use crate::engine::round::{Fate, Round, RoundProbe, RoundResult};
use crate::engine::schedule::{Breadth, Pace};
use crate::engine::timer::Timer;
use crate::routing::Family;
use crate::units::{Counters, Moment, ProbeId, Target};

/// So many rounds must have been answered or not before an uplink on trial is trusted.
const LEAST_ROUNDS: u32 = 3;

/// In multiples of the timeout.
const LONGEST_QUEUE: u32 = 2;

impl Uplink {
    /// Takes what became of a probe.
    pub fn probed(&mut self, id: ProbeId, outcome: ProbeOutcome, now: Moment, out: &mut Outbox) {
        let Some((round, place)) = self.find(id) else {
            return;
        };
        let probe = self.rounds[round].probes[place];
        let sent = self.rounds[round].sent;
        match probe.fate {
            Fate::Pending | Fate::Missed => {}
            Fate::Answered(_) | Fate::Wrong | Fate::Void => return,
        }
        let fate = self.understand(probe, sent, outcome, now, out);
        let undoes_a_miss = matches!(fate, Fate::Answered(_) | Fate::Wrong);
        let is_news = probe.fate == Fate::Pending || undoes_a_miss;
        if is_news && matches!(fate, Fate::Answered(_)) {
            self.overtake(sent, probe.family, now, out);
        }
        if is_news {
            self.settle(round, place, fate, now, out);
        }
        self.arm_deadline();
    }

    /// What an outcome means for the probe to this target, and what it says beside.
    fn understand(
        &mut self,
        RoundProbe { target, family, .. }: RoundProbe,
        sent: Moment,
        outcome: ProbeOutcome,
        now: Moment,
        out: &mut Outbox,
    ) -> Fate {
        match outcome {
            ProbeOutcome::Reply(rtt) => {
                self.wrong_answer = None;
                self.met_target(target);
                Fate::Answered(rtt.min(listen_for(self.settings.probe.timeout)))
            }
            ProbeOutcome::Unreachable(_) => Fate::Missed,
            ProbeOutcome::Wrong(what) => {
                self.families.wrongly_answered(family, &what);
                self.wrong_answer = Some(what);
                self.targets[target].answered_wrongly(sent);
                if self.hears_whatever(family) {
                    Fate::Wrong
                } else {
                    Fate::Missed
                }
            }
            ProbeOutcome::Captive(what) => {
                self.targets[target].answered_wrongly(sent);
                if self.targets[target].is_standing() {
                    self.met_portal(target, sent, what);
                }
                Fate::Wrong
            }
            ProbeOutcome::NotSent(why) => {
                self.family_not_sent(family, &why, now, out);
                self.not_sent(why, now, out);
                Fate::Void
            }
        }
    }

    /// Takes the counters of its interface.
    pub fn counted(&mut self, counters: Counters, now: Moment) {
        self.passive.observe(counters, now);
        self.quality.set_full(self.passive.is_full());
        // What is metered is probed too rarely for its counters to be read along with the probes.
        let now_and_then = self
            .is_metered()
            .then_some(now + self.settings.probe.interval);
        let look_again = self.passive.look_again(now).or(now_and_then);
        let look_again = look_again.filter(|_| self.is_carrying);
        self.timers.set_or_stop(Timer::Count, look_again);
        let silent = self.silent_since(now);
        self.outage.traffic_is_silent(silent);
        if silent.is_some() {
            self.hurry(now);
        }
    }

    fn silent_since(&self, now: Moment) -> Option<Moment> {
        let rtt = self.rtt().unwrap_or(self.settings.probe.timeout);
        self.passive.silent_since(rtt, now)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outbox) {
        if self.timers.take_due(Timer::Deadline, now) {
            self.miss_overdue(now, out);
        }
        if self.timers.take_due(Timer::Recover, now) {
            self.try_to_trust(now, out);
        }
        let is_time_to_probe = self.timers.take_due(Timer::Round, now);
        // The machine is awake for the probe anyway.
        let is_time_to_look =
            is_time_to_probe && (self.pace(now) != Pace::Confirm || self.passive.is_worth_a_look());
        if is_time_to_probe && self.saves_a_probe(now) {
            self.await_next_round(now);
        } else if is_time_to_probe {
            self.send_round(now, out);
        }
        let is_time_to_count = self.timers.take_due(Timer::Count, now);
        if self.is_carrying && (is_time_to_look || is_time_to_count) {
            out.counts.push_back(self.settings.name.clone());
        }
        self.arm_deadline();
    }

    /// A probe that cannot be sent says nothing about the path; but an uplink through which nothing
    /// can be sent for long is of no use, and to call it up would be a lie.
    fn not_sent(&mut self, why: String, now: Moment, out: &mut Outbox) {
        let since = *self.mute_since.get_or_insert(now);
        if now.since(since) >= self.settings.health.outage_within {
            self.signal(Signal::Mute(why), now, out);
        }
    }

    fn send_round(&mut self, now: Moment, out: &mut Outbox) {
        if self.attachment.trouble.is_some() {
            return;
        }
        self.forget_old(now);
        let pace = self.pace(now);
        let breadth = if self.is_captive() {
            // Only the web pages can tell when it is over, and only all of them whether it is.
            Breadth::All
        } else {
            let wait = self.wait(pace);
            wait.map_or_else(|| self.breadth(pace, now), |wait| wait.breadth(now))
        };
        let probes = self.ask(breadth, pace, now, out);
        if probes.is_empty() {
            self.spare_room = probes;
            return;
        }
        self.call.make();
        self.summoned = self.summoned.saturating_sub(1);
        let mut round = Round::new(now, self.settings.probe.quorum, probes);
        round.without = self.families.broken();
        self.rounds.push_back(round);
        self.await_next_round(now);
    }

    /// Asks the targets whose turn it is: families take turns, and the targets of a family do. Those
    /// that were set aside are asked now and then, without their answers counting.
    fn ask(
        &mut self,
        breadth: Breadth,
        pace: Pace,
        now: Moment,
        out: &mut Outbox,
    ) -> Vec<RoundProbe> {
        let quorum = self.settings.probe.quorum;
        let groups = self.askable();
        let filled = || groups.iter().filter(|group| !group.is_empty());
        let count = filled().count().max(1);
        let mut chosen: Places = match breadth {
            Breadth::All => groups.iter().flat_map(|group| group.iter()).collect(),
            Breadth::Turn => {
                let group = filled().nth(self.turn % count).copied();
                let group = group.unwrap_or_default();
                group.in_turn(quorum, self.turn / count).collect()
            }
        };
        if let Some(broken) = self.families.take_retry(now) {
            let retried = self.standing_of(broken).in_turn(quorum, self.turn);
            chosen = chosen.iter().chain(retried).collect();
        }
        self.turn = self.turn.wrapping_add(1);
        let places = 0..self.targets.len();
        let retried: Places = places
            .filter(|place| !chosen.contains(*place) && self.targets[*place].take_retry(now))
            .collect();
        let mut probes = std::mem::take(&mut self.spare_room);
        let Some((chosen, retried)) = self.pay((chosen, retried), pace, now) else {
            return probes;
        };
        probes.reserve_exact(chosen.len() + retried.len());
        probes.extend(chosen.iter().map(|place| self.order(place, true, now, out)));
        probes.extend(
            retried
                .iter()
                .map(|place| self.order(place, false, now, out)),
        );
        probes
    }

    fn order(&self, target: usize, counts: bool, now: Moment, out: &mut Outbox) -> RoundProbe {
        let id = ProbeId(out.next_probe);
        out.next_probe += 1;
        let most = self.settings.probe.timeout;
        out.probes.push_back(ProbeOrder {
            id,
            uplink: self.settings.name.clone(),
            target: self.targets[target].target().clone(),
            listen_for: listen_for(most),
        });
        RoundProbe {
            id,
            target,
            family: self.family_of(target),
            counts,
            deadline: now + self.targets[target].deadline(most),
            fate: Fate::Pending,
        }
    }

    fn find(&self, id: ProbeId) -> Option<(usize, usize)> {
        let after = self
            .rounds
            .partition_point(|round| round.probes[0].id <= id);
        let round = after.checked_sub(1)?;
        let probes = &self.rounds[round].probes;
        let place = probes.iter().position(|probe| probe.id == id)?;
        Some((round, place))
    }

    pub(super) fn forget_rounds(&mut self) {
        self.rounds.clear();
        self.outage.interrupt();
        self.families.interrupt();
        self.timers.stop(Timer::Deadline);
    }

    fn forget_old(&mut self, now: Moment) {
        let listened = listen_for(self.settings.probe.timeout);
        while let Some(oldest) = self.rounds.front()
            && oldest.is_closed()
            && (oldest.is_answered_in_full() || now.since(oldest.sent) > listened)
            && let Some(over) = self.rounds.pop_front()
        {
            self.spare_room = over.into_room();
        }
        for target in &mut self.targets {
            target.expire(now);
        }
    }

    fn arm_deadline(&mut self) {
        let next = self.rounds.iter().filter_map(Round::next_deadline).min();
        self.timers.set_or_stop(Timer::Deadline, next);
    }

    fn miss_overdue(&mut self, now: Moment, out: &mut Outbox) {
        for round in 0..self.rounds.len() {
            for place in 0..self.rounds.get(round).map_or(0, |r| r.probes.len()) {
                let probe = self.rounds[round].probes[place];
                if probe.fate != Fate::Pending || probe.deadline > now {
                    continue;
                }
                if self.may_be_queued(self.rounds[round].sent, now) {
                    self.rounds[round].probes[place].deadline = now + BUSY_EVERY;
                    out.counts.push_back(self.settings.name.clone());
                } else {
                    self.settle(round, place, Fate::Missed, now, out);
                }
            }
        }
    }

    /// On a link that our own traffic fills a probe waits in the queue of that, for as long as the
    /// traffic comes in; when that ends it is overdue at once.
    fn may_be_queued(&self, sent: Moment, now: Moment) -> bool {
        let longest = self.settings.probe.timeout * LONGEST_QUEUE;
        now.since(sent) < longest && self.is_carrying && self.passive.is_full_and_flows(now)
    }

    /// A later probe is answered: a queue keeps its order, so that what is still thought to wait in it
    /// was lost. That is how the link loses packets, and no silence any more.
    fn overtake(&mut self, answered: Moment, family: Family, now: Moment, out: &mut Outbox) {
        for place in 0..self.rounds.len() {
            let round = &self.rounds[place];
            if round.sent >= answered || round.is_closed() {
                continue;
            }
            let is_lost = |probe| self.is_overtaken((round, probe), family, now);
            let lost: Places = (0..round.probes.len())
                .filter(|at| is_lost(&round.probes[*at]))
                .collect();
            if !lost.is_empty() {
                self.lose(place, lost, family, now, out);
            }
        }
    }

    fn lose(&mut self, place: usize, lost: Places, family: Family, now: Moment, out: &mut Outbox) {
        let round = &mut self.rounds[place];
        for at in lost.iter() {
            let probe = &mut round.probes[at];
            probe.fate = Fate::Missed;
            self.targets[probe.target].missed(probe.id, round.sent);
        }
        let of_family = round.judge_family(family);
        let before = std::mem::replace(&mut round.of_families[family as usize], of_family);
        if of_family == RoundResult::Failed && before != of_family {
            let losses = round.losses_of(family);
            self.families.overtaken(family, round.sent, losses);
        }
        let result = round.judge();
        let before = std::mem::replace(&mut round.result, result);
        if round.result == RoundResult::Failed && before != round.result {
            self.outage.failed(round.sent, round.losses());
            self.count_recovery(1);
        }
        if self.rounds[place].is_closed() {
            self.close(place, now, out);
        }
    }

    /// Of a round before one that is answered: it is overdue.
    fn is_overtaken(
        &self,
        (round, probe): (&Round, &RoundProbe),
        family: Family,
        now: Moment,
    ) -> bool {
        let deadline = self.targets[probe.target].deadline(self.settings.probe.timeout);
        let is_overdue = round.sent + deadline <= now;
        is_overdue && probe.fate == Fate::Pending && probe.family == family
    }

    fn settle(&mut self, round: usize, place: usize, fate: Fate, now: Moment, out: &mut Outbox) {
        let sent = self.rounds[round].sent;
        let was_closed = self.rounds[round].is_closed();
        let probe = &mut self.rounds[round].probes[place];
        let undoes_a_miss = probe.fate == Fate::Missed;
        probe.fate = fate;
        let speaks_for_all = Some(probe.family) != self.rounds[round].without;
        if fate != Fate::Void && speaks_for_all {
            self.mute_since = None;
        }
        let probe = &self.rounds[round].probes[place];
        let (id, target) = (probe.id, probe.target);
        match fate {
            Fate::Answered(rtt) => {
                if undoes_a_miss && was_closed {
                    self.quality.undo_miss(&self.outage.process());
                }
                if undoes_a_miss && rtt >= self.settings.health.latency.enter {
                    self.late_answer = Some(now);
                }
                if self.targets[target].is_standing() {
                    self.quality.reply(self.rtt_of_link(target, rtt, now));
                }
                let standing = self.targets[target].answered(now, id, sent, rtt);
                self.note_standing(target, standing, now, out);
            }
            Fate::Missed => self.targets[target].missed(id, sent),
            Fate::Pending | Fate::Wrong | Fate::Void => {}
        }
        self.judge_families(round, now, out);
        self.judge_round(round, now, out);
        if !was_closed && self.rounds.get(round).is_some_and(Round::is_closed) {
            self.close(round, now, out);
        }
        self.hurry(now);
    }

    fn judge_round(&mut self, place: usize, now: Moment, out: &mut Outbox) {
        let round = &mut self.rounds[place];
        let (before, result) = (round.result, round.judge());
        if before == result {
            return;
        }
        round.result = result;
        let (sent, losses) = (round.sent, round.losses());
        let disproof = self.rounds[place].slowest_answer().filter(|_| {
            let is_late = before == RoundResult::Failed && result == RoundResult::Answered;
            is_late && self.standing == Phase::Down && sent < self.since
        });
        if let Some(rtt) = disproof {
            self.outage.answered(sent, self.demand());
            self.signal(Signal::Disproved(rtt), now, out);
            return;
        }
        match result {
            RoundResult::Open => {}
            RoundResult::Answered | RoundResult::Wrong => {
                if self.outage.is_traffic_silent() {
                    self.passive.disprove(now);
                    self.outage.traffic_is_silent(None);
                }
                self.outage.answered(sent, self.demand());
                let is_right = result == RoundResult::Answered || self.is_life(place);
                if is_right && !self.is_captive() {
                    self.count_recovery(0);
                    self.signal(Signal::Answered, now, out);
                }
            }
            RoundResult::Failed => {
                self.outage.failed(sent, losses);
                self.count_recovery(1);
                if let Some(silence) = self.outage.verdict(now, self.demand()) {
                    self.judge_silence(silence, now, out);
                }
            }
        }
    }

    /// A round is complete: what it says about its targets and about the quality of the link.
    fn close(&mut self, place: usize, now: Moment, out: &mut Outbox) {
        let empty = Round::new(now, 0, Vec::new());
        let round = std::mem::replace(&mut self.rounds[place], empty);
        let process = self.outage.process();
        self.families.closed(&round);
        for probe in &round.probes {
            let has_right_page = || round.probes.iter().any(|other| self.is_right_page(other));
            // What all targets of a family share is no target's fault.
            let is_alone = match probe.fate {
                Fate::Missed => !self.quality.overflows() && round.has_answer_of(probe.family),
                Fate::Wrong => has_right_page(),
                Fate::Pending | Fate::Answered(_) | Fate::Void => false,
            };
            if is_alone {
                let may_set_aside = self.may_set_aside(probe.family);
                let track = &mut self.targets[probe.target];
                let standing = track.missed_alone(now, round.sent, &process, may_set_aside);
                self.note_standing(probe.target, standing, now, out);
            }
        }
        self.judge_portal(now, out);
        let tally = round.tally(|probe| {
            self.targets[probe.target].is_doubtful()
                || self.families.is_at_fault(probe.family, &round)
        });
        if round.result == RoundResult::Answered {
            self.outage.closed(tally);
        }
        let closed = ClosedRound {
            sent: round.sent,
            tally,
        };
        self.rounds[place] = round;
        let demand = self.demand();
        self.quality.round(closed, &process, &demand);
        if let Some(jitter) = self.jitter() {
            self.quality.jitter(jitter);
        }
        let dwell = self.settings.health.dwell;
        let has_dwelt = self.requalified.is_none_or(|at| now.since(at) >= dwell);
        if has_dwelt {
            let complaint = self.quality.complaint();
            let signal = complaint.map_or(Signal::Better, Signal::Worse);
            self.signal(signal, now, out);
        }
    }

    fn is_right_page(&self, probe: &RoundProbe) -> bool {
        let is_page = matches!(self.targets[probe.target].target(), Target::Http(_));
        is_page && matches!(probe.fate, Fate::Answered(_))
    }

    /// More targets of the family stand than it takes.
    fn may_set_aside(&self, family: Family) -> bool {
        let of_family = self.asked_by(family).iter();
        let standing = of_family.filter(|place| self.targets[*place].is_standing());
        standing.count() > self.quorum_of(family)
    }

    fn count_recovery(&mut self, lost: u32) {
        if let Phase::Recovering { tally } = &mut self.standing {
            tally.0 += 1;
            tally.1 += lost;
        }
    }

    pub(super) fn try_to_trust(&mut self, now: Moment, out: &mut Outbox) {
        let recover_after = self.settings.health.recover_after;
        let rounds = match self.standing {
            Phase::Recovering { tally } => tally.0,
            Phase::Unknown
            | Phase::Up
            | Phase::Degraded
            | Phase::Down
            | Phase::Absent
            | Phase::Cold => 0,
        };
        let is_too_early = rounds < LEAST_ROUNDS && !recover_after.is_zero();
        if self.outage.is_suspected() || is_too_early {
            let soon = (recover_after / 4).max(self.settings.probe.confirm_interval);
            self.timers.set(Timer::Recover, now + soon);
        } else {
            self.signal(Signal::Trusted, now, out);
        }
    }
}
