//! What healthy uplinks that are preferred wait for.

use super::member::Member;
use crate::engine::election::ElectionTerms;
use crate::engine::ids::UplinkId;
use crate::engine::status::WaitReason;
use crate::units::Moment;

/// An uplink that is well and preferred to the leader, and does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingUplink {
    /// Which.
    pub id: UplinkId,
    /// What it waits for.
    pub reason: WaitReason,
    /// Until when, where a clock ends it.
    pub until: Option<Moment>,
}

/// Those among the members of a group that are no `carriers` of it.
pub(super) fn waits(
    terms: ElectionTerms<'_>,
    members: &[Member<'_>],
    carriers: &[UplinkId],
    now: Moment,
) -> Vec<WaitingUplink> {
    let mut leaders = members.iter().filter(|one| Some(one.id()) == terms.active);
    let Some(leader) = leaders.next().map(Member::candidate) else {
        return Vec::new();
    };
    let aside = members.iter().filter(|one| !carriers.contains(&one.id()));
    let waits = aside.filter_map(|member| {
        let (reason, until) = terms.wait_of(&member.candidate(), &leader, now)?;
        let id = member.id();
        Some(WaitingUplink { id, reason, until })
    });
    waits.collect()
}
