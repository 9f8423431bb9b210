//! The demands on the figures, and whether they are met.

use std::time::Duration;

use crate::link::Process;
use crate::ours::Figures;
use crate::report::{Comparison, count, say};
use crate::traffic::Habit;

/// All demands with what was found.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    lines: Vec<(bool, String)>,
}

/// The demands on a row at an interval: name, milliseconds, false verdicts in 30 days, p50, p99.
struct Demand(&'static str, u128, Option<f64>, Option<f64>, Option<f64>);

const DEMANDS: [Demand; 6] = [
    Demand("independent 1 %", 1000, Some(1.0), Some(1.1), Some(1.7)),
    Demand("independent 1 %", 200, Some(1.0), Some(0.65), None),
    Demand("independent 5 %", 1000, Some(1.0), Some(1.2), Some(1.8)),
    Demand("bursts 150 ms, 2 %", 1000, Some(1.0), Some(2.5), Some(3.1)),
    Demand("bursts 600 ms, 2.8 %", 1000, Some(1.0), Some(8.0), None),
    Demand("bursts 2 s, 1.6 %", 1000, None, None, Some(10.5)),
];

/// Probes in an hour on a clean link at 1 s.
const PROBES: f64 = 4300.0;

impl Demands {
    /// Adds a demand and what was found.
    pub(crate) fn at_most(&mut self, what: &str, found: f64, most: f64) {
        self.note(
            found <= most,
            format!("{what} {found:.2}, must be at most {most}"),
        );
    }

    /// The same with a lower bound.
    pub(crate) fn at_least(&mut self, what: &str, found: f64, least: f64) {
        self.note(
            found >= least,
            format!("{what} {found:.2}, must be at least {least}"),
        );
    }

    /// The demands on a row.
    pub(crate) fn detection(&mut self, name: &str, interval: Duration, figures: &Figures) {
        let mut demands = DEMANDS.iter();
        let demand = demands.find(|demand| demand.0 == name && demand.1 == interval.as_millis());
        let Some(Demand(.., downs, p50, p99)) = demand else {
            return;
        };
        let at = format!("{name}, {} s:", interval.as_secs_f64());
        if let Some(most) = downs {
            let found = figures.downs_per_month();
            self.at_most(&format!("{at} false verdicts in 30 days"), found, *most);
        }
        for (share, most) in [(0.5, p50), (0.99, p99)] {
            if let Some(most) = most {
                let found = figures.blackhole.quantile(share);
                self.at_most(
                    &format!("{at} blackhole p{:.0}", share * 100.0),
                    found,
                    *most,
                );
            }
        }
        if name == "independent 1 %" && interval == Duration::from_secs(1) {
            self.at_most(
                &format!("{at} 30 % loss p50"),
                figures.loss_30.median(),
                4.0,
            );
            self.at_most(
                &format!("{at} probes an hour"),
                figures.probes_per_hour,
                PROBES,
            );
        }
    }

    /// The demands under traffic: no more false verdicts than are accepted; an outage during a call on a
    /// link without bursts is found within half a second, in noise within 1.2 s.
    pub(crate) fn traffic(&mut self, name: &str, habit: Habit, process: Process, found: &Figures) {
        let months = f64::from(found.days) / 30.0;
        // In a few days one is the least that can be counted.
        let most = (1.0 / months).max(1.0);
        self.at_most(
            &format!("{name}: false verdicts in 30 days"),
            found.downs_per_month(),
            most,
        );
        self.at_most(
            &format!("{name}: false verdicts of bad quality in 30 days"),
            found.degradeds_per_month(),
            most,
        );
        let is_call = matches!(habit, Habit::Stream | Habit::StreamInNoise);
        if is_call && matches!(process, Process::Independent { .. }) {
            let (median, worst) = (found.blackhole.median(), found.blackhole.quantile(1.0));
            if habit == Habit::Stream {
                self.at_most(&format!("{name}: blackhole p50"), median, 0.5);
            }
            self.at_most(&format!("{name}: blackhole, worst"), worst, 1.2);
        }
    }

    /// No slower than the best peer on any row, and 1.5 times as fast on half of them. The oracle's delay
    /// stands beside: where the best come close to it, chance decides.
    pub(crate) fn comparison(&mut self, interval: Duration, comparisons: &[Comparison]) {
        let at = format!("{} s", interval.as_secs_f64());
        let mut clear = 0;
        for comparison in comparisons {
            let row = comparison.row.name;
            let [blackhole, loss] = comparison.ratios();
            clear += usize::from(blackhole >= 1.5) + usize::from(loss >= 1.5);
            let [ours, _] = comparison.ours;
            let bound = comparison.bound;
            self.at_least(
                &format!(
                    "{row}, {at} (ours {ours:.2} s, oracle {bound:.2} s): best peer/ours, blackhole"
                ),
                blackhole,
                1.0,
            );
            self.at_least(
                &format!("{row}, {at}: best peer/ours, 30 % loss"),
                loss,
                1.0,
            );
        }
        let half = count(comparisons.len());
        self.at_least(
            &format!("{at}: rows with best peer/ours of 1.5"),
            count(clear),
            half,
        );
    }

    /// Prints all demands.
    pub(crate) fn print(&self) {
        say("What the figures must keep");
        for (is_kept, line) in &self.lines {
            let word = if *is_kept { "ok  " } else { "FAIL" };
            say(&format!("  {word} {line}"));
        }
        let failed = self.lines.iter().filter(|(is_kept, _)| !is_kept).count();
        say(&format!("  {failed} of {} not kept", self.lines.len()));
    }

    fn note(&mut self, is_kept: bool, line: String) {
        self.lines.push((is_kept, line));
    }
}
