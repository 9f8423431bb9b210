//! Uplinks that follow a network of netifd.
//!
//! The report of netifd overrides the configuration until its next report: a restart of ubusd moves
//! nothing. Whether a device is up, has an address or a next hop is
//! taken from the kernel, for these uplinks as for all.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{AgentSettings, Config, Followed, UbusPlace};
use crate::control::socket::Server;
use crate::control::ubus::netifd::{Network, Networks, Order, Way};
use crate::control::ubus::session::Offer;
use crate::control::ubus::{self, Ubus};
use crate::engine::event::record::EventRecord;
use crate::engine::event::{Lane, StandbyOrder};
use crate::engine::input::Input;
use crate::engine::settings::UplinkSettings;
use crate::routing::Gateway;
use crate::units::{InterfaceName, UplinkName};

/// How long the start waits for netifd, so that the routes of an earlier run are taken up at once.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// Where mwan3 is installed there is this.
const MWAN3_INIT: &str = "/etc/init.d/mwan3";

/// The connection to ubus, and the last report of netifd.
pub(super) struct Netifd {
    /// None where it is configured off.
    ubus: Option<Ubus>,
    networks: Networks,
}

impl Netifd {
    pub(super) fn start(settings: &AgentSettings, control: &Server) -> Self {
        Self {
            ubus: ubus(settings, control),
            networks: Networks::new(),
        }
    }

    /// Looks for ubusd elsewhere.
    pub(super) fn restart(&mut self, settings: &AgentSettings, control: &Server) {
        self.ubus = ubus(settings, control);
    }

    /// The networks of netifd, when they are others than before; for ever if there is no ubus.
    pub(super) async fn changed(&mut self) -> Networks {
        match &mut self.ubus {
            Some(ubus) => ubus.networks().await,
            None => std::future::pending().await,
        }
    }

    /// The networks before the first uplink is looked at, if the configuration names any.
    pub(super) async fn first(&mut self, config: &Config) -> Option<Networks> {
        if config.networks.is_empty() {
            return None;
        }
        let reported = timeout(KNOWN_WITHIN, self.changed()).await.ok();
        if reported.is_none() {
            tracing::warn!("netifd does not tell yet where its networks are");
        }
        reported
    }

    /// Takes a report of netifd and applies it to the configuration; returns what changed.
    pub(super) fn follow(&mut self, networks: Networks, config: &mut Config) -> Vec<Input> {
        let before = std::mem::replace(&mut self.networks, networks);
        for (uplink, Followed { network, .. }) in &config.networks {
            let is_news = before.is_empty() || before.contains_key(network);
            if is_news && !self.networks.contains_key(network) {
                tracing::warn!(%uplink, "netifd has no network {network}: correct `network`");
            }
        }
        self.lay_over(config)
    }

    /// Applies the last report of netifd to a configuration; returns what changed.
    pub(super) fn lay_over(&self, config: &mut Config) -> Vec<Input> {
        lay_over(config, &self.networks)
    }

    /// Orders netifd to bring a cold uplink up or down that is one of its networks.
    pub(super) fn order(&self, record: &EventRecord) {
        let way = match record.event.delivery().lane {
            Lane::Standby(StandbyOrder::Up) => Way::Up,
            Lane::Standby(StandbyOrder::Down) => Way::Down,
            Lane::News => return,
        };
        if let (Some(network), Some(ubus)) = (&record.network, &self.ubus) {
            let network = network.clone();
            if !ubus.order(Order { network, way }) {
                let uplink = record.uplink.as_ref().map(ToString::to_string);
                tracing::warn!(uplink, "netifd is not there to bring it up or down");
            }
        }
    }
}

fn ubus(settings: &AgentSettings, control: &Server) -> Option<Ubus> {
    let path = match &settings.ubus {
        UbusPlace::Off => return None,
        UbusPlace::Auto => None,
        UbusPlace::At(path) => Some(path.clone()),
    };
    // With the object taken, mwan3 could not have it.
    let offer = if settings.ubus_mwan3 && !Path::new(MWAN3_INIT).exists() {
        Offer::Mwan3
    } else {
        Offer::Uplinkd
    };
    Some(Ubus::start(path, offer, control.caller.clone()))
}

/// The network that an uplink follows.
pub(super) fn network_of(config: &Config, uplink: Option<&UplinkName>) -> Option<InterfaceName> {
    let followed = config.networks.get(uplink?)?;
    Some(followed.network.clone())
}

/// Applies the present networks of netifd to a configuration, where no agent runs.
pub fn find_networks(config: &mut Config) {
    let path = match &config.agent.ubus {
        UbusPlace::At(path) => Some(path.as_path()),
        UbusPlace::Auto | UbusPlace::Off => None,
    };
    if !config.networks.is_empty()
        && let Some(networks) = ubus::networks(path)
    {
        lay_over(config, &networks);
    }
}

/// The changes, as inputs. All uplinks move at once: two may have changed their devices with each other.
fn lay_over(config: &mut Config, networks: &Networks) -> Vec<Input> {
    let Config {
        networks: followed,
        engine,
        ..
    } = config;
    let uplinks = &mut engine.uplinks;
    let before = uplinks.clone();
    for uplink in &mut *uplinks {
        let followed = followed.get(&uplink.name);
        if let Some((followed, network)) =
            followed.and_then(|followed| Some((followed, networks.get(&followed.network)?)))
        {
            locate(uplink, followed, network);
        }
    }
    while let Some((place, other)) = clash(uplinks, &before) {
        tracing::warn!(
            uplink = %uplinks[place].name,
            %other,
            interface = %uplinks[place].interface,
            "netifd has it on the interface of another uplink; left where it was"
        );
        uplinks[place].clone_from(&before[place]);
    }
    let moved = uplinks
        .iter()
        .zip(&before)
        .filter(|(now, before)| now != before);
    moved
        .map(|(uplink, _)| Input::Moved {
            uplink: uplink.name.clone(),
            interface: uplink.interface.clone(),
            gateway: uplink.gateway,
            gateway6: uplink.gateway6,
        })
        .collect()
}

fn locate(uplink: &mut UplinkSettings, followed: &Followed, network: &Network) {
    let hop = |configured, reported: Option<_>| match configured {
        Gateway::Auto => reported.map_or(Gateway::Auto, Gateway::Address),
        Gateway::None | Gateway::Address(_) => configured,
    };
    uplink.interface = network.device.as_ref().unwrap_or(&uplink.interface).clone();
    uplink.gateway = hop(followed.gateway, network.gateway);
    uplink.gateway6 = hop(followed.gateway6, network.gateway6);
}

/// An uplink that has come to the interface of another one, by its place, and that one's name.
fn clash(uplinks: &[UplinkSettings], before: &[UplinkSettings]) -> Option<(usize, UplinkName)> {
    let has_come = |place: usize| uplinks[place].interface != before[place].interface;
    let mut places = (0..uplinks.len()).filter(|place| has_come(*place));
    places.find_map(|place| {
        let mut others = uplinks
            .iter()
            .filter(|other| other.name != uplinks[place].name);
        let other = others.find(|other| other.interface == uplinks[place].interface)?;
        Some((place, other.name.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> InterfaceName {
        name.parse().expect("a name")
    }

    /// Uplinks of these names that follow networks of these names, and `fixed` on eth9.
    fn following(names: &[&str]) -> Config {
        let uplinks = names
            .iter()
            .map(|name| format!("[[uplink]]\nname = \"{name}\"\nnetwork = \"{name}\"\ntier = 1\n"));
        let fixed = "[[uplink]]\nname = \"fixed\"\ninterface = \"eth9\"\ntier = 2\n";
        let text: Vec<_> = uplinks.chain([fixed.to_owned()]).collect();
        Config::parse(&text.concat(), "uplinkd.toml").expect("a configuration")
    }

    /// netifd has these networks on these devices: what moves, and where all are then.
    fn report(config: &mut Config, networks: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let mut reported = Networks::new();
        for (name, on) in networks {
            let network = Network {
                is_up: true,
                device: Some(device(on)),
                ..Network::default()
            };
            reported.insert(device(name), network);
        }
        let moved = lay_over(config, &reported);
        let moved = moved.into_iter().map(|input| {
            let Input::Moved { uplink, .. } = input else {
                panic!("{input:?}");
            };
            uplink.to_string()
        });
        let uplinks = config.engine.uplinks.iter();
        (
            moved.collect(),
            uplinks.map(|uplink| uplink.interface.to_string()).collect(),
        )
    }

    #[test]
    fn networks_that_change_their_devices_with_each_other_are_followed() {
        let mut config = following(&["wan", "wwan"]);
        report(&mut config, &[("wan", "eth1"), ("wwan", "eth2")]);
        let (moved, now) = report(&mut config, &[("wan", "eth2"), ("wwan", "eth1")]);
        assert_eq!((moved.len(), now.join(" ").as_str()), (2, "eth2 eth1 eth9"));
        // One after the other, in either order.
        let (_, now) = report(&mut config, &[("wan", "eth1"), ("wwan", "eth3")]);
        assert_eq!(now.join(" "), "eth1 eth3 eth9");
        let (_, now) = report(&mut config, &[("wan", "eth4"), ("wwan", "eth1")]);
        assert_eq!(now.join(" "), "eth4 eth1 eth9");
        let (moved, _) = report(&mut config, &[("wan", "eth4"), ("wwan", "eth1")]);
        assert_eq!(moved, [""; 0]);
    }

    #[test]
    fn a_network_on_the_device_of_another_uplink_is_left_where_it_was() {
        let mut config = following(&["wan", "wwan"]);
        report(&mut config, &[("wan", "eth1"), ("wwan", "eth2")]);
        let (moved, now) = report(&mut config, &[("wan", "eth9"), ("wwan", "eth1")]);
        assert_eq!((moved.len(), now.join(" ").as_str()), (0, "eth1 eth2 eth9"));
        let (_, now) = report(&mut config, &[("wan", "eth3"), ("wwan", "eth3")]);
        assert_eq!(
            now.iter().filter(|device| *device == "eth3").count(),
            1,
            "{now:?}"
        );
    }
}
