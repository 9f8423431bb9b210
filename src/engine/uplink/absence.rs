//! A path that goes away for a moment.
//!
//! A DHCP client that renews flushes the address and adds it again, and with the address go the routes.
//! For `ABSENCE_GRACE` the uplink stays as it was, without probes; where the same path comes back by
//! then, nothing has happened. What lacks carrier, is down or is not there has no such grace.

use std::time::Duration;

use crate::routing::{Attachment, Trouble};
use crate::units::Moment;

/// A path that comes back within this was not away.
const ABSENCE_GRACE: Duration = Duration::from_millis(300);

/// A path is away, and may come back.
#[derive(Clone, Debug)]
pub(super) struct PathAbsence {
    /// How the link is meanwhile.
    attachment: Attachment,
    until: Moment,
}

impl PathAbsence {
    /// The absence that begins or goes on when the link is like `found` instead of like `known`; none if
    /// no path is away or it is away for good.
    pub(super) fn next(
        before: Option<Self>,
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
        let mut families = known.paths.keys();
        let has_lost_a_path = families.any(|family| {
            !found.paths.contains_key(family) && !found.retiring.contains_key(family)
        });
        let is_rest_the_same =
            (found.paths.iter()).all(|(of, path)| known.paths.get(of) == Some(path));
        if !is_link_whole || !has_lost_a_path || !is_rest_the_same {
            return None;
        }
        let until = before.map_or(now + ABSENCE_GRACE, |before| before.until);
        (now < until).then(|| Self {
            attachment: found.clone(),
            until,
        })
    }

    /// When it is no longer waited for.
    pub(super) fn until(&self) -> Moment {
        self.until
    }

    /// How the link is.
    pub(super) fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}
