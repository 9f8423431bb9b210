//! `[health]` and `[uplink.health]`: how an uplink is judged.

use std::fmt::Display;
use std::time::Duration;

use super::error::Fault;
use super::kinds::{DurationRange, Percent, WholeNumber, Words, show, whole};
use super::section::Section;
use super::times::{HOUR, ms, secs};
use crate::engine::settings::{Band, HealthSettings, ScoreBand};
use crate::units::{Loss, Score};

/// What a switch costs, in seconds without traffic.
const SENSITIVITIES: Words<Duration> = Words(&[
    ("fast", ms(500)),
    ("balanced", BALANCED),
    ("patient", secs(10)),
]);
const BALANCED: Duration = secs(2);

/// Of latency and jitter.
const DELAY: DurationRange = DurationRange(Duration::ZERO..=secs(60));
const SCORE: WholeNumber<u8, Score> = whole(&[(0, 100)], Score);

/// What the section says; the rest as in `common`, or else the defaults.
pub(super) fn read(section: &Section<'_>, common: Option<&HealthSettings>) -> HealthSettings {
    let or = |own, of: fn(&HealthSettings) -> _| common.map_or(own, of);
    HealthSettings {
        switch_cost: section.read(
            "sensitivity",
            &SENSITIVITIES,
            or(BALANCED, |common| common.switch_cost),
        ),
        outage_within: section.read(
            "outage_within",
            &DurationRange(ms(200)..=secs(600)),
            or(secs(10), |common| common.outage_within),
        ),
        recover_after: section.read(
            "recover_after",
            &DurationRange(Duration::ZERO..=HOUR),
            or(secs(3), |common| common.recover_after),
        ),
        window: section.read(
            "window",
            &DurationRange(secs(1)..=HOUR),
            or(secs(30), |common| common.window),
        ),
        dwell: section.read(
            "dwell",
            &DurationRange(Duration::ZERO..=HOUR),
            or(secs(10), |common| common.dwell),
        ),
        loss: loss(&section.section("loss"), common),
        latency: delay(
            &section.section("latency"),
            common.map_or((ms(500), ms(300)), |common| limits(common.latency)),
        ),
        jitter: delay(
            &section.section("jitter"),
            common.map_or((ms(100), ms(50)), |common| limits(common.jitter)),
        ),
        score: score(&section.section("score"), common),
    }
}

fn limits<T>(band: Band<T>) -> (T, T) {
    (band.enter, band.exit)
}

/// A limit below 1 % is a ratio in disguise: no window holds as many probes as it takes to measure it.
fn loss(section: &Section<'_>, common: Option<&HealthSettings>) -> Band<Loss> {
    let (enter, exit) = common.map_or_else(
        || (Loss::from_percent(20.0), Loss::from_percent(5.0)),
        |common| limits(common.loss),
    );
    let band = Band {
        enter: section.read("enter", &Percent { least: 1.0 }, enter),
        exit: section.read("exit", &Percent { least: 0.0 }, exit),
    };
    check_band(section, &band, |loss| loss.percent());
    band
}

fn delay(section: &Section<'_>, (enter, exit): (Duration, Duration)) -> Band<Duration> {
    let band = Band {
        enter: section.read("enter", &DELAY, enter),
        exit: section.read("exit", &DELAY, exit),
    };
    check_band(section, &band, |delay| show(*delay));
    band
}

/// Of loss and delays the higher are worse.
fn check_band<T: PartialOrd, S: Display>(
    section: &Section<'_>,
    band: &Band<T>,
    show: impl Fn(&T) -> S,
) {
    let (enter, exit) = (show(&band.enter), show(&band.exit));
    if band.exit < band.enter {
        return;
    }
    if section.has("exit") {
        let fault = Fault::value(exit, format!("less than `enter`, {enter}"));
        section.refuse("exit", fault);
    } else if section.has("enter") {
        let fault = Fault::value(enter, format!("more than `exit`, {exit}"));
        section.refuse("enter", fault);
    }
}

/// Of scores the lower are worse.
fn score(section: &Section<'_>, common: Option<&HealthSettings>) -> ScoreBand {
    let default = common.map_or_else(ScoreBand::default, |common| common.score);
    let band = ScoreBand {
        enter: section.read("enter", &SCORE, default.enter),
        exit: section.read("exit", &SCORE, default.exit),
    };
    if band.exit > band.enter {
        return band;
    }
    if section.has("exit") {
        let fault = Fault::value(band.exit, format!("more than `enter`, {}", band.enter));
        section.refuse("exit", fault);
    } else if section.has("enter") {
        let fault = Fault::value(band.enter, format!("less than `exit`, {}", band.exit));
        section.refuse("enter", fault);
    }
    band
}
