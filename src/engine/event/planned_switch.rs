//! A switch that is about to come.

use serde::{Deserialize, Serialize};

use super::EventKind;
use super::values::{ChangeValues, Side};
use crate::units::UplinkName;

/// An operator or a schedule is about to move the traffic of the default group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSwitch {
    /// What carries it.
    pub from: Vec<UplinkName>,
    /// What is to carry it.
    pub to: Vec<UplinkName>,
}

impl PlannedSwitch {
    pub(super) fn values(&self) -> ChangeValues<'_> {
        let sides = [&self.from, &self.to].map(|side| Side::Uplinks(side.clone()));
        ChangeValues {
            sides: Some(sides.into()),
            ..ChangeValues::of(EventKind::SwitchPlanned)
        }
    }
}
