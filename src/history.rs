//! What happened, kept across restarts and power cuts, and kind to flash.
//!
//! Lines of JSON in the state directory, one an event, oldest first. A switch or the start of an
//! agent is written at once and takes along what waited; other events wait for it, or for the hour in which the agent
//! writes anyway. A file that is full becomes the
//! older of two, and the one before it is gone. What a power cut tore is the last line, and is cut off
//! at the next start. Any other line that holds no event costs that line; a file of such lines alone is none
//! of ours, and is set aside.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::engine::event::Urgency;
use crate::engine::event::record::EventRecord;
use crate::state_file;
use crate::units::counting::plural;
use crate::units::{Timestamp, json};

/// The most that one of the two files holds, in bytes: some thousand events.
const FULL: u64 = 256 * 1024;

/// No file of ours is as long as this.
const MOST_READ: u64 = 2 * FULL;

/// So many that wait are written at once: memory is scarce, too.
pub const MOST_WAITING: usize = 64;

/// The store, as the agent writes it.
#[derive(Debug)]
pub struct History {
    directory: PathBuf,
    waiting: Vec<EventRecord>,
}

/// Why the history cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file cannot be handled.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something else is in the place of a file, or far too much.
    #[error("cannot read {}; it is set aside as {}", path.display(), aside.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A file has something else in it.
    #[error("{fault}; the file is set aside as {}", aside.display())]
    Corrupt {
        /// The first line that is wrong.
        fault: CorruptLine,
        /// Where the file is now.
        aside: PathBuf,
    },
    /// Some lines hold no event.
    #[error("{}", in_short(_0))]
    Damaged(Vec<CorruptLine>),
}

fn in_short(lines: &[CorruptLine]) -> String {
    let first = lines.first().map(ToString::to_string);
    let first = first.unwrap_or_default();
    match lines.len().saturating_sub(1) {
        0 => first,
        others => format!("{first}; the same of {} more", plural(others, "line")),
    }
}

/// A line of the history that holds no event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line} of {} is damaged: it holds no event", path.display())]
pub struct CorruptLine {
    path: PathBuf,
    line: usize,
}

/// Events, oldest first, and the lines that hold none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredHistory {
    /// The events.
    pub events: Vec<EventRecord>,
    /// Lines that hold no event.
    pub corrupt: Vec<CorruptLine>,
}

impl History {
    /// The store in a directory, which need not be there yet; and what is wrong with what is there.
    pub fn open(directory: &Path) -> (Self, Vec<HistoryError>) {
        let history = Self {
            directory: directory.to_owned(),
            waiting: Vec::new(),
        };
        let files = [older(directory), newer(directory)];
        let complaints = files.iter().filter_map(|path| mend(path).err());
        (history, complaints.collect())
    }

    /// Takes an event. Writes it and all that wait if it must not be lost, or if many do.
    ///
    /// # Errors
    /// If it cannot be written; what waited is lost then, as memory must not fill up.
    pub fn note(&mut self, event: &EventRecord) -> Result<(), HistoryError> {
        let is_urgent = event.event.delivery().urgency == Urgency::AtOnce;
        self.waiting.push(event.clone());
        if is_urgent || self.waiting.len() >= MOST_WAITING {
            self.write()
        } else {
            Ok(())
        }
    }

    /// What is not written yet.
    pub fn waiting(&self) -> &[EventRecord] {
        &self.waiting
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// If that cannot be; it is lost then.
    pub fn write(&mut self) -> Result<(), HistoryError> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let path = newer(&self.directory);
        let failed = |source| HistoryError::File {
            verb: "write",
            path: path.clone(),
            source,
        };
        append(&self.directory, &path, &waiting).map_err(failed)
    }
}

fn append(directory: &Path, path: &Path, events: &[EventRecord]) -> io::Result<()> {
    let mut lines = Vec::new();
    for event in events {
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
    }
    fs::create_dir_all(directory)?;
    let length = fs::metadata(path).map_or(0, |file| file.len());
    if length + lines.len() as u64 > FULL && length > 0 {
        fs::rename(path, older(directory))?;
    }
    let mut options = OpenOptions::new();
    let mut file = state_file::open(path, options.create(true).append(true))?;
    let file_length = file.metadata()?.len();
    if let Err(error) = file.write_all(&lines) {
        // What comes next is not to follow half a line. If not even that can be done, it is mended at
        // the next start.
        let _ = file.set_len(file_length);
        return Err(error);
    }
    // A switch is most worth knowing after the power cut that followed it.
    file.sync_data()
}

/// Everything that was written, oldest first.
///
/// # Errors
/// If there is a file that cannot be read.
pub fn read(directory: &Path) -> Result<StoredHistory, HistoryError> {
    let mut stored = StoredHistory::default();
    // The agent may make the newer file the older one meanwhile: read in this order it is read twice
    // rather than not at all.
    let (newer, older) = (newer(directory), older(directory));
    let newer_text = text(&newer)?;
    let older_text = text(&older)?;
    let is_rotated = !newer_text.is_empty() && older_text.starts_with(&newer_text);
    stored.add(&older, &older_text);
    if !is_rotated {
        stored.add(&newer, &newer_text);
    }
    Ok(stored)
}

impl StoredHistory {
    fn add(&mut self, path: &Path, text: &[u8]) {
        for (content, line) in whole_lines(text).zip(1..) {
            match read_line(content) {
                HistoryLine::Event(event) => self.events.push(*event),
                HistoryLine::Skipped => {}
                HistoryLine::Corrupt => self.corrupt.push(CorruptLine {
                    path: path.to_owned(),
                    line,
                }),
            }
        }
    }
}

/// What a line of a file holds.
enum HistoryLine {
    Event(Box<EventRecord>),
    /// Nothing, or an event that this version does not know.
    Skipped,
    Corrupt,
}

fn read_line(content: &[u8]) -> HistoryLine {
    /// What the events of all versions have.
    #[derive(serde::Deserialize)]
    struct AnyEvent {
        #[serde(rename = "at")]
        _at: Timestamp,
        #[serde(rename = "event")]
        _event: String,
    }
    if let Ok(event) = json::read(content) {
        HistoryLine::Event(event)
    } else if content.trim_ascii().is_empty() || json::read::<AnyEvent>(content).is_ok() {
        HistoryLine::Skipped
    } else {
        HistoryLine::Corrupt
    }
}

/// Cuts off a torn line, and sets a file aside that is none of ours.
fn mend(path: &Path) -> Result<(), HistoryError> {
    let failed = |verb| {
        move |source| HistoryError::File {
            verb,
            path: path.to_owned(),
            source,
        }
    };
    let text = match state_file::read(path, MOST_READ) {
        Err(source) if state_file::is_foreign(&source) => {
            let aside = path.with_extension("corrupt");
            fs::rename(path, &aside).map_err(failed("set aside"))?;
            let path = path.to_owned();
            return Err(HistoryError::Foreign {
                path,
                aside,
                source,
            });
        }
        read => read.map_err(failed("read"))?.unwrap_or_default(),
    };
    let whole = end_of_lines(&text);
    let mut stored = StoredHistory::default();
    stored.add(path, &text);
    let StoredHistory { events, corrupt } = stored;
    if events.is_empty()
        && let Some(fault) = corrupt.first()
    {
        let aside = path.with_extension("corrupt");
        fs::rename(path, &aside).map_err(failed("set aside"))?;
        let fault = fault.clone();
        return Err(HistoryError::Corrupt { fault, aside });
    }
    if whole < text.len() {
        let file = state_file::open(path, OpenOptions::new().write(true));
        let cut = file.and_then(|file| file.set_len(whole as u64));
        cut.map_err(failed("mend"))?;
    }
    if corrupt.is_empty() {
        Ok(())
    } else {
        Err(HistoryError::Damaged(corrupt))
    }
}

/// The content of a file; nothing if there is none.
fn text(path: &Path) -> Result<Vec<u8>, HistoryError> {
    let read = state_file::read(path, MOST_READ).map(Option::unwrap_or_default);
    read.map_err(|source| HistoryError::File {
        verb: "read",
        path: path.to_owned(),
        source,
    })
}

/// Without what follows the last end of a line.
fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text[..end_of_lines(text)].split_inclusive(|byte| *byte == b'\n')
}

/// How long the text is up to the last end of a line.
fn end_of_lines(text: &[u8]) -> usize {
    let last = text.iter().rposition(|byte| *byte == b'\n');
    last.map_or(0, |last| last + 1)
}

fn newer(directory: &Path) -> PathBuf {
    directory.join("history.jsonl")
}

fn older(directory: &Path) -> PathBuf {
    directory.join("history.old.jsonl")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::engine::event::EventKind;
    use crate::units::sorted::SortedSet;

    fn event(kind: EventKind, number: u64) -> EventRecord {
        EventRecord {
            at: Timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(number)),
            event: kind,
            group: None,
            family: None,
            uplink: None,
            interface: None,
            network: None,
            from: None,
            to: None,
            reason: format!("number {number}"),
            prefixes: SortedSet::new(),
            cause: None,
            took_us: None,
            recovery_ms: None,
            flows_moved: None,
            drill: None,
            broken_at: None,
        }
    }

    fn written(directory: &Path, count: u64) -> Vec<EventRecord> {
        let (mut history, complaints) = History::open(directory);
        assert!(complaints.is_empty(), "{complaints:?}");
        let events: Vec<_> = (0..count)
            .map(|number| event(EventKind::Switch, number))
            .collect();
        for event in &events {
            history.note(event).expect("written");
        }
        events
    }

    #[test]
    fn a_switch_is_written_at_once_and_takes_along_what_waited() {
        let directory = tempfile::tempdir().expect("a directory");
        let deeper = directory.path().join("state");
        let (mut history, _) = History::open(&deeper);
        history
            .note(&event(EventKind::UplinkDown, 1))
            .expect("it waits");
        assert_eq!(read(&deeper).expect("nothing yet").events, []);
        assert_eq!(history.waiting().len(), 1);
        history.note(&event(EventKind::Switch, 2)).expect("written");
        assert_eq!(read(&deeper).expect("there").events.len(), 2);
        history
            .note(&event(EventKind::UplinkUp, 3))
            .expect("it waits");
        history.write().expect("written");
        assert_eq!(read(&deeper).expect("there").events.len(), 3);
    }

    #[test]
    fn an_agent_that_is_killed_after_its_start_has_started_and_that_is_one_write() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut history, _) = History::open(directory.path());
        for kind in [
            EventKind::UplinkUp,
            EventKind::AgentStarted,
            EventKind::UplinkUp,
        ] {
            history.note(&event(kind, 1)).expect("noted");
        }
        assert_eq!(history.waiting().len(), 1);
        drop(history);
        let kept = read(directory.path()).expect("there").events;
        assert_eq!(
            kept.last().map(|last| last.event),
            Some(EventKind::AgentStarted)
        );
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn two_hundred_power_cuts_lose_the_torn_line_at_most() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = newer(directory.path());
        let events = written(directory.path(), 30);
        let whole = fs::read(&path).expect("there");
        for cut in 0..200 {
            // A stride that is prime to the length visits most of it.
            let length = cut * 7919 % (whole.len() + 1);
            fs::write(&path, &whole[..length]).expect("cut");
            let complete = whole_lines(&whole[..length]).count();
            let (mut history, complaints) = History::open(directory.path());
            assert!(complaints.is_empty(), "cut at {length}: {complaints:?}");
            history
                .note(&event(EventKind::Switch, 99))
                .expect("written");
            let past = read(directory.path()).expect("there");
            assert_eq!(past.corrupt, [], "cut at {length}");
            assert_eq!(
                past.events[..complete],
                events[..complete],
                "cut at {length}"
            );
            assert_eq!(past.events.len(), complete + 1, "cut at {length}");
        }
    }

    #[test]
    fn a_damaged_line_is_named_and_costs_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let events = written(directory.path(), 3);
        let path = newer(directory.path());
        let text = fs::read_to_string(&path).expect("there");
        fs::write(&path, text.replacen('{', "", 1)).expect("written");
        let (mut history, complaints) = History::open(directory.path());
        let [complaint @ HistoryError::Damaged(lines)] = &complaints[..] else {
            panic!("{complaints:?}");
        };
        let said = complaint.to_string();
        assert!(
            said.starts_with("line ") && said.contains("history.jsonl"),
            "{said}"
        );
        history.note(&event(EventKind::Switch, 3)).expect("written");
        let past = read(directory.path()).expect("there");
        assert_eq!(past.corrupt, *lines);
        assert_eq!(past.events.len(), events.len() - lines.len() + 1);
    }

    #[test]
    fn a_file_of_something_else_is_set_aside_and_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = newer(directory.path());
        let text = *b"\0\0garbage\n";
        fs::write(&path, text).expect("written");
        let (mut history, complaints) = History::open(directory.path());
        let complaint = complaints.first().expect("a complaint").to_string();
        assert!(
            complaint.contains("line 1 of ") && complaint.contains("history.corrupt"),
            "{complaint}"
        );
        assert_eq!(
            fs::read(path.with_extension("corrupt")).expect("kept"),
            text
        );
        history.note(&event(EventKind::Switch, 3)).expect("written");
        assert_eq!(read(directory.path()).expect("there").events.len(), 1);
    }

    #[test]
    fn what_is_no_file_and_what_is_far_too_long_is_set_aside_and_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&older(directory.path()), mode).expect("a pipe");
        let endless = fs::File::create(newer(directory.path())).expect("a file");
        endless.set_len(1 << 40).expect("a sparse file");
        let (mut history, complaints) = History::open(directory.path());
        let said: Vec<_> = complaints.iter().map(ToString::to_string).collect();
        for (said, name) in said.iter().zip(["history.old.", "history."]) {
            assert!(said.contains(&format!("{name}jsonl")), "{said}");
            assert!(said.contains(&format!("aside as {}", directory.path().display())));
            assert!(
                directory
                    .path()
                    .join(format!("{name}corrupt"))
                    .symlink_metadata()
                    .is_ok()
            );
        }
        assert_eq!(said.len(), 2, "{said:?}");
        history.note(&event(EventKind::Switch, 1)).expect("written");
        assert_eq!(read(directory.path()).expect("read").events.len(), 1);
    }

    #[test]
    fn a_pipe_that_comes_into_its_place_keeps_no_caller_waiting() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut history, _) = History::open(directory.path());
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&newer(directory.path()), mode).expect("a pipe");
        let error = history
            .note(&event(EventKind::Switch, 1))
            .expect_err("no file");
        assert!(error.to_string().contains("history.jsonl"), "{error}");
    }

    #[test]
    fn however_much_happens_it_takes_half_a_megabyte_and_keeps_the_newest() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut history, _) = History::open(directory.path());
        for number in 0..20_000 {
            history
                .note(&event(EventKind::UplinkDown, number))
                .expect("written");
        }
        history.write().expect("written");
        let files = [older(directory.path()), newer(directory.path())];
        let size: u64 = files
            .iter()
            .map(|file| fs::metadata(file).expect("there").len())
            .sum();
        assert!(size <= 2 * FULL, "{size}");
        let past = read(directory.path()).expect("there");
        assert_eq!(
            past.events.last(),
            Some(&event(EventKind::UplinkDown, 19_999))
        );
        assert!(past.events.len() > 1_000, "{}", past.events.len());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_each_time_and_fills_no_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("written");
        let (mut history, _) = History::open(&file.join("state"));
        for number in 0..3 {
            let error = history
                .note(&event(EventKind::Switch, number))
                .expect_err("no directory");
            assert!(error.to_string().contains("history.jsonl"), "{error}");
            assert_eq!(history.waiting().len(), 0);
        }
    }
}
