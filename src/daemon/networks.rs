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
        self.networks = networks;
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

/// The changes, as inputs.
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
    let hop = |configured, reported: Option<_>| match configured {
        Gateway::Auto => reported.map_or(Gateway::Auto, Gateway::Address),
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
