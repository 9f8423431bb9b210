//! The play as a person watches it.
#![expect(clippy::print_stdout, reason = "the only place of the lab that prints")]

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use crate::lab::report::{
    ExpectationCheck, LabReport, MedianAndWorst, PhaseFigures, TimelineEntry, TimelineNote,
};
use crate::lab::scenario::{Scenario, ScenarioPhase};

/// Where the play is shown.
#[derive(Clone, Debug, Default)]
pub struct LabOutput {
    is_on: bool,
    has_colour: bool,
}

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
    /// Standard output, in colour if that is a terminal and `NO_COLOR` (no-color.org) is not set.
    pub fn stdout() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_on: true,
            has_colour: stdout().is_terminal() && !no_colour,
        }
    }

    /// Nothing is shown.
    pub fn dark() -> Self {
        Self::default()
    }

    pub(super) fn begin(&mut self, scenario: &Scenario, seed: u64) {
        let name = self.ink(TextStyle::Bold, &scenario.name);
        let seed = self.ink(TextStyle::Dim, &format!("(seed {seed})"));
        self.line(&format!("\n{name}  {} {seed}", scenario.about));
    }

    pub(super) fn run(&mut self, number: usize, of: usize) {
        if of > 1 {
            let text = format!("\nrun {number} of {of}");
            self.line(&self.ink(TextStyle::Bold, &text));
        }
    }

    pub(super) fn ready(&mut self, after: Duration) {
        let ready = after.as_secs_f64();
        let text = format!("  network built, agent ready {ready:.1} s after the agent started");
        self.line(&self.ink(TextStyle::Dim, &text));
    }

    pub(super) fn phase(&mut self, phase: &ScenarioPhase) {
        self.line(&format!("\n  {}", self.ink(TextStyle::Bold, &phase.title)));
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
        self.line(&format!(
            "  {}  {who}  {}",
            self.ink(TextStyle::Dim, &after),
            entry.note
        ));
    }

    pub(super) fn checks(&mut self, checks: &[ExpectationCheck]) {
        for check in checks {
            let (ink, verdict) = verdict(check.passed);
            let verdict = self.ink(ink, &format!("{verdict:<6}"));
            let ExpectationCheck {
                expected, measured, ..
            } = check;
            self.line(&format!("{:>15}{verdict}  {expected}: {measured}", ""));
        }
    }

    pub(super) fn end(&mut self, report: &LabReport) {
        const PHASE: usize = 54;
        let head = format!(
            "\n  {:PHASE$}  {:>17}  {:>13}  {:>15}",
            "", "without traffic", "packets lost", "moved after"
        );
        self.line(&self.ink(TextStyle::Bold, &head));
        for figures in &report.figures {
            let PhaseFigures {
                title,
                runs,
                passed,
                without_traffic_ms: gap,
                lost,
                moved_ms,
            } = figures;
            let moved = moved_ms.map_or_else(|| "-".to_owned(), |moved| spread(moved, "ms"));
            let (ink, word) = verdict(passed == runs);
            let word = match runs {
                1 => word.to_owned(),
                _ => format!("{passed} of {runs} ok"),
            };
            let title: String = title.chars().take(PHASE).collect();
            let (gap, lost) = (spread(*gap, "ms"), spread(*lost, ""));
            let row = format!("  {title:PHASE$}  {gap:>17}  {lost:>13}  {moved:>15}");
            self.line(&format!("{row}  {}", self.ink(ink, &word)));
        }
        if report.runs.len() > 1 {
            self.line(&self.ink(TextStyle::Dim, "  each: median / worst"));
        }
        let (ink, word) = verdict(report.passed);
        self.line(&format!("\n{}  {}\n", self.ink(ink, word), report.scenario));
    }

    fn line(&self, text: &str) {
        if self.is_on {
            println!("{text}");
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
        if self.has_colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Prints the names of all scenarios and what they are about.
pub fn list(scenarios: &[Scenario]) {
    for scenario in scenarios {
        println!("{:<16} {}", scenario.name, scenario.about);
    }
}

/// Prints a report for machines.
pub fn machine_readable(report: &LabReport) -> serde_json::Result<()> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}

/// Prints what a person in the router's shell may want to know.
pub(super) fn shell_hints(text: &str) {
    println!("{text}");
}

fn verdict(passed: bool) -> (TextStyle, &'static str) {
    if passed {
        (TextStyle::Green, "ok")
    } else {
        (TextStyle::Red, "FAILED")
    }
}

fn spread(MedianAndWorst { median, worst }: MedianAndWorst, unit: &str) -> String {
    let is_one_value = median.total_cmp(&worst).is_eq();
    if is_one_value {
        return format!("{median:.0} {unit}");
    }
    format!("{median:.0} / {worst:.0} {unit}")
}
