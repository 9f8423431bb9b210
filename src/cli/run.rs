//! `uplinkd run`

use std::process::ExitCode;

use anyhow::Result;

use super::connection::{CONFIG, ConfigFile};
use super::syntax::{Argument, CommandForm, CommandRow, Given};
use crate::alert;
use crate::config::Config;
use crate::daemon::{self, Options};

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "run",
        about: "Run the agent in the foreground",
        arguments: &[CONFIG, OBSERVE],
    },
    connection: &[],
    run: |given| run(&RunArguments::read(given)?),
};

const OBSERVE: Argument = Argument {
    help: "Probe and decide, but write nothing to the kernel",
    ..Argument::named("observe")
};

#[derive(Debug)]
struct RunArguments {
    file: ConfigFile,
    observe: bool,
}

impl RunArguments {
    fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            file: ConfigFile::read(given)?,
            observe: given.has(&OBSERVE),
        })
    }
}

fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let (config, stated) = Config::load_stated(&arguments.file.config)?;
    alert::init(config.agent.log)?;
    let options = Options {
        observe: arguments.observe,
        config_path: arguments.file.config.clone(),
        stated,
    };
    daemon::run(config, options)?;
    Ok(ExitCode::SUCCESS)
}
