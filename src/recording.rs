//! Recordings: the outcome of every probe, as the ground truth of a replay.
//!
//! Three formats are read: the JSON lines of the agent, CSV of `time,uplink,target,rtt_ms`, and the
//! output of `ping -D`. All faults of a file are reported at once, each with its line.

mod agent;
mod content;
mod counts;
mod csv;
mod error;
mod lines;
mod ping;
mod samples;
mod world;

use std::path::{Path, PathBuf};

use crate::units::UplinkName;

pub use agent::{ReplayStep, replay_steps};
pub use content::{MarkedOutage, Recording, Track};
pub use counts::Counts;
pub use error::{BadLine, LineFault, Quoted, RecordingError};
pub use samples::Samples;
pub use world::RecordedWorld;

use lines::{FileLines, open};

/// A file to read, and its uplink where the file does not name one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingSource {
    /// Its path.
    pub path: PathBuf,
    /// The uplink of a file that names none.
    pub uplink: Option<UplinkName>,
}

/// The format of a file.
#[derive(Debug)]
enum RecordingKind {
    Agent,
    Csv,
    Ping,
}

impl Recording {
    /// Reads files into one recording.
    pub fn load(sources: &[RecordingSource]) -> Result<Self, RecordingError> {
        let mut recording = Self::default();
        for source in sources {
            recording.read(source)?;
        }
        for track in &mut recording.tracks {
            for (_, samples) in &mut track.targets {
                samples.sort();
            }
        }
        recording.check_span()?;
        recording.counts.values_mut().for_each(Counts::sort);
        recording
            .inputs
            .sort_by(|one, other| one.0.total_cmp(&other.0));
        Ok(recording)
    }

    /// Reads a file of true outages.
    pub fn read_truth(&mut self, path: &Path) -> Result<(), RecordingError> {
        let mut lines = open(path)?;
        csv::read_truth(&mut lines, &mut self.truth)?;
        lines.finish()
    }

    fn read(&mut self, source: &RecordingSource) -> Result<(), RecordingError> {
        let mut lines = open(&source.path)?;
        let before = self.probes();
        match format_of(&mut lines)? {
            RecordingKind::Agent => agent::read_samples(lines, self)?,
            RecordingKind::Csv => {
                csv::read(&mut lines, self)?;
                lines.finish()?;
            }
            RecordingKind::Ping => {
                let path = &source.path;
                let named = source.uplink.clone().or_else(|| named_after(path));
                ping::read(&mut lines, named.as_ref(), self)?;
            }
        }
        if self.probes() == before {
            return Err(RecordingError::Empty(source.path.clone()));
        }
        Ok(())
    }
}

/// Whether a file is a recording of the agent, of which the whole engine can be replayed.
pub fn is_of_agent(path: &Path) -> Result<bool, RecordingError> {
    let mut lines = open(path)?;
    Ok(matches!(format_of(&mut lines)?, RecordingKind::Agent))
}

/// The format by the first line that is not blank; that line is read again.
fn format_of(lines: &mut FileLines) -> Result<RecordingKind, RecordingError> {
    match lines.first()? {
        None => Err(RecordingError::Empty(lines.path().to_owned())),
        Some(line) if line.starts_with('{') => Ok(RecordingKind::Agent),
        Some(line) if csv::is_header(&line) => Ok(RecordingKind::Csv),
        // Whatever its first line is, as of a log that was turned over.
        Some(_) => Ok(RecordingKind::Ping),
    }
}

/// The uplink named by a file's name.
fn named_after(path: &Path) -> Option<UplinkName> {
    path.file_stem()?.to_str()?.parse().ok()
}
