//! A datagram socket to a log daemon that may restart, be slow or not be there.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Sends without waiting, connects anew when the daemon was restarted, and counts what was lost.
#[derive(Debug)]
pub(super) struct Datagram {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    lost: u64,
}

impl Datagram {
    pub(super) fn to(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            socket: None,
            lost: 0,
        }
    }

    /// Sends a message, and before it `confession` of how many were lost, if any were.
    pub(super) fn send(&mut self, message: &[u8], confession: impl Fn(u64) -> Vec<u8>) {
        if self.lost > 0 && self.try_send(&confession(self.lost)).is_ok() {
            self.lost = 0;
        }
        if self.lost > 0 || self.try_send(message).is_err() {
            self.lost += 1;
        }
    }

    fn try_send(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(message) {
                Ok(_) => return Ok(()),
                Err(error) if is_busy(&error) => return Err(error),
                Err(_) => self.socket = None,
            }
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        socket.send(message)?;
        self.socket = Some(socket);
        Ok(())
    }
}

/// The daemon is there, and its queue is full.
fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confession(lost: u64) -> Vec<u8> {
        format!("lost {lost}").into_bytes()
    }

    fn heard(daemon: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 64];
        std::iter::from_fn(|| {
            daemon
                .recv(&mut buffer)
                .ok()
                .map(|length| buffer[..length].to_vec())
        })
        .map(|line| String::from_utf8(line).expect("a text"))
        .collect()
    }

    #[test]
    fn a_daemon_that_was_away_hears_how_much_it_missed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut log = Datagram::to(&path);
        log.send(b"1", confession);
        let daemon = listen(&path);
        log.send(b"22", confession);
        assert_eq!(heard(&daemon), ["lost 1", "22"]);

        drop(daemon);
        log.send(b"333", confession);
        std::fs::remove_file(&path).expect("the old socket");
        let daemon = listen(&path);
        log.send(b"4444", confession);
        assert_eq!(heard(&daemon), ["lost 1", "4444"]);
    }

    #[test]
    fn a_daemon_that_does_not_read_delays_no_sender_and_is_sent_how_much_it_missed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let daemon = listen(&path);
        let mut log = Datagram::to(&path);
        for _ in 0..10_000 {
            log.send(b"1", confession);
        }
        let before = heard(&daemon).len();
        assert!(before < 10_000);
        log.send(b"22", confession);
        let lost = format!("lost {}", 10_000 - before);
        assert_eq!(heard(&daemon), [lost, "22".to_owned()]);
    }

    fn listen(path: &Path) -> UnixDatagram {
        let daemon = UnixDatagram::bind(path).expect("a socket");
        daemon.set_nonblocking(true).expect("a socket");
        daemon
    }
}
