//! The configuration. A [`Config`] exists only as the result of parsing, and is right wherever it is.
//!
//! All that is wrong with a file is reported at once, each problem with its line. TOML and UCI become
//! the same tree of values, and one reading of it yields the settings:
//!
//! ```text
//!  toml_text ─┐              ┌─> agent, probe, health, failover, routing ─┐
//!             ├─> document ──┤                                           ├─> read ─> Config, Schema
//!  uci_text ──┴─> uci_tree   └─> uplinks, groups ────────────────────────┘
//!                                 each by section (a key) and kinds (what it may be)
//! ```
//!
//! # How to add a key
//!
//! A key exists by being read, in one line that holds its name, what it may be, and its default:
//!
//! ```text
//!  failback_after: section.read("failback_after", &DurationRange(Duration::ZERO..=DAY), secs(60)),
//! ```
//!
//! From that line follow the schema ([`schema()`]), the hints for misspelt and misplaced keys, the
//! default, the bounds in messages, the option of UCI in both directions, and the tests that hold the
//! sample, the documents and UCI to it. Five files, and two for people:
//!
//! 1. `src/engine/settings.rs` (or the struct of `src/config/agent.rs` or `routing.rs`): the field.
//! 2. `src/config/SECTION.rs`: the line above. A new kind of value goes to `src/config/kinds.rs`, what
//!    must hold between two keys to a `check_…` beside the line.
//! 3. The file that acts on it.
//! 4. A test of what it does.
//! 5. `config/uplinkd.toml`: what it means, and `#key = DEFAULT`.
//! 6. `docs/configuration.md`: its entry, which becomes uplinkd.toml(5); a test holds it to the program.
//! 7. `CHANGELOG.md`.

mod addresses;
mod agent;
pub mod defaults;
mod document;
mod drill;
mod error;
mod failover;
mod groups;
mod health;
mod hours;
mod kinds;
pub mod mwan3;
mod probe;
mod read;
mod routing;
mod schema;
mod section;
mod stated;
mod targets;
mod times;
mod toml_advice;
mod toml_text;
mod uci_text;
mod uci_tree;
mod uplinks;
pub mod wireguard;
pub mod write;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

pub use agent::{AgentSettings, LogSink, MetricsPlace, UbusPlace};
pub use error::{ConfigError, Fault, Hint, Problem, nearest, printable};
pub use read::{Config, schema};
pub use routing::{FlowSettings, LocalSockets, OnStop};
pub use schema::{KnownKey, Schema};
pub use stated::Stated;
pub use uplinks::Followed;

use section::{Form, Reading};

impl Config {
    /// Where the configuration is looked for unless another place is named.
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
        Self::load_stated(path).map(|(config, _)| config)
    }

    /// The same, with what the file states.
    pub fn load_stated(path: &Path) -> Result<(Self, Stated), ConfigError> {
        let text = match read(path) {
            Err(ConfigError::Read { path, source }) if source.kind() == ErrorKind::NotFound => {
                return Err(ConfigError::NoFile { path });
            }
            text => text?,
        };
        Self::parse_stated(&text, &path.display().to_string())
    }

    /// Parses the text of a file, TOML or UCI; `file_name` is what the errors call it.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        Self::parse_stated(text, file_name).map(|(config, _)| config)
    }

    /// The same, with what the text states.
    pub fn parse_stated(text: &str, file_name: &str) -> Result<(Self, Stated), ConfigError> {
        let refused = |mut problems: Vec<Problem>| {
            Problem::put_in_order(&mut problems);
            ConfigError::Refused {
                file: file_name.to_owned(),
                problems,
            }
        };
        // Some editors begin a file with it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let schema = schema();
        let form = form(text, file_name);
        let tree = match form {
            Form::Toml => toml_text::tree(text),
            Form::Uci => uci_tree::tree(text, &schema),
        };
        let (document, problems) = tree.map_err(refused)?;
        let stated = Stated::of(&document);
        let config = read::config(&document, Reading::new(form, schema, problems));
        Ok((config.map_err(refused)?, stated))
    }
}

/// A file whose name ends in `.toml` is TOML; so is one that begins, comments aside, with a `[` or a
/// line with a `=` in it that is no statement of UCI. Any other is UCI.
fn form(text: &str, file_name: &str) -> Form {
    let mut lines = text.lines().map(str::trim_start);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let is_like_toml = first.is_some_and(|line| {
        line.starts_with('[') || (line.contains('=') && !toml_text::is_uci(line))
    });
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
    String::from_utf8(bytes).map_err(|error| {
        let (before, bytes) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let line = before.split(|byte| *byte == b'\n').count();
        let byte = bytes.first().copied().unwrap_or_default();
        let what = format!("the byte {byte:#04x}; save the file as UTF-8");
        ConfigError::Refused {
            file: path.display().to_string(),
            problems: vec![Problem::of_syntax(line, "UTF-8", what)],
        }
    })
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
