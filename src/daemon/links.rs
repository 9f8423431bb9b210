//! From what the kernel shows to what the engine is told of its uplinks, and where an earlier run ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Daemon;
use crate::engine::input::{EarlierRun, Input, SharedFamily};
use crate::engine::settings::{Settings, UplinkSettings};
use crate::memory::Memory;
use crate::routing::attach::attach;
use crate::routing::{Attachment, Family, Observed, Path, RoutePlace};
use crate::units::UplinkName;

impl Daemon {
    pub(super) fn observed(&mut self, observed: Arc<Observed>) {
        if !self.is_acquainted() {
            self.take_up(&observed);
        }
        for (position, uplink) in (0..).zip(self.config.engine.uplinks.clone()) {
            let attachment = self.attachment(position, &uplink, &observed);
            if self.attachments.get(&uplink.name) != Some(&attachment) {
                let uplink = uplink.name;
                self.attachments.insert(uplink.clone(), attachment.clone());
                self.tell(Input::Attachment { uplink, attachment });
            }
        }
        self.watch_rival(&observed);
        self.observed = Some(observed);
    }

    /// Says once when somebody else's default route carries the traffic instead of ours.
    fn watch_rival(&mut self, observed: &Observed) {
        let numbering = &self.config.engine.numbering;
        let rival = observed.rival(numbering).cloned();
        if let Some(interface) = rival.as_ref().filter(|_| rival != self.rival) {
            tracing::warn!(
                %interface,
                ours = %numbering.metric,
                "a default route of others has a lower metric than ours: the traffic follows it"
            );
        }
        self.rival = rival;
    }

    /// Goes on where an earlier run ended.
    pub(super) fn take_up(&mut self, observed: &Observed) {
        let directory = &self.config.agent.state_dir;
        let memory = Memory::recall(directory).unwrap_or_else(|error| {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "starts without what an earlier run learnt");
            None
        });
        let now = self.clock.wall().at(self.clock.now());
        let remembered = memory
            .as_ref()
            .and_then(|m| m.recent_carrier(now.0))
            .cloned();
        let place = self.config.engine.numbering.carrier_place();
        let found = self.found_carrying(place, observed);
        let first = |found: &[UplinkName]| found.first().cloned();
        let is_found = |uplink: &UplinkName| {
            found.is_empty() || found.values().any(|found| found.contains(uplink))
        };
        let leader = remembered.filter(is_found);
        let leader = leader.or_else(|| found.values().find_map(|found| first(found)));
        let mut earlier = EarlierRun {
            chosen: self.recall_choices(),
            ..EarlierRun::default()
        };
        if let Some(uplink) = &leader {
            tracing::info!(%uplink, "carried the traffic before; goes on with it");
        }
        for (family, uplinks) in found {
            let is_led = leader
                .as_ref()
                .is_some_and(|leader| uplinks.contains(leader));
            if let Some(uplink) = first(&uplinks).filter(|_| !is_led) {
                tracing::info!(%uplink, %family, "carried it before; goes on with it");
                earlier.apart.insert(family, uplink);
            }
            if uplinks.len() > 1 {
                earlier.shared.push(SharedFamily {
                    group: None,
                    family,
                    uplinks,
                });
            }
        }
        for (place, group) in (0..).zip(&self.config.engine.groups) {
            let place = self.config.engine.numbering.group_place(place);
            let found = self.found_carrying(place, observed).into_iter();
            earlier
                .shared
                .extend(found.map(|(family, uplinks)| SharedFamily {
                    group: Some(group.name.clone()),
                    family,
                    uplinks,
                }));
        }
        earlier.carrying = leader;
        if let Some(memory) = memory {
            earlier.learnt = memory.learnt;
            earlier.unspent = memory.unspent;
        }
        self.tell(Input::Resume(Box::new(earlier)));
        self.note_choices(None);
    }

    /// Writes down what was learnt and who carries.
    pub(super) fn keep_memory(&mut self) {
        if self.options.observe {
            return;
        }
        self.kept = self.clock.now();
        let memory = Memory {
            written: self.clock.wall().at(self.kept),
            carrying: self.engine.carrier().cloned(),
            learnt: self.engine.learnt(),
            unspent: self.engine.unspent(),
        };
        if let Err(error) = memory.keep(&self.config.agent.state_dir) {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "a restart will have to learn anew");
        }
        let written = self.history.write();
        self.has_kept_history(written);
    }

    pub(super) fn attachment(
        &self,
        position: u32,
        uplink: &UplinkSettings,
        observed: &Observed,
    ) -> Attachment {
        let mut links = observed.links.values();
        let link = links.find(|link| link.name == uplink.interface);
        let numbering = &self.config.engine.numbering;
        let own = link.map(|link| observed.held_paths(numbering, position, link.index));
        attach(link, &uplink.hints(), &own.unwrap_or_default())
    }

    /// Through which uplinks an earlier run left the traffic of each family that is led by a place.
    fn found_carrying(
        &self,
        place: RoutePlace,
        observed: &Observed,
    ) -> BTreeMap<Family, Vec<UplinkName>> {
        let carried = observed.own_shares(place).into_iter();
        let found = carried.map(|(family, paths)| {
            let uplinks = paths.into_iter();
            let uplinks = uplinks.filter_map(|path| self.uplink_of(path, observed));
            (family, uplinks.collect::<Vec<_>>())
        });
        found.filter(|(_, uplinks)| !uplinks.is_empty()).collect()
    }

    /// The uplink whose path this is; the interface may have several.
    fn uplink_of(&self, path: Path, observed: &Observed) -> Option<UplinkName> {
        let Settings {
            uplinks, numbering, ..
        } = &self.config.engine;
        let link = observed.links.get(&path.index)?;
        (0..)
            .zip(uplinks)
            .filter(|(_, uplink)| uplink.interface == link.name)
            .max_by_key(|(position, _)| {
                let own = observed.own_paths(numbering.uplink_place(*position));
                own.values()
                    .any(|own| (own.index, own.gateway) == (path.index, path.gateway))
            })
            .map(|(_, uplink)| uplink.name.clone())
    }
}
