//! What an operator may choose by hand, and has chosen.

use super::candidate::{Fitness, SPENT};
use super::command::{Command, CommandRefusal};
use super::event::{Change, Event};
use super::group::AskedFor;
use super::settings::Failback;
use super::state::State;
use super::status::{Choices, Chosen, Maintenance};
use super::uplink::Uplink;
use super::view::EngineView;
use super::wording::in_state;
use crate::units::{Moment, UplinkName};

/// Whether a command can be followed. Uplinks are chosen for the traffic of the default group, and taken out of
/// service for all of it.
pub(super) fn check(view: EngineView<'_>, command: &Command) -> Result<(), CommandRefusal> {
    let Some(name) = command.uplink() else {
        return Ok(());
    };
    let uplink = find(view, name)?;
    if let Command::Switch { .. } = command {
        check_switch(uplink)
    } else if let Command::Disable { force, .. } = command {
        check_disable(view, uplink, *force)
    } else if let Command::Allowance { .. } = command {
        let name = || uplink.settings().name.clone();
        let count = uplink.allowance_count().map(drop);
        count.ok_or_else(|| CommandRefusal::NoAllowance(name()))
    } else {
        Ok(())
    }
}

fn check_switch(uplink: &Uplink) -> Result<(), CommandRefusal> {
    let is_usable = uplink.candidate().condition() >= Fitness::Poor;
    let may_come = uplink.settings().is_cold() && uplink.state() != State::Disabled;
    if (is_usable || may_come) && !uplink.is_off() {
        return Ok(());
    }
    if uplink.is_off() {
        return Err(CommandRefusal::Unusable {
            uplink: uplink.settings().name.clone(),
            reason: SPENT.to_owned(),
        });
    }
    Err(CommandRefusal::Unusable {
        uplink: uplink.settings().name.clone(),
        reason: in_state(uplink.state(), ", ", &uplink.reason()),
    })
}

fn check_disable(
    view: EngineView<'_>,
    uplink: &Uplink,
    is_forced: bool,
) -> Result<(), CommandRefusal> {
    let default_group = view.groups.default_group();
    let by_hand = default_group.by_hand();
    let name = &uplink.settings().name;
    if by_hand.is_some_and(|choice| choice.is_pinned && choice.uplink == uplink.id()) {
        return Err(CommandRefusal::Pinned(name.clone()));
    }
    let is_active = default_group.leader() == Some(uplink.id());
    let fitness = uplink.candidate().fitness();
    let others = view
        .uplinks
        .iter()
        .filter(|other| other.id() != uplink.id());
    let others = others.map(|other| (view.fitness(other), other));
    match others.clone().map(|(fitness, _)| fitness).max() {
        None | Some(Fitness::Unusable) if is_active || fitness > Fitness::Unusable => {
            Err(CommandRefusal::Last(name.clone()))
        }
        Some(Fitness::Trial) if fitness > Fitness::Trial && !is_forced => {
            let recovering = others.filter(|(fitness, _)| *fitness == Fitness::Trial);
            let recovering = recovering.map(|(_, other)| other.settings().name.clone());
            Err(CommandRefusal::LastHealthy {
                uplink: name.clone(),
                recovering: recovering.collect(),
            })
        }
        None | Some(_) => Ok(()),
    }
}

/// The traffic that `auto` sends to the best uplinks at once: that which an operator sent elsewhere; where only an
/// operator says when it goes back, or the hour forbids it, all of it. What the agent chose itself goes by the rules of failback.
pub(super) fn sent_by_auto(view: EngineView<'_>) -> AskedFor {
    let is_by_hand = view.groups.default_group().by_hand().is_some();
    match view.failover().failback {
        Failback::Manual | Failback::Closed => AskedFor::Everything,
        Failback::Auto | Failback::OpenSince(_) if is_by_hand => AskedFor::Default,
        Failback::Auto | Failback::OpenSince(_) => AskedFor::Nothing,
    }
}

fn find<'a>(view: EngineView<'a>, name: &UplinkName) -> Result<&'a Uplink, CommandRefusal> {
    let mut uplinks = view.uplinks.iter();
    let found = uplinks.find(|uplink| uplink.settings().name == *name);
    found.ok_or_else(|| CommandRefusal::NoSuchUplink {
        name: name.clone(),
        known: view
            .uplinks
            .iter()
            .map(|uplink| uplink.settings().name.clone())
            .collect(),
    })
}

/// What operators chose, as it is now.
pub(super) fn choices(view: EngineView<'_>) -> Choices {
    let by_hand = view.groups.default_group().by_hand();
    let chosen = by_hand.and_then(|choice| Some((view.uplink(choice.uplink)?, choice.is_pinned)));
    let disabled = view
        .uplinks
        .iter()
        .filter(|uplink| uplink.state() == State::Disabled);
    Choices {
        switch: chosen.map(|(uplink, pinned)| Chosen {
            uplink: uplink.settings().name.clone(),
            pinned,
            by: None,
            at: None,
        }),
        disabled: disabled
            .map(|uplink| (uplink.settings().name.clone(), Maintenance::default()))
            .collect(),
    }
}

/// Whether a pin keeps the traffic on an uplink that is of no use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PinWatch {
    is_announced: bool,
}

impl PinWatch {
    /// The event of it, once.
    pub(super) fn stranded(&mut self, view: EngineView<'_>, now: Moment) -> Option<Event> {
        let default_group = view.groups.default_group();
        let pinned = default_group.by_hand().filter(|choice| choice.is_pinned);
        let pinned = pinned.filter(|choice| default_group.leader() == Some(choice.uplink));
        let pinned = pinned.and_then(|choice| view.uplink(choice.uplink));
        let is_usable = |uplink: &&Uplink| uplink.candidate().fitness() > Fitness::Unusable;
        let Some(pinned) = pinned.filter(|pinned| !is_usable(pinned)) else {
            self.is_announced = false;
            return None;
        };
        let usable = view.uplinks.iter().find(is_usable)?;
        if std::mem::replace(&mut self.is_announced, true) {
            return None;
        }
        let settings = pinned.settings();
        Some(Event {
            at: now,
            change: Change::Stranded {
                uplink: settings.name.clone(),
                interface: settings.interface.clone(),
            },
            reason: format!(
                "{}; the traffic is pinned there by hand and stays until `auto`, though {} is usable",
                in_state(pinned.state(), ": ", &pinned.reason()),
                usable.settings().name
            ),
        })
    }
}
