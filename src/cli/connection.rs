//! Where a command finds the configuration and the agent.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::config::{Config, ConfigError, defaults};
use crate::control::client::Client;

/// Where the configuration is.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = Config::default_path())]
    pub(super) config: PathBuf,
}

/// Where the agent is.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The agent's control socket [default: as configured]
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    #[command(flatten)]
    pub(super) file: ConfigFile,
}

impl ConfigFile {
    /// It is not the one at the usual place.
    pub(super) fn is_named(&self) -> bool {
        self.config.as_os_str() != Config::default_path()
    }
}

impl Connection {
    pub(super) fn open(&self) -> Result<Client> {
        Ok(Client::connect(&self.path()?)?)
    }

    /// Where nothing is configured the agent, if there is one, is at the default place.
    pub(super) fn path(&self) -> Result<PathBuf> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let is_named = self.file.is_named();
        match Config::load(&self.file.config) {
            Ok(config) => Ok(config.agent.control),
            Err(ConfigError::NoFile { .. }) if !is_named => Ok(defaults::CONTROL.into()),
            // Whatever is wrong with the file, an agent may run that has read a better one.
            Err(_) if !is_named && Path::new(defaults::CONTROL).exists() => {
                Ok(defaults::CONTROL.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
