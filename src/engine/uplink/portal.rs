//! Captive portals and landing pages: another server on the way answers web pages in place of
//! theirs, while pings may pass.
//!
//! That is a statement, not silence: a web target that is answered like this twice in a row makes the
//! uplink captive, unless another web target is answered rightly, or the same page is wrong on every
//! uplink and so has changed itself. With two web targets that say so there is no doubt left. The
//! first right page ends it.

use crate::units::Moment;

/// So many rounds in a row, at the pace of doubt.
const ENOUGH: u32 = 2;

/// Which server answers web pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Portal {
    said: Option<WrongPage>,
    is_certain: bool,
}

#[derive(Clone, Debug)]
struct WrongPage {
    /// The place of the target that was answered for.
    place: usize,
    /// Several were.
    are_several: bool,
    first: Moment,
    last: Moment,
    rounds: u32,
    what: String,
}

/// What wrong pages amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PortalFinding {
    /// The uplink is captive: what was answered.
    Captive(String),
    /// It is, unless the target at this place is at fault everywhere.
    Suspected {
        place: usize,
        since: Moment,
        what: String,
    },
}

impl Portal {
    /// Another server seems to answer.
    pub(super) fn is_suspected(&self) -> bool {
        self.said.is_some() && !self.is_certain
    }

    /// Another server answers.
    pub(super) fn is_certain(&self) -> bool {
        self.is_certain
    }

    /// There is no doubt left; whether there was any.
    pub(super) fn confirm(&mut self) -> bool {
        let is_news = self.is_suspected();
        self.is_certain |= is_news;
        is_news
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

    /// The target at this place was answered for by another server.
    pub(super) fn answered_wrongly(&mut self, place: usize, sent: Moment, what: String) {
        let said = self.said.get_or_insert_with(|| WrongPage {
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

    /// A target answered as it should: if that is a web page, or the one that was answered for, the way
    /// is free.
    pub(super) fn answered(&mut self, place: usize, is_page: bool) {
        if is_page {
            self.forget();
        } else {
            self.excuse(place);
        }
    }

    /// A round is complete: is there a portal? Targets that do not count cannot tell.
    pub(super) fn judge(&mut self, counts: impl Fn(usize) -> bool) -> Option<PortalFinding> {
        let Some(said) = self.said.as_ref().filter(|said| counts(said.place)) else {
            self.forget();
            return None;
        };
        if said.rounds < ENOUGH || self.is_certain {
            return None;
        }
        let what = said.what.clone();
        Some(if said.are_several {
            PortalFinding::Captive(what)
        } else {
            PortalFinding::Suspected {
                place: said.place,
                since: said.first,
                what,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn wrong(portal: &mut Portal, place: usize, second: u64) -> Option<PortalFinding> {
        portal.answered_wrongly(place, at(second), "a login page".to_owned());
        portal.judge(|_| true)
    }

    #[test]
    fn one_target_that_says_so_twice_may_be_at_fault_and_two_are_not() {
        let mut portal = Portal::default();
        assert_eq!(wrong(&mut portal, 0, 1), None);
        let what = "a login page".to_owned();
        let (place, since) = (0, at(1));
        let suspected = PortalFinding::Suspected { place, since, what };
        assert_eq!(wrong(&mut portal, 0, 2), Some(suspected));
        let captive = PortalFinding::Captive("a login page".to_owned());
        assert_eq!(wrong(&mut portal, 1, 2), Some(captive));
        assert!(portal.confirm() && portal.is_certain());
        assert_eq!(wrong(&mut portal, 1, 3), None, "is known");
    }

    #[test]
    fn a_right_page_ends_it_and_a_ping_does_not() {
        let mut portal = Portal::default();
        wrong(&mut portal, 0, 1);
        portal.answered(1, false);
        assert!(portal.is_suspected());
        portal.answered(1, true);
        assert!(!portal.is_suspected() && !portal.confirm());
    }
}
