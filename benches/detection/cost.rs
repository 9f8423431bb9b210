//! What the engine costs: outcomes a second on one core, memory for each target.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use uplinkd::engine::Engine;
use uplinkd::engine::action::Action;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::replay::attached;
use uplinkd::units::Moment;

use crate::demands::Demands;
use crate::link::Link;
use crate::link::Process;
use crate::ours::{Tuning, settings};
use crate::report::say;

/// The fastest of so many parts counts: other programs on the machine only slow it down.
const PARTS: u32 = 10;
const OUTCOMES: u32 = 400_000;

/// Engines that are built to measure the memory of one.
const ENGINES: u32 = 300;
const TARGETS: u32 = 6;

/// Measures, prints and judges.
pub(crate) fn print(demands: &mut Demands) {
    let per_second = outcomes_per_second();
    say(&format!(
        "Engine: {:.2} million probe outcomes a second",
        per_second / 1e6
    ));
    demands.at_least("million probe outcomes a second", per_second / 1e6, 2.0);
    if let Some(bytes) = bytes_per_target() {
        say(&format!(
            "State: {bytes:.0} bytes a target, its share of the uplink included"
        ));
        demands.at_most("bytes of state a target", bytes, 4096.0);
    }
    say("");
}

/// The engine alone, on a link that loses 1 %: no world, no queue of answers.
fn outcomes_per_second() -> f64 {
    let mut engine = engine();
    let fates = fates(0.01, 1);
    let part = |_| {
        let begin = cpu_seconds();
        drive(&mut engine, &fates, OUTCOMES);
        f64::from(OUTCOMES) / (cpu_seconds() - begin)
    };
    (0..PARTS).map(part).fold(0.0, f64::max)
}

/// Round trips and losses, made beforehand so that only the engine is measured.
fn fates(loss: f64, seed: u64) -> Vec<Option<Duration>> {
    let mut link = Link::new(Process::Independent { loss }, 0.012, seed);
    let answers = (0..4096).map(|_| link.answer(0, 0.0));
    answers
        .map(|rtt| rtt.map(Duration::from_secs_f64))
        .collect()
}

/// The CPU time of this process, independent of other programs.
fn cpu_seconds() -> f64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map_or(f64::NAN, |time| Duration::from(time).as_secs_f64())
}

/// Answers each probe at once, until there were so many outcomes.
fn drive(engine: &mut Engine, fates: &[Option<Duration>], outcomes: u32) {
    let mut now = Moment::START;
    let mut orders = Vec::new();
    let mut count = 0;
    let mut fates = fates.iter().cycle();
    while count < outcomes {
        now = engine.poll_timeout().map_or(now, |at| now.max(at));
        engine.handle_timeout(now);
        while let Some(action) = engine.poll_action() {
            if let Action::Probe(order) = action {
                orders.push(order);
            }
        }
        for order in orders.drain(..) {
            count += 1;
            if let Some(Some(rtt)) = fates.next() {
                let input = Input::Probe {
                    uplink: order.uplink,
                    id: order.id,
                    outcome: ProbeOutcome::Reply(*rtt),
                };
                engine.handle_input(now, input);
            }
        }
    }
}

fn engine() -> Engine {
    let settings = settings(Tuning::steady(Duration::from_secs(1)));
    let names: Vec<_> = settings.uplinks.iter().map(|u| u.name.clone()).collect();
    let mut engine = Engine::new(settings, Moment::START);
    for (place, uplink) in (1..).zip(names) {
        let attachment = attached(place);
        engine.handle_input(Moment::START, Input::Attachment { uplink, attachment });
    }
    engine
}

/// By how much the resident memory grows with each engine that has probed for a while.
fn bytes_per_target() -> Option<f64> {
    let before = resident_bytes()?;
    let mut engines = Vec::new();
    for seed in 0..ENGINES {
        let mut engine = engine();
        let fates = fates(0.05, u64::from(seed));
        drive(&mut engine, &fates, 3000);
        engines.push(engine);
    }
    let grown = resident_bytes()? - before;
    drop(engines);
    Some(grown / f64::from(ENGINES * TARGETS))
}

/// proc(5): the second field of statm, in pages of 4 KiB.
fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u32 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(f64::from(pages) * 4096.0)
}
