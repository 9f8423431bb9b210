//! The stage: the network, the agent on it, and what is heard of both. One thread owns it; all
//! others send it what happens.
//!
//! ```text
//!   meter (client) ────┐
//!   compass (router) ──┼── Happening ──> Stage (this thread) ── orders ──> pump, agent
//!   agent's ear ───────┘
//! ```

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::control::Response;
use crate::engine::state::State;
use crate::engine::status::Status;
use crate::lab::agent::{self, Agent, Cost, Wishes};
use crate::lab::error::{Doing, LabError};
use crate::lab::family::Dual;
use crate::lab::happening::{Happening, Way};
use crate::lab::leftovers::Inventory;
use crate::lab::lifeline::Lifeline;
use crate::lab::network::{Network, UPLINKS};
use crate::lab::report::{Entry, Note};
use crate::lab::scenario::AgentAct;
use crate::lab::screen::Screen;
use crate::lab::stream::Stream;
use crate::lab::{clock, compass, flow, meter, modem, talk};
use crate::units::Moment;

/// How long the agent may take until it knows all uplinks.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often to see whether it is still there meanwhile.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// The stage.
pub(super) struct Stage<'n> {
    pub(super) network: &'n Network,
    pub(super) heard: Heard,
    /// What stood in the router before the first agent.
    pub(super) before: Inventory,
    program: PathBuf,
    wishes: Wishes,
    agent: Option<Agent>,
    sink: Sender<Happening>,
    inbox: Receiver<Happening>,
    is_paused: Arc<AtomicBool>,
    _watchers: Vec<Lifeline>,
}

/// What was heard so far.
#[derive(Default)]
pub(super) struct Heard {
    /// The client's packets.
    pub(super) streams: Dual<Stream>,
    /// What the client's long flows heard.
    pub(super) flows: flow::Heard,
    /// The way of the client's traffic now.
    pub(super) ways: Dual<Way>,
    /// The agent's last word; none when it is gone.
    pub(super) status: Option<Status>,
    /// What happened since the phase began; none outside of one.
    pub(super) phase: Option<Heading>,
    screen: Screen,
    /// All uplinks share the traffic.
    is_shared: bool,
}

/// What was heard in a phase.
#[derive(Default)]
pub(super) struct Heading {
    /// When it began.
    pub(super) start: Moment,
    /// In order.
    pub(super) timeline: Vec<Entry>,
}

impl<'n> Stage<'n> {
    /// Puts client and compass to work; the agent is not there yet.
    pub(super) fn set(
        network: &'n Network,
        program: PathBuf,
        wishes: Wishes,
        screen: Screen,
    ) -> Result<Self, LabError> {
        let (sink, inbox) = channel();
        let is_paused = Arc::new(AtomicBool::new(false));
        let mut watchers = Vec::new();
        for family in wishes.families() {
            watchers.push(compass::watch(network.router(), *family, sink.clone())?);
            watchers.push(meter::start(
                network.client(),
                *family,
                sink.clone(),
                is_paused.clone(),
            )?);
        }
        if wishes.long_flows {
            let (client, internet) = (network.client(), network.internet());
            watchers.extend(talk::start(client, internet, &sink)?);
        }
        if let Some(wish) = &wishes.modem {
            watchers.push(modem::install(network.router(), wish)?);
        }
        let heard = Heard {
            screen,
            is_shared: wishes.balance,
            ..Heard::default()
        };
        Ok(Self {
            before: Inventory::of(network.router())?,
            network,
            heard,
            program,
            wishes,
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
        agent::forget();
        if let Some(modem) = &self.wishes.modem {
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
            if self.listen_until(clock::now() + LOOK_AFTER, Heard::is_ready) {
                return Ok(clock::now().since(start));
            }
            if let Some(status) = self.agent.as_mut().map(Agent::ended).transpose()?.flatten() {
                let log = agent::last_words();
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
                self.agent = Some(Agent::start(&self.program, router, &self.wishes, sink)?);
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
        self.agent = Some(Agent::start_unheard(&self.program, router, &self.wishes)?);
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
        is_enough: impl Fn(&Heard) -> bool,
    ) -> bool {
        loop {
            if is_enough(&self.heard) {
                return true;
            }
            let rest = limit.since(clock::now());
            match self.inbox.recv_timeout(rest) {
                Ok(happening) => self.heard.handle(happening),
                // The other end cannot hang up: it is ours as well.
                Err(_) if rest.is_zero() => return false,
                Err(_) => {}
            }
        }
    }

    /// Takes in what has happened up to now.
    pub(super) fn catch_up(&mut self) {
        while let Ok(happening) = self.inbox.try_recv() {
            self.heard.handle(happening);
        }
    }

    /// What the agent has cost so far; none when there is none.
    pub(super) fn cost(&self) -> Result<Option<Cost>, LabError> {
        self.agent.as_ref().map(Agent::cost).transpose()
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

impl Heard {
    /// A phase begins.
    pub(super) fn begin(&mut self, start: Moment) {
        self.phase = Some(Heading {
            start,
            timeline: Vec::new(),
        });
    }

    /// The lab or the client has something to say about this phase.
    pub(super) fn note(&mut self, at: Moment, note: Note) {
        if let Some(phase) = &mut self.phase {
            let after = at.since(phase.start);
            let entry = Entry { after, note };
            self.screen.entry(&entry);
            phase.timeline.push(entry);
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Pulse(family, pulse) => self.streams.of(family).handle_pulse(pulse),
            Happening::Flow(flow, at, word) => self.flows.handle(flow, at, word),
            Happening::Way(family, at, to) => {
                let from = std::mem::replace(self.ways.of(family), to.clone());
                self.note(at, Note::Kernel { family, from, to });
            }
            Happening::Agent(at, response) => match *response {
                Response::Status(status) => self.status = Some(*status),
                Response::Event(event) => self.note(at, Note::Agent(event)),
                Response::Done(_)
                | Response::Refused(_)
                | Response::NotFound(_)
                | Response::Waiting(_)
                | Response::History(_) => {}
            },
            Happening::Silence(at) => {
                self.status = None;
                self.note(at, Note::AgentSilent);
            }
        }
    }

    fn is_ready(&self) -> bool {
        let is_up = |status: &Status| {
            let mut states = status.uplinks.iter().map(|uplink| uplink.state);
            states.all(|state| matches!(state, State::Up | State::Cold))
        };
        let is_on_its_way = match self.ways.v4.as_deref() {
            None => false,
            Some(_) if self.is_shared => true,
            Some(uplink) => uplink == UPLINKS[0],
        };
        self.status.as_ref().is_some_and(is_up) && is_on_its_way
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
