//! Where a command finds the configuration and the agent.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::syntax::{Argument, ArgumentForm, Given, path};
use crate::config::{Config, ConfigError, defaults};
use crate::control::client::{Client, ClientError};
use crate::control::{Request, Response};

pub(super) const CONFIG: Argument = Argument {
    form: ArgumentForm::Valued("FILE"),
    help: "The configuration",
    default: Some(Config::default_path),
    ..Argument::named("config")
};
pub(super) const SOCKET: Argument = Argument {
    form: ArgumentForm::Valued("PATH"),
    help: "The agent's control socket [default: as configured]",
    ..Argument::named("socket")
};

/// By which a command finds the agent.
pub(super) const CONNECTION: &[Argument] = &[SOCKET, CONFIG];

/// Where the configuration is.
#[derive(Debug)]
pub(super) struct ConfigFile {
    pub(super) config: PathBuf,
}

/// Where the agent is.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Option<PathBuf>,
    pub(super) file: ConfigFile,
}

/// A connection that is made anew after the agent was away.
#[derive(Debug)]
pub(super) struct LastingConnection {
    path: PathBuf,
    client: Option<Client>,
}

impl LastingConnection {
    /// Asks one thing. After a failure the next question goes to whatever agent is there then.
    pub(super) fn request(&mut self, request: &Request) -> Result<Response> {
        self.with(|client| client.request(request))
    }

    /// A connection to the same agent beside this one.
    pub(super) fn another(&self) -> Result<Client> {
        Ok(Client::connect(&self.path)?)
    }

    /// Does something with the connection.
    pub(super) fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.path)?,
        };
        let outcome = act(&mut client)?;
        self.client = Some(client);
        Ok(outcome)
    }
}

impl ConfigFile {
    /// By [`CONFIG`].
    pub(super) fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            config: given.need(&CONFIG, path)?,
        })
    }

    /// It is not the one at the usual place.
    pub(super) fn is_named(&self) -> bool {
        self.config.as_os_str() != Config::default_path()
    }
}

impl Connection {
    /// By [`SOCKET`] and [`CONFIG`].
    pub(super) fn read(given: &Given) -> Result<Self> {
        Ok(Self {
            socket: given.value(&SOCKET, path)?,
            file: ConfigFile::read(given)?,
        })
    }

    pub(super) fn open(&self) -> Result<Client> {
        Ok(Client::connect(&self.path()?)?)
    }

    /// The same, for one who goes on when the agent is restarted.
    pub(super) fn lasting(&self) -> Result<LastingConnection> {
        let path = self.path()?;
        let client = Some(Client::connect(&path)?);
        Ok(LastingConnection { path, client })
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
