//! `uplinkd run`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::connection::ConfigFile;
use crate::alert;
use crate::config::Config;
use crate::daemon::{self, Options};

/// The arguments of `run`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Probe and decide, but write nothing to the kernel
    #[arg(long)]
    observe: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
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
