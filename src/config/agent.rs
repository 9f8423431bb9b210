//! `[agent]`: how the agent meets the world.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::document::ConfigValue;
use super::error::Fault;
use super::kinds::{DIRECTORY, FILE_OR_OFF, Own, SOCKET, ValueKind, Words, own, text};
use super::section::Section;

/// How the agent meets the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// The path of the control socket.
    pub control: PathBuf,
    /// Where what was learnt is kept.
    pub state_dir: PathBuf,
    /// Where the log goes.
    pub log: LogSink,
    /// The directory of the programs that are run at events.
    pub hooks: PathBuf,
    /// The file in which the engine's inputs are recorded, if they are.
    pub record: Option<PathBuf>,
    /// Where ubusd listens.
    pub ubus: UbusPlace,
}

/// Where ubusd, the bus of OpenWrt, listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UbusPlace {
    /// At its usual place, if it is there.
    #[default]
    Auto,
    /// It is not used.
    Off,
    /// At this path.
    At(PathBuf),
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSink {
    /// To journald if it holds the standard error, to syslog for a service beside one, to standard
    /// error otherwise.
    #[default]
    Auto,
    /// To `/dev/log`.
    Syslog,
    /// To journald, with fields.
    Journald,
    /// To standard error.
    Stderr,
}

/// The default of `control`.
pub const CONTROL: &str = "/run/uplinkd/control.sock";

const LOG_SINKS: Words<LogSink> = Words(&[
    ("auto", LogSink::Auto),
    ("syslog", LogSink::Syslog),
    ("journald", LogSink::Journald),
    ("stderr", LogSink::Stderr),
]);

pub(super) fn read(section: &Section<'_>) -> AgentSettings {
    section.not_yet("metrics");
    AgentSettings {
        control: section.read("control", &SOCKET, CONTROL.into()),
        state_dir: section.read("state_dir", &DIRECTORY, "/var/lib/uplinkd".into()),
        log: section.read("log", &LOG_SINKS, LogSink::Auto),
        hooks: section.read("hooks", &DIRECTORY, "/etc/uplinkd/hooks.d".into()),
        record: section.read("record", &FILE_OR_OFF, None),
        ubus: section.read("ubus", &UBUS, UbusPlace::Auto),
    }
}

const UBUS: Own<UbusPlace> = own(
    "\"auto\", \"off\" or the absolute path of a socket",
    |value: &ConfigValue| match text(value)? {
        "auto" => Ok(UbusPlace::Auto),
        "off" => Ok(UbusPlace::Off),
        _ => {
            let path = SOCKET.parse(value).ok();
            let refused = || Fault::value(value, UBUS.takes());
            path.map(UbusPlace::At).ok_or_else(refused)
        }
    },
);
