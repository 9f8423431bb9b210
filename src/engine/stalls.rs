//! How long this machine kept the agent from running, and when that is worth an event.

use std::time::Duration;

use crate::engine::event::{Change, Event};
use crate::engine::wording::seconds;
use crate::units::Moment;

/// The agent is called late by a little all the time; from here on it is a stall.
pub const LEAST_STALL: Duration = Duration::from_millis(200);
/// Stalls are worth an event when they add up to this.
const WORTH_AN_EVENT: Duration = Duration::from_secs(1);
/// Between two events.
const EVENT_EVERY: Duration = Duration::from_secs(3600);
/// Stalls further apart than this are not added up.
const APART: Duration = Duration::from_secs(600);

/// The stalls since the last event.
#[derive(Clone, Debug, Default)]
pub struct Stalls {
    count: u32,
    total: Duration,
    longest: Duration,
    /// When the first of them began, and the last ended.
    between: Option<(Moment, Moment)>,
    last_event: Option<Moment>,
}

impl Stalls {
    /// The agent was kept from running for so long, until now. The event, if it is worth one.
    pub fn add(&mut self, lasts: Duration, now: Moment) -> Option<Event> {
        let is_apart = |(_, last): (Moment, Moment)| now.since(last) > APART + lasts;
        if self.between.is_some_and(is_apart) {
            self.begin_anew();
        }
        let began = self.between.map_or(now - lasts, |(began, _)| began);
        self.between = Some((began, now));
        self.count += 1;
        self.total += lasts;
        self.longest = self.longest.max(lasts);
        let is_soon = |last: Moment| now.since(last) < EVENT_EVERY;
        if self.total < WORTH_AN_EVENT || self.last_event.is_some_and(is_soon) {
            return None;
        }
        let reason = self.explain(now.since(began));
        self.begin_anew();
        self.last_event = Some(now);
        Some(Event {
            at: now,
            change: Change::MachineStalled,
            reason,
        })
    }

    fn begin_anew(&mut self) {
        *self = Self {
            last_event: self.last_event,
            ..Self::default()
        };
    }

    fn explain(&self, within: Duration) -> String {
        let longest = seconds(self.longest);
        let times = match self.count {
            1 => format!("for {longest}"),
            count => format!(
                "{count} times in {}, for {longest} at the longest",
                seconds(within)
            ),
        };
        format!(
            "the agent did not run {times}: what was not answered then says nothing about the uplinks; \
             look at the load of this machine and the CPU quota of the service"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_an_event_when_they_add_up_to_a_second_and_once_an_hour() {
        let mut stalls = Stalls::default();
        let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
        let mut events = 0;
        for second in 0..4 {
            events += usize::from(stalls.add(LEAST_STALL, at(10 + second)).is_some());
        }
        assert_eq!(events, 0);
        let event = stalls.add(LEAST_STALL, at(14)).expect("is a second in all");
        assert!(
            event.reason.contains("5 times in 4.2 s"),
            "{}",
            event.reason
        );
        for second in 15..3_600 {
            assert_eq!(stalls.add(LEAST_STALL, at(second)), None);
        }
        assert!(stalls.add(LEAST_STALL, at(3_614)).is_some());
        // A stall now and then is none of its own.
        for hour in 3..100 {
            assert_eq!(stalls.add(LEAST_STALL, at(hour * 3_600)), None);
        }
    }
}
