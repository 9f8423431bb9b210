//! journald, by its native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>), so that
//! `journalctl UPLINKD_UPLINK=fiber` finds what happened to one uplink.

use std::fmt::Write;
use std::path::Path;

use tracing::Level;

use super::datagram::Datagram;
use super::record::{Record, cut};

/// Where journald listens.
pub(super) const PATH: &str = "/run/systemd/journal/socket";

/// A connection to journald.
#[derive(Debug)]
pub(super) struct Journal(Datagram);

impl Journal {
    pub(super) fn at(path: &Path) -> Self {
        Self(Datagram::to(path))
    }

    pub(super) fn write(&mut self, record: &Record) {
        self.0.send(&entry(record), |lost| {
            let text = format!("lines of this log that were lost: {lost}");
            entry(&Record::new(Level::WARN, text))
        });
    }
}

/// One entry: a line for each field. Larger ones than fit into a datagram would need a file of
/// their own; a line of this log is far from that.
fn entry(record: &Record) -> Vec<u8> {
    let mut text = record.text();
    cut(&mut text, MAX_BYTES);
    let mut entry = format!(
        "MESSAGE={text}\nPRIORITY={}\nSYSLOG_IDENTIFIER=uplinkd\n",
        record.severity()
    );
    for (name, value) in &record.fields {
        let mut value = value.replace(char::is_control, " ");
        cut(&mut value, MAX_BYTES);
        entry.push_str("UPLINKD_");
        entry.extend(name.chars().map(field_character));
        let _ = writeln!(entry, "={value}");
    }
    entry.into_bytes()
}

/// journald takes names of capital letters, digits and underscores.
fn field_character(c: char) -> char {
    if c.is_ascii_alphanumeric() {
        c.to_ascii_uppercase()
    } else {
        '_'
    }
}

const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_carries_the_uplink_as_a_field() {
        let mut record = Record::new(Level::ERROR, "no usable\nuplink".to_owned());
        record.fields.push(("uplink", "fiber".to_owned()));
        record.fields.push(("took_us", "12".to_owned()));
        assert_eq!(
            String::from_utf8(entry(&record)).expect("a text"),
            "MESSAGE=no usable uplink uplink=fiber took_us=12\n\
             PRIORITY=3\n\
             SYSLOG_IDENTIFIER=uplinkd\n\
             UPLINKD_UPLINK=fiber\n\
             UPLINKD_TOOK_US=12\n"
        );
    }
}
