//! Networks that are connected on uplinks. Pure.
//!
//! Main is looked up first, and it leads to the network of one uplink what comes from the address of another:
//! the provider of that network may drop it, and where it does not the answer comes back by a way of its own. So
//! packets to such a network pass main's rule by. Those that belong to an uplink take its table, which holds its
//! own networks too; all others take main after all, before the groups.
//!
//! ```text
//!  to LOCAL lookup main          a network of another interface inside that of an uplink: as before
//!  to NETWORK goto MARK
//!  lookup main without default
//!  MARK, from, oif lookup UPLINK
//!  to NETWORK lookup main
//! ```
//! Two rules a network, however many uplinks there are.

use ipnet::IpNet;

use super::numbering::{MAIN, Numbering, RuleStage};
use super::objects::Desired;
use super::observed::{Link, Observed};
use super::options::RouteOptions;
use super::route::{Family, Path, Route};
use super::rule::Rule;
use crate::units::sorted::SortedSet;
use crate::units::{Metric, TableId, Weight};

impl Desired {
    /// Adds what keeps the networks that are connected on several uplinks apart.
    pub fn keep_networks_apart(&mut self, observed: &Observed, numbering: &Numbering) {
        for family in Family::ROUTED {
            let rules = self.rules.iter().filter(|rule| rule.family == family);
            let uplinks = rules
                .filter_map(|rule| Some((observed.link(rule.oif.as_ref()?)?, rule.table)))
                .collect::<Vec<_>>();
            if uplinks.len() > 1 {
                self.add_networks(family, &uplinks, observed, numbering);
            }
        }
    }

    fn add_networks(
        &mut self,
        family: Family,
        uplinks: &[(&Link, TableId)],
        observed: &Observed,
        numbering: &Numbering,
    ) {
        let rule = |stage, network| Rule {
            to: Some(network),
            suppress_prefix_length: Some(0),
            ..Rule::lookup(numbering.priority_of(stage), family, MAIN)
        };
        let mut networks = SortedSet::new();
        for (link, table) in uplinks {
            for network in link.connected_of(family) {
                networks.insert(network);
                self.routes.insert(connected_route(link, *table, network));
            }
        }
        let is_uplink = |link: &Link| uplinks.iter().any(|(uplink, _)| uplink.index == link.index);
        let others = observed.links.values().filter(|link| !is_uplink(link));
        let local = others.flat_map(|link| link.connected_of(family));
        let is_inside = |local: &IpNet| networks.iter().any(|network| network.contains(local));
        self.rules.extend(
            local
                .filter(is_inside)
                .map(|local| rule(RuleStage::Local, local)),
        );
        for network in networks {
            let past_main = Rule {
                goto: Some(numbering.priority_of(RuleStage::Mark)),
                table: TableId(0),
                suppress_prefix_length: None,
                ..rule(RuleStage::PastMain, network)
            };
            self.rules
                .extend([past_main, rule(RuleStage::Connected, network)]);
        }
    }
}

fn connected_route(link: &Link, table: TableId, network: IpNet) -> Route {
    let path = Path {
        index: link.index,
        gateway: None,
        onlink: false,
        weight: Weight(1),
        options: None,
    };
    Route {
        table,
        destination: network,
        metric: Metric(0),
        paths: vec![path],
        group: None,
        options: RouteOptions::default(),
    }
    .canonical()
}
