//! A query that a resolver must answer.

use std::fmt;
use std::net::SocketAddr;

use super::fault::TargetFault;
use super::host::{Endpoint, Host, HostName};
use super::wire_cost::WireCost;

/// A query that a resolver must answer without an error: `dns://192.0.2.53/example.com?type=A`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsTarget {
    /// The resolver.
    pub server: SocketAddr,
    /// The name that is queried.
    pub name: HostName,
    /// The type of record that is queried.
    pub record: RecordType,
}

/// The type of a resource record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// An IPv4 address.
    #[default]
    A,
    /// An IPv6 address (RFC 3596).
    Aaaa,
    /// A name server.
    Ns,
    /// The start of a zone.
    Soa,
    /// A mail exchange.
    Mx,
    /// Text.
    Txt,
}

impl RecordType {
    /// All types that can be queried.
    pub const ALL: [Self; 6] = [
        Self::A,
        Self::Aaaa,
        Self::Ns,
        Self::Soa,
        Self::Mx,
        Self::Txt,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Ns => "NS",
            Self::Soa => "SOA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
        }
    }

    /// Its number (RFC 1035, section 3.2.2; RFC 3596).
    pub const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Soa => 6,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|record| record.as_str().eq_ignore_ascii_case(text))
    }
}

impl DnsTarget {
    /// The port of DNS.
    pub const PORT: u16 = 53;
    /// The bytes of a query without its name: UDP and DNS header, question.
    pub const QUERY_BYTES: u64 = 8 + 12 + 2 + 4;
    /// The largest answer with its UDP header (DNS flag day 2020).
    pub const ANSWER_BYTES: u64 = 8 + 1232;

    pub(super) fn wire_cost(&self) -> WireCost {
        WireCost {
            is_connection: false,
            sent: Self::QUERY_BYTES + self.name.as_str().len() as u64,
            received: Self::ANSWER_BYTES,
        }
    }

    pub(super) fn parse(rest: &str) -> Result<Self, TargetFault> {
        let (server, question) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoint = Endpoint::parse(server, Some(Self::PORT))?;
        let Host::Address(address) = endpoint.host else {
            return Err(TargetFault::Missing(
                "a numeric server address, as in dns://9.9.9.9/example.com",
            ));
        };
        let (name, options) = question.split_once('?').unwrap_or((question, ""));
        if name.is_empty() {
            return Err(TargetFault::Missing(
                "a name to query, as in dns://9.9.9.9/example.com",
            ));
        }
        Ok(Self {
            server: SocketAddr::new(address, endpoint.port),
            name: HostName::parse(name).ok_or_else(|| TargetFault::Name(name.to_owned()))?,
            record: record(options)?,
        })
    }
}

fn record(options: &str) -> Result<RecordType, TargetFault> {
    match options.split_once('=') {
        None if options.is_empty() => Ok(RecordType::default()),
        Some(("type", text)) => {
            let types = RecordType::ALL.map(RecordType::as_str).join(", ");
            RecordType::parse(text)
                .ok_or_else(|| TargetFault::bound("type", text, &format!("one of {types}")))
        }
        Some((key, _)) => Err(TargetFault::option("option", key, &["type"])),
        None => Err(TargetFault::option("option", options, &["type"])),
    }
}

impl fmt::Display for DnsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = Endpoint {
            host: Host::Address(self.server.ip()),
            port: self.server.port(),
        };
        write!(f, "dns://{}/{}", server.brief(Self::PORT), self.name)?;
        if self.record == RecordType::default() {
            return Ok(());
        }
        write!(f, "?type={}", self.record.as_str())
    }
}
