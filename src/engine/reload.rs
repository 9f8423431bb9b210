//! Which uplinks of a changed configuration are which of those that were there before.

use super::ids::UplinkId;
use super::schedule::Spread;
use super::settings::{SharedSettings, UplinkSettings};
use super::uplink::{HopTerms, Uplink};
use crate::units::sorted::SortedSet;
use crate::units::{InterfaceName, Moment, UplinkName};

/// What became of the uplinks that were there before.
#[derive(Debug, Default)]
pub(super) struct Renumbering {
    /// The names before, and those of today.
    pub(super) renamed: Vec<(UplinkName, UplinkName)>,
    /// For each uplink that was there before, the one that has its name or that it is now.
    ids: Vec<Option<UplinkId>>,
}

impl Renumbering {
    pub(super) fn new_id(&self, old: UplinkId) -> Option<UplinkId> {
        self.ids.get(old.index()).copied().flatten()
    }
}

/// One uplink for each of `wanted`. Those whose name and interface are known stay, and those that only have
/// another name. Of uplinks that share an interface the gateway tells which is which; elsewhere another gateway is
/// another way out of the same uplink.
pub(super) fn uplinks_of(
    wanted: Vec<UplinkSettings>,
    common: &SharedSettings,
    mut old: Vec<Uplink>,
    now: Moment,
) -> (Vec<Uplink>, Renumbering) {
    let before: Vec<_> = old
        .iter()
        .map(|uplink| uplink.settings().name.clone())
        .collect();
    let mut shared = shared_interfaces(old.iter().map(Uplink::settings));
    shared.extend(shared_interfaces(&wanted));
    let names: Vec<_> = wanted.iter().map(|uplink| uplink.name.clone()).collect();
    let mut renumbering = Renumbering::default();
    let mut uplinks = Vec::new();
    for (place, wanted) in wanted.into_iter().enumerate() {
        let id = UplinkId::new(place);
        let mut known = old.iter();
        let kept = known.position(|known| is_same(known.settings(), &wanted, &names, &shared));
        let mut uplink = if let Some(kept) = kept {
            let mut kept = old.swap_remove(kept);
            let name = kept.settings().name.clone();
            if name != wanted.name {
                renumbering.renamed.push((name, wanted.name.clone()));
            }
            kept.adapt(id, wanted, now);
            kept
        } else {
            let seed = common.seed.wrapping_add(place as u64);
            Uplink::new(id, wanted, now, Spread::new(seed))
        };
        uplink.set_hop_terms(HopTerms::of(common));
        uplinks.push(uplink);
    }
    let new_id = |name: &UplinkName| {
        let renamed = renumbering.renamed.iter().find(|(from, _)| from == name);
        let name = renamed.map_or(name, |(_, to)| to);
        let mut names = names.iter();
        names.position(|of| of == name).map(UplinkId::new)
    };
    renumbering.ids = before.iter().map(new_id).collect();
    (uplinks, renumbering)
}

fn is_same(
    known: &UplinkSettings,
    wanted: &UplinkSettings,
    names: &[UplinkName],
    shared: &SortedSet<InterfaceName>,
) -> bool {
    let is_same_name = known.name == wanted.name;
    let is_free = is_same_name || !names.contains(&known.name);
    let is_alone = !shared.contains(&known.interface);
    let is_same_way = known.gateway == wanted.gateway || (is_same_name && is_alone);
    is_free && known.interface == wanted.interface && is_same_way
}

fn shared_interfaces<'a>(
    uplinks: impl IntoIterator<Item = &'a UplinkSettings>,
) -> SortedSet<InterfaceName> {
    let mut seen = SortedSet::new();
    let interfaces = uplinks.into_iter().map(|uplink| &uplink.interface);
    interfaces
        .filter(|interface| !seen.insert(*interface))
        .cloned()
        .collect()
}
