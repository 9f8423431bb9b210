//! Why a text is not a target.

use std::ops::RangeInclusive;

/// Why a text is not a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target `{target}`{fault}")]
pub struct TargetError {
    /// The whole text.
    pub target: String,
    /// What is wrong with it.
    pub fault: TargetFault,
}

/// What is wrong with a target. Its text continues that of the target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// The scheme is unknown.
    #[error(
        ": unknown scheme `{scheme}`; known are a bare address (ICMP), {known}{}",
        hint(*.nearest, "://")
    )]
    Scheme {
        /// The text before `://`.
        scheme: String,
        /// The known schemes.
        known: String,
        /// The most similar one.
        nearest: Option<&'static str>,
    },
    /// Neither an address nor a text with a scheme.
    #[error(" is no address and has no scheme such as tcp://")]
    Address,
    /// Neither an address nor a name.
    #[error(
        ": `{0}` is no host: an IPv4 address, an IPv6 address in [], or a name such as www.example.com"
    )]
    Host(String),
    /// An IPv6 address without brackets, which may end in a port; as it is written with them.
    #[error(": an IPv6 address stands in [], as in {0}")]
    Brackets(String),
    /// A part is missing.
    #[error(" needs {0}")]
    Missing(&'static str),
    /// A character that cannot stand in a request.
    #[error(": a blank or a letter beyond ASCII in the path must be written as %XX")]
    Path,
    /// Not a domain name.
    #[error(": `{0}` is no name: labels of 1 to 63 letters, digits, `-` or `_`, 253 bytes in all")]
    Name(String),
    /// A value that is not allowed.
    #[error(": {key} `{value}`: must be {allowed}")]
    Bound {
        /// The part of the target.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// An option that this kind of target does not have.
    #[error(": unknown {what} `{key}`; known: {known}{}", hint(*.nearest, ""))]
    Option {
        /// What this kind calls its options.
        what: &'static str,
        /// The option.
        key: String,
        /// The known options.
        known: String,
        /// The most similar one.
        nearest: Option<&'static str>,
    },
    /// An option that is given twice.
    #[error(": `{0}` is there twice")]
    Twice(&'static str),
}

impl TargetFault {
    pub(super) fn scheme(scheme: &str, known: &[&'static str]) -> Self {
        let texts: Vec<_> = known.iter().map(|known| format!("{known}://")).collect();
        Self::Scheme {
            scheme: scheme.to_owned(),
            known: enumerated(&texts),
            nearest: nearest(scheme, known),
        }
    }

    pub(super) fn option(what: &'static str, key: &str, known: &[&'static str]) -> Self {
        let texts: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
        Self::Option {
            what,
            key: key.to_owned(),
            known: enumerated(&texts),
            nearest: nearest(key, known),
        }
    }

    pub(super) fn bound(key: &'static str, value: &str, allowed: &str) -> Self {
        Self::Bound {
            key,
            value: value.to_owned(),
            allowed: allowed.to_owned(),
        }
    }
}

/// A number between these bounds, in plain digits.
pub(super) fn number(text: &str, bounds: &RangeInclusive<u16>) -> Option<u16> {
    let are_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| are_digits)?;
    bounds.contains(&number).then_some(number)
}

/// `a, b and c`
fn enumerated(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
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
