//! `uplinkd completions` and `uplinkd man`: what packages install beside the program.

mod manual;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use super::output;
use manual::ManualPage;

/// The arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// Which shell
    shell: Shell,
}

/// Prints the completions of `program` for a shell.
pub(super) fn completions(
    arguments: &CompletionsArguments,
    mut program: Command,
) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "uplinkd", &mut text);
    output::print(&String::from_utf8(text)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct PageArguments {
    /// Which page
    #[arg(value_enum, default_value = "uplinkd")]
    page: PageName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PageName {
    /// uplinkd(8)
    Uplinkd,
    /// uplinkd.toml(5)
    #[value(name = "uplinkd.toml")]
    UplinkdToml,
}

pub(super) fn man(arguments: &PageArguments) -> Result<ExitCode> {
    let page = match arguments.page {
        PageName::Uplinkd => ManualPage {
            name: "uplinkd",
            section: "8",
            synopsis: "uplinkd COMMAND [OPTION]... [ARGUMENT]...",
            documents: &[COMMANDS, FILES],
        },
        PageName::UplinkdToml => ManualPage {
            name: "uplinkd.toml",
            section: "5",
            synopsis: "/etc/uplinkd/uplinkd.toml",
            documents: &[CONFIGURATION],
        },
    };
    output::print(&page.roff())?;
    Ok(ExitCode::SUCCESS)
}

const COMMANDS: &str = include_str!("../../docs/commands.md");
const FILES: &str = include_str!("../../docs/files.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
