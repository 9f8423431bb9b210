//! `uplinkd import`: a configuration from that of another program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;

use super::output;
use super::syntax::{self, Argument, ArgumentForm, CommandForm, CommandRow, Given};
use crate::config::mwan3::{self, Mwan3Files};
use crate::config::{self, Config};

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "import",
        about: "Make a configuration from that of mwan3",
        arguments: &[PROGRAM, FILE, NETWORK, TOML],
    },
    connection: &[],
    run: |given| run(&ImportArguments::read(given)?),
};

const PROGRAM: Argument = Argument {
    form: ArgumentForm::Word("PROGRAM"),
    help: "The program that the configuration is of",
    choices: &["mwan3"],
    ..Argument::named("program")
};
const FILE: Argument = Argument {
    form: ArgumentForm::Word("FILE"),
    help: "The configuration, such as /etc/config/mwan3",
    ..Argument::named("file")
};
const NETWORK: Argument = Argument {
    form: ArgumentForm::Valued("FILE"),
    help: "The devices of interfaces [default: `network` beside]",
    ..Argument::named("network")
};
const TOML: Argument = Argument {
    help: "Write TOML instead of UCI",
    ..Argument::named("toml")
};

#[derive(Debug)]
struct ImportArguments {
    program: ImportedProgram,
    path: PathBuf,
    network: Option<PathBuf>,
    toml: bool,
}

#[derive(Clone, Copy, Debug)]
enum ImportedProgram {
    Mwan3,
}

impl ImportArguments {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            program: given.need(&PROGRAM, syntax::text(str::parse))?,
            path: given.need(&FILE, syntax::path)?,
            network: given.value(&NETWORK, syntax::path)?,
            toml: given.has(&TOML),
        })
    }
}

impl FromStr for ImportedProgram {
    type Err = &'static str;

    fn from_str(name: &str) -> std::result::Result<Self, Self::Err> {
        match name {
            "mwan3" => Ok(Self::Mwan3),
            _ => Err("known is `mwan3`"),
        }
    }
}

fn run(arguments: &ImportArguments) -> Result<ExitCode> {
    let text = config::read(&arguments.path)?;
    let network = network(arguments);
    let network_text = network.as_deref().map(config::read).transpose()?;
    let name = |path: &Path| path.display().to_string();
    let (file, network) = (name(&arguments.path), network.as_deref().map(name));
    let files = Mwan3Files {
        mwan3: (&file, &text),
        network: network.as_deref().zip(network_text.as_deref()),
    };
    let draft = match arguments.program {
        ImportedProgram::Mwan3 => mwan3::import(files)?,
    };
    let (text, form) = if arguments.toml {
        (draft.to_toml(), "result.toml")
    } else {
        (draft.to_uci(), "result")
    };
    output::print(&text)?;
    // The result is printed even if it is wrong, with what is wrong, so that it can be corrected.
    Config::parse(&text, form)?;
    Ok(ExitCode::SUCCESS)
}

/// The file of the network. One that is not named need not exist.
fn network(arguments: &ImportArguments) -> Option<PathBuf> {
    let beside = arguments.path.with_file_name("network");
    let beside = Some(beside).filter(|path| path.is_file());
    arguments.network.clone().or(beside)
}
