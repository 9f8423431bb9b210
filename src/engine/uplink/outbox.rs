//! What uplinks want done.

use std::collections::VecDeque;

use crate::engine::action::{Action, ProbeOrder};
use crate::engine::damping::StateTurn;
use crate::engine::event::Event;
use crate::engine::suspicion::TargetNotice;
use crate::units::{ProbeId, UplinkName};

/// Where an uplink puts what it wants done.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Probes to send.
    pub probes: VecDeque<ProbeOrder>,
    /// Uplinks whose counters are worth reading.
    pub counts: VecDeque<UplinkName>,
    /// What happened.
    pub events: Vec<Event>,
    /// How whole uplinks changed, for the damping.
    pub turns: Vec<StateTurn>,
    /// What is to be settled between all uplinks.
    pub notices: Vec<TargetNotice>,
    /// Something changed that the choice may depend on, whether or not there is an event of it.
    pub is_changed: bool,
    /// The numbers of the probes.
    pub ids: ProbeIds,
}

/// The numbers of probes, each given once.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeIds(u64);

impl ProbeIds {
    /// The next one.
    pub fn take(&mut self) -> ProbeId {
        let id = ProbeId(self.0);
        self.0 += 1;
        id
    }
}

impl Outbox {
    /// The next thing to do that leaves from here.
    pub fn take_order(&mut self) -> Option<Action> {
        let count = self.counts.pop_front().map(Action::Count);
        count.or_else(|| self.probes.pop_front().map(Action::Probe))
    }

    /// Takes all that another one holds.
    pub(super) fn append(&mut self, other: &mut Self) {
        // Nearly always, but for the probes of a round.
        let says_nothing = other.events.is_empty()
            && other.counts.is_empty()
            && other.turns.is_empty()
            && other.notices.is_empty()
            && !other.is_changed;
        if !other.probes.is_empty() {
            self.probes.append(&mut other.probes);
        }
        if says_nothing {
            return;
        }
        self.counts.append(&mut other.counts);
        self.events.append(&mut other.events);
        self.turns.append(&mut other.turns);
        self.notices.append(&mut other.notices);
        self.is_changed |= std::mem::take(&mut other.is_changed);
    }
}
