//! When no uplink is usable: announced once, and not while a machine boots, whose links come up one after another.

use std::time::Duration;

use super::common_outage::explain_no_usable;
use super::event::{Change, Event};
use super::state::State;
use super::uplink::Uplink;
use crate::units::Moment;

/// For so long after the start it is no news that no uplink is usable yet.
const BOOT: Duration = Duration::from_secs(10);

/// Whether it was announced that no uplink is usable.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoUsableUplink {
    booted: Moment,
    is_announced: bool,
}

/// What follows from it that no uplink is usable.
pub(super) enum NoUsableNews {
    /// Nothing new.
    None,
    /// It may only be too early: this is to be decided again then.
    LookAgain(Moment),
    /// It is to be announced.
    Event(Event),
}

impl NoUsableUplink {
    /// Of an engine that starts now.
    pub(super) fn new(started: Moment) -> Self {
        Self {
            booted: started + BOOT,
            is_announced: false,
        }
    }

    /// Until then links come up one after another.
    pub(super) fn booted(self) -> Moment {
        self.booted
    }

    /// An uplink is usable.
    pub(super) fn usable(&mut self) {
        self.is_announced = false;
    }

    /// No uplink is usable. `has_switched`: the traffic has been carried in this run.
    pub(super) fn none_usable(
        &mut self,
        uplinks: &[Uplink],
        has_switched: bool,
        now: Moment,
    ) -> NoUsableNews {
        let is_open = uplinks
            .iter()
            .any(|uplink| uplink.state() == State::Unknown);
        if is_open || self.is_announced {
            return NoUsableNews::None;
        }
        if !has_switched && now < self.booted {
            return NoUsableNews::LookAgain(self.booted);
        }
        self.is_announced = true;
        NoUsableNews::Event(Event {
            at: now,
            change: Change::NoUsableUplink,
            reason: explain_no_usable(uplinks),
        })
    }
}
