//! `uplinkd lab`: the agent in a network of its own.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::history::span;
use crate::cli::output;
use crate::lab::scenario::{self, Scenario};
use crate::lab::{self, LabOptions, LabOutput};

/// Builds a whole network in throw-away namespaces, runs the agent in it, breaks things and prints
/// what the client measured.
#[derive(Debug, clap::Args)]
pub struct LabArguments {
    /// The scenario to run; `--list` names them all
    #[arg(default_value = "tour", value_parser = scenario::scenario)]
    scenario: Scenario,
    /// One JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
    /// Names the scenarios
    #[arg(long, exclusive = true)]
    list: bool,
    /// Leaves the network standing and opens a shell in the router
    #[arg(long, conflicts_with_all = ["json", "runs", "span"])]
    shell: bool,
    /// Runs it N times and prints median, 95 %, worst
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// How long a scenario without an outage lasts, such as 10m
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    span: Option<Duration>,
    /// Repetitions within a scenario, such as its kills
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    times: Option<u32>,
    /// Draws the first run into a file
    #[arg(long, value_name = "FILE", conflicts_with = "shell")]
    svg: Option<PathBuf>,
    /// The seed of loss, jitter and other chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Runs it. Call this before there is a second thread.
pub fn run(arguments: &LabArguments) -> anyhow::Result<ExitCode> {
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
