//! The allowance of an uplink: what is counted of it, and what follows.

use super::{Outbox, Uplink};
use crate::engine::allowance::{AllowanceCount, AllowanceStanding};
use crate::engine::event::{AllowanceChange, Change, Event};
use crate::engine::status::AllowanceStatus;
use crate::units::{Bytes, InterfaceReading, Moment, ZonedTime};

/// What concerns an allowance.
#[derive(Clone, Copy, Debug)]
pub enum AllowanceNews {
    /// The interface has counted this.
    Read(InterfaceReading),
    /// So much is used, an operator says.
    Used(Bytes),
    /// The clock shows this.
    Time(ZonedTime),
}

impl Uplink {
    /// How it stands to its allowance.
    pub fn allowance_standing(&self) -> AllowanceStanding {
        let settings = self.monitor.settings.allowance.as_deref();
        let track = self.allowance.as_deref();
        let standing = track.zip(settings);
        standing.map_or(AllowanceStanding::Free, |(track, of)| track.standing(of))
    }

    /// No traffic goes there, as its allowance is used up.
    pub fn is_off(&self) -> bool {
        self.allowance_standing() == AllowanceStanding::Off
    }

    /// What is used of its allowance, as it is shown, if it has one.
    pub fn allowance_status(&self) -> Option<AllowanceStatus> {
        let settings = self.monitor.settings.allowance.as_deref()?;
        Some(self.allowance.as_ref()?.status(settings))
    }

    /// What was counted of its allowance, if it has one.
    pub fn allowance_count(&self) -> Option<AllowanceCount> {
        Some(self.allowance.as_ref()?.count())
    }

    /// Goes on with what was counted before.
    pub fn recall_allowance(&mut self, count: AllowanceCount) {
        if let Some(track) = &mut self.allowance {
            track.recall(count);
        }
    }

    /// Takes what concerns its allowance, if it has one.
    pub fn take_allowance_news(&mut self, news: AllowanceNews, now: Moment, out: &mut Outbox) {
        let before = self.allowance_standing();
        let settings = &self.monitor.settings;
        let (Some(of), Some(track)) = (&settings.allowance, &mut self.allowance) else {
            return;
        };
        match news {
            AllowanceNews::Read(reading) => track.read(reading),
            AllowanceNews::Used(used) => track.set_used(used),
            AllowanceNews::Time(time) => track.take_time(of.day, time, now),
        }
        if let Some(percent) = track.announce(of) {
            let change = AllowanceChange {
                uplink: settings.name.clone(),
                interface: settings.interface.clone(),
                percent,
            };
            let words = track.words(of);
            out.events
                .push(Event::new(now, Change::Allowance(change), words));
        }
        out.is_changed |= self.allowance_standing() != before;
    }
}
