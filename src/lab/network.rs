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
//! All of it speaks both families. The router forwards as it is; each provider translates the source
//! address to its own, in IPv6 as well, where the client has a local address (RFC 4193): so that its
//! stream can go on through another provider.

mod end;
mod entries;
mod second_router;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use crate::lab::chance::Chance;
use crate::lab::error::{Doing, LabError};
use crate::lab::internet;
use crate::lab::lane::{Impairment, Towards};
use crate::lab::namespace::Namespace;
use crate::lab::nat::{self, Nat};
use crate::lab::netlink::{AddressPrefix, Netlink};
use crate::lab::pump::{Pump, WireEnds, WireId};
use crate::lab::shutdown::ShutdownHandle;
use crate::lab::tap::Tap;
use crate::units::{IfIndex, InterfaceName, Metric, Moment};

/// The uplinks of the router, best first. Each has an interface of its name on the router.
pub const UPLINKS: [&str; 3] = ["fiber", "lte", "backup"];
/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
/// The client's address in IPv6.
pub(super) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfdc0, 0xffee, 0x01ab, 1, 0, 0, 0, 2);
/// A provider's interface to its customer.
pub(super) const ACCESS: &str = "access";
/// The router's interface to the client.
pub const LAN: &str = "lan";

const CLIENT_ON_LAN: AddressPair = AddressPair(CLIENT, CLIENT6);
const ROUTER_ON_LAN: AddressPair = AddressPair(
    Ipv4Addr::new(192, 168, 1, 1),
    Ipv6Addr::new(0xfdc0, 0xffee, 0x01ab, 1, 0, 0, 0, 1),
);
const ANYWHERE: SubnetPair = SubnetPair(
    AddressPair(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
    0,
    0,
);
const THE_LAN: SubnetPair = SubnetPair(
    AddressPair(
        Ipv4Addr::new(192, 168, 1, 0),
        Ipv6Addr::new(0xfdc0, 0xffee, 0x01ab, 1, 0, 0, 0, 0),
    ),
    24,
    64,
);
/// One way along a core wire, so that every uplink has 10 ms of round trip.
const CORE_DELAY: Duration = Duration::from_millis(5);

/// The whole network; it vanishes when this is dropped.
#[derive(Debug)]
pub struct LabNetwork {
    client: Namespace,
    router: Namespace,
    internet: Namespace,
    wires: Vec<WireSetup>,
    pump: Pump,
    _services: Vec<ShutdownHandle>,
    providers: Vec<Namespace>,
}

#[derive(Debug)]
struct WireSetup {
    name: String,
    base: Impairment,
}

/// A wire of a [`LabNetwork`].
#[derive(Clone, Copy, Debug)]
pub struct Wire<'n> {
    pump: &'n Pump,
    id: WireId,
    laid: &'n WireSetup,
}

impl LabNetwork {
    /// Builds it. All chance on its wires follows from `seed`.
    pub fn build(seed: u64) -> Result<Self, LabError> {
        let mut plan = NetworkPlan::default();
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
            n.address("eth0", CLIENT_ON_LAN)?;
            n.route(ANYWHERE, ROUTER_ON_LAN, Metric(0))
        })?;
        configure(&router, |n| n.address(LAN, ROUTER_ON_LAN))?;
        let mut providers = Vec::new();
        for (name, number) in UPLINKS.into_iter().zip(1..) {
            let subnets = ProviderSubnets { number };
            providers.push(plan.connect(name, subnets, &router, &internet)?);
        }
        configure(&internet, |n| {
            let lo = index_of("lo")?;
            for host in internet::TARGETS.into_iter().chain([internet::ECHO]) {
                n.netlink.add_address(lo, AddressPrefix(host.into(), 32))?;
            }
            for host in internet::TARGETS6.into_iter().chain([internet::ECHO6]) {
                n.netlink.add_address(lo, AddressPrefix(host.into(), 128))?;
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

    /// Lets the router translate the client's IPv4 address as well.
    pub(super) fn translate(&self, nat: Nat) -> Result<(), LabError> {
        let exits: Vec<_> = UPLINKS
            .into_iter()
            .zip(1..)
            .map(|(name, number)| (name, ProviderSubnets { number }.router_on_access().0))
            .collect();
        let translate = || match nat {
            Nat::Masquerade => nat::masquerade(&UPLINKS),
            Nat::Fixed => nat::translate(&exits),
        };
        let router = &self.router;
        router
            .run(translate)
            .doing(|| "translate addresses on the router".to_owned())
    }

    /// Where the agent runs.
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// The hosts that answer.
    pub fn internet(&self) -> &Namespace {
        &self.internet
    }

    /// A foreign default route through an uplink, with this metric.
    pub(super) fn add_default(&self, uplink: &str, metric: Metric) -> Result<(), LabError> {
        let (_, number) = (UPLINKS.into_iter().zip(1..))
            .find(|(name, _)| *name == uplink)
            .ok_or_else(|| LabError::Wire(uplink.to_owned()))?;
        let gateway = ProviderSubnets { number }.provider_on_access();
        configure(&self.router, |n| n.route(ANYWHERE, gateway, metric))
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

/// The router's end of an uplink.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccessLine {
    name: &'static str,
    subnets: ProviderSubnets,
}

impl AccessLine {
    /// That of an uplink.
    pub(super) fn of(uplink: &str) -> Result<Self, LabError> {
        let place = (UPLINKS.into_iter().zip(1..)).find(|(name, _)| *name == uplink);
        let (name, number) = place.ok_or_else(|| LabError::Wire(uplink.to_owned()))?;
        let subnets = ProviderSubnets { number };
        Ok(Self { name, subnets })
    }

    /// Sets the link up, with the default route that a DHCP client would write.
    pub(super) fn dial(self) -> io::Result<()> {
        let mut netlink = Netlink::open()?;
        netlink.set_up(index_of(self.name)?)?;
        let AddressPair(provider, _) = self.subnets.provider_on_access();
        let anywhere = AddressPrefix(Ipv4Addr::UNSPECIFIED.into(), 0);
        netlink.add_route(anywhere, provider.into(), self.subnets.metric())
    }

    /// Adds its IPv4 address, or removes it and so its routes.
    pub(super) fn set_address(self, host: u8, is_there: bool) -> io::Result<()> {
        let AddressPair(address, _) = self.subnets.both(0, host);
        let address = AddressPrefix(address.into(), 24);
        let (mut netlink, index) = (Netlink::open()?, index_of(self.name)?);
        if is_there {
            netlink.add_address(index, address)
        } else {
            netlink.remove_address(index, address)
        }
    }

    /// Sets the link down, and its routes go with it.
    pub(super) fn hang_up(self) -> io::Result<()> {
        Netlink::open()?.set_down(index_of(self.name)?)
    }
}

/// The addresses of an interface.
#[derive(Clone, Copy)]
struct AddressPair(Ipv4Addr, Ipv6Addr);

/// A prefix of each family with its length.
#[derive(Clone, Copy)]
struct SubnetPair(AddressPair, u8, u8);

/// The addresses around one provider: 10.N.0.0/24 and 2001:db8:N::/64 towards its customer.
#[derive(Clone, Copy, Debug)]
struct ProviderSubnets {
    number: u8,
}

impl ProviderSubnets {
    const fn provider_on_access(self) -> AddressPair {
        self.both(0, 1)
    }

    const fn router_on_access(self) -> AddressPair {
        self.both(0, 2)
    }

    const fn internet_on_core(self) -> AddressPair {
        self.both(100, 1)
    }

    const fn provider_on_core(self) -> AddressPair {
        self.both(100, 2)
    }

    const fn both(self, offset: u8, host: u8) -> AddressPair {
        let number = self.number as u16;
        AddressPair(
            Ipv4Addr::new(10, offset + self.number, 0, host),
            Ipv6Addr::new(0x2001, 0xdb8, number, offset as u16, 0, 0, 0, host as u16),
        )
    }

    /// What a DHCP client with metrics would give its default route.
    const fn metric(self) -> Metric {
        Metric(100 * self.number as u32)
    }
}

impl SubnetPair {
    fn prefixes(self) -> [AddressPrefix; 2] {
        let Self(AddressPair(v4, v6), length, length6) = self;
        [
            AddressPrefix(v4.into(), length),
            AddressPrefix(v6.into(), length6),
        ]
    }
}

/// What has been laid so far.
#[derive(Default)]
struct NetworkPlan {
    ends: Vec<WireEnds>,
    wires: Vec<WireSetup>,
}

impl NetworkPlan {
    /// A provider between router and internet.
    fn connect(
        &mut self,
        name: &str,
        subnets: ProviderSubnets,
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
        self.lay(&access, perfect, (router, name), (&provider, ACCESS))?;
        let ends = ((&provider, "core"), (internet, name));
        self.lay(&format!("{name}-core"), core, ends.0, ends.1)?;
        configure(&provider, |n| {
            n.address(ACCESS, subnets.provider_on_access())?;
            n.address("core", subnets.provider_on_core())?;
            n.route(ANYWHERE, subnets.internet_on_core(), Metric(0))?;
            n.route(THE_LAN, subnets.router_on_access(), Metric(0))?;
            // Only the addresses of its customer (RFC 2827).
            fs::write("/proc/sys/net/ipv4/conf/access/rp_filter", "1")?;
            nat::masquerade(&["core"])
        })?;
        configure(internet, |n| {
            n.address(name, subnets.internet_on_core())?;
            n.route(subnets.access(), subnets.provider_on_core(), Metric(0))
        })?;
        configure(router, |n| {
            n.address(name, subnets.router_on_access())?;
            n.route(ANYWHERE, subnets.provider_on_access(), subnets.metric())
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
        self.ends.push(WireEnds {
            client: end(client_side)?,
            internet: end(internet_side)?,
        });
        self.wires.push(WireSetup {
            name: name.to_owned(),
            base,
        });
        Ok(())
    }
}

/// A namespace that is ready for interfaces: it forwards, trusts every source address, listens to no
/// router's advertisements and takes its addresses for its own without asking.
fn node(name: &str) -> Result<Namespace, LabError> {
    const SETTINGS: [(&str, &str); 8] = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/forwarding", "1"),
    ];
    let namespace = Namespace::create(name)?;
    for (key, value) in SETTINGS {
        let write = || fs::write(format!("/proc/sys/net/{key}"), value);
        namespace
            .run(write)
            .doing(|| format!("set /proc/sys/net/{key} of {name}"))?;
    }
    configure(&namespace, |n| n.netlink.set_up(index_of("lo")?))?;
    Ok(namespace)
}

/// A visitor in a node, with a line to its kernel.
struct NodeConfigurator {
    netlink: Netlink,
}

impl NodeConfigurator {
    /// Sets an interface up, with these addresses in subnets of the usual size.
    fn address(&mut self, interface: &str, addresses: AddressPair) -> io::Result<()> {
        let index = index_of(interface)?;
        for address in SubnetPair(addresses, 24, 64).prefixes() {
            self.netlink.add_address(index, address)?;
        }
        self.netlink.group(index)?;
        self.netlink.set_up(index)
    }

    /// Adds a route of each family.
    fn route(
        &mut self,
        destination: SubnetPair,
        gateway: AddressPair,
        metric: Metric,
    ) -> io::Result<()> {
        let gateways: [IpAddr; 2] = [gateway.0.into(), gateway.1.into()];
        let routes = destination.prefixes().into_iter().zip(gateways);
        for (destination, gateway) in routes {
            self.netlink.add_route(destination, gateway, metric)?;
        }
        Ok(())
    }
}

fn configure(
    node: &Namespace,
    task: impl FnOnce(&mut NodeConfigurator) -> io::Result<()> + Send,
) -> Result<(), LabError> {
    let visit = || {
        let netlink = Netlink::open()?;
        task(&mut NodeConfigurator { netlink })
    };
    node.run(visit)
        .doing(|| format!("configure the network of {}", node.name()))
}

/// The index of an interface in the namespace of this thread.
pub(super) fn index_of(interface: &str) -> io::Result<IfIndex> {
    let index = if_nametoindex(interface)?;
    IfIndex::new(index).ok_or_else(|| io::ErrorKind::NotFound.into())
}
