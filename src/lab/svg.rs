//! A picture of a run: what became of each packet of the client, which uplink carried, and when.
//!
//! ```text
//!   title                                        legend
//!              fault        detected, switch          labels, each at a line
//!   client     ||||||||||||.........|||||||||||||     packets received and lost, a column for some
//!   fiber      =====================                  the uplink that carries; broken ones shaded
//!   lte                             =============
//!              0 s        0.5 s       1 s             from the first fault
//! ```
//! Pure. Colours follow the reader's scheme, light or dark; no font, script or file from elsewhere.

use std::fmt::Write;
use std::time::Duration;

use crate::engine::event::EventKind;
use crate::lab::family::LabFamily;
use crate::lab::network::UPLINKS;
use crate::lab::report::{LabReport, ScenarioRunReport, TimelineEntry, TimelineNote};
use crate::lab::scenario::UplinkFault;
use crate::lab::stream::PACE;
use crate::units::Moment;

const WIDTH: f64 = 900.0;
/// Where the time axis begins and ends.
const LEFT: f64 = 92.0;
const RIGHT: f64 = 876.0;
/// Between two lines of labels, and the most there are.
const LABEL_PITCH: f64 = 18.0;
const LABEL_LINES: usize = 4;
/// Of the heading, above the labels.
const HEADING: f64 = 66.0;
/// What follows is counted from the top of the client's packets.
const CLIENT_HEIGHT: f64 = 48.0;
const LANES: f64 = 70.0;
const LANE: f64 = 20.0;
const LANE_PITCH: f64 = 30.0;
const AXIS: f64 = LANES + 3.0 * LANE_PITCH;
const BELOW: f64 = AXIS + 36.0;
/// A column of packets with the space behind it.
const COLUMN: f64 = 4.0;
/// Of a label, on average.
const LETTER: f64 = 6.7;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1f2328}\
.h{font-size:16px;font-weight:600}.m{fill:#59636e}.e{text-anchor:end}.c{text-anchor:middle}\
.bg{fill:#fff;stroke:#d1d9e0}.ok{fill:#2470c8}.lost{fill:#d1242f}.track{fill:#59636e;opacity:.12}\
.cut{fill:#d1242f;opacity:.16}.t{stroke:#59636e;opacity:.35}.k{stroke:#1f2328;stroke-dasharray:2 3}\
.fault{fill:#d1242f;font-weight:600}.good{fill:#2470c8;font-weight:600}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.m{fill:#9198a1}.bg{fill:#0d1117;stroke:#3d444d}\
.ok{fill:#58a6ff}.lost{fill:#ff6b61}.track{fill:#9198a1;opacity:.16}.cut{fill:#ff6b61;opacity:.22}\
.t{stroke:#9198a1}.k{stroke:#e6edf3}.fault{fill:#ff6b61}.good{fill:#58a6ff}}";

/// The first run of a report as an SVG document.
pub fn draw(report: &LabReport) -> String {
    let Some(run) = report.runs.first() else {
        return String::new();
    };
    let picture = Picture::new(run, &report.about);
    let labels = picture.labels();
    let lines = labels.iter().filter_map(|label| label.line);
    let lines = lines.max().map_or(0, |line| line + 1);
    let top = HEADING + LABEL_PITCH * index(lines) + 8.0;
    let height = top + BELOW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"bg\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        WIDTH - 1.0,
        height - 1.0,
        title = escaped(picture.title),
    );
    svg.push_str(&picture.heading());
    let _ = writeln!(svg, "<g transform=\"translate(0 {top})\">");
    svg.extend([picture.lanes(), picture.packets(), picture.axis()]);
    svg.extend(labels.iter().map(|label| label.drawn(lines)));
    svg.push_str("</g>\n");
    svg.push_str("</svg>\n");
    svg
}

/// Something that happened at one moment.
#[derive(Clone, Debug, PartialEq)]
struct Mark {
    at: Moment,
    class: &'static str,
    text: String,
}

struct Picture<'r> {
    run: &'r ScenarioRunReport,
    title: &'r str,
    /// The moment that the axis calls zero.
    zero: Moment,
    marks: Vec<Mark>,
    faults: Vec<(Moment, UplinkFault)>,
}

impl<'r> Picture<'r> {
    fn new(run: &'r ScenarioRunReport, title: &'r str) -> Self {
        let faults: Vec<_> = timeline(run)
            .filter_map(|(at, entry)| match &entry.note {
                TimelineNote::Lab { fault, .. } => Some((at, fault.clone()?)),
                TimelineNote::Agent(_)
                | TimelineNote::AgentSilent
                | TimelineNote::Kernel { .. }
                | TimelineNote::Client(_)
                | TimelineNote::Client6(_) => None,
            })
            .collect();
        let start = run
            .phases
            .first()
            .map_or(Moment::START, |phase| phase.start);
        Self {
            run,
            title,
            zero: faults.first().map_or(start, |(at, _)| *at),
            marks: marks(run),
            faults,
        }
    }

    fn heading(&self) -> String {
        let title = escaped(self.title);
        let worst = { self.run.phases.iter() }
            .map(|phase| phase.traffic)
            .max_by_key(|traffic| traffic.gap)
            .unwrap_or_default();
        let below = format!(
            "{} ms without traffic, {} packets lost; one packet every {} ms",
            worst.gap.as_millis(),
            worst.lost,
            PACE.as_millis()
        );
        let legend = RIGHT - 130.0;
        format!(
            "<text class=\"h\" x=\"24\" y=\"34\">{title}</text>\n\
             <text class=\"m\" x=\"24\" y=\"55\">{below}</text>\n\
             <rect class=\"ok\" x=\"{legend}\" y=\"46\" width=\"10\" height=\"10\" rx=\"2\"/>\
             <text class=\"m\" x=\"{}\" y=\"55\">received</text>\
             <rect class=\"lost\" x=\"{}\" y=\"46\" width=\"10\" height=\"10\" rx=\"2\"/>\
             <text class=\"m e\" x=\"{RIGHT}\" y=\"55\">lost</text>\n",
            legend + 15.0,
            RIGHT - 37.0,
        )
    }

    /// One column for the packets of a few milliseconds: received from below, lost on top.
    fn packets(&self) -> String {
        let (mut received, mut lost) = (String::new(), String::new());
        let mut packets = self.run.trace.packets.iter().peekable();
        let mut left = LEFT;
        while left + COLUMN <= RIGHT {
            let (mut all, mut answered) = (0_u32, 0_u32);
            while let Some((_, is_answered)) =
                packets.next_if(|(at, _)| self.x(*at) < left + COLUMN)
            {
                all += 1;
                answered += u32::from(*is_answered);
            }
            if all > 0 {
                let height = CLIENT_HEIGHT * f64::from(answered) / f64::from(all);
                let top = CLIENT_HEIGHT - height;
                column(&mut received, left, top, height);
                column(&mut lost, left, 0.0, CLIENT_HEIGHT - height);
            }
            left += COLUMN;
        }
        format!(
            "<text class=\"m e\" x=\"{}\" y=\"{}\">client</text>\n\
             <path class=\"ok\" d=\"{received}\"/>\n<path class=\"lost\" d=\"{lost}\"/>\n",
            LEFT - 12.0,
            CLIENT_HEIGHT / 2.0 + 4.0,
        )
    }

    fn lanes(&self) -> String {
        let mut svg = String::new();
        for (uplink, top) in UPLINKS
            .into_iter()
            .zip((0..).map(|n| LANES + f64::from(n) * LANE_PITCH))
        {
            let text = (LEFT - 12.0, top + LANE / 2.0 + 4.0);
            let _ = writeln!(
                svg,
                "<text class=\"m e\" x=\"{}\" y=\"{}\">{uplink}</text>{}",
                text.0,
                text.1,
                bar("track", LEFT, RIGHT, top + LANE / 2.0 - 2.0, 4.0),
            );
            for (from, to) in self.broken(uplink) {
                svg.push_str(&bar("cut", self.x(from), self.x(to), top, LANE));
            }
            for (from, to) in self.carries(uplink) {
                let (left, right) = (self.x(from), self.x(to));
                svg.push_str(&bar("ok", left, right, top + LANE / 2.0 - 5.0, 10.0));
            }
            svg.push('\n');
        }
        svg
    }

    /// The spans in which the uplink was broken.
    fn broken(&self, uplink: &str) -> Vec<(Moment, Moment)> {
        let mut spans = Vec::new();
        let mut since = None;
        for (at, fault) in &self.faults {
            match fault {
                UplinkFault::Broken(name) if name == uplink => since = since.or(Some(*at)),
                UplinkFault::Mended(name) if name == uplink => {
                    spans.extend(since.take().map(|since| (since, *at)));
                }
                UplinkFault::Broken(_) | UplinkFault::Mended(_) => {}
            }
        }
        spans.extend(since.map(|since| (since, self.run.trace.range.to)));
        spans
    }

    /// The spans in which the client's traffic went by the uplink.
    fn carries(&self, uplink: &str) -> Vec<(Moment, Moment)> {
        let range = self.run.trace.range;
        let exits = &self.run.trace.exits;
        let ends = exits.iter().skip(1).map(|(at, _)| *at).chain([range.to]);
        let spans = exits.iter().zip(ends);
        let ours = spans.filter(|((_, exit), _)| exit.as_deref() == Some(uplink));
        let inside = ours.map(|((from, _), to)| ((*from).max(range.from), to.min(range.to)));
        inside.filter(|(from, to)| from < to).collect()
    }

    fn axis(&self) -> String {
        let range = self.run.trace.range;
        let step = step(range.to.since(range.from));
        let mut svg = String::new();
        let before = self.zero.since(range.from).as_secs_f64();
        let mut tick = -(before / step).floor() * step;
        while tick <= range.to.since(self.zero).as_secs_f64() {
            let x = self.x_of(before + tick);
            let shown = (tick * 1000.0).round() / 1000.0 + 0.0;
            let _ = writeln!(
                svg,
                "<path class=\"t\" d=\"M{x:.1} {AXIS}v6\"/>\
                 <text class=\"m c\" x=\"{x:.1}\" y=\"{}\">{shown} s</text>",
                AXIS + 21.0,
            );
            tick += step;
        }
        format!("<path class=\"t\" d=\"M{LEFT} {AXIS}H{RIGHT}\"/>\n{svg}")
    }

    fn labels(&self) -> Vec<Label<'_>> {
        placed(self.marks.iter().map(|mark| (mark, self.x(mark.at))))
    }

    fn x(&self, at: Moment) -> f64 {
        self.x_of(at.since(self.run.trace.range.from).as_secs_f64())
    }

    fn x_of(&self, seconds: f64) -> f64 {
        let range = self.run.trace.range;
        let whole = range
            .to
            .since(range.from)
            .as_secs_f64()
            .max(f64::MIN_POSITIVE);
        LEFT + (RIGHT - LEFT) * (seconds / whole).min(1.0)
    }
}

/// Labels, each as high as there is room: the line of one starts below those before it, so that it
/// crosses none. One without room has a line and no words.
fn placed<'m>(marks: impl Iterator<Item = (&'m Mark, f64)>) -> Vec<Label<'m>> {
    let mut taken = [f64::MIN; LABEL_LINES];
    let place = |(mark, x)| {
        let mut label = Label::new(mark, x);
        let crosses = |from: usize| taken[from..].iter().any(|end| *end > label.left);
        label.line = (0..LABEL_LINES).find(|line| !crosses(*line));
        if let Some(line) = label.line {
            taken[line] = label.left + label.width;
        }
        label
    };
    marks.map(place).collect()
}

/// A mark with its place.
struct Label<'m> {
    mark: &'m Mark,
    x: f64,
    /// From its left edge on.
    left: f64,
    width: f64,
    /// Counted from the highest; none where each has another label.
    line: Option<usize>,
}

impl<'m> Label<'m> {
    fn new(mark: &'m Mark, x: f64) -> Self {
        let letters = u32::try_from(mark.text.chars().count()).unwrap_or(u32::MAX);
        let width = LETTER * f64::from(letters) + 8.0;
        let left = if x + width > RIGHT { x - width } else { x };
        Self {
            mark,
            x,
            left,
            width,
            line: None,
        }
    }

    /// As one of so many lines above the client's packets.
    fn drawn(&self, lines: usize) -> String {
        let Some(line) = self.line else {
            let x = self.x;
            return format!("<path class=\"k\" d=\"M{x:.1} -4V{AXIS}\"/>\n");
        };
        let y = -10.0 - LABEL_PITCH * index(lines - 1 - line);
        let is_before = self.left < self.x;
        let (class, text) = if is_before {
            (" e", self.x - 5.0)
        } else {
            ("", self.x + 5.0)
        };
        format!(
            "<path class=\"k\" d=\"M{:.1} {}V{AXIS}\"/><text class=\"{}{class}\" x=\"{text:.1}\" \
             y=\"{y}\">{}</text>\n",
            self.x,
            y - 10.0,
            self.mark.class,
            escaped(&self.mark.text),
        )
    }
}

/// All entries with their moments, in the order of the phases.
fn timeline(run: &ScenarioRunReport) -> impl Iterator<Item = (Moment, &TimelineEntry)> {
    let of_phase = |phase: &'_ crate::lab::report::ScenarioPhaseReport| phase.start;
    run.phases.iter().flat_map(move |phase| {
        let start = of_phase(phase);
        let entries = phase.timeline.iter();
        entries.map(move |entry| (start + entry.after, entry))
    })
}

/// What deserves a label: faults and their ends, verdicts, and switches.
fn marks(run: &ScenarioRunReport) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut fault: Option<Moment> = None;
    let took = switch_times(run);
    let mut switches = 0;
    for (at, entry) in timeline(run) {
        match &entry.note {
            TimelineNote::Lab { fault: what, .. } => {
                let Some(what) = what else { continue };
                fault = Some(at);
                let (class, text) = match what {
                    UplinkFault::Broken(uplink) => ("fault", format!("{uplink} fails")),
                    UplinkFault::Mended(uplink) => ("", format!("{uplink} works again")),
                };
                marks.push(Mark { at, class, text });
            }
            TimelineNote::Kernel {
                family: LabFamily::Ipv4,
                from: Some(from),
                to: Some(to),
            } => {
                let took = took.get(switches).copied().unwrap_or_default();
                switches += 1;
                let is_failback = rank(to) < rank(from);
                let after = fault.map_or(Duration::ZERO, |fault| at.since(fault));
                let decided = after.saturating_sub(took);
                let (class, verdict, text) = if is_failback {
                    (
                        "",
                        format!("{to} is healthy for long enough"),
                        format!("failback to {to}"),
                    )
                } else {
                    (
                        "",
                        format!("detected after {}", in_words(decided)),
                        format!("switch to {to}"),
                    )
                };
                if !is_failback {
                    let at = fault.map_or(at, |fault| fault + decided);
                    marks.push(Mark {
                        at,
                        class,
                        text: verdict,
                    });
                }
                let later = (!took.is_zero() && !is_failback)
                    .then(|| format!(", {} later", in_words(took)));
                let text = format!("{text}{}", later.unwrap_or_default());
                marks.push(Mark {
                    at,
                    class: "good",
                    text,
                });
            }
            TimelineNote::Kernel { .. }
            | TimelineNote::Agent(_)
            | TimelineNote::AgentSilent
            | TimelineNote::Client(_)
            | TimelineNote::Client6(_) => {}
        }
    }
    marks
}

/// From each decision to switch until the kernel held the routes, in order.
fn switch_times(run: &ScenarioRunReport) -> Vec<Duration> {
    let events = timeline(run).filter_map(|(_, entry)| match &entry.note {
        TimelineNote::Agent(event) if event.event == EventKind::Switch => Some(event),
        TimelineNote::Agent(_)
        | TimelineNote::Lab { .. }
        | TimelineNote::AgentSilent
        | TimelineNote::Kernel { .. }
        | TimelineNote::Client(_)
        | TimelineNote::Client6(_) => None,
    });
    events
        .map(|event| Duration::from_micros(event.took_us.unwrap_or(0)))
        .collect()
}

fn rank(uplink: &str) -> Option<usize> {
    UPLINKS.iter().position(|name| *name == uplink)
}

/// To a tenth of a millisecond below ten, whole above.
fn in_words(span: Duration) -> String {
    let milliseconds = span.as_secs_f64() * 1000.0;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.1} ms"),
        ..1000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.1} s", milliseconds / 1000.0),
    }
}

/// Seconds between two ticks, so that there are at most ten.
fn step(whole: Duration) -> f64 {
    const STEPS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];
    let fits = |step: &f64| whole.as_secs_f64() / step <= 10.0;
    STEPS.into_iter().find(fits).unwrap_or(3600.0)
}

/// A small number of lines, as a coordinate.
fn index(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn column(path: &mut String, left: f64, top: f64, height: f64) {
    if height > 0.0 {
        let width = COLUMN - 1.0;
        // Writing to a text does not fail.
        let _ = write!(path, "M{left} {top:.0}h{width}v{height:.0}h-{width}z");
    }
}

fn bar(class: &str, left: f64, right: f64, top: f64, height: f64) -> String {
    let width = (right - left).max(0.0);
    format!(
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\" rx=\"3\"/>"
    )
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_covers_another_and_one_without_room_has_no_words() {
        let marks: Vec<_> = (0..12)
            .map(|number| Mark {
                at: Moment::START,
                class: "",
                text: format!("event {number} of an uplink"),
            })
            .collect();
        let places = (0..12).map(|number| LEFT + 30.0 * index(number));
        let labels = placed(marks.iter().zip(places));
        let shown: Vec<_> = labels.iter().filter(|label| label.line.is_some()).collect();
        assert!((LABEL_LINES..12).contains(&shown.len()), "{}", shown.len());
        for (place, label) in shown.iter().enumerate() {
            let same_line = shown[..place]
                .iter()
                .filter(|other| other.line == label.line);
            for other in same_line {
                assert!(other.left + other.width <= label.left, "{:?}", label.mark);
            }
        }
        let without = labels.iter().find(|label| label.line.is_none());
        let drawn = without.map(|label| label.drawn(LABEL_LINES));
        assert!(drawn.is_some_and(|drawn| !drawn.contains("<text")));
    }
}
