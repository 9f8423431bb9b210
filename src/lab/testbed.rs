//! The testbed: the network, the agent on it, and what is heard of both. One thread owns it; all
//! others send it what happens.
//!
//! ```text
//!   meter (client) ────┐
//!   route-watch (router) ──┼── Happening ──> Stage (this thread) ── orders ──> pump, agent
//!   agent's ear ───────┘
//! ```

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::control::Response;
use crate::engine::state::State;
use crate::engine::status::Status;
use crate::lab::agent::{AgentCost, AgentProcess};
use crate::lab::download::{self, DownloadLog};
use crate::lab::error::{Doing, LabError};
use crate::lab::event::{LabEvent, TrafficExit};
use crate::lab::expected_report::ExpectedReport;
use crate::lab::family::{LabFamily, PerFamily};
use crate::lab::inventory::{Inventory, InventoryDifference};
use crate::lab::machine_delay::{self, MachineDelays};
use crate::lab::netlink::Netlink;
use crate::lab::network::{LabNetwork, UPLINKS};
use crate::lab::other_traffic::OtherTraffic;
use crate::lab::output::LabOutput;
use crate::lab::report::{TimelineEntry, TimelineNote};
use crate::lab::scenario::{AgentAct, PhaseExpectation, Scenario};
use crate::lab::shutdown::ShutdownHandle;
use crate::lab::stream::{ClientTraffic, PacketStream, TimeRange};
use crate::lab::{
    clock, files, long_flow, long_flow_ends, meter, modem, new_flows, noise, route_watch,
};
use crate::units::Moment;

/// How long the agent may take until it knows all uplinks.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The LAN and the uplinks.
const ROUTER_INTERFACES: usize = 1 + UPLINKS.len();
/// How often to see whether it is still there meanwhile.
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// How long before a failure the machine may have stood still to be its cause.
const BEFORE: Duration = Duration::from_secs(15);

/// The testbed.
pub(super) struct Testbed<'n> {
    pub(super) network: &'n LabNetwork,
    pub(super) seen: Observations,
    /// What stood in the router before the first agent.
    pub(super) before: Inventory,
    program: PathBuf,
    scenario: Scenario,
    agent: Option<AgentProcess>,
    sink: Sender<LabEvent>,
    inbox: Receiver<LabEvent>,
    is_paused: Arc<AtomicBool>,
    _watchers: Vec<ShutdownHandle>,
}

/// What was heard so far.
#[derive(Default)]
pub(super) struct Observations {
    /// The client's packets.
    pub(super) streams: PerFamily<PacketStream>,
    /// The client's new connections, a packet each.
    pub(super) new_flows: PacketStream,
    /// By which uplink those that began then were answered.
    new_flows_by: Vec<(Moment, &'static str)>,
    download: DownloadLog,
    /// What the client's long flows heard.
    pub(super) flows: long_flow::FlowLog,
    /// The way of the client's traffic now.
    pub(super) exits: PerFamily<TrafficExit>,
    /// The ways of its IPv4 traffic so far.
    pub(super) exits_so_far: Vec<(Moment, TrafficExit)>,
    /// What the machine took for itself.
    pub(super) delays: MachineDelays,
    /// The agent's last word; none when it is gone.
    pub(super) status: Option<Status>,
    /// What the agent said before the first phase: some things it says once an hour.
    pub(super) warm_up: Vec<TimelineEntry>,
    /// What happened since the phase began; none outside of one.
    pub(super) phase: Option<PhaseRecord>,
    output: LabOutput,
    /// All uplinks share the traffic.
    is_shared: bool,
}

/// What was heard in a phase.
#[derive(Default)]
pub(super) struct PhaseRecord {
    /// When it began.
    pub(super) start: Moment,
    /// In order.
    pub(super) timeline: Vec<TimelineEntry>,
}

impl<'n> Testbed<'n> {
    /// What stands in the router that did not before the first agent.
    pub(super) fn left(&self) -> Result<InventoryDifference, LabError> {
        let now = Inventory::of(self.network.router())?;
        Ok(now.since(&self.before))
    }

    /// Puts client and route watch to work; the agent is not there yet.
    pub(super) fn set(
        network: &'n LabNetwork,
        program: PathBuf,
        scenario: Scenario,
        output: LabOutput,
    ) -> Result<Self, LabError> {
        let (sink, inbox) = channel();
        let is_paused = Arc::new(AtomicBool::new(false));
        let before = Inventory::of_settled(network.router(), ROUTER_INTERFACES)?;
        let mut watchers = vec![machine_delay::start(sink.clone())?];
        for family in families(&scenario) {
            watchers.push(route_watch::watch(network.router(), *family, sink.clone())?);
            watchers.push(meter::start(
                network.client(),
                *family,
                sink.clone(),
                is_paused.clone(),
            )?);
        }
        let (client, internet) = (network.client(), network.internet());
        let expects = |what: fn(&PhaseExpectation) -> bool| {
            let mut phases = scenario.phases.iter();
            phases.any(|phase| what(&phase.expect))
        };
        if expects(|expect| expect.new_gap.is_some() || expect.new_moved.is_some()) {
            watchers.extend(new_flows::start(client, internet, sink.clone())?);
        }
        if expects(|expect| expect.download_pause.is_some() || expect.download_broken.is_some()) {
            watchers.extend(download::start(client, internet, sink.clone())?);
        }
        if scenario.long_flows {
            watchers.extend(long_flow_ends::start(client, internet, &sink)?);
        }
        if let Some(noise) = &scenario.noise {
            watchers.push(noise::make(network, noise)?);
        }
        if let Some(scenario) = &scenario.modem {
            watchers.push(modem::install(network.router(), scenario)?);
        }
        let seen = Observations {
            output,
            is_shared: scenario.balance,
            ..Observations::default()
        };
        Ok(Self {
            before,
            network,
            seen,
            program,
            scenario,
            agent: None,
            sink,
            inbox,
            is_paused,
            _watchers: watchers,
        })
    }

    /// Lets the client's stream flow, or not.
    pub(super) fn let_stream(&self, flows: bool) {
        self.is_paused.store(!flows, Ordering::Relaxed);
    }

    /// Starts the agent anew on a network that is well, and waits until it knows all uplinks.
    /// Returns how long that took.
    pub(super) fn start_agent_afresh(&mut self) -> Result<Duration, LabError> {
        self.network.mend_all()?;
        self.direct(AgentAct::Stop)?;
        files::remove_state();
        if let Some(modem) = &self.scenario.modem {
            modem::hang_up(self.network.router(), modem)?;
        }
        self.direct(AgentAct::Start)?;
        self.wait_until_ready()
    }

    /// Waits until the agent knows all uplinks and the best one carries the traffic, and returns how
    /// long that took.
    pub(super) fn wait_until_ready(&mut self) -> Result<Duration, LabError> {
        let start = clock::now();
        while clock::now().since(start) < READY_WITHIN {
            if self.listen_until(clock::now() + LOOK_AFTER, Observations::is_ready) {
                return Ok(clock::now().since(start));
            }
            if let Some(status) = self
                .agent
                .as_mut()
                .map(AgentProcess::ended)
                .transpose()?
                .flatten()
            {
                let log = files::end_of_log();
                return Err(LabError::Agent { status, log });
            }
        }
        let event = "all uplinks were up and the best carried the traffic";
        Err(LabError::vain(event, READY_WITHIN))
    }

    /// Starts or ends the agent.
    pub(super) fn direct(&mut self, act: AgentAct) -> Result<(), LabError> {
        let signal = match act {
            AgentAct::Stop => Signal::SIGTERM,
            AgentAct::Kill => Signal::SIGKILL,
            AgentAct::Start => {
                let (router, sink) = (self.network.router(), self.sink.clone());
                self.agent = Some(AgentProcess::start(
                    &self.program,
                    router,
                    &self.scenario,
                    sink,
                )?);
                return Ok(());
            }
        };
        if let Some(mut agent) = self.agent.take() {
            agent.end(signal)?;
        }
        Ok(())
    }

    /// Starts the agent, and does not listen to it.
    pub(super) fn start_agent_unheard(&mut self) -> Result<(), LabError> {
        let router = self.network.router();
        self.agent = Some(AgentProcess::start_unheard(
            &self.program,
            router,
            &self.scenario,
        )?);
        Ok(())
    }

    /// Tells the agent to stop, and does not wait for it.
    pub(super) fn tell_agent_to_stop(&self) -> Result<(), LabError> {
        let agent = self.agent.as_ref();
        agent.map_or(Ok(()), |agent| agent.signal(Signal::SIGTERM))
    }

    /// Takes in what happens until `is_enough` or `limit`; true if it was enough.
    pub(super) fn listen_until(
        &mut self,
        limit: Moment,
        is_enough: impl Fn(&Observations) -> bool,
    ) -> bool {
        loop {
            if is_enough(&self.seen) {
                return true;
            }
            let rest = limit.since(clock::now());
            match self.inbox.recv_timeout(rest) {
                Ok(event) => self.seen.handle(event),
                // The other end cannot hang up: it is ours as well.
                Err(_) if rest.is_zero() => return false,
                Err(_) => {}
            }
        }
    }

    /// Takes in what has happened up to now.
    pub(super) fn catch_up(&mut self) {
        while let Ok(event) = self.inbox.try_recv() {
            self.seen.handle(event);
        }
    }

    /// Adds how long the machine stood still before a failure, if it did.
    pub(super) fn explain(&mut self, error: LabError) -> LabError {
        self.measure_delays();
        let to = clock::now();
        let stalled = self.seen.delays.stalls(TimeRange {
            from: to - BEFORE,
            to,
        });
        if stalled.is_zero() {
            return error;
        }
        LabError::Stalled {
            stalled,
            of: BEFORE,
            source: Box::new(error),
        }
    }

    /// Waits for the end of a delay that lasts until now: it is known only when it is over.
    pub(super) fn measure_delays(&mut self) {
        let is_measured = Netlink::open().and_then(|mut kernel| kernel.wait_for_lock());
        if is_measured.is_ok() {
            self.listen_until(clock::now() + LOOK_AFTER, |_| false);
        }
    }

    /// Its process; none when there is none.
    pub(super) fn agent_pid(&self) -> Option<Pid> {
        self.agent.as_ref().map(AgentProcess::pid)
    }

    /// What the agent has cost so far; none when there is none.
    pub(super) fn cost(&self) -> Result<Option<AgentCost>, LabError> {
        self.agent.as_ref().map(AgentProcess::cost).transpose()
    }

    /// ICMP echo requests that have left the router.
    pub(super) fn probes(&self) -> Result<u64, LabError> {
        let router = self.network.router();
        let counters = router
            .run(|| fs::read_to_string("/proc/thread-self/net/snmp"))
            .doing(|| "read the router's counters".to_owned())?;
        Ok(counter(&counters, "Icmp:", "OutEchos").unwrap_or(0))
    }
}

impl Observations {
    /// A phase begins.
    pub(super) fn begin(&mut self, start: Moment) {
        self.phase = Some(PhaseRecord {
            start,
            timeline: Vec::new(),
        });
    }

    /// The lab or the client has something to say about this phase.
    pub(super) fn note(&mut self, at: Moment, note: TimelineNote) {
        let Some(phase) = &mut self.phase else {
            let after = Duration::ZERO;
            return self.warm_up.push(TimelineEntry { after, note });
        };
        let after = at.since(phase.start);
        let entry = TimelineEntry { after, note };
        self.output.entry(&entry);
        phase.timeline.push(entry);
    }

    /// Whether the agent has reported this.
    pub(super) fn has_said(&self, expected: ExpectedReport<'_>) -> bool {
        let phase = self.phase.iter().flat_map(|phase| &phase.timeline);
        let mut all = self.warm_up.iter().chain(phase);
        all.any(|entry| entry.note.says(expected))
    }

    /// The client's traffic of one family in a range of time.
    pub(super) fn traffic(&mut self, family: LabFamily, range: TimeRange) -> ClientTraffic {
        let traffic = self.streams.of(family).traffic(range);
        self.measured(traffic)
    }

    /// What it had beside its stream, as far as something is expected of it.
    pub(super) fn other_traffic(
        &self,
        expect: &PhaseExpectation,
        range: TimeRange,
    ) -> OtherTraffic {
        let is_loading = expect.download_pause.is_some() || expect.download_broken.is_some();
        OtherTraffic {
            new: (expect.new_gap).map(|_| self.measured(self.new_flows.traffic(range))),
            new_moved_ms: expect.new_moved.and_then(|_| self.new_moved(range)),
            call: expect.mos.map(|_| self.flows.call(range)),
            download: is_loading.then(|| self.download.traffic(range)),
        }
    }

    /// How long after the route last changed new connections still went another way, or the first went by it.
    fn new_moved(&self, range: TimeRange) -> Option<f64> {
        let (moved, by) = self.exits_so_far.last()?;
        let begun = self.new_flows_by.iter();
        let begun = begun.filter(|(sent, _)| *sent >= *moved && *sent < range.to);
        let is_by_it = |(_, by_this): &&(Moment, &'static str)| Some(*by_this) == by.as_deref();
        let (first, _) = begun.clone().find(is_by_it)?;
        let last = begun.rev().find(|one| !is_by_it(one));
        let last = last.map_or(*first, |(sent, _)| *sent.max(first));
        let own = last
            .since(*moved)
            .saturating_sub(self.delays.within(TimeRange {
                from: *moved,
                to: last,
            }));
        Some(own.as_secs_f64() * 1000.0)
    }

    fn measured(&self, traffic: ClientTraffic) -> ClientTraffic {
        let gap = TimeRange {
            from: traffic.gap_start,
            to: traffic.gap_start + traffic.gap,
        };
        ClientTraffic {
            machine_delay: self.delays.within(gap),
            ..traffic
        }
    }

    fn handle(&mut self, event: LabEvent) {
        match event {
            LabEvent::Packet(family, pulse) => self.streams.of(family).handle_pulse(pulse),
            LabEvent::NewFlow(pulse) => self.new_flows.handle_pulse(pulse),
            LabEvent::NewFlowBy(sent, uplink) => self.new_flows_by.push((sent, uplink)),
            LabEvent::Download(at, bytes) => self.download.handle(at, bytes),
            LabEvent::LongFlow(flow, at, word) => self.flows.handle(flow, at, word),
            LabEvent::Delay(late) => self.delays.add(late),
            LabEvent::Exit(family, at, to) => {
                if family == LabFamily::Ipv4 {
                    self.exits_so_far.push((at, to.clone()));
                }
                let from = std::mem::replace(self.exits.of(family), to.clone());
                self.note(at, TimelineNote::Kernel { family, from, to });
            }
            LabEvent::Agent(at, response) => match *response {
                Response::Status(status) => self.status = Some(*status),
                Response::Event(event) => self.note(at, TimelineNote::Agent(event)),
                Response::Done(_)
                | Response::Refused(_)
                | Response::NotFound(_)
                | Response::History(_)
                | Response::Samples(_)
                | Response::Mwan3(_) => {}
            },
            LabEvent::Silence(at) => {
                self.status = None;
                self.note(at, TimelineNote::AgentSilent);
            }
        }
    }

    fn is_ready(&self) -> bool {
        let is_up = |status: &Status| {
            let mut states = status.uplinks.iter().map(|uplink| uplink.state);
            states.all(|state| matches!(state, State::Up | State::Cold))
        };
        let is_on_its_way = match self.exits.v4.as_deref() {
            None => false,
            Some(_) if self.is_shared => true,
            Some(uplink) => uplink == UPLINKS[0],
        };
        self.status.as_ref().is_some_and(is_up) && is_on_its_way
    }
}

/// The families of the client's traffic.
fn families(scenario: &Scenario) -> &[LabFamily] {
    if scenario.ipv6 {
        &[LabFamily::Ipv4, LabFamily::Ipv6]
    } else {
        &[LabFamily::Ipv4]
    }
}

/// A counter of `/proc/net/snmp`: a line of names and below it a line of numbers.
fn counter(counters: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = counters.lines().filter(|line| line.starts_with(group));
    let names = lines.next()?.split_whitespace();
    let numbers = lines.next()?.split_whitespace();
    let (_, number) = names.zip(numbers).find(|(this, _)| *this == name)?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let counters = "Ip: Forwarding\nIp: 1\nIcmp: InMsgs OutEchos\nIcmp: 5 7\n";
        assert_eq!(counter(counters, "Icmp:", "OutEchos"), Some(7));
        assert_eq!(counter(counters, "Icmp:", "InErrors"), None);
    }
}
