//! The pictures of a report: SVG of a fixed width, stretched to that of the page. Text stands beside them, in HTML.

use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime};

use super::Period;
use super::ledger::Ledger;
use crate::engine::settings::UplinkSettings;
use crate::samples::{Account, Figure, PlacedSample, SampleBook};
use crate::units::{Loss, UplinkName};

/// Columns of a picture.
const WIDTH: usize = 720;
/// Heights in a plot: of round trips, and from where to where loss stands.
const RTT_HEIGHT: f64 = 58.0;
const LOSS_FROM: f64 = 62.0;
const HEIGHT: f64 = 84.0;

/// What an uplink must not exceed to be healthy, and below what it is again.
#[derive(Clone, Debug, PartialEq)]
pub struct UplinkLimits {
    /// Which uplink.
    pub uplink: UplinkName,
    /// Round trips in milliseconds: enter and exit.
    pub rtt_ms: [f64; 2],
    /// Loss in percent: enter and exit.
    pub loss_percent: [f64; 2],
}

/// The time that a picture shows.
#[derive(Clone, Copy)]
pub(super) struct Axis(pub(super) Period);

impl Axis {
    #[expect(clippy::cast_precision_loss, reason = "some hundred columns")]
    fn x(self, at: SystemTime) -> f64 {
        let since = at.duration_since(self.0.from).unwrap_or_default();
        let share = since.as_secs_f64() / self.0.lasts().as_secs_f64().max(1.0);
        (share * WIDTH as f64).min(WIDTH as f64)
    }

    /// The columns that a time touches, at least one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place within the picture"
    )]
    fn columns(self, span: Period) -> std::ops::Range<usize> {
        let from = (self.x(span.from) as usize).min(WIDTH - 1);
        let to = self.x(span.to).ceil() as usize;
        from..to.max(from + 1)
    }
}

/// What the history tells, and before it what the samples do.
pub(super) struct PictureSource<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) samples: &'a SampleBook,
}

impl UplinkLimits {
    /// Those of the configuration.
    pub fn of(settings: &UplinkSettings) -> Self {
        let health = &settings.health;
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            uplink: settings.name.clone(),
            rtt_ms: [health.latency.enter, health.latency.exit].map(millis),
            loss_percent: [health.loss.enter, health.loss.exit].map(Loss::percent),
        }
    }
}

impl PictureSource<'_> {
    /// The bar of the states of an uplink, and below it that of the traffic that it carried.
    pub(super) fn bar(&self, uplink: &UplinkName, axis: Axis, title: &str) -> String {
        let (mut looks, mut carried) = ([None; WIDTH], [None; WIDTH]);
        for stay in self
            .ledger
            .stays
            .iter()
            .filter(|stay| stay.uplink == *uplink)
        {
            if let Some(span) = stay.span.within(axis.0) {
                paint(
                    &mut looks,
                    axis.columns(span),
                    Some(Account::of(stay.state)),
                );
            }
        }
        for (span, uplinks) in &self.ledger.carried {
            if let Some(span) = span.within(axis.0).filter(|_| uplinks.contains(uplink)) {
                paint(&mut carried, axis.columns(span), Some(()));
            }
        }
        for (span, _) in { self.ledger.carried_in_samples.iter() }.filter(|(_, by)| by == uplink) {
            if let Some(span) = span.within(axis.0) {
                paint(&mut carried, axis.columns(span), Some(()));
            }
        }
        let mut svg = head("bar", 26, title);
        for (from, to, look) in runs(&looks) {
            let (class, y, height) = form(look);
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"{height}\"/>",
                to - from
            );
        }
        for (from, to, ()) in runs(&carried) {
            let _ = write!(
                svg,
                "<rect class=\"carried\" x=\"{from}\" y=\"22\" width=\"{}\" height=\"3\"/>",
                to - from
            );
        }
        svg + "</svg>"
    }

    /// Round trips and loss of an uplink, and what the axes mean; none where nothing was measured.
    pub(super) fn plot(
        &self,
        uplink: &UplinkName,
        limits: Option<&UplinkLimits>,
        axis: Axis,
    ) -> Option<(String, String)> {
        let samples = self.samples.within(axis.0.from, axis.0.to);
        let points = points(samples.filter(|one| one.uplink == uplink), axis);
        let most = |figure: fn(&PlotPoint) -> Option<f64>| {
            let values = points.iter().filter_map(figure);
            values.reduce(f64::max)
        };
        let (rtt, loss) = (most(|point| point.rtt_p95), most(|point| point.loss));
        if rtt.is_none() && loss.is_none() {
            return None;
        }
        let rtt_top = rtt.unwrap_or(1.0).max(1.0) * 1.1;
        let loss_top = loss.unwrap_or(0.0).max(5.0);
        let name = uplink.as_str();
        let text = format!(
            "round trips up to {:.1} ms, loss up to {:.1} %{}",
            rtt.unwrap_or_default(),
            loss.unwrap_or_default(),
            limits.map(limits_text).unwrap_or_default()
        );
        let mut svg = head("plot", 84, &format!("{name}: {text}"));
        let _ = write!(
            svg,
            "<line class=\"rule\" x2=\"{WIDTH}\" y1=\"60\" y2=\"60\"/>"
        );
        for limit in limits.iter().flat_map(|limits| limits.rtt_ms) {
            if limit <= rtt_top {
                let y = RTT_HEIGHT * (1.0 - limit / rtt_top);
                let _ = write!(
                    svg,
                    "<line class=\"limit\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
                );
            }
        }
        for limit in limits.iter().flat_map(|limits| limits.loss_percent) {
            if limit <= loss_top {
                let y = HEIGHT - (HEIGHT - LOSS_FROM) * limit / loss_top;
                let _ = write!(
                    svg,
                    "<line class=\"limit\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
                );
            }
        }
        for point in &points {
            if let Some(loss) = point.loss.filter(|loss| *loss > 0.0) {
                let (from, to) = (axis.x(point.span.from), axis.x(point.span.to));
                let height = ((HEIGHT - LOSS_FROM) * loss / loss_top).max(1.0);
                let _ = write!(
                    svg,
                    "<rect class=\"loss\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                    HEIGHT - height,
                    (to - from).max(0.5)
                );
            }
        }
        for (class, figure) in [
            (
                "p95",
                (|point| point.rtt_p95) as fn(&PlotPoint) -> Option<f64>,
            ),
            ("rtt", |point| point.rtt()),
        ] {
            let path = path(&points, figure, rtt_top, axis);
            let _ = write!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
        }
        for x in self.switches(axis) {
            let _ = write!(
                svg,
                "<line class=\"switch\" x1=\"{x}\" x2=\"{x}\" y2=\"84\"/>"
            );
        }
        Some((svg + "</svg>", text))
    }

    /// The columns in which the traffic moved.
    fn switches(&self, axis: Axis) -> Vec<usize> {
        let within = self
            .ledger
            .switched
            .iter()
            .map(|switch| switch.at)
            .filter(|at| axis.0.contains(*at));
        let mut columns: Vec<_> = within
            .map(|at| axis.columns(Period { from: at, to: at }).start)
            .collect();
        columns.dedup();
        columns
    }
}

fn limits_text(limits: &UplinkLimits) -> String {
    let [[rtt_enter, rtt_exit], [loss_enter, loss_exit]] = [limits.rtt_ms, limits.loss_percent];
    format!(
        "; degraded from {rtt_enter:.0} ms or {loss_enter:.0} % on, healthy again below {rtt_exit:.0} ms and {loss_exit:.0} %"
    )
}

/// The samples in a column as one: the average of the medians, and the worst of the rest.
struct PlotPoint {
    span: Period,
    medians: [f64; 2],
    rtt_p95: Option<f64>,
    loss: Option<f64>,
}

impl PlotPoint {
    fn rtt(&self) -> Option<f64> {
        let [sum, count] = self.medians;
        (count > 0.0).then(|| sum / count)
    }

    fn add(&mut self, one: &PlacedSample<'_>) {
        self.span.to = one.from + one.lasts;
        if let Some(median) = one.sample.figure(Figure::Rtt) {
            self.medians = [self.medians[0] + median, self.medians[1] + 1.0];
        }
        let worst = |known: Option<f64>, figure| match (known, one.sample.figure(figure)) {
            (Some(known), Some(new)) => Some(f64::max(known, new)),
            (known, new) => known.or(new),
        };
        self.rtt_p95 = worst(self.rtt_p95, Figure::RttP95);
        self.loss = worst(self.loss, Figure::Loss);
    }
}

/// Samples of an uplink, the oldest first, by columns.
fn points<'a>(samples: impl Iterator<Item = PlacedSample<'a>>, axis: Axis) -> Vec<PlotPoint> {
    let mut points: Vec<PlotPoint> = Vec::new();
    let mut before = None;
    for one in samples {
        let (from, to) = (one.from, one.from);
        let column = Some(axis.columns(Period { from, to }).start);
        match points.last_mut() {
            Some(last) if before == column && last.span.to == from => last.add(&one),
            Some(_) | None => {
                let mut point = PlotPoint {
                    span: Period { from, to },
                    medians: [0.0; 2],
                    rtt_p95: None,
                    loss: None,
                };
                point.add(&one);
                points.push(point);
            }
        }
        before = column;
    }
    points
}

/// A line through a figure, broken where nothing was measured.
fn path(
    points: &[PlotPoint],
    figure: fn(&PlotPoint) -> Option<f64>,
    top: f64,
    axis: Axis,
) -> String {
    let (mut path, mut end) = (String::new(), None);
    for point in points {
        let Some(value) = figure(point) else {
            continue;
        };
        let Period { from, to } = point.span;
        let go = if end == Some(from) { 'L' } else { 'M' };
        let x = axis.x(from + point.span.lasts() / 2);
        let y = RTT_HEIGHT * (1.0 - value / top);
        let _ = write!(path, "{go}{x:.1} {y:.1}");
        if go == 'M' {
            // A single point is seen, too.
            path.push_str("h.1");
        }
        end = Some(to);
    }
    path
}

fn head(class: &str, height: u32, title: &str) -> String {
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"none\" role=\"img\">\
         <title>{}</title>",
        escaped(title)
    )
}

/// Class, top and height of an account: an outage stands out by its height, too.
pub(super) const fn form(account: Account) -> (&'static str, u32, u32) {
    match account {
        Account::Idle => ("idle", 11, 2),
        Account::Up => ("up", 5, 14),
        Account::Degraded => ("degraded", 5, 14),
        Account::Planned => ("planned", 9, 6),
        Account::Outage => ("outage", 0, 20),
    }
}

/// The greatest of what a column shows counts.
fn paint<T: Copy + Ord>(
    columns: &mut [Option<T>; WIDTH],
    touched: std::ops::Range<usize>,
    look: Option<T>,
) {
    for column in &mut columns[touched] {
        *column = look.max(*column);
    }
}

/// Columns of one kind, as begin and end.
fn runs<T: Copy + PartialEq>(columns: &[Option<T>; WIDTH]) -> Vec<(usize, usize, T)> {
    let mut runs: Vec<(usize, usize, T)> = Vec::new();
    for (place, look) in columns.iter().enumerate() {
        let Some(look) = *look else { continue };
        match runs.last_mut() {
            Some((_, to, last)) if *to == place && *last == look => *to += 1,
            Some(_) | None => runs.push((place, place + 1, look)),
        }
    }
    runs
}

/// A text that HTML shows as it is.
pub(super) fn escaped(text: impl Display) -> String {
    let mut safe = String::new();
    for c in text.to_string().chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
