//! `uplinkd check`

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::ConfigFile;
use crate::config::Config;

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// For machines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let _config = Config::load(&arguments.file.config)?;
    let _ = arguments.json;
    Ok(ExitCode::SUCCESS)
}
