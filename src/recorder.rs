//! What the engine took in, as JSON lines: a header with the settings, then one line for each call.
//! Given the same inputs again, an engine gives the same actions.
//!
//! Flash wears out, so nothing is recorded unless the configuration says so; lines are collected and written together, and
//! the recorder stops for good when its file is full: without its beginning a recording is worth
//! nothing, so the old is never given up for the new.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::input::Input;
use crate::engine::settings::Settings;
use crate::units::{Moment, Timestamp};

/// The form of the lines; it changes when they do.
pub const FORM: u32 = 2;

/// A recording grows to this and no further: three days of two uplinks at the default interval.
pub const MOST_BYTES: u64 = 64 << 20;

/// Until then a number of seconds holds every nanosecond (2^22 s, f64).
const LONGEST: Duration = Duration::from_secs(1 << 22);

/// Lines are collected up to this.
const BUFFER_BYTES: usize = 64 << 10;

/// And at most for this long.
const FLUSH_EVERY: Duration = Duration::from_secs(60);

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORM`]
    pub recording: u32,
    /// The version of the agent.
    pub version: String,
    /// When the engine started, by the wall clock.
    pub started: Timestamp,
    /// And by the engine's.
    pub at: Moment,
    /// What it started with.
    pub settings: Settings,
}

/// Any other line: [`crate::engine::Engine::handle_input`], or `handle_timeout` without an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Moment,
    /// The input of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder<W: Write = File> {
    writer: BufWriter<Counted<W>>,
    flushed: Moment,
    most: u64,
}

/// Why nothing more is recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The file cannot be written.
    #[error("cannot record")]
    Write(#[from] io::Error),
    /// The engine's words have no JSON form.
    #[error("cannot record")]
    Form(#[from] serde_json::Error),
    /// There is as much as there may be.
    #[error("the recording is full")]
    Full,
}

impl Recorder<File> {
    /// Begins a file; what it held before is gone.
    pub fn create(path: &Path, header: &Header) -> Result<Self, RecorderError> {
        Self::new(File::create(path)?, header, MOST_BYTES)
    }
}

impl<W: Write> Recorder<W> {
    /// Begins a recording of at most `most` bytes.
    pub fn new(writer: W, header: &Header, most: u64) -> Result<Self, RecorderError> {
        let counted = Counted { writer, bytes: 0 };
        let mut recorder = Self {
            writer: BufWriter::with_capacity(BUFFER_BYTES, counted),
            flushed: header.at,
            most,
        };
        recorder.line(header)?;
        recorder.writer.flush()?;
        Ok(recorder)
    }

    /// Records an input of the engine or, without one, that time has passed. After an error nothing more
    /// can be recorded.
    pub fn record(&mut self, at: Moment, input: Option<&Input>) -> Result<(), RecorderError> {
        let is_full = self.writer.get_ref().bytes + self.writer.buffer().len() as u64 >= self.most;
        if is_full || at.since_start() >= LONGEST {
            self.writer.flush()?;
            return Err(RecorderError::Full);
        }
        self.line(&RecordedInput { at, input })?;
        if at.since(self.flushed) >= FLUSH_EVERY {
            self.flushed = at;
            self.writer.flush()?;
        }
        Ok(())
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), RecorderError> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.writer.write_all(&line)?;
        Ok(())
    }
}

/// An [`Entry`] that borrows.
#[derive(Serialize)]
struct RecordedInput<'a> {
    at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a Input>,
}

/// A writer that knows how much went through it.
#[derive(Debug)]
struct Counted<W> {
    writer: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
