//! `uplinkd completions` and `uplinkd man`: what packages install beside the program.

mod manual;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command, CommandFactory, ValueEnum};
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

/// The arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct ManualPage {
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

pub(super) fn man(arguments: &ManualPage) -> Result<ExitCode> {
    let page = match arguments.page {
        PageName::Uplinkd => program_page()?,
        PageName::UplinkdToml => manual::page("uplinkd.toml", "5", CONFIGURATION),
    };
    output::print(&page)?;
    Ok(ExitCode::SUCCESS)
}

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const ENVIRONS: &str = include_str!("../../docs/files.md");

/// The program, and each command with what may follow it.
fn program_page() -> Result<String> {
    let mut program = Cli::command().after_help(None::<&str>);
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
    text.extend(manual::sections(ENVIRONS).bytes());
    text.extend(SEE_ALSO.bytes());
    page.render_version_section(&mut text)?;
    Ok(String::from_utf8(text)?)
}

const SEE_ALSO: &str = "\
.SH \"SEE ALSO\"
\\fBuplinkd.toml\\fR(5), \\fBip\\-route\\fR(8), \\fBip\\-rule\\fR(8), \\fBsystemd\\fR(1)
.PP
The documents in /usr/share/doc/uplinkd/docs.
";

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
