//! The log: what people read, wherever they keep it.
//!
//! A level has a meaning. ERROR: someone must act now. WARN: someone should look today. INFO: a
//! change of state, with its reason. DEBUG: each probe. `UPLINKD_LOG` chooses the least that is
//! kept (`error`, `warn`, `info`, `debug`, `trace`).
//!
//! Nothing here waits: a log that does not take a line loses it, and then gets the number of lost ones.

mod clock;
mod datagram;
mod hook_files;
mod hook_run;
mod hooks;
mod journal;
mod record;
mod repeats;
mod stderr;
mod syslog;

use std::env;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::config::LogSink;
use crate::engine::event::Severity;
use crate::engine::event::record::EventRecord;
use crate::units::sorted::SortedSet;
pub use clock::utc_offset;
pub use hook_files::HookFiles;
pub use hooks::Hooks;
use journal::Journal;
use record::Record;
pub use repeats::Repeats;
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
    /// To syslog whenever it is there.
    Service(Syslog, Stderr),
}

impl Sink {
    fn open(sink: LogSink) -> Self {
        let is_of_service = !std::io::stderr().is_terminal();
        match sink {
            LogSink::Journald => Self::Journal(Journal::at(Path::new(journal::PATH))),
            LogSink::Syslog => Self::Syslog(Syslog::at(Path::new(syslog::PATH))),
            LogSink::Stderr => Self::Stderr(Stderr::open()),
            LogSink::Auto if is_journal_on_stderr() => Self::open(LogSink::Journald),
            LogSink::Auto if is_of_service => {
                Self::Service(Syslog::at(Path::new(syslog::PATH)), Stderr::open())
            }
            LogSink::Auto => Self::open(LogSink::Stderr),
        }
    }

    fn write(&mut self, record: &Record) {
        match self {
            Self::Journal(journal) => journal.write(record),
            Self::Syslog(syslog) => syslog.write(record),
            Self::Service(syslog, _) if syslog.is_there() => syslog.write(record),
            Self::Stderr(stderr) | Self::Service(_, stderr) => stderr.write(record),
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
fn words<T: ToString>(items: &SortedSet<T>) -> String {
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
        recovery_ms,
        flows_moved,
        ..
    } = record;
    let prefixes = (!prefixes.is_empty()).then(|| words(prefixes));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                group = group.as_ref().map(tracing::field::display),
                family = record.family_key(),
                uplink = uplink.as_ref().map(tracing::field::display),
                interface = interface.as_ref().map(tracing::field::display),
                from = from.as_ref().map(tracing::field::display),
                to = to.as_ref().map(tracing::field::display),
                why = reason,
                prefixes,
                took_us,
                recovery_ms,
                flows_moved,
                "{event}"
            )
        };
    }
    match event.delivery().severity {
        Severity::Error => line!(error),
        Severity::Warning => line!(warn),
        Severity::Info => line!(info),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_service_speaks_to_syslog_as_soon_as_that_is_there_and_again_after_its_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut sink = Sink::Service(Syslog::at(&path), Stderr::open());
        let mut say = |text: &str| sink.write(&Record::new(Level::INFO, text.to_owned()));
        let heard = |daemon: &UnixDatagram| {
            let mut buffer = [0; 256];
            daemon.set_nonblocking(true).expect("a socket");
            let mut lines = Vec::new();
            while let Ok(length) = daemon.recv(&mut buffer) {
                let line = std::str::from_utf8(&buffer[..length]).expect("a text");
                lines.push(line.rsplit("]: ").next().unwrap_or_default().to_owned());
            }
            lines
        };
        say("to standard error");
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        say("one");
        assert_eq!(heard(&daemon), ["one"]);
        drop(daemon);
        std::fs::remove_file(&path).expect("the old socket");
        say("to standard error again");
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        say("two");
        assert_eq!(heard(&daemon), ["two"]);
    }
}
