//! Uplinks that are where a network of netifd is.
//!
//! What netifd says is laid over what the configuration says, and stays until it says otherwise: an
//! ubusd that restarts moves nothing. Whether a device is up, has an address or a next hop is
//! taken from the kernel, for these uplinks as for all.

use std::time::Duration;

use tokio::time::timeout;

use super::Daemon;
use crate::config::{Config, Followed, UbusPlace};
use crate::control::ubus::netifd::{Network, Networks, Order, Way};
use crate::control::ubus::{self, Ubus};
use crate::engine::event::{EventRecord, Lane, StandbyOrder};
use crate::engine::input::Input;
use crate::engine::settings::UplinkSettings;
use crate::routing::Gateway;
use crate::units::{InterfaceName, UplinkName};

/// How long the start waits for netifd, so that the routes of an earlier run are taken up at once.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// The networks of netifd, when they are others; for ever if there is no ubus.
pub(super) async fn told_by(ubus: &mut Option<Ubus>) -> Networks {
    match ubus {
        Some(ubus) => ubus.networks().await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// Learns where the uplinks are before the first of them is looked at.
    pub(super) async fn find_networks(&mut self) {
        if self.config.networks.is_empty() {
            return;
        }
        let told = timeout(KNOWN_WITHIN, told_by(&mut self.ubus)).await;
        if let Ok(networks) = told {
            self.follow(networks);
        } else {
            tracing::warn!("netifd does not tell yet where its networks are");
        }
    }

    /// Takes what netifd says now.
    pub(super) fn follow(&mut self, networks: Networks) {
        self.networks = networks;
        let moved = self.locate();
        if moved.is_empty() {
            return;
        }
        for input in moved {
            if let Input::Moved {
                uplink, interface, ..
            } = &input
            {
                tracing::info!(%uplink, %interface, "netifd tells where it is");
                self.attachments.remove(uplink);
            }
            self.tell(input);
        }
        self.look_at_interfaces();
    }

    /// Lays what netifd said over the configuration; what is other than before.
    pub(super) fn locate(&mut self) -> Vec<Input> {
        lay_over(&mut self.config, &self.networks)
    }

    /// The network that an uplink follows.
    pub(super) fn network_of(&self, uplink: Option<&UplinkName>) -> Option<InterfaceName> {
        let followed = self.config.networks.get(uplink?)?;
        Some(followed.network.clone())
    }

    /// Has netifd bring a cold uplink up or down that is one of its networks.
    pub(super) fn order_network(&self, record: &EventRecord) {
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

/// Lays what netifd says now over a configuration, for whoever looks at the machine without an agent.
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

/// What is other than before, as inputs.
fn lay_over(config: &mut Config, networks: &Networks) -> Vec<Input> {
    let Config {
        networks: followed,
        engine,
        ..
    } = config;
    let moved = followed.iter();
    moved
        .filter_map(|(uplink, followed)| {
            let network = networks.get(&followed.network)?;
            locate(uplink, followed, network, &mut engine.uplinks)
        })
        .collect()
}

fn locate(
    name: &UplinkName,
    followed: &Followed,
    network: &Network,
    uplinks: &mut [UplinkSettings],
) -> Option<Input> {
    let place = uplinks.iter().position(|uplink| uplink.name == *name)?;
    let device = network.device.as_ref();
    let interface = device.unwrap_or(&uplinks[place].interface).clone();
    let mut others = uplinks.iter().filter(|other| other.name != *name);
    if let Some(other) = others.find(|other| other.interface == interface) {
        tracing::warn!(
            uplink = %name,
            other = %other.name,
            %interface,
            "netifd has it on the interface of another uplink; left where it was"
        );
        return None;
    }
    let hop = |configured, told: Option<_>| match configured {
        Gateway::Auto => told.map_or(Gateway::Auto, Gateway::Address),
        Gateway::None | Gateway::Address(_) => configured,
    };
    let uplink = &mut uplinks[place];
    let now = (
        interface,
        hop(followed.gateway, network.gateway),
        hop(followed.gateway6, network.gateway6),
    );
    if now == (uplink.interface.clone(), uplink.gateway, uplink.gateway6) {
        return None;
    }
    (uplink.interface, uplink.gateway, uplink.gateway6) = now.clone();
    let (interface, gateway, gateway6) = now;
    Some(Input::Moved {
        uplink: name.clone(),
        interface,
        gateway,
        gateway6,
    })
}
