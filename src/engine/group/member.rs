//! What an allocation knows of each uplink of a group.

use crate::engine::candidate::Candidate;
use crate::engine::family::FamilyOutlook;
use crate::engine::ids::UplinkId;
use crate::engine::state::State;
use crate::engine::uplink::Uplink;
use crate::routing::Family;
use crate::units::{Moment, Score, Tier};

/// An uplink of a group, as the allocation of its traffic sees it.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The uplink as a whole.
    pub whole: Candidate<'a>,
    /// Each family of it.
    pub outlooks: [FamilyOutlook<'a>; Family::ROUTED.len()],
    /// Its rank in the order of preference of the group.
    pub tier: Tier,
    /// How good it has been of late, where that decides.
    pub score: Option<Score>,
    /// It keeps falling and has to wait until then.
    pub suppressed_until: Option<Moment>,
    /// It is down, and these have not answered since either, though they are not yet called down. They need not be
    /// of the group.
    pub silent_with: Vec<UplinkId>,
}

impl<'a> Member<'a> {
    /// Which uplink.
    pub fn id(&self) -> UplinkId {
        self.whole.id
    }

    /// What is wrong with a family of it and not with the other.
    pub fn complaint_of(&self, family: Family) -> Option<&'a str> {
        self.outlooks[family as usize].complaint
    }

    /// It was not chosen because it misses probes at the moment: it must win its way back like one that was down.
    pub fn pass_over(&mut self, now: Moment) {
        self.whole.well_since = now;
        self.whole.has_failed = true;
    }

    /// Supposes that these families of it do not work.
    pub fn suppose(&mut self, is_out: impl Fn(Family) -> bool, ways: &Ways) {
        let id = self.id();
        let mut own = Family::ROUTED.into_iter().filter(|of| ways.has(*of, id));
        if own.all(&is_out) {
            self.whole.state = State::Down;
        }
        for family in Family::ROUTED.into_iter().filter(|of| is_out(*of)) {
            self.outlooks[family as usize].state = Some(State::Down);
        }
    }

    /// The uplink in the election of the leader.
    pub fn candidate(&self) -> Candidate<'a> {
        Candidate {
            tier: self.tier,
            score: self.score,
            ..self.whole.clone().suppressed_by(self.suppressed_until)
        }
    }

    /// The uplink in the election of the carrier of one family. That the leader keeps falling matters for the lead
    /// only.
    pub fn candidate_for(&self, family: Family, is_leader: bool) -> Candidate<'a> {
        let whole = self.whole.clone();
        let candidate = whole.of_family(self.outlooks[family as usize], is_leader);
        Candidate {
            tier: self.tier,
            ..candidate.suppressed_by(self.suppressed_until.filter(|_| !is_leader))
        }
    }
}

/// By which families each uplink has a way out for traffic.
#[derive(Clone, Debug, Default)]
pub struct Ways(Vec<[bool; Family::ROUTED.len()]>);

impl Ways {
    /// Of all uplinks.
    pub(super) fn of(uplinks: &[Uplink]) -> Self {
        let has_way = |uplink: &Uplink| {
            let paths = &uplink.attachment().paths;
            let is_off = uplink.is_off();
            Family::ROUTED.map(|family| !is_off && paths.contains_key(&family))
        };
        uplinks.iter().map(has_way).collect()
    }

    /// Whether a family has a way out through an uplink.
    pub fn has(&self, family: Family, id: UplinkId) -> bool {
        let ways = self.0.get(id.index());
        ways.is_some_and(|ways| ways[family as usize])
    }
}

impl FromIterator<[bool; Family::ROUTED.len()]> for Ways {
    fn from_iter<T: IntoIterator<Item = [bool; Family::ROUTED.len()]>>(ways: T) -> Self {
        Self(ways.into_iter().collect())
    }
}
