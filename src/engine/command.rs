//! Commands of an operator, and why one is refused.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{Timestamp, UplinkName};

/// What an operator chooses by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Manual failover to an uplink until `auto`, as long as it is usable.
    Switch {
        /// Which uplink.
        uplink: UplinkName,
        /// The traffic stays there even when the uplink fails.
        #[serde(default)]
        pin: bool,
    },
    /// Back to automatic.
    Auto {},
    /// Maintenance of an uplink: no traffic, still probed.
    Disable {
        /// Which uplink.
        uplink: UplinkName,
        /// Established flows go on through it until they end, or for so long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drain: Option<Duration>,
    },
    /// The end of maintenance.
    Enable {
        /// Which uplink.
        uplink: UplinkName,
    },
}

impl Command {
    /// `switch NAME`
    pub const fn switch(uplink: UplinkName) -> Self {
        Self::Switch { uplink, pin: false }
    }

    /// `switch NAME --pin`
    pub const fn pin(uplink: UplinkName) -> Self {
        Self::Switch { uplink, pin: true }
    }

    /// `disable NAME`
    pub const fn disable(uplink: UplinkName) -> Self {
        Self::Disable {
            uplink,
            drain: None,
        }
    }

    /// `enable NAME`
    pub const fn enable(uplink: UplinkName) -> Self {
        Self::Enable { uplink }
    }
}

/// As it is typed at the command line.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch { uplink, pin: false } => write!(f, "switch {uplink}"),
            Self::Switch { uplink, pin: true } => write!(f, "switch {uplink} --pin"),
            Self::Auto {} => f.write_str("auto"),
            Self::Disable {
                uplink,
                drain: None,
            } => write!(f, "disable {uplink}"),
            Self::Disable {
                uplink,
                drain: Some(limit),
            } => {
                let limit = humantime::format_duration(*limit);
                write!(f, "disable {uplink} --drain={limit}")
            }
            Self::Enable { uplink } => write!(f, "enable {uplink}"),
        }
    }
}

/// A command with who gave it and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCommand {
    /// What is to be done.
    pub command: Command,
    /// A user of this machine, or the bus that it came by; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Caller>,
    /// When it was given, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Given by an unknown caller.
impl From<Command> for IssuedCommand {
    fn from(command: Command) -> Self {
        Self {
            command,
            by: None,
            at: None,
        }
    }
}

/// Who gives a command, as operators know them: a user of this machine, or the bus it came by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Caller(String);

impl Caller {
    /// The caller of this name.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The user of this number: by name if `passwd`, a text in the form of passwd(5), has one.
    pub fn user(uid: u32, passwd: &str) -> Self {
        let name = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
            (number.parse() == Ok(uid) && !name.is_empty()).then_some(name)
        });
        name.map_or_else(|| Self(format!("uid {uid}")), Self::named)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefusal {
    /// No uplink has this name.
    #[error("no uplink `{name}`; there are {}", list(known))]
    NoSuchUplink {
        /// The name that was given.
        name: UplinkName,
        /// The names of the configuration.
        known: Vec<UplinkName>,
    },
    /// It cannot carry traffic now.
    #[error("{uplink} cannot carry the traffic: {reason}")]
    Unusable {
        /// Which.
        uplink: UplinkName,
        /// Why.
        reason: String,
    },
    /// Nothing else could carry the traffic.
    #[error("{0} is the last usable uplink: nothing else could carry the traffic")]
    Last(UplinkName),
    /// The traffic is pinned to it.
    #[error("the traffic is pinned to {0}: `auto` first, or `switch` to another")]
    Pinned(UplinkName),
}

fn list(names: &[UplinkName]) -> String {
    let names: Vec<_> = names.iter().map(UplinkName::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_name_or_else_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/ash\nbroken\n:x:7:7::/:\nanna:x:1000:100::/:\n";
        let user = |uid| Caller::user(uid, passwd).to_string();
        assert_eq!(user(0), "root");
        assert_eq!(user(1000), "anna");
        assert_eq!(user(7), "uid 7");
        assert_eq!(user(1), "uid 1");
        assert_eq!(Caller::user(0, "").to_string(), "uid 0");
    }
}
