//! From what the kernel shows to what the engine is told of its uplinks, and where an earlier run ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Daemon;
use crate::engine::input::Input;
use crate::engine::settings::{Settings, UplinkSettings};
use crate::memory::Memory;
use crate::routing::attach::attach;
use crate::routing::{Attachment, Family, Observed, Path};
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
        let found = self.found_carrying(observed);
        let is_found =
            |uplink: &UplinkName| found.is_empty() || found.values().any(|f| f == uplink);
        let leader = remembered.filter(is_found);
        if let Some(uplink) = leader.or_else(|| found.values().next().cloned()) {
            tracing::info!(%uplink, "carried the traffic before; goes on with it");
            self.tell(Input::Carrying(uplink));
        }
        for (family, uplink) in found {
            if self.engine.carrier() != Some(&uplink) {
                tracing::info!(%uplink, %family, "carried it before; goes on with it");
                self.tell(Input::CarryingApart { family, uplink });
            }
        }
        let Some(Memory {
            learnt, unspent, ..
        }) = memory
        else {
            return;
        };
        for (uplink, learner) in learnt {
            self.tell(Input::Learnt { uplink, learner });
        }
        for (uplink, left) in unspent {
            self.tell(Input::Unspent { uplink, left });
        }
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

    /// Through which uplink an earlier run left the traffic of each family.
    pub(super) fn found_carrying(&self, observed: &Observed) -> BTreeMap<Family, UplinkName> {
        let numbering = self.config.engine.numbering;
        let carried = observed.own_paths(numbering.carrier_place()).into_iter();
        carried
            .filter_map(|(family, path)| Some((family, self.uplink_of(path, observed)?)))
            .collect()
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
                own.values().any(|own| *own == path)
            })
            .map(|(_, uplink)| uplink.name.clone())
    }
}
