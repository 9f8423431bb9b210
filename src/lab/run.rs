//! How a scenario is played.

use std::path::PathBuf;
use std::time::Duration;

use crate::lab::address_changes;
use crate::lab::agent::{self, AgentCost};
use crate::lab::bare_probe::BareProbe;
use crate::lab::chance::Chance;
use crate::lab::checks::{self, PhaseObservations};
use crate::lab::clock;
use crate::lab::drill_test;
use crate::lab::error::LabError;
use crate::lab::event::TrafficExit;
use crate::lab::expected_report::ExpectedReport;
use crate::lab::family::LabFamily;
use crate::lab::flapping::{FlappingWire, WireTurn};
use crate::lab::flood;
use crate::lab::incoming::{self, IncomingCounts};
use crate::lab::kill_test;
use crate::lab::lane::Impairment;
use crate::lab::long_flow::{FlowOutcome, LongFlow};
use crate::lab::namespace::Namespace;
use crate::lab::network::{AccessLine, LabNetwork, Wire};
use crate::lab::output::LabOutput;
use crate::lab::output_filter::OutputFilter;
use crate::lab::portal::LandingPage;
use crate::lab::quota::SharedQuota;
use crate::lab::report::{
    DrillCounts, KillCounts, LabReport, LookupCounts, PhaseCost, RunTrace, ScenarioPhaseReport,
    ScenarioRunReport, TimelineNote,
};
use crate::lab::scenario::{Act, AddressChange, Scenario, ScenarioPhase};
use crate::lab::shutdown::ShutdownHandle;
use crate::lab::stalls;
use crate::lab::stream::{self, TimeRange};
use crate::lab::switch_test;
use crate::lab::testbed::Testbed;
use crate::units::{Metric, Moment};

/// How long a phase goes on after the traffic has reached the uplink that it waited for.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the last packets of a phase may take to be answered.
const GRACE: Duration = Duration::from_millis(300);
/// A report may be so late on a busy machine: it comes after what it reports, which the phase has measured.
const LATE_REPORT: Duration = Duration::from_secs(10);
/// How much of the time before the first phase a picture shows.
const LEAD: Duration = Duration::from_millis(500);
/// Probes come once a second: the first phase begins at a time drawn from this span, so that many
/// runs meet every moment between two probes.
const ANY_MOMENT: Duration = Duration::from_secs(1);
/// The moments of stalls are none of the others that are drawn from the seed.
const STALLS: u64 = 0x5354_414c;
/// Nor are those of addresses.
const ADDRESSES: u64 = 0x4144_4452;

/// How to play.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// How often.
    pub runs: u16,
    /// What all chance follows from.
    pub seed: u64,
    /// How long elastic phases last.
    pub elastic: Option<Duration>,
    /// How often what is done many times is done.
    pub times: Option<u32>,
    /// The agent.
    pub program: PathBuf,
}

/// Plays a scenario in a network of its own. The process must be privileged in its namespaces, as it
/// is after [`isolate`](crate::lab::isolate).
pub fn run_scenario(
    scenario: &Scenario,
    options: &LabOptions,
    output: &LabOutput,
) -> Result<LabReport, LabError> {
    let network = LabNetwork::build(options.seed)?;
    if let Some(nat) = scenario.nat {
        network.translate(nat)?;
    }
    output.begin(scenario, options.seed);
    let testbed = Testbed::set(
        &network,
        options.program.clone(),
        scenario.clone(),
        output.clone(),
    )?;
    let mut runner = ScenarioRunner {
        testbed,
        output: output.clone(),
        chance: Chance::from_seed(options.seed),
        elastic: options.elastic,
        times: options.times,
        has_ipv6: scenario.ipv6,
        has_long_flows: scenario.long_flows,
        portals: Vec::new(),
        filters: Vec::new(),
    };
    let mut runs = Vec::new();
    for number in 1..=options.runs {
        output.run(number, options.runs);
        let run = runner.run(scenario, number);
        runs.push(run.map_err(|error| runner.testbed.explain(error))?);
    }
    let report = LabReport::of(scenario, options.seed, runs);
    output.end(&report);
    Ok(report)
}

struct ScenarioRunner<'n> {
    testbed: Testbed<'n>,
    output: LabOutput,
    chance: Chance,
    elastic: Option<Duration>,
    times: Option<u32>,
    has_ipv6: bool,
    has_long_flows: bool,
    /// The landing pages that are up. They go when the next phase begins.
    portals: Vec<LandingPage<'n>>,
    /// The packet filters that are set. They go when the next phase begins.
    filters: Vec<OutputFilter<'n>>,
}

/// What the acts of a phase leave behind.
#[derive(Default)]
struct RunningActs<'n> {
    flapping: Vec<FlappingWire<'n>>,
    floods: Vec<ShutdownHandle>,
    stalls: Vec<ShutdownHandle>,
    addresses: Vec<ShutdownHandle>,
    quotas: Vec<SharedQuota>,
    lookups: Option<LookupCounts>,
    kills: Option<KillCounts>,
    incoming: Option<IncomingCounts>,
    drills: Option<DrillCounts>,
}

impl<'n> ScenarioRunner<'n> {
    fn run(&mut self, scenario: &Scenario, number: u16) -> Result<ScenarioRunReport, LabError> {
        let age = scenario.stream_age.map(|ages| stream::age(ages, number));
        self.testbed.let_stream(age.is_none());
        let ready = self.testbed.start_agent_afresh()?;
        self.output.ready(ready);
        let warm_up = scenario.warm_up.0 + ANY_MOMENT.mul_f64(self.chance.unit());
        let streams = age.unwrap_or(warm_up);
        let begins = clock::now() + warm_up.saturating_sub(streams);
        self.testbed.listen_until(begins, |_| false);
        self.testbed.let_stream(true);
        self.testbed.listen_until(begins + streams, |_| false);
        let start = clock::now();
        let phases = scenario.phases.iter().map(|phase| self.phase(phase));
        let phases = phases.collect::<Result<_, _>>()?;
        self.portals.clear();
        self.filters.clear();
        let range = TimeRange {
            from: start - LEAD,
            to: clock::now() - GRACE,
        };
        let seen = &self.testbed.seen;
        Ok(ScenarioRunReport {
            ready,
            phases,
            trace: RunTrace {
                range,
                packets: seen.streams.v4.packets(range),
                exits: seen.exits_so_far.clone(),
            },
        })
    }

    fn phase(&mut self, phase: &ScenarioPhase) -> Result<ScenarioPhaseReport, LabError> {
        self.output.phase(phase);
        let before = (self.testbed.cost()?, self.testbed.probes()?);
        let from = clock::now();
        self.testbed.seen.begin(from);
        self.portals.clear();
        self.filters.clear();
        let bare = phase.expect.times_bare_probe.is_some();
        let bare = bare.then(|| BareProbe::start(self.testbed.network.router()));
        let bare = bare.transpose()?;
        let acted = self.act(phase)?;
        let (to, outages) = self.last(phase, acted.flapping)?;
        { phase.expect.reports() }.for_each(|expected| self.await_report(expected));
        drop((acted.floods, acted.quotas));
        // What they do late would be of the next phase.
        (acted.stalls.into_iter().chain(acted.addresses)).for_each(ShutdownHandle::end);
        let bare = bare.map(BareProbe::end).transpose()?.flatten();
        let cost = self.cost_since(before, clock::now().since(from), bare)?;
        self.testbed.listen_until(clock::now() + GRACE, |_| false);
        let range = TimeRange { from, to };
        let heard = &mut self.testbed.seen;
        let traffic = heard.traffic(LabFamily::Ipv4, range);
        heard.note(clock::now(), TimelineNote::Client(traffic));
        let outages = outages.into_iter().map(|TimeRange { from, to: end }| {
            let to = to.min(end + GRACE);
            heard.traffic(LabFamily::Ipv4, TimeRange { from, to })
        });
        let outages: Vec<_> = outages.collect();
        let traffic6 = self.has_ipv6.then(|| heard.traffic(LabFamily::Ipv6, range));
        if let Some(traffic) = traffic6 {
            heard.note(clock::now(), TimelineNote::Client6(traffic));
        }
        let flows = self.fates();
        let other = self.testbed.seen.other_traffic(&phase.expect, range);
        let left = phase.expect.leaves_nothing.then(|| self.testbed.left());
        let heading = self.testbed.seen.phase.take().unwrap_or_default();
        let active = self.testbed.seen.exits.clone();
        let seen = PhaseObservations {
            traffic,
            traffic6,
            other,
            outages,
            delay: self.testbed.seen.delays.within(range),
            active: &active,
            warm_up: &self.testbed.seen.warm_up,
            timeline: &heading.timeline,
            flows,
            incoming: acted.incoming,
            lookups: acted.lookups,
            drills: acted.drills,
            left: left.transpose()?,
            cost,
            learnt_loss: (phase.expect.learnt_loss).and_then(|_| agent::learnt_loss()),
        };
        let checks = checks::checks(&phase.expect, &seen);
        self.output.checks(&checks);
        Ok(ScenarioPhaseReport {
            title: phase.title.clone(),
            start: from,
            lasted: to.since(from),
            stalled: self.testbed.seen.delays.stalls(range),
            traffic,
            traffic6,
            other,
            outages: seen.outages.clone(),
            switches: seen.switches(),
            flows: seen.flows.clone(),
            moved_ms: seen
                .moved(phase.expect.active.as_deref())
                .map(|span| span.as_secs_f64() * 1000.0),
            lookups: acted.lookups,
            kills: acted.kills,
            drills: acted.drills,
            cost,
            passed: checks.iter().all(|check| check.passed),
            checks,
            active: active.v4,
            timeline: heading.timeline,
        })
    }

    /// Waits for what the agent is to say, if that is late.
    fn await_report(&mut self, expected: ExpectedReport<'_>) {
        let limit = clock::now() + LATE_REPORT;
        self.testbed
            .listen_until(limit, |seen| seen.has_said(expected));
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
            let what = match (act, acted.lookups, acted.kills, acted.drills) {
                (Act::SwitchToAndFro { .. }, Some(lookups), ..) => lookups.to_string(),
                (Act::KillAtRandom { .. }, _, Some(kills), _) => kills.to_string(),
                (Act::Drill { .. }, _, _, Some(drills)) => drills.to_string(),
                (Act::Incoming(_), ..) => acted.incoming.unwrap_or_default().to_string(),
                (act, ..) => act.to_string(),
            };
            let fault = act.fault();
            self.testbed
                .seen
                .note(done_at, TimelineNote::Lab { what, fault });
        }
        Ok(acted)
    }

    /// Does one thing, and returns the moment from which it holds.
    fn do_one(&mut self, act: &Act, acted: &mut RunningActs<'n>) -> Result<Moment, LabError> {
        match act {
            Act::Set { wire, towards, to } => {
                return match towards {
                    None => self.wire(wire)?.set(*to),
                    Some(towards) => self.wire(wire)?.set_towards(*towards, *to),
                };
            }
            Act::Mend(wire) => return self.wire(wire)?.mend(),
            Act::Unplug(wire) => return self.wire(wire)?.unplug(),
            Act::Flap { wire, every, to } => {
                let lasts = std::iter::repeat(every.0);
                return self.flap(acted, wire, *to, lasts, every.0);
            }
            Act::Outages {
                wire,
                last,
                apart,
                to,
            } => {
                let lasts = last.clone().into_iter().map(|span| span.0);
                return self.flap(acted, wire, *to, lasts, apart.0);
            }
            Act::LandingPage(uplink) => {
                let page = LandingPage::raise(self.provider(uplink)?)?;
                self.portals.push(page);
            }
            Act::Flood(bits_per_second) => {
                let client = self.testbed.network.client();
                acted.floods.push(flood::start(client, *bits_per_second)?);
            }
            Act::Addresses { uplink, change } => {
                let changes = self.change_addresses(uplink, *change)?;
                acted.addresses.push(changes);
            }
            Act::Stalls(longest) => {
                if let Some(agent) = self.testbed.agent_pid() {
                    let chance = self.chance.fork(STALLS);
                    acted.stalls.push(stalls::begin(agent, longest.0, chance)?);
                }
            }
            Act::Quota(quota) => {
                let agent = self.testbed.agent_pid();
                let quota = agent.map(|agent| SharedQuota::set(agent, *quota));
                acted.quotas.extend(quota.transpose()?);
            }
            Act::RefuseToSend(uplinks) => {
                let filter = OutputFilter::set(self.testbed.network.router(), uplinks)?;
                self.filters.push(filter);
            }
            Act::Router { uplink, change } => {
                self.testbed.network.change_router(uplink, *change)?;
            }
            Act::Stranger { uplink, metric } => {
                self.testbed.network.add_default(uplink, Metric(*metric))?;
            }
            Act::Agent(act) => self.testbed.direct(*act)?,
            Act::Stream(flows) => self.testbed.let_stream(*flows),
            Act::Incoming(each) => {
                acted.incoming = Some(incoming::ask(self.testbed.network, *each)?);
            }
            Act::Drain { uplink, limit } => switch_test::drain(uplink, limit.0)?,
            Act::SwitchToAndFro { times, clients } => {
                acted.lookups = Some(switch_test::switch_to_and_fro(
                    &mut self.testbed,
                    self.times.unwrap_or(*times),
                    *clients,
                )?);
            }
            Act::Drill { .. } => acted.drills = self.drills(act)?,
            Act::KillAtRandom { times, within } => {
                let chance = &mut self.chance;
                acted.kills = Some(kill_test::kill_at_random(
                    &mut self.testbed,
                    self.times.unwrap_or(*times),
                    within.0,
                    chance,
                )?);
            }
        }
        Ok(clock::now())
    }

    fn drills(&mut self, act: &Act) -> Result<Option<DrillCounts>, LabError> {
        drill_test::follow(&mut self.testbed, act, self.times, &mut self.chance)
    }

    fn provider(&self, uplink: &str) -> Result<&'n Namespace, LabError> {
        { self.testbed.network.provider(uplink) }.ok_or_else(|| LabError::Wire(uplink.to_owned()))
    }

    fn change_addresses(
        &self,
        uplink: &str,
        kind: AddressChange,
    ) -> Result<ShutdownHandle, LabError> {
        let (line, chance) = (AccessLine::of(uplink)?, self.chance.fork(ADDRESSES));
        address_changes::begin(self.testbed.network.router(), line, kind, chance)
    }

    fn flap(
        &self,
        acted: &mut RunningActs<'n>,
        wire: &str,
        to: Impairment,
        lasts: impl Iterator<Item = Duration> + 'static,
        apart: Duration,
    ) -> Result<Moment, LabError> {
        let now = clock::now();
        let wire = FlappingWire::new(self.wire(wire)?, to, lasts, apart, now);
        acted.flapping.push(wire);
        Ok(now)
    }

    /// Lets the phase last, for as much longer as the machine stands still, but no more than twice as long. Returns
    /// when it ended, and the outages of its wires.
    fn last(
        &mut self,
        phase: &ScenarioPhase,
        mut flapping: Vec<FlappingWire<'n>>,
    ) -> Result<(Moment, Vec<TimeRange>), LabError> {
        let elastic = self.elastic.filter(|_| phase.elastic);
        let lasts = elastic.unwrap_or(phase.lasts.0);
        let from = clock::now();
        let mut settled = None;
        let mut is_awaited = phase.until.is_some() || phase.until6.is_some();
        let mut is_measured = false;
        let end = loop {
            let to = clock::now();
            let stalls = self.testbed.seen.delays.stalls(TimeRange { from, to });
            let end = settled.unwrap_or(from + lasts + stalls.min(lasts));
            if to >= end {
                if std::mem::replace(&mut is_measured, true) {
                    break end;
                }
                self.testbed.measure_delays();
                continue;
            }
            is_measured = false;
            for wire in &mut flapping {
                if let Some(turn) = wire.turn_if_due(clock::now())? {
                    self.note_turn(wire, turn);
                }
            }
            let next = flapping.iter().filter_map(FlappingWire::next).min();
            let limit = next.map_or(end, |next| next.min(end));
            let is_there = self.testbed.listen_until(limit, |seen| {
                let is_at = |exit: &TrafficExit, uplink: &Option<String>| {
                    uplink.is_none() || exit == uplink
                };
                let exits = &seen.exits;
                is_awaited && is_at(&exits.v4, &phase.until) && is_at(&exits.v6, &phase.until6)
            });
            if is_there {
                is_awaited = false;
                settled = Some(end.min(clock::now() + SETTLE));
            }
        };
        let outages = flapping.into_iter().map(FlappingWire::end);
        let outages: Vec<_> = outages.collect::<Result<_, _>>()?;
        Ok((end, outages.concat()))
    }

    fn note_turn(&mut self, wire: &FlappingWire<'_>, turn: WireTurn) {
        let name = wire.name().to_owned();
        let (at, act) = match turn {
            WireTurn::Broken(at) => {
                let (towards, to) = (None, wire.broken());
                let wire = name;
                (at, Act::Set { wire, towards, to })
            }
            WireTurn::Mended(at) => (at, Act::Mend(name)),
        };
        let (what, fault) = (act.to_string(), act.fault());
        self.testbed
            .seen
            .note(at, TimelineNote::Lab { what, fault });
    }

    fn cost_since(
        &self,
        (cost, probes): (Option<AgentCost>, u64),
        span: Duration,
        bare: Option<Duration>,
    ) -> Result<Option<PhaseCost>, LabError> {
        let (Some(before), Some(after)) = (cost, self.testbed.cost()?) else {
            return Ok(None);
        };
        let probes = self.testbed.probes()?.saturating_sub(probes);
        Ok(PhaseCost::between(&before, &after, probes, span, bare))
    }

    fn wire(&self, name: &str) -> Result<Wire<'n>, LabError> {
        let wire = self.testbed.network.wire(name);
        wire.ok_or_else(|| LabError::Wire(name.to_owned()))
    }
}
