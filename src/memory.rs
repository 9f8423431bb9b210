//! What the agent remembers across restarts: how each link loses packets, and who carried the
//! traffic when it was last heard of.
//!
//! One small file, replaced as a whole, written at most hourly and when the traffic moves: flash
//! wears.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::engine::input::KeptSpan;
use crate::engine::loss::Learner;
use crate::state_file::{self, Durability};
use crate::units::sorted::SortedMap;
use crate::units::{Bytes, Timestamp, UplinkName, json};

/// For so long after the last word of an earlier run its carrier is still the best guess.
const FRESH: Duration = Duration::from_secs(600);

/// No memory is as long as this: some hundreds of bytes for an uplink.
const MOST_BYTES: u64 = 1024 * 1024;

/// The present form. Without one, lengths of silences are those of versions that learnt them from outages as well.
pub const FORM: u32 = 2;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The form that it was written in; 0 before there was one.
    #[serde(default)]
    pub form: u32,
    /// When it was written.
    pub written: Timestamp,
    /// Who carried the traffic.
    pub carrying: Option<UplinkName>,
    /// The uplink whose path failed on purpose: but for that it carried the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drilled: Option<UplinkName>,
    /// The agent that wrote it ended as it was told to, and has announced what came of its drill.
    #[serde(default)]
    pub has_stopped: bool,
    /// How each link loses packets while it is well.
    pub learnt: SortedMap<UplinkName, Learner>,
    /// What may still be spent on the probes of each metered uplink.
    #[serde(default)]
    pub unspent: SortedMap<UplinkName, Bytes>,
    /// For how long flows had stayed on uplinks that the traffic had left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_flows: Vec<KeptSpan>,
}

/// Why memory cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct MemoryError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Memory {
    /// What an earlier run left in this directory, if anything.
    ///
    /// # Errors
    /// If there is a file that cannot be read or makes no sense.
    pub fn recall(directory: &Path) -> Result<Option<Self>, MemoryError> {
        let path = file(directory);
        let text = match state_file::read(&path, MOST_BYTES) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(source) => return Err(MemoryError::new("read", path, source)),
        };
        let senseless = |error| MemoryError::new("make sense of", path.clone(), error);
        let mut memory: Self = json::read(&text).map_err(|error| senseless(error.into()))?;
        if let Some((uplink, _)) = memory.learnt.iter().find(|(_, one)| !one.is_sound()) {
            let why = format!("{uplink} cannot have shown such numbers");
            return Err(senseless(io::Error::other(why)));
        }
        if memory.is_of_older_form() {
            let learnt = memory.learnt.values_mut();
            learnt.for_each(|learner| *learner = learner.without_lengths());
        }
        Ok(Some(memory))
    }

    /// What was learnt counts for less by `now`, and what lasts has lasted for longer.
    pub fn fade(&mut self, now: SystemTime) {
        let age = now.duration_since(self.written.0).unwrap_or_default();
        self.learnt.values_mut().for_each(|one| one.fade(age));
        let kept = self.kept_flows.iter_mut();
        kept.for_each(|span| span.lasted = span.lasted.saturating_add(age));
    }

    /// It was written by an earlier version: how long silences last is set aside, how many probes are lost is kept.
    pub fn is_of_older_form(&self) -> bool {
        self.form < FORM
    }

    /// Keeps it in this directory, which is made if need be.
    ///
    /// # Errors
    /// If the file cannot be written; the old one is left whole.
    pub fn keep(&self, directory: &Path) -> Result<(), MemoryError> {
        let path = file(directory);
        let failed = |source| MemoryError::new("write", path.clone(), source);
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        state_file::replace(&path, &text, Durability::Lazy).map_err(failed)
    }

    /// Who carried the traffic, if that was said not long before `now`.
    pub fn recent_carrier(&self, now: SystemTime) -> Option<&UplinkName> {
        self.carrying.as_ref().filter(|_| self.is_recent(now))
    }

    /// The uplink whose drill did not come to its end, in the same way.
    pub fn recent_drill(&self, now: SystemTime) -> Option<&UplinkName> {
        self.drilled.as_ref().filter(|_| self.is_recent(now))
    }

    fn is_recent(&self, now: SystemTime) -> bool {
        let age = now.duration_since(self.written.0);
        age.is_ok_and(|age| age <= FRESH)
    }
}

impl MemoryError {
    fn new(verb: &'static str, path: PathBuf, source: io::Error) -> Self {
        Self { verb, path, source }
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("learnt.json")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn memory() -> Memory {
        let mut learner = Learner::default();
        (0..1000).for_each(|_| learner.answered());
        Memory {
            has_stopped: false,
            form: FORM,
            written: Timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)),
            carrying: Some("lte".parse().expect("a name")),
            drilled: None,
            learnt: [("fiber".parse().expect("a name"), learner)].into(),
            unspent: [("lte".parse().expect("a name"), Bytes(4_000_000))].into(),
            kept_flows: Vec::new(),
        }
    }

    #[test]
    fn numbers_that_no_link_can_have_shown_are_not_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = r#"{"written":"2026-01-01T00:00:00Z","carrying":null,
            "learnt":{"fiber":{"length_seconds":1e20}}}"#;
        fs::write(file(directory.path()), text).expect("a file");
        let error = Memory::recall(directory.path()).expect_err("a refusal");
        assert!(error.to_string().starts_with("cannot make sense of"));
    }

    #[test]
    fn of_an_older_form_the_share_of_lost_probes_is_kept_and_lengths_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = r#"{"written":"2026-01-01T00:00:00Z","carrying":null,"learnt":{"fiber":{"rounds":5000.0,
            "probes":5000.0,"isolated":50.0,"bursts":40.0,"lengths":40.0,"length_seconds":320.0}}}"#;
        fs::write(file(directory.path()), text).expect("a file");
        let memory = Memory::recall(directory.path())
            .expect("read")
            .expect("there");
        let process = memory.learnt.values().next().expect("fiber").process();
        assert!(memory.is_of_older_form());
        assert!((process.isolated - 0.01).abs() < 1e-4, "{process:?}");
        assert!(process.burst_seconds < 0.1, "{process:?}");
    }

    #[test]
    fn what_is_kept_is_recalled() {
        let directory = tempfile::tempdir().expect("a directory");
        let deeper = directory.path().join("state");
        assert_eq!(Memory::recall(&deeper).expect("nothing yet"), None);
        memory().keep(&deeper).expect("kept");
        assert_eq!(Memory::recall(&deeper).expect("there"), Some(memory()));
    }

    #[test]
    fn a_torn_file_is_named_and_harmless() {
        let directory = tempfile::tempdir().expect("a directory");
        memory().keep(directory.path()).expect("kept");
        let path = file(directory.path());
        let text = fs::read(&path).expect("there");
        fs::write(&path, &text[..text.len() / 2]).expect("torn");
        let error = Memory::recall(directory.path()).expect_err("torn");
        assert!(error.to_string().contains("learnt.json"), "{error}");
    }

    #[test]
    fn an_old_carrier_and_one_from_the_future_are_no_guess() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(memory().recent_carrier(at(1_100)).is_some());
        assert!(memory().recent_carrier(at(100_000)).is_none());
        assert!(memory().recent_carrier(at(10)).is_none());
    }
}
