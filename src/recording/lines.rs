//! The lines of a file, each bounded, with their faults by line number.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::error::{BadLine, LineFault, RecordingError};
use crate::units::counting::plural;

/// The longest line; the settings of 64 uplinks are a tenth of it.
const LONGEST: usize = 1 << 20;

/// Faults that are reported with their lines; the others are counted.
const NAMED: usize = 20;

/// Reads lines and collects their faults.
#[derive(Debug)]
pub(super) struct RecordingLines<R> {
    reader: R,
    path: PathBuf,
    number: usize,
    buffer: Vec<u8>,
    is_cut: bool,
    is_over: bool,
    is_again: bool,
    bad: Vec<BadLine>,
    more: usize,
}

impl<R: BufRead> RecordingLines<R> {
    pub(super) fn new(reader: R, path: &Path) -> Self {
        Self {
            reader,
            path: path.to_owned(),
            number: 0,
            buffer: Vec::new(),
            is_cut: false,
            is_over: false,
            is_again: false,
            bad: Vec::new(),
            more: 0,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The first line that is not blank, which is read again. None if all are blank.
    pub(super) fn first(&mut self) -> Result<Option<String>, RecordingError> {
        while self.advance()? {
            match self.line() {
                Ok("") => {}
                Ok(line) => {
                    let line = line.to_owned();
                    self.is_again = true;
                    return Ok(Some(line));
                }
                Err(fault) => {
                    self.note(fault);
                    return Err(self.faults());
                }
            }
        }
        Ok(None)
    }

    /// Passes every line that is not blank to `take`, and notes its faults.
    pub(super) fn each(
        &mut self,
        mut take: impl FnMut(&str) -> Result<(), LineFault>,
    ) -> Result<(), RecordingError> {
        while self.advance()? {
            let taken = self.line().and_then(|line| match line {
                "" => Ok(()),
                line => take(line),
            });
            if let Err(fault) = taken {
                self.note(fault);
            }
        }
        Ok(())
    }

    /// Whether the line ends without a line feed, as one that is still being written.
    pub(super) fn is_torn(&self) -> bool {
        self.buffer.last() != Some(&b'\n')
    }

    /// Notes a fault of the present line.
    pub(super) fn note(&mut self, fault: LineFault) {
        if self.bad.len() < NAMED {
            let line = self.number;
            self.bad.push(BadLine { line, fault });
        } else {
            self.more += 1;
        }
    }

    /// Forgets the noted faults, and says that their lines are skipped.
    pub(super) fn skipped(&mut self) -> Option<String> {
        let count = self.more + self.bad.len();
        let BadLine { line, fault } = std::mem::take(&mut self.bad).into_iter().next()?;
        let file = self.path.display();
        Some(format!(
            "{file}:{line}: {fault}; skipped: {}",
            plural(count, "line")
        ))
    }

    /// No line is of a known format: the first one tells, unless it is answers that lack their times.
    pub(super) fn no_recording(&mut self) -> RecordingError {
        let is_timeless = |bad: &BadLine| matches!(bad.fault, LineFault::Timeless);
        if !self.bad.iter().any(is_timeless) {
            self.bad.truncate(1);
            self.more = 0;
            for bad in &mut self.bad {
                bad.fault = LineFault::NoRecording;
            }
        }
        self.faults()
    }

    /// The noted faults as an error.
    pub(super) fn faults(&mut self) -> RecordingError {
        RecordingError::Lines {
            file: self.path.display().to_string(),
            lines: std::mem::take(&mut self.bad),
            more: self.more,
        }
    }

    /// An error if there are faults.
    pub(super) fn finish(&mut self) -> Result<(), RecordingError> {
        if self.bad.is_empty() {
            Ok(())
        } else {
            Err(self.faults())
        }
    }

    /// Reads the next line; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, RecordingError> {
        if std::mem::take(&mut self.is_again) {
            return Ok(true);
        }
        if self.is_over {
            return Ok(false);
        }
        self.read().map_err(|source| RecordingError::Read {
            path: self.path.clone(),
            source,
        })
    }

    /// The present line, trimmed.
    pub(super) fn line(&self) -> Result<&str, LineFault> {
        if self.is_cut {
            return Err(LineFault::TooLong);
        }
        if self.buffer.contains(&0) {
            return Err(LineFault::Nul);
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|_| LineFault::NotText)?;
        Ok(text.trim_start_matches('\u{feff}').trim())
    }

    fn read(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.is_cut = false;
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                break;
            }
            if self.is_cut {
                // Such a file is no recording, and may be endless.
                self.is_over = true;
                break;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(available.len(), |end| end + 1);
            self.is_cut |= self.buffer.len() + used > LONGEST;
            if !self.is_cut {
                self.buffer.extend_from_slice(&available[..used]);
            }
            self.reader.consume(used);
            if end.is_some() {
                self.number += 1;
                return Ok(true);
            }
        }
        let is_something = self.is_cut || !self.buffer.is_empty();
        self.number += usize::from(is_something);
        Ok(is_something)
    }
}

/// The lines of a file on disk.
pub(super) type FileLines = RecordingLines<BufReader<File>>;

pub(super) fn open(path: &Path) -> Result<FileLines, RecordingError> {
    let file = File::open(path).map_err(|source| RecordingError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(RecordingLines::new(
        BufReader::with_capacity(1 << 16, file),
        path,
    ))
}
