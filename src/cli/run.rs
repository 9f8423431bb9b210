//! `uplinkd run`

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::ConfigFile;
use crate::config::Config;

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
    let config = Config::load(&arguments.file.config)?;
    bail!("no daemon yet: {config:?} {}", arguments.observe);
}
