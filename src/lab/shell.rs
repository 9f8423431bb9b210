//! A shell in the router, on a network that stays until the shell ends.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::lab::error::{Doing, LabError};
use crate::lab::network::LabNetwork;
use crate::lab::output::{self, LabOutput};
use crate::lab::scenario::Scenario;
use crate::lab::testbed::Testbed;

const HINTS: &str = "
This shell is in the router; the agent is at work. Leave it, and everything is gone.
  uplinkd status          what the agent measures and which uplink carries
  uplinkd history         what has happened
  uplinkd check --config /run/uplinkd/uplinkd.toml
                          what it finds on this machine
  ip route; ip rule       what it wrote (where there is an `ip`)
  ip link set fiber down  an outage
  cat /run/uplinkd/log    what it has logged
";

/// Builds the network, starts the agent and gives the terminal to a shell.
pub fn open(seed: u64, program: PathBuf) -> Result<(), LabError> {
    let network = LabNetwork::build(seed)?;
    let mut testbed = Testbed::set(&network, program, Scenario::default(), LabOutput::silent())?;
    testbed.start_agent_afresh()?;
    output::shell_hints(HINTS);
    let shell = env::var_os("SHELL").unwrap_or_else(|| OsString::from("/bin/sh"));
    let mut command = Command::new(shell);
    command.env("PATH", path_with_us());
    let status = network
        .router()
        .adopt(&mut command)
        .and_then(Command::status);
    status
        .map(drop)
        .doing(|| "open a shell in the router".to_owned())
}

/// The search path, with the directory of this program in front.
fn path_with_us() -> OsString {
    let ours = env::current_exe().ok();
    let ours = ours
        .as_deref()
        .and_then(|program| program.parent())
        .map(PathBuf::from);
    let theirs = env::var_os("PATH").unwrap_or_default();
    let all = ours.into_iter().chain(env::split_paths(&theirs));
    env::join_paths(all).unwrap_or(theirs.clone())
}
