//! `uplinkd completions` and `uplinkd man`: what packages install beside the program.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, output};

/// The arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

pub(super) fn completions(arguments: &Completions) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "uplinkd", &mut text);
    output::print(&String::from_utf8(text)?)?;
    Ok(ExitCode::SUCCESS)
}

/// One page: the program's own, and each command with what may follow it.
pub(super) fn man() -> Result<ExitCode> {
    let mut program = Cli::command();
    program.build();
    let mut text = Vec::new();
    let page = Man::new(program.clone()).section("8");
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    for command in program.get_subcommands() {
        describe(command, &mut text)?;
    }
    page.render_extra_section(&mut text)?;
    page.render_version_section(&mut text)?;
    output::print(&String::from_utf8(text)?)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(command: &Command, text: &mut Vec<u8>) -> Result<()> {
    text.extend(format!(".SH \"uplinkd {}\"\n", command.get_name()).bytes());
    let about = command.get_about().map(ToString::to_string);
    text.extend(format!("{}\n", about.unwrap_or_default()).bytes());
    let page = Man::new(command.clone());
    let mut options = Vec::new();
    page.render_options_section(&mut options)?;
    // Within the section of the command, which has a title of its own.
    text.extend(
        String::from_utf8(options)?
            .replace(".SH OPTIONS", ".SS OPTIONS")
            .bytes(),
    );
    Ok(())
}
