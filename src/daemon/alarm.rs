//! The engine's next timeout, by a timer of the kernel.
//!
//! The runtime's own timers are a wheel: a sleep of a second wakes twice, and on an idle router
//! wake-ups are what the agent costs.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::clock::Clock;
use crate::units::Moment;

/// A timer that can be waited for.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<Timer>,
    /// When it goes off; none if it does not.
    due: Option<Moment>,
}

#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    #[expect(
        unsafe_code,
        reason = "tokio asks for the promise that the descriptor stays open"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = Timer(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        // SAFETY: the timer owns its descriptor and lives in the registration, which never lets it
        // out.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? };
        Ok(Self { timer, due: None })
    }

    /// Goes off at `due`, or never; what was set before no longer holds.
    pub(super) fn set(&mut self, due: Option<Moment>, clock: Clock) -> io::Result<()> {
        if due == self.due {
            return Ok(());
        }
        self.due = due;
        let timer = &self.timer.get_ref().0;
        match due.map(|due| due.since(clock.now())) {
            // Zero would stop it.
            Some(span) => timer.set(
                Expiration::OneShot(TimeSpec::from(span.max(Duration::from_nanos(1)))),
                TimerSetTimeFlags::empty(),
            )?,
            None => timer.unset()?,
        }
        Ok(())
    }

    /// Waits until it goes off.
    pub(super) async fn wait(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.timer.readable().await?;
            let read = guard.try_io(|timer| {
                let mut expirations = [0; 8];
                nix::unistd::read(&timer.get_ref().0, &mut expirations)?;
                Ok(())
            });
            match read {
                Ok(result) => {
                    self.due = None;
                    return result;
                }
                Err(_would_block) => {}
            }
        }
    }
}
