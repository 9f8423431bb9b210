//! How long what a command begins may last.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long the flows of a drained uplink may go on, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DrainLimit(Duration);

impl DrainLimit {
    /// How long a drain may take where the operator does not say.
    pub const USUAL: &'static str = "10m";

    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(7 * 86_400);

    /// The limit.
    pub const fn span(self) -> Duration {
        self.0
    }
}

/// What is no limit of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a duration from 1s to 7days, such as --drain=2h; --drain alone means 10m")]
pub struct InvalidDrainLimit;

impl TryFrom<Duration> for DrainLimit {
    type Error = InvalidDrainLimit;

    fn try_from(span: Duration) -> Result<Self, Self::Error> {
        let is_within = (Self::SHORTEST..=Self::LONGEST).contains(&span);
        is_within.then_some(Self(span)).ok_or(InvalidDrainLimit)
    }
}

impl FromStr for DrainLimit {
    type Err = InvalidDrainLimit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = humantime::parse_duration(text).map_err(|_| InvalidDrainLimit)?;
        span.try_into()
    }
}

impl TryFrom<String> for DrainLimit {
    type Error = InvalidDrainLimit;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DrainLimit> for String {
    fn from(limit: DrainLimit) -> Self {
        limit.to_string()
    }
}

impl fmt::Display for DrainLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration(self.0).to_string();
        f.pad(&text.replace(' ', ""))
    }
}

/// How long a path fails in a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DrillSpan(Duration);

impl DrillSpan {
    /// How long a path fails where the operator does not say.
    pub const USUAL: &'static str = "30s";

    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(600);

    /// The span.
    pub const fn span(self) -> Duration {
        self.0
    }
}

impl Default for DrillSpan {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

/// What is no length of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a duration from 1s to 10m, such as --for 30s")]
pub struct InvalidDrillSpan;

impl FromStr for DrillSpan {
    type Err = InvalidDrillSpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = humantime::parse_duration(text).map_err(|_| InvalidDrillSpan)?;
        let is_within = (Self::SHORTEST..=Self::LONGEST).contains(&span);
        is_within.then_some(Self(span)).ok_or(InvalidDrillSpan)
    }
}

impl TryFrom<String> for DrillSpan {
    type Error = InvalidDrillSpan;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DrillSpan> for String {
    fn from(span: DrillSpan) -> Self {
        span.to_string()
    }
}

impl fmt::Display for DrillSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration(self.0).to_string();
        f.pad(&text.replace(' ', ""))
    }
}

/// `true` for the default limit, as a switch of the command line.
pub(super) fn drain<'de, D: serde::Deserializer<'de>>(
    source: D,
) -> Result<Option<DrainLimit>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Drain {
        Wanted(bool),
        Limited(DrainLimit),
    }
    Ok(match Drain::deserialize(source)? {
        Drain::Wanted(false) => None,
        Drain::Wanted(true) => DrainLimit::USUAL.parse().ok(),
        Drain::Limited(limit) => Some(limit),
    })
}
