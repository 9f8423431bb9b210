//! What the kernel should hold so that the chosen uplinks carry the traffic. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::traffic::{Flow, Selector};
use super::{Attachment, Desired, Family, Numbering, Path, Route, RoutePlace, RoutingMode, Rule};
use crate::units::{InterfaceName, Mark, Metric, RulePriority, TableId};

/// The table everybody else writes to (`RT_TABLE_MAIN`).
pub const MAIN: TableId = TableId(254);

/// So many addresses of one prefix get a rule each.
pub const FEW: usize = 4;

/// An uplink, as far as routing is concerned.
#[derive(Clone, Copy, Debug)]
pub struct UplinkRoutes<'a> {
    /// Its place in the configuration, from 0; gives its table.
    pub position: u32,
    /// Its interface.
    pub interface: &'a InterfaceName,
    /// How it is attached.
    pub attachment: &'a Attachment,
}

/// Who carries the traffic: for each family one path, or several that share by weight.
pub type Carrying = BTreeMap<Family, Vec<Path>>;

/// Where all traffic goes.
#[derive(Clone, Debug, Default)]
pub struct TrafficRoutes<'a> {
    /// What no group claims.
    pub rest: Carrying,
    /// Each group of the configuration.
    pub groups: Vec<Carrying>,
    /// What belongs to which group, by its place from 0 on; the first that matches counts.
    pub rules: Vec<(u32, &'a Selector)>,
    /// Flows that stay with an uplink, by its place in the configuration.
    pub held: Vec<(u32, &'a Flow)>,
}

impl From<Carrying> for TrafficRoutes<'_> {
    fn from(rest: Carrying) -> Self {
        Self {
            rest,
            ..Self::default()
        }
    }
}

/// In [`RoutingMode::Main`] the default routes of the uplinks stand so much behind the one that carries.
pub const BEHIND: u32 = 1_000_000;

/// What the kernel should hold, by the mode that the numbering says.
pub fn desired(
    numbering: &Numbering,
    uplinks: &[UplinkRoutes<'_>],
    traffic: &TrafficRoutes<'_>,
) -> Desired {
    match numbering.mode {
        RoutingMode::Table => table_mode(numbering, uplinks, traffic),
        RoutingMode::Main => main_mode(numbering, uplinks, &traffic.rest),
    }
}

/// Main mode: the default route of whoever carries the traffic in the main table, with a metric
/// before those of others, and no rules, and so no groups.
///
/// The default route of each uplink stands there too, behind anybody's ([`BEHIND`]): the kernel
/// passes over routes through other interfaces than a socket is bound to, so that each probe finds
/// its own, and nothing else does unless all others are gone. More specific routes win over all of
/// these, and so do default routes of others with a lower metric, such as those of VPNs.
///
/// Without rules nothing follows its source address: what this machine answers from the address of
/// an uplink that does not carry leaves by the one that does.
pub fn main_mode(
    numbering: &Numbering,
    uplinks: &[UplinkRoutes<'_>],
    carrying: &Carrying,
) -> Desired {
    let mut desired = Desired::default();
    for family in families_in_use(uplinks, carrying) {
        add_own_routes(&mut desired, numbering, family, uplinks);
        let Some(route) = shared_route(numbering.carrier_place(), family, carrying) else {
            continue;
        };
        match family {
            Family::Ipv4 => desired.add(route, REST, numbering, uplinks),
            // By a nexthop group the kernel goes whatever interface a probe is bound to.
            Family::Ipv6 => desired.add_plain(route),
        }
    }
    desired
}

/// The place of the rest among the nexthop groups; those of the groups follow it.
const REST: u32 = 0;

/// Table mode: the default route of each uplink in a table of its own, that of whoever carries the
/// traffic in one more, that of whoever carries a group's in one for each group, and rules that lead
/// there.
///
/// Main comes first but without its default route, so that local, connected and VPN routes win, and
/// a LAN host that talks to the router's address on an uplink gets its answer on the LAN. Then each
/// address, each delegated prefix, each interface and each held flow of an uplink lead to its own table, then
/// the traffic of each group to the group's, and everything else to whoever carries. Rules stand for
/// the families in use and do not come and go with the links: packets from an address follow its
/// uplink for as long as the address is there, deprecated or not, and a group that has no route falls
/// through to the rest. Where an uplink has more than [`FEW`] IPv6 addresses in one prefix, as with
/// temporary ones, and no other uplink has any there, one rule for the prefix stands for them all.
pub fn table_mode(
    numbering: &Numbering,
    uplinks: &[UplinkRoutes<'_>],
    traffic: &TrafficRoutes<'_>,
) -> Desired {
    let mut desired = Desired::default();
    for family in families_in_use(uplinks, &traffic.rest) {
        let rules = Rules { numbering, family };
        desired.rules.insert(rules.main_without_default());
        for uplink in uplinks {
            desired.rules.insert(rules.by_mark(uplink));
            desired.rules.extend(rules.by_source(uplink, uplinks));
            desired.rules.insert(rules.by_interface(uplink));
        }
        let held = traffic.held.iter();
        desired
            .rules
            .extend(held.filter_map(|(position, flow)| rules.by_flow(*position, flow)));
        for (place, (group, selector)) in (0..).zip(&traffic.rules) {
            desired
                .rules
                .extend(rules.by_group(place, *group, selector));
        }
        add_own_routes(&mut desired, numbering, family, uplinks);
        if let Some(route) = shared_route(numbering.carrier_place(), family, &traffic.rest) {
            desired.rules.insert(rules.everything_else());
            desired.add(route, REST, numbering, uplinks);
        }
        for (group, carrying) in (0..).zip(&traffic.groups) {
            if let Some(route) = shared_route(numbering.group_place(group), family, carrying) {
                desired.add(route, REST + 1 + group, numbering, uplinks);
            }
        }
    }
    desired
}

/// The default route of each uplink in its place.
fn add_own_routes(
    desired: &mut Desired,
    numbering: &Numbering,
    family: Family,
    uplinks: &[UplinkRoutes<'_>],
) {
    let own = uplinks.iter().filter_map(|uplink| {
        let path = uplink.attachment.way(family)?;
        let place = numbering.uplink_place(uplink.position);
        Some(default_route(place, family, vec![*path]))
    });
    desired.routes.extend(own);
}

/// The default route of those that carry a family, if any do.
fn shared_route(place: RoutePlace, family: Family, carrying: &Carrying) -> Option<Route> {
    let paths = carrying.get(&family).filter(|paths| !paths.is_empty())?;
    Some(default_route(place, family, paths.clone()))
}

impl Numbering {
    /// Where the default route of whoever carries the traffic stands.
    pub fn carrier_place(&self) -> RoutePlace {
        match self.mode {
            RoutingMode::Table => RoutePlace {
                table: self.table,
                metric: Metric(0),
            },
            RoutingMode::Main => RoutePlace {
                table: MAIN,
                metric: self.metric,
            },
        }
    }

    /// Where the default route of the uplink at this place in the configuration stands.
    pub fn uplink_place(&self, position: u32) -> RoutePlace {
        match self.mode {
            RoutingMode::Table => RoutePlace {
                table: self.uplink_table(position),
                metric: Metric(0),
            },
            RoutingMode::Main => RoutePlace {
                table: MAIN,
                metric: Metric(self.metric.0 + BEHIND + position),
            },
        }
    }

    /// Where the default route of whoever carries the traffic of the group at this place stands.
    pub fn group_place(&self, group: u32) -> RoutePlace {
        RoutePlace {
            table: TableId(self.group_table.0 + group),
            metric: Metric(0),
        }
    }

    /// The priority of the rule for a group's traffic at this place.
    pub fn group_rule(&self, place: u32) -> RulePriority {
        RulePriority(self.rule.0 + 4 + place)
    }

    /// The table of the uplink at this place in the configuration.
    pub fn uplink_table(&self, position: u32) -> TableId {
        TableId(self.table.0 + 1 + position)
    }

    /// The mark of the probes through that uplink.
    pub fn uplink_mark(&self, position: u32) -> Mark {
        Mark(self.mark.0.wrapping_add(position))
    }
}

fn families_in_use(uplinks: &[UplinkRoutes<'_>], carrying: &Carrying) -> BTreeSet<Family> {
    let attached = uplinks
        .iter()
        .flat_map(|uplink| uplink.attachment.families());
    attached.chain(carrying.keys()).copied().collect()
}

impl Attachment {
    fn way(&self, family: Family) -> Option<&Path> {
        let retiring = || self.retiring.get(&family);
        self.paths.get(&family).or_else(retiring)
    }

    fn families(&self) -> impl Iterator<Item = &Family> {
        self.paths.keys().chain(self.retiring.keys())
    }

    /// Its addresses of a family that mean something beyond the link, each with its prefix.
    fn sources_of(&self, family: Family) -> impl Iterator<Item = IpNet> {
        let sources = self.sources.iter().copied();
        sources.filter(move |net| Family::of(net.addr()) == family && !is_scoped(net.addr()))
    }
}

fn default_route(place: RoutePlace, family: Family, paths: Vec<Path>) -> Route {
    Route {
        table: place.table,
        destination: family.default_destination(),
        metric: place.metric,
        paths,
        group: None,
    }
    .canonical()
}

/// Whose packets come from an address that two uplinks have does not follow from it, as with two
/// identical modems: they go with the traffic, not to whichever of the two has the first rule.
fn is_of_another(address: &IpNet, uplink: &UplinkRoutes<'_>, all: &[UplinkRoutes<'_>]) -> bool {
    let mut others = all.iter().filter(|other| other.position != uplink.position);
    others.any(|other| {
        let mut sources = other.attachment.sources.iter();
        sources.any(|source| source.addr() == address.addr())
    })
}

/// The rules of one family, in the order in which the kernel looks at them.
#[derive(Clone, Copy)]
struct Rules<'a> {
    numbering: &'a Numbering,
    family: Family,
}

impl Rules<'_> {
    fn main_without_default(self) -> Rule {
        Rule {
            suppress_prefix_length: Some(0),
            ..self.lookup(self.numbering.rule, MAIN)
        }
    }

    fn by_mark(self, uplink: &UplinkRoutes<'_>) -> Rule {
        let priority = RulePriority(self.numbering.rule.0 + 1);
        let table = self.numbering.uplink_table(uplink.position);
        Rule {
            mark: Some(self.numbering.uplink_mark(uplink.position)),
            ..self.lookup(priority, table)
        }
    }

    fn by_source(self, uplink: &UplinkRoutes<'_>, all: &[UplinkRoutes<'_>]) -> Vec<Rule> {
        let priority = RulePriority(self.numbering.rule.0 + 2);
        let table = self.numbering.uplink_table(uplink.position);
        let rule = |from| Rule {
            from: Some(from),
            ..self.lookup(priority, table)
        };
        self.sources(uplink, all).into_iter().map(rule).collect()
    }

    /// Where packets of this uplink come from, in as few prefixes as is safe.
    fn sources(self, uplink: &UplinkRoutes<'_>, all: &[UplinkRoutes<'_>]) -> BTreeSet<IpNet> {
        let delegated = uplink.attachment.prefixes.iter().copied();
        let mut sources: BTreeSet<_> = delegated
            .filter(|net| Family::of(net.addr()) == self.family)
            .collect();
        let mut by_prefix: BTreeMap<IpNet, Vec<IpNet>> = BTreeMap::new();
        for net in uplink.attachment.sources_of(self.family) {
            by_prefix.entry(net.trunc()).or_default().push(net);
        }
        for (prefix, nets) in by_prefix {
            let is_shared = || {
                let mut others = all.iter().filter(|other| other.position != uplink.position);
                others.any(|other| {
                    let mut others = other.attachment.sources_of(self.family);
                    others.any(|net| prefix.contains(&net.addr()))
                })
            };
            let is_many = self.family == Family::Ipv6 && nets.len() > FEW;
            if is_many && !is_shared() {
                sources.insert(prefix);
            } else {
                let own = nets.into_iter().map(|net| IpNet::from(net.addr()));
                sources.extend(own.filter(|address| !is_of_another(address, uplink, all)));
            }
        }
        sources
    }

    fn by_interface(self, uplink: &UplinkRoutes<'_>) -> Rule {
        let priority = RulePriority(self.numbering.rule.0 + 3);
        let table = self.numbering.uplink_table(uplink.position);
        Rule {
            oif: Some(uplink.interface.clone()),
            ..self.lookup(priority, table)
        }
    }

    /// Beside the interface's: nothing that one of the two matches may go to a group.
    fn by_flow(self, position: u32, flow: &Flow) -> Option<Rule> {
        let priority = RulePriority(self.numbering.rule.0 + 3);
        flow.rule(&self.lookup(priority, self.numbering.uplink_table(position)))
    }

    fn by_group(self, place: u32, group: u32, selector: &Selector) -> Vec<Rule> {
        let table = self.numbering.group_place(group).table;
        selector.rules(&self.lookup(self.numbering.group_rule(place), table))
    }

    fn everything_else(self) -> Rule {
        self.lookup(self.numbering.default_rule, self.numbering.table)
    }

    fn lookup(self, priority: RulePriority, table: TableId) -> Rule {
        Rule::lookup(priority, self.family, table)
    }
}

/// An address that means nothing beyond its own link or host.
fn is_scoped(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback(),
    }
}
