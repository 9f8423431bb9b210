//! What a route says beyond its path: the options of `ip route`.

use std::fmt;
use std::net::IpAddr;

use crate::units::sorted::SortedMap;
use serde::{Deserialize, Serialize};

/// The options of a route (`OPTIONS` in ip-route(8)). A route with several paths has them once, for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteOptions {
    /// The source address of packets that this machine sends by it (`src`).
    pub source: Option<IpAddr>,
    /// Its metrics (`RTA_METRICS`) by their numbers, `RTAX_*` of `linux/rtnetlink.h`: MTU, window, hop limit …
    pub metrics: SortedMap<u16, u32>,
    /// The congestion control of TCP (`congctl`).
    pub congestion_control: Option<String>,
    /// How its packets are encapsulated (`encap`).
    pub encapsulation: Option<Encapsulation>,
}

/// An encapsulation as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Encapsulation {
    /// Its kind, `LWTUNNEL_ENCAP_*` of `linux/lwtunnel.h`.
    pub kind: u16,
    /// Its attributes.
    pub attributes: Vec<u8>,
}

impl RouteOptions {
    /// None.
    pub(super) const fn none() -> Self {
        Self {
            source: None,
            metrics: SortedMap::new(),
            congestion_control: None,
            encapsulation: None,
        }
    }

    /// In the form of a path: few have any.
    pub fn boxed(&self) -> Option<Box<Self>> {
        (!self.is_empty()).then(|| Box::new(self.clone()))
    }

    /// Whether the route says nothing beyond its path.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The metrics on which all agree: what a route with these paths may say.
    #[must_use]
    pub fn common<'a>(mut all: impl Iterator<Item = &'a Self>) -> Self {
        let mut common = all.next().cloned().unwrap_or_default();
        for other in all {
            let is_alike = |number: &u16, value: &mut u32| other.metrics.get(number) == Some(value);
            common.metrics.retain(is_alike);
            common.source = common.source.filter(|_| common.source == other.source);
            if common.congestion_control != other.congestion_control {
                common.congestion_control = None;
            }
            // The kernel takes it of a single path only.
            common.encapsulation = None;
        }
        common
    }
}

/// The names of the metrics in ip-route(8), by their numbers.
const METRICS: [&str; 18] = [
    "",
    "lock",
    "mtu",
    "window",
    "rtt",
    "rttvar",
    "ssthresh",
    "cwnd",
    "advmss",
    "reordering",
    "hoplimit",
    "initcwnd",
    "features",
    "rto_min",
    "initrwnd",
    "quickack",
    "congctl",
    "fastopen_no_cookie",
];

impl fmt::Display for RouteOptions {
    /// As `ip route` shows them, numbers as the kernel has them, each after a space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(encapsulation) = &self.encapsulation {
            write!(f, " encap type {}", encapsulation.kind)?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        for (number, value) in &self.metrics {
            match METRICS.get(usize::from(*number)) {
                Some(name) => write!(f, " {name} {value}")?,
                None => write!(f, " metric{number} {value}")?,
            }
        }
        if let Some(name) = &self.congestion_control {
            write!(f, " congctl {name}")?;
        }
        Ok(())
    }
}
