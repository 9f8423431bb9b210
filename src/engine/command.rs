//! What a person asks for, and why it may be refused.

use super::Engine;
use super::election::Fitness;
use super::group::Asked;
use super::input::Command;
use super::settings::Failback;
use crate::units::{Moment, UplinkName};

/// Why a wish was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No uplink has this name.
    #[error("no uplink is named `{0}`")]
    NoSuchUplink(UplinkName),
    /// It cannot carry traffic now.
    #[error("{uplink} cannot carry the traffic: {reason}")]
    Unusable {
        /// Which.
        uplink: UplinkName,
        /// Why.
        reason: String,
    },
    /// Nothing else could carry the traffic.
    #[error("{0} is the last usable uplink: nothing else could carry the traffic")]
    Last(UplinkName),
}

impl Engine {
    /// Whether a wish can be granted; [`Engine::handle_input`] grants it. Uplinks are chosen for the
    /// rest of the traffic, and taken out of service for all of it.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Auto => Ok(()),
            Command::Enable(name) => self.find(name).map(|_| ()),
            Command::Switch(name) => {
                let uplink = self.find(name)?;
                let is_usable = uplink.candidate().fitness() >= Fitness::Poor;
                if is_usable || uplink.can_be_called() {
                    return Ok(());
                }
                Err(Refusal::Unusable {
                    uplink: name.clone(),
                    reason: format!("{}, {}", uplink.state(), uplink.reason()),
                })
            }
            Command::Disable(name) => {
                self.find(name)?;
                let is_active = self.carrier() == Some(name);
                let mut others = self.uplinks.iter().map(|uplink| {
                    let suppressed_until = self.flaps.suppressed_until(&uplink.settings().name);
                    let candidate = uplink.candidate();
                    (
                        candidate.name,
                        candidate.suppressed_by(suppressed_until).fitness(),
                    )
                });
                let has_other =
                    others.any(|(other, fitness)| other != name && fitness > Fitness::Unusable);
                if is_active && !has_other {
                    return Err(Refusal::Last(name.clone()));
                }
                Ok(())
            }
        }
    }

    pub(super) fn obey(&mut self, command: Command, now: Moment) {
        if self.check(&command).is_err() {
            return;
        }
        match command {
            Command::Switch(name) => {
                self.flaps.pardon(&name);
                self.rest_mut().choose_by_hand(Some(name));
                self.elect(now, Asked::Rest);
            }
            Command::Auto => {
                self.rest_mut().choose_by_hand(None);
                // Where only a person says when to go back, it is said now.
                if self.settings.failover.failback == Failback::Manual {
                    self.flaps.pardon_all();
                }
                self.elect(now, Asked::All);
            }
            Command::Disable(name) => self.set_disabled(&name, true, "disabled by hand", now),
            Command::Enable(name) => {
                self.flaps.pardon(&name);
                self.set_disabled(&name, false, "enabled by hand", now);
            }
        }
    }

    fn set_disabled(&mut self, name: &UplinkName, is_disabled: bool, reason: &str, now: Moment) {
        if let Some(place) = self.place(name) {
            self.uplinks[place].set_disabled(is_disabled, now, reason, &mut self.outbox);
        }
    }
}
