//! A machine that keeps the agent from running: it is stopped and continued, at moments drawn from the
//! seed.

use std::io;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::chance::Chance;
use crate::lab::error::{Doing, LabError};
use crate::lab::shutdown::{self, ShutdownHandle};

/// The shortest stall.
const SHORTEST: Duration = Duration::from_millis(500);
/// Between two stalls the agent runs for so long, at most.
const LONGEST_RUN: Duration = Duration::from_secs(4);

/// Stops and continues the agent until the handle is dropped; then it runs.
pub(super) fn begin(
    agent: Pid,
    longest: Duration,
    mut chance: Chance,
) -> Result<ShutdownHandle, LabError> {
    let begin = || {
        let (handle, shutdown) = shutdown::pair()?;
        let stall = move || {
            let mut is_over = false;
            while !is_over {
                let runs = LONGEST_RUN.mul_f64(chance.unit());
                let stands = SHORTEST + longest.saturating_sub(SHORTEST).mul_f64(chance.unit());
                is_over = shutdown.is_requested_within(runs)
                    || kill(agent, Signal::SIGSTOP).is_err()
                    || shutdown.is_requested_within(stands)
                    || kill(agent, Signal::SIGCONT).is_err();
            }
            // It may have ended by itself.
            kill(agent, Signal::SIGCONT).ok();
        };
        thread::Builder::new()
            .name("stalls".to_owned())
            .spawn(stall)?;
        Ok::<_, io::Error>(handle)
    };
    begin().doing(|| "stop and continue the agent".to_owned())
}
