//! `uplinkd lab`: the agent in a network of its own.

use std::fs;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::history::span;
use super::output;
use super::syntax::{self, Argument, ArgumentForm, CommandForm, CommandRow, Given};
use crate::lab::scenario::{self, Scenario};
use crate::lab::{self, LabOptions, LabOutput};

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "lab",
        about: "Run the agent in a network of throw-away namespaces that breaks",
        arguments: &[SCENARIO, JSON, LIST, SHELL, RUNS, FOR, TIMES, SVG, SEED],
    },
    connection: &[],
    run: |given| run(&LabArguments::read(given)?),
};

const SCENARIO: Argument = Argument {
    form: ArgumentForm::OptionalWord("SCENARIO"),
    help: "The scenario to run; `--list` names them all",
    default: Some(|| "tour"),
    ..Argument::named("scenario")
};
const JSON: Argument = Argument {
    help: "One JSON object on standard output, and nothing else",
    ..Argument::named("json")
};
const LIST: Argument = Argument {
    help: "Names the scenarios",
    excludes: &[
        "scenario", "json", "shell", "runs", "for", "times", "svg", "seed",
    ],
    ..Argument::named("list")
};
const SHELL: Argument = Argument {
    help: "Leaves the network standing and opens a shell in the router",
    excludes: &["json", "runs", "for", "svg"],
    ..Argument::named("shell")
};
const RUNS: Argument = Argument {
    form: ArgumentForm::Valued("N"),
    help: "Runs it N times and prints median, 95 %, worst",
    default: Some(|| "1"),
    ..Argument::named("runs")
};
const FOR: Argument = Argument {
    form: ArgumentForm::Valued("SPAN"),
    help: "How long a scenario without an outage lasts, such as 10m",
    ..Argument::named("for")
};
const TIMES: Argument = Argument {
    form: ArgumentForm::Valued("N"),
    help: "Repetitions within a scenario, such as its kills",
    ..Argument::named("times")
};
const SVG: Argument = Argument {
    form: ArgumentForm::Valued("FILE"),
    help: "Draws the first run into a file",
    ..Argument::named("svg")
};
const SEED: Argument = Argument {
    form: ArgumentForm::Valued("N"),
    help: "The seed of loss, jitter and other chance",
    default: Some(|| "1"),
    ..Argument::named("seed")
};

#[derive(Debug)]
struct LabArguments {
    scenario: Scenario,
    json: bool,
    list: bool,
    shell: bool,
    runs: u16,
    span: Option<Duration>,
    times: Option<u32>,
    svg: Option<PathBuf>,
    seed: u64,
}

impl LabArguments {
    fn read(given: &Given) -> anyhow::Result<Self> {
        Ok(Self {
            scenario: given.need(&SCENARIO, syntax::text(scenario::scenario))?,
            json: given.has(&JSON),
            list: given.has(&LIST),
            shell: given.has(&SHELL),
            runs: given.need(&RUNS, syntax::text(runs))?,
            span: given.value(&FOR, syntax::text(span))?,
            times: given.value(&TIMES, syntax::text(times))?,
            svg: given.value(&SVG, syntax::path)?,
            seed: given.need(&SEED, syntax::text(seed))?,
        })
    }
}

fn runs(text: &str) -> Result<u16, &'static str> {
    let runs = text.parse::<NonZeroU16>();
    runs.map(NonZeroU16::get)
        .map_err(|_| "write a number from 1 to 65535")
}

fn times(text: &str) -> Result<u32, &'static str> {
    let times = text.parse::<NonZeroU32>();
    times
        .map(NonZeroU32::get)
        .map_err(|_| "write a number, at least 1")
}

fn seed(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "write a number")
}

/// Builds a whole network in throw-away namespaces, runs the agent in it, breaks things and prints
/// what the client measured. Call this before there is a second thread.
fn run(arguments: &LabArguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        lab::list(&scenario::scenarios()?, output::width(), output::wrapped);
        return Ok(ExitCode::SUCCESS);
    }
    lab::isolate()?;
    if arguments.shell {
        lab::open_shell(arguments.seed, lab::this_program())?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = LabOptions {
        runs: arguments.runs,
        seed: arguments.seed,
        elastic: arguments.span,
        times: arguments.times,
        program: lab::this_program(),
    };
    let shown = if arguments.json {
        LabOutput::silent()
    } else {
        LabOutput::stdout(output::width(), output::wrapped)
    };
    let report = lab::run_scenario(&arguments.scenario, &options, &shown)?;
    if arguments.json {
        lab::machine_readable(&report)?;
    }
    if let Some(file) = &arguments.svg {
        fs::write(file, lab::draw(&report))
            .with_context(|| format!("cannot write the picture to {}", file.display()))?;
    }
    Ok(if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
