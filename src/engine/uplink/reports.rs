//! What an uplink says: to operators, to the damping, and to the other uplinks.

use std::time::Duration;

use super::health::StateReport;
use super::outbox::Outbox;
use crate::engine::action::ProbeOrder;
use crate::engine::damping::StateTurn;
use crate::engine::event::{Change, Event};
use crate::engine::ids::UplinkId;
use crate::engine::settings::UplinkSettings;
use crate::engine::state::State;
use crate::engine::suspicion::{SuspectedFault, Suspicion, TargetNotice};
use crate::engine::target::Standing;
use crate::units::{HopPlace, InterfaceName, Moment, ProbeId, Target, UplinkName};

/// The reports of one uplink since they were last collected.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    id: UplinkId,
    uplink: UplinkName,
    interface: InterfaceName,
    is_cold: bool,
    out: Outbox,
}

impl Reports {
    pub(super) fn new(id: UplinkId, settings: &UplinkSettings) -> Self {
        Self {
            id,
            uplink: settings.name.clone(),
            interface: settings.interface.clone(),
            is_cold: settings.is_cold(),
            out: Outbox::default(),
        }
    }

    /// Its uplink has this id from now on.
    pub(super) fn set_id(&mut self, id: UplinkId) {
        self.id = id;
    }

    /// Takes changed settings.
    pub(super) fn adapt(&mut self, settings: &UplinkSettings) {
        let out = std::mem::take(&mut self.out);
        *self = Self {
            out,
            ..Self::new(self.id, settings)
        };
    }

    /// Something changed that the choice may depend on.
    pub(super) fn changed(&mut self) {
        self.out.is_changed = true;
    }

    /// The counters of its interface are worth reading.
    pub(super) fn count(&mut self) {
        self.out.counts.push_back(self.uplink.clone());
    }

    /// A probe is to be sent.
    pub(super) fn probe(
        &mut self,
        id: ProbeId,
        target: &Target,
        hop: Option<HopPlace>,
        listen_for: Duration,
    ) {
        self.out.probes.push_back(ProbeOrder {
            id,
            uplink: self.uplink.clone(),
            target: target.clone(),
            hop,
            listen_for,
        });
    }

    /// Something happened to this uplink.
    pub(super) fn event(&mut self, change: Change, reason: String, at: Moment) {
        self.out.events.push(Event { at, change, reason });
    }

    /// The state is another than before; `reason`: why it is shown so.
    pub(super) fn state(
        &mut self,
        report: StateReport,
        reason: impl FnOnce() -> String,
        now: Moment,
    ) {
        if let Some([from, to]) = report.whole {
            self.out.turns.push(StateTurn {
                uplink: self.id,
                from,
                to,
            });
        }
        let is_cold = self.is_cold;
        let shown = (report.shown).filter(|[from, to]| !is_cold || !is_said_by_standby(*from, *to));
        if let Some([from, to]) = shown {
            let change = Change::Uplink {
                uplink: self.uplink.clone(),
                interface: self.interface.clone(),
                from,
                to,
                broken_at: None,
            };
            self.event(change, reason(), now);
        }
    }

    /// A target of this uplink alone is not what it was.
    pub(super) fn target(
        &mut self,
        target: Target,
        [from, to]: [State; 2],
        reason: String,
        now: Moment,
    ) {
        let change = Change::Target {
            uplink: Some(self.uplink.clone()),
            interface: Some(self.interface.clone()),
            target,
            from,
            to,
        };
        self.event(change, reason, now);
    }

    /// The standing of a target has changed.
    pub(super) fn standing(&mut self, target: &Target, standing: Standing, now: Moment) {
        let target = target.clone();
        match standing {
            Standing::SetAside { since } => {
                let why = "does not answer while others do".to_owned();
                self.suspect(target, SuspectedFault::SetAside(why), since);
            }
            Standing::AnswersEverywhere => {
                self.out.notices.push(TargetNotice::AnswersAgain(target));
            }
            Standing::Reinstated => {
                let reason = format!("{target} answers again");
                self.target(target, [State::Down, State::Up], reason, now);
            }
        }
    }

    /// The other uplinks may know that the target is to blame, and not this one.
    pub(super) fn suspect(&mut self, target: Target, fault: SuspectedFault, since: Moment) {
        self.out.notices.push(TargetNotice::Suspected(Suspicion {
            uplink: self.uplink.clone(),
            target,
            fault,
            since,
        }));
    }

    /// Hands over what was said.
    pub(super) fn collect(&mut self, out: &mut Outbox) {
        out.append(&mut self.out);
    }
}

/// The events of a cold standby say that it is not usable; for which reason is no news.
fn is_said_by_standby(from: State, to: State) -> bool {
    let is_out = |state| match state {
        State::Unknown | State::Down | State::Absent | State::Cold => true,
        State::Up | State::Degraded | State::Recovering | State::Disabled => false,
    };
    to == State::Cold || (is_out(from) && is_out(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errands_of_a_cold_standby_tell_why_it_is_out_and_its_state_tells_when_it_is_usable() {
        assert!(is_said_by_standby(State::Up, State::Cold));
        assert!(is_said_by_standby(State::Cold, State::Down));
        assert!(!is_said_by_standby(State::Unknown, State::Up));
        assert!(!is_said_by_standby(State::Up, State::Down));
    }
}
