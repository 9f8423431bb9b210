//! `uplinkd check`: first the configuration, then the machine it would run on.

mod clashes;
mod facts;
mod finding;
mod findings;
mod flow_memory;
mod hooks;
mod hours;

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::connection::{CONFIG, ConfigFile};
use super::failure::exit_code;
use super::output::{self, Colour, Palette, wrapped};
use super::syntax::{Argument, CommandForm, CommandRow, Given};
use crate::config::{Config, ConfigError, printable};
use crate::daemon;
use crate::engine::settings::Flows;
use crate::units::UplinkName;
use crate::units::counting::plural;
use crate::units::sorted::SortedMap;
use facts::Facts;
use finding::{Finding, FindingSeverity};

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "check",
        about: "Look for mistakes in the configuration and on this machine",
        arguments: &[CONFIG, JSON],
    },
    connection: &[],
    run: |given| run(&CheckArguments::read(given)?),
};

const JSON: Argument = Argument {
    help: "For machines",
    ..Argument::named("json")
};

#[derive(Debug)]
struct CheckArguments {
    file: ConfigFile,
    json: bool,
}

impl CheckArguments {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            file: ConfigFile::read(given)?,
            json: given.has(&JSON),
        })
    }
}

fn run(arguments: &CheckArguments) -> Result<ExitCode> {
    let mut config = match Config::load(&arguments.file.config) {
        Ok(config) => config,
        Err(error) if arguments.json => {
            print_json(&of_configuration(&error), SortedMap::new())?;
            return Ok(exit_code(&error.into()));
        }
        Err(error) => return Err(error.into()),
    };
    daemon::find_networks(&mut config);
    let facts = Facts::gather(&config)?;
    let findings = findings::findings(&config, &facts);
    let fates = flow_memory::on_failback(&config, &facts);
    if arguments.json {
        print_json(&findings, fates)?;
    } else {
        let palette = Palette::of_stdout();
        let paint = |colour, word: &str| palette.paint(colour, word);
        let mut text = text(&config, &findings, paint, output::width());
        text.push_str(&on_failback(&fates));
        output::print(&text)?;
    }
    let has_error = count(&findings, FindingSeverity::Error) > 0;
    Ok(if has_error {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is wrong with a configuration, in the form of findings.
fn of_configuration(error: &ConfigError) -> Vec<Finding> {
    let finding = |object: String, what: String| Finding {
        severity: FindingSeverity::Error,
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
        ConfigError::NoFile { path } | ConfigError::TooLarge(path) => {
            vec![finding(path.display().to_string(), error.to_string())]
        }
    }
}

fn text(
    config: &Config,
    findings: &[Finding],
    paint: impl Fn(Colour, &str) -> String,
    columns: usize,
) -> String {
    const INDENT: usize = 9;
    const ARROW: &str = "-> ";
    let mut text = String::new();
    for finding in findings {
        let (word, colour) = match finding.severity {
            FindingSeverity::Error => ("error", Colour::Red),
            FindingSeverity::Warning => ("warning", Colour::Yellow),
            FindingSeverity::Note => ("note", Colour::Dim),
        };
        let what = printable(format!("{}: {}", finding.object, finding.what));
        let remedy = printable(&finding.remedy);
        let room = columns.saturating_sub(INDENT);
        let what = wrapped(&what, room).join(&format!("\n{:INDENT$}", ""));
        let remedy = wrapped(&remedy, room.saturating_sub(ARROW.len()));
        let remedy = remedy.join(&format!("\n{:1$}", "", INDENT + ARROW.len()));
        let word = paint(colour, &format!("{word:<INDENT$}"));
        text.extend([
            &*word,
            &*what,
            "\n",
            &" ".repeat(INDENT),
            ARROW,
            &*remedy,
            "\n",
        ]);
    }
    text + &summary(config, findings)
}

fn summary(config: &Config, findings: &[Finding]) -> String {
    let uplinks = plural(config.engine.uplinks.len(), "uplink");
    let errors = plural(count(findings, FindingSeverity::Error), "error");
    let warnings = plural(count(findings, FindingSeverity::Warning), "warning");
    format!("{uplinks}: {errors}, {warnings}\n")
}

/// What `flows_on_failback` comes to on this machine.
fn on_failback(fates: &SortedMap<UplinkName, Flows>) -> String {
    let of = |fate| {
        let own = fates.iter().filter(move |(_, own)| **own == fate);
        own.map(|(uplink, _)| uplink.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (of(Flows::Keep), of(Flows::Move)) {
        (_, moved) if moved.is_empty() => "flows on failback: keep\n".to_owned(),
        (kept, _) if kept.is_empty() => "flows on failback: move\n".to_owned(),
        (kept, moved) => format!("flows on failback: keep on {kept}; move on {moved}\n"),
    }
}

fn count(findings: &[Finding], severity: FindingSeverity) -> usize {
    let of_severity = |finding: &&Finding| finding.severity == severity;
    findings.iter().filter(of_severity).count()
}

/// The JSON of `check --json`.
#[derive(Serialize)]
struct CheckReport<'a> {
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
    /// What becomes of the flows of each uplink when it is left while it is healthy.
    flows_on_failback: SortedMap<UplinkName, Flows>,
}

fn print_json(findings: &[Finding], flows_on_failback: SortedMap<UplinkName, Flows>) -> Result<()> {
    let report = CheckReport {
        errors: count(findings, FindingSeverity::Error),
        warnings: count(findings, FindingSeverity::Warning),
        findings,
        flows_on_failback,
    };
    let json = serde_json::to_string_pretty(&report)?;
    output::print(&format!("{json}\n"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_fit_the_terminal_without_breaking_words_or_obeying_names() {
        let text_of_uplink = "[[uplink]]\nname = \"a\"\ninterface = \"b\"\ntier = 1\n";
        let config = Config::parse(text_of_uplink, "a.toml").expect("a configuration");
        let finding = Finding {
            severity: FindingSeverity::Warning,
            object: "uplink \u{1b}[31m".to_owned(),
            what: "is a word ".repeat(20).trim().to_owned(),
            remedy: "do that or this ".repeat(20).trim().to_owned(),
        };
        let findings = [finding];
        for columns in [40, 80, 200] {
            let shown = text(&config, &findings, |_, word| word.to_owned(), columns);
            assert!(
                shown.lines().all(|line| line.chars().count() <= columns),
                "{shown}"
            );
            assert!(
                shown.lines().any(|line| line.chars().count() > columns / 2),
                "{shown}"
            );
            assert!(!shown.contains('\u{1b}'), "{shown:?}");
            let words = |text: &str| {
                text.split_whitespace()
                    .filter(|word| *word == "word")
                    .count()
            };
            assert_eq!(words(&shown), 20, "{shown}");
        }
    }
}
