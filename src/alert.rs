//! The log: what people read, wherever they keep it.
//!
//! A level has a meaning. ERROR: someone must act now. WARN: someone should look today. INFO: a
//! change of state, with its reason. DEBUG: each probe. `UPLINKD_LOG` chooses the least that is
//! kept (`error`, `warn`, `info`, `debug`, `trace`).
//!
//! Nothing here waits: a log that does not take a line loses it, and is told how many were lost.

mod clock;
mod datagram;
mod hooks;
mod journal;
mod record;
mod stderr;
mod syslog;

use std::collections::BTreeSet;
use std::env;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::config::LogSink;
use crate::engine::status::EventRecord;
pub use hooks::Hooks;
use journal::Journal;
use record::Record;
use stderr::Stderr;
use syslog::Syslog;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `UPLINKD_LOG` names no level.
    #[error("UPLINKD_LOG={0}: must be error, warn, info, debug or trace")]
    Level(String),
    /// This process has a log already.
    #[error("the log is open already")]
    Twice,
}

/// Opens the log of this process.
pub fn init(sink: LogSink) -> Result<(), InitError> {
    let log = Arc::new(Log {
        level: level()?,
        sink: Mutex::new(Sink::open(sink)),
    });
    // The netlink crates speak through `log`, and much of what they say is of no use here.
    log::set_boxed_logger(Box::new(Foreign(Arc::clone(&log)))).map_err(|_| InitError::Twice)?;
    log::set_max_level(log::LevelFilter::Warn);
    tracing::subscriber::set_global_default(log).map_err(|_| InitError::Twice)
}

fn level() -> Result<Level, InitError> {
    match env::var("UPLINKD_LOG") {
        Ok(name) if !name.is_empty() => name.parse().map_err(|_| InitError::Level(name)),
        Ok(_) | Err(_) => Ok(Level::INFO),
    }
}

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Journal(Journal),
    Syslog(Syslog),
    Stderr(Stderr),
}

impl Sink {
    fn open(sink: LogSink) -> Self {
        let is_of_service = !std::io::stderr().is_terminal();
        let has_syslog = Path::new(syslog::PATH).exists();
        match sink {
            LogSink::Journald => Self::Journal(Journal::at(Path::new(journal::PATH))),
            LogSink::Syslog => Self::Syslog(Syslog::at(Path::new(syslog::PATH))),
            LogSink::Stderr => Self::Stderr(Stderr::open()),
            LogSink::Auto if is_journal_on_stderr() => Self::open(LogSink::Journald),
            LogSink::Auto if has_syslog && is_of_service => Self::open(LogSink::Syslog),
            LogSink::Auto => Self::open(LogSink::Stderr),
        }
    }

    fn write(&mut self, record: &Record) {
        match self {
            Self::Journal(journal) => journal.write(record),
            Self::Syslog(syslog) => syslog.write(record),
            Self::Stderr(stderr) => stderr.write(record),
        }
    }
}

/// systemd says so in `JOURNAL_STREAM` (systemd.exec(5)), which a child may have inherited with
/// another standard error.
fn is_journal_on_stderr() -> bool {
    let named = env::var("JOURNAL_STREAM").unwrap_or_default();
    let device_and_inode = fstat(std::io::stderr())
        .map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino))
        .unwrap_or_default();
    !named.is_empty() && named == device_and_inode
}

/// The subscriber. There are no spans: a line stands for itself.
#[derive(Debug)]
struct Log {
    level: Level,
    sink: Mutex<Sink>,
}

impl Log {
    fn write(&self, record: &Record) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write(record);
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        self.write(&Record::of(event));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What crates say that speak through `log`.
struct Foreign(Arc<Log>);

impl log::Log for Foreign {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, line: &log::Record<'_>) {
        if self.enabled(line.metadata()) {
            self.0.write(&Record::foreign(line));
        }
    }

    fn flush(&self) {}
}

/// On one line, apart by spaces.
fn words<T: ToString>(items: &BTreeSet<T>) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(" ")
}

/// One line in the log for each event; the level says who should look, and when.
pub fn tell(record: &EventRecord) {
    let EventRecord {
        event,
        group,
        uplink,
        interface,
        from,
        to,
        reason,
        prefixes,
        took_us,
        flows_moved,
        ..
    } = record;
    let prefixes = (!prefixes.is_empty()).then(|| words(prefixes));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                group = group.as_ref().map(tracing::field::display),
                uplink = uplink.as_ref().map(tracing::field::display),
                interface = interface.as_ref().map(tracing::field::display),
                from = from.as_ref().map(tracing::field::display),
                to = to.as_ref().map(tracing::field::display),
                why = reason,
                prefixes,
                took_us,
                flows_moved,
                "{event}"
            )
        };
    }
    match event.as_str() {
        "no_usable_uplink" | "switch.stranded" | "config.refused" => line!(error),
        "uplink.down" | "flap.penalty" | "standby.unready" => line!(warn),
        _ => line!(info),
    }
}
