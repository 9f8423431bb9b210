//! What is probed: an address on the internet and the way to ask it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A probe target as the configuration writes it: a bare address is an ICMP echo, anything else
/// names its scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// `192.0.2.1`: ICMP echo request and reply.
    Icmp(IpAddr),
    /// `tcp://192.0.2.1:443`: a TCP connection that is accepted or refused; both prove that the far
    /// end answers.
    Tcp(SocketAddr),
}

/// Why a text is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The scheme is none of ours.
    #[error(
        "target `{target}`: unknown scheme `{scheme}`; known are a bare address (ICMP) and tcp://"
    )]
    Scheme {
        /// The whole text.
        target: String,
        /// What stands before `://`.
        scheme: String,
    },
    /// Not an address.
    #[error("target `{0}` is no address and has no scheme such as tcp://")]
    Address(String),
    /// A `tcp://` target without a numeric address and port.
    #[error("target `{0}` needs a numeric address and a port, as in tcp://192.0.2.1:443")]
    Socket(String),
}

impl Target {
    /// The address that the probe's packets go to.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Icmp(address) => *address,
            Self::Tcp(socket) => socket.ip(),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.split_once("://") {
            None => text
                .parse()
                .map(Self::Icmp)
                .map_err(|_| TargetError::Address(text.to_owned())),
            Some(("tcp", rest)) => rest
                .parse()
                .map(Self::Tcp)
                .map_err(|_| TargetError::Socket(text.to_owned())),
            Some((scheme, _)) => Err(TargetError::Scheme {
                target: text.to_owned(),
                scheme: scheme.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(address) => f.pad(&address.to_string()),
            Self::Tcp(socket) => f.pad(&format!("tcp://{socket}")),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}
