//! New connections that go another way.

use serde::{Deserialize, Serialize};

use super::EventKind;
use super::cause::SwitchCause;
use super::values::ChangeValues;
use crate::routing::Family;
use crate::units::{GroupName, UplinkName};

/// New connections go another way, and established ones stay; or they come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftSwitch {
    /// Those of this group; none: all that no group claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// The one family; none: both, or there is but one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// What took them.
    pub from: Vec<UplinkName>,
    /// What takes them.
    pub to: Vec<UplinkName>,
    /// `Doubt`, or `Failback` where they come back to what carries the traffic.
    pub cause: SwitchCause,
}

impl SoftSwitch {
    pub(super) fn values(&self) -> ChangeValues<'_> {
        let traffic = (self.group.as_ref(), self.family);
        let switch = ChangeValues::of_switch(traffic, (&self.from, &self.to), (self.cause, None));
        ChangeValues {
            kind: EventKind::SwitchSoft,
            ..switch
        }
    }
}
