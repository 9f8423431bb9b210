//! Numbers with a unit and names with an identity, used by all other modules.

pub mod billing;
pub mod counting;
pub mod json;
pub mod moment;
pub mod names;
pub mod quantities;
pub mod reading;
pub mod sorted;
pub mod target;
pub mod weekly;
pub mod weekly_hours;

pub use billing::{BillingDay, LocalDay};
pub use moment::{Moment, Timestamp, Wall};
pub use names::{GroupName, InterfaceName, NameError, UplinkName};
pub use quantities::{
    Bytes, Counters, HopPlace, IfIndex, IpProtocol, Loss, Mark, Metric, NextHopId, ProbeId,
    Protocol, RulePriority, Score, TableId, Tier, Weight,
};
pub use reading::{BootId, InterfaceReading};
pub use target::*;
pub use weekly::{LocalMinute, WeeklyTime, ZonedTime};
pub use weekly_hours::{WeeklyHours, WeeklySpan};
