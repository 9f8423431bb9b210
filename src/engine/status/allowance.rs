//! The allowance of an uplink, as the status shows it.

use serde::{Deserialize, Serialize};

use crate::engine::settings::AllowanceAction;
use crate::units::{Bytes, LocalDay};

/// What may go through an uplink in a period, and what has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllowanceStatus {
    /// So much, both ways.
    pub limit_bytes: Bytes,
    /// So much has.
    pub used_bytes: Bytes,
    /// The same in percent.
    pub used_percent: f64,
    /// What follows when it is used up.
    pub action: AllowanceAction,
    /// The first day of the period, by the local clock; `null` while that was never set.
    pub begins: Option<LocalDay>,
    /// The first day of the next one.
    pub ends: Option<LocalDay>,
}

impl AllowanceStatus {
    /// It is used up.
    pub fn is_used_up(&self) -> bool {
        self.used_bytes >= self.limit_bytes
    }

    /// How much of it is used, in words.
    pub fn words(&self) -> String {
        let (used, limit, percent) = (self.used_bytes, self.limit_bytes, self.used_percent);
        let fate = match self.action {
            _ if !self.is_used_up() => "",
            AllowanceAction::Warn => ": used up",
            AllowanceAction::LastResort => ": used up, the last resort",
            AllowanceAction::Off => ": used up, carries no traffic",
        };
        let period = match (self.begins, self.ends) {
            (Some(begins), Some(ends)) => format!("since {begins}, until {ends}"),
            (Some(_) | None, _) => "the clock was never set, so no period ends".to_owned(),
        };
        format!("{used} of {limit} ({percent} %){fate}; {period}")
    }
}
