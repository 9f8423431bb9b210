//! What the engine does on the commands of operators.

use super::Engine;
use super::command::{Command, IssuedCommand};
use super::event::{Change, Event};
use super::group::AskedFor;
use super::group::draft::ManualChoice;
use super::manual;
use super::state::State;
use super::uplink::AllowanceNews;
use crate::units::{Moment, UplinkName};

impl Engine {
    pub(super) fn follow(&mut self, issued: IssuedCommand, now: Moment) {
        let command = issued.command;
        if self.check_at(&command, now).is_err() {
            return;
        }
        let ends_drill = match &command {
            Command::Switch { .. }
            | Command::Auto
            | Command::Disable { .. }
            | Command::Enable { .. }
            | Command::Drill { .. } => true,
            // What was learnt before a drill comes back after it.
            Command::Forget { uplink } => self.drills.running() == Some(uplink),
            Command::Allowance { .. } => false,
        };
        if ends_drill {
            (self.drills).abandon(format!("by `{command}`"), &mut self.uplinks, now);
        }
        match command {
            Command::Switch { uplink, pin } => {
                self.pardon(&uplink);
                self.choose_by_hand(&uplink, pin);
                self.elect(now, AskedFor::Default);
            }
            Command::Auto => {
                let asked_for = manual::sent_by_auto(self.view());
                self.groups.default_group_mut().set_by_hand(None);
                if asked_for == AskedFor::Everything {
                    self.flaps.pardon_all();
                }
                let uplinks = self.uplinks.iter_mut();
                uplinks.for_each(|uplink| uplink.send_back(now));
                self.elect(now, asked_for);
            }
            Command::Disable {
                uplink,
                drain: Some(limit),
                force,
            } => {
                if let Some(id) = self.id(&uplink) {
                    let (uplink, kept) = (&self.uplinks[id.index()], &self.stale_flows.kept);
                    self.drains.begin(uplink, kept, limit.span(), force);
                }
            }
            Command::Disable {
                uplink,
                drain: None,
                force: _,
            } => {
                self.set_disabled(&uplink, true, "disabled by hand", now);
                self.close_drain(&uplink, "its flows are to move after all", now);
            }
            Command::Enable { uplink } => {
                self.pardon(&uplink);
                self.set_disabled(&uplink, false, "enabled by hand", now);
                self.drains.give_up(&uplink, "it was enabled");
            }
            Command::Drill { uplink, lasts } => {
                if let Some(id) = self.id(&uplink) {
                    let uplink = &self.uplinks[id.index()];
                    self.drills.begin(uplink, lasts.span(), now);
                }
            }
            Command::Allowance { uplink, used } => {
                if let Some(id) = self.id(&uplink) {
                    let news = AllowanceNews::Used(used.bytes());
                    self.uplinks[id.index()].take_allowance_news(news, now, &mut self.outbox);
                }
            }
            Command::Forget { uplink } => {
                self.pardon(&uplink);
                self.on(&uplink, |one, _| one.forget());
                self.elect(now, AskedFor::Nothing);
            }
        }
    }

    /// Takes up a command of before a restart. The uplink that the traffic was sent to may only be coming up now.
    pub(super) fn restore(&mut self, issued: IssuedCommand, now: Moment) {
        if let Command::Switch { uplink, pin } = issued.command {
            self.choose_by_hand(&uplink, pin);
        } else if let Command::Disable { uplink, .. } = issued.command {
            self.set_disabled(&uplink, true, "disabled by hand before a restart", now);
        }
    }

    fn choose_by_hand(&mut self, name: &UplinkName, is_pinned: bool) {
        if let Some(uplink) = self.id(name) {
            let choice = ManualChoice { uplink, is_pinned };
            self.groups.default_group_mut().set_by_hand(Some(choice));
        }
    }

    /// Clears the penalty of an uplink that an operator chose.
    fn pardon(&mut self, name: &UplinkName) {
        if let Some(id) = self.id(name) {
            self.flaps.pardon(id);
        }
    }

    fn set_disabled(&mut self, name: &UplinkName, is_disabled: bool, reason: &str, now: Moment) {
        self.on(name, |one, out| {
            one.set_disabled(is_disabled, now, reason, out);
        });
    }

    /// A drained uplink takes no new flows as soon as it is known how many it has.
    pub(super) fn flows_counted(&mut self, uplink: UplinkName, flows: usize, now: Moment) {
        let Some(force) = self.drains.counted(&uplink, flows) else {
            return;
        };
        let command = Command::Disable {
            uplink,
            drain: None,
            force,
        };
        let checked = self.check(&command);
        let Command::Disable { uplink, .. } = command else {
            return;
        };
        match checked {
            Ok(()) => {
                self.set_disabled(&uplink, true, "disabled by hand", now);
                self.drains.open(&uplink, flows, now);
            }
            Err(refusal) => self.drains.give_up(&uplink, &refusal.to_string()),
        }
    }

    /// Ends a drain; what is still open is left like after any switch.
    fn close_drain(&mut self, name: &UplinkName, why: &str, now: Moment) {
        let Some(addresses) = self.drains.close(name) else {
            return;
        };
        self.is_stale = true;
        let Some(id) = self.id(name) else {
            return;
        };
        let uplink = &self.uplinks[id.index()];
        if uplink.state() == State::Disabled && !addresses.is_empty() {
            self.stale_flows.leave_drained(uplink, addresses);
        }
        let settings = uplink.settings();
        let change = Change::Drained {
            uplink: settings.name.clone(),
            interface: settings.interface.clone(),
        };
        (self.outbox.events).push(Event::new(now, change, why.to_owned()));
    }

    /// Ends the drains that are over; whether there are any.
    pub(super) fn end_drains(&mut self, now: Moment) -> bool {
        let over = self.drains.over(self.view(), &self.stale_flows.kept, now);
        for (uplink, why) in &over {
            self.close_drain(uplink, why, now);
        }
        !over.is_empty()
    }
}
