//! What an operator chooses by hand.

use std::collections::BTreeSet;

use super::command::{Command, CommandRefusal, IssuedCommand};
use super::election::Fitness;
use super::event::{Change, Event};
use super::group::Asked;
use super::settings::Failback;
use super::status::{Choices, Chosen, Maintenance};
use super::{Engine, REST};
use crate::engine::uplink::Uplink;
use crate::routing::traffic::Flow;
use crate::units::{Moment, UplinkName};

impl Engine {
    /// Whether a wish can be granted; [`Engine::handle_input`] grants it. Uplinks are chosen for the
    /// rest of the traffic, and taken out of service for all of it.
    pub fn check(&self, command: &Command) -> Result<(), CommandRefusal> {
        match command {
            Command::Auto => Ok(()),
            Command::Enable { uplink } => self.find(uplink).map(|_| ()),
            Command::Switch { uplink: name, .. } => {
                let uplink = self.find(name)?;
                let is_usable = uplink.candidate().fitness() >= Fitness::Poor;
                if is_usable || uplink.can_be_called() {
                    return Ok(());
                }
                Err(CommandRefusal::Unusable {
                    uplink: name.clone(),
                    reason: format!("{}, {}", uplink.state(), uplink.reason()),
                })
            }
            Command::Disable { uplink: name, .. } => {
                self.find(name)?;
                let rest = &self.groups[REST];
                if rest.is_pinned() && rest.chosen() == Some(name) {
                    return Err(CommandRefusal::Pinned(name.clone()));
                }
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
                let is_usable = self.find(name)?.candidate().fitness() > Fitness::Unusable;
                if (is_active || is_usable) && !has_other {
                    return Err(CommandRefusal::Last(name.clone()));
                }
                Ok(())
            }
        }
    }

    pub(super) fn obey(&mut self, issued: IssuedCommand, now: Moment) {
        let command = issued.command;
        if self.check(&command).is_err() {
            return;
        }
        match command {
            Command::Switch { uplink, pin } => self.choose_by_hand(uplink, pin, now),
            Command::Auto => {
                self.rest_mut().choose_by_itself();
                // Where only a person says when to go back, it is said now.
                if self.settings.failover.failback == Failback::Manual {
                    self.flaps.pardon_all();
                }
                self.elect(now, Asked::All);
            }
            Command::Disable { uplink, .. } => {
                self.set_disabled(&uplink, true, "disabled by hand", now);
            }
            Command::Enable { uplink: name } => {
                self.flaps.pardon(&name);
                self.set_disabled(&name, false, "enabled by hand", now);
            }
        }
    }

    /// Takes up a wish of before a restart. Whom the traffic was sent to may only be coming up now.
    pub(super) fn restore(&mut self, issued: IssuedCommand, now: Moment) {
        let command = issued.command;
        match command {
            Command::Switch { uplink, .. } if self.find(&uplink).is_err() => {}
            Command::Switch { uplink, pin } => self.rest_mut().choose_by_hand(uplink, pin),
            Command::Disable { uplink, .. } => {
                self.set_disabled(&uplink, true, "disabled by hand before a restart", now);
            }
            Command::Auto | Command::Enable { .. } => {}
        }
    }

    fn choose_by_hand(&mut self, name: UplinkName, is_pinned: bool, now: Moment) {
        self.flaps.pardon(&name);
        self.rest_mut().choose_by_hand(name, is_pinned);
        self.elect(now, Asked::Rest);
    }

    /// What people chose, as it is now.
    pub fn choices(&self) -> Choices {
        let rest = &self.groups[REST];
        let disabled = self.uplinks.iter().filter(|uplink| uplink.is_disabled());
        Choices {
            switch: rest.chosen().map(|uplink| Chosen {
                uplink: uplink.clone(),
                pinned: rest.is_pinned(),
                by: None,
                at: None,
            }),
            disabled: disabled
                .map(|uplink| (uplink.settings().name.clone(), Maintenance::default()))
                .collect(),
        }
    }

    /// Says once that a pin keeps the traffic where it is of no use.
    pub(super) fn tell_of_pin(&mut self, now: Moment) {
        let rest = &self.groups[REST];
        let held = rest.leader().filter(|_| rest.is_held_by_pin());
        let held = held.and_then(|name| super::group::find(&self.uplinks, name));
        let usable = self.uplinks.iter();
        let usable = usable.filter(|uplink| uplink.candidate().fitness() > Fitness::Unusable);
        let usable: Vec<_> = usable.map(|uplink| &uplink.settings().name).collect();
        let Some(held) = held.filter(|held| !usable.contains(&&held.settings().name)) else {
            self.is_stranded = false;
            return;
        };
        if usable.is_empty() || std::mem::replace(&mut self.is_stranded, true) {
            return;
        }
        let (name, usable) = (&held.settings().name, usable[0]);
        let event = Event {
            at: now,
            change: Change::Stranded {
                uplink: name.clone(),
                interface: held.settings().interface.clone(),
            },
            reason: format!(
                "{}: {}; the traffic is pinned there by hand and stays until `auto`, though {usable} is \
                 usable",
                held.state(),
                held.reason()
            ),
        };
        self.outbox.events.push(event);
    }

    fn set_disabled(&mut self, name: &UplinkName, is_disabled: bool, reason: &str, now: Moment) {
        if let Some(place) = self.place(name) {
            self.uplinks[place].set_disabled(is_disabled, now, reason, &mut self.outbox);
        }
    }
}

/// Flows that stay with an uplink that people drain.
impl Engine {
    /// An uplink is of no use, whether or not it is in maintenance; so is one that is not there.
    pub fn is_dead(&self, name: &UplinkName) -> bool {
        self.find(name).map_or(true, Uplink::is_dead)
    }

    /// Those that stay with an uplink, if there are any.
    pub fn held(&self, name: &UplinkName) -> Option<&BTreeSet<Flow>> {
        self.held.get(name)
    }

    /// With the places of their uplinks in the configuration. A dead uplink holds nothing.
    pub(super) fn held_flows(&self) -> impl Iterator<Item = (u32, &Flow)> {
        let uplinks = (0_u32..).zip(&self.uplinks);
        let living = uplinks.filter(|(_, uplink)| !uplink.is_dead());
        living.flat_map(|(position, uplink)| {
            let flows = self.held.get(&uplink.settings().name);
            flows
                .into_iter()
                .flatten()
                .map(move |flow| (position, flow))
        })
    }
}
