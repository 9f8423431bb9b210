//! Probes that this machine refuses to send.

use crate::routing::Family;
use crate::units::Moment;

/// Whether this machine sends the probes of a family through an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendState {
    /// None are to be sent.
    Unasked,
    /// They are sent, as far as is known.
    Free,
    /// They are refused since then.
    Refused(Moment),
}

/// What is refused of each family since the last probe of it that was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    of_families: [Option<Refusal>; Family::ROUTED.len()],
    /// The same is refused on all uplinks: that says nothing about this one.
    are_everywhere: [bool; Family::ROUTED.len()],
}

#[derive(Clone, Debug)]
struct Refusal {
    since: Moment,
    why: String,
}

impl Refusals {
    /// A probe of a family is refused. Whether that says something about the uplink.
    pub(super) fn refused(&mut self, family: Family, why: &str, now: Moment) -> bool {
        let refusal = self.of_families[family as usize].get_or_insert_with(|| Refusal {
            since: now,
            why: String::new(),
        });
        why.clone_into(&mut refusal.why);
        !self.are_everywhere[family as usize]
    }

    /// A probe of a family left the machine.
    pub(super) fn sent(&mut self, family: Family) {
        self.of_families[family as usize] = None;
    }

    /// Whether a family's probes, which are to be sent, are refused.
    pub(super) fn state(&self, family: Family) -> SendState {
        let refusal = self.of_families[family as usize].as_ref();
        refusal.map_or(SendState::Free, |refusal| SendState::Refused(refusal.since))
    }

    /// All uplinks are refused the same, or no longer are. Whether that is news.
    pub(super) fn everywhere(&mut self, family: Family, is_so: bool) -> bool {
        std::mem::replace(&mut self.are_everywhere[family as usize], is_so) != is_so
    }

    /// No family has any, and none was found to have some on all uplinks.
    pub(super) fn are_none(&self) -> bool {
        self.of_families.iter().all(Option::is_none) && self.are_everywhere == [false; 2]
    }

    /// Why no probe can be sent, where that is so on all uplinks.
    pub(super) fn reason(&self) -> Option<&str> {
        let mut families = self.of_families.iter().zip(self.are_everywhere);
        families.find_map(|(refusal, everywhere)| {
            let refusal = refusal.as_ref().filter(|_| everywhere)?;
            Some(&*refusal.why)
        })
    }
}
