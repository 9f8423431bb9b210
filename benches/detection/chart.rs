//! The delay of a true verdict against the rate of false ones, as a drawing.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use crate::link::{Process, Trouble};
use crate::ours::{self, Extent, Figures, Tuning};
use crate::peers::{self, Alarms, Trial};
use crate::rows::{ROWS, Row};

/// The rows that are drawn.
const PANELS: [&str; 4] = [
    "independent 1 %",
    "independent 5 %",
    "bursts 150 ms, 2 %",
    "bursts 600 ms, 2.8 %",
];

/// What a switch costs, in milliseconds without traffic.
const SENSITIVITIES: [u64; 5] = [100, 500, 2_000, 5_000, 10_000];

/// The peers' rules that are drawn, by name, and their colours.
const PEERS: [(&str, &str); 5] = [
    ("k in a row", "#d95f02"),
    ("k of 12", "#7570b3"),
    ("dpinger: share of 60 s", "#66a61e"),
    ("mwan3 counter", "#a6761d"),
    ("mean, weight 1/8", "#e7298a"),
];

const OURS: (&str, &str) = ("uplinkd, by sensitivity", "#1f4e9c");

const PANEL_WIDTH: f64 = 430.0;
const PANEL_HEIGHT: f64 = 300.0;
const MARGIN: f64 = 60.0;

/// A curve: false verdicts in 30 days, and the median delay in seconds.
struct Curve {
    colour: &'static str,
    is_ours: bool,
    points: Vec<(f64, f64)>,
}

/// Draws it.
pub(crate) fn write(path: &Path, is_quick: bool) -> io::Result<()> {
    let extent = Extent {
        lives: 1,
        days: if is_quick { 1 } else { 15 },
        outages: 0,
        changes: if is_quick { 20 } else { 100 },
        seed: 1,
    };
    let mut body = String::new();
    for (place, name) in (0_u32..).zip(PANELS) {
        let row = ROWS.iter().find(|row| row.name == name);
        if let Some(row) = row {
            let left = f64::from(place % 2) * (PANEL_WIDTH + MARGIN) + MARGIN;
            let top = f64::from(place / 2) * (PANEL_HEIGHT + MARGIN * 1.4) + MARGIN;
            body += &panel(row, extent, left, top);
        }
    }
    body += &legend();
    let width = 2.0 * (PANEL_WIDTH + MARGIN) + MARGIN;
    let height = 2.0 * (PANEL_HEIGHT + MARGIN * 1.4) + MARGIN * 2.2;
    let style = "font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\"";
    fs::write(
        path,
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" {style}>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
        ),
    )
}

fn panel(row: &Row, extent: Extent, left: f64, top: f64) -> String {
    let mut text = format!(
        "<g transform=\"translate({left} {top})\">\n<text y=\"-8\" font-weight=\"bold\">{}</text>\n",
        row.name
    );
    text += &grid();
    let (own, interval) = own(row.process, extent);
    let mut curves: Vec<_> = PEERS
        .iter()
        .map(|(name, colour)| peer(row.process, interval, extent, name, colour))
        .collect();
    curves.push(own);
    for curve in &curves {
        text += &curve.draw();
    }
    text + "</g>\n"
}

/// Ours, and the interval at which a peer spends as many probes.
fn own(process: Process, extent: Extent) -> (Curve, f64) {
    let figures = SENSITIVITIES.map(|millis| {
        let tuning = Tuning {
            switch_cost: Duration::from_millis(millis),
            ..Tuning::steady(Duration::from_secs(1))
        };
        ours::trade_off(process, tuning, extent)
    });
    let probes = figures.iter().map(|f| f.probes_per_hour);
    let most = probes.fold(0.0, f64::max);
    let point = |figures: &Figures| (figures.downs_per_month(), figures.blackhole.median());
    let curve = Curve {
        colour: OURS.1,
        is_ours: true,
        points: figures.iter().map(point).collect(),
    };
    (curve, 3600.0 / most)
}

fn peer(
    process: Process,
    interval: f64,
    extent: Extent,
    name: &str,
    colour: &'static str,
) -> Curve {
    let rules = peers::rules(interval);
    let named = rules.into_iter().filter(|rule| rule.name == name);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for named in named {
        let alarms = Alarms::of(&named.rule, process, interval, extent.days);
        for (threshold, count) in alarms.counts() {
            let per_month = f64::from(count) * 30.0 / f64::from(extent.days);
            let is_new = points.last().is_none_or(|(last, _)| *last > per_month);
            if is_new {
                let trial = Trial {
                    process,
                    interval,
                    threshold,
                    count: extent.changes,
                };
                let delays = trial.delays(&named.rule, Trouble::Dead);
                points.push((per_month, delays.median()));
            }
        }
    }
    Curve {
        colour,
        is_ours: false,
        points,
    }
}

impl Curve {
    fn draw(&self) -> String {
        let shown = self.points.iter().filter(|(_, delay)| delay.is_finite());
        let places: Vec<_> = shown.map(|(rate, delay)| (x(*rate), y(*delay))).collect();
        let line: Vec<_> = places
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let (colour, width) = (self.colour, if self.is_ours { 2.5 } else { 1.2 });
        let mut parts = vec![format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n",
            line.join(" ")
        )];
        let radius = width + 0.8;
        parts.extend(places.iter().map(|(x, y)| {
            format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>\n")
        }));
        parts.concat()
    }
}

/// A rate of none stands at the left edge, as a tenth in 30 days.
const RATES: (f64, f64) = (0.1, 100_000.0);
const DELAYS: (f64, f64) = (0.2, 50.0);

fn x(rate: f64) -> f64 {
    (rate.clamp(RATES.0, RATES.1) / RATES.0).log10() / (RATES.1 / RATES.0).log10() * PANEL_WIDTH
}

fn y(delay: f64) -> f64 {
    let share =
        (delay.clamp(DELAYS.0, DELAYS.1) / DELAYS.0).log10() / (DELAYS.1 / DELAYS.0).log10();
    PANEL_HEIGHT * (1.0 - share)
}

fn grid() -> String {
    let frame = format!("width=\"{PANEL_WIDTH}\" height=\"{PANEL_HEIGHT}\"");
    let mut parts = vec![format!("<rect {frame} fill=\"none\" stroke=\"#999\"/>\n")];
    for rate in [0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0] {
        let label = if rate < 1.0 {
            "none".to_owned()
        } else {
            rate.to_string()
        };
        let (x, bottom) = (x(rate), PANEL_HEIGHT + 14.0);
        parts.push(format!(
            "<path d=\"M{x:.1} 0V{PANEL_HEIGHT}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{x:.1}\" y=\"{bottom}\" text-anchor=\"middle\">{label}</text>\n"
        ));
    }
    for delay in [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0] {
        let (y, below) = (y(delay), y(delay) + 4.0);
        parts.push(format!(
            "<path d=\"M0 {y:.1}H{PANEL_WIDTH}\" stroke=\"#e4e4e4\"/>\
             <text x=\"-6\" y=\"{below:.1}\" text-anchor=\"end\">{delay} s</text>\n"
        ));
    }
    parts.push(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">false verdicts in 30 days</text>\n",
        PANEL_WIDTH / 2.0,
        PANEL_HEIGHT + 30.0
    ));
    parts.concat()
}

fn legend() -> String {
    let top = 2.0 * (PANEL_HEIGHT + MARGIN * 1.4) + MARGIN;
    let mut parts = vec![format!(
        "<text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">Median delay until an outage is found, \
         against false verdicts, at the same number of probes</text>\n"
    )];
    for (place, (name, colour)) in (0_u32..).zip(PEERS.iter().chain([&OURS])) {
        let left = MARGIN + f64::from(place) * 160.0;
        parts.push(format!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{name}</text>\n",
            left + 17.0,
            top + 10.0
        ));
    }
    parts.concat()
}
