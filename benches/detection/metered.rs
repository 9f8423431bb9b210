//! What a metered uplink's probes cost in a month, and how soon its outages are noticed then.

use std::time::Duration;

use uplinkd::config::defaults::PROBE_BUDGET;
use uplinkd::engine::budget::{PERIOD, cost, plan};
use uplinkd::engine::state::State;

use crate::chance::Chance;
use crate::demands::Demands;
use crate::link::{Link, Process, Trouble};
use crate::ours::{Delays, Tuning, Watch, settings};
use crate::report::{count, say, seconds};

const LINKS: [(&str, Process); 4] = [
    ("independent 1 %", Process::Independent { loss: 0.01 }),
    (
        "bursts 600 ms, 2.8 %",
        Process::Bursts {
            mean: 0.6,
            share: 0.028,
        },
    ),
    (
        "bursts 2 s, 1.6 %",
        Process::Bursts {
            mean: 2.0,
            share: 0.016,
        },
    ),
    ("LTE handovers", Process::Handover),
];

/// Months and outages of a metered uplink that carries the traffic, with nothing flowing: traffic
/// would both save probes and tell of outages sooner.
pub(crate) fn print(is_quick: bool, demands: &mut Demands) {
    let tuning = Tuning {
        budget: Some(PROBE_BUDGET),
        ..Tuning::steady(Duration::from_secs(1))
    };
    let (months, outages) = if is_quick { (1, 50) } else { (3, 500) };
    let uplink = &settings(tuning).uplinks[0];
    let each = cost(&uplink.probe.targets[0], &uplink.probe);
    if let Some(plan) = plan(uplink) {
        say(&format!(
            "Metered, {PROBE_BUDGET} in 30 days: a probe costs {each} bytes at most, one every {:.1} s; \
             suspected within {:.1} s",
            plan.every.as_secs_f64(),
            plan.suspected_within.as_secs_f64()
        ));
    }
    for (name, process) in LINKS {
        let mut watch = Watch::new(tuning, Link::new(process, 0.05, 3));
        let mut worst = 0.0_f64;
        let mut downs = 0;
        for _ in 0..months {
            let before = watch.probes();
            let events = watch.pass(PERIOD);
            downs += events.iter().filter(|(_, to)| *to == State::Down).count();
            let probes = usize::try_from(watch.probes() - before).unwrap_or(usize::MAX);
            let bytes = count(probes) * count(usize::try_from(each).unwrap_or(usize::MAX));
            worst = worst.max(bytes / 1e6);
        }
        let delays = delays(&mut watch, outages);
        say(&format!(
            "  {name:<22} {worst:>5.1} MB in the dearest of {months}, {downs} false outages; blackhole p50 {} p99 {}",
            seconds(delays.median()),
            seconds(delays.quantile(0.99))
        ));
        demands.at_most(&format!("metered, {name}: MB in 30 days"), worst, 50.0);
    }
    say("");
}

fn delays(watch: &mut Watch, outages: u32) -> Delays {
    let mut chance = Chance::new(7);
    let delays = (0..outages).map(|_| {
        watch.pass_until_up(Duration::from_secs_f64(chance.between(60.0, 120.0)));
        watch.delay(Trouble::Dead)
    });
    Delays::new(delays.collect())
}
