//! A path that goes away for a moment.
//!
//! A DHCP client that renews flushes the address and adds it again, and with the address go the routes.
//! For `ABSENCE_GRACE` the uplink stays as it was, without probes by what is away; where the same path comes
//! back by then, nothing has happened. What lacks carrier, is down or is not there has no such grace.
//!
//! An IPv6 address that is added again is tentative until duplicate address detection ends. So long, until
//! `DETECTION_ENDS` at the latest, the grace lasts. It is over at once where the address fails, or where
//! another one comes in its place.

use std::net::IpAddr;
use std::time::Duration;

use crate::routing::{Attachment, Family, Trouble};
use crate::units::Moment;

/// A path that comes back within this was not away.
const ABSENCE_GRACE: Duration = Duration::from_millis(300);

/// So long after a path went away, duplicate address detection of its address has ended: that begins within
/// `ABSENCE_GRACE`, waits for up to a second by chance and for a second for an objection (RFC 4862, 5.4.2 and
/// 5.1), and is seen within the rest.
const DETECTION_ENDS: Duration = Duration::from_millis(2_500);

/// Paths are away, and may come back.
#[derive(Clone, Debug)]
pub(super) struct PathAbsence {
    /// How the link is meanwhile.
    attachment: Attachment,
    of_families: [Option<FamilyAbsence>; Family::ROUTED.len()],
}

/// The families whose paths are away for a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AwayFamilies([bool; Family::ROUTED.len()]);

impl AwayFamilies {
    pub(super) fn is_any(self) -> bool {
        self.0.contains(&true)
    }

    pub(super) fn contains(self, family: Family) -> bool {
        self.0[family as usize]
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Family> {
        let families = Family::ROUTED.into_iter();
        families.filter(move |family| self.contains(*family))
    }
}

/// The path of a family is away.
#[derive(Clone, Copy, Debug)]
struct FamilyAbsence {
    began: Moment,
    /// Its address is back, and tentative.
    is_tentative: bool,
}

impl PathAbsence {
    /// The absence that begins or goes on when the link is like `found` instead of like `known`; none if
    /// no path is away or one is away for good.
    pub(super) fn next(
        before: Option<&Self>,
        known: &Attachment,
        found: &Attachment,
        now: Moment,
    ) -> Option<Self> {
        let is_link_whole = known.trouble.is_none()
            && known.index == found.index
            && match found.trouble {
                None | Some(Trouble::NoAddress | Trouble::NoNextHop) => true,
                Some(Trouble::Absent | Trouble::Down | Trouble::NoCarrier) => false,
            };
        let is_rest_the_same =
            (found.paths.iter()).all(|(of, path)| known.paths.get(of) == Some(path));
        if !is_link_whole || !is_rest_the_same {
            return None;
        }
        let mut of_families = [None; Family::ROUTED.len()];
        for family in known.paths.keys() {
            if !found.paths.contains_key(family) && !found.retiring.contains_key(family) {
                let place = *family as usize;
                let before = before.and_then(|before| before.of_families[place]);
                let absence = FamilyAbsence::next(before, *family, [known, found], now)?;
                of_families[place] = Some(absence);
            }
        }
        let is_any = of_families.iter().any(Option::is_some);
        is_any.then(|| Self {
            attachment: found.clone(),
            of_families,
        })
    }

    /// When it is no longer waited for.
    pub(super) fn until(&self) -> Option<Moment> {
        self.of_families.iter().flatten().map(|of| of.until()).min()
    }

    /// The families whose paths are away.
    pub(super) fn families(&self) -> AwayFamilies {
        AwayFamilies(self.of_families.map(|of| of.is_some()))
    }

    /// How the link is.
    pub(super) fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}

impl FamilyAbsence {
    /// None if the path is away for good.
    fn next(
        before: Option<Self>,
        family: Family,
        [known, found]: [&Attachment; 2],
        now: Moment,
    ) -> Option<Self> {
        let is_known = |address: &IpAddr| known.sources.iter().any(|net| net.addr() == *address);
        let mut tentative = found
            .tentative
            .iter()
            .filter(|of| Family::of(**of) == family);
        let is_another = tentative.clone().next().is_some() && !tentative.clone().any(is_known);
        let is_tentative = tentative.any(is_known);
        let was_tentative = before.is_some_and(|before| before.is_tentative);
        let has_failed = was_tentative && !is_tentative;
        let next = Self {
            began: before.map_or(now, |before| before.began),
            is_tentative,
        };
        (!is_another && !has_failed && now < next.until()).then_some(next)
    }

    fn until(self) -> Moment {
        let lasts = if self.is_tentative {
            DETECTION_ENDS
        } else {
            ABSENCE_GRACE
        };
        self.began + lasts
    }
}
