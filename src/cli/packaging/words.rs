//! The words that only this machine knows: the names of uplinks and of scenarios. The completions ask for them.

use std::fmt::Write;

use anyhow::Result;
use clap_complete::Shell;

use crate::cli::COMMANDS;
use crate::cli::connection::Connection;
use crate::cli::status;
use crate::cli::syntax::{ArgumentForm, CommandRow};
use crate::config::Config;
use crate::units::sorted::SortedSet;

/// What completions ask for.
pub(super) const UPLINKS: &str = "uplinks";
pub(super) const SCENARIOS: &str = "scenarios";
/// By the place in which a command takes it.
const WORDS: [(&str, &str); 2] = [("NAME", UPLINKS), ("SCENARIO", SCENARIOS)];

/// The names of the scenarios.
#[cfg(feature = "lab")]
pub(super) fn scenarios() -> Result<Vec<String>> {
    let scenarios = crate::lab::scenario::scenarios()?.into_iter();
    Ok(scenarios.map(|scenario| scenario.name).collect())
}

/// There are none without the lab.
#[cfg(not(feature = "lab"))]
pub(super) fn scenarios() -> Result<Vec<String>> {
    Ok(Vec::new())
}

/// The names of the uplinks of the agent that runs, else those of the configuration.
pub(super) fn uplinks(connection: &Connection) -> Vec<String> {
    let running = connection.lasting();
    if let Ok(status) = running.and_then(|mut agent| status::ask(&mut agent)) {
        let uplinks = status.uplinks.iter();
        return uplinks.map(|uplink| uplink.name.to_string()).collect();
    }
    // What is wrong with it does not help who completes a word.
    let config = Config::load(&connection.file.config);
    let uplinks = config.map(|config| config.engine.uplinks);
    let uplinks = uplinks.unwrap_or_default().into_iter();
    uplinks.map(|uplink| uplink.name.to_string()).collect()
}

/// The completions of a shell, which ask for these words where a command takes one.
pub(super) fn with_words(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => bash(script),
        Shell::Zsh => zsh(script),
        Shell::Fish => fish(script),
        Shell::Elvish | Shell::PowerShell | _ => script.to_owned(),
    }
}

/// The commands that take a word of this kind.
fn commands(place: &str) -> Vec<&'static str> {
    let takes = |row: &&CommandRow| {
        row.arguments().any(|argument| match argument.form {
            ArgumentForm::Word(word) | ArgumentForm::OptionalWord(word) => word == place,
            ArgumentForm::Switch
            | ArgumentForm::Valued(_)
            | ArgumentForm::Dashed(_)
            | ArgumentForm::Optional { .. } => false,
        })
    };
    { COMMANDS.iter().filter(takes) }
        .map(|row| row.form.name)
        .collect()
}

/// The options that are followed by a value.
fn valued() -> String {
    let mut options = SortedSet::default();
    for row in COMMANDS.iter() {
        options.extend(row.arguments().filter_map(|argument| match argument.form {
            ArgumentForm::Valued(_) | ArgumentForm::Dashed(_) => Some(argument.name),
            ArgumentForm::Switch
            | ArgumentForm::Optional { .. }
            | ArgumentForm::Word(_)
            | ArgumentForm::OptionalWord(_) => None,
        }));
    }
    let options = options.iter().map(|option| format!("--{option}"));
    options.collect::<Vec<_>>().join("|")
}

/// A function around that of the script.
fn bash(script: &str) -> String {
    let mut cases = String::new();
    for (place, what) in WORDS {
        let _ = writeln!(
            cases,
            "        {}) what={what} ;;",
            commands(place).join("|")
        );
    }
    let valued = valued();
    let around = format!(
        "_uplinkd_with_words() {{
    _uplinkd \"$@\"
    local current=\"${{COMP_WORDS[COMP_CWORD]}}\" what
    [[ ${{COMP_CWORD}} -ge 2 && \"${{current}}\" != -* ]] || return 0
    case \"${{COMP_WORDS[COMP_CWORD - 1]}}\" in
        {valued}|=) return 0 ;;
    esac
    case \"${{COMP_WORDS[1]}}\" in
{cases}        *) return 0 ;;
    esac
    COMPREPLY=( $(compgen -W \"$(uplinkd completions \"${{what}}\" 2> /dev/null)\" -- \"${{current}}\") )
}}

"
    );
    let (functions, complete) = script.split_once("\nif [[ ").unwrap_or((script, ""));
    let complete = complete.replace("-F _uplinkd ", "-F _uplinkd_with_words ");
    format!("{functions}\n{around}if [[ {complete}")
}

/// A function in the place of files.
fn zsh(script: &str) -> String {
    let mut functions = String::new();
    let mut script = script.to_owned();
    for (place, what) in WORDS {
        let _ = write!(
            functions,
            "_uplinkd_{what}() {{
    local names; names=(${{(f)\"$(uplinkd completions {what} 2> /dev/null)\"}})
    compadd -a names
}}

"
        );
        script = script.replace(hint_of(place), &format!(":_uplinkd_{what}'"));
    }
    let end = "if [ \"$funcstack[1]\"";
    script.replacen(end, &format!("{functions}{end}"), 1)
}

/// What stands for a place until the words are known: see [`super::program`].
fn hint_of(place: &str) -> &'static str {
    if place == "NAME" {
        ":_hosts'"
    } else {
        ":_users'"
    }
}

fn fish(script: &str) -> String {
    let mut script = script.to_owned();
    for (place, what) in WORDS {
        for command in commands(place) {
            let _ = writeln!(
                script,
                "complete -c uplinkd -n \"__fish_uplinkd_using_subcommand {command}\" -f \
                 -a \"(uplinkd completions {what} 2> /dev/null)\""
            );
        }
    }
    script
}
