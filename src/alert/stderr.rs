//! Standard error, for a terminal or a supervisor that keeps it.

use std::env;
use std::io::{self, IsTerminal, Write};

use tracing::Level;

use super::clock::LocalTime;
use super::record::Record;

/// Standard error.
#[derive(Debug)]
pub(super) struct Stderr {
    is_colourful: bool,
}

impl Stderr {
    pub(super) fn open() -> Self {
        let is_wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            is_colourful: is_wanted && io::stderr().is_terminal(),
        }
    }

    pub(super) fn write(&self, record: &Record) {
        let time = LocalTime::now().of_day();
        let level = self.level(record.level);
        let line = format!("{time} {level} {}\n", record.text());
        // Without a standard error it has no place left.
        drop(io::stderr().write_all(line.as_bytes()));
    }

    fn level(&self, level: Level) -> String {
        let colour = match level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            Level::DEBUG | Level::TRACE => 2,
        };
        if self.is_colourful {
            format!("\x1b[{colour}m{level:5}\x1b[0m")
        } else {
            format!("{level:5}")
        }
    }
}
