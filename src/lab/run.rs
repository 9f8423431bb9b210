//! How a scenario is played.

use std::path::PathBuf;
use std::time::Duration;

use crate::lab::agent::{AgentCost, ScenarioSettings};
use crate::lab::chance::Chance;
use crate::lab::checks::{self, PhaseObservations};
use crate::lab::clock;
use crate::lab::error::LabError;
use crate::lab::family::PerFamily;
use crate::lab::flood;
use crate::lab::inventory::Inventory;
use crate::lab::kill_test;
use crate::lab::lane::Impairment;
use crate::lab::long_flow::{FlowOutcome, LongFlow};
use crate::lab::network::{ACCESS, LabNetwork, Wire};
use crate::lab::noise;
use crate::lab::output::LabOutput;
use crate::lab::portal::LandingPage;
use crate::lab::report::{
    self, KillCounts, LabReport, LookupCounts, PhaseCost, ScenarioPhaseReport, ScenarioRunReport,
    TimelineNote,
};
use crate::lab::scenario::{Act, AgentAct, Scenario, ScenarioPhase};
use crate::lab::shutdown::ShutdownHandle;
use crate::lab::stream::TimeRange;
use crate::lab::switch_test;
use crate::lab::testbed::Testbed;
use crate::units::{Metric, Moment};

/// How long a phase goes on after the traffic has reached the uplink that it waited for.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the last packets of a phase may take to be answered.
const GRACE: Duration = Duration::from_millis(300);
/// Probes come once a second: the first phase begins at a time drawn from this span, so that many
/// runs meet every moment between two probes.
const ANY_MOMENT: Duration = Duration::from_secs(1);

/// How to play.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// How often.
    pub runs: usize,
    /// What all chance follows from.
    pub seed: u64,
    /// How long elastic phases last.
    pub elastic: Option<Duration>,
    /// The agent.
    pub program: PathBuf,
}

/// Plays a scenario in a network of its own. The process must be privileged in its namespaces, as it
/// is after [`isolate`](crate::lab::isolate).
pub fn run_scenario(
    scenario: &Scenario,
    options: &LabOptions,
    mut output: LabOutput,
) -> Result<LabReport, LabError> {
    let network = LabNetwork::build(options.seed)?;
    if let Some(nat) = scenario.nat {
        network.translate(nat)?;
    }
    output.begin(scenario, options.seed);
    let settings = ScenarioSettings {
        failback_after: scenario.failback_after.map(|span| span.0),
        standby_interval: scenario.standby_interval.map(|span| span.0),
        targets: scenario.targets.clone(),
        mode: scenario.mode.clone(),
        ipv6: scenario.ipv6,
        flows: scenario.flows.clone(),
        flows_on_failback: scenario.flows_on_failback.clone(),
        on_stop: scenario.on_stop.clone(),
        balance: scenario.balance,
        long_flows: scenario.long_flows,
        modem: scenario.modem.clone(),
    };
    let testbed = Testbed::set(&network, options.program.clone(), settings, output.clone())?;
    let mut runner = ScenarioRunner {
        testbed,
        output: output.clone(),
        chance: Chance::from_seed(options.seed),
        elastic: options.elastic,
        has_ipv6: scenario.ipv6,
        has_long_flows: scenario.long_flows,
    };
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        output.run(number, options.runs);
        runs.push(runner.run(scenario)?);
    }
    let report = LabReport {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seed: options.seed,
        passed: runs.iter().flat_map(|run| &run.phases).all(|p| p.passed),
        figures: report::figures(&runs),
        runs,
    };
    output.end(&report);
    Ok(report)
}

struct ScenarioRunner<'n> {
    testbed: Testbed<'n>,
    output: LabOutput,
    chance: Chance,
    elastic: Option<Duration>,
    has_ipv6: bool,
    has_long_flows: bool,
}

/// What the acts of a phase leave behind.
#[derive(Default)]
struct RunningActs<'n> {
    flapping: Vec<FlappingWire<'n>>,
    portals: Vec<LandingPage<'n>>,
    floods: Vec<ShutdownHandle>,
    noises: Vec<ShutdownHandle>,
    lookups: Option<LookupCounts>,
    kills: Option<KillCounts>,
}

/// A wire that is broken and mended in turn.
struct FlappingWire<'n> {
    wire: Wire<'n>,
    every: Duration,
    broken: Impairment,
    is_broken: bool,
    next: Moment,
}

impl<'n> ScenarioRunner<'n> {
    fn run(&mut self, scenario: &Scenario) -> Result<ScenarioRunReport, LabError> {
        let ready = self.testbed.start_agent_afresh()?;
        self.output.ready(ready);
        let warm_up = scenario.warm_up.0 + ANY_MOMENT.mul_f64(self.chance.unit());
        self.testbed.listen_until(clock::now() + warm_up, |_| false);
        let phases = scenario.phases.iter().map(|phase| self.phase(phase));
        Ok(ScenarioRunReport {
            ready,
            phases: phases.collect::<Result<_, _>>()?,
        })
    }

    fn phase(&mut self, phase: &ScenarioPhase) -> Result<ScenarioPhaseReport, LabError> {
        self.output.phase(phase);
        let before = (self.testbed.cost()?, self.testbed.probes()?);
        let from = clock::now();
        self.testbed.seen.begin(from);
        let acted = self.act(phase)?;
        let (lookups, kills) = (acted.lookups, acted.kills);
        let to = self.last(phase, acted.flapping)?;
        drop(acted.portals);
        drop(acted.floods);
        drop(acted.noises);
        let cost = self.cost_since(before, clock::now().since(from))?;
        self.testbed.listen_until(clock::now() + GRACE, |_| false);
        let heard = &mut self.testbed.seen;
        let traffic = heard.streams.v4.traffic(TimeRange { from, to });
        heard.note(clock::now(), TimelineNote::Client(traffic));
        let traffic6 = self
            .has_ipv6
            .then(|| heard.streams.v6.traffic(TimeRange { from, to }));
        if let Some(traffic) = traffic6 {
            heard.note(clock::now(), TimelineNote::Client6(traffic));
        }
        let flows = self.fates();
        let left = phase.expect.leaves_nothing.then(|| {
            let now = Inventory::of(self.testbed.network.router());
            now.map(|now| now.since(&self.testbed.before))
        });
        let heading = self.testbed.seen.phase.take().unwrap_or_default();
        let PerFamily {
            v4: active,
            v6: active6,
        } = self.testbed.seen.exits.clone();
        let seen = PhaseObservations {
            traffic,
            traffic6,
            active: &active,
            active6: &active6,
            timeline: &heading.timeline,
            flows,
            lookups,
            left: left.transpose()?,
            cost,
        };
        let checks = checks::checks(&phase.expect, &seen);
        self.output.checks(&checks);
        Ok(ScenarioPhaseReport {
            title: phase.title.clone(),
            lasted: to.since(from),
            traffic,
            traffic6,
            switches: seen.switches(),
            flows: seen.flows.clone(),
            moved_ms: seen
                .moved(phase.expect.active.as_deref())
                .map(|span| span.as_secs_f64() * 1000.0),
            lookups,
            kills,
            cost,
            passed: checks.iter().all(|check| check.passed),
            checks,
            active,
            timeline: heading.timeline,
        })
    }

    /// What became of the long flows when the traffic moved last, if it did.
    fn fates(&self) -> Vec<FlowOutcome> {
        let heard = &self.testbed.seen;
        let Some(heading) = heard.phase.as_ref().filter(|_| self.has_long_flows) else {
            return Vec::new();
        };
        let moves = heading.timeline.iter().rev();
        let mut moves = moves.filter(|entry| matches!(&entry.note, TimelineNote::Kernel { .. }));
        let last = moves.next().map(|entry| heading.start + entry.after);
        let fate = |switch| LongFlow::ALL.map(|flow| heard.flows.fate(flow, switch));
        last.map_or_else(Vec::new, |switch| fate(switch).to_vec())
    }

    /// Does what the phase begins with.
    fn act(&mut self, phase: &ScenarioPhase) -> Result<RunningActs<'n>, LabError> {
        let mut acted = RunningActs::default();
        for act in &phase.acts {
            let done_at = self.do_one(act, &mut acted)?;
            self.testbed.catch_up();
            let what = match (act, acted.lookups, acted.kills) {
                (Act::SwitchToAndFro { .. }, Some(lookups), _) => lookups.to_string(),
                (Act::KillAtRandom { .. }, _, Some(kills)) => kills.to_string(),
                (act, _, _) => act.to_string(),
            };
            self.testbed.seen.note(done_at, TimelineNote::Lab { what });
        }
        Ok(acted)
    }

    /// Does one thing, and returns the moment from which it holds.
    fn do_one(&mut self, act: &Act, acted: &mut RunningActs<'n>) -> Result<Moment, LabError> {
        match act {
            Act::Set { wire, towards, to } => match towards {
                None => self.wire(wire)?.set(*to),
                Some(towards) => self.wire(wire)?.set_towards(*towards, *to),
            },
            Act::Mend(wire) => self.wire(wire)?.mend(),
            Act::Unplug(wire) => self.wire(wire)?.unplug(),
            Act::Flap { wire, every, to } => {
                let next = clock::now();
                acted.flapping.push(FlappingWire {
                    wire: self.wire(wire)?,
                    every: every.0,
                    broken: *to,
                    is_broken: false,
                    next,
                });
                Ok(next)
            }
            Act::LandingPage(uplink) => {
                let provider = self.testbed.network.provider(uplink);
                let provider = provider.ok_or_else(|| LabError::Wire(uplink.clone()))?;
                acted.portals.push(LandingPage::raise(provider)?);
                Ok(clock::now())
            }
            Act::Flood(bits_per_second) => {
                let client = self.testbed.network.client();
                acted.floods.push(flood::start(client, *bits_per_second)?);
                Ok(clock::now())
            }
            Act::Noise { uplink, per_second } => {
                let provider = self.testbed.network.provider(uplink);
                let provider = provider.ok_or_else(|| LabError::Wire(uplink.clone()))?;
                let noise = noise::make(provider, ACCESS, *per_second)?;
                acted.noises.push(noise);
                Ok(clock::now())
            }
            Act::Stranger { uplink, metric } => {
                self.testbed.network.add_default(uplink, Metric(*metric))?;
                Ok(clock::now())
            }
            Act::Agent(act) => {
                self.testbed.direct(*act)?;
                Ok(clock::now())
            }
            Act::Stream(flows) => {
                self.testbed.let_stream(*flows);
                Ok(clock::now())
            }
            Act::Drain { uplink, limit } => {
                switch_test::drain(uplink, limit.0)?;
                Ok(clock::now())
            }
            Act::SwitchToAndFro { times, clients } => {
                acted.lookups = Some(switch_test::switch_to_and_fro(
                    &mut self.testbed,
                    *times,
                    *clients,
                )?);
                Ok(clock::now())
            }
            Act::KillAtRandom { times, within } => {
                let chance = &mut self.chance;
                acted.kills = Some(kill_test::kill_at_random(
                    &mut self.testbed,
                    *times,
                    within.0,
                    chance,
                )?);
                Ok(clock::now())
            }
        }
    }

    /// Lets the phase last, and returns when it ended.
    fn last(
        &mut self,
        phase: &ScenarioPhase,
        mut flapping: Vec<FlappingWire<'n>>,
    ) -> Result<Moment, LabError> {
        let elastic = self.elastic.filter(|_| phase.elastic);
        let latest = clock::now() + elastic.unwrap_or(phase.lasts.0);
        let mut end = latest;
        let mut is_awaited = phase.until.is_some();
        while clock::now() < end {
            let now = clock::now();
            for wire in &mut flapping {
                wire.turn_if_due(now)?;
            }
            let next = flapping.iter().map(|wire| wire.next).min();
            let limit = next.map_or(end, |next| next.min(end));
            let is_there = self.testbed.listen_until(limit, |heard| {
                is_awaited && heard.exits.v4.is_some() && heard.exits.v4 == phase.until
            });
            if is_there {
                is_awaited = false;
                end = latest.min(clock::now() + SETTLE);
            }
        }
        for wire in flapping {
            wire.wire.mend()?;
        }
        Ok(end)
    }

    fn cost_since(
        &self,
        (cost, probes): (Option<AgentCost>, u64),
        span: Duration,
    ) -> Result<Option<PhaseCost>, LabError> {
        let (Some(before), Some(after)) = (cost, self.testbed.cost()?) else {
            return Ok(None);
        };
        // Less than before: it is another agent, that was started in between.
        let Some(cpu) = after.cpu.checked_sub(before.cpu) else {
            return Ok(None);
        };
        let probes = self.testbed.probes()?.saturating_sub(probes);
        #[expect(clippy::cast_precision_loss, reason = "probes of a few hours")]
        let us_per_probe = cpu.as_secs_f64() * 1e6 / probes as f64;
        Ok(Some(PhaseCost {
            cpu_percent: cpu.as_secs_f64() / span.as_secs_f64() * 100.0,
            probes,
            us_per_probe,
            memory_kib: after.memory_kib,
        }))
    }

    fn wire(&self, name: &str) -> Result<Wire<'n>, LabError> {
        let wire = self.testbed.network.wire(name);
        wire.ok_or_else(|| LabError::Wire(name.to_owned()))
    }
}

impl FlappingWire<'_> {
    fn turn_if_due(&mut self, now: Moment) -> Result<(), LabError> {
        if now < self.next {
            return Ok(());
        }
        if self.is_broken {
            self.wire.mend()?;
        } else {
            self.wire.set(self.broken)?;
        }
        self.is_broken = !self.is_broken;
        self.next = self.next + self.every;
        Ok(())
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
            Self::LandingPage(uplink) => write!(f, "{uplink}: the provider's landing page"),
            Self::Noise { uplink, per_second } => {
                write!(f, "{uplink}: {per_second} packets of broadcast a second")
            }
            Self::Stranger { uplink, metric } => {
                write!(f, "{uplink}: somebody's default route with metric {metric}")
            }
            Self::Agent(AgentAct::Stop) => f.write_str("agent: SIGTERM, and it has ended"),
            Self::Agent(AgentAct::Kill) => f.write_str("agent: SIGKILL, and it has ended"),
            Self::Agent(AgentAct::Start) => f.write_str("agent: started"),
            Self::Stream(true) => f.write_str("client: its stream flows"),
            Self::Stream(false) => f.write_str("client: its stream pauses"),
            Self::Flood(bits) => write!(f, "client: sends and is sent {bits} bits a second"),
            Self::Drain { uplink, limit } => {
                write!(f, "{uplink}: drained by command, for {limit} at most")
            }
            Self::SwitchToAndFro { times, .. } => write!(f, "{times} switches by command"),
            Self::KillAtRandom { times, within } => {
                write!(
                    f,
                    "agent: killed {times} times within {within} of its start"
                )
            }
        }
    }
}
