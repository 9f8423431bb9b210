//! The states of an uplink.

use serde::{Deserialize, Serialize};

/// The state of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing is known yet.
    Unknown,
    /// It answers and is good.
    Up,
    /// It answers, but loses or delays too much; usable, yields to a better one. Or one family of it
    /// is broken, and yields alone.
    Degraded,
    /// It does not answer, or its link has no carrier, address or next hop.
    Down,
    /// It answers again, but not for long enough.
    Recovering,
    /// In maintenance.
    Disabled,
    /// There is no such interface.
    Absent,
    /// Brought up only when needed.
    Cold,
}

impl State {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Up,
        Self::Degraded,
        Self::Down,
        Self::Recovering,
        Self::Disabled,
        Self::Absent,
        Self::Cold,
    ];

    /// The word for it, in JSON as on a screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Recovering => "recovering",
            Self::Disabled => "disabled",
            Self::Absent => "absent",
            Self::Cold => "cold",
        }
    }
}

// One that is added at the end, and not listed, does not compile.
const _: () = assert!(State::ALL.len() == State::Cold as usize + 1);

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
