//! How an uplink is probed, and how answers and their lack become evidence.

use super::{Outbox, Phase, Signal, Uplink, listen_for};
use crate::engine::input::{Change, Event, Outcome, ProbeOrder};
use crate::engine::quality::ClosedRound;
use crate::engine::round::{Fate, Round, RoundProbe, RoundResult};
use crate::engine::schedule::Breadth;
use crate::engine::status::State;
use crate::engine::target::Standing;
use crate::engine::timer::Timer;
use crate::routing::Family;
use crate::units::{Counters, Moment, ProbeId};

/// So many rounds must have been answered or not before an uplink on trial is trusted.
const LEAST_ROUNDS: u32 = 3;

impl Uplink {
    /// Takes what became of a probe.
    pub fn probed(&mut self, id: ProbeId, outcome: Outcome, now: Moment, out: &mut Outbox) {
        let Some((round, place)) = self.find(id) else {
            return;
        };
        let before = self.rounds[round].probes[place].fate;
        let fate = match outcome {
            Outcome::Reply(rtt) => {
                self.wrong_answer = None;
                Fate::Answered(rtt.min(listen_for(self.settings.probe.timeout)))
            }
            Outcome::Unreachable(_) => Fate::Missed,
            Outcome::Wrong(what) => {
                let family = self.rounds[round].probes[place].family;
                self.families.wrongly_answered(family, &what);
                self.wrong_answer = Some(what);
                Fate::Missed
            }
            Outcome::NotSent(why) => {
                let family = self.rounds[round].probes[place].family;
                self.family_not_sent(family, &why, now, out);
                self.not_sent(why, now, out);
                Fate::Void
            }
        };
        match (before, fate) {
            (Fate::Pending, _) | (Fate::Missed, Fate::Answered(_)) => {
                self.settle(round, place, fate, now, out);
            }
            (Fate::Answered(_) | Fate::Missed | Fate::Void, _) => {}
        }
        self.arm_deadline();
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
        if is_time_to_probe && self.saves_a_probe(now) {
            self.await_next_round(now);
        } else if is_time_to_probe {
            self.send_round(now, out);
        }
        let is_time_to_count = self.timers.take_due(Timer::Count, now);
        let is_time_to_look = is_time_to_probe && self.passive.is_worth_a_look(now);
        if self.is_carrying && (is_time_to_look || is_time_to_count) {
            out.counts.push(self.settings.name.clone());
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
        let chosen = self.choose(self.breadth(pace, now), now);
        let chosen = self.pay(chosen, pace, now);
        if chosen.is_empty() {
            return;
        }
        self.call.make();
        let probes = chosen
            .into_iter()
            .map(|(target, counts)| self.order(target, counts, now, out))
            .collect();
        let mut round = Round::new(now, self.settings.probe.quorum, probes);
        round.without = self.families.broken();
        self.rounds.push_back(round);
        self.await_next_round(now);
    }

    /// The places of the targets to ask now, and whether their answers count. Families take turns,
    /// and the targets of a family do.
    fn choose(&mut self, breadth: Breadth, now: Moment) -> Vec<(usize, bool)> {
        let quorum = self.settings.probe.quorum;
        let groups = self.askable();
        let count = groups.iter().filter(|group| !group.is_empty()).count();
        let mut filled = groups.iter().filter(|group| !group.is_empty());
        let mut chosen: Vec<(usize, bool)> = match breadth {
            Breadth::All => groups
                .iter()
                .flatten()
                .map(|place| (*place, true))
                .collect(),
            Breadth::Turn => {
                let group = filled.nth(self.turn % count.max(1));
                let group = group.map(Vec::as_slice).unwrap_or_default();
                in_turn(group, quorum, self.turn / count.max(1)).collect()
            }
        };
        if let Some(broken) = self.families.take_retry(now) {
            let group = self.standing_of(broken);
            chosen.extend(in_turn(&group, quorum, self.turn));
        }
        self.turn = self.turn.wrapping_add(1);
        for place in 0..self.targets.len() {
            let is_chosen = chosen.iter().any(|(chosen, _)| *chosen == place);
            if !is_chosen && self.targets[place].take_retry(now) {
                chosen.push((place, false));
            }
        }
        chosen
    }

    fn order(&self, target: usize, counts: bool, now: Moment, out: &mut Outbox) -> RoundProbe {
        let id = ProbeId(out.next_probe);
        out.next_probe += 1;
        let most = self.settings.probe.timeout;
        out.probes.push(ProbeOrder {
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
            && now.since(oldest.sent) > listened
            && oldest.is_closed()
        {
            self.rounds.pop_front();
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
                if probe.fate == Fate::Pending && probe.deadline <= now {
                    self.settle(round, place, Fate::Missed, now, out);
                }
            }
        }
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
                if self.targets[target].is_standing() {
                    self.quality.reply(rtt);
                }
                let standing = self.targets[target].answered(now, id, sent, rtt);
                self.tell_standing(target, standing, now, out);
            }
            Fate::Missed => self.targets[target].missed(id, sent),
            Fate::Pending | Fate::Void => {}
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
            RoundResult::Answered => {
                if self.outage.is_traffic_silent() {
                    self.passive.disprove(now);
                    self.outage.traffic_is_silent(None);
                }
                self.outage.answered(sent, self.demand());
                self.count_recovery(0);
                self.signal(Signal::Answered, now, out);
            }
            RoundResult::Failed => {
                self.outage.failed(sent, losses);
                self.count_recovery(1);
                if let Some(silence) = self.outage.verdict(now, self.demand()) {
                    self.signal(Signal::Silent(silence), now, out);
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
        for probe in round.probes.iter().filter(|p| p.fate == Fate::Missed) {
            // What all targets of a family share is no target's fault.
            if round.judge_family(probe.family) == RoundResult::Answered {
                let may_set_aside = self.may_set_aside(probe.family);
                let standing =
                    self.targets[probe.target].missed_alone(now, &process, may_set_aside);
                self.tell_standing(probe.target, standing, now, out);
            }
        }
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
        self.quality.round(
            closed,
            &process,
            self.settings.probe.interval,
            self.demand().threshold(),
        );
        if let Some(jitter) = self.jitter() {
            self.quality.jitter(jitter);
        }
        let signal = self
            .quality
            .complaint()
            .map_or(Signal::Better, Signal::Worse);
        self.signal(signal, now, out);
    }

    /// More targets of the family stand than it takes.
    fn may_set_aside(&self, family: Family) -> bool {
        let places = 0..self.targets.len();
        let standing = places.filter(|place| self.targets[*place].is_standing());
        let of_family = standing.filter(|place| self.family_of(*place) == family);
        of_family.count() > self.settings.probe.quorum
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
            Phase::Unknown | Phase::Up | Phase::Degraded | Phase::Down | Phase::Absent => 0,
        };
        let is_too_early = rounds < LEAST_ROUNDS && !recover_after.is_zero();
        if self.outage.is_suspected() || is_too_early {
            let soon = (recover_after / 4).max(self.settings.probe.confirm_interval);
            self.timers.set(Timer::Recover, now + soon);
        } else {
            self.signal(Signal::Trusted, now, out);
        }
    }

    fn tell_standing(
        &self,
        target: usize,
        standing: Option<Standing>,
        now: Moment,
        out: &mut Outbox,
    ) {
        let Some(standing) = standing else {
            return;
        };
        let target = self.targets[target].target().clone();
        let (from, to, reason) = match standing {
            Standing::SetAside => (
                State::Up,
                State::Down,
                format!("{target} does not answer while others do: set aside, asked again later"),
            ),
            Standing::Reinstated => (State::Down, State::Up, format!("{target} answers again")),
        };
        out.events.push(Event {
            at: now,
            change: Change::Target {
                uplink: self.settings.name.clone(),
                interface: self.settings.interface.clone(),
                target,
                from,
                to,
            },
            reason,
        });
    }
}

/// As many of a group as the quorum asks for, others at each turn.
fn in_turn(group: &[usize], quorum: usize, turn: usize) -> impl Iterator<Item = (usize, bool)> {
    let first = turn.wrapping_mul(quorum);
    let places =
        (0..quorum.min(group.len())).map(move |step| first.wrapping_add(step) % group.len());
    places.map(|place| (group[place], true))
}
