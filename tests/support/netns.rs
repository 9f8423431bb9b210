//! A network namespace for one test, on a thread of its own: gone when the test ends.
//!
//! Root makes one at once. Other users run the test again as root of a user namespace of its own,
//! where that is allowed; where not, the test is reported as not run, and fails if `CI` is set.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use futures_util::TryStreamExt;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, MacVlanMode};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{
    Handle, IpVersion, LinkBridge, LinkMacVlan, LinkUnspec, LinkVeth, LinkVlan, LinkVrf,
    LinkWireguard, RouteMessageBuilder,
};

use crate::machine::{not_run, this_test};

/// Set for a test that runs again in a user namespace.
const AGAIN: &str = "UPLINKD_TEST_IN_USER_NAMESPACE";

/// Runs a test in a network namespace of its own.
pub(crate) fn run<T: Future<Output = ()>>(test: impl FnOnce(World) -> T + Send + 'static) {
    let name = this_test();
    let thread = std::thread::Builder::new().name(name.clone());
    let entered = thread.spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async { test(World::new().await).await });
        Ok::<(), Errno>(())
    });
    match entered.expect("a thread").join() {
        Ok(Ok(())) => {}
        Ok(Err(_)) if std::env::var_os(AGAIN).is_none() => run_again(&name),
        Ok(Err(errno)) => not_run(&name, &no_namespace(errno)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs one test of this program again, as root of a user namespace.
#[expect(
    unsafe_code,
    reason = "a user namespace needs a process of one thread: between fork and exec"
)]
fn run_again(name: &str) {
    let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ];
    let program = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    command
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(AGAIN, "1");
    // SAFETY: only system calls happen between fork and exec; what they need was made before.
    unsafe {
        command.pre_exec(move || {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            for (file, content) in &maps {
                std::fs::write(file, content)?;
            }
            Ok(())
        });
    }
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let has_run = said.contains("test result: ok. 1 passed");
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(has_run, "{name} in a user namespace:\n{said}{words}");
        }
        Err(error) => not_run(name, &no_namespace(error)),
    }
}

fn no_namespace(error: impl std::error::Error) -> String {
    format!("this machine allows no network namespace: {error}")
}

/// Takes all capabilities from this thread.
#[expect(unsafe_code, reason = "no safe wrapper of capset is at hand")]
pub(crate) fn drop_capabilities() {
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: header and data are as capset(2) wants them for version 3.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(result, 0, "capset");
}

/// The namespace, as a person with `ip` would handle it.
#[derive(Clone)]
pub(crate) struct World {
    handle: Handle,
}

/// A packet that wants a way.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) to: Ipv4Addr,
    pub(crate) from: Option<Ipv4Addr>,
    pub(crate) mark: Option<u32>,
    /// Its socket is bound to this interface.
    pub(crate) out_of: Option<&'a str>,
}

impl Packet<'_> {
    /// To a host in the internet, from anywhere.
    pub(crate) const ANY: Self = Self {
        to: Ipv4Addr::new(192, 0, 2, 80),
        from: None,
        mark: None,
        out_of: None,
    };
}

/// A default route of another program in main.
#[derive(Clone, Copy)]
pub(crate) struct ForeignDefault {
    pub(crate) via: Ipv4Addr,
    pub(crate) metric: u32,
}

impl World {
    async fn new() -> Self {
        let world = Self::here();
        sysctl("ipv6/conf/default/disable_ipv6", "1");
        world.set_up("lo", true).await;
        world
    }

    /// Interfaces to come speak IPv6 as those of a router, and do not ask first whether an address
    /// of theirs is taken.
    #[expect(clippy::unused_self, reason = "a world without it has no IPv6")]
    pub(crate) fn speak_ipv6(&self) {
        sysctl("ipv6/conf/default/disable_ipv6", "0");
        sysctl("ipv6/conf/all/forwarding", "1");
        for of in ["all", "default"] {
            sysctl(&format!("ipv6/conf/{of}/accept_dad"), "0");
        }
        sysctl("ipv6/conf/default/accept_ra", "2");
    }

    /// The namespace of this thread.
    pub(crate) fn here() -> Self {
        let (connection, handle, _) = rtnetlink::new_connection().expect("a netlink socket");
        tokio::spawn(connection);
        Self { handle }
    }

    /// A pair of interfaces, `name` and `name-far`, both up. Returns the index of `name`.
    pub(crate) async fn wire(&self, name: &str) -> u32 {
        let far = far(name);
        let pair = LinkVeth::new(name, &far).build();
        self.handle
            .link()
            .add(pair)
            .execute()
            .await
            .expect("a veth pair");
        self.set_up(&far, true).await;
        self.set_up(name, true).await;
        self.link(name).await.header.index
    }

    /// A wire whose other end, `far`, is in another namespace, by its descriptor.
    pub(crate) async fn wire_to(&self, name: &str, far: &str, namespace: i32) {
        let pair = LinkVeth::new(name, far).build();
        let request = self.handle.link().add(pair);
        request.execute().await.expect("a veth pair");
        let away = LinkUnspec::new_with_name(far).setns_by_fd(namespace);
        let request = self.handle.link().set(away.build());
        request.execute().await.expect("its end is sent away");
        self.set_up(name, true).await;
    }

    /// A VLAN of a wire; false if this kernel has none.
    pub(crate) async fn vlan(&self, name: &str, of: &str, id: u16) -> bool {
        let below = self.link(of).await.header.index;
        self.make(LinkVlan::new(name, below, id).build()).await
    }

    /// A bridge with one port; false if this kernel has none.
    pub(crate) async fn bridge(&self, name: &str, port: &str) -> bool {
        if !self.make(LinkBridge::new(name).build()).await {
            return false;
        }
        self.join(port, name).await;
        true
    }

    /// Makes an interface a port of a bridge or a member of a VRF.
    pub(crate) async fn join(&self, name: &str, controller: &str) {
        let controller = self.link(controller).await.header.index;
        let port = LinkUnspec::new_with_name(name).controller(controller);
        let request = self.handle.link().set(port.build());
        request.execute().await.expect("it joins");
    }

    /// A tunnel without peers; false if this kernel has none.
    pub(crate) async fn wireguard(&self, name: &str) -> bool {
        self.make(LinkWireguard::new(name).build()).await
    }

    /// A domain with a table of its own; false if this kernel has none.
    pub(crate) async fn vrf(&self, name: &str, table: u32) -> bool {
        self.make(LinkVrf::new(name, table).build()).await
    }

    /// A macvlan of a wire; false if this kernel has none.
    pub(crate) async fn macvlan(&self, name: &str, of: &str) -> bool {
        let below = self.link(of).await.header.index;
        let link = LinkMacVlan::new(name, below, MacVlanMode::Private);
        self.make(link.build()).await
    }

    /// Makes an interface and sets it up; false if this kernel does not know its kind.
    async fn make(&self, link: LinkMessage) -> bool {
        let name = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
        let request = self.handle.link().add(link);
        match request.execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::EOPNOTSUPP => {
                return false;
            }
            made => made.expect("the interface is made"),
        }
        self.set_up(&name.expect("a name"), true).await;
        true
    }

    /// Gives a point-to-point interface its address and that of its far end.
    pub(crate) async fn add_peer(&self, name: &str, own: Ipv4Addr, peer: Ipv4Addr) {
        let index = self.link(name).await.header.index;
        let mut add = self.handle.address().add(index, peer.into(), 32);
        let attributes = &mut add.message_mut().attributes;
        attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Local(_)));
        attributes.push(AddressAttribute::Local(own.into()));
        add.execute().await.expect("the address is added");
    }

    pub(crate) async fn remove_address(&self, name: &str, address: impl Into<IpNet>) {
        let index = self.link(name).await.header.index;
        let address = address.into();
        let mut message = AddressMessage::default();
        message.header.family = match address {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        message.header.index = index;
        message.header.prefix_len = address.prefix_len();
        let local = AddressAttribute::Local(address.addr());
        message.attributes.push(local);
        let request = self.handle.address().del(message);
        request.execute().await.expect("the address is removed");
    }

    /// The interface and the next hop that the kernel chooses for a packet; none without a route.
    pub(crate) async fn way_of(&self, packet: Packet<'_>) -> Option<(String, Option<IpAddr>)> {
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(packet.to, 32)
            .build();
        if let Some(mark) = packet.mark {
            route.attributes.push(RouteAttribute::Mark(mark));
        }
        if let Some(interface) = packet.out_of {
            let index = self.link(interface).await.header.index;
            route.attributes.push(RouteAttribute::Oif(index));
        }
        if let Some(from) = packet.from {
            route.header.source_prefix_length = 32;
            let from = RouteAttribute::Source(RouteAddress::Inet(from));
            route.attributes.push(from);
        }
        let mut found = self.handle.route().get(route).execute();
        let route = found.try_next().await.ok().flatten()?;
        let mut way = (None, None);
        for attribute in route.attributes {
            match attribute {
                RouteAttribute::Oif(index) => way.0 = Some(index),
                RouteAttribute::Gateway(RouteAddress::Inet(address)) => {
                    way.1 = Some(address.into());
                }
                _ => {}
            }
        }
        let name = nix::net::if_::if_indextoname(way.0?).ok()?;
        Some((name.to_string_lossy().into_owned(), way.1))
    }

    /// The interfaces by which the kernel forwards what came in by `iif` from a host there.
    pub(crate) async fn forwarded(&self, iif: &str, from: IpAddr, to: &[IpAddr]) -> Vec<u32> {
        let iif = self.link(iif).await.header.index;
        let mut ways = Vec::new();
        for to in to {
            let mut route = match to {
                IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new()
                    .destination_prefix(*to, 32)
                    .build(),
                IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new()
                    .destination_prefix(*to, 128)
                    .build(),
            };
            route.header.source_prefix_length = if from.is_ipv4() { 32 } else { 128 };
            route.attributes.push(RouteAttribute::Source(from.into()));
            route.attributes.push(RouteAttribute::Iif(iif));
            let mut found = self.handle.route().get(route).execute();
            let route = found.try_next().await.expect("a way").expect("a way");
            let mut out = route.attributes.iter().filter_map(|one| match one {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            });
            ways.push(out.next().expect("an interface"));
        }
        ways
    }

    /// Cuts or mends the wire at its far end.
    pub(crate) async fn set_carrier(&self, name: &str, carrier: bool) {
        self.set_up(&far(name), carrier).await;
    }

    pub(crate) async fn set_up(&self, name: &str, up: bool) {
        let change = LinkUnspec::new_with_name(name);
        let change = if up { change.up() } else { change.down() };
        let request = self.handle.link().set(change.build());
        request
            .execute()
            .await
            .expect("the interface goes up or down");
    }

    pub(crate) async fn remove(&self, name: &str) {
        let index = self.link(name).await.header.index;
        self.handle
            .link()
            .del(index)
            .execute()
            .await
            .expect("the interface goes");
    }

    async fn link(&self, name: &str) -> LinkMessage {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        let link = links.try_next().await.expect("the interface exists");
        link.expect("the interface exists")
    }

    pub(crate) async fn add_address(&self, name: &str, address: Ipv4Net) {
        let index = self.link(name).await.header.index;
        let request = self
            .handle
            .address()
            .add(index, address.addr().into(), address.prefix_len());
        request.execute().await.expect("the address is added");
    }

    pub(crate) async fn add_address6(&self, name: &str, address: Ipv6Net) {
        self.set_address6(name, address, u32::MAX).await;
    }

    /// Adds an address, or changes the one that is there: preferred for so many seconds.
    pub(crate) async fn set_address6(&self, name: &str, address: Ipv6Net, preferred: u32) {
        let index = self.link(name).await.header.index;
        let add = self.handle.address();
        let add = add.add(index, address.addr().into(), address.prefix_len());
        let mut add = add.replace();
        let mut lifetimes = CacheInfo::default();
        (lifetimes.ifa_preferred, lifetimes.ifa_valid) = (preferred, u32::MAX);
        let attributes = &mut add.message_mut().attributes;
        attributes.push(AddressAttribute::CacheInfo(lifetimes));
        add.execute().await.expect("the address is set");
    }

    /// Adds an address without duplicate address detection.
    pub(crate) async fn take_address6(&self, name: &str, address: Ipv6Net) {
        let index = self.link(name).await.header.index;
        let add = self.handle.address();
        let mut add = add.add(index, address.addr().into(), address.prefix_len());
        let attributes = &mut add.message_mut().attributes;
        attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        add.execute().await.expect("the address is added");
        // The kernel adds its local route a moment later; without it nothing answers from there.
        for _ in 0..1000 {
            if self.is_local6(address.addr()).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{address} of {name} has no local route");
    }

    /// Whether the kernel takes what is sent there for its own.
    async fn is_local6(&self, address: Ipv6Addr) -> bool {
        let route = RouteMessageBuilder::<Ipv6Addr>::new();
        let route = route.destination_prefix(address, 128).build();
        let mut found = self.handle.route().get(route).execute();
        let found = found.try_next().await;
        found.is_ok_and(|route| route.is_some_and(|route| route.header.kind == RouteType::Local))
    }

    /// A default route by IPv6 as a DHCP client or netifd writes it, for packets from `source` only
    /// if there is one.
    pub(crate) async fn add_default6(&self, name: &str, via: Ipv6Addr, source: Option<Ipv6Net>) {
        let mut route = RouteMessageBuilder::<Ipv6Addr>::new()
            .output_interface(self.link(name).await.header.index)
            .gateway(via)
            .priority(512)
            .protocol(RouteProtocol::Static);
        if let Some(source) = source {
            route = route.source_prefix(source.addr(), source.prefix_len());
        }
        let request = self.handle.route().add(route.build());
        request.execute().await.expect("the route is added");
    }

    pub(crate) async fn add_default(&self, name: &str, default: ForeignDefault) {
        let route = self.foreign_default(name, default).await;
        self.handle
            .route()
            .add(route)
            .execute()
            .await
            .expect("the route is added");
    }

    pub(crate) async fn remove_default(&self, name: &str, default: ForeignDefault) {
        let route = self.foreign_default(name, default).await;
        self.handle
            .route()
            .del(route)
            .execute()
            .await
            .expect("the route is removed");
    }

    async fn foreign_default(&self, name: &str, default: ForeignDefault) -> RouteMessage {
        RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(self.link(name).await.header.index)
            .gateway(default.via)
            .priority(default.metric)
            .protocol(RouteProtocol::Dhcp)
            .build()
    }

    /// Adds this many routes to hosts, a stranger's, as a burst.
    pub(crate) async fn add_hosts(&self, name: &str, hosts: impl Iterator<Item = Ipv4Addr>) {
        let index = self.link(name).await.header.index;
        for host in hosts {
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(host, 32)
                .output_interface(index)
                .scope(RouteScope::Link)
                .protocol(RouteProtocol::Bgp);
            let request = self.handle.route().add(route.build());
            request.execute().await.expect("the route is added");
        }
    }

    /// Adds a stranger's route to a host, or replaces it.
    pub(crate) async fn change_host(&self, name: &str, host: Ipv4Addr) {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(host, 32)
            .output_interface(self.link(name).await.header.index)
            .scope(RouteScope::Link)
            .protocol(RouteProtocol::Bgp);
        let request = self.handle.route().add(route.build()).replace();
        request.execute().await.expect("the route is replaced");
    }

    /// A stranger's default route that leads nowhere.
    pub(crate) async fn add_blackhole(&self, table: u32, metric: u32) {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .table_id(table)
            .priority(metric)
            .kind(RouteType::BlackHole)
            .build();
        let request = self.handle.route().add(route);
        request.execute().await.expect("the route is added");
    }

    /// Adds a rule as it is.
    pub(crate) async fn add_rule(&self, rule: RuleMessage) {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule;
        request.execute().await.expect("the rule is added");
    }

    /// Adds a rule that is there already.
    pub(crate) async fn double_rule(&self, rule: RuleMessage) {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule;
        request
            .replace()
            .execute()
            .await
            .expect("the rule is added");
    }

    /// Removes a rule that [`World::rules`] returned.
    pub(crate) async fn remove_rule(&self, rule: RuleMessage) {
        self.handle
            .rule()
            .del(rule)
            .execute()
            .await
            .expect("the rule is removed");
    }

    /// Removes a route that [`World::routes`] returned.
    pub(crate) async fn remove_route(&self, route: RouteMessage) {
        self.handle
            .route()
            .del(route)
            .execute()
            .await
            .expect("the route is removed");
    }

    /// Adds a route as it is.
    pub(crate) async fn add_route(&self, route: RouteMessage) {
        let request = self.handle.route().add(route);
        request.execute().await.expect("the route is added");
    }

    /// Replaces a route by one that [`World::routes`] returned.
    pub(crate) async fn replace_route(&self, route: RouteMessage) {
        let request = self.handle.route().add(route).replace();
        request.execute().await.expect("the route is replaced");
    }

    /// All routes of both families and of all tables but the local one; how long they will last is
    /// left out.
    pub(crate) async fn routes(&self) -> Vec<RouteMessage> {
        let mut routes = Vec::new();
        for all in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let found = self.handle.route().get(all).execute();
            let found: Vec<RouteMessage> = found.try_collect().await.expect("the routes");
            routes.extend(found);
        }
        routes.retain(|route| route.header.table != 255);
        let lasts = |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::CacheInfo(_));
        for route in &mut routes {
            route.attributes.retain(|attribute| !lasts(attribute));
        }
        routes
    }

    /// All rules of both families.
    pub(crate) async fn rules(&self) -> Vec<RuleMessage> {
        let mut rules = Vec::new();
        for family in [IpVersion::V4, IpVersion::V6] {
            let found = self.handle.rule().get(family).execute();
            let found: Vec<RuleMessage> = found.try_collect().await.expect("the rules");
            rules.extend(found);
        }
        rules
    }

    /// Routes and rules with a protocol number, as text.
    pub(crate) async fn of_protocol(&self, protocol: u8) -> Vec<String> {
        let routes = self.routes().await.into_iter();
        let routes = routes
            .filter(|route| u8::from(route.header.protocol) == protocol)
            .map(|route| format!("{route:?}"));
        let rules = self.rules().await.into_iter();
        let rules = rules
            .filter(|rule| rule_protocol(rule) == protocol)
            .map(|rule| format!("{rule:?}"));
        routes.chain(rules).collect()
    }

    /// All routes and rules as text, without the kernel's own to the link-local prefix: those appear
    /// whenever an interface has finished its duplicate address detection.
    pub(crate) async fn everything(&self) -> Vec<String> {
        let link_local = RouteAddress::Inet6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
        let is_lasting = |route: &RouteMessage| {
            let destination = RouteAttribute::Destination(link_local.clone());
            !route.attributes.contains(&destination)
        };
        let routes = self.routes().await.into_iter().filter(is_lasting);
        let routes = routes.map(|route| format!("{route:?}"));
        let rules = self.rules().await.into_iter();
        routes
            .chain(rules.map(|rule| format!("{rule:?}")))
            .collect()
    }

    /// The next hop of the IPv4 default route in a table.
    pub(crate) async fn default_in(&self, table: u32) -> Option<IpAddr> {
        let gateways = self.defaults_in(table).await;
        gateways.into_iter().find(IpAddr::is_ipv4)
    }

    /// The next hop of the IPv6 default route in a table.
    pub(crate) async fn default6_in(&self, table: u32) -> Option<IpAddr> {
        let gateways = self.defaults_in(table).await;
        gateways.into_iter().find(IpAddr::is_ipv6)
    }

    async fn defaults_in(&self, table: u32) -> Vec<IpAddr> {
        let routes = self.routes().await.into_iter().filter(|route| {
            route_table(route) == table && route.header.destination_prefix_length == 0
        });
        let attributes = routes.flat_map(|route| route.attributes);
        let gateways = attributes.filter_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(address.into()),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(address.into()),
            _ => None,
        });
        gateways.collect()
    }
}

/// Writes a setting of this namespace, under `/proc/sys/net`.
pub(crate) fn sysctl(key: &str, value: &str) {
    match std::fs::write(format!("/proc/sys/net/{key}"), value) {
        // A kernel without IPv6 has nothing to set.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        written => written.expect("the setting is written"),
    }
}

/// The other end of the wire of an interface.
pub(crate) fn far(name: &str) -> String {
    format!("{name}-far")
}

/// The table of a route.
pub(crate) fn route_table(route: &RouteMessage) -> u32 {
    let named = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    named.unwrap_or(route.header.table.into())
}

fn rule_protocol(rule: &RuleMessage) -> u8 {
    let named = rule
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Protocol(protocol) => Some(u8::from(*protocol)),
            _ => None,
        });
    named.unwrap_or(0)
}
