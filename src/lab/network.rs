//! The network of the lab.
//!
//! ```text
//!                          fiber-access            fiber-core
//!                        ┌─────────────── fiber ───────────────┐
//!          lan           │ lte-access              lte-core    │
//!  client ───── router ──┼──────────────── lte ────────────────┼── internet
//!                        │ backup-access         backup-core   │
//!                        └─────────────── backup ──────────────┘
//! ```
//!
//! The router forwards as it is; each provider translates the source address to its own.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use crate::lab::chance::Chance;
use crate::lab::error::{Doing, LabError};
use crate::lab::internet;
use crate::lab::lane::Impairment;
use crate::lab::lifeline::Lifeline;
use crate::lab::namespace::Namespace;
use crate::lab::nat;
use crate::lab::netlink::{Netlink, Prefix};
use crate::lab::pump::{Ends, Pump, Towards, WireId};
use crate::lab::tap::Tap;
use crate::units::{IfIndex, InterfaceName, Metric, Moment};

/// The uplinks of the router, best first. Each has an interface of its name on the router.
pub const UPLINKS: [&str; 3] = ["fiber", "lte", "backup"];
/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
/// The router's interface to the client.
pub const LAN: &str = "lan";

const ROUTER_ON_LAN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const LAN_PREFIX: Prefix = Prefix(Ipv4Addr::new(192, 168, 1, 0), 24);
const ANYWHERE: Prefix = Prefix(Ipv4Addr::UNSPECIFIED, 0);
/// One way along a core wire, so that every uplink has 10 ms of round trip.
const CORE_DELAY: Duration = Duration::from_millis(5);

/// The whole network; it vanishes when this is dropped.
#[derive(Debug)]
pub struct Network {
    client: Namespace,
    router: Namespace,
    internet: Namespace,
    wires: Vec<Laid>,
    // Fields are dropped in this order: first the frames stop, then the nodes go.
    pump: Pump,
    _services: Vec<Lifeline>,
    providers: Vec<Namespace>,
}

#[derive(Debug)]
struct Laid {
    name: String,
    base: Impairment,
}

/// A wire of a [`Network`].
#[derive(Clone, Copy, Debug)]
pub struct Wire<'n> {
    pump: &'n Pump,
    id: WireId,
    laid: &'n Laid,
}

impl Network {
    /// Builds it. All chance on its wires follows from `seed`.
    pub fn build(seed: u64) -> Result<Self, LabError> {
        let mut plan = Plan::default();
        let client = node("client")?;
        let router = node("router")?;
        let internet = node("internet")?;
        plan.lay(
            LAN,
            Impairment::default(),
            (&client, "eth0"),
            (&router, LAN),
        )?;
        configure(&client, |n| {
            n.address("eth0", CLIENT)?;
            n.netlink.add_route(ANYWHERE, ROUTER_ON_LAN, Metric(0))
        })?;
        configure(&router, |n| n.address(LAN, ROUTER_ON_LAN))?;
        let mut providers = Vec::new();
        for (name, number) in UPLINKS.into_iter().zip(1..) {
            let subnets = Subnets { number };
            providers.push(plan.connect(name, subnets, &router, &internet)?);
        }
        configure(&internet, |n| {
            for host in internet::TARGETS.into_iter().chain([internet::ECHO]) {
                let lo = index_of("lo")?;
                n.netlink.add_address(lo, Prefix(host, 32))?;
            }
            Ok(())
        })?;
        let services = internet::serve(&internet)?;
        let network = Self {
            pump: Pump::start(plan.ends, &Chance::from_seed(seed))
                .doing(|| "start the pump".to_owned())?,
            client,
            router,
            internet,
            wires: plan.wires,
            _services: services,
            providers,
        };
        network.mend_all()?;
        Ok(network)
    }

    /// The host behind the router.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// Where the agent runs.
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// The hosts that answer.
    pub fn internet(&self) -> &Namespace {
        &self.internet
    }

    /// The router of the provider behind an uplink.
    pub fn provider(&self, uplink: &str) -> Option<&Namespace> {
        let index = UPLINKS.iter().position(|name| *name == uplink)?;
        self.providers.get(index)
    }

    /// A wire by its name, such as `lan`, `fiber-access` or `fiber-core`.
    pub fn wire(&self, name: &str) -> Option<Wire<'_>> {
        let index = self.wires.iter().position(|laid| laid.name == name)?;
        Some(Wire {
            pump: &self.pump,
            id: WireId(index),
            laid: self.wires.get(index)?,
        })
    }

    /// All wires.
    pub fn wires(&self) -> impl Iterator<Item = Wire<'_>> {
        (self.wires.iter().enumerate()).map(|(index, laid)| Wire {
            pump: &self.pump,
            id: WireId(index),
            laid,
        })
    }

    /// Makes every wire what it was at the beginning.
    pub fn mend_all(&self) -> Result<(), LabError> {
        self.wires().try_for_each(|wire| wire.mend().map(drop))
    }
}

impl Wire<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.laid.name
    }

    /// Sets both directions, and returns the moment from which that holds.
    pub fn set(&self, impairment: Impairment) -> Result<Moment, LabError> {
        self.set_towards(Towards::Client, impairment)?;
        self.set_towards(Towards::Internet, impairment)
    }

    /// Sets one direction, and returns the moment from which that holds.
    pub fn set_towards(
        &self,
        towards: Towards,
        impairment: Impairment,
    ) -> Result<Moment, LabError> {
        self.pump
            .impair(self.id, towards, impairment)
            .doing(|| format!("set the wire {}", self.laid.name))
    }

    /// Pulls the cable: both ends lose their carrier.
    pub fn unplug(&self) -> Result<Moment, LabError> {
        self.set_carrier(false)
    }

    /// Makes it what it was at the beginning, plugged in.
    pub fn mend(&self) -> Result<Moment, LabError> {
        self.set(self.laid.base)?;
        self.set_carrier(true)
    }

    fn set_carrier(&self, up: bool) -> Result<Moment, LabError> {
        self.pump
            .set_carrier(self.id, up)
            .doing(|| format!("plug or pull the wire {}", self.laid.name))
    }
}

/// The addresses around one provider.
#[derive(Clone, Copy)]
struct Subnets {
    number: u8,
}

impl Subnets {
    const fn provider_on_access(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 1)
    }

    const fn router_on_access(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 2)
    }

    const fn internet_on_core(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 100 + self.number, 0, 1)
    }

    const fn provider_on_core(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 100 + self.number, 0, 2)
    }

    /// What a DHCP client with metrics would give its default route.
    const fn metric(self) -> Metric {
        Metric(10 * self.number as u32)
    }
}

/// What has been laid so far.
#[derive(Default)]
struct Plan {
    ends: Vec<Ends>,
    wires: Vec<Laid>,
}

impl Plan {
    /// A provider between router and internet.
    fn connect(
        &mut self,
        name: &str,
        subnets: Subnets,
        router: &Namespace,
        internet: &Namespace,
    ) -> Result<Namespace, LabError> {
        let provider = node(name)?;
        let core = Impairment {
            delay: CORE_DELAY,
            ..Impairment::default()
        };
        let access = format!("{name}-access");
        let perfect = Impairment::default();
        self.lay(&access, perfect, (router, name), (&provider, "access"))?;
        let ends = ((&provider, "core"), (internet, name));
        self.lay(&format!("{name}-core"), core, ends.0, ends.1)?;
        configure(&provider, |n| {
            n.address("access", subnets.provider_on_access())?;
            n.address("core", subnets.provider_on_core())?;
            n.netlink
                .add_route(ANYWHERE, subnets.internet_on_core(), Metric(0))?;
            n.netlink
                .add_route(LAN_PREFIX, subnets.router_on_access(), Metric(0))?;
            nat::masquerade()
        })?;
        configure(internet, |n| n.address(name, subnets.internet_on_core()))?;
        configure(router, |n| {
            n.address(name, subnets.router_on_access())?;
            n.netlink
                .add_route(ANYWHERE, subnets.provider_on_access(), subnets.metric())
        })?;
        Ok(provider)
    }

    fn lay(
        &mut self,
        name: &str,
        base: Impairment,
        client_side: (&Namespace, &str),
        internet_side: (&Namespace, &str),
    ) -> Result<(), LabError> {
        let end = |(node, interface): (&Namespace, &str)| {
            let name: InterfaceName = interface
                .parse()
                .map_err(io::Error::other)
                .doing(|| format!("name the interface {interface}"))?;
            Tap::create(node, &name)
        };
        self.ends.push(Ends {
            client: end(client_side)?,
            internet: end(internet_side)?,
        });
        self.wires.push(Laid {
            name: name.to_owned(),
            base,
        });
        Ok(())
    }
}

/// A namespace that is ready for interfaces: it forwards, trusts every source address and knows
/// IPv4 only.
fn node(name: &str) -> Result<Namespace, LabError> {
    const SETTINGS: [(&str, &str); 4] = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv6/conf/default/disable_ipv6", "1"),
    ];
    let namespace = Namespace::create(name)?;
    for (key, value) in SETTINGS {
        let write = || match fs::write(format!("/proc/sys/net/{key}"), value) {
            // A kernel without IPv6 has nothing to switch off.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        namespace
            .run(write)
            .doing(|| format!("set /proc/sys/net/{key} of {name}"))?;
    }
    configure(&namespace, |n| n.netlink.set_up(index_of("lo")?))?;
    Ok(namespace)
}

/// A visitor in a node, with a line to its kernel.
struct Visitor {
    netlink: Netlink,
}

impl Visitor {
    /// Sets an interface up, with this address in a subnet of 256.
    fn address(&mut self, interface: &str, address: Ipv4Addr) -> io::Result<()> {
        let index = index_of(interface)?;
        self.netlink.add_address(index, Prefix(address, 24))?;
        self.netlink.set_up(index)
    }
}

fn configure(
    node: &Namespace,
    task: impl FnOnce(&mut Visitor) -> io::Result<()> + Send,
) -> Result<(), LabError> {
    let visit = || {
        let netlink = Netlink::open()?;
        task(&mut Visitor { netlink })
    };
    node.run(visit)
        .doing(|| format!("configure the network of {}", node.name()))
}

/// The index of an interface in the namespace of this thread.
pub(super) fn index_of(interface: &str) -> io::Result<IfIndex> {
    let index = if_nametoindex(interface)?;
    IfIndex::new(index).ok_or_else(|| io::ErrorKind::NotFound.into())
}
