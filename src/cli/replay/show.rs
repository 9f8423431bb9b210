//! The results of a replay as text and as JSON.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::run::{ReplayRun, ReplaySwitch, ReplayVerdict, TruthScore, UplinkTotal};
use crate::cli::output::{Colour, Palette, wrapped};
use crate::engine::event::record::sides;
use crate::engine::state::State;
use crate::units::UplinkName;

/// One object; for several runs one with a list of them by name.
pub(super) fn json(runs: &[ReplayRun]) -> Result<String> {
    let value = match runs {
        [run] => serde_json::to_value(run)?,
        runs => {
            let named = runs.iter().map(|run| {
                let mut value = serde_json::to_value(run)?;
                value["config"] = Value::from(run.name.clone());
                Ok(value)
            });
            json!({ "runs": named.collect::<Result<Vec<_>>>()? })
        }
    };
    Ok(serde_json::to_string(&value)? + "\n")
}

/// A timeline for each run, then all runs in a table, in so many columns.
pub(super) fn text(runs: &[ReplayRun], columns: usize) -> String {
    let palette = Palette::of_stdout();
    let mut text = String::new();
    for run in runs {
        if runs.len() > 1 {
            let _ = writeln!(text, "{}", run.name);
        }
        let timeline = ReplayTimeline {
            run,
            palette,
            columns,
        };
        let _ = writeln!(text, "{timeline}");
    }
    text.push_str(&Totals { runs, columns }.text());
    for run in runs {
        let line = format!("{}: {}", run.name, run.felt);
        text.push_str(&hanging(&line, 2, columns));
        if let Some(truth) = &run.truth {
            let line = format!("{}: {truth}", run.name);
            text.push_str(&hanging(&line, 2, columns));
        }
    }
    text
}

/// A text whose further lines are indented.
fn hanging(text: &str, indent: usize, columns: usize) -> String {
    let lines = wrapped(text, columns.saturating_sub(indent));
    lines.join(&format!("\n{:indent$}", "")) + "\n"
}

/// Verdicts and switches, those of new connections only among them, in the order of time.
struct ReplayTimeline<'a> {
    run: &'a ReplayRun,
    palette: Palette,
    columns: usize,
}

impl Display for ReplayTimeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReplayRun {
            verdicts,
            switches,
            soft_switches,
            ..
        } = self.run;
        let all = switches.iter().map(|switch| ("switch", switch));
        let soft = soft_switches.iter().map(|switch| ("soft", switch));
        let mut all: Vec<_> = all.chain(soft).collect();
        all.sort_by(|(_, one), (_, other)| one.at.total_cmp(&other.at));
        let mut all = all.into_iter().peekable();
        for verdict in verdicts {
            while let Some(switch) = all.next_if(|(_, switch)| switch.at < verdict.at) {
                self.switch(f, switch)?;
            }
            self.verdict(f, verdict)?;
        }
        all.try_for_each(|switch| self.switch(f, switch))?;
        if verdicts.is_empty() {
            writeln!(f, "no uplink changed its state")?;
        }
        Ok(())
    }
}

/// The columns of what happened, and the fewest for its reason beside it.
const WHAT: usize = 28;
const REASON: usize = 30;

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
        self.line(f, verdict.at, (&what, Some(colour)), &verdict.reason)
    }

    fn switch(
        &self,
        f: &mut fmt::Formatter<'_>,
        (moved, switch): (&str, &ReplaySwitch),
    ) -> fmt::Result {
        let sides = sides(switch.family, list(&switch.from), list(&switch.to));
        let what = format!("  {moved}: {sides}");
        self.line(f, switch.at, (&what, None), &switch.reason)
    }

    /// The reason stands beside what happened, or below it where there is too little room.
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        at: f64,
        (what, colour): (&str, Option<Colour>),
        why: &str,
    ) -> fmt::Result {
        let at = format!("{:>14}", RecordingTime(at).to_string());
        let is_beside = what.len() <= WHAT && at.len() + WHAT + 4 + REASON <= self.columns;
        let (padding, indent) = if is_beside {
            (WHAT - what.len() + 2, at.len() + WHAT + 4)
        } else {
            (0, at.len() + 4)
        };
        let painted = colour.map_or_else(
            || what.to_owned(),
            |colour| self.palette.paint(colour, what),
        );
        write!(f, "{}  {painted}", self.palette.paint(Colour::Dim, &at))?;
        if is_beside {
            write!(f, "{:padding$}", "")?;
        } else {
            write!(f, "\n{:indent$}", "")?;
        }
        let lines = wrapped(why, self.columns.saturating_sub(indent));
        writeln!(f, "{}", lines.join(&format!("\n{:indent$}", "")))
    }
}

/// A time of the recording: a wall-clock time if it is one, else in seconds.
struct RecordingTime(f64);

/// Seconds from here on (2001) are wall-clock times.
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

/// What each uplink did in each run.
struct Totals<'a> {
    runs: &'a [ReplayRun],
    columns: usize,
}

impl Totals<'_> {
    /// The columns beside the names of runs and uplinks.
    const FIGURES: usize = 44;

    fn text(&self) -> String {
        let totals = self.runs.iter().flat_map(|run| &run.uplinks);
        let uplinks = totals.map(|total| total.name.as_str().len());
        let uplink = uplinks.max().unwrap_or(0).max(10) + 2;
        let names = self.runs.iter().map(|run| run.name.len());
        let name = names.max().unwrap_or(0) + 2;
        // A long name, such as a path, has a line of its own.
        let is_apart = name + uplink + Self::FIGURES > self.columns;
        let name = if is_apart { 2 } else { name };
        let mut text = format!(
            "{:name$}{:uplink$}{:>10}{:>8}{:>9}{:>7}{:>10}\n",
            "", "uplink", "carried", "", "probes", "down", "degraded"
        );
        for run in self.runs {
            if is_apart {
                let _ = writeln!(text, "{}", run.name);
            }
            for (place, total) in run.uplinks.iter().enumerate() {
                let is_named = place == 0 && !is_apart;
                let first = if is_named { run.name.as_str() } else { "" };
                let _ = write!(text, "{first:name$}{:uplink$}", total.name);
                let _ = writeln!(text, "{}", figures(run, total));
            }
        }
        text
    }
}

fn figures(run: &ReplayRun, total: &UplinkTotal) -> String {
    let span = (run.to - run.from).max(1e-9);
    let count = |state: State| {
        let verdicts = run.verdicts.iter();
        let such = |verdict: &&ReplayVerdict| verdict.uplink == total.name && verdict.to == state;
        verdicts.filter(such).count()
    };
    format!(
        "{:>10}{:>6.1} %{:>9}{:>7}{:>10}",
        lasting(total.carried_seconds),
        total.carried_seconds / span * 100.0,
        total.probes,
        count(State::Down),
        count(State::Degraded)
    )
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
            "{} marked outages, {} found, {} missed; {} false verdicts",
            self.outages, self.found, self.missed, self.false_ones
        )?;
        if let (Some(median), Some(worst)) = (self.delay_p50_seconds, self.delay_worst_seconds) {
            write!(f, "; delay {median:.2} s (median), {worst:.2} s (worst)")?;
        }
        Ok(())
    }
}
