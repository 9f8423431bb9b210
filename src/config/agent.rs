//! `[agent]`: how the agent meets the world.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::addresses::NET;
use super::document::ConfigValue;
use super::error::{Fault, Hint};
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
    /// The status in the form of mwan3 is offered there where mwan3 is not installed.
    pub ubus_mwan3: bool,
    /// Where metrics are offered.
    pub metrics: MetricsPlace,
    /// Where the status page is served, if it is.
    pub web: Option<SocketAddr>,
    /// The networks that may read it, beside this machine itself.
    pub web_allow: Vec<IpNet>,
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

/// Where metrics are offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MetricsPlace {
    /// Nowhere.
    #[default]
    Off,
    /// At an address of this machine itself.
    Tcp(SocketAddr),
    /// At a Unix socket.
    Unix(PathBuf),
    /// In a file, for the textfile collector of a node exporter.
    File(PathBuf),
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

const MWAN3: Words<bool> = Words(&[("auto", true), ("off", false)]);

const LOG_SINKS: Words<LogSink> = Words(&[
    ("auto", LogSink::Auto),
    ("syslog", LogSink::Syslog),
    ("journald", LogSink::Journald),
    ("stderr", LogSink::Stderr),
]);

pub(super) fn read(section: &Section<'_>) -> AgentSettings {
    section.not_yet("control_group");
    let (web, web_allow) = web(section);
    AgentSettings {
        control: section.read("control", &SOCKET, CONTROL.into()),
        state_dir: section.read("state_dir", &DIRECTORY, "/var/lib/uplinkd".into()),
        log: section.read("log", &LOG_SINKS, LogSink::Auto),
        hooks: section.read("hooks", &DIRECTORY, "/etc/uplinkd/hooks.d".into()),
        record: section.read("record", &FILE_OR_OFF, None),
        ubus: section.read("ubus", &UBUS, UbusPlace::Auto),
        ubus_mwan3: section.read("ubus_mwan3", &MWAN3, true),
        metrics: section.read("metrics", &METRICS, MetricsPlace::Off),
        web,
        web_allow,
    }
}

/// The address of the status page, and the networks that may read it.
fn web(section: &Section<'_>) -> (Option<SocketAddr>, Vec<IpNet>) {
    let web = section.read("web", &WEB, None);
    let allow = section.list("web_allow", &NET, Vec::new());
    if let Some(address) = web.filter(|address| !address.ip().is_loopback() && allow.is_empty()) {
        let bound = "an address of this machine itself, as long as `web_allow` names no network";
        section.refuse("web", Fault::value(address, bound));
    }
    (web, allow)
}

const WEB: Own<Option<SocketAddr>> = own(
    "\"off\" or an address with a port, such as \"127.0.0.1:9465\"",
    |value: &ConfigValue| match text(value)? {
        "off" => Ok(None),
        written => match written.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Some(address)),
            Ok(_) | Err(_) => Err(Fault::value_or(value, WEB.takes(), port_hint(written))),
        },
    },
);

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

const METRICS: Own<MetricsPlace> = own(
    "\"off\", an address of this machine itself such as \"127.0.0.1:9464\", \"unix:PATH\" or \"file:PATH\"",
    |value: &ConfigValue| {
        let text = text(value)?;
        let refused = |hint| Fault::value_or(value, METRICS.takes(), hint);
        let path_in = |text: &str| ConfigValue::Text(text.to_owned());
        match text.split_once(':') {
            None if text == "off" => Ok(MetricsPlace::Off),
            Some(("unix", path)) => {
                let path = SOCKET.parse(&path_in(path)).ok();
                path.map(MetricsPlace::Unix)
                    .ok_or_else(|| refused(Hint::None))
            }
            Some(("file", path)) => {
                let path = FILE_OR_OFF.parse(&path_in(path)).ok().flatten();
                path.map(MetricsPlace::File)
                    .ok_or_else(|| refused(Hint::None))
            }
            Some(_) | None => match text.parse::<SocketAddr>() {
                Ok(address) if address.port() == 0 => Err(refused(Hint::None)),
                Ok(address) if address.ip().is_loopback() => Ok(MetricsPlace::Tcp(address)),
                Ok(_) => Err(refused(Hint::Advice(
                    "they are not protected: offer them to other machines by a proxy with access control".to_owned(),
                ))),
                Err(_) => Err(refused(port_hint(text))),
            },
        }
    },
);

/// A port alone is meant to be at this machine itself.
fn port_hint(text: &str) -> Hint {
    let port = text.trim_start_matches("localhost").trim_start_matches(':');
    match port.parse::<u16>() {
        Ok(port) => Hint::write(format_args!("\"127.0.0.1:{port}\"")),
        Err(_) => Hint::None,
    }
}
