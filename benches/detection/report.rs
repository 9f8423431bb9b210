//! The tables.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use crate::ours::{Delays, Extent, Figures};
use crate::rows::Row;

/// A line on standard output; a reader that has seen enough ends the program.
pub(crate) fn say(line: &str) {
    if writeln!(io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// A span in seconds as the tables show it.
pub(crate) fn seconds(span: f64) -> String {
    if span.is_nan() {
        "-".to_owned()
    } else if span.is_infinite() {
        "never".to_owned()
    } else if span < 10.0 {
        format!("{span:.2} s")
    } else {
        format!("{span:.1} s")
    }
}

/// A count as a number to compare.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn count(count: usize) -> f64 {
    count as f64
}

/// The head of the main table.
pub(crate) fn head(interval: Duration, extent: Extent) {
    say(&format!(
        "Steady interval {} s: {} times {} days for false verdicts, {} outages, {} changes for the worse",
        interval.as_secs_f64(),
        extent.lives,
        extent.days,
        extent.outages,
        extent.changes
    ));
    say(&format!(
        "  {:<22}{:>8}{:>8}{:>10}{:>9}{:>9}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "",
        "down",
        "useless",
        "degraded",
        "felt",
        "probes",
        "blackhole",
        "",
        "30 %",
        "",
        "50 %",
        ""
    ));
    say(&format!(
        "  {:<22}{:>8}{:>8}{:>10}{:>9}{:>9}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "ours",
        "/30 d",
        "/30 d",
        "/30 d",
        "s/day",
        "/hour",
        "p50",
        "p99",
        "p50",
        "p99",
        "p50",
        "p99"
    ));
}

/// One line of the main table.
pub(crate) struct Line<'a> {
    pub(crate) row: &'a Row,
    pub(crate) figures: &'a Figures,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.figures;
        write!(
            f,
            "  {:<22}{:>8.1}{:>8.1}{:>10.1}{:>9.1}{:>9.0}",
            self.row.name,
            figures.downs_per_month(),
            figures.useless_per_month(),
            figures.degradeds_per_month(),
            figures.felt_per_day(),
            figures.probes_per_hour
        )?;
        write!(f, " ")?;
        for delays in [&figures.blackhole, &figures.loss_30, &figures.loss_50] {
            let p99 = seconds(delays.quantile(0.99));
            write!(f, "{:>9}{p99:>9}", seconds(delays.median()))?;
        }
        Ok(())
    }
}

/// The head of the table of traffic.
pub(crate) fn traffic_head() {
    say(&format!(
        "  {:<32}{:>8}{:>8}{:>10}{:>9}{:>9}{:>11}{:>9}{:>9}",
        "", "down", "useless", "degraded", "felt", "probes", "blackhole", "p99", "worst"
    ));
}

/// One line of it.
pub(crate) fn traffic(name: &str, figures: &Figures) {
    let delay = |share| seconds(figures.blackhole.quantile(share));
    say(&format!(
        "  {name:<32}{:>8.1}{:>8.1}{:>10.1}{:>9.1}{:>9.0}{:>11}{:>9}{:>9}",
        figures.downs_per_month(),
        figures.useless_per_month(),
        figures.degradeds_per_month(),
        figures.felt_per_day(),
        figures.probes_per_hour,
        delay(0.5),
        delay(0.99),
        delay(1.0)
    ));
}

/// Ours and the peers on one link.
pub(crate) struct Comparison {
    pub(crate) row: Row,
    /// Blackhole and 30 % loss, p50.
    pub(crate) ours: [f64; 2],
    pub(crate) peers: Vec<Peer>,
    /// What an oracle would take for a blackhole.
    pub(crate) bound: f64,
}

/// What a peer's rule was tuned to.
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) threshold: usize,
    pub(crate) blackhole: Delays,
    pub(crate) loss_30: Delays,
}

impl Peer {
    fn medians(&self) -> [f64; 2] {
        [self.blackhole.median(), self.loss_30.median()]
    }
}

impl Comparison {
    /// How many times as long the best peer takes, for blackhole and 30 % loss.
    pub(crate) fn ratios(&self) -> [f64; 2] {
        [0, 1].map(|measure| self.best(measure) / self.ours[measure])
    }

    fn best(&self, measure: usize) -> f64 {
        let medians = self.peers.iter().map(|peer| peer.medians()[measure]);
        medians.fold(f64::INFINITY, f64::min)
    }

    fn best_name(&self, measure: usize) -> String {
        let mut peers = self.peers.iter();
        peers
            .find(|peer| peer.medians()[measure] <= self.best(measure))
            .map_or_else(String::new, |peer| {
                format!("{} at {}", peer.name, peer.threshold)
            })
    }

    fn of(&self, start: &str) -> [f64; 2] {
        let family = self
            .peers
            .iter()
            .filter(|peer| peer.name.starts_with(start));
        family
            .map(Peer::medians)
            .fold([f64::INFINITY; 2], |best, next| {
                [best[0].min(next[0]), best[1].min(next[1])]
            })
    }
}

/// The families of rules, by how their names begin.
const FAMILIES: [(&str, &str); 5] = [
    ("k in a row", "k in a row"),
    ("k of n", "k of"),
    ("dpinger", "dpinger"),
    ("mwan3", "mwan3"),
    ("EWMA", "mean"),
];

/// The peers beside ours.
pub(crate) fn comparisons(interval: Duration, comparisons: &[Comparison]) {
    say("");
    say(&format!(
        "Tuned by hand to the same false verdicts and probes as ours at {} s: blackhole p50 / 30 % loss p50",
        interval.as_secs_f64()
    ));
    let names = FAMILIES.map(|(name, _)| format!("{name:>17}"));
    say(&format!(
        "  {:<22}{:>7}{:>17}{}   best peer/ours",
        "",
        "oracle",
        "ours",
        names.concat()
    ));
    for comparison in comparisons {
        let families = FAMILIES.map(|(_, start)| pair(comparison.of(start)));
        let [blackhole, loss] = comparison.ratios();
        say(&format!(
            "  {:<22}{:>7.2}{}{}   {blackhole:.2} ({}) / {loss:.2} ({})",
            comparison.row.name,
            comparison.bound,
            pair(comparison.ours),
            families.concat(),
            comparison.best_name(0),
            comparison.best_name(1)
        ));
    }
    say("");
}

fn pair([blackhole, loss]: [f64; 2]) -> String {
    let text = format!("{} / {}", seconds(blackhole), seconds(loss)).replace(" s", "");
    format!("{text:>17}")
}
