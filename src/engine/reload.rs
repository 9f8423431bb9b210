//! Which uplinks of a changed configuration are which of those that were there before.

use std::collections::BTreeSet;

use super::ids::UplinkId;
use super::schedule::Spread;
use super::settings::{Settings, UplinkSettings};
use super::uplink::{HopTerms, Uplink};
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
        self.ids.get(old.place()).copied().flatten()
    }
}

/// One uplink for each of the settings. Those whose name and interface are known stay, and those that only have
/// another name. Of uplinks that share an interface the gateway tells which is which; elsewhere another gateway is
/// another way out of the same uplink.
pub(super) fn uplinks_of(
    settings: &Settings,
    mut old: Vec<Uplink>,
    now: Moment,
) -> (Vec<Uplink>, Renumbering) {
    let before: Vec<_> = old
        .iter()
        .map(|uplink| uplink.settings().name.clone())
        .collect();
    let shared = shared_interfaces(old.iter().map(Uplink::settings));
    let shared: BTreeSet<_> = shared
        .union(&shared_interfaces(&settings.uplinks))
        .cloned()
        .collect();
    let mut renumbering = Renumbering::default();
    let mut uplinks = Vec::new();
    for (place, wanted) in settings.uplinks.iter().enumerate() {
        let id = UplinkId::new(place);
        let mut known = old.iter();
        let kept = known.position(|known| is_same(known.settings(), wanted, settings, &shared));
        let mut uplink = if let Some(kept) = kept {
            let mut kept = old.swap_remove(kept);
            let name = kept.settings().name.clone();
            kept.adapt(id, wanted, now);
            if name != wanted.name {
                renumbering.renamed.push((name, wanted.name.clone()));
            }
            kept
        } else {
            let seed = settings.seed.wrapping_add(place as u64);
            Uplink::new(id, wanted.clone(), now, Spread::new(seed))
        };
        uplink.set_hop_terms(HopTerms::of(settings));
        uplinks.push(uplink);
    }
    let new_id = |name: &UplinkName| {
        let renamed = renumbering.renamed.iter().find(|(from, _)| from == name);
        let name = renamed.map_or(name, |(_, to)| to);
        let mut uplinks = settings.uplinks.iter();
        uplinks
            .position(|uplink| uplink.name == *name)
            .map(UplinkId::new)
    };
    renumbering.ids = before.iter().map(new_id).collect();
    (uplinks, renumbering)
}

fn is_same(
    known: &UplinkSettings,
    wanted: &UplinkSettings,
    settings: &Settings,
    shared: &BTreeSet<InterfaceName>,
) -> bool {
    let is_same_name = known.name == wanted.name;
    let is_free = is_same_name
        || !settings
            .uplinks
            .iter()
            .any(|uplink| uplink.name == known.name);
    let is_alone = !shared.contains(&known.interface);
    let is_same_way = known.gateway == wanted.gateway || (is_same_name && is_alone);
    is_free && known.interface == wanted.interface && is_same_way
}

fn shared_interfaces<'a>(
    uplinks: impl IntoIterator<Item = &'a UplinkSettings>,
) -> BTreeSet<InterfaceName> {
    let mut seen = BTreeSet::new();
    let interfaces = uplinks.into_iter().map(|uplink| &uplink.interface);
    interfaces
        .filter(|interface| !seen.insert(*interface))
        .cloned()
        .collect()
}
