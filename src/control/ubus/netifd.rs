//! The networks of OpenWrt, as netifd tells of them at `network.interface`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::blob::Malformed;
use super::blobmsg::{Fields, Value};
use crate::units::InterfaceName;
use crate::units::sorted::SortedMap;

/// Every network by its name, such as `wan`.
pub type Networks = SortedMap<InterfaceName, Network>;

/// Where netifd is found.
pub(super) const PATH: &str = "network.interface";

/// What netifd says of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// It is up.
    pub is_up: bool,
    /// The device that its packets go through, such as `pppoe-wan`; not there while it is down, if it
    /// comes and goes with it.
    pub device: Option<InterfaceName>,
    /// The next hop of its IPv4 default route, whether it is in the main table or kept from it.
    pub gateway: Option<IpAddr>,
    /// The same for IPv6.
    pub gateway6: Option<IpAddr>,
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Up.
    Up,
    /// Down.
    Down,
}

impl Way {
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What netifd is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// With which network.
    pub network: InterfaceName,
    /// What.
    pub way: Way,
}

/// Reads the answer of `network.interface dump`. Networks whose names no uplink can have are left out.
///
/// # Errors
/// If it is malformed.
pub(super) fn networks(dump: &Fields<'_>) -> Result<Networks, Malformed> {
    let mut networks = Networks::new();
    let Some(Value::List(listed)) = dump.get("interface")? else {
        return Ok(networks);
    };
    for entry in listed {
        if let (_, Value::Table(status)) = entry?
            && let Some(name) = name(&status, "interface")?
        {
            networks.insert(name, network(&status)?);
        }
    }
    Ok(networks)
}

fn network(status: &Fields<'_>) -> Result<Network, Malformed> {
    let is_up = matches!(status.get("up")?, Some(Value::Truth(true)));
    let device = match name(status, "l3_device")? {
        Some(device) => Some(device),
        None => name(status, "device")?.filter(|_| is_up),
    };
    let mut network = Network {
        is_up,
        device,
        ..Network::default()
    };
    take_next_hops(status, &mut network)?;
    // With `defaultroute 0` they are here.
    if let Some(Value::Table(inactive)) = status.get("inactive")? {
        take_next_hops(&inactive, &mut network)?;
    }
    Ok(network)
}

fn take_next_hops(status: &Fields<'_>, network: &mut Network) -> Result<(), Malformed> {
    let Some(Value::List(routes)) = status.get("route")? else {
        return Ok(());
    };
    for route in routes {
        let (_, Value::Table(route)) = route? else {
            continue;
        };
        let is_default = matches!(route.get("mask")?, Some(Value::Integer(0)));
        match address(&route, "nexthop")? {
            Some(hop) if !is_default || hop.is_unspecified() => {}
            Some(hop @ IpAddr::V4(_)) if target(&route)? == Some(Ipv4Addr::UNSPECIFIED.into()) => {
                network.gateway.get_or_insert(hop);
            }
            Some(hop @ IpAddr::V6(_)) if target(&route)? == Some(Ipv6Addr::UNSPECIFIED.into()) => {
                network.gateway6.get_or_insert(hop);
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

fn target(route: &Fields<'_>) -> Result<Option<IpAddr>, Malformed> {
    address(route, "target")
}

fn address(fields: &Fields<'_>, name: &str) -> Result<Option<IpAddr>, Malformed> {
    Ok(text(fields, name)?.and_then(|text| text.parse().ok()))
}

fn name(fields: &Fields<'_>, name: &str) -> Result<Option<InterfaceName>, Malformed> {
    Ok(text(fields, name)?.and_then(|text| text.parse().ok()))
}

pub(super) fn text<'a>(fields: &Fields<'a>, name: &str) -> Result<Option<&'a str>, Malformed> {
    Ok(fields.get(name)?.and_then(Value::as_text))
}

#[cfg(test)]
mod tests {
    use super::super::blobmsg;
    use super::*;

    /// Of a router with a PPPoE line, a modem whose default route is kept from the main table, and a
    /// network that is down.
    const DUMP: &str = include_str!("netifd/dump.json");

    fn read(dump: &str) -> Networks {
        let dump: serde_json::Value = serde_json::from_str(dump).expect("JSON");
        let data = blobmsg::encode(&dump).expect("an object");
        networks(&Fields::of(&data)).expect("well formed")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn device(name: &str) -> InterfaceName {
        name.parse().expect("a name")
    }

    #[test]
    fn device_next_hops_and_state_of_each_network_are_found() {
        let networks = read(DUMP);
        let of = |name: &str| networks[&name.parse::<InterfaceName>().expect("a name")].clone();
        let line = Network {
            is_up: true,
            device: Some(device("pppoe-wan")),
            gateway: Some(address("203.0.113.1")),
            gateway6: None,
        };
        assert_eq!(of("wan"), line);
        let with_six = Network {
            is_up: true,
            device: Some(device("pppoe-wan")),
            gateway: None,
            gateway6: Some(address("fe80::1")),
        };
        assert_eq!(of("wan6"), with_six);
        let modem = Network {
            is_up: true,
            device: Some(device("wwan0")),
            gateway: Some(address("10.64.0.1")),
            gateway6: None,
        };
        assert_eq!(of("wwan"), modem);
        assert_eq!(of("guest"), Network::default());
        assert_eq!(networks.len(), 5);
    }

    #[test]
    fn what_is_no_dump_has_no_networks() {
        for dump in [
            "{}",
            r#"{"interface":7}"#,
            r#"{"interface":[7,null,{"up":true},{"interface":7},{"interface":"a name too long for it"}]}"#,
        ] {
            assert_eq!(read(dump), Networks::new(), "{dump}");
        }
        let odd = r#"{"interface":[{"interface":"wan","up":"yes","l3_device":"","route":[1,{"target":"x"}]}]}"#;
        assert_eq!(
            read(odd).into_values().collect::<Vec<_>>(),
            [Network::default()]
        );
    }
}
