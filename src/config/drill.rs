//! `[drill]`: how the failover is tested.

use std::time::Duration;

use super::document::ConfigValue;
use super::error::Fault;
use super::kinds::{DurationRange, Own, ValueKind, own, text};
use super::section::Section;
use super::times::{HOUR, ms};
use crate::engine::settings::DrillSettings;
use crate::units::WeeklyTime;

const SCHEDULE: Own<Option<WeeklyTime>> = own(
    "\"off\" or a local time such as \"sun 03:30\", \"mon-fri 04:00\" or \"04:00\"",
    |value: &ConfigValue| match text(value)? {
        "off" => Ok(None),
        time => {
            let time = time.parse().map(Some);
            time.map_err(|_| Fault::value(value, SCHEDULE.takes()))
        }
    },
);

pub(super) fn read(section: &Section<'_>) -> DrillSettings {
    let default = DrillSettings::default();
    DrillSettings {
        rto: section.read("rto", &DurationRange(ms(100)..=HOUR), default.rto),
        after_start: section.read(
            "after_start",
            &DurationRange(Duration::ZERO..=HOUR),
            default.after_start,
        ),
        schedule: section.read("schedule", &SCHEDULE, default.schedule),
    }
}
