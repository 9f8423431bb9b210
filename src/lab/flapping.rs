//! A wire that is broken and mended in turn.

use std::time::Duration;

use crate::lab::error::LabError;
use crate::lab::lane::Impairment;
use crate::lab::network::Wire;
use crate::lab::stream::TimeRange;
use crate::units::Moment;

/// A wire that is broken and mended in turn.
pub(super) struct FlappingWire<'n> {
    wire: Wire<'n>,
    broken: Impairment,
    /// How long each outage lasts, the next first.
    lasts: Box<dyn Iterator<Item = Duration>>,
    /// How long the wire is mended between two of them.
    apart: Duration,
    /// Since when it is broken.
    since: Option<Moment>,
    next: Option<Moment>,
    /// The outages so far.
    outages: Vec<TimeRange>,
}

/// What became of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireTurn {
    /// It is broken from this moment on.
    Broken(Moment),
    /// It is mended from this moment on.
    Mended(Moment),
}

impl<'n> FlappingWire<'n> {
    /// A wire whose first outage begins `now`.
    pub(super) fn new(
        wire: Wire<'n>,
        broken: Impairment,
        lasts: impl Iterator<Item = Duration> + 'static,
        apart: Duration,
        now: Moment,
    ) -> Self {
        Self {
            wire,
            broken,
            lasts: Box::new(lasts),
            apart,
            since: None,
            next: Some(now),
            outages: Vec::new(),
        }
    }

    /// The name of the wire.
    pub(super) fn name(&self) -> &str {
        self.wire.name()
    }

    /// Broken like this.
    pub(super) fn broken(&self) -> Impairment {
        self.broken
    }

    /// When the next turn is due.
    pub(super) fn next(&self) -> Option<Moment> {
        self.next
    }

    /// Breaks or mends the wire if that is due.
    pub(super) fn turn_if_due(&mut self, now: Moment) -> Result<Option<WireTurn>, LabError> {
        if self.next.is_none_or(|next| now < next) {
            return Ok(None);
        }
        if self.since.is_some() {
            self.next = self.next.map(|next| next + self.apart);
            return self.mend();
        }
        let lasts = self.lasts.next();
        self.next = self.next.zip(lasts).map(|(next, lasts)| next + lasts);
        if lasts.is_none() {
            return Ok(None);
        }
        let at = self.wire.set(self.broken)?;
        self.since = Some(at);
        Ok(Some(WireTurn::Broken(at)))
    }

    /// Mends the wire for good, and returns all outages.
    pub(super) fn end(mut self) -> Result<Vec<TimeRange>, LabError> {
        self.mend()?;
        Ok(self.outages)
    }

    fn mend(&mut self) -> Result<Option<WireTurn>, LabError> {
        let at = self.wire.mend()?;
        let outage = self.since.take().map(|from| TimeRange { from, to: at });
        self.outages.extend(outage);
        Ok(outage.map(|_| WireTurn::Mended(at)))
    }
}
