//! Where the agent's files are in the lab. All are in a `/run` of the lab's own, and gone with it.

use std::fs;

/// The directory of all of them.
pub(super) const FILES: &str = "/run/uplinkd";
/// The agent's configuration.
pub(super) const CONFIG: &str = "/run/uplinkd/uplinkd.toml";
/// What it logs.
pub(super) const LOG: &str = "/run/uplinkd/log";
/// Its control socket: the default of the CLI.
pub(super) const CONTROL: &str = "/run/uplinkd/control.sock";
/// What it keeps from one start to the next.
pub(super) const STATE: &str = "/run/uplinkd/state";
/// Its hooks.
pub(super) const HOOKS: &str = "/run/uplinkd/hooks.d";
/// What the hook of a modem writes to.
pub(super) const MODEM: &str = "/run/uplinkd/modem";

/// Removes what the agent keeps, so that the next one begins as the first did.
pub(super) fn remove_state() {
    // It fails only where nothing was kept.
    fs::remove_dir_all(STATE).unwrap_or(());
}

/// The last lines of the agent's log, few enough for a message.
pub(super) fn end_of_log() -> String {
    last_of_log(12).join("\n")
}

/// So many of the last lines of the agent's log.
pub(super) fn last_of_log(most: usize) -> Vec<String> {
    let log = fs::read_to_string(LOG).unwrap_or_else(|error| format!("no log: {error}"));
    let mut lines: Vec<_> = log.lines().map(str::to_owned).collect();
    lines.split_off(lines.len().saturating_sub(most))
}
