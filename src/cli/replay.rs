//! `uplinkd replay`: the decisions on a recorded trace, in virtual time.

mod felt;
mod run;
mod show;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use super::output;
use super::syntax::{self, Argument, ArgumentForm, CommandForm, CommandRow, Given};
use crate::config::Config;
use crate::recording::{self, Recording, RecordingError, RecordingSource};
use crate::units::UplinkName;
use run::ReplayRun;

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "replay",
        about: "Run the decisions on a recorded trace in virtual time",
        arguments: &[RECORDING, CONFIG, TRUTH, JSON],
    },
    connection: &[],
    run: |given| run(&ReplayArguments::read(given)?),
};

const RECORDING: Argument = Argument {
    form: ArgumentForm::Word("RECORDING"),
    help: "A recording of the agent, a CSV, or NAME=FILE of `ping -D`",
    is_repeatable: true,
    ..Argument::named("recording")
};
const CONFIG: Argument = Argument {
    form: ArgumentForm::Valued("FILE"),
    help: "A configuration to try, or several [default: as recorded]",
    is_repeatable: true,
    ..Argument::named("config")
};
const TRUTH: Argument = Argument {
    form: ArgumentForm::Valued("FILE"),
    help: "The true outages, as `uplink,from,to`",
    ..Argument::named("truth")
};
const JSON: Argument = Argument {
    help: "One JSON object on standard output",
    ..Argument::named("json")
};

#[derive(Debug)]
struct ReplayArguments {
    recordings: Vec<String>,
    configs: Vec<PathBuf>,
    truth: Option<PathBuf>,
    json: bool,
}

impl ReplayArguments {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            recordings: given.all(&RECORDING, syntax::text(str::parse))?,
            configs: given.all(&CONFIG, syntax::path)?,
            truth: given.value(&TRUTH, syntax::path)?,
            json: given.has(&JSON),
        })
    }
}

fn run(arguments: &ReplayArguments) -> Result<ExitCode> {
    let runs = all_runs(arguments)?;
    let text = if arguments.json {
        show::json(&runs)?
    } else {
        show::text(&runs, output::width())
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn all_runs(arguments: &ReplayArguments) -> Result<Vec<ReplayRun>> {
    let words = arguments.recordings.iter();
    let sources: Vec<_> = words.map(|word| source(word)).collect();
    let is_rerun = arguments.configs.is_empty() && sources.len() == 1;
    let is_rerun = is_rerun && recording::is_of_agent(&sources[0].path)?;
    let mut recording = match Recording::load(&sources) {
        // Of an agent that had nothing to probe.
        Err(RecordingError::Empty(_)) if is_rerun => Recording::default(),
        loaded => loaded?,
    };
    for remark in &recording.remarks {
        output::remark(remark);
    }
    if let Some(path) = &arguments.truth {
        recording.read_truth(path)?;
    }
    if is_rerun {
        return Ok(vec![trial::rerun(&sources[0].path, &recording)?]);
    }
    if arguments.configs.is_empty() {
        let settings = trial::defaults(&recording)?;
        return Ok(vec![trial::run(
            "defaults".to_owned(),
            settings,
            &recording,
        )?]);
    }
    let configs = arguments.configs.iter().map(|path| {
        let name = path.display().to_string();
        let config = Config::load(path)?;
        let (settings, remarks) = trial::fit(config.engine, &recording);
        for remark in &remarks {
            output::remark(&format!("{name}: {remark}"));
        }
        let is_recorded = settings.uplinks.iter().any(|uplink| {
            let mut tracks = recording.tracks.iter();
            tracks.any(|track| track.uplink == uplink.name)
        });
        ensure!(
            is_recorded,
            "{name}: none of its uplinks is in the recording"
        );
        Ok(trial::run(name, settings, &recording)?)
    });
    configs.collect()
}

/// A path, or the name of an uplink and a path.
fn source(word: &str) -> RecordingSource {
    let named = word.split_once('=').and_then(|(name, path)| {
        let uplink = name.parse::<UplinkName>().ok()?;
        (!path.is_empty()).then_some((uplink, path))
    });
    match named {
        Some((uplink, path)) if !PathBuf::from(word).exists() => RecordingSource {
            path: path.into(),
            uplink: Some(uplink),
        },
        Some(_) | None => RecordingSource {
            path: word.into(),
            uplink: None,
        },
    }
}
