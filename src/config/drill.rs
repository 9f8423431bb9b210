//! `[drill]`: how the failover is tested.

use std::time::Duration;

use super::kinds::DurationRange;
use super::section::Section;
use super::times::{HOUR, ms};
use crate::engine::settings::DrillSettings;

pub(super) fn read(section: &Section<'_>) -> DrillSettings {
    let default = DrillSettings::default();
    DrillSettings {
        rto: section.read("rto", &DurationRange(ms(100)..=HOUR), default.rto),
        after_start: section.read(
            "after_start",
            &DurationRange(Duration::ZERO..=HOUR),
            default.after_start,
        ),
    }
}
