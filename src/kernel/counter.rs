//! The counters of an interface.

use std::fs::File;
use std::io::{BufRead, Read, Seek};

use super::error::KernelError;
use crate::units::{BootId, Counters, InterfaceName};

/// Those of all interfaces of this network namespace, a line for each. The kernel writes it without
/// `rtnl_mutex`, its one lock for links and routes, for which a netlink request for counters waits: a
/// driver may hold it for seconds.
const TABLE: &str = "/proc/thread-self/net/dev";

/// What is not the same after each start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The number of this start of the machine: the first half of its `boot_id`. All starts count as one where that cannot
/// be read; counters that fall tell them apart then.
pub fn boot_id() -> BootId {
    let text = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    let digits: String = text
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(16)
        .collect();
    BootId(u64::from_str_radix(&digits, 16).unwrap_or_default())
}

/// Reads counters.
#[derive(Debug)]
pub struct CounterReader {
    table: File,
    text: Vec<u8>,
}

impl CounterReader {
    /// Opens the table.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open() -> Result<Self, KernelError> {
        Ok(Self {
            table: File::open(TABLE).map_err(KernelError::Counters)?,
            text: Vec::new(),
        })
    }

    /// The counters of an interface now; none if there is no such interface.
    pub fn read(&mut self, interface: &InterfaceName) -> Option<Counters> {
        self.read_table()?;
        self.last_read(interface)
    }

    /// Reads the table; none if that fails.
    pub fn read_table(&mut self) -> Option<()> {
        self.text.clear();
        self.table.rewind().ok()?;
        self.table.read_to_end(&mut self.text).ok()?;
        Some(())
    }

    /// The counters of an interface when the table was last read; none if there was no such interface.
    pub fn last_read(&self, interface: &InterfaceName) -> Option<Counters> {
        counters_in(&self.text, interface)
    }
}

/// proc(5): bytes, packets and six figures more of what came in, then of what went out.
fn counters_in(mut table: &[u8], interface: &InterfaceName) -> Option<Counters> {
    let mut figures = loop {
        let line = table.trim_ascii_start();
        let own = line.strip_prefix(interface.as_str().as_bytes());
        if let Some(figures) = own.and_then(|own| own.strip_prefix(b":")) {
            break figures;
        }
        if table.skip_until(b'\n').ok()? == 0 {
            return None;
        }
    };
    let mut next = |skipped| {
        for _ in 0..skipped {
            figure(&mut figures)?;
        }
        figure(&mut figures)
    };
    Some(Counters {
        rx_bytes: next(0)?,
        rx_packets: next(0)?,
        tx_bytes: next(6)?,
        tx_packets: next(0)?,
    })
}

/// Takes the next figure; none if something else comes next.
fn figure(text: &mut &[u8]) -> Option<u64> {
    *text = text.trim_ascii_start();
    let mut figure = None;
    while let [digit @ b'0'..=b'9', rest @ ..] = *text {
        let tens = figure.unwrap_or(0_u64).checked_mul(10)?;
        figure = Some(tens.checked_add(u64::from(digit - b'0'))?);
        *text = rest;
    }
    figure
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Inter-|   Receive                            |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     840      10    0    0    0     0          0         0      840      10    0    0    0     0       0          0
eth0.2:18446744073709551615 12 1 2 3 4 5 6 700 8 0 0 0 0 0 0
 eth0: one of them is no number
";

    #[test]
    fn counters_are_those_of_the_line_of_the_interface() {
        let read = |name: &str| counters_in(TEXT.as_bytes(), &name.parse().expect("a name"));
        let expected = Counters {
            rx_packets: 12,
            tx_packets: 8,
            rx_bytes: u64::MAX,
            tx_bytes: 700,
        };
        assert_eq!(read("eth0.2"), Some(expected));
        assert_eq!(read("eth0"), None);
        assert_eq!(read("h0.2"), None);
        assert_eq!(read("eth1"), None);
    }
}
