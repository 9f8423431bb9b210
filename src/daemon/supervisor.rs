//! Notifications to the supervisor by sd_notify(3), where `NOTIFY_SOCKET` names a listener.
//!
//! The loop itself resets the watchdog: an agent whose loop is stuck is restarted.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::units::Moment;

/// The supervisor, if it accepts notifications.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often the watchdog is reset.
    every: Option<Duration>,
    fed: Moment,
    is_ready: bool,
}

impl Supervisor {
    /// The one that started this process, by its environment.
    pub(super) fn of_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|_| is_ours);
        Self::at(&name, limit.map(Duration::from_micros)).unwrap_or_else(|error| {
            tracing::warn!(%error, ?name, "the supervisor at NOTIFY_SOCKET cannot be notified");
            Self::default()
        })
    }

    /// At a path, or at an abstract name that begins with `@`.
    fn at(name: &OsStr, limit: Option<Duration>) -> io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Self {
            socket: Some(socket),
            every: limit.map(|limit| limit / 3),
            ..Self::default()
        })
    }

    /// The agent has observed the machine and decides. Sent once.
    pub(super) fn ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.tell("READY=1");
        }
    }

    /// The configuration is read again; [`Supervisor::reloaded`] when that is over.
    pub(super) fn reloading(&self) {
        let clock = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now = clock.unwrap_or_default().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    pub(super) fn reloaded(&self) {
        self.tell("READY=1");
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The loop has completed a round.
    pub(super) fn feed(&mut self, now: Moment) {
        if self.due().is_some_and(|due| due <= now) {
            self.fed = now;
            self.tell("WATCHDOG=1");
        }
    }

    /// When the loop must have completed the next round.
    pub(super) fn due(&self) -> Option<Moment> {
        Some(self.fed + self.every?)
    }

    fn tell(&self, news: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(news.as_bytes())
        {
            tracing::debug!(%error, news, "the supervisor does not listen");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(supervisor: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = supervisor.recv(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn the_watchdog_is_fed_three_times_within_its_limit_and_readiness_is_said_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let ear = UnixDatagram::bind(&path).expect("a socket");
        ear.set_nonblocking(true).expect("a socket");
        let limit = Some(Duration::from_secs(30));
        let mut supervisor = Supervisor::at(path.as_os_str(), limit).expect("connected");
        supervisor.ready();
        supervisor.ready();
        assert_eq!(heard(&ear), "READY=1");
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        let mut fed = 0;
        for second in 1..=30 {
            supervisor.feed(at(second));
            fed += usize::from(heard(&ear) == "WATCHDOG=1");
        }
        assert_eq!(fed, 3);
        supervisor.reloading();
        assert!(heard(&ear).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        supervisor.stopping();
        assert_eq!(heard(&ear), "STOPPING=1");
    }

    #[test]
    fn an_abstract_socket_is_reached() {
        let name = format!("uplinkd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let ear = UnixDatagram::bind_addr(&address).expect("a socket");
        let name = format!("@{name}");
        let mut supervisor = Supervisor::at(OsStr::new(&name), None).expect("connected");
        supervisor.ready();
        assert_eq!(heard(&ear), "READY=1");
        assert_eq!(supervisor.due(), None);
    }
}
