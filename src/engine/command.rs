//! Commands of an operator, and why one is refused.
//!
//! By its row in [`FORMS`] a command is one of the command line and a method on ubus; by the attributes of serde
//! it is a line of the control socket.

mod data;
pub mod form;
mod spans;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{Timestamp, UplinkName};
pub use data::{InvalidUsedData, UsedData};
use form::{Argument, ArgumentForm, CommandForm};
pub use spans::{DrainLimit, DrillSpan, InvalidDrainLimit, InvalidDrillSpan};

/// How the commands are written: each argument is a field of its variant.
pub const FORMS: &[CommandForm] = &[
    CommandForm {
        name: "switch",
        about: "Send the traffic through one uplink until `auto`",
        arguments: &[
            UPLINK,
            Argument {
                help: "Stay there even if it fails",
                ..Argument::named("pin")
            },
        ],
    },
    CommandForm {
        name: "auto",
        about: "Let the agent choose again",
        arguments: &[],
    },
    CommandForm {
        name: "disable",
        about: "Take an uplink out for maintenance: no traffic, still probed",
        arguments: &[
            UPLINK,
            Argument {
                form: ArgumentForm::Optional {
                    value: "LIMIT",
                    usual: DrainLimit::USUAL,
                },
                help: "Let its flows end first, within LIMIT (1s to 7days)",
                check: form::parses::<DrainLimit>,
                ..Argument::named("drain")
            },
            Argument {
                help: "Even while the others are only recovering",
                ..Argument::named("force")
            },
        ],
    },
    CommandForm {
        name: "enable",
        about: "End the maintenance of an uplink",
        arguments: &[UPLINK],
    },
    CommandForm {
        name: "drill",
        about: "Test the failover: the path of the active uplink really fails",
        arguments: &[
            UPLINK,
            Argument {
                form: ArgumentForm::Valued("SPAN"),
                help: "How long it fails (1s to 10m)",
                check: form::parses::<DrillSpan>,
                default: Some(|| DrillSpan::USUAL),
                ..Argument::named("for")
            },
        ],
    },
    CommandForm {
        name: "forget",
        about: "Forget what was learnt of an uplink: loss, silences, failures",
        arguments: &[UPLINK],
    },
    CommandForm {
        name: "allowance",
        about: "Set right how much of the allowance of an uplink is used",
        arguments: &[
            UPLINK,
            Argument {
                form: ArgumentForm::Valued("BYTES"),
                help: "So much in this period, such as 12GB or 800MB",
                check: form::parses::<UsedData>,
                is_required: true,
                ..Argument::named("used")
            },
        ],
    },
];

const UPLINK: Argument = Argument {
    form: ArgumentForm::Word("NAME"),
    help: "The name of the uplink",
    check: form::parses::<UplinkName>,
    ..Argument::named("uplink")
};

/// What an operator chooses by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Send the traffic through one uplink until `auto`
    Switch {
        /// The name of the uplink
        uplink: UplinkName,
        /// Stay there even if it fails
        #[serde(default)]
        pin: bool,
    },
    /// Let the agent choose again
    Auto,
    /// Take an uplink out for maintenance: no traffic, still probed
    Disable {
        /// The name of the uplink
        uplink: UplinkName,
        /// Let its flows end first, within LIMIT (1s to 7days)
        #[serde(
            default,
            deserialize_with = "spans::drain",
            skip_serializing_if = "Option::is_none"
        )]
        drain: Option<DrainLimit>,
        /// Even while the others are only recovering
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// End the maintenance of an uplink
    Enable {
        /// The name of the uplink
        uplink: UplinkName,
    },
    /// Test the failover: the path of the active uplink really fails
    Drill {
        /// The name of the uplink
        uplink: UplinkName,
        /// How long it fails (1s to 10m)
        #[serde(rename = "for", default)]
        lasts: DrillSpan,
    },
    /// Forget what was learnt of an uplink: loss, silences, failures
    Forget {
        /// The name of the uplink
        uplink: UplinkName,
    },
    /// Set right how much of the allowance of an uplink is used
    Allowance {
        /// The name of the uplink
        uplink: UplinkName,
        /// So much in this period, such as 12GB or 800MB
        used: UsedData,
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
            force: false,
        }
    }

    /// `enable NAME`
    pub const fn enable(uplink: UplinkName) -> Self {
        Self::Enable { uplink }
    }
}

impl Command {
    /// The uplink that it names.
    pub(super) const fn uplink(&self) -> Option<&UplinkName> {
        match self {
            Self::Switch { uplink, .. }
            | Self::Disable { uplink, .. }
            | Self::Enable { uplink }
            | Self::Drill { uplink, .. }
            | Self::Allowance { uplink, .. }
            | Self::Forget { uplink } => Some(uplink),
            Self::Auto => None,
        }
    }

    /// The uplink whose failover it tests.
    pub(super) const fn drilled(&self) -> Option<&UplinkName> {
        match self {
            Self::Drill { uplink, .. } => Some(uplink),
            Self::Switch { .. }
            | Self::Auto
            | Self::Disable { .. }
            | Self::Enable { .. }
            | Self::Allowance { .. }
            | Self::Forget { .. } => None,
        }
    }

    /// What follows from it, for the operator; `carrier` carries the traffic of the default group now.
    pub fn outcome(&self, carrier: Option<&UplinkName>) -> String {
        match self {
            Self::Switch { uplink, .. } if carrier != Some(uplink) => {
                format!("{uplink} is brought up, and the traffic goes there once it is usable")
            }
            Self::Switch { uplink, pin: false } => {
                format!("the traffic goes through {uplink} until `auto`, or until it fails")
            }
            Self::Switch { uplink, pin: true } => {
                format!("the traffic goes through {uplink} until `auto`, even if it fails")
            }
            Self::Auto => "the agent chooses again".to_owned(),
            Self::Disable { uplink, .. } => format!("{uplink} carries no traffic until `enable`"),
            Self::Enable { uplink } => format!("{uplink} may carry traffic again"),
            Self::Drill { uplink, lasts } => format!("the path of {uplink} fails for {lasts}"),
            Self::Forget { uplink } => format!("what was learnt of {uplink} is forgotten"),
            Self::Allowance { uplink, used } => {
                format!("{} of the allowance of {uplink} are used", used.bytes())
            }
        }
    }
}

/// As it is typed at the command line.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch { uplink, pin: false } => write!(f, "switch {uplink}"),
            Self::Switch { uplink, pin: true } => write!(f, "switch {uplink} --pin"),
            Self::Auto => f.write_str("auto"),
            Self::Disable {
                uplink,
                drain,
                force,
            } => {
                write!(f, "disable {uplink}")?;
                if let Some(limit) = drain {
                    write!(f, " --drain={limit}")?;
                }
                f.write_str(if *force { " --force" } else { "" })
            }
            Self::Enable { uplink } => write!(f, "enable {uplink}"),
            Self::Drill { uplink, lasts } => write!(f, "drill {uplink} --for {lasts}"),
            Self::Forget { uplink } => write!(f, "forget {uplink}"),
            Self::Allowance { uplink, used } => write!(f, "allowance {uplink} --used {used}"),
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
    /// The others have not answered for long enough.
    #[error(
        "{uplink} is the last healthy uplink, still recovering: {}; wait, or use --force",
        list(recovering)
    )]
    LastHealthy {
        /// Which.
        uplink: UplinkName,
        /// Those that answer again.
        recovering: Vec<UplinkName>,
    },
    /// The traffic is pinned to it.
    #[error("the traffic is pinned to {0}: `auto` first, or `switch` to another")]
    Pinned(UplinkName),
    /// Its failover cannot be tested now.
    #[error("no drill of {uplink}: {why}")]
    NoDrill {
        /// Which.
        uplink: UplinkName,
        /// Why not.
        why: String,
    },
    /// It has no allowance.
    #[error("{0} has no `allowance` in the configuration")]
    NoAllowance(UplinkName),
    /// It is being drained already.
    #[error("{0} is being drained already")]
    Drained(UplinkName),
    /// Its flows would not stay there.
    #[error(
        "the flows of {0} are not remembered (`flow_memory` in the status says why): `disable` without --drain moves \
         them"
    )]
    NotRemembered(UplinkName),
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
