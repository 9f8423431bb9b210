//! Captive portals and landing pages: somebody on the way answers web pages in place of their
//! servers, while pings may pass.
//!
//! That is a statement, not silence: a web target that is answered like this twice in a row makes the
//! uplink captive, unless another web target is answered rightly, or the same page is wrong on every
//! uplink and so has changed itself. With two web targets that say so there is no doubt left. The
//! first right page ends it.

use super::{Outbox, Phase, Signal, Uplink};
use crate::engine::docket::Charge;
use crate::units::{Moment, Target};

/// So many rounds in a row, at the pace of doubt.
const ENOUGH: u32 = 2;

/// Who answers web pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Portal {
    said: Option<Said>,
    is_certain: bool,
}

#[derive(Clone, Debug)]
struct Said {
    /// The place of the target that was answered for.
    place: usize,
    /// Several were.
    are_several: bool,
    first: Moment,
    last: Moment,
    rounds: u32,
    what: String,
}

impl Portal {
    /// Somebody else seems to answer.
    pub(super) fn is_suspected(&self) -> bool {
        self.said.is_some() && !self.is_certain
    }

    /// The page was right, or nothing follows from it.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What was answered for the target at this place is that target's own fault.
    pub(super) fn excuse(&mut self, place: usize) {
        if self.said.as_ref().is_some_and(|said| said.place == place) {
            self.forget();
        }
    }

    fn hear(&mut self, place: usize, sent: Moment, what: String) {
        let said = self.said.get_or_insert_with(|| Said {
            place,
            are_several: false,
            first: sent,
            last: sent,
            rounds: 1,
            what: String::new(),
        });
        said.are_several |= place != said.place;
        said.rounds += u32::from(sent > said.last);
        said.last = said.last.max(sent);
        said.what = what;
    }
}

impl Uplink {
    /// Somebody answered in the place of a target that counts.
    pub(super) fn met_portal(&mut self, place: usize, sent: Moment, what: String) {
        self.portal.hear(place, sent, what);
    }

    /// A round is complete: is there a portal?
    pub(super) fn judge_portal(&mut self, now: Moment, out: &mut Outbox) {
        // Those that were set aside cannot tell.
        let counts = |said: &&Said| self.targets[said.place].is_standing();
        let Some(said) = self.portal.said.as_ref().filter(counts).cloned() else {
            self.portal.forget();
            return;
        };
        if said.rounds < ENOUGH || self.portal.is_certain {
            return;
        }
        if said.are_several {
            self.found_captive(said.what, now, out);
        } else {
            let target = self.targets[said.place].target().clone();
            self.appeal(target, Charge::Captive(said.what), said.first, out);
        }
    }

    /// It leads to a landing page. A right page since then ends it before it begins.
    pub fn found_captive(&mut self, what: String, now: Moment, out: &mut Outbox) {
        if self.portal.is_suspected() {
            self.portal.is_certain = true;
            self.signal(Signal::Captive(what), now, out);
        }
    }

    /// A target answered as it should: if it is a web page, or the one that was answered for, the way
    /// is free.
    pub(super) fn met_target(&mut self, place: usize) {
        let is_page = matches!(self.targets[place].target(), Target::Http(_));
        let is_the_one = self
            .portal
            .said
            .as_ref()
            .is_some_and(|said| said.place == place);
        if is_page || is_the_one {
            self.portal.forget();
        }
    }

    /// Only the pings come through.
    pub(super) fn is_captive(&self) -> bool {
        self.standing == Phase::Down && self.portal.is_certain
    }
}
