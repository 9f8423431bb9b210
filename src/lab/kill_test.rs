//! An agent that is killed again and again, at moments drawn from a seed.

use std::path::Path;
use std::time::Duration;

use crate::control::client::Client;
use crate::control::{Request, Response};
use crate::engine::command::Command;
use crate::lab::chance::Chance;
use crate::lab::clock::{self, pause};
use crate::lab::error::LabError;
use crate::lab::files::CONTROL;
use crate::lab::inventory::Inventory;
use crate::lab::network::UPLINKS;
use crate::lab::report::KillCounts;
use crate::lab::scenario::AgentAct;
use crate::lab::switch_test;
use crate::lab::testbed::Testbed;

/// A switch takes the kernel's side less than a millisecond, on a busy machine a few.
const SWITCH: Duration = Duration::from_millis(3);
/// A clean stop takes a few milliseconds.
const STOP: Duration = Duration::from_millis(10);
/// An agent that has not obeyed by then hangs. The kernel's one lock of links and routes, for which a start waits, is
/// held for seconds by the end of other namespaces.
const OBEYS_WITHIN: Duration = Duration::from_secs(30);
/// Between two attempts to command it.
const AGAIN: Duration = Duration::from_millis(5);

/// What the agent is doing when it is killed, and how long it has been doing it.
enum KillMoment {
    Starting(Duration),
    Switching { to: &'static str, after: Duration },
    Stopping { lived: Duration, after: Duration },
}

impl KillMoment {
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

/// Kills the agent, starts it, kills it again, `times` in all, within this time of its start or
/// when it has obeyed; then starts it and waits until it is ready. What happens meanwhile is not
/// put on the timeline.
pub(super) fn kill_at_random(
    testbed: &mut Testbed<'_>,
    times: u32,
    within: Duration,
    chance: &mut Chance,
) -> Result<KillCounts, LabError> {
    let heading = testbed.seen.phase.take();
    testbed.direct(AgentAct::Kill)?;
    let mut kills = KillCounts::default();
    for _ in 0..times {
        testbed.start_agent_unheard()?;
        match KillMoment::draw(chance, within) {
            KillMoment::Starting(lived) => {
                pause(lived);
                kills.starting += 1;
            }
            KillMoment::Switching { to, after } => {
                let command = Command::switch(switch_test::name(to)?);
                obeyed(&command)?;
                pause(after);
                kills.switching += 1;
            }
            KillMoment::Stopping { lived, after } => {
                pause(lived);
                testbed.tell_agent_to_stop()?;
                pause(after);
                kills.stopping += 1;
            }
        }
        testbed.direct(AgentAct::Kill)?;
        let left = Inventory::of(testbed.network.router())?.since(&testbed.before);
        kills.left_something += u32::from(!left.is_nothing());
        kills.left_next_hops += u32::from(left.has_next_hops());
        testbed.catch_up();
    }
    testbed.seen.status = None;
    testbed.direct(AgentAct::Start)?;
    // The last command to switch outlives its agent.
    obeyed(&Command::Auto {})?;
    testbed.wait_until_ready()?;
    testbed.seen.phase = heading;
    Ok(kills)
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
