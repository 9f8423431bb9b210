//! The numbers by which our routes, rules and nexthop objects are known.

use serde::{Deserialize, Serialize};

use super::route::{Family, RoutePlace};
use super::traffic::Marks;
use crate::units::{HopPlace, Mark, Metric, NextHopId, Protocol, RulePriority, TableId};

/// The table of other programs (`RT_TABLE_MAIN`).
pub const MAIN: TableId = TableId(254);

/// In [`RoutingMode::Main`], the distance of the uplinks' metrics from the active one's.
pub const BEHIND: u32 = 1_000_000;

/// The distance of the groups' numbers from the first.
const GROUPS: u32 = 256;

/// The most uplinks, and the most groups, that a configuration has.
const UPLINKS: u32 = 64;

/// So many next hops of one uplink and family are used; the others are for none of its packets.
pub(super) const MOST_NEXT_HOPS: u8 = 3;

/// The distance of the tables of single next hops from the others.
const HOPS: u32 = 1_000;

/// The order of our rules, from [`Numbering::rule`] on; those of groups follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleStage {
    /// `to NETWORK lookup main`, for a network of another interface inside one of an uplink.
    Local,
    /// `to NETWORK goto MARK`, for one that is connected on an uplink.
    PastMain,
    /// Main without its default route.
    Main,
    /// `fwmark MARK`, for probes.
    Mark,
    /// `fwmark MARK/MASK`, for flows that are remembered.
    FlowMark,
    /// `from ADDRESS`.
    Source,
    /// `oif DEVICE`.
    Interface,
    /// `to NETWORK lookup main`, for one that is connected on an uplink.
    Connected,
}

impl RuleStage {
    /// So many priorities are before those of groups.
    pub const COUNT: u32 = Self::Connected as u32 + 1;
}

/// The count of numbers for nexthop objects.
pub const NUMBERS: u32 = 512;

/// The tables of our routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoutingMode {
    /// Tables of our own, and rules that lead to them.
    #[default]
    Table,
    /// The main table, beside the default routes of others, without rules: for machines without policy
    /// routing and for software that reads the main table.
    Main,
}

/// The mode, and all numbers of our routes, rules and nexthop objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numbering {
    /// The tables of our routes.
    pub mode: RoutingMode,
    /// The protocol number of all our routes and rules.
    pub protocol: Protocol,
    /// The table of the default group; the uplinks' tables follow it in the order of the configuration.
    pub table: TableId,
    /// The table of the first group; the others follow.
    pub group_table: TableId,
    /// The priority of the first of our rules: those of each [`RuleStage`], then those of groups, one after
    /// the other.
    pub rule: RulePriority,
    /// The priority of our last rule, which sends all other traffic to [`Numbering::table`]: before main
    /// (32766) and after the rules of VPNs.
    pub default_rule: RulePriority,
    /// The mark of the first uplink's probes; the others follow in the order of the configuration.
    pub mark: Mark,
    /// The bits of a connection mark that say which uplink a flow goes by, all in a row; none: flows are not
    /// remembered.
    pub flow_mask: Option<Mark>,
    /// In [`RoutingMode::Main`], the metric of the active default route.
    pub metric: Metric,
    /// The number of our first nexthop object; see [`nexthop`](super::nexthop).
    pub nexthop: NextHopId,
}

impl Default for Numbering {
    fn default() -> Self {
        Self {
            mode: RoutingMode::default(),
            protocol: Protocol(117),
            table: TableId(11_700),
            group_table: TableId(11_800),
            rule: RulePriority(32_000),
            // `wg-quick` takes the highest free priorities below main, 32765 and 32764, and the
            // kernel puts a rule behind those of its own priority that are already there.
            default_rule: RulePriority(32_765),
            // "up"; no bits of mwan3 (0x3f00), and none of 0x40000 and 0x80000, which Tailscale uses of
            // its mask 0xff0000.
            mark: Mark(0x7570_0000),
            // No bits of mwan3 and Tailscale, nor of pbr (0xff0000).
            flow_mask: Some(Mark(0xff00_0000)),
            // NetworkManager gives VPNs 50, which go before us, and wired links 100; networkd and
            // routers that advertise themselves 1024.
            metric: Metric(60),
            nexthop: NextHopId(11_700_000),
        }
    }
}

impl Numbering {
    /// The place of the default group's default route.
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

    /// The place of the default route of the uplink at this position of the configuration.
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

    /// The place of the default route of the group at this position.
    pub fn group_place(&self, group: u32) -> RoutePlace {
        RoutePlace {
            table: TableId(self.group_table.0 + group),
            metric: Metric(0),
        }
    }

    /// The priority of the rules of a stage.
    pub fn priority_of(&self, stage: RuleStage) -> RulePriority {
        RulePriority(self.rule.0 + stage as u32)
    }

    /// The priority of the rule for a group's traffic at this place.
    pub fn group_rule(&self, place: u32) -> RulePriority {
        RulePriority(self.rule.0 + RuleStage::COUNT + place)
    }

    /// The table of the uplink at this place in the configuration.
    pub fn uplink_table(&self, position: u32) -> TableId {
        TableId(self.table.0 + 1 + position)
    }

    /// The mark of the probes through that uplink.
    pub fn uplink_mark(&self, position: u32) -> Mark {
        Mark(self.mark.0.wrapping_add(position))
    }

    /// The mark of its probes by one of several next hops.
    pub fn hop_mark(&self, position: u32, hop: HopPlace) -> Mark {
        let distance = UPLINKS * (1 + u32::from(hop.0)) + position;
        Mark(self.mark.0.wrapping_add(distance))
    }

    /// The marks of all its probes.
    pub fn marks(&self, position: u32) -> impl Iterator<Item = Mark> {
        let hops = (0..MOST_NEXT_HOPS).map(HopPlace);
        let hops = hops.map(move |hop| self.hop_mark(position, hop));
        hops.chain([self.uplink_mark(position)])
    }

    /// The mark of the flows of the uplink at this place, and the bits of it that count; none where flows are not
    /// remembered: they need rules, and bits enough.
    pub fn flow_mark(&self, position: u32) -> Option<Marks> {
        let mask = self.flow_mask.filter(|_| self.mode == RoutingMode::Table)?;
        let lowest = 1_u32.checked_shl(mask.0.trailing_zeros())?;
        let value = lowest.checked_mul(position + 1)?;
        (value & mask.0 == value).then_some(Marks {
            mark: Mark(value),
            mask,
        })
    }

    /// The table of one of several next hops of that uplink; none where the numbers end.
    pub fn hop_table(&self, position: u32, hop: HopPlace) -> Option<TableId> {
        let distance = UPLINKS * u32::from(hop.0) + position;
        Some(TableId(self.first_hop_table()?.checked_add(distance)?))
    }

    /// Whether a table is of one of several next hops.
    pub fn is_hop_table(&self, table: TableId) -> bool {
        let first = self.first_hop_table();
        let hops = UPLINKS * u32::from(MOST_NEXT_HOPS);
        first.is_some_and(|first| table.0 >= first && table.0 - first < hops)
    }

    fn first_hop_table(&self) -> Option<u32> {
        self.table.0.max(self.group_table.0).checked_add(HOPS)
    }

    /// The object for the path of a family of the uplink at this place in the configuration.
    pub fn path_object(&self, position: u32, family: Family) -> NextHopId {
        NextHopId(self.nexthop.0 + 2 * position + family as u32)
    }

    /// Whether a nexthop object has one of our numbers.
    pub fn has_object(&self, id: NextHopId) -> bool {
        id.0.checked_sub(self.nexthop.0)
            .is_some_and(|distance| distance < NUMBERS)
    }

    /// The nexthop group of a family for the default group (0) or a configured group (from 1 on).
    pub fn group_object(&self, group: u32, family: Family) -> NextHopId {
        NextHopId(self.nexthop.0 + GROUPS + 2 * group + family as u32)
    }
}
