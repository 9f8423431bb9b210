//! Named timers: every deadline says why it exists.

use std::fmt;

use crate::engine::ids::UplinkId;
use crate::units::Moment;

/// What has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineOwner {
    /// A timer of an uplink, or its next round of probes.
    Uplink(UplinkId),
    /// A group that chooses anew.
    Group,
    /// A suppression that ends.
    Damping,
    /// A silence of which it is open whether a target or an uplink is at fault.
    Isolation,
    /// A drain that ends.
    Drain,
    /// A drill that goes on.
    Drill,
    /// The stay of flows on an uplink that the traffic has left.
    KeptFlows,
}

impl fmt::Display for DeadlineOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uplink(id) => write!(f, "uplink number {}", id.index() + 1),
            Self::Group => f.write_str("a group"),
            Self::Damping => f.write_str("the damping"),
            Self::Isolation => f.write_str("the isolation of faults"),
            Self::Drain => f.write_str("a drain"),
            Self::Drill => f.write_str("a drill"),
            Self::KeptFlows => f.write_str("the flows that stay"),
        }
    }
}

/// The first of several deadlines; of two at a time, the one that was considered first.
#[derive(Default)]
pub(super) struct FirstDeadline(Option<(Moment, DeadlineOwner)>);

impl FirstDeadline {
    pub(super) fn consider(&mut self, at: Option<Moment>, owner: DeadlineOwner) {
        if let Some(at) = at
            && self.0.is_none_or(|(first, _)| at < first)
        {
            self.0 = Some((at, owner));
        }
    }

    pub(super) fn get(self) -> Option<(Moment, DeadlineOwner)> {
        self.0
    }
}

/// The first of two deadlines.
pub(super) fn sooner(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Why an uplink wants to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UplinkTimer {
    /// The oldest unanswered probe is missed unless its answer comes by now.
    Deadline,
    /// The uplink has answered for long enough to be trusted again, unless something happens.
    Recover,
    /// The counters are worth reading before the next probe.
    Count,
    /// Nothing has answered for so long that it is an outage, whatever changed meanwhile.
    Silence,
}

const COUNT: usize = 4;

/// The timers of one uplink.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    due: [Option<Moment>; COUNT],
    /// The earliest of them: it is read far more often than one is set.
    next: Option<Moment>,
}

impl Timers {
    /// Sets or moves a timer.
    pub fn set(&mut self, timer: UplinkTimer, at: Moment) {
        self.set_or_stop(timer, Some(at));
    }

    /// Sets, moves or stops a timer.
    pub fn set_or_stop(&mut self, timer: UplinkTimer, at: Option<Moment>) {
        self.due[timer as usize] = at;
        self.next = self.due.iter().flatten().min().copied();
    }

    /// Stops a timer.
    pub fn stop(&mut self, timer: UplinkTimer) {
        self.set_or_stop(timer, None);
    }

    /// When a timer is due; none if it does not run.
    pub fn get(&self, timer: UplinkTimer) -> Option<Moment> {
        self.due[timer as usize]
    }

    /// Stops a timer that is due, and says whether it was.
    pub fn take_due(&mut self, timer: UplinkTimer, now: Moment) -> bool {
        let is_due = self.get(timer).is_some_and(|at| at <= now);
        if is_due {
            self.stop(timer);
        }
        is_due
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Moment> {
        self.next
    }
}
