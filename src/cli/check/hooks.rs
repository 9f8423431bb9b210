//! The hooks: which files are none, and what needs one.

use super::facts::Facts;
use super::finding::FindingSeverity::{Error, Warning};
use super::finding::{Finding, finding};
use crate::engine::settings::UplinkSettings;

/// Files among the hooks that are not run.
pub(super) fn on_files(facts: &Facts) -> impl Iterator<Item = Finding> {
    facts.hooks.others.iter().map(|(path, why)| {
        let object = format!("hook {}", path.display());
        let what = format!("is not run: {why}");
        finding(
            Warning,
            &object,
            what,
            "correct that, or move the file elsewhere",
        )
    })
}

/// The agent itself brings up networks of netifd only.
pub(super) fn on_cold(uplink: &UplinkSettings, object: &str, facts: &Facts) -> Option<Finding> {
    facts.hooks.programs.is_empty().then(|| {
        let interface = &uplink.interface;
        finding(
            Error,
            object,
            format!("is cold, and no hook brings {interface} up"),
            "copy the hook `standby` from /usr/share/doc/uplinkd/examples/hooks (config/hooks in the \
             source) to the directory `agent.hooks`",
        )
    })
}
