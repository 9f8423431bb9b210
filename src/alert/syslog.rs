//! Syslog, in the form that glibc writes and that busybox's syslogd, OpenWrt's logd and rsyslog
//! expect on the local socket: RFC 3164 without a host name.

use std::path::{Path, PathBuf};
use std::process;

use tracing::Level;

use super::clock::LocalTime;
use super::datagram::Datagram;
use super::record::{Record, cut};

/// Where a syslog daemon listens.
pub(super) const PATH: &str = "/dev/log";

/// A connection to a syslog daemon.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    datagram: Datagram,
}

impl Syslog {
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            datagram: Datagram::to(path),
        }
    }

    /// A daemon listens, or did until it restarts.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    pub(super) fn write(&mut self, record: &Record) {
        let now = LocalTime::now();
        self.datagram.send(&line(record, now), |lost| {
            let text = format!("lines of this log that were lost: {lost}");
            line(&Record::new(Level::WARN, text), now)
        });
    }
}

/// `<PRI>Mmm dd hh:mm:ss uplinkd[pid]: text`. busybox puts a time of its own before a line without
/// one; OpenWrt's logd cuts off 16 bytes if the last of them is a space.
fn line(record: &Record, now: LocalTime) -> Vec<u8> {
    let priority = DAEMON * 8 + record.severity();
    let time = now.syslog();
    let id = process::id();
    let mut line = format!("<{priority}>{time} uplinkd[{id}]: {}", record.text());
    if line.len() > MAX_BYTES {
        cut(&mut line, MAX_BYTES - '…'.len_utf8());
        line.push('…');
    }
    line.into_bytes()
}

/// The facility (RFC 3164, 4.1.1).
const DAEMON: u8 = 3;
/// The longest line of RFC 3164, 4.1.
const MAX_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_line_has_the_form_that_local_syslog_daemons_expect() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        let mut record = Record::new(Level::WARN, "uplink.down".to_owned());
        record.fields.push(("uplink", "fiber".to_owned()));
        Syslog::at(&path).write(&record);

        let mut buffer = [0; 2048];
        let length = daemon.recv(&mut buffer).expect("a line");
        let line = std::str::from_utf8(&buffer[..length]).expect("a text");
        let (priority, rest) = line.split_at(4);
        assert_eq!(priority, "<28>", "daemon.warning");
        assert_eq!(rest.as_bytes()[15], b' ', "{line}");
        let expected = format!("uplinkd[{}]: uplink.down uplink=fiber", process::id());
        assert_eq!(&rest[16..], expected);
    }

    #[test]
    fn a_long_line_is_cut_between_two_characters() {
        let record = Record::new(Level::INFO, "ä".repeat(1000));
        let line = line(&record, LocalTime::now());
        assert!(line.len() <= MAX_BYTES);
        assert!(String::from_utf8(line).expect("a text").ends_with("ä…"));
    }
}
