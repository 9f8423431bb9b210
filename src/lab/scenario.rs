//! The scenarios: what is done to the network, and what must be true then.

use std::time::Duration;

use serde::Deserialize;

use crate::config::nearest;
use crate::engine::event::EventKind;
use crate::lab::error::LabError;
use crate::lab::lane::{Impairment, Towards};
use crate::lab::nat::Nat;

/// One play.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// Lines of the agent's configuration, as `failover.failback_after = '5s'`; defaults for the rest,
    /// and pings of the hosts of the internet.
    #[serde(default)]
    pub agent: Vec<String>,
    /// The client streams by IPv6 as well, and the agent probes by both families.
    #[serde(default)]
    pub ipv6: bool,
    /// The router translates the client's IPv4 address too; it forwards as it is unless said.
    #[serde(default)]
    pub nat: Option<Nat>,
    /// All uplinks share the traffic.
    #[serde(default)]
    pub balance: bool,
    /// The client has a TCP connection and a QUIC-like flow, open all the time.
    #[serde(default)]
    pub long_flows: bool,
    /// A provider's network makes noise all the time.
    #[serde(default)]
    pub noise: Option<Noise>,
    /// One of the uplinks is cold and has a modem; the agent knows no other beside the first.
    #[serde(default)]
    pub modem: Option<Box<ModemSettings>>,
    /// How old the client's stream is when the first phase begins: another age between these in each run. It flows
    /// from the beginning unless said.
    #[serde(default)]
    pub stream_age: Option<[Span; 2]>,
    /// How long everything is well before the first phase.
    #[serde(default = "two_seconds")]
    pub warm_up: Span,
    /// What happens, one after the other.
    #[serde(rename = "phase")]
    pub phases: Vec<ScenarioPhase>,
}

/// Broadcast and multicast from a provider's network towards the router.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Behind which uplink.
    pub uplink: String,
    /// Packets a second.
    pub per_second: u32,
}

/// A modem, and how the agent keeps its uplink.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModemSettings {
    /// Behind which uplink.
    pub uplink: String,
    /// How long it takes until its link is up.
    #[serde(default = "two_seconds")]
    pub dials_for: Span,
    /// It never gets a link.
    #[serde(default)]
    pub dead: bool,
    /// `standby_linger` of the uplink; its default unless said.
    #[serde(default)]
    pub linger: Option<Span>,
    /// `ready_within` of the uplink; its default unless said.
    #[serde(default)]
    pub ready_within: Option<Span>,
    /// `exercise_every` of the uplink; its default unless said.
    #[serde(default)]
    pub exercise_every: Option<Span>,
}

/// A part of a play that begins with an act upon the network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioPhase {
    /// What happens, in words.
    pub title: String,
    /// What is done, at once.
    #[serde(rename = "do")]
    pub acts: Vec<Act>,
    /// How long it lasts, at most.
    pub lasts: Span,
    /// It ends earlier, soon after the traffic goes through this uplink.
    #[serde(default)]
    pub until: Option<String>,
    /// The same of the IPv6 traffic; where both are set, both.
    #[serde(default)]
    pub until6: Option<String>,
    /// `lasts` may be chosen on the command line.
    #[serde(default)]
    pub elastic: bool,
    /// What must be true of it.
    pub expect: PhaseExpectation,
}

/// Something done to the network or the agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// Makes a wire like this.
    Set {
        /// Which wire.
        wire: String,
        /// One direction; both unless said.
        #[serde(default)]
        towards: Option<Towards>,
        /// Like what.
        to: Impairment,
    },
    /// Makes a wire what it was at the beginning, and plugs it in.
    Mend(String),
    /// Pulls the cable.
    Unplug(String),
    /// Breaks and mends a wire in turn as long as the phase lasts.
    Flap {
        /// Which wire.
        wire: String,
        /// How long it is broken, and how long mended.
        every: Span,
        /// Broken like what.
        to: Impairment,
    },
    /// Breaks a wire several times, the first time at once.
    Outages {
        /// Which wire.
        wire: String,
        /// How long each outage lasts.
        last: Vec<Span>,
        /// How long the wire is mended between two of them.
        apart: Span,
        /// Broken like what.
        to: Impairment,
    },
    /// The provider behind this uplink answers every web page with its own as long as the phase
    /// lasts.
    LandingPage(String),
    /// The router's address on an uplink changes, again and again as long as the phase lasts.
    Addresses {
        /// On which uplink.
        uplink: String,
        /// How.
        change: AddressChange,
    },
    /// The router's packet filter refuses what the router itself sends by these uplinks, as long as the phase lasts.
    RefuseToSend(Vec<String>),
    /// The agent does not run for up to so long, again and again as long as the phase lasts.
    Stalls(Span),
    /// The agent has a CPU quota, and busy loops beside it that use it up, too, as long as the phase lasts.
    Quota(CpuQuota),
    /// Another router on the link of an uplink, or the end of the first.
    Router {
        /// Of which uplink.
        uplink: String,
        /// Which.
        change: RouterChange,
    },
    /// A foreign default route in the router's main table.
    Stranger {
        /// Through which uplink.
        uplink: String,
        /// Its metric.
        metric: u32,
    },
    /// Does something to the agent.
    Agent(AgentAct),
    /// Lets the client's stream flow, as it does at the beginning, or not.
    Stream(bool),
    /// A client sends so many bits a second to the echo service, and is sent them back, as long as the
    /// phase lasts.
    Flood(u64),
    /// So many connections are opened from the internet by each uplink at once, to a port that the router forwards to
    /// the client, and as many to the router itself.
    Incoming(usize),
    /// Takes an uplink out of service by command, and lets its flows go on.
    Drain {
        /// Which.
        uplink: String,
        /// For so long, at most.
        limit: Span,
    },
    /// Switches by command, while someone looks up the way all the time.
    SwitchToAndFro {
        /// How often.
        times: u32,
        /// So many clients watch the agent meanwhile, one of which never reads.
        #[serde(default)]
        clients: u32,
    },
    /// Drills an uplink by command, or kills the command, the agent or both in drills of it.
    Drill {
        /// Which.
        uplink: String,
        /// How long its path fails each time.
        #[serde(default)]
        lasts: Span,
        /// How often.
        times: u32,
        /// At moments drawn from the seed.
        #[serde(default)]
        killed: bool,
    },
    /// Kills the agent so many times, at moments drawn from the seed, and starts it each time.
    KillAtRandom {
        /// How often.
        times: u32,
        /// How long after its start, at most.
        within: Span,
    },
}

/// A CPU quota.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuQuota {
    /// So much time on a processor,
    pub runs: Span,
    /// in each period of so long,
    pub each: Span,
    /// for the agent and so many loops.
    pub loops: u32,
}

/// How the address of an uplink changes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressChange {
    /// A second address comes and goes.
    Second,
    /// The address is removed and added again, as by a DHCP client that renews.
    Renewed,
    /// The default route leads by the one router of its provider and by the other in turn.
    Gateways,
}

/// How the routers of a provider change.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouterChange {
    /// There is a second one, with a default route behind that by the first.
    Second,
    /// There is a second one, and no route leads by it.
    Unrouted,
    /// The first one dies.
    FirstDies,
}

/// What the lab did to an uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkFault {
    /// It broke this one.
    Broken(String),
    /// It mended this one.
    Mended(String),
}

/// Something done to the agent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentAct {
    /// SIGTERM.
    Stop,
    /// SIGKILL.
    Kill,
    /// Starts it again.
    Start,
}

/// What must be true of a phase; what is not said may be anything.
///
/// Large: it has a field for each key of `expect`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhaseExpectation {
    /// The uplink that carries the traffic at the end.
    pub active: Option<String>,
    /// How often the way of the traffic changes, at most.
    pub switches: Option<usize>,
    /// The client's longest time without traffic, at most: in each outage, where there are several.
    pub gap: Option<Span>,
    /// The longest time in which no new connection of the client was answered, at most.
    pub new_gap: Option<Span>,
    /// How long after the last change of the route there are new connections that go another way, at most.
    pub new_moved: Option<Span>,
    /// The mean opinion score of the client's call, at least.
    pub mos: Option<f64>,
    /// The longest time in which nothing comes of the client's download, at most.
    pub download_pause: Option<Span>,
    /// How often a connection of the download ends before its time, at most.
    pub download_broken: Option<usize>,
    /// The median over the outages of the client's time without traffic, at most.
    pub median_gap: Option<Span>,
    /// The client's lost packets, at most.
    pub lost: Option<usize>,
    /// The uplink that carries the IPv6 traffic at the end.
    pub active6: Option<String>,
    /// How often the way of the IPv6 traffic changes, at most.
    pub switches6: Option<usize>,
    /// The client's longest time without IPv6 traffic, at most.
    pub gap6: Option<Span>,
    /// When the traffic first goes through `active`: not before, and not after.
    pub moved: Option<[Span; 2]>,
    /// The client has no traffic at the end.
    pub hangs: bool,
    /// After the switch every long flow goes on or is reset, and this soon.
    pub flows_within: Option<Span>,
    /// Long flows that are reset, at most.
    pub flows_reset: Option<usize>,
    /// Every long flow hangs after the switch.
    pub flows_hang: bool,
    /// Connections from the internet that are not answered, at most.
    pub unanswered: Option<usize>,
    /// An event that the agent reports.
    pub says: Option<EventKind>,
    /// Words in the reason of an event that the agent reports.
    pub reason: Option<String>,
    /// Uplinks that the agent reports as down, at most.
    pub downs: Option<usize>,
    /// The loss that the agent has learnt of any uplink at the end, in percent, at most.
    pub learnt_loss: Option<f64>,
    /// Lookups that found no route during `switch_to_and_fro`, at most.
    pub without_a_route: Option<u64>,
    /// From a command until the kernel has followed it, the median of `switch_to_and_fro`, at most so
    /// many times as long as a request for the status.
    pub switch_within: Option<u64>,
    /// By how much what a drill measures differs from what the client felt, at most.
    pub drill_differs: Option<Span>,
    /// How soon after a kill the path of a drill is whole, at most, with nothing left.
    pub restored_within: Option<Span>,
    /// Routes, rules and nexthop objects of the router are what they were before the first agent.
    pub leaves_nothing: bool,
    /// The agent's time on a processor for each probe, at most so many times that of a program which
    /// sends and receives one packet.
    pub times_bare_probe: Option<f64>,
    /// The agent's resident memory, at most.
    pub memory_kib: Option<u64>,
}

impl Act {
    /// Whether it breaks or mends an uplink.
    pub(super) fn fault(&self) -> Option<UplinkFault> {
        let of = |wire: &str| wire.split('-').next().unwrap_or(wire).to_owned();
        match self {
            Self::Set { wire, .. } | Self::Unplug(wire) => Some(UplinkFault::Broken(of(wire))),
            Self::Mend(wire) => Some(UplinkFault::Mended(of(wire))),
            Self::LandingPage(uplink) => Some(UplinkFault::Broken(uplink.clone())),
            Self::Flap { .. }
            | Self::Outages { .. }
            | Self::Addresses { .. }
            | Self::RefuseToSend(_)
            | Self::Stalls(_)
            | Self::Quota(_)
            | Self::Router { .. }
            | Self::Stranger { .. }
            | Self::Agent(_)
            | Self::Stream(_)
            | Self::Flood(_)
            | Self::Incoming(_)
            | Self::Drain { .. }
            | Self::SwitchToAndFro { .. }
            | Self::Drill { .. }
            | Self::KillAtRandom { .. } => None,
        }
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set { wire, towards, to } => match towards {
                None => write!(f, "{wire}: {to}"),
                Some(towards) => write!(f, "{wire} towards the {towards}: {to}"),
            },
            Self::Mend(wire) => write!(f, "{wire}: as it was at the beginning"),
            Self::Unplug(wire) => write!(f, "{wire}: cable pulled"),
            Self::Flap { wire, every, to } => {
                write!(
                    f,
                    "{wire}: {to} for {every}, then well for {every}, and so on"
                )
            }
            Self::Outages { wire, last, to, .. } => {
                write!(f, "{wire}: {to}, {} times", last.len())
            }
            Self::LandingPage(uplink) => write!(f, "{uplink}: the provider's landing page"),
            Self::Addresses { uplink, change } => {
                let what = match change {
                    AddressChange::Second => "a second address comes and goes",
                    AddressChange::Renewed => "the address goes and comes back",
                    AddressChange::Gateways => "the default route alternates between two routers",
                };
                write!(f, "{uplink}: {what}")
            }
            Self::RefuseToSend(uplinks) => {
                write!(f, "router: refuses to send by {}", uplinks.join(", "))
            }
            Self::Stalls(longest) => {
                write!(
                    f,
                    "agent: SIGSTOP and SIGCONT at random, for {longest} at most"
                )
            }
            Self::Quota(CpuQuota { runs, each, loops }) => {
                write!(
                    f,
                    "agent: {runs} of CPU each {each}, shared with {loops} busy loops"
                )
            }
            Self::Router { uplink, change } => {
                let what = match change {
                    RouterChange::Second => "a second router is there",
                    RouterChange::Unrouted => "a second router is there, without a route",
                    RouterChange::FirstDies => "the first router is dead",
                };
                write!(f, "{uplink}: {what}")
            }
            Self::Stranger { uplink, metric } => {
                write!(f, "{uplink}: a foreign default route with metric {metric}")
            }
            Self::Agent(AgentAct::Stop) => f.write_str("agent: SIGTERM, and it has ended"),
            Self::Agent(AgentAct::Kill) => f.write_str("agent: SIGKILL, and it has ended"),
            Self::Agent(AgentAct::Start) => f.write_str("agent: started"),
            Self::Stream(true) => f.write_str("client: its stream flows"),
            Self::Stream(false) => f.write_str("client: its stream pauses"),
            Self::Flood(bits) => write!(f, "client: sends and is sent {bits} bits a second"),
            Self::Incoming(each) => {
                write!(f, "internet: {each} connections by each uplink at once")
            }
            Self::Drain { uplink, limit } => {
                write!(f, "{uplink}: drained by command, for {limit} at most")
            }
            Self::SwitchToAndFro { times, .. } => write!(f, "{times} switches by command"),
            Self::Drill { uplink, times, .. } => write!(f, "{uplink}: {times} drills"),
            Self::KillAtRandom { times, within } => {
                write!(f, "agent: killed {times} times within {within}")
            }
        }
    }
}

/// A span of time, written `"5s"` or `"250ms"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Span(#[serde(with = "crate::lab::span")] pub Duration);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    #[serde(rename = "scenario")]
    scenarios: Vec<Scenario>,
}

/// All scenarios, the tour first.
pub fn scenarios() -> Result<Vec<Scenario>, LabError> {
    let bill: ScenarioFile = toml::from_str(include_str!("scenarios.toml"))?;
    Ok(bill.scenarios)
}

/// The scenario of this name.
pub fn scenario(name: &str) -> Result<Scenario, LabError> {
    let all = scenarios()?;
    let names: Vec<_> = all.iter().map(|one| one.name.clone()).collect();
    let found = all.into_iter().find(|one| one.name == name);
    found.ok_or_else(|| {
        let known = nearest(name, names.iter().map(String::as_str)).map_or_else(
            || format!("there are {}", names.join(", ")),
            |near| format!("did you mean `{near}`? `--list` names them all"),
        );
        let name = name.to_owned();
        LabError::Scenario { name, known }
    })
}

fn two_seconds() -> Span {
    Span(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::network::UPLINKS;

    #[test]
    fn every_scenario_speaks_of_wires_and_uplinks_that_exist() {
        let ends = UPLINKS.map(|uplink| [format!("{uplink}-access"), format!("{uplink}-core")]);
        let wires: Vec<_> = ends.into_iter().flatten().collect();
        for scenario in scenarios().expect("they parse") {
            let modem = scenario
                .modem
                .map_or("lte".to_owned(), |modem| modem.uplink);
            if let Some(Noise { uplink, .. }) = scenario.noise {
                assert!(UPLINKS.contains(&&*uplink), "no uplink {uplink}");
            }
            assert!(UPLINKS[1..].contains(&&*modem), "no standby {modem}");
            for phase in scenario.phases {
                let title = phase.title;
                for act in phase.acts {
                    let wire = match act {
                        Act::Set { wire, .. }
                        | Act::Flap { wire, .. }
                        | Act::Outages { wire, .. }
                        | Act::Mend(wire)
                        | Act::Unplug(wire) => wire,
                        Act::LandingPage(uplink)
                        | Act::Addresses { uplink, .. }
                        | Act::Router { uplink, .. }
                        | Act::Stranger { uplink, .. }
                        | Act::Drill { uplink, .. }
                        | Act::Drain { uplink, .. } => {
                            assert!(UPLINKS.contains(&&*uplink), "{title}: no uplink {uplink}");
                            continue;
                        }
                        Act::RefuseToSend(uplinks) => {
                            let are_known = uplinks.iter().all(|one| UPLINKS.contains(&&**one));
                            assert!(are_known, "{title}: {uplinks:?}");
                            continue;
                        }
                        Act::Agent(_)
                        | Act::Stalls(_)
                        | Act::Quota(_)
                        | Act::SwitchToAndFro { .. }
                        | Act::KillAtRandom { .. }
                        | Act::Stream(_)
                        | Act::Incoming(_)
                        | Act::Flood(_) => continue,
                    };
                    assert!(wires.contains(&wire), "{title}: no wire {wire}");
                }
                for uplink in phase
                    .until
                    .iter()
                    .chain(&phase.expect.active)
                    .chain(&phase.expect.active6)
                {
                    assert!(UPLINKS.contains(&&**uplink), "{title}: no uplink {uplink}");
                }
            }
        }
    }

    #[test]
    fn the_scenarios_that_people_rely_on_are_there() {
        let asked = "blackhole carrier gateway-dead loss-30 latency-x10 flap lossy-5 all-down \
                     failback forwarded-port forwarded-port-balance target-filtered restart upgrade balance killed killed-main killed-balance idle switch tour main-mode standby-dead \
                     cold-standby standby-unready";
        for name in asked.split_whitespace() {
            scenario(name).expect(name);
        }
        assert!(matches!(
            scenario("nonsense"),
            Err(LabError::Scenario { .. })
        ));
    }
}
