//! One line of the log before it has a form.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// What happened, and its fields in the order they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self::new(*event.metadata().level(), String::new());
        event.record(&mut record);
        record
    }

    pub(super) fn foreign(line: &log::Record<'_>) -> Self {
        let level = match line.level() {
            log::Level::Error => Level::ERROR,
            log::Level::Warn => Level::WARN,
            log::Level::Info => Level::INFO,
            log::Level::Debug => Level::DEBUG,
            log::Level::Trace => Level::TRACE,
        };
        Self::new(level, format!("{}: {}", line.target(), line.args()))
    }

    pub(super) fn new(level: Level, message: String) -> Self {
        Self {
            level,
            message,
            fields: Vec::new(),
        }
    }

    /// The priority of syslog (RFC 5424, 6.2.1), which journald takes as well.
    pub(super) fn severity(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        }
    }

    /// On one line, whatever the parts contain.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(128);
        text.extend(self.message.chars().map(printable));
        for (name, value) in &self.fields {
            let has_gap = value.is_empty() || value.contains([' ', '"', '=']);
            let quote = if has_gap { "\"" } else { "" };
            let _ = write!(text, " {name}={quote}");
            text.extend(value.chars().map(printable));
            text.push_str(quote);
        }
        text
    }
}

/// Cuts a text to a number of bytes, between two characters.
pub(super) fn cut(text: &mut String, max_bytes: usize) {
    let is_end = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=max_bytes.min(text.len())).rev().find(is_end);
    text.truncate(end.unwrap_or(0));
}

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.record_str(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_it_contains() {
        let mut record = Record::new(Level::WARN, "two\nlines".to_owned());
        record.fields.push(("why", "said \u{7}it".to_owned()));
        record.fields.push(("uplink", "fiber".to_owned()));
        assert_eq!(record.text(), "two lines why=\"said  it\" uplink=fiber");
    }
}
