//! What the kernel should hold so that the active uplinks carry the traffic. Pure.

use ipnet::IpNet;

pub use super::attach::UplinkRoutes;
pub use super::numbering::{BEHIND, MAIN};
use super::numbering::{Numbering, RoutingMode, RuleStage};
use super::objects::Desired;
use super::options::RouteOptions;
use super::route::{Family, Path, Route, RoutePlace};
use super::rule::Rule;
use super::traffic::Selector;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Mark, Metric, RulePriority, TableId};

/// Up to this many addresses of one prefix get a rule each.
pub const FEW: usize = 4;

/// The paths that carry traffic: for each family one, or several that share by weight.
pub type Carrying = SortedMap<Family, Vec<Path>>;

/// The paths of all traffic.
#[derive(Clone, Debug, Default)]
pub struct TrafficRoutes<'a> {
    /// The paths of the default group.
    pub default_group: Carrying,
    /// The paths of each configured group.
    pub groups: Vec<Carrying>,
    /// The families of which all traffic of the default group is refused where it has no path: the uplink that could
    /// carry it must not, and a route of other software may lead there.
    pub refused: SortedSet<Family>,
    /// The groups, by their places from 0, whose traffic is refused where it has no path.
    pub refusing: SortedSet<u32>,
    /// The traffic of each group, by its place from 0; the first match counts.
    pub rules: Vec<(u32, &'a Selector)>,
    /// The uplinks that the flows which are remembered as theirs go by, by their places in the configuration.
    pub remembered: SortedSet<(u32, Family)>,
}

impl From<Carrying> for TrafficRoutes<'_> {
    fn from(default_group: Carrying) -> Self {
        Self {
            default_group,
            ..Self::default()
        }
    }
}

/// What the kernel should hold, in the mode of the numbering.
pub fn desired(
    numbering: &Numbering,
    uplinks: &[UplinkRoutes<'_>],
    traffic: &TrafficRoutes<'_>,
) -> Desired {
    match numbering.mode {
        RoutingMode::Table => table_mode(numbering, uplinks, traffic),
        RoutingMode::Main => main_mode(numbering, uplinks, &traffic.default_group),
    }
}

/// Main mode: the default route of the active uplink in the main table, with a metric before those of
/// others. No rules, and so no groups.
///
/// The default route of each uplink stands there too, behind all others ([`BEHIND`]): the kernel skips
/// routes whose interface is not the one that a socket is bound to, so each probe takes its own
/// uplink's, and other traffic takes one only when all others are gone. More specific routes take
/// precedence, and so do default routes of others with a lower metric, such as those of VPNs.
///
/// Without rules no packet follows its source address: replies from the address of a standby leave by
/// the active uplink.
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
            Family::Ipv4 => desired.add(route, DEFAULT_GROUP, numbering, uplinks),
            // The kernel takes a nexthop group even if a probe is bound to another interface.
            Family::Ipv6 => desired.add_plain(route),
        }
    }
    desired
}

/// The place of the default group among the nexthop groups; the configured groups follow.
const DEFAULT_GROUP: u32 = 0;

/// Table mode: the default route of each uplink in a table of its own, that of each group in another,
/// and rules that lead to these tables.
///
/// Main is looked up first but without its default route, so that local, connected and VPN routes take
/// precedence, and a LAN host that talks to the router's address on an uplink gets its reply on the
/// LAN; except from an address of an uplink to a network of another, which its own uplink carries. Then
/// each flow that is remembered, address, delegated prefix and interface of an uplink leads to
/// the uplink's table, then the traffic of each group to the group's, and all other traffic to the default
/// group's. Rules exist for the families in use and, but for those of remembered flows, do not depend on the
/// state of the links: packets from an address follow its uplink as long as the address exists, deprecated or
/// not. A flow of an uplink without such a rule goes on by whichever group it belongs to. A group without a route
/// falls through to the default group, unless its traffic is refused then: a last route of its table, behind the one
/// by its uplinks, is `unreachable`. So is all other traffic of a family that only uplinks could carry whose allowance is used
/// up. Where an uplink has more than [`FEW`] IPv6 addresses in one
/// prefix, such as temporary ones, and no other uplink has one there, one rule for the prefix replaces
/// theirs.
pub fn table_mode(
    numbering: &Numbering,
    uplinks: &[UplinkRoutes<'_>],
    traffic: &TrafficRoutes<'_>,
) -> Desired {
    let mut desired = Desired::default();
    for family in families_in_use(uplinks, &traffic.default_group) {
        let rules = Rules { numbering, family };
        desired.rules.insert(rules.main_without_default());
        for uplink in uplinks {
            desired.rules.insert(rules.by_mark(uplink));
            desired.rules.extend(rules.by_hop(uplink));
            desired.routes.extend(hop_routes(numbering, family, uplink));
            if traffic.remembered.contains(&(uplink.position, family)) {
                desired.rules.extend(rules.by_flow_mark(uplink));
            }
            desired.rules.extend(rules.by_source(uplink, uplinks));
            desired.rules.insert(rules.by_interface(uplink));
        }
        for (place, (group, selector)) in (0..).zip(&traffic.rules) {
            desired
                .rules
                .extend(rules.by_group(place, *group, selector));
        }
        add_own_routes(&mut desired, numbering, family, uplinks);
        if let Some(route) = shared_route(numbering.carrier_place(), family, &traffic.default_group)
        {
            desired.rules.insert(rules.everything_else());
            desired.add(route, DEFAULT_GROUP, numbering, uplinks);
        } else if traffic.refused.contains(&family) {
            let table = numbering.carrier_place().table;
            desired.rules.insert(rules.everything_else());
            desired.routes.insert(Route::refusal(table, family));
        }
        for group in &traffic.refusing {
            let table = numbering.group_place(*group).table;
            desired.routes.insert(Route::refusal(table, family));
        }
        for (group, carrying) in (0..).zip(&traffic.groups) {
            if let Some(route) = shared_route(numbering.group_place(group), family, carrying) {
                desired.add(route, DEFAULT_GROUP + 1 + group, numbering, uplinks);
            }
        }
    }
    desired
}

/// Adds the default route of each uplink.
fn add_own_routes(
    desired: &mut Desired,
    numbering: &Numbering,
    family: Family,
    uplinks: &[UplinkRoutes<'_>],
) {
    let own = uplinks.iter().filter_map(|uplink| {
        let path = uplink.attachment.way(family)?;
        let place = numbering.uplink_place(uplink.position);
        Some(default_route(place, family, vec![path.clone()]))
    });
    desired.routes.extend(own);
}

/// The default route by each of several next hops, for the probes that ask whether it works.
fn hop_routes(
    numbering: &Numbering,
    family: Family,
    uplink: &UplinkRoutes<'_>,
) -> impl Iterator<Item = Route> {
    let hops = uplink.attachment.hops(family);
    hops.filter_map(move |(hop, path)| {
        let table = numbering.hop_table(uplink.position, hop)?;
        let metric = Metric(0);
        let place = RoutePlace { table, metric };
        Some(default_route(place, family, vec![path.clone()]))
    })
}

/// The default route of a family by the paths that carry it, if there are any.
fn shared_route(place: RoutePlace, family: Family, carrying: &Carrying) -> Option<Route> {
    let paths = carrying.get(&family).filter(|paths| !paths.is_empty())?;
    Some(default_route(place, family, paths.clone()))
}

fn families_in_use(uplinks: &[UplinkRoutes<'_>], carrying: &Carrying) -> SortedSet<Family> {
    let attached = uplinks
        .iter()
        .flat_map(|uplink| uplink.attachment.families());
    attached.chain(carrying.keys()).copied().collect()
}

fn default_route(place: RoutePlace, family: Family, mut paths: Vec<Path>) -> Route {
    let options = RouteOptions::common(paths.iter().map(Path::options));
    for path in &mut paths {
        path.options = None;
    }
    Route {
        table: place.table,
        destination: family.default_destination(),
        metric: place.metric,
        paths,
        group: None,
        options,
    }
    .canonical()
}

/// Whether another uplink has the same address, as with two identical modems. Then the address does not
/// tell the uplink, and packets from it follow their group.
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
            ..self.at(RuleStage::Main, MAIN)
        }
    }

    fn by_mark(self, uplink: &UplinkRoutes<'_>) -> Rule {
        let table = self.numbering.uplink_table(uplink.position);
        Rule {
            mark: Some(self.numbering.uplink_mark(uplink.position)),
            ..self.at(RuleStage::Mark, table)
        }
    }

    /// One for each of several next hops.
    fn by_hop(self, uplink: &UplinkRoutes<'_>) -> impl Iterator<Item = Rule> {
        let hops = uplink.attachment.hops(self.family);
        hops.filter_map(move |(hop, _)| {
            let table = self.numbering.hop_table(uplink.position, hop)?;
            Some(Rule {
                mark: Some(self.numbering.hop_mark(uplink.position, hop)),
                ..self.at(RuleStage::Mark, table)
            })
        })
    }

    fn by_flow_mark(self, uplink: &UplinkRoutes<'_>) -> Option<Rule> {
        let marks = self.numbering.flow_mark(uplink.position)?;
        let table = self.numbering.uplink_table(uplink.position);
        Some(Rule {
            mark: Some(marks.mark),
            mask: Some(marks.mask).filter(|mask| *mask != Mark(u32::MAX)),
            ..self.at(RuleStage::FlowMark, table)
        })
    }

    fn by_source(self, uplink: &UplinkRoutes<'_>, all: &[UplinkRoutes<'_>]) -> Vec<Rule> {
        let table = self.numbering.uplink_table(uplink.position);
        let rule = |from| Rule {
            from: Some(from),
            ..self.at(RuleStage::Source, table)
        };
        self.sources(uplink, all).into_iter().map(rule).collect()
    }

    /// The source addresses of an uplink's packets, in as few prefixes as is safe.
    fn sources(self, uplink: &UplinkRoutes<'_>, all: &[UplinkRoutes<'_>]) -> SortedSet<IpNet> {
        let delegated = uplink.attachment.prefixes.iter().copied();
        let mut sources: SortedSet<_> = delegated
            .filter(|net| Family::of(net.addr()) == self.family)
            .collect();
        let mut by_prefix: SortedMap<IpNet, Vec<IpNet>> = SortedMap::new();
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
        let table = self.numbering.uplink_table(uplink.position);
        Rule {
            oif: Some(uplink.interface.clone()),
            ..self.at(RuleStage::Interface, table)
        }
    }

    fn by_group(self, place: u32, group: u32, selector: &Selector) -> Vec<Rule> {
        let table = self.numbering.group_place(group).table;
        selector.rules(&self.lookup(self.numbering.group_rule(place), table))
    }

    fn everything_else(self) -> Rule {
        self.lookup(self.numbering.default_rule, self.numbering.table)
    }

    fn at(self, stage: RuleStage, table: TableId) -> Rule {
        self.lookup(self.numbering.priority_of(stage), table)
    }

    fn lookup(self, priority: RulePriority, table: TableId) -> Rule {
        Rule::lookup(priority, self.family, table)
    }
}
