//! The configuration. A [`Config`] exists only as the result of parsing, and whoever holds one need
//! not check it again.
//!
//! All that is wrong with a file is reported at once, each problem with its line. TOML and UCI become
//! the same tree of values, so that they share one schema.

pub mod defaults;
mod error;
mod groups;
pub mod mwan3;
mod options;
mod raw;
mod read;
pub mod schema;
mod section;
mod uci;
mod uplinks;
mod values;
pub mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use error::{ConfigError, Fault, Problem};

use section::{Form, Problems};

use crate::engine::settings::Settings;
use crate::routing::Gateway;
use crate::units::{InterfaceName, UplinkName};

/// What a configuration file says, checked, with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How the agent meets the world.
    pub agent: AgentSettings,
    /// What the decisions are made by. The seed is 0: the daemon chooses one.
    pub engine: Settings,
    /// The uplinks that are where a network of netifd is.
    pub networks: BTreeMap<UplinkName, Followed>,
    /// What becomes of our routes and rules at a clean stop.
    pub on_stop: OnStop,
    /// What becomes of flows when the traffic goes another way.
    pub flows: FlowSettings,
}

/// An uplink that is where a network of netifd is, and what the file says where netifd says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The name of the network.
    pub network: InterfaceName,
    /// The IPv4 next hop.
    pub gateway: Gateway,
    /// The IPv6 next hop.
    pub gateway6: Gateway,
}

/// What becomes of the flows of an uplink that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSettings {
    /// Of one that no longer carries traffic as it should.
    pub on_failover: Flows,
    /// Of one that is left although it is well, as at a failback.
    pub on_failback: Flows,
    /// Of the connections of the machine itself.
    pub local_sockets: LocalSockets,
}

/// What becomes of flows whose uplink is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flows {
    /// They are ended, so that they begin anew where the traffic goes now.
    #[default]
    Move,
    /// They are left to the kernel.
    Keep,
}

/// What becomes of connections of the machine itself by an address that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalSockets {
    /// They go on by their uplink, for as long as that works.
    #[default]
    Keep,
    /// They are ended together with the flows.
    End,
}

/// How the agent meets the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// The path of the control socket.
    pub control: PathBuf,
    /// Where what was learnt is kept.
    pub state_dir: PathBuf,
    /// Where the log goes.
    pub log: LogSink,
    /// Where the programs are that are run when something happens.
    pub hooks: PathBuf,
    /// Where what the engine is told is recorded, if it is.
    pub record: Option<PathBuf>,
    /// Where ubusd listens.
    pub ubus: UbusPlace,
}

/// Where ubusd, the bus of OpenWrt, listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UbusPlace {
    /// Where it usually does, if there is one.
    #[default]
    Auto,
    /// It is left alone.
    Off,
    /// At this path.
    At(PathBuf),
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSink {
    /// To journald if it holds our standard error, to syslog if we are a service beside one, to
    /// standard error otherwise.
    #[default]
    Auto,
    /// To `/dev/log`.
    Syslog,
    /// To journald, with fields.
    Journald,
    /// To standard error.
    Stderr,
}

/// What becomes of our routes and rules at a clean stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStop {
    /// They are removed, and the machine's own default route takes over.
    #[default]
    Remove,
    /// They stay as they are.
    Keep,
}

impl Config {
    /// Where the configuration is looked for unless told otherwise.
    pub const DEFAULT_PATH: &str = "/etc/uplinkd/uplinkd.toml";

    /// Where it is looked for if it is not there: its place on OpenWrt.
    pub const UCI_PATH: &str = "/etc/config/uplinkd";

    /// Where it is.
    pub fn default_path() -> &'static str {
        let is_there = |path: &str| Path::new(path).exists();
        if is_there(Self::UCI_PATH) && !is_there(Self::DEFAULT_PATH) {
            Self::UCI_PATH
        } else {
            Self::DEFAULT_PATH
        }
    }

    /// Reads and parses a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, &path.display().to_string())
    }

    /// Parses the text of a file, TOML or UCI; `file_name` is what the errors call it.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        let refused = |mut problems: Vec<Problem>| {
            Problem::put_in_order(&mut problems);
            ConfigError::Refused {
                file: file_name.to_owned(),
                problems,
            }
        };
        // Some editors begin a file with it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let form = form(text, file_name);
        let (document, problems) = match form {
            Form::Toml => (raw::Node::from_toml(text).map_err(refused)?, Vec::new()),
            Form::Uci => options::tree(text).map_err(refused)?,
        };
        read::config(&document, Problems::new(form, problems)).map_err(refused)
    }
}

/// A file whose name ends in `.toml` is TOML; so is one that begins, comments aside, with a `[` or a
/// line with a `=` in it that is no section of UCI. Any other is UCI.
fn form(text: &str, file_name: &str) -> Form {
    let mut lines = text.lines().map(str::trim_start);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let is_section = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("config" | "package")) && words.next() != Some("=")
    };
    let is_like_toml = first
        .is_some_and(|line| line.starts_with('[') || (line.contains('=') && !is_section(line)));
    let extension = Path::new(file_name).extension();
    if extension.is_some_and(|extension| extension == "toml") || is_like_toml {
        Form::Toml
    } else {
        Form::Uci
    }
}

/// The text of a file that is no larger than a configuration.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let bytes = read_limited(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() > MAX_BYTES {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::NotText(path.to_owned()))
}

/// A configuration of a thousand uplinks would not be as long as this.
const MAX_BYTES: usize = 1 << 20;

/// One byte more than is allowed at most, so that a device file cannot fill the memory.
fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
