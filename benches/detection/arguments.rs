//! The command line of the simulation.

use std::path::PathBuf;
use std::time::Duration;

use uplinkd::recording::{Recording, RecordingSource, Track};

use crate::link::Process;
use crate::ours::Extent;
use crate::rows::Row;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) is_quick: bool,
    pub(crate) extent: Extent,
    pub(crate) intervals: Vec<Duration>,
    pub(crate) svg: Option<PathBuf>,
    /// The uplinks of the recordings that were named.
    pub(crate) recorded: Vec<Row>,
    only: Vec<String>,
}

const USAGE: &str = "[RECORDING]... [--quick] [--days N] [--interval SECONDS]... [--only WORD]... [--seed N] [--svg FILE | --no-svg]";

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong, and the usage.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut days = None;
        let mut seed = 1;
        let mut is_drawn = true;
        let mut arguments = Self {
            is_quick: false,
            extent: FULL,
            intervals: Vec::new(),
            svg: None,
            recorded: Vec::new(),
            only: Vec::new(),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value; {USAGE}"));
            match word.as_str() {
                // `cargo bench` adds it.
                "--bench" => {}
                "--quick" => arguments.is_quick = true,
                "--days" => days = Some(parse::<u32>(&value()?)?.max(1)),
                "--seed" => seed = parse::<u64>(&value()?)?,
                "--interval" => arguments.intervals.push(seconds(&value()?)?),
                "--only" => arguments.only.push(value()?),
                "--svg" => arguments.svg = Some(value()?.into()),
                "--no-svg" => is_drawn = false,
                path if !path.starts_with('-') => arguments.recorded.extend(recorded(path)?),
                _ => return Err(format!("unknown: {word}; {USAGE}")),
            }
        }
        if arguments.is_quick {
            arguments.extent = QUICK;
        }
        if let Some(days) = days {
            arguments.extent.days = days;
        }
        let is_all = arguments.only.is_empty() && arguments.recorded.is_empty();
        if is_drawn && is_all && !arguments.is_quick && arguments.svg.is_none() {
            arguments.svg = Some("target/detection.svg".into());
        }
        arguments.extent.seed = seed;
        if arguments.intervals.is_empty() {
            let all = [1000, 200, 5000];
            let some = if arguments.is_quick {
                &all[..1]
            } else {
                &all[..]
            };
            arguments.intervals = some.iter().copied().map(Duration::from_millis).collect();
        }
        Ok(arguments)
    }

    /// Whether a part of the simulation is to run that takes minutes: of a quick one it must be named.
    pub(crate) fn long_part(&self, name: &str) -> bool {
        self.part(name) && !self.is_short()
    }

    /// All but what takes minutes.
    pub(crate) fn is_short(&self) -> bool {
        self.is_quick && self.only.is_empty() && self.recorded.is_empty()
    }

    /// Whether a part of the simulation is to run.
    pub(crate) fn part(&self, name: &str) -> bool {
        let is_all = self.only.is_empty() && self.recorded.is_empty();
        is_all || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// Fewer days where probes are dense.
    pub(crate) fn extent_at(&self, interval: Duration) -> Extent {
        let is_dense = interval < Duration::from_secs(1);
        Extent {
            days: if is_dense {
                (self.extent.days / 3).max(1)
            } else {
                self.extent.days
            },
            ..self.extent
        }
    }
}

const FULL: Extent = Extent {
    days: 90,
    lives: 4,
    outages: 1000,
    changes: 3000,
    seed: 1,
};

const QUICK: Extent = Extent {
    days: 2,
    lives: 1,
    outages: 40,
    changes: 20,
    seed: 1,
};

/// One row for each uplink of a recording, which lives as long as the program.
fn recorded(path: &str) -> Result<Vec<Row>, String> {
    let source = RecordingSource {
        path: path.into(),
        uplink: None,
    };
    let recording = Recording::load(&[source]).map_err(|error| error.to_string())?;
    let row = |track: Track| Row {
        name: track.uplink.to_string().leak(),
        process: Process::Recorded(Box::leak(Box::new(track))),
    };
    Ok(recording.tracks.into_iter().map(row).collect())
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text}: not a number; {USAGE}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = parse::<f64>(text)?;
    (0.05..=3600.0)
        .contains(&number)
        .then(|| Duration::from_secs_f64(number))
        .ok_or(format!("{text}: 0.05 to 3600 seconds"))
}
