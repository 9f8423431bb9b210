//! The kernel side against a real kernel, each test in a network namespace of its own.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the netlink crates' enums are open"
)]

mod allowance;
mod balance;
mod by_hand;
mod changes;
mod clashes;
mod connected;
mod dead_ends;
mod dhcp;
mod flow_memory;
mod flows;
mod groups;
mod hours;
mod ipv6;
mod kinds;
mod load;
mod main_mode;
mod metrics;
mod mqtt;
mod next_hops;
mod no_ipv6;
mod options;
mod path_cut;
mod path_trace;
mod planned;
mod prefixes;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::Ipv4Net;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use tokio::sync::watch;
use tokio::time::timeout;
use uplinkd::kernel::{
    self, Kernel, KernelAccess, KernelError, KernelReport, RefusedOperation, Wanted,
};
use uplinkd::routing::attach::attach;
use uplinkd::routing::desired::{Carrying, TrafficRoutes, UplinkRoutes, desired};
use uplinkd::routing::plan::{Operation, plan};
use uplinkd::routing::{
    Attachment, Desired, Family, Hints, Numbering, Observed, Path, Route, RouteOptions, Trouble,
};
use uplinkd::units::sorted::SortedMap;
use uplinkd::units::{IfIndex, InterfaceName, Metric, TableId, Weight};

use crate::netns::{self, ForeignDefault, Packet, World};

/// Far more than any of this takes, so that only what never happens fails.
const PATIENCE: Duration = Duration::from_secs(10);
const FIBER: &str = "fiber";
const LTE: &str = "lte";

/// Runs the kernel side.
struct Agent {
    numbering: Numbering,
    /// The interface of each uplink, and what the configuration says about the paths through it.
    uplinks: Vec<(InterfaceName, Hints)>,
    wanted: watch::Sender<Arc<Wanted>>,
    kernel: Kernel,
    observed: Arc<Observed>,
    put_back: Vec<String>,
}

impl Agent {
    /// With two uplinks whose next hops are learnt.
    async fn start() -> Self {
        Self::start_in(KernelAccess::Write).await
    }

    async fn start_in(mode: KernelAccess) -> Self {
        let learnt = [FIBER, LTE].map(|uplink| (uplink, Hints::default()));
        Self::start_with(mode, Numbering::default(), &learnt).await
    }

    async fn start_with(
        mode: KernelAccess,
        numbering: Numbering,
        uplinks: &[(&str, Hints)],
    ) -> Self {
        let uplinks: Vec<_> = uplinks
            .iter()
            .map(|(interface, hints)| (name(interface), hints.clone()))
            .collect();
        let (wanted, receiver) = watch::channel(Arc::new(Wanted {
            revision: 0,
            desired: None,
            interfaces: { uplinks.iter() }
                .map(|(interface, _)| interface.clone())
                .collect(),
            numbering,
            flow_memory: None,
        }));
        let mut agent = Self {
            numbering,
            wanted,
            kernel: kernel::start(receiver, mode).expect("netlink sockets"),
            observed: Arc::default(),
            put_back: Vec::new(),
            uplinks,
        };
        agent.observed(|_| true).await;
        agent
    }

    async fn report(&mut self) -> KernelReport {
        let report = timeout(PATIENCE, self.kernel.reports.recv()).await;
        let report = report.expect("a report in time").expect("the task lives");
        match &report {
            KernelReport::Observed(observed) => self.observed = observed.clone(),
            KernelReport::Reasserted(restored) => self.put_back.extend(restored.what.clone()),
            KernelReport::Applied { .. } | KernelReport::FlowMemory | KernelReport::Lost(_) => {}
        }
        report
    }

    /// Waits until the kernel is observed like this.
    async fn observed(&mut self, is_so: impl Fn(&Observed) -> bool) {
        loop {
            let report = self.report().await;
            if matches!(report, KernelReport::Observed(observed) if is_so(&observed)) {
                return;
            }
        }
    }

    async fn applied(&mut self) -> Vec<RefusedOperation> {
        loop {
            match self.report().await {
                KernelReport::Applied {
                    refused, revision, ..
                } if revision == self.wanted.borrow().revision => return refused,
                KernelReport::Lost(error) => panic!("lost: {error}"),
                _ => {}
            }
        }
    }

    async fn put_back(&mut self, count: usize) {
        while self.put_back.len() < count {
            self.report().await;
        }
    }

    fn attachment(&self, uplink: &str, position: u32) -> Attachment {
        let (interface, hints) = &self.uplinks[position as usize];
        assert_eq!(interface.as_str(), uplink);
        let link = self.observed.link(interface);
        let held = |index| self.observed.held_paths(&self.numbering, position, index);
        let own = link.map(|link| held(link.index)).unwrap_or_default();
        attach(link, hints, &own)
    }

    /// The desired state with this uplink active.
    fn desired(&self, carrying: &str) -> Desired {
        self.desired_apart([carrying; 2])
    }

    /// The desired state with one uplink active for IPv4 and the other for IPv6.
    fn desired_apart(&self, carriers: [&str; 2]) -> Desired {
        let place = |carrier| {
            let mut uplinks = self.uplinks.iter();
            uplinks.position(|(interface, _)| interface.as_str() == carrier)
        };
        self.desired_at(carriers.map(place))
    }

    /// The desired state with the uplink at this place active.
    fn desired_by(&self, carrying: Option<usize>) -> Desired {
        self.desired_at([carrying; 2])
    }

    /// The desired state with the uplinks at these places active for IPv4 and IPv6.
    fn desired_at(&self, carriers: [Option<usize>; 2]) -> Desired {
        let families = Family::ROUTED.into_iter().zip(carriers);
        self.desired_with(|attachments| {
            let carrying = families.filter_map(|(family, place)| {
                let path = attachments[place?].paths.get(&family)?.clone();
                Some((family, vec![path]))
            });
            carrying.collect::<Carrying>().into()
        })
    }

    /// The desired state for this traffic.
    fn desired_with<'a>(
        &self,
        traffic: impl FnOnce(&[Attachment]) -> TrafficRoutes<'a>,
    ) -> Desired {
        let attachments: Vec<Attachment> = (0..)
            .zip(&self.uplinks)
            .map(|(position, (interface, _))| self.attachment(interface.as_str(), position))
            .collect();
        let uplinks: Vec<_> = (0..)
            .zip(&self.uplinks)
            .zip(&attachments)
            .map(|((position, (interface, _)), attachment)| UplinkRoutes {
                position,
                interface,
                attachment,
            })
            .collect();
        desired(&self.numbering, &uplinks, &traffic(&attachments))
    }

    /// What is to be done yet for this uplink to be active.
    fn outstanding(&self, carrying: &str) -> Vec<Operation> {
        self.outstanding_of(self.desired(carrying))
    }

    /// What is to be done yet for the kernel to hold this.
    fn outstanding_of(&self, mut desired: Desired) -> Vec<Operation> {
        desired.pass_dead_ends(&self.observed);
        desired.keep_networks_apart(&self.observed, &self.numbering);
        plan(&desired, &self.observed)
    }

    fn want(&self, desired: Desired) {
        self.wanted.send_modify(|wanted| {
            let mut next = Wanted::clone(wanted);
            next.revision += 1;
            next.desired = Some(desired);
            *wanted = Arc::new(next);
        });
    }

    async fn carry(&mut self, uplink: &str) -> Vec<RefusedOperation> {
        self.want(self.desired(uplink));
        self.applied().await
    }

    /// The same for the uplink at a place, as several may share an interface.
    async fn carry_by(&mut self, place: usize) -> Vec<RefusedOperation> {
        self.want(self.desired_by(Some(place)));
        self.applied().await
    }
}

fn name(text: &str) -> InterfaceName {
    text.parse().expect("a name")
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a prefix")
}

/// The address from which this machine sends to a host in the internet; none where no route leads there.
fn source_to(remote: &str) -> Option<IpAddr> {
    let remote: SocketAddr = remote.parse().expect("an address");
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).expect("a socket");
    socket.connect(remote).ok()?;
    Some(socket.local_addr().expect("an address").ip())
}

/// Waits until an IPv6 address is no longer tentative.
async fn usable(address: &str) {
    let is_usable = async || {
        while UdpSocket::bind((address, 0)).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let usable = timeout(PATIENCE, is_usable()).await;
    usable.expect("the address is usable");
}

const VIA_FIBER: ForeignDefault = ForeignDefault {
    via: Ipv4Addr::new(10, 1, 0, 1),
    metric: 100,
};
const VIA_LTE: ForeignDefault = ForeignDefault {
    via: Ipv4Addr::new(10, 2, 0, 1),
    metric: 200,
};

/// Two uplinks with an address each, and default routes as DHCP clients write them.
async fn two_uplinks(world: &World) {
    world.wire(FIBER).await;
    world.wire(LTE).await;
    world.add_address(FIBER, net("10.1.0.2/24")).await;
    world.add_address(LTE, net("10.2.0.2/24")).await;
    world.add_default(FIBER, VIA_FIBER).await;
    world.add_default(LTE, VIA_LTE).await;
}

#[test]
fn traffic_takes_the_active_uplink_and_a_clean_stop_leaves_nothing() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        let base = agent.numbering.table.0;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.default_in(base).await, Some(ip("10.1.0.1").into()));
        assert_eq!(
            world.default_in(base + 1).await,
            Some(ip("10.1.0.1").into())
        );
        assert_eq!(
            world.default_in(base + 2).await,
            Some(ip("10.2.0.1").into())
        );
        assert_eq!(world.of_protocol(117).await.len(), 3 + 8 + 6);
        assert_eq!(agent.carry(LTE).await, []);
        assert_eq!(world.default_in(base).await, Some(ip("10.2.0.1").into()));
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
        assert!(agent.put_back.is_empty());
    });
}

#[test]
fn no_lookup_fails_while_the_route_is_replaced_two_thousand_times() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.remove_default(FIBER, VIA_FIBER).await;
        let mut agent = Agent::start().await;
        agent.carry(LTE).await;
        world.remove_default(LTE, VIA_LTE).await;
        world.add_default(FIBER, VIA_FIBER).await;
        agent
            .observed(|observed| has_default(observed, FIBER))
            .await;
        world.remove_default(FIBER, VIA_FIBER).await;

        let ends = Arc::new(AtomicBool::new(false));
        let lookups = std::thread::spawn({
            let ends = ends.clone();
            move || look_up_until(&ends)
        });
        for _ in 0..1_000 {
            agent.carry(FIBER).await;
            agent.carry(LTE).await;
        }
        ends.store(true, Ordering::Relaxed);
        assert_no_gap(lookups.join().expect("the lookups end"), 2_000);
    });
}

/// A gap between two routes fails lookups at each of hundreds of changes. The kernel itself fails one that has found
/// the old route in the nanoseconds before it is replaced, and reads in it that it is dead (fib_table_lookup, fib_dead).
#[track_caller]
fn assert_no_gap((looked_up, failed): (u64, u64), at_least: u64) {
    assert!(looked_up > at_least, "only {looked_up} lookups");
    assert!(failed <= 2, "{failed} of {looked_up} lookups failed");
}

/// Looks up the route to a host in the internet again and again: the number of lookups, and of those
/// without a route.
fn look_up_until(end: &AtomicBool) -> (u64, u64) {
    let (mut looked_up, mut failed) = (0, 0);
    while !end.load(Ordering::Relaxed) {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        looked_up += 1;
        failed += u64::from(socket.connect("192.0.2.1:9").is_err());
    }
    (looked_up, failed)
}

fn has_default(observed: &Observed, uplink: &str) -> bool {
    let link = observed.link(&name(uplink));
    link.is_some_and(|link| !link.defaults.is_empty())
}

#[test]
fn routes_and_rules_of_others_stay_as_they_are() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let hosts = (1..50).map(|host| Ipv4Addr::new(172, 16, 0, host));
        world.add_hosts(LTE, hosts).await;
        world.add_rule(foreign_rule(31_000, 77)).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        for uplink in [FIBER, LTE, FIBER] {
            agent.carry(uplink).await;
            let now = world.everything().await;
            let (ours, theirs): (Vec<_>, Vec<_>) =
                now.into_iter().partition(|object| !before.contains(object));
            assert_eq!(ours.len(), 17);
            assert_eq!(theirs, before);
        }
        agent.want(Desired::default());
        agent.applied().await;
        assert_eq!(world.everything().await, before);
    });
}

/// A rule of another program.
fn foreign_rule(priority: u32, table: u32) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = AddressFamily::Inet;
    rule.header.action = RuleAction::ToTable;
    rule.attributes.push(RuleAttribute::Priority(priority));
    rule.attributes.push(RuleAttribute::Table(table));
    rule
}

#[test]
fn an_object_that_another_program_removes_is_put_back_and_reported_once() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let ours = world.of_protocol(117).await;
        for rule in world.rules().await {
            if format!("{rule:?}").contains("Other(117)") {
                world.remove_rule(rule).await;
            }
        }
        agent.put_back(12).await;
        for route in world.routes().await {
            if route.header.protocol == RouteProtocol::Other(117) {
                world.remove_route(route).await;
            }
        }
        agent.put_back(17).await;
        let mut now = world.of_protocol(117).await;
        now.sort();
        let mut ours = ours;
        ours.sort();
        assert_eq!(now, ours);
    });
}

#[test]
fn a_program_that_removes_all_rules_is_one_report_and_the_third_time_it_is_told_as_again() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        for (count, is_again) in [(12, false), (0, false), (0, true)] {
            for rule in world.rules().await {
                if format!("{rule:?}").contains("Other(117)") {
                    world.remove_rule(rule).await;
                }
            }
            let report = loop {
                if let KernelReport::Reasserted(restored) = agent.report().await {
                    break restored;
                }
            };
            assert_eq!(report.what.len(), count);
            assert_eq!(report.is_again, is_again);
        }
    });
}

#[test]
fn a_route_that_is_changed_again_and_again_is_put_back_ever_more_slowly() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let base = agent.numbering.table.0;
        let theirs: Vec<RouteMessage> = world
            .routes()
            .await
            .into_iter()
            .filter(|route| netns::route_table(route) == base)
            .map(|mut route| {
                route.header.protocol = RouteProtocol::Static;
                route
            })
            .collect();
        for _ in 0..20 {
            for route in &theirs {
                world.replace_route(route.clone()).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let theirs = async || {
            let routes = world.routes().await.into_iter();
            let mut routes = routes.filter(|route| netns::route_table(route) == base);
            routes.any(|route| route.header.protocol == RouteProtocol::Static)
        };
        while theirs().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        agent.put_back(1).await;
        assert_eq!(
            agent.put_back,
            [format!(
                "ip route replace default via 10.1.0.1 dev fiber proto 117 table {base}"
            )]
        );
    });
}

#[test]
fn an_interface_that_returns_with_another_index_is_used_again() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(LTE).await;
        let before = world.of_protocol(117).await.len();
        world.remove(LTE).await;
        agent
            .observed(|observed| observed.link(&name(LTE)).is_none())
            .await;
        world.wire("another").await;
        let index = world.wire(LTE).await;
        world.add_address(LTE, net("10.2.0.2/24")).await;
        world.add_default(LTE, VIA_LTE).await;
        agent.observed(|observed| has_default(observed, LTE)).await;
        assert_eq!(
            agent.attachment(LTE, 1).index.map(IfIndex::get),
            Some(index)
        );
        assert_eq!(agent.carry(LTE).await, []);
        assert_eq!(world.of_protocol(117).await.len(), before);
        let base = agent.numbering.table.0;
        assert_eq!(world.default_in(base).await, Some(ip("10.2.0.1").into()));
    });
}

#[test]
fn routes_that_the_kernel_flushes_with_their_link_return_with_it() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(LTE).await;
        let ours = world.of_protocol(117).await.len();
        world.set_up(LTE, false).await;
        let refused = agent.applied().await;
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused.iter().all(|one| !one.is_permanent), "{refused:?}");
        world.set_up(LTE, true).await;
        assert_eq!(agent.applied().await, []);
        while world.of_protocol(117).await.len() != ours {
            agent.report().await;
        }
        assert!(agent.put_back.is_empty(), "they were not removed");
    });
}

#[test]
fn lost_events_are_survived() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        // This thread, and with it the reader of events, is blocked while another one causes more
        // events than the buffer holds, and removes our routes at the end.
        let noise = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let world = World::here();
                let hosts =
                    (0..=127).flat_map(|c| (1..=120).map(move |d| Ipv4Addr::new(172, 17, c, d)));
                world.add_hosts(LTE, hosts).await;
                for route in world.routes().await {
                    if route.header.protocol == RouteProtocol::Other(117) {
                        world.remove_route(route).await;
                    }
                }
            });
        });
        noise.join().expect("the noise ends");
        agent.put_back(5).await;
        assert!(agent.kernel.overruns() > 0, "the buffer never overflowed");
    });
}

#[test]
fn a_lost_carrier_is_reported_at_once() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let mut prompt = 0;
        for _ in 0..10 {
            world.set_carrier(FIBER, false).await;
            let lost = agent.observed(|observed| trouble(observed, FIBER).is_some());
            prompt += u32::from(is_prompt(lost).await);
            let attachment = agent.attachment(FIBER, 0);
            assert_eq!(attachment.trouble, Some(Trouble::NoCarrier));
            assert!(!attachment.paths.is_empty(), "the path is kept");
            world.set_carrier(FIBER, true).await;
            agent
                .observed(|observed| trouble(observed, FIBER).is_none())
                .await;
        }
        // The kernel's own pace is one in a second, and a busy machine may be late now and then.
        assert!(prompt >= 5, "{prompt} of 10 within half a second");
        assert!(agent.put_back.is_empty());
    });
}

/// Whether it comes within half a second; it comes in any case.
async fn is_prompt(comes: impl Future<Output = ()>) -> bool {
    let mut comes = std::pin::pin!(timeout(PATIENCE, comes));
    if let Ok(came) = timeout(Duration::from_millis(500), &mut comes).await {
        came.expect("in time");
        return true;
    }
    comes.await.expect("in time");
    false
}

fn trouble(observed: &Observed, uplink: &str) -> Option<Trouble> {
    attach(
        observed.link(&name(uplink)),
        &Hints::default(),
        &SortedMap::new(),
    )
    .trouble
}

#[test]
fn a_better_default_in_main_does_not_change_our_routes() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.wire("stranger").await;
        world.add_address("stranger", net("10.9.0.2/24")).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let ours = world.of_protocol(117).await;
        let better = ForeignDefault {
            via: ip("10.9.0.1"),
            metric: 1,
        };
        world.add_default("stranger", better).await;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.of_protocol(117).await, ours);
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.connect("192.0.2.1:9").expect("a route");
        assert_eq!(
            socket.local_addr().expect("an address").ip(),
            ip("10.1.0.2")
        );
    });
}

#[test]
fn the_next_hop_of_a_default_that_a_dhcp_client_removes_is_kept() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let before = agent.attachment(FIBER, 0);
        world.remove_default(FIBER, VIA_FIBER).await;
        agent
            .observed(|observed| !has_default(observed, FIBER))
            .await;
        assert_eq!(agent.attachment(FIBER, 0), before);
        drop(agent);
        let agent = Agent::start().await;
        assert_eq!(agent.attachment(FIBER, 0), before);
    });
}

#[test]
fn a_next_hop_off_the_link_is_refused_with_the_kernels_text_until_its_address_appears() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let mut desired = agent.desired(FIBER);
        let index = agent.attachment(LTE, 1).index.expect("lte exists");
        let unreachable = Path {
            index,
            gateway: Some(ip("10.7.0.1").into()),
            onlink: false,
            weight: Weight(1),
            options: None,
        };
        let table = TableId(agent.numbering.table.0 + 9);
        desired.routes.insert(Route {
            table,
            destination: net("0.0.0.0/0").into(),
            metric: Metric(0),
            paths: vec![unreachable],
            group: None,
            options: RouteOptions::default(),
        });
        agent.want(desired);
        let refused = agent.applied().await;
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(
            refused[0].reason.contains("Nexthop has invalid gateway"),
            "{refused:?}"
        );
        assert!(
            refused[0].operation.contains("via 10.7.0.1 dev lte"),
            "{refused:?}"
        );
        assert!(!refused[0].is_permanent);
        assert_eq!(world.of_protocol(117).await.len(), 17, "all else was done");
        world.add_address(LTE, net("10.7.0.2/24")).await;
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.default_in(table.0).await, Some(ip("10.7.0.1").into()));
        assert!(agent.put_back.is_empty());
    });
}

#[test]
fn an_equal_rule_of_another_program_neither_replaces_ours_nor_is_changed() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let numbering = Numbering::default();
        let theirs = foreign_rule(numbering.default_rule.0, numbering.table.0);
        world.add_rule(theirs).await;
        let before = world.everything().await;
        let mut agent = Agent::start().await;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.of_protocol(117).await.len(), 17);
        agent.want(Desired::default());
        assert_eq!(agent.applied().await, []);
        assert_eq!(world.everything().await, before);
    });
}

#[test]
fn a_rule_of_another_version_that_says_more_than_ours_gives_way() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let ours = world.of_protocol(117).await;
        agent.want(Desired::default());
        agent.applied().await;
        // The kernel ignores `not` when it compares rules.
        let numbering = agent.numbering;
        let mut odd = foreign_rule(numbering.default_rule.0, numbering.table.0);
        odd.header.flags = RuleFlags::Invert;
        let protocol = RouteProtocol::Other(numbering.protocol.0);
        odd.attributes.push(RuleAttribute::Protocol(protocol));
        world.add_rule(odd).await;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.of_protocol(117).await, ours);
    });
}

#[test]
fn a_rule_that_says_more_goes_without_taking_ours_with_it() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let ours = world.of_protocol(117).await;
        let numbering = agent.numbering;
        let mut odd = foreign_rule(numbering.default_rule.0, numbering.table.0);
        let protocol = RouteProtocol::Other(numbering.protocol.0);
        odd.attributes.push(RuleAttribute::Protocol(protocol));
        odd.attributes.push(RuleAttribute::TunId(7));
        world.add_rule(odd).await;
        agent
            .observed(|observed| !observed.odd_rules.is_empty())
            .await;
        agent
            .observed(|observed| observed.odd_rules.is_empty())
            .await;
        assert_eq!(world.of_protocol(117).await, ours);
        agent.put_back(1).await;
        let put_back = agent.put_back;
        assert!(
            put_back.iter().all(|line| line.starts_with("ip rule del")),
            "{put_back:?}"
        );
    });
}

#[test]
fn an_operation_that_never_reads_back_as_written_counts_as_refused() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        let mut desired = agent.desired(FIBER);
        let mut nowhere = desired.routes.first().expect("a route").clone();
        // The kernel takes table 0 for main.
        nowhere.table = TableId(0);
        desired.routes.insert(nowhere);
        agent.want(desired);
        let refused = agent.applied().await;
        assert!(
            refused
                .iter()
                .any(|one| one.reason.contains("does not list it")),
            "{refused:?}"
        );
    });
}

#[test]
fn duplicates_and_leftovers_of_an_earlier_run_are_removed_and_what_fits_is_adopted() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let ours = world.of_protocol(117).await;
        drop(agent);
        // An earlier run had other tables, and one of its rules exists twice.
        let mut leftover = world
            .routes()
            .await
            .into_iter()
            .find(|route| route.header.protocol == RouteProtocol::Other(117))
            .expect("a route of ours");
        leftover
            .attributes
            .retain(|attribute| !matches!(attribute, RouteAttribute::Table(_)));
        leftover.attributes.push(RouteAttribute::Table(11_790));
        world.replace_route(leftover).await;
        let mut double = world
            .rules()
            .await
            .into_iter()
            .rev()
            .find(|rule| format!("{rule:?}").contains("Other(117)"))
            .expect("a rule of ours");
        double.header.flags = RuleFlags::empty();
        world.double_rule(double).await;
        assert_eq!(world.of_protocol(117).await.len(), 19);
        let mut agent = Agent::start().await;
        assert_eq!(
            world.of_protocol(117).await.len(),
            19,
            "nothing is done before a decision"
        );
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.of_protocol(117).await, ours);
    });
}

#[test]
fn an_observer_writes_nothing() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let before = world.everything().await;
        let mut agent = Agent::start_in(KernelAccess::Observe).await;
        assert_eq!(agent.carry(FIBER).await, []);
        assert_eq!(world.everything().await, before);
    });
}

#[test]
fn without_permission_the_message_names_the_capability() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        netns::drop_capabilities();
        let mut agent = Agent::start().await;
        agent.want(agent.desired(FIBER));
        let error = loop {
            if let KernelReport::Lost(error) = agent.report().await {
                break error;
            }
        };
        assert!(matches!(error, KernelError::Forbidden(_)));
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    });
}

#[test]
fn unrelated_routes_of_others_cause_no_look() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let hosts = (1..=200).map(|host| Ipv4Addr::new(172, 16, 1, host));
        world.add_hosts(LTE, hosts).await;
        let report = timeout(Duration::from_millis(100), agent.kernel.reports.recv()).await;
        assert!(report.is_err(), "{report:?}");
    });
}

#[test]
fn foreign_objects_at_our_numbers_are_found_and_ours_are_not() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let numbering = agent.numbering;
        let foreign = || kernel::foreign_objects(&numbering, 2, 0).expect("the kernel's answer");
        let before = foreign();
        assert!(before.are_rules_known);
        assert_eq!(before.routes, []);
        let looked_up = |foreign: &kernel::ForeignRule| foreign.rule.table.0;
        let tables: Vec<_> = before.rules.iter().map(looked_up).collect();
        assert_eq!(tables, [255, 254, 253, 255, 254], "the kernel's own rules");

        let mut theirs = world.routes().await;
        theirs.retain(|route| netns::route_table(route) == 254);
        let mut theirs = theirs.swap_remove(0);
        let in_table = |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Table(_));
        theirs.attributes.retain(|attribute| !in_table(attribute));
        let table = numbering.uplink_table(1);
        theirs.attributes.push(RouteAttribute::Table(table.0));
        world.replace_route(theirs).await;
        world.add_rule(foreign_rule(31_000, 77)).await;
        let after = foreign();
        assert_eq!(after.rules.len(), before.rules.len() + 1);
        assert_eq!(after.routes.len(), 1);
        assert_eq!(after.routes[0].table, table);
        world.add_blackhole(table.0 - 1, 50).await;
        let dead_end = &foreign().routes[0];
        assert_eq!((dead_end.table.0, dead_end.through), (table.0 - 1, None));
    });
}

#[test]
fn counters_are_read_for_an_interface_that_is_there_and_for_no_other() {
    netns::run(async |world| {
        world.wire(FIBER).await;
        world.add_address(FIBER, net("10.1.0.2/24")).await;
        let mut counter = kernel::CounterReader::open().expect("the table");
        let before = counter.read(&name(FIBER)).expect("counters of fiber");
        let socket = std::net::UdpSocket::bind("10.1.0.2:0").expect("a socket");
        for _ in 0..5 {
            socket.send_to(b"out", "10.1.0.1:9").expect("sent");
        }
        let after = counter.read(&name(FIBER)).expect("counters of fiber");
        assert!(after.tx_packets > before.tx_packets, "{before:?} {after:?}");
        assert!(after.tx_bytes > before.tx_bytes);
        assert_eq!(counter.read(&name("nowhere")), None);
    });
}
