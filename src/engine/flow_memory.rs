//! By which uplinks the flows go that are remembered as theirs.
//!
//! The mark of a flow leads it to its uplink only while that is usable: the flows of a dead one go where their group
//! goes. One that is drained has its flows until the drain is over. An uplink that is not judged yet has its flows only if it carries traffic, or if an earlier run has left the
//! rule for them: a flow that passed by it while no agent ran must not stay there.

use super::candidate::Fitness;
use super::drain::Drains;
use super::ids::UplinkId;
use super::state::State;
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::Family;
use crate::units::UplinkName;
use crate::units::sorted::SortedSet;

/// Uplinks that have the flows which are remembered as theirs, by family.
pub(super) type RememberedUplinks = Vec<(UplinkId, Family)>;

/// Decides which uplinks have their flows.
#[derive(Clone, Debug, Default)]
pub(super) struct RememberedFlows {
    /// Those that had them in an earlier run, until they are judged. By name, since reloads change ids.
    earlier: Option<Box<EarlierUplinks>>,
}

/// Small where there is none, which is all but the first second.
#[derive(Clone, Debug, Default)]
struct EarlierUplinks(SortedSet<(UplinkName, Family)>);

impl RememberedFlows {
    /// An earlier run has left these.
    pub(super) fn adopt(&mut self, earlier: SortedSet<(UplinkName, Family)>) {
        let is_any = !earlier.is_empty();
        self.earlier = is_any.then(|| Box::new(EarlierUplinks(earlier)));
    }

    /// Decides which have them now.
    pub(super) fn decide(&mut self, view: EngineView<'_>, drains: &Drains) -> RememberedUplinks {
        let mut earlier = self
            .earlier
            .take()
            .map_or_else(SortedSet::new, |earlier| earlier.0);
        earlier.retain(|(name, _)| {
            let mut uplinks = view.uplinks.iter();
            let uplink = uplinks.find(|uplink| uplink.settings().name == *name);
            uplink.is_some_and(|uplink| !is_judged(uplink))
        });
        self.adopt(earlier);
        let all = view.uplinks.iter();
        let all = all.flat_map(|uplink| Family::ROUTED.map(|family| (uplink, family)));
        let remembered = all.filter(|(uplink, family)| {
            drains.keeps_flows(uplink, *family) || self.has_flows(view, uplink, *family)
        });
        remembered
            .map(|(uplink, family)| (uplink.id(), family))
            .collect()
    }

    fn has_flows(&self, view: EngineView<'_>, uplink: &Uplink, family: Family) -> bool {
        if view.settings.numbering.flow_mark(0).is_none() {
            return false;
        }
        let settings = uplink.settings();
        let mut same = { view.uplinks.iter() }
            .filter(|other| other.settings().interface == settings.interface);
        // An interface does not tell apart the flows of two uplinks.
        let is_alone = same.nth(1).is_none();
        let has_way = uplink.attachment().paths.contains_key(&family);
        let outlook = uplink.outlook(family);
        let candidate = uplink.candidate().of_family(outlook, false);
        let is_carrying = || {
            let mut groups = view.groups.iter();
            groups.any(|group| {
                group
                    .carriers_of(family, view.uplinks)
                    .contains(&uplink.id())
            })
        };
        let is_unjudged = candidate.state == State::Unknown;
        let was_left = { self.earlier.as_ref() }
            .is_some_and(|earlier| earlier.0.contains(&(settings.name.clone(), family)));
        let is_usable = candidate.fitness() > Fitness::Unusable;
        is_alone && has_way && (is_usable || is_unjudged && (was_left || is_carrying()))
    }
}

/// It has been found to work, or not to.
fn is_judged(uplink: &Uplink) -> bool {
    match uplink.candidate().state {
        State::Unknown | State::Absent => false,
        State::Up
        | State::Degraded
        | State::Down
        | State::Recovering
        | State::Disabled
        | State::Cold => true,
    }
}
