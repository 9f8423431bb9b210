//! The output of a run while it goes on, in lines that fit the terminal.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use crate::lab::report::{
    ExpectationCheck, LabReport, PhaseFigures, RunSpread, TimelineEntry, TimelineNote,
};
use crate::lab::scenario::{Scenario, ScenarioPhase};

/// Where a run is shown.
#[derive(Clone, Debug, Default)]
pub struct LabOutput(Option<Page>);

/// Breaks a text into lines of so many columns.
pub type Wrap = fn(&str, usize) -> Vec<String>;

#[derive(Clone, Copy, Debug)]
struct Page {
    width: usize,
    wrap: Wrap,
    has_colour: bool,
}

/// Where the texts of the timeline begin.
const ENTRY_INDENT: usize = 23;
/// The columns of the figures.
const TRAFFIC: usize = 19;
const LOST: usize = 16;
const MOVED: usize = 19;

#[derive(Clone, Copy)]
enum TextStyle {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
    Magenta,
}

impl LabOutput {
    /// Standard output, so many columns wide, in colour if that is a terminal and `NO_COLOR`
    /// (no-color.org) is not set.
    pub fn stdout(width: usize, wrap: Wrap) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(Some(Page {
            width,
            wrap,
            has_colour: stdout().is_terminal() && !no_colour,
        }))
    }

    /// Nothing is shown.
    pub fn silent() -> Self {
        Self(None)
    }

    pub(super) fn begin(&self, scenario: &Scenario, seed: u64) {
        let name = self.ink(TextStyle::Bold, &scenario.name);
        let seed = self.ink(TextStyle::Dim, &format!("(seed {seed})"));
        self.line(&format!("\n{name} {seed}"));
        self.hanging("  ", 2, &scenario.about);
    }

    pub(super) fn run(&self, number: u16, of: u16) {
        if of > 1 {
            let text = format!("\nrun {number} of {of}");
            self.line(&self.ink(TextStyle::Bold, &text));
        }
    }

    pub(super) fn ready(&self, after: Duration) {
        let ready = after.as_secs_f64();
        let text = format!("  network built, agent ready {ready:.1} s after the agent started");
        self.line(&self.ink(TextStyle::Dim, &text));
    }

    pub(super) fn phase(&self, phase: &ScenarioPhase) {
        self.line("");
        for line in self.wrapped(&phase.title, 2) {
            self.line(&format!("  {}", self.ink(TextStyle::Bold, &line)));
        }
    }

    pub(super) fn entry(&self, entry: &TimelineEntry) {
        let (who, ink) = match &entry.note {
            TimelineNote::Lab { .. } => ("lab", TextStyle::Yellow),
            TimelineNote::Agent(_) | TimelineNote::AgentSilent => ("agent", TextStyle::Cyan),
            TimelineNote::Kernel { .. } => ("kernel", TextStyle::Magenta),
            TimelineNote::Client(traffic) | TimelineNote::Client6(traffic) if traffic.lost == 0 => {
                ("client", TextStyle::Green)
            }
            TimelineNote::Client(_) | TimelineNote::Client6(_) => ("client", TextStyle::Red),
        };
        let after = format!("{:>+9.3} s", entry.after.as_secs_f64());
        let who = self.ink(ink, &format!("{who:<6}"));
        let head = format!("  {}  {who}  ", self.ink(TextStyle::Dim, &after));
        self.hanging(&head, ENTRY_INDENT, &entry.note.to_string());
    }

    pub(super) fn checks(&self, checks: &[ExpectationCheck]) {
        for check in checks {
            let (ink, verdict) = verdict(check.passed);
            let verdict = self.ink(ink, &format!("{verdict:<6}"));
            let ExpectationCheck {
                expected, measured, ..
            } = check;
            let head = format!("{:>15}{verdict}  ", "");
            self.hanging(&head, ENTRY_INDENT, &format!("{expected}: {measured}"));
        }
    }

    pub(super) fn end(&self, report: &LabReport) {
        let most_runs = report.figures.iter().map(|figures| figures.runs).max();
        let word_width = if most_runs > Some(1) { 11 } else { 6 };
        let numbers = 2 + TRAFFIC + 2 + LOST + 2 + MOVED + 2 + word_width;
        let width = self.0.map_or(0, |page| page.width);
        let title_width = width.saturating_sub(2 + numbers).clamp(16, 60);
        let head = format!(
            "\n  {:title_width$}  {:>TRAFFIC$}  {:>LOST$}  {:>MOVED$}",
            "", "without traffic", "packets lost", "moved after"
        );
        self.line(&self.ink(TextStyle::Bold, &head));
        for figures in &report.figures {
            let PhaseFigures {
                title,
                runs,
                passed,
                without_traffic_ms: gap,
                without_new_ms,
                lost,
                moved_ms,
            } = figures;
            let moved = moved_ms.map_or_else(|| "-".to_owned(), |moved| spread(moved, "ms"));
            let (ink, word) = verdict(passed == runs);
            let word = match runs {
                1 => word.to_owned(),
                _ => format!("{passed} of {runs} ok"),
            };
            let (gap, lost) = (spread(*gap, "ms"), spread(*lost, ""));
            let mut title = self
                .wrapped(title, width.saturating_sub(title_width))
                .into_iter();
            let first = title.next().unwrap_or_default();
            let row =
                format!("  {first:title_width$}  {gap:>TRAFFIC$}  {lost:>LOST$}  {moved:>MOVED$}");
            self.line(&format!("{row}  {}", self.ink(ink, &word)));
            title.for_each(|line| self.line(&format!("  {line}")));
            if let Some(gap) = without_new_ms {
                let (what, gap) = ("  new connections", spread(*gap, "ms"));
                self.line(&format!("  {what:title_width$}  {gap:>TRAFFIC$}"));
            }
        }
        if report.runs.len() > 1 {
            self.line(&self.ink(TextStyle::Dim, "  each: median / 95 % / worst"));
        }
        let (ink, word) = verdict(report.passed);
        self.line(&format!("\n{}  {}\n", self.ink(ink, word), report.scenario));
    }

    /// A text behind a head that is `indent` columns wide, and its further lines below it.
    fn hanging(&self, head: &str, indent: usize, text: &str) {
        let mut lines = self.wrapped(text, indent).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("{head}{first}"));
        lines.for_each(|line| self.line(&format!("{:indent$}{line}", "")));
    }

    /// A text in lines that leave room for an indent.
    fn wrapped(&self, text: &str, indent: usize) -> Vec<String> {
        let lines = |page: Page| (page.wrap)(text, page.width.saturating_sub(indent));
        self.0.map_or_else(Vec::new, lines)
    }

    fn line(&self, text: &str) {
        if self.0.is_some() {
            print(text);
        }
    }

    fn ink(&self, ink: TextStyle, text: &str) -> String {
        let code = match ink {
            TextStyle::Bold => 1,
            TextStyle::Dim => 2,
            TextStyle::Red => 31,
            TextStyle::Green => 32,
            TextStyle::Yellow => 33,
            TextStyle::Cyan => 36,
            TextStyle::Magenta => 35,
        };
        if self.0.is_some_and(|page| page.has_colour) {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Prints the names of all scenarios and what they are about.
pub fn list(scenarios: &[Scenario], width: usize, wrap: Wrap) {
    let names = scenarios.iter().map(|scenario| scenario.name.len());
    let indent = names.max().unwrap_or(0) + 2;
    let output = LabOutput(Some(Page {
        width,
        wrap,
        has_colour: false,
    }));
    for Scenario { name, about, .. } in scenarios {
        output.hanging(&format!("{name:indent$}"), indent, about);
    }
}

/// Prints a report for machines.
pub fn machine_readable(report: &LabReport) -> serde_json::Result<()> {
    print(&serde_json::to_string_pretty(report)?);
    Ok(())
}

/// Prints what is worth knowing in the router's shell.
pub(super) fn shell_hints(text: &str) {
    print(text);
}

/// Prints a line. A reader that has seen enough is no failure, and the run goes on to its end.
fn print(text: &str) {
    drop(writeln!(stdout(), "{text}"));
}

fn verdict(passed: bool) -> (TextStyle, &'static str) {
    if passed {
        (TextStyle::Green, "ok")
    } else {
        (TextStyle::Red, "FAILED")
    }
}

fn spread(RunSpread { median, p95, worst }: RunSpread, unit: &str) -> String {
    let is_one_value = median.total_cmp(&worst).is_eq();
    if is_one_value {
        return format!("{median:.0} {unit}");
    }
    format!("{median:.0} / {p95:.0} / {worst:.0} {unit}")
}
