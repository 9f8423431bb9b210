//! `uplinkd check`: first the configuration, then the machine it would run on.

mod facts;
mod findings;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::output::{self, Colour, Palette};
use super::{ConfigFile, exit_code};
use crate::config::{Config, ConfigError};
use crate::daemon;
use facts::Facts;
use findings::{Finding, Severity};

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    #[command(flatten)]
    file: ConfigFile,
    /// For machines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> Result<ExitCode> {
    let mut config = match Config::load(&arguments.file.config) {
        Ok(config) => config,
        Err(error) if arguments.json => {
            print_json(&of_configuration(&error))?;
            return Ok(exit_code(&error.into()));
        }
        Err(error) => return Err(error.into()),
    };
    daemon::find_networks(&mut config);
    let findings = findings::findings(&config, &Facts::gather(&config)?);
    if arguments.json {
        print_json(&findings)?;
    } else {
        output::print(&text(&config, &findings, Palette::of_stdout()))?;
    }
    let has_error = count(&findings, Severity::Error) > 0;
    Ok(if has_error {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is wrong with a configuration, in the form of findings.
fn of_configuration(error: &ConfigError) -> Vec<Finding> {
    let finding = |object: String, what: String| Finding {
        severity: Severity::Error,
        object,
        what,
        remedy: "correct the configuration".to_owned(),
    };
    match error {
        ConfigError::Refused { file, problems } => problems
            .iter()
            .map(|problem| {
                let text = problem.to_string();
                let (line, what) = text.split_once(": ").unwrap_or(("", &text));
                finding(format!("{file}:{line}"), what.to_owned())
            })
            .collect(),
        ConfigError::Read { path, source } => {
            let what = format!("cannot be read: {source}");
            vec![finding(path.display().to_string(), what)]
        }
        ConfigError::NoFile { path } | ConfigError::TooLarge(path) | ConfigError::NotText(path) => {
            vec![finding(path.display().to_string(), error.to_string())]
        }
    }
}

fn text(config: &Config, findings: &[Finding], palette: Palette) -> String {
    let lines = findings.iter().map(|finding| {
        let Finding {
            severity,
            object,
            what,
            remedy,
        } = finding;
        let (word, colour) = match severity {
            Severity::Error => ("error  ", Colour::Red),
            Severity::Warning => ("warning", Colour::Yellow),
            Severity::Note => ("note   ", Colour::Dim),
        };
        let word = palette.paint(colour, word);
        format!("{word}  {object}: {what}\n         {remedy}\n")
    });
    let text: String = lines.collect();
    text + &summary(config, findings)
}

fn summary(config: &Config, findings: &[Finding]) -> String {
    let uplinks = plural(config.engine.uplinks.len(), "uplink");
    let errors = plural(count(findings, Severity::Error), "error");
    let warnings = plural(count(findings, Severity::Warning), "warning");
    format!("{uplinks}: {errors}, {warnings}\n")
}

fn plural(count: usize, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {word}{ending}")
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    let of_severity = |finding: &&Finding| finding.severity == severity;
    findings.iter().filter(of_severity).count()
}

/// The JSON of `check --json`.
#[derive(Serialize)]
struct CheckReport<'a> {
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
}

fn print_json(findings: &[Finding]) -> Result<()> {
    let report = CheckReport {
        errors: count(findings, Severity::Error),
        warnings: count(findings, Severity::Warning),
        findings,
    };
    let json = serde_json::to_string_pretty(&report)?;
    output::print(&format!("{json}\n"))?;
    Ok(())
}
