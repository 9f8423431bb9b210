//! From the tree of a file to a [`Config`], and from no file to the schema and the defaults.

use super::agent::{self, AgentSettings, UbusPlace};
use super::document::Node;
use super::error::Problem;
use super::groups::{self, GroupContext};
use super::routing::{self, FlowSettings, OnStop, SectionCounts};
use super::schema::Schema;
use super::section::{Reading, Section};
use super::uplinks::{self, CommonSettings, Followed};
use super::{drill, failover, health, probe};
use crate::engine::settings::Settings;
use crate::units::UplinkName;
use crate::units::sorted::SortedMap;

/// What a configuration file says, checked, with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How the agent meets the world.
    pub agent: AgentSettings,
    /// What decisions are made by. The seed is 0: the daemon chooses one.
    pub engine: Settings,
    /// The uplinks that follow a network of netifd.
    pub networks: SortedMap<UplinkName, Followed>,
    /// What becomes of the agent's routes and rules at a clean stop.
    pub on_stop: OnStop,
    /// What becomes of flows when the traffic moves.
    pub flows: FlowSettings,
}

/// The configuration that a tree is, unless something was or is wrong with it.
pub(super) fn config(document: &Node, reading: Reading) -> Result<Config, Vec<Problem>> {
    let config = sections(&reading.top(Some(document)));
    let problems = reading.into_problems();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}

/// Every key that a configuration may hold.
pub fn schema() -> Schema {
    let reading = Reading::of_nothing();
    sections(&reading.top(None));
    reading.into_schema()
}

/// Reads every section, whether it is there or not.
fn sections(top: &Section<'_>) -> Config {
    let agent = agent::read(&top.section("agent"));
    let common_probe = probe::read(&top.section("probe"), None);
    let common_health = health::read(&top.section("health"), None);
    let of_failover = top.section("failover");
    let failover = failover::read(&of_failover);
    let of_routing = top.section("routing");
    let numbering = routing::numbering(&of_routing);
    let flows = routing::flows(&of_routing);
    let failback_flows = routing::failback_flows(&of_routing);
    let on_stop = routing::on_stop(&of_routing);
    let common = CommonSettings {
        mode: numbering.mode,
        has_ubus: agent.ubus != UbusPlace::Off,
        probe: common_probe,
        health: common_health,
    };
    let (uplinks, networks) = uplinks::read(top, &common);
    let context = GroupContext {
        mode: numbering.mode,
        policy: failover.policy,
        uplinks: &uplinks,
    };
    let groups = groups::groups(top, &context);
    let rules = groups::rules(top, &groups);
    let counts = SectionCounts {
        uplinks: uplinks.len(),
        groups: groups.len(),
        rules: rules.len(),
    };
    routing::check(&of_routing, &numbering, &counts);
    let engine = Settings {
        uplinks,
        failback_window: failover::window(&of_failover, failover.failback),
        failover,
        groups,
        rules,
        failback_flows,
        drill: drill::read(&top.section("drill")),
        numbering,
        seed: 0,
    };
    Config {
        agent,
        engine,
        networks,
        on_stop,
        flows,
    }
}
