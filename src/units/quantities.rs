//! Numbers with a unit or an identity.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// An interface index, as the kernel numbers interfaces within a network namespace; never 0.
    IfIndex(NonZeroU32)
);
number!(
    /// A route's metric: of two routes to one destination, the kernel takes the lower.
    Metric(u32)
);
number!(
    /// The number of a routing table. Numbers over 255 are fine.
    TableId(u32)
);
number!(
    /// The priority of a policy rule; lower is looked up first.
    RulePriority(u32)
);
number!(
    /// The protocol number of a route, rule or nexthop object: the program that wrote it.
    Protocol(u8)
);
number!(
    /// A packet mark (`SO_MARK`), which the rule for one uplink's probes matches.
    Mark(u32)
);
number!(
    /// The number of a nexthop object.
    NextHopId(u32)
);
number!(
    /// The number of a transport protocol, as in `/etc/protocols`.
    IpProtocol(u8)
);
number!(
    /// The order of preference among uplinks; lower is preferred.
    Tier(u16)
);
number!(
    /// The share of an uplink among those that share the traffic, 1 to 255.
    Weight(u8)
);
number!(
    /// 0 (useless) to 100 (perfect).
    Score(u8)
);
number!(
    /// The place of a next hop among those of an uplink, in the order of preference, from 0.
    HopPlace(u8)
);
number!(
    /// The number of a probe, unique within a run.
    ProbeId(u64)
);

impl IfIndex {
    /// The index, unless it is 0, which stands for "no interface".
    pub fn new(index: u32) -> Option<Self> {
        NonZeroU32::new(index).map(Self)
    }

    /// The plain number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// A share of lost probes, 0.0 to 1.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Loss(f64);

impl Loss {
    /// Nothing is lost.
    pub const NONE: Self = Self(0.0);

    /// From a ratio, clamped to 0.0 to 1.0; NaN counts as 0.0.
    pub fn from_ratio(ratio: f64) -> Self {
        Self(if ratio.is_nan() {
            0.0
        } else {
            ratio.clamp(0.0, 1.0)
        })
    }

    /// From percent, clamped likewise.
    pub fn from_percent(percent: f64) -> Self {
        Self::from_ratio(percent / 100.0)
    }

    /// 0.0 to 1.0.
    pub const fn ratio(self) -> f64 {
        self.0
    }

    /// 0.0 to 100.0.
    pub fn percent(self) -> f64 {
        self.0 * 100.0
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.percent())
    }
}

/// An amount of data. Written with a decimal unit: `50MB`, `1.5GB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// The units of [`Bytes`], the largest first.
const BYTE_UNITS: [(&str, u64); 5] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
        let end = text.find(|c| !is_of_number(c)).ok_or(())?;
        let (number, unit) = text.split_at(end);
        let mut units = BYTE_UNITS.iter();
        let (_, size) = units.find(|(name, _)| *name == unit.trim()).ok_or(())?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| ());
        let scale = 10_u64.checked_pow(u32::try_from(part.len()).map_err(|_| ())?);
        let part = number(part)?.checked_mul(*size).ok_or(())? / scale.ok_or(())?;
        let whole = number(whole)?.checked_mul(*size).ok_or(())?;
        whole.checked_add(part).map(Self).ok_or(())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut units = BYTE_UNITS.iter();
        let unit = units.find(|(_, size)| self.0 >= *size);
        let (name, size) = unit.copied().unwrap_or(("B", 1));
        let (whole, tenth) = (self.0 / size, self.0 % size * 10 / size);
        if tenth == 0 {
            write!(f, "{whole} {name}")
        } else {
            write!(f, "{whole}.{tenth} {name}")
        }
    }
}

/// The traffic of an interface since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets in.
    pub rx_packets: u64,
    /// Packets out.
    pub tx_packets: u64,
    /// Bytes in.
    pub rx_bytes: u64,
    /// Bytes out.
    pub tx_bytes: u64,
}
