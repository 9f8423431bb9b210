//! What the engine did, for people and for machines.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::course::{Course, ReplaySwitch, ReplayVerdict, TruthScore};
use crate::cli::output::{Colour, Palette};
use crate::engine::state::State;
use crate::units::UplinkName;

/// One object; of several courses, one with a list of them by name.
pub(super) fn json(courses: &[Course]) -> Result<String> {
    let value = match courses {
        [course] => serde_json::to_value(course)?,
        courses => {
            let named = courses.iter().map(|course| {
                let mut value = serde_json::to_value(course)?;
                value["config"] = Value::from(course.name.clone());
                Ok(value)
            });
            json!({ "runs": named.collect::<Result<Vec<_>>>()? })
        }
    };
    Ok(serde_json::to_string(&value)? + "\n")
}

/// A timeline for each course, then all of them in a table.
pub(super) fn text(courses: &[Course]) -> String {
    let palette = Palette::of_stdout();
    let mut text = String::new();
    for course in courses {
        if courses.len() > 1 {
            let _ = writeln!(text, "{}", course.name);
        }
        let _ = write!(text, "{}", ReplayTimeline { course, palette });
        text.push('\n');
    }
    let names = courses.iter().map(|course| course.name.len());
    let width = names.max().unwrap_or(0);
    text.push_str(&heading(width));
    for course in courses {
        text.push_str(&rows(course, width));
    }
    for course in courses {
        if let Some(truth) = &course.truth {
            let _ = writeln!(text, "{:<width$}  {truth}", course.name);
        }
    }
    text
}

/// Verdicts and switches in the order of time.
struct ReplayTimeline<'a> {
    course: &'a Course,
    palette: Palette,
}

impl Display for ReplayTimeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Course {
            verdicts, switches, ..
        } = self.course;
        let mut switches = switches.iter().peekable();
        for verdict in verdicts {
            while let Some(switch) = switches.next_if(|switch| switch.at < verdict.at) {
                self.switch(f, switch)?;
            }
            self.verdict(f, verdict)?;
        }
        switches.try_for_each(|switch| self.switch(f, switch))?;
        if verdicts.is_empty() {
            writeln!(f, "nothing happened")?;
        }
        Ok(())
    }
}

impl ReplayTimeline<'_> {
    fn verdict(&self, f: &mut fmt::Formatter<'_>, verdict: &ReplayVerdict) -> fmt::Result {
        let colour = match verdict.to {
            State::Up => Colour::Green,
            State::Down | State::Absent => Colour::Red,
            State::Degraded
            | State::Recovering
            | State::Unknown
            | State::Disabled
            | State::Cold => Colour::Yellow,
        };
        let what = format!("{} is {}", verdict.uplink, verdict.to);
        self.line(
            f,
            verdict.at,
            &self.palette.paint(colour, &format!("{what:<28}")),
            &verdict.reason,
        )
    }

    fn switch(&self, f: &mut fmt::Formatter<'_>, switch: &ReplaySwitch) -> fmt::Result {
        let from = list(&switch.from);
        let what = format!("  switch: {from} -> {}", list(&switch.to));
        self.line(f, switch.at, &format!("{what:<28}"), &switch.reason)
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, at: f64, what: &str, why: &str) -> fmt::Result {
        let at = RecordingTime(at).to_string();
        writeln!(
            f,
            "{}  {what}  {why}",
            self.palette.paint(Colour::Dim, &format!("{at:>14}"))
        )
    }
}

/// A time of the recording: of the day if it is one, else in seconds.
struct RecordingTime(f64);

/// Seconds since 1970 are at least as many as this; it is 2001.
const FIRST_WALL_TIME: f64 = 1e9;

impl Display for RecordingTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_1970 = Duration::try_from_secs_f64(self.0)
            .ok()
            .filter(|_| (FIRST_WALL_TIME..1e11).contains(&self.0));
        match since_1970 {
            Some(since) => {
                let time = std::time::UNIX_EPOCH + since;
                humantime::format_rfc3339_millis(time).fmt(f)
            }
            None => write!(f, "{:.3} s", self.0),
        }
    }
}

fn heading(width: usize) -> String {
    format!(
        "{:<width$}  {:<12}{:>10}{:>8}{:>9}{:>7}{:>10}\n",
        "", "uplink", "carried", "", "probes", "down", "degraded"
    )
}

fn rows(course: &Course, width: usize) -> String {
    let span = (course.to - course.from).max(1e-9);
    let rows = course.uplinks.iter().enumerate().map(|(place, total)| {
        let name = if place == 0 { course.name.as_str() } else { "" };
        let count = |state: State| {
            let verdicts = course.verdicts.iter();
            let such =
                |verdict: &&ReplayVerdict| verdict.uplink == total.name && verdict.to == state;
            verdicts.filter(such).count()
        };
        let share = total.carried_seconds / span * 100.0;
        format!(
            "{name:<width$}  {:<12}{:>10}{share:>6.1} %{:>9}{:>7}{:>10}\n",
            total.name,
            lasting(total.carried_seconds),
            total.probes,
            count(State::Down),
            count(State::Degraded)
        )
    });
    rows.collect::<Vec<_>>().concat()
}

/// A span of time in its two greatest units.
fn lasting(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default();
    let text = humantime::format_duration(span).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn list(names: &[UplinkName]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = names.iter().map(UplinkName::as_str).collect();
    names.join(",")
}

impl Display for TruthScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of {} marked outages {} found, {} missed; {} false",
            self.outages, self.found, self.missed, self.false_ones
        )?;
        if let (Some(median), Some(worst)) = (self.delay_p50_seconds, self.delay_worst_seconds) {
            write!(f, "; noticed after {median:.2} s, at worst {worst:.2} s")?;
        }
        Ok(())
    }
}
