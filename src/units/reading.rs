//! What went through an interface between two readings of its counters.
//!
//! Counters go on from where they were, unless the interface was made anew, the machine was started again, or its
//! driver has set them back; then they begin at 0. Those of some drivers have 32 bits on 32-bit machines and wrap. A
//! counter that fell has wrapped if that many bytes fit into the packets that were counted meanwhile; else it has begun
//! anew.

use serde::{Deserialize, Serialize};

use super::{Counters, IfIndex};

/// The most bytes that a counted packet has: what segmentation offload makes of many (`GSO_LEGACY_MAX_SIZE`).
const MOST_BYTES: u64 = 65_536;
/// The fewest: an Ethernet header; links without one have at least an IPv4 header.
const LEAST_BYTES: u64 = 14;

/// One start of the machine, by the kernel's `boot_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u64);

/// The counters of an interface, and which interface it is of all that there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceReading {
    /// Its counters.
    pub counters: Counters,
    /// Its index.
    pub index: IfIndex,
    /// The highest index of all interfaces: one that is made later has a higher one.
    pub newest: IfIndex,
    /// Since the machine was started so.
    pub boot: BootId,
}

impl InterfaceReading {
    /// The bytes that have gone through since an earlier reading, both ways. An interface that was there then, and was
    /// not the one that was read, has counted what does not concern us.
    pub fn bytes_since(&self, before: &Self) -> u64 {
        let is_same_boot = self.boot == before.boot;
        if is_same_boot && self.index == before.index {
            self.counters.bytes_since(before.counters)
        } else if is_same_boot && self.index <= before.newest {
            0
        } else {
            self.counters.bytes()
        }
    }
}

impl Counters {
    fn bytes(self) -> u64 {
        self.rx_bytes.saturating_add(self.tx_bytes)
    }

    fn bytes_since(self, before: Self) -> u64 {
        let received = passed(
            [before.rx_bytes, self.rx_bytes],
            [before.rx_packets, self.rx_packets],
        );
        let sent = passed(
            [before.tx_bytes, self.tx_bytes],
            [before.tx_packets, self.tx_packets],
        );
        match (received, sent) {
            (Some(received), Some(sent)) => received.saturating_add(sent),
            // What is set back is set back as a whole.
            (Some(_) | None, _) => self.bytes(),
        }
    }
}

/// The bytes between two readings of one direction; none if it has begun anew.
fn passed(bytes: [u64; 2], packets: [u64; 2]) -> Option<u64> {
    let has_fallen = |[before, now]: [u64; 2]| now < before;
    if !has_fallen(bytes) && !has_fallen(packets) {
        return Some(bytes[1] - bytes[0]);
    }
    let widths = [u64::from(u32::MAX), u64::MAX].into_iter();
    let all = || bytes.into_iter().chain(packets);
    let mut fitting = widths.filter(|width| all().all(|value| value <= *width));
    fitting.find_map(|width| {
        let gone = |[before, now]: [u64; 2]| now.wrapping_sub(before) & width;
        let (bytes, packets) = (gone(bytes), gone(packets));
        let (least, most) = (
            packets.saturating_mul(LEAST_BYTES),
            packets.saturating_mul(MOST_BYTES),
        );
        (least..=most).contains(&bytes).then_some(bytes)
    })
}
