//! The destination of a probe: a host and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::fault::{TargetFault, number};

/// A host, by its address or by a name that is resolved through the probed uplink.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name.
    Name(HostName),
}

impl Host {
    fn parse(text: &str) -> Result<Self, TargetFault> {
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
            return address
                .map(|address: Ipv6Addr| Self::Address(address.into()))
                .ok_or_else(|| TargetFault::Host(text.to_owned()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        // A name whose last label is a number is read as an address elsewhere (RFC 1123, section 2.1).
        HostName::parse(text)
            .filter(|name| !name.is_root() && !name.ends_in_a_number())
            .map(Self::Name)
            .ok_or_else(|| TargetFault::Host(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A domain name in lower case: labels of 1 to 63 letters, digits, `-` or `_`, at most 253 bytes
/// (RFC 1035, section 2.3.4); `.` is the root. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    const MAX_BYTES: usize = 253;
    const MAX_LABEL: usize = 63;

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "." {
            return Some(Self(text.into()));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &str| {
            (1..=Self::MAX_LABEL).contains(&label.len()) && label.bytes().all(is_inner)
        };
        let is_name = text.len() <= Self::MAX_BYTES && text.split('.').all(is_label);
        is_name.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The name as text, without a dot at its end unless it is the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its labels; the root has none.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.').filter(|label| !label.is_empty())
    }

    fn is_root(&self) -> bool {
        self.labels().next().is_none()
    }

    fn ends_in_a_number(&self) -> bool {
        let last = self.labels().last().unwrap_or_default();
        last.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// 1 to 65535.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host:port`, or `host` where there is a default port.
    pub(super) fn parse(text: &str, default: Option<u16>) -> Result<Self, TargetFault> {
        if text.parse::<Ipv6Addr>().is_ok() {
            let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
            let has_port = host.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok();
            let (host, port) = if has_port {
                (host, port)
            } else {
                (text, "443")
            };
            return Err(TargetFault::Brackets(format!("[{host}]:{port}")));
        }
        let after_host = text.find(']').map_or(0, |end| end + 1);
        let (host, port) = match text[after_host..].find(':') {
            None => (text, default.ok_or(NO_PORT)?),
            Some(colon) => {
                let (host, port) = text.split_at(after_host + colon);
                let port = &port[1..];
                let parsed = number(port, &(1..=u16::MAX));
                (
                    host,
                    parsed.ok_or_else(|| TargetFault::bound("port", port, "1 to 65535"))?,
                )
            }
        };
        let host = Host::parse(host)?;
        Ok(Self { host, port })
    }

    /// The text without the port if it is the default one.
    pub(super) fn brief(&self, default: u16) -> String {
        if self.port == default {
            self.host.to_string()
        } else {
            self.to_string()
        }
    }
}

const NO_PORT: TargetFault = TargetFault::Missing("a port, as in tcp://192.0.2.1:443");

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
