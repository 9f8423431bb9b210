//! The kernel's reverse-path filter of IPv4 (`Documentation/networking/ip-sysctl.rst`, `rp_filter`).

use std::fs;
use std::io;
use std::path::Path;

use crate::units::InterfaceName;

/// Which packets it drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversePathFilter {
    /// None.
    Off,
    /// Those whose answer would leave by another interface.
    Strict,
    /// Those that could not be answered.
    Loose,
}

/// The filter of an interface. The larger one of its own setting and that of all interfaces counts.
pub fn reverse_path_filter(interface: &InterfaceName) -> ReversePathFilter {
    match setting(interface, "rp_filter") {
        0 => ReversePathFilter::Off,
        1 => ReversePathFilter::Strict,
        _ => ReversePathFilter::Loose,
    }
}

/// Whether it looks for the way of an answer by the mark of the packet.
pub fn looks_at_marks(interface: &InterfaceName) -> bool {
    setting(interface, "src_valid_mark") != 0
}

fn setting(interface: &InterfaceName, key: &str) -> u32 {
    let of_all = number(&format!("net/ipv4/conf/all/{key}")).unwrap_or(0);
    let own = number(&format!("net/ipv4/conf/{interface}/{key}")).unwrap_or(0);
    own.max(of_all)
}

/// A number under `/proc/sys`.
fn number(key: &str) -> io::Result<u32> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(key))?;
    text.trim().parse().map_err(io::Error::other)
}
