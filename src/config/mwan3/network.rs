//! The devices of netifd's interfaces, as far as /etc/config/network names them.

use super::source::Mwan3File;
use crate::config::uci_text::UciSection;
use crate::units::InterfaceName;

/// The device of an interface, if the file names it. Modems get theirs when they dial.
pub(super) fn device(network: &Mwan3File, name: &str) -> Option<String> {
    let device = resolve(network, name, MAX_ALIASES)?;
    device.parse::<InterfaceName>().ok().map(String::from)
}

/// Aliases of aliases, and one that is its own.
const MAX_ALIASES: usize = 4;

/// Protocols whose device is called after the protocol and the interface.
const DIALLED: [&str; 10] = [
    "pppoe", "pppoa", "pptp", "l2tp", "3g", "ppp", "sstp", "6in4", "6to4", "6rd",
];

/// Protocols that find out their device by themselves.
const MODEMS: [&str; 7] = [
    "qmi",
    "mbim",
    "ncm",
    "directip",
    "hnet",
    "modemmanager",
    "wwan",
];

fn resolve(network: &Mwan3File, name: &str, aliases: usize) -> Option<String> {
    let Some(section) = network.find("interface", name) else {
        // What netifd makes of an interface of both families.
        let parent = name
            .strip_suffix("_6")
            .or_else(|| name.strip_suffix("_4"))?;
        let parent = parent.to_owned();
        return (aliases > 0).then(|| resolve(network, &parent, aliases - 1))?;
    };
    let proto = section.get("proto").unwrap_or("none");
    if DIALLED.contains(&proto) {
        return Some(format!("{proto}-{name}"));
    }
    if MODEMS.contains(&proto) {
        return None;
    }
    if proto == "wireguard" {
        return Some(name.to_owned());
    }
    if section.get("type") == Some("bridge") {
        return Some(format!("br-{name}"));
    }
    let device = own_device(section)?;
    match device.strip_prefix('@') {
        Some(other) if aliases > 0 => resolve(network, other, aliases - 1),
        Some(_) => None,
        None => Some(device.to_owned()),
    }
}

fn own_device(section: &UciSection) -> Option<&str> {
    let device = section.get("device").or_else(|| section.get("ifname"));
    device.and_then(|device| device.split_whitespace().next())
}
