//! What the machine takes for itself: how late it wakes a thread that sleeps, and how late it changes
//! a link.
//!
//! A bound on a time is a bound on the agent. The agent is woken as late as any other thread, and
//! the kernel has one lock for the links and routes of all namespaces (`rtnl_mutex`), which the end of
//! other namespaces holds for up to seconds on a busy machine. So the delays that this thread meets in
//! that time are added to the bound: none on an idle machine.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::event::LabEvent;
use crate::lab::netlink::Netlink;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::lab::stream::TimeRange;

/// As often as an agent in doubt has something to do.
const NAP: Duration = Duration::from_millis(5);
/// A machine that wakes a thread so late stands still.
const STALL: Duration = Duration::from_millis(100);
/// What an idle machine takes.
const USUAL: Duration = Duration::from_micros(200);

/// Measures until the handle is dropped.
pub(super) fn start(sink: Sender<LabEvent>) -> Result<ShutdownHandle, LabError> {
    let start = || {
        let (handle, shutdown) = shutdown::pair()?;
        let mut kernel = Netlink::open()?;
        thread::Builder::new()
            .name("machine-delay".to_owned())
            .spawn(move || measure(&sink, &shutdown, &mut kernel))?;
        Ok::<_, io::Error>(handle)
    };
    start().doing(|| "measure the delays of the machine".to_owned())
}

fn measure(sink: &Sender<LabEvent>, shutdown: &Shutdown, kernel: &mut Netlink) {
    while !shutdown.is_requested() {
        let due = clock::now() + NAP;
        let mut watched = [PollFd::new(shutdown.as_fd(), PollFlags::POLLIN)];
        let napped = ppoll(&mut watched, Some(NAP.into()), None);
        let answer = kernel.wait_for_lock();
        let late = TimeRange {
            from: due,
            to: clock::now(),
        };
        let is_unusual = late.to.since(late.from) > USUAL;
        let is_over = is_unusual && sink.send(LabEvent::Delay(late)).is_err();
        if is_over || answer.is_err() || !matches!(napped, Ok(_) | Err(Errno::EINTR)) {
            return;
        }
    }
}

/// All delays so far, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct MachineDelays(Vec<TimeRange>);

impl MachineDelays {
    /// Takes one in.
    pub(super) fn add(&mut self, delay: TimeRange) {
        self.0.push(delay);
    }

    /// How much of a range of time they take.
    pub(super) fn within(&self, range: TimeRange) -> Duration {
        self.longer_than(Duration::ZERO, range)
    }

    /// How much of a range of time the machine stands still in.
    pub(super) fn stalls(&self, range: TimeRange) -> Duration {
        self.longer_than(STALL, range)
    }

    fn longer_than(&self, least: Duration, range: TimeRange) -> Duration {
        let first = self.0.partition_point(|delay| delay.to < range.from);
        let inside = self.0[first..]
            .iter()
            .take_while(|delay| delay.from <= range.to);
        let taken = |delay: &TimeRange| {
            let end = delay.to.min(range.to);
            end.since(delay.from.max(range.from))
        };
        let long = inside.filter(|delay| delay.to.since(delay.from) >= least);
        long.map(taken).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Moment;

    fn range(from: u64, to: u64) -> TimeRange {
        let at = |milliseconds| Moment::after_start(Duration::from_millis(milliseconds));
        TimeRange {
            from: at(from),
            to: at(to),
        }
    }

    #[test]
    fn of_a_delay_only_what_lies_in_the_range_counts() {
        let mut delays = MachineDelays::default();
        for (from, to) in [(10, 15), (20, 28), (40, 41), (70, 90)] {
            delays.add(range(from, to));
        }
        assert_eq!(delays.within(range(16, 80)), Duration::from_millis(19));
        assert_eq!(delays.within(range(24, 60)), Duration::from_millis(5));
        assert_eq!(delays.within(range(30, 39)), Duration::ZERO);
    }

    #[test]
    fn a_machine_stands_still_in_long_delays_only() {
        let mut delays = MachineDelays::default();
        for (from, to) in [(10, 60), (100, 250)] {
            delays.add(range(from, to));
        }
        assert_eq!(delays.stalls(range(0, 200)), Duration::from_millis(100));
    }
}
