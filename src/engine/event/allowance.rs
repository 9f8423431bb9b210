//! A part of an allowance that is used.

use serde::{Deserialize, Serialize};

use super::EventKind;
use super::values::ChangeValues;
use crate::units::{InterfaceName, UplinkName};

/// A part of the allowance of an uplink is used, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceChange {
    /// Which uplink.
    pub uplink: UplinkName,
    /// Its interface.
    pub interface: InterfaceName,
    /// Of its allowance at least.
    pub percent: u8,
}

impl AllowanceChange {
    pub(super) fn values(&self) -> ChangeValues<'_> {
        ChangeValues::of_uplink(EventKind::AllowanceReached, &self.uplink, &self.interface)
    }
}
