//! `uplinkd lab`: the agent in a network of its own.

use std::process::ExitCode;
use std::time::Duration;

use crate::lab::scenario::{self, Scenario};
use crate::lab::{self, LabOptions, LabOutput};

/// Builds a whole network in throw-away namespaces, runs the agent in it, breaks things and prints
/// what the client traffic.
#[derive(Debug, clap::Args)]
pub struct LabArguments {
    /// What to play; `--list` names them all
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
    /// Plays it so many times and prints median and worst
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// How long a scenario in which nothing must happen lasts, such as 10m
    #[arg(long = "for", value_name = "SPAN", value_parser = humantime::parse_duration)]
    span: Option<Duration>,
    /// What all loss, jitter and other chance follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Plays it. Call this before there is a second thread.
pub fn run(arguments: &LabArguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        lab::list(&scenario::scenarios()?);
        return Ok(ExitCode::SUCCESS);
    }
    lab::isolate()?;
    if arguments.shell {
        lab::open_shell(arguments.seed, lab::this_program())?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = LabOptions {
        runs: usize::from(arguments.runs),
        seed: arguments.seed,
        elastic: arguments.span,
        program: lab::this_program(),
    };
    let output = if arguments.json {
        LabOutput::dark()
    } else {
        LabOutput::stdout()
    };
    let report = lab::run_scenario(&arguments.scenario, &options, output)?;
    if arguments.json {
        lab::machine_readable(&report)?;
    }
    Ok(if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
