//! Tunnels of WireGuard in OpenWrt's /etc/config/network.

use super::document::boolean;
use super::uci_text::{UciFile, UciSection};

/// The networks whose endpoints netifd gives a host route by the uplink that is active when they come up: those without
/// `nohostroute` that have a peer with an endpoint. A file with faults says nothing; netifd names them.
pub fn with_host_routes(text: &str) -> Vec<String> {
    let sections = UciFile::parse(text).map_or_else(|_| Vec::new(), |file| file.sections);
    let get = |section: &UciSection, name: &str| {
        let mut options = section.options.iter().rev();
        let option = options.find(|option| option.name == name);
        option.map(|option| option.value.clone())
    };
    let has_endpoint = |network: &str| {
        let kind = format!("wireguard_{network}");
        let mut peers = sections.iter().filter(|section| section.kind == kind);
        peers.any(|peer| get(peer, "endpoint_host").is_some())
    };
    let networks = sections.iter().filter(|section| {
        let is_tunnel = get(section, "proto").as_deref() == Some("wireguard");
        let has_none = get(section, "nohostroute").and_then(|value| boolean(&value));
        section.kind == "interface" && is_tunnel && has_none != Some(true)
    });
    let names = networks.filter_map(|section| section.name.clone());
    names.filter(|name| has_endpoint(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_whose_endpoint_gets_a_route_of_its_own_is_found() {
        let network = |options: &str, peer: &str| {
            format!(
                "config interface 'wg0'\n\toption proto 'wireguard'\n{options}\nconfig wireguard_wg0\n\
                 \toption public_key 'k='\n{peer}\n"
            )
        };
        let endpoint = "\toption endpoint_host 'vpn.example.net'";
        assert_eq!(with_host_routes(&network("", endpoint)), ["wg0"]);
        let off = "\toption nohostroute '0'";
        assert_eq!(with_host_routes(&network(off, endpoint)), ["wg0"]);
        let on = "\toption nohostroute '1'";
        assert_eq!(with_host_routes(&network(on, endpoint)), [""; 0]);
        // Its peers come in.
        assert_eq!(with_host_routes(&network("", "")), [""; 0]);
        assert_eq!(
            with_host_routes("config interface 'wan'\n\toption proto 'dhcp'\n"),
            [""; 0]
        );
        assert_eq!(with_host_routes("no file of UCI"), [""; 0]);
    }
}
