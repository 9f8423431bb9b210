//! What the probes of an uplink depend on: the interface, the next hop and the source address of their
//! family. A change of the link voids what was measured by what is no longer there, and nothing else.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::routing::{Attachment, Family, Path};

/// What the evidence about each family was gathered by.
#[derive(Clone, Debug, Default)]
pub(super) struct ProbeBasis {
    of: [FamilyBasis; Family::ROUTED.len()],
}

/// The same of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FamilyBasis {
    path: Option<Path>,
    /// The source addresses there are, whatever their prefixes.
    sources: Vec<IpAddr>,
    /// Those that were there all the time, so that evidence may stand on them.
    lasting: Vec<IpAddr>,
}

/// What a change of the link means for the evidence about a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BasisChange {
    /// It stands.
    Stands,
    /// A source address is gone: an answer to what is under way may no longer arrive.
    SourceGone,
    /// It goes by another next hop, interface or address: what is known is of the other.
    Elsewhere,
}

impl ProbeBasis {
    /// The way of a family.
    pub(super) fn path(&self, family: Family) -> Option<Path> {
        self.of[family as usize].path.clone()
    }

    /// The link is now like this; what that means for the evidence about each family.
    pub(super) fn take(&mut self, attachment: &Attachment) -> [BasisChange; Family::ROUTED.len()] {
        Family::ROUTED.map(|family| {
            let sources = attachment.sources.iter().map(IpNet::addr);
            let sources = sources.filter(|source| Family::of(*source) == family);
            self.of[family as usize].take(attachment.paths.get(&family), sources.collect())
        })
    }
}

impl FamilyBasis {
    fn take(&mut self, path: Option<&Path>, sources: Vec<IpAddr>) -> BasisChange {
        let mut lasting = std::mem::take(&mut self.lasting);
        let was_empty = lasting.is_empty();
        lasting.retain(|address| sources.contains(address));
        let has_no_source_left = lasting.is_empty() && !was_empty;
        let change = if !Path::is_same_way(self.path.as_ref(), path) || has_no_source_left {
            BasisChange::Elsewhere
        } else if self.sources.iter().all(|source| sources.contains(source)) {
            BasisChange::Stands
        } else {
            BasisChange::SourceGone
        };
        let is_elsewhere = change == BasisChange::Elsewhere || was_empty;
        *self = Self {
            path: path.cloned(),
            lasting: if is_elsewhere {
                sources.clone()
            } else {
                lasting
            },
            sources,
        };
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{IfIndex, Weight};

    const IPV4: usize = Family::Ipv4 as usize;

    fn attached(gateway: &str, sources: &[&str]) -> Attachment {
        let index = IfIndex(std::num::NonZeroU32::MIN);
        let path = Path {
            index,
            gateway: Some(gateway.parse().expect("an address")),
            onlink: false,
            weight: Weight(1),
            options: None,
        };
        let sources = sources.iter().map(|net| net.parse().expect("a source"));
        Attachment {
            index: Some(index),
            sources: sources.collect(),
            paths: [(Family::Ipv4, path)].into(),
            ..Attachment::default()
        }
    }

    #[test]
    fn evidence_stands_as_long_as_its_next_hop_and_a_source_that_it_may_be_of() {
        const A: &str = "192.0.2.9/24";
        const B: &str = "198.51.100.9/24";
        let mut basis = ProbeBasis::default();
        let mut take = |gateway, sources: &[&str]| basis.take(&attached(gateway, sources))[IPV4];
        assert_eq!(take("192.0.2.1", &[A]), BasisChange::Elsewhere);
        assert_eq!(take("192.0.2.1", &[A, B]), BasisChange::Stands);
        assert_eq!(take("192.0.2.1", &[A]), BasisChange::SourceGone);
        assert_eq!(take("192.0.2.1", &[A, B]), BasisChange::Stands);
        let narrower = ["192.0.2.9/25", B];
        assert_eq!(take("192.0.2.1", &narrower), BasisChange::Stands);
        assert_eq!(take("192.0.2.1", &[B]), BasisChange::Elsewhere, "A is gone");
        assert_eq!(take("192.0.2.254", &[B]), BasisChange::Elsewhere);
        assert_eq!(take("192.0.2.254", &[B]), BasisChange::Stands);
    }
}
