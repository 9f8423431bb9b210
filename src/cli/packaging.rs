//! `uplinkd completions` and `uplinkd man`: what packages install beside the program.

mod manual;
mod program;

use std::process::ExitCode;

use anyhow::Result;
use clap_complete::Shell;

use super::output;
use super::syntax::{Argument, ArgumentForm, CommandForm, CommandRow, text};
use manual::ManualPage;

pub use program::program;

pub(super) const COMPLETIONS: CommandRow = CommandRow {
    form: CommandForm {
        name: "completions",
        about: "Print the completions for a shell",
        arguments: &[SHELL],
    },
    connection: &[],
    run: |given| completions(given.need(&SHELL, text(str::parse))?),
};

const SHELL: Argument = Argument {
    form: ArgumentForm::Word("SHELL"),
    help: "Which shell",
    choices: &["bash", "elvish", "fish", "powershell", "zsh"],
    ..Argument::named("shell")
};

pub(super) const MAN: CommandRow = CommandRow {
    form: CommandForm {
        name: "man",
        about: "Print a manual page",
        arguments: &[PAGE],
    },
    connection: &[],
    run: |given| man(given.need(&PAGE, text(page))?),
};

const PAGE: Argument = Argument {
    form: ArgumentForm::OptionalWord("PAGE"),
    help: "Which page",
    default: Some(|| "uplinkd"),
    choices: &["uplinkd", "uplinkd.toml"],
    ..Argument::named("page")
};

fn completions(shell: Shell) -> Result<ExitCode> {
    let mut completions = Vec::new();
    clap_complete::generate(shell, &mut program(), "uplinkd", &mut completions);
    output::print(&String::from_utf8(completions)?)?;
    Ok(ExitCode::SUCCESS)
}

fn man(page: &ManualPage) -> Result<ExitCode> {
    output::print(&page.roff())?;
    Ok(ExitCode::SUCCESS)
}

fn page(name: &str) -> Result<&'static ManualPage, &'static str> {
    let page = PAGES.iter().find(|page| page.name == name);
    page.ok_or("there is no such page")
}

const PAGES: &[ManualPage] = &[
    ManualPage {
        name: "uplinkd",
        section: "8",
        synopsis: "uplinkd COMMAND [OPTION]... [ARGUMENT]...",
        documents: &[
            include_str!("../../docs/commands.md"),
            include_str!("../../docs/files.md"),
        ],
    },
    ManualPage {
        name: "uplinkd.toml",
        section: "5",
        synopsis: "/etc/uplinkd/uplinkd.toml",
        documents: &[include_str!("../../docs/configuration.md")],
    },
];
