//! Probes that were sent together, and what came of them.

use std::time::Duration;

use crate::engine::loss::Tally;
use crate::routing::Family;
use crate::units::{Moment, ProbeId};

/// Rounds of so many probes come all the time, larger ones in doubt.
const LARGEST_ROOM: usize = 2;

/// Probes that were sent at one moment, to one target or to several.
#[derive(Clone, Debug)]
pub struct Round {
    /// When.
    pub sent: Moment,
    /// By how much later than it was ordered, at the most of its probes.
    pub late: Duration,
    /// How many answers of a family it takes; all, where fewer of its targets are asked.
    pub quorum: usize,
    /// The family that was known to be broken: its probes are for its own sake.
    pub without: Option<Family>,
    /// What the answers, or their lack, were found to mean.
    pub result: RoundResult,
    /// The same for each family by itself.
    pub of_families: [RoundResult; Family::ROUTED.len()],
    /// Each probe; never empty.
    pub probes: Vec<RoundProbe>,
}

/// What a round means for the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundResult {
    /// Still open.
    Open,
    /// Enough targets answered.
    Answered,
    /// Too few can still answer in time.
    Failed,
    /// Too few answered as they should, but with those that were answered for there are enough: the
    /// link is alive.
    Wrong,
}

/// One probe of a round.
#[derive(Clone, Copy, Debug)]
pub struct RoundProbe {
    /// Its number.
    pub id: ProbeId,
    /// The place of its target among the uplink's.
    pub target: usize,
    /// The family it is sent by.
    pub family: Family,
    /// Its target counts for the uplink.
    pub counts: bool,
    /// When it is missed.
    pub deadline: Moment,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Under way.
    Pending,
    /// Answered after this time.
    Answered(Duration),
    /// Not answered in time.
    Missed,
    /// Answered by another server, or not as it should be.
    Wrong,
    /// Never left the machine.
    Void,
}

/// What became of the probes of a round by one family that count.
#[derive(Clone, Copy, Default)]
struct FamilyCount {
    answered: usize,
    wrong: usize,
    open: usize,
    missed: usize,
}

impl FamilyCount {
    fn judge(self, quorum: usize) -> RoundResult {
        let asked = self.asked();
        let quorum = quorum.min(asked.max(1));
        if self.answered >= quorum {
            RoundResult::Answered
        } else if asked > 0 && self.answered + self.wrong + self.open < quorum {
            RoundResult::Failed
        } else if asked > 0 && self.answered + self.open < quorum {
            RoundResult::Wrong
        } else {
            RoundResult::Open
        }
    }

    fn asked(self) -> usize {
        self.answered + self.wrong + self.open + self.missed
    }

    fn is_any(self) -> bool {
        self.asked() > 0
    }
}

impl Round {
    /// A round of probes that are under way.
    pub fn new(sent: Moment, quorum: usize, probes: Vec<RoundProbe>) -> Self {
        Self {
            sent,
            late: Duration::ZERO,
            quorum,
            without: None,
            result: RoundResult::Open,
            of_families: [RoundResult::Open; Family::ROUTED.len()],
            probes,
        }
    }

    /// The room for the probes of another round; that of a round to many is given back.
    pub fn into_room(mut self) -> Vec<RoundProbe> {
        if self.probes.capacity() > LARGEST_ROOM {
            return Vec::new();
        }
        self.probes.clear();
        self.probes
    }

    /// What the fates of the probes amount to: an uplink answers by one family or the other. Probes
    /// that never left say nothing: the others decide, if there are any.
    pub fn judge(&self) -> RoundResult {
        let counts = self.count();
        let families = Family::ROUTED.into_iter();
        let counting = families.filter(|family| Some(*family) != self.without);
        let mut verdict = None;
        for count in counting.map(|family| counts[family as usize]) {
            match count.judge(self.quorum) {
                RoundResult::Answered => return RoundResult::Answered,
                RoundResult::Open if count.is_any() => verdict = Some(RoundResult::Open),
                RoundResult::Wrong if verdict != Some(RoundResult::Open) => {
                    verdict = Some(RoundResult::Wrong);
                }
                RoundResult::Failed => verdict = verdict.or(Some(RoundResult::Failed)),
                RoundResult::Wrong | RoundResult::Open => {}
            }
        }
        verdict.unwrap_or(RoundResult::Open)
    }

    /// What the fates of the probes by one family amount to.
    pub fn judge_family(&self, family: Family) -> RoundResult {
        self.count()[family as usize].judge(self.quorum)
    }

    /// What was found of that family.
    pub fn result_of(&self, family: Family) -> RoundResult {
        self.of_families[family as usize]
    }

    /// A probe by the family was not answered.
    pub fn misses(&self, family: Family) -> bool {
        let mut probes = self.probes.iter();
        probes.any(|probe| probe.family == family && probe.fate == Fate::Missed)
    }

    /// How many targets of the family were asked that count.
    pub fn asked_of(&self, family: Family) -> usize {
        let probes = self.probes.iter().filter(|probe| probe.family == family);
        probes.filter(|probe| probe.counts).count()
    }

    fn count(&self) -> [FamilyCount; Family::ROUTED.len()] {
        let mut counts = [FamilyCount::default(); Family::ROUTED.len()];
        for probe in self.probes.iter().filter(|probe| probe.counts) {
            let count = &mut counts[probe.family as usize];
            match probe.fate {
                Fate::Pending => count.open += 1,
                Fate::Answered(_) => count.answered += 1,
                Fate::Wrong => count.wrong += 1,
                Fate::Missed => count.missed += 1,
                Fate::Void => {}
            }
        }
        counts
    }

    /// The longest round trip of those that answered.
    pub fn slowest_answer(&self) -> Option<Duration> {
        let fates = self.probes.iter().map(|probe| probe.fate);
        let round_trips = fates.filter_map(|fate| match fate {
            Fate::Answered(rtt) => Some(rtt),
            Fate::Pending | Fate::Missed | Fate::Wrong | Fate::Void => None,
        });
        round_trips.max()
    }

    /// The independent losses that explain a failure.
    pub fn losses(&self) -> u32 {
        let families = Family::ROUTED.into_iter();
        let counting = families.filter(|family| Some(*family) != self.without);
        counting.map(|family| self.losses_of(family)).sum()
    }

    /// The independent losses that explain that a family failed.
    pub fn losses_of(&self, family: Family) -> u32 {
        match self.asked_of(family) {
            0 => 0,
            asked => losses_of_a_failure(asked, self.quorum),
        }
    }

    /// Nothing is under way any more.
    pub fn is_closed(&self) -> bool {
        self.probes.iter().all(|probe| probe.fate != Fate::Pending)
    }

    /// Every probe that was sent is answered: nothing can become of it any more.
    pub fn is_answered_in_full(&self) -> bool {
        let mut fates = self.probes.iter().map(|probe| probe.fate);
        fates.all(|fate| matches!(fate, Fate::Answered(_) | Fate::Void))
    }

    /// The probes that speak about the link: those whose target is not in doubt.
    pub fn tally(&self, is_doubtful: impl Fn(&RoundProbe) -> bool) -> Tally {
        let mut tally = Tally { sent: 0, lost: 0 };
        for probe in &self.probes {
            match probe.fate {
                Fate::Answered(_) | Fate::Wrong => tally.sent += 1,
                Fate::Missed if probe.counts && !is_doubtful(probe) => {
                    tally.sent += 1;
                    tally.lost += 1;
                }
                Fate::Missed | Fate::Pending | Fate::Void => {}
            }
        }
        tally
    }

    /// Some target of the family answered.
    pub fn has_answer_of(&self, family: Family) -> bool {
        let mut probes = self.probes.iter().filter(|probe| probe.family == family);
        probes.any(|probe| matches!(probe.fate, Fate::Answered(_)))
    }

    /// When the next of its probes is missed.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.probes
            .iter()
            .filter(|probe| probe.fate == Fate::Pending)
            .map(|probe| probe.deadline)
            .min()
    }
}

/// The independent losses that explain why fewer than `quorum` of so many targets answered.
pub fn losses_of_a_failure(asked: usize, quorum: usize) -> u32 {
    u32::try_from(asked + 1 - quorum.min(asked)).unwrap_or(u32::MAX)
}
