//! What was asked, and what came of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::places::Places;
use super::purse::RoundTargets;
use super::targets::Targets;
use crate::engine::round::{Fate, Round, RoundProbe, RoundResult};
use crate::engine::schedule::Breadth;
use crate::engine::target::TargetTrack;
use crate::routing::Family;
use crate::units::{Moment, ProbeId};

/// The rounds of one uplink that an answer may still come to, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    kept: VecDeque<Round>,
    /// Room for the probes of the next round, from one that is over.
    spare_room: Vec<RoundProbe>,
    turn: usize,
    /// All answers that had come by then are taken in; none: they always are.
    read_until: Option<Moment>,
    /// A stall of the agent has excused probes, and none was answered since.
    has_excused: bool,
}

/// Rounds come densely in doubt. A room for so many more than there are is given back.
const SPARE_ROUNDS: usize = 12;

/// Where a probe stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbePlace {
    pub(super) round: usize,
    probe: usize,
}

/// What a new fate of a probe means for its round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) probe: RoundProbe,
    pub(super) sent: Moment,
    /// It had been missed.
    pub(super) undoes_a_miss: bool,
    /// The round was complete before.
    pub(super) was_closed: bool,
    /// What its family answers says something about the uplink.
    pub(super) speaks_for_all: bool,
}

/// Probes of one round that a later answer has overtaken: they are lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overtaken {
    pub(super) round: usize,
    probes: Places,
}

impl Rounds {
    /// The targets whose turn it is: families take turns, and the targets of a family do. Those of a
    /// family that is retried are asked as well.
    pub(super) fn choose(
        &mut self,
        breadth: Breadth,
        groups: &[Places],
        retried: Places,
        quorum: usize,
    ) -> Places {
        let filled = || groups.iter().filter(|group| !group.is_empty());
        let count = filled().count().max(1);
        let chosen: Places = match breadth {
            Breadth::All => groups.iter().flat_map(|group| group.iter()).collect(),
            Breadth::Turn => {
                let group = filled().nth(self.turn % count).copied();
                let group = group.unwrap_or_default();
                group.in_turn(quorum, self.turn / count).collect()
            }
        };
        let retried = retried.in_turn(quorum, self.turn);
        let chosen = chosen.iter().chain(retried).collect();
        self.turn = self.turn.wrapping_add(1);
        chosen
    }

    /// Sends a round to the chosen targets. `order` orders a probe, and says how long its answer may take; `without`:
    /// the broken family.
    pub(super) fn send(
        &mut self,
        chosen: RoundTargets,
        targets: &Targets,
        quorum: usize,
        without: Option<Family>,
        now: Moment,
        mut order: impl FnMut(&TargetTrack) -> (ProbeId, Duration),
    ) {
        let mut probes = std::mem::take(&mut self.spare_room);
        probes.reserve_exact(chosen.len());
        for (places, counts) in [(chosen.counting, true), (chosen.retried, false)] {
            for place in places.iter() {
                let (id, patience) = order(targets.at(place));
                probes.push(RoundProbe {
                    id,
                    target: place,
                    family: targets.family_of(place),
                    counts,
                    deadline: now + patience,
                    fate: Fate::Pending,
                });
            }
        }
        let mut round = Round::new(now, quorum, probes);
        round.without = without;
        self.kept.push_back(round);
    }

    pub(super) fn at(&self, round: usize) -> &Round {
        &self.kept[round]
    }

    pub(super) fn at_mut(&mut self, round: usize) -> &mut Round {
        &mut self.kept[round]
    }

    /// The probe of this number and when it was sent, if an answer still means something.
    pub(super) fn find_unanswered(&self, id: ProbeId) -> Option<(ProbePlace, RoundProbe, Moment)> {
        let place = self.find(id)?;
        let (probe, sent) = self.probe(place);
        let is_unanswered = match probe.fate {
            Fate::Pending | Fate::Missed => true,
            Fate::Answered(_) | Fate::Wrong | Fate::Void => false,
        };
        is_unanswered.then_some((place, probe, sent))
    }

    /// When the probe of this number was sent, if it is no evidence any more.
    pub(super) fn sent_void(&self, id: ProbeId) -> Option<Moment> {
        let (probe, sent) = self.probe(self.find(id)?);
        (probe.fate == Fate::Void).then_some(sent)
    }

    /// Where the probe of this number stands.
    fn find(&self, id: ProbeId) -> Option<ProbePlace> {
        let after = self.kept.partition_point(|round| round.probes[0].id <= id);
        let round = after.checked_sub(1)?;
        let probes = &self.kept[round].probes;
        let probe = probes.iter().position(|probe| probe.id == id)?;
        Some(ProbePlace { round, probe })
    }

    /// A probe, and when it was sent.
    pub(super) fn probe(&self, place: ProbePlace) -> (RoundProbe, Moment) {
        let round = &self.kept[place.round];
        (round.probes[place.probe], round.sent)
    }

    /// The fate of a probe is this.
    pub(super) fn settle(&mut self, place: ProbePlace, fate: Fate) -> Settled {
        let round = &mut self.kept[place.round];
        let was_closed = round.is_closed();
        let probe = &mut round.probes[place.probe];
        let before = std::mem::replace(&mut probe.fate, fate);
        self.has_excused &= !matches!(fate, Fate::Answered(_) | Fate::Wrong);
        Settled {
            probe: *probe,
            sent: round.sent,
            undoes_a_miss: before == Fate::Missed,
            was_closed,
            speaks_for_all: Some(probe.family) != round.without,
        }
    }

    /// The first probe that is under way and whose answer is overdue. An answer that has come and was
    /// not read yet is not overdue.
    pub(super) fn first_overdue(&self, now: Moment) -> Option<ProbePlace> {
        let judged = self.read_until.map_or(now, |read| read.min(now));
        let is_overdue = |p: &RoundProbe| p.fate == Fate::Pending && p.deadline <= judged;
        (0..).zip(&self.kept).find_map(|(round, of)| {
            let probe = of.probes.iter().position(is_overdue)?;
            Some(ProbePlace { round, probe })
        })
    }

    /// The probes by a family that may still be found missed, or be answered late.
    pub(super) fn unanswered_by(&self, family: Family) -> Vec<ProbePlace> {
        self.places(|_, probe| {
            probe.family == family && matches!(probe.fate, Fate::Pending | Fate::Missed)
        })
    }

    /// The probes of which this is so.
    fn places(&self, is_so: impl Fn(&Round, &RoundProbe) -> bool) -> Vec<ProbePlace> {
        let mut places = Vec::new();
        for (round, of) in (0..).zip(&self.kept) {
            let probes = (0..).zip(&of.probes);
            let found = probes.filter(|(_, probe)| is_so(of, probe));
            places.extend(found.map(|(probe, _)| ProbePlace { round, probe }));
        }
        places
    }

    /// All answers that had come by `until` are taken in.
    pub(super) fn answers_read(&mut self, until: Moment) {
        self.read_until = self.read_until.max(Some(until));
    }

    /// A deadline has passed up to which the answers were not read.
    pub(super) fn awaits_answers(&self, now: Moment) -> bool {
        let deadline = self.next_deadline().filter(|deadline| *deadline <= now);
        deadline.is_some_and(|deadline| self.read_until.is_none_or(|read| read < deadline))
    }

    /// The probes whose time ran out while the agent did not run, from `from` until `now`. Once in each
    /// silence: whatever keeps the agent from running, an outage is found.
    pub(super) fn excused(&mut self, from: Moment, now: Moment) -> Vec<ProbePlace> {
        if self.has_excused {
            return Vec::new();
        }
        let excused = self.places(|round, probe| {
            let is_touched = round.sent <= from && from <= probe.deadline && probe.deadline <= now;
            is_touched && probe.fate == Fate::Pending
        });
        self.has_excused |= !excused.is_empty();
        excused
    }

    /// A probe left the machine so much later than it was ordered.
    pub(super) fn sent_late(&mut self, id: ProbeId, by: Duration) {
        let Some(place) = self.find(id) else {
            return;
        };
        let round = &mut self.kept[place.round];
        let probe = &mut round.probes[place.probe];
        if probe.fate == Fate::Pending {
            probe.deadline = probe.deadline + by;
            round.sent = round.sent + by.saturating_sub(round.late);
            round.late = round.late.max(by);
        }
    }

    /// The answer of a probe is waited for until then.
    pub(super) fn wait_until(&mut self, place: ProbePlace, until: Moment) {
        self.kept[place.round].probes[place.probe].deadline = until;
    }

    /// What a probe by `family` that was sent at `answered` and is answered has overtaken. A queue keeps
    /// its order: earlier probes that are overdue are lost. `patience`: how long each target has.
    pub(super) fn overtaken(
        &self,
        family: Family,
        answered: Moment,
        patience: impl Fn(usize) -> Duration,
        now: Moment,
    ) -> Vec<Overtaken> {
        let mut all = Vec::new();
        for (place, round) in (0..).zip(&self.kept) {
            if round.sent >= answered || round.is_closed() {
                continue;
            }
            let is_lost = |probe: &RoundProbe| {
                let is_overdue = round.sent + patience(probe.target) <= now;
                is_overdue && probe.fate == Fate::Pending && probe.family == family
            };
            let places = 0..round.probes.len();
            let probes: Places = places.filter(|at| is_lost(&round.probes[*at])).collect();
            if !probes.is_empty() {
                all.push(Overtaken {
                    round: place,
                    probes,
                });
            }
        }
        all
    }

    /// Takes overtaken probes as missed; the round that they are of.
    pub(super) fn lose(&mut self, overtaken: Overtaken, targets: &mut Targets) -> &mut Round {
        let round = &mut self.kept[overtaken.round];
        for at in overtaken.probes.iter() {
            let probe = &mut round.probes[at];
            probe.fate = Fate::Missed;
            targets.at_mut(probe.target).missed(probe.id, round.sent);
        }
        round
    }

    /// When the next probe is missed.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.kept.iter().filter_map(Round::next_deadline).min()
    }

    /// When the last round was sent.
    pub(super) fn last_sent(&self) -> Option<Moment> {
        self.kept.back().map(|round| round.sent)
    }

    /// A round after `since` asked more targets than the quorum.
    pub(super) fn has_asked_all_since(&self, since: Moment, quorum: usize) -> bool {
        let rounds = self.kept.iter().rev();
        let mut recent = rounds.take_while(|round| round.sent > since);
        recent.any(|round| round.probes.len() > quorum)
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Forgets those to which nothing can come any more after being listened for so long.
    pub(super) fn forget_old(&mut self, listened: Duration, now: Moment) {
        while let Some(oldest) = self.kept.front()
            && oldest.is_closed()
            && (oldest.is_answered_in_full() || now.since(oldest.sent) > listened)
            && let Some(over) = self.kept.pop_front()
        {
            self.spare_room = over.into_room();
        }
        if self.kept.capacity() > self.kept.len() + SPARE_ROUNDS {
            self.kept.shrink_to(self.kept.len() + SPARE_ROUNDS / 3);
        }
    }
}

impl Round {
    /// The result of a family if it is another now.
    pub(super) fn take_family_result(&mut self, family: Family) -> Option<RoundResult> {
        let result = self.judge_family(family);
        let before = std::mem::replace(&mut self.of_families[family as usize], result);
        (before != result).then_some(result)
    }

    /// The result, before and now, if it is another now.
    pub(super) fn take_result(&mut self) -> Option<[RoundResult; 2]> {
        let result = self.judge();
        let before = std::mem::replace(&mut self.result, result);
        (before != result).then_some([before, result])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    /// A round at each of these times, of two probes each, all under way for 100 ms.
    fn rounds(times: &[u64]) -> Rounds {
        let mut rounds = Rounds::default();
        for (number, time) in (0..).zip(times) {
            let probes = [0, 1].map(|target| RoundProbe {
                id: ProbeId(number * 2 + u64::from(target > 0)),
                target,
                family: Family::Ipv4,
                counts: true,
                deadline: at(time + 100),
                fate: Fate::Pending,
            });
            rounds
                .kept
                .push_back(Round::new(at(*time), 1, probes.to_vec()));
        }
        rounds
    }

    #[test]
    fn a_probe_is_found_by_its_number_until_its_round_is_over() {
        let mut rounds = rounds(&[0, 1_000]);
        let place = rounds.find(ProbeId(3)).expect("is under way");
        let (probe, sent) = rounds.probe(place);
        assert_eq!((probe.target, sent), (1, at(1_000)));
        for id in [0, 1].map(ProbeId) {
            let place = rounds.find(id).expect("is under way");
            rounds.settle(place, Fate::Answered(Duration::ZERO));
        }
        rounds.forget_old(Duration::from_secs(3), at(1_000));
        assert_eq!(rounds.find(ProbeId(0)), None);
        assert_eq!(rounds.last_sent(), Some(at(1_000)));
    }

    #[test]
    fn what_is_overdue_comes_in_the_order_in_which_it_was_sent() {
        let mut rounds = rounds(&[0, 50]);
        assert_eq!(rounds.next_deadline(), Some(at(100)));
        let mut missed = Vec::new();
        while let Some(place) = rounds.first_overdue(at(200)) {
            missed.push(rounds.settle(place, Fate::Missed).probe.id);
        }
        assert_eq!(missed, [0, 1, 2, 3].map(ProbeId));
    }

    #[test]
    fn an_answer_overtakes_what_is_overdue_from_before_it_and_nothing_else() {
        let rounds = rounds(&[0, 50, 400]);
        let patience = |_| Duration::from_millis(100);
        let lost = rounds.overtaken(Family::Ipv4, at(400), patience, at(120));
        let lost: Vec<_> = lost.iter().map(|o| (o.round, o.probes.len())).collect();
        assert_eq!(lost, [(0, 2)]);
        let other = rounds.overtaken(Family::Ipv6, at(400), patience, at(500));
        assert!(other.is_empty());
    }

    #[test]
    fn families_take_turns_and_so_do_their_targets() {
        let mut rounds = Rounds::default();
        let groups: [Places; 2] = [[0, 1].into_iter().collect(), [2].into_iter().collect()];
        let mut turn = |breadth| {
            let chosen = rounds.choose(breadth, &groups, Places::default(), 1);
            chosen.iter().collect::<Vec<_>>()
        };
        let turns: Vec<_> = (0..4).map(|_| turn(Breadth::Turn)).collect();
        assert_eq!(turns, [[0], [2], [1], [2]]);
        assert_eq!(turn(Breadth::All), [0, 1, 2]);
    }
}
