//! Probes that were sent together, and what came of them.

use std::time::Duration;

use crate::engine::loss::Tally;
use crate::units::{Moment, ProbeId};

/// Probes that were sent at one moment, to one target or to several.
#[derive(Clone, Debug)]
pub struct Round {
    /// When.
    pub sent: Moment,
    /// How many answers it takes.
    pub quorum: usize,
    /// What the answers, or their lack, were found to mean.
    pub result: RoundResult,
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
    /// Answered by somebody else, or not as it should.
    Wrong,
    /// Never left the machine.
    Void,
}

impl Round {
    /// What the fates of the probes amount to. Probes that never left say nothing: the others
    /// decide, if there are any.
    pub fn judge(&self) -> RoundResult {
        let (mut answered, mut wrong, mut open, mut missed) = (0, 0, 0, 0);
        for probe in self.probes.iter().filter(|probe| probe.counts) {
            match probe.fate {
                Fate::Pending => open += 1,
                Fate::Answered(_) => answered += 1,
                Fate::Wrong => wrong += 1,
                Fate::Missed => missed += 1,
                Fate::Void => {}
            }
        }
        let asked: usize = answered + wrong + open + missed;
        let quorum = self.quorum.min(asked.max(1));
        if answered >= quorum {
            RoundResult::Answered
        } else if asked > 0 && answered + wrong + open < quorum {
            RoundResult::Failed
        } else if asked > 0 && answered + open < quorum {
            RoundResult::Wrong
        } else {
            RoundResult::Open
        }
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
        let counting = self.probes.iter().filter(|probe| probe.counts).count();
        losses_of_a_failure(counting, self.quorum)
    }

    /// Nothing is under way any more.
    pub fn is_closed(&self) -> bool {
        self.probes.iter().all(|probe| probe.fate != Fate::Pending)
    }

    /// The probes that speak about the link: those whose target is not in doubt.
    pub fn tally(&self, is_doubtful: impl Fn(usize) -> bool) -> Tally {
        let mut tally = Tally { sent: 0, lost: 0 };
        for probe in &self.probes {
            match probe.fate {
                Fate::Answered(_) | Fate::Wrong => tally.sent += 1,
                Fate::Missed if probe.counts && !is_doubtful(probe.target) => {
                    tally.sent += 1;
                    tally.lost += 1;
                }
                Fate::Missed | Fate::Pending | Fate::Void => {}
            }
        }
        tally
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
