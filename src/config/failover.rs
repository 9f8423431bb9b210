//! `[failover]`: which uplink carries the traffic.

use std::time::Duration;

use super::error::Fault;
use super::hours::HOURS;
use super::kinds::{DurationRange, NumberRange, Words, whole};
use super::section::Section;
use super::times::{DAY, secs};
use crate::engine::settings::{
    BestSettings, DampingSettings, Failback, FailoverSettings, Policy, SoftFailover,
};
use crate::units::{Score, WeeklyHours};

/// Each policy by its name.
pub(super) const POLICIES: Words<Policy> = Words(&[
    ("failover", Policy::Failover),
    ("best", Policy::Best),
    ("balance", Policy::Balance),
]);

const FAILBACKS: Words<Failback> = Words(&[("auto", Failback::Auto), ("manual", Failback::Manual)]);

const SOFT: Words<SoftFailover> = Words(&[
    ("auto", SoftFailover::Auto),
    ("always", SoftFailover::Always),
    ("off", SoftFailover::Off),
]);

/// Of `suppress` and `reuse`, in outages.
const PENALTY: NumberRange = NumberRange(0.1..=1000.0);

pub(super) fn read(section: &Section<'_>) -> FailoverSettings {
    FailoverSettings {
        policy: section.read("policy", &POLICIES, Policy::Failover),
        best: best(section),
        failback: section.read("failback", &FAILBACKS, Failback::Auto),
        failback_after: section.read(
            "failback_after",
            &DurationRange(Duration::ZERO..=DAY),
            secs(60),
        ),
        damping: damping(&section.section("damping")),
        soft: section.read("soft", &SOFT, SoftFailover::Auto),
    }
}

/// When a failback may be.
pub(super) fn window(section: &Section<'_>, failback: Failback) -> WeeklyHours {
    let window = section.read("failback_window", &HOURS, WeeklyHours::default());
    if failback == Failback::Manual && !window.are_always() {
        let bound = "left out with `failback` \"manual\", which has no hours";
        section.refuse("failback_window", Fault::value(&window, bound));
    }
    window
}

fn best(section: &Section<'_>) -> BestSettings {
    let default = BestSettings::default();
    BestSettings {
        margin: section.read("best_margin", &whole(&[(1, 100)], Score), default.margin),
        after: section.read("best_after", &DurationRange(secs(10)..=DAY), default.after),
    }
}

fn damping(section: &Section<'_>) -> DampingSettings {
    let default = DampingSettings::default();
    let damping = DampingSettings {
        half_life: section.read(
            "half_life",
            &DurationRange(secs(1)..=DAY),
            default.half_life,
        ),
        suppress: section.read("suppress", &PENALTY, default.suppress),
        reuse: section.read("reuse", &PENALTY, default.reuse),
        longest: section.read(
            "longest",
            &DurationRange(Duration::ZERO..=DAY),
            default.longest,
        ),
    };
    let DampingSettings {
        suppress, reuse, ..
    } = damping;
    if reuse >= suppress && section.has("reuse") {
        let bound = format!("less than `suppress`, {suppress}");
        section.refuse("reuse", Fault::value(reuse, bound));
    } else if reuse >= suppress {
        let bound = format!("more than `reuse`, {reuse}");
        section.refuse("suppress", Fault::value(suppress, bound));
    }
    damping
}
