//! Amounts of data in commands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// How much is used, as an operator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UsedData(Bytes);

impl UsedData {
    /// The bytes.
    pub const fn bytes(self) -> Bytes {
        self.0
    }
}

/// What is no amount of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an amount of data with a unit, such as 12GB, 1.5GB or 800MB")]
pub struct InvalidUsedData;

impl FromStr for UsedData {
    type Err = InvalidUsedData;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|()| InvalidUsedData)
    }
}

impl TryFrom<String> for UsedData {
    type Error = InvalidUsedData;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<UsedData> for String {
    fn from(used: UsedData) -> Self {
        format!("{}B", used.0.0)
    }
}

impl fmt::Display for UsedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string().replace(' ', ""))
    }
}
