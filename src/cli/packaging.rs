//! `uplinkd completions` and `uplinkd man`: what packages install beside the program.

mod manual;
mod program;
mod words;

use std::process::ExitCode;

use anyhow::Result;

use super::connection::{CONNECTION, Connection};
use super::output;
use super::syntax::{Argument, ArgumentForm, CommandForm, CommandRow, Given, text};
use manual::ManualPage;

pub use program::program;

pub(super) const COMPLETIONS: CommandRow = CommandRow {
    form: CommandForm {
        name: "completions",
        about: "Print the completions for a shell",
        arguments: &[SHELL],
    },
    connection: CONNECTION,
    run: completions,
};

const SHELL: Argument = Argument {
    form: ArgumentForm::Word("SHELL"),
    help: "Which shell; or the words that completions ask for",
    choices: &[
        "bash",
        "elvish",
        "fish",
        "powershell",
        "zsh",
        words::UPLINKS,
        words::SCENARIOS,
    ],
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

fn completions(given: &Given) -> Result<ExitCode> {
    let names = match given
        .need(&SHELL, text(|text| Ok::<_, &str>(text.to_owned())))?
        .as_str()
    {
        words::UPLINKS => words::uplinks(&Connection::read(given)?),
        words::SCENARIOS => words::scenarios()?,
        _ => {
            let shell = given.need(&SHELL, text(str::parse))?;
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program(), "uplinkd", &mut script);
            output::print(&words::with_words(shell, &String::from_utf8(script)?))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let lines = names.iter().map(|name| format!("{name}\n"));
    output::print(&lines.collect::<String>())?;
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
