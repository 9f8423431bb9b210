//! Why a text is not a target.

use std::ops::RangeInclusive;

use super::{HttpTarget, RecordType};

/// Why a text is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target `{target}`{fault}")]
pub struct TargetError {
    /// The whole text.
    pub target: String,
    /// What is wrong with it.
    pub fault: TargetFault,
}

/// What is wrong with a target. The text goes on after the target's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// The scheme is none of ours.
    #[error(
        ": unknown scheme `{scheme}`; known are a bare address (ICMP), tcp://, http://, https:// \
         and dns://{}", hint(*.nearest, "://")
    )]
    Scheme {
        /// What stands before `://`.
        scheme: String,
        /// The scheme most like it.
        nearest: Option<&'static str>,
    },
    /// Not an address.
    #[error(" is no address and has no scheme such as tcp://")]
    Address,
    /// Neither an address nor a name.
    #[error(
        ": `{0}` is no host: an IPv4 address, an IPv6 address in [], or a name such as www.example.com"
    )]
    Host(String),
    /// An IPv6 address and perhaps a port, and nobody can tell.
    #[error(": an IPv6 address stands in [], as in [{0}]:443")]
    Brackets(String),
    /// No port, and the scheme has no usual one.
    #[error(" needs a port, as in tcp://192.0.2.1:443")]
    NoPort,
    /// Not a port.
    #[error(": port `{0}`: must be 1 to 65535")]
    Port(String),
    /// What cannot stand in a request.
    #[error(": a blank or a letter beyond ASCII in the path must be written as %XX")]
    Path,
    /// An expectation that nobody knows.
    #[error(": unknown expectation `{key}`; known are `status` and `text`{}", hint(*.nearest, ""))]
    Expectation {
        /// What stands before `=`.
        key: String,
        /// The one most like it.
        nearest: Option<&'static str>,
    },
    /// The same expectation again.
    #[error(": `{0}` is there twice")]
    Twice(&'static str),
    /// Not the status of an answer.
    #[error(": status `{0}`: must be {low} to {high}", low = HttpTarget::STATUS.start(), high = HttpTarget::STATUS.end())]
    Status(String),
    /// Not a text to look for.
    #[error(
        ": text: must be 1 to {} bytes, with %XX for what is no letter or digit",
        HttpTarget::MAX_TEXT
    )]
    Text,
    /// No address of a name server.
    #[error(" needs a numeric server address, as in dns://9.9.9.9/example.com")]
    Server,
    /// Nothing to ask.
    #[error(" needs a name to ask for, as in dns://9.9.9.9/example.com")]
    NoName,
    /// Not a domain name.
    #[error(": `{0}` is no name: labels of 1 to 63 letters, digits, `-` or `_`, 253 bytes in all")]
    Name(String),
    /// A record type that is not asked for.
    #[error(": type `{0}`: must be one of {types}", types = RecordType::ALL.map(RecordType::as_str).join(", "))]
    RecordType(String),
    /// An option that nobody knows.
    #[error(": unknown option `{0}`; known is `type`, as in dns://9.9.9.9/example.com?type=AAAA")]
    Option(String),
}

impl TargetFault {
    pub(super) fn scheme(scheme: &str, known: &[&'static str]) -> Self {
        Self::Scheme {
            scheme: scheme.to_owned(),
            nearest: nearest(scheme, known),
        }
    }

    pub(super) fn expectation(key: &str, known: &[&'static str]) -> Self {
        Self::Expectation {
            key: key.to_owned(),
            nearest: nearest(key, known),
        }
    }
}

/// A number between these bounds, as plain digits.
pub(super) fn number(text: &str, bounds: &RangeInclusive<u16>) -> Option<u16> {
    let are_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| are_digits)?;
    bounds.contains(&number).then_some(number)
}

fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    const ALIKE: f64 = 0.7;
    let likeness = |candidate: &&str| strsim::jaro_winkler(word, candidate);
    let best = (known.iter().copied()).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > ALIKE).then_some(best)
}

fn hint(nearest: Option<&'static str>, after: &str) -> String {
    nearest.map_or_else(String::new, |word| {
        format!("; did you mean `{word}{after}`?")
    })
}
