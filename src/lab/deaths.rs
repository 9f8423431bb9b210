//! An agent that is killed again and again, at moments drawn from a seed.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::control::client::Client;
use crate::control::{Request, Response};
use crate::engine::command::Command;
use crate::lab::agent::{CONTROL, pause};
use crate::lab::chance::Chance;
use crate::lab::clock;
use crate::lab::error::LabError;
use crate::lab::leftovers::Inventory;
use crate::lab::lookups;
use crate::lab::network::UPLINKS;
use crate::lab::scenario::AgentAct;
use crate::lab::stage::Stage;

/// A switch takes the kernel's side less than a millisecond, on a busy machine a few.
const SWITCH: Duration = Duration::from_millis(3);
/// A clean stop takes a few milliseconds.
const STOP: Duration = Duration::from_millis(10);
/// How long the agent may take to obey.
const OBEYS_WITHIN: Duration = Duration::from_secs(5);
/// Between two attempts to command it.
const AGAIN: Duration = Duration::from_millis(5);

/// How often the agent was killed while it did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deaths {
    /// While it started, looked around, took over what it found, and began to work.
    pub starting: u32,
    /// Just after it was told to switch.
    pub switching: u32,
    /// While it stopped.
    pub stopping: u32,
    /// How often the kernel did not look afterwards as it did before the first agent.
    pub left_something: u32,
    /// How often nexthop objects were among what was left.
    pub left_next_hops: u32,
}

/// What the agent is doing when it is killed, and how long it has been doing it.
enum Life {
    Starting(Duration),
    Switching { to: &'static str, after: Duration },
    Stopping { lived: Duration, after: Duration },
}

impl Life {
    fn draw(chance: &mut Chance, within: Duration) -> Self {
        let mut some = |span: Duration| span.mul_f64(chance.unit());
        let (lived, switch, stop) = (some(within), some(SWITCH), some(STOP));
        let (kind, place) = (chance.unit(), chance.unit());
        if kind < 1.0 / 3.0 {
            Self::Starting(lived)
        } else if kind < 2.0 / 3.0 {
            let [first, second, third] = UPLINKS;
            let to = match place {
                place if place < 1.0 / 3.0 => first,
                place if place < 2.0 / 3.0 => second,
                _ => third,
            };
            Self::Switching { to, after: switch }
        } else {
            Self::Stopping { lived, after: stop }
        }
    }
}

impl Stage<'_> {
    /// Kills the agent, starts it, kills it again, `times` in all, within this time of its start or
    /// when it has obeyed; then starts it and waits until it is ready. What happens meanwhile is not
    /// put on the timeline.
    pub(super) fn kill_at_random(
        &mut self,
        times: u32,
        within: Duration,
        chance: &mut Chance,
    ) -> Result<Deaths, LabError> {
        let heading = self.heard.phase.take();
        self.direct(AgentAct::Kill)?;
        let mut deaths = Deaths::default();
        for _ in 0..times {
            self.start_agent_unheard()?;
            match Life::draw(chance, within) {
                Life::Starting(lived) => {
                    pause(lived);
                    deaths.starting += 1;
                }
                Life::Switching { to, after } => {
                    let command = Command::switch(lookups::name(to)?);
                    obeyed(&command)?;
                    pause(after);
                    deaths.switching += 1;
                }
                Life::Stopping { lived, after } => {
                    pause(lived);
                    self.tell_agent_to_stop()?;
                    pause(after);
                    deaths.stopping += 1;
                }
            }
            self.direct(AgentAct::Kill)?;
            let left = Inventory::of(self.network.router())?.since(&self.before);
            deaths.left_something += u32::from(!left.is_nothing());
            deaths.left_next_hops += u32::from(left.has_next_hops());
            self.catch_up();
        }
        self.heard.status = None;
        self.direct(AgentAct::Start)?;
        self.wait_until_ready()?;
        self.heard.phase = heading;
        Ok(deaths)
    }
}

/// Waits until the agent is there, knows the uplink, and has obeyed.
fn obeyed(command: &Command) -> Result<(), LabError> {
    let limit = clock::now() + OBEYS_WITHIN;
    while clock::now() < limit {
        let agent = Client::connect(Path::new(CONTROL)).ok();
        let answer =
            agent.and_then(|mut agent| agent.request(&Request::from(command.clone())).ok());
        if matches!(answer, Some(Response::Done(_))) {
            return Ok(());
        }
        pause(AGAIN);
    }
    Err(LabError::vain("the agent had obeyed", OBEYS_WITHIN))
}

impl fmt::Display for Deaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            starting,
            switching,
            stopping,
            left_something,
            left_next_hops,
        } = self;
        write!(
            f,
            "agent: killed {} times: {starting} soon after its start, {switching} in a switch, \
             {stopping} in its stop; {left_something} times it left something for the next, \
             {left_next_hops} times nexthop objects",
            starting + switching + stopping
        )
    }
}
