//! Events that come again and again: the log counts them instead of repeating them. Pure.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::engine::event::record::EventRecord;
use crate::engine::event::{EventKind, Repetition};
use crate::units::sorted::SortedMap;
use crate::units::{InterfaceName, Moment, UplinkName};

/// How many events of a kind are logged one by one within `WINDOW`.
const MOST: usize = 6;
/// What is counted is summed up at least this often.
const WINDOW: Duration = Duration::from_secs(600);
/// And as soon as nothing more has come for so long, and for twice as long as before: the state that holds
/// must not stay untold.
const CALM: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(30);

/// What may repeat itself: the states of an uplink, or of its targets.
///
/// `MOST` events of a kind are logged within `WINDOW`; those that follow are counted, and the last of
/// them is logged with their number when nothing has followed it for twice as long as between those before, within
/// `CALM`, or after `WINDOW`. Where it goes on after that, one line in each window is all. An outage is logged at once where the last line
/// says that the uplink works. Switches and whatever else people must act upon are always logged at once.
#[derive(Debug, Default)]
pub struct Repeats(SortedMap<RepeatKind, Run>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RepeatKind {
    repeats: Repetition,
    uplink: Option<UplinkName>,
    interface: Option<InterfaceName>,
}

#[derive(Debug)]
struct Run {
    since: Moment,
    logged: usize,
    counted: usize,
    latest: Moment,
    /// The longest time between two of them; it shrinks with each that comes sooner.
    gap: Duration,
    last: EventRecord,
    /// What the last line of the log says.
    said: EventKind,
}

impl RepeatKind {
    fn of(record: &EventRecord) -> Option<Self> {
        let repeats = record.event.delivery().repeats;
        (repeats != Repetition::Each).then(|| Self {
            repeats,
            uplink: record.uplink.clone(),
            interface: record.interface.clone(),
        })
    }
}

impl Repeats {
    /// Takes an event; returns its line, unless it is counted and not logged now.
    pub fn line(&mut self, record: &EventRecord, now: Moment) -> Option<EventRecord> {
        let Some(kind) = RepeatKind::of(record) else {
            return Some(record.clone());
        };
        let run = self.0.entry(kind).or_insert_with(|| Run {
            since: now,
            logged: 0,
            counted: 0,
            latest: now,
            gap: Duration::ZERO,
            last: record.clone(),
            said: EventKind::UplinkUp,
        });
        run.gap = now.since(run.latest).max(run.gap * 3 / 4).min(*CALM.end());
        run.latest = now;
        run.last.clone_from(record);
        let is_outage = record.event == EventKind::UplinkDown && run.said != EventKind::UplinkDown;
        if run.logged < MOST || is_outage {
            Some(run.log(now))
        } else {
            run.counted += 1;
            None
        }
    }

    /// The counted events that are due to be logged.
    pub fn due(&mut self, now: Moment) -> Vec<EventRecord> {
        let mut due = Vec::new();
        self.0.retain(|_, run| {
            let is_over = now.since(run.since) >= WINDOW;
            let calm = (run.gap * 2).clamp(*CALM.start(), *CALM.end());
            let is_calm = now.since(run.latest) >= calm;
            if run.counted > 0 && (is_over || is_calm) {
                due.push(run.sum_up(now));
            } else if is_over {
                // A window in which nothing had to be counted.
                return false;
            }
            true
        });
        due
    }

    /// All that has been counted, for the end.
    pub fn rest(mut self, now: Moment) -> Vec<EventRecord> {
        let counted = self.0.values_mut().filter(|run| run.counted > 0);
        counted.map(|run| run.sum_up(now)).collect()
    }
}

impl Run {
    /// The line of the last event, at once.
    fn log(&mut self, now: Moment) -> EventRecord {
        let mut record = self.last.clone();
        if self.counted > 0 {
            let seconds = now.since(self.since).as_secs();
            let note = match self.counted {
                1 => format!(" (after a change that was not logged, in {seconds} s)"),
                more => format!(" (after {more} changes that were not logged, in {seconds} s)"),
            };
            record.reason.push_str(&note);
        }
        self.logged += 1;
        (self.counted, self.said) = (0, record.event);
        record
    }

    /// The line of the last of those that were counted.
    fn sum_up(&mut self, now: Moment) -> EventRecord {
        let Self { counted, since, .. } = *self;
        let seconds = now.since(since).as_secs();
        let mut record = self.last.clone();
        let at = record.at;
        let note = if counted > 1 {
            format!(
                " (at {at}, the last of {counted} changes of which no other was logged, in {seconds} s)"
            )
        } else {
            format!(" (at {at})")
        };
        record.reason.push_str(&note);
        (self.since, self.counted, self.said) = (now, 0, record.event);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{EventKind, Side};
    use crate::engine::state::State;
    use crate::units::Timestamp;
    use crate::units::sorted::SortedSet;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    fn event(kind: EventKind, uplink: &str) -> EventRecord {
        EventRecord {
            at: Timestamp(std::time::UNIX_EPOCH),
            event: kind,
            group: None,
            family: None,
            uplink: Some(uplink.parse().expect("a name")),
            interface: None,
            network: None,
            from: None,
            to: Some(Side::State(State::Down)),
            reason: "no answer".to_owned(),
            prefixes: SortedSet::new(),
            cause: None,
            took_us: None,
            recovery_ms: None,
            flows_moved: None,
            drill: None,
            broken_at: None,
        }
    }

    /// Of an uplink that falls and rises every five seconds: how many lines, and the summaries.
    fn flaps(from: u64, to: u64, repeats: &mut Repeats) -> (usize, Vec<String>) {
        let (mut lines, mut sums) = (0, Vec::new());
        for second in from..to {
            if second % 5 == 0 {
                let kind = [EventKind::UplinkDown, EventKind::UplinkUp][(second / 5 % 2) as usize];
                lines += usize::from(repeats.line(&event(kind, "fiber"), at(second)).is_some());
            }
            let due = repeats.due(at(second));
            sums.extend(
                due.into_iter()
                    .map(|due| format!("{}: {}", due.event, due.reason)),
            );
        }
        (lines, sums)
    }

    #[test]
    fn an_uplink_that_flaps_for_an_hour_takes_a_line_for_each_ten_minutes() {
        let mut repeats = Repeats::default();
        let (lines, sums) = flaps(0, 3_600, &mut repeats);
        assert_eq!(
            lines,
            6 + 1,
            "docs/operations.md says so, and the next outage"
        );
        assert_eq!(sums.len(), 5, "{sums:#?}");
        assert_eq!(
            sums[1],
            "uplink.down: no answer (at 1970-01-01T00:00:00Z, the last of 120 changes of which no other was \
             logged, in 600 s)"
        );
    }

    #[test]
    fn the_last_state_is_logged_soon_after_it_has_become_calm() {
        let mut repeats = Repeats::default();
        flaps(0, 100, &mut repeats);
        let (_, sums) = flaps(101, 105, &mut repeats);
        assert_eq!(sums, [""; 0]);
        let logged: Vec<_> = (105..140).flat_map(|s| repeats.due(at(s))).collect();
        assert_eq!(logged.len(), 1);
        assert_eq!(logged[0].event, EventKind::UplinkUp);
    }

    #[test]
    fn after_a_burst_the_last_line_soon_says_the_state_that_holds() {
        for rhythm in 1..=20 {
            let mut repeats = Repeats::default();
            let mut said = EventKind::UplinkUp;
            let last = 21 * rhythm;
            let mut held_after = None;
            for second in 0..last + 60 {
                let kind =
                    [EventKind::UplinkDown, EventKind::UplinkUp][(second / rhythm % 2) as usize];
                let change = second % rhythm == 0 && second <= last;
                let change = change.then(|| event(kind, "fiber"));
                let line = change.and_then(|record| repeats.line(&record, at(second)));
                let lines = line.into_iter().chain(repeats.due(at(second)));
                said = lines.last().map_or(said, |line| line.event);
                if second >= last && said == EventKind::UplinkUp && held_after.is_none() {
                    held_after = Some(second - last);
                }
            }
            let bound = (2 * rhythm).clamp(2, 30);
            assert_eq!(held_after, Some(bound), "a change each {rhythm} s");
        }
    }

    #[test]
    fn after_ten_quiet_minutes_each_is_logged_again() {
        let mut repeats = Repeats::default();
        flaps(0, 100, &mut repeats);
        for second in 100..1_400 {
            repeats.due(at(second));
        }
        let line = repeats.line(&event(EventKind::UplinkDown, "fiber"), at(1_400));
        assert_eq!(line, Some(event(EventKind::UplinkDown, "fiber")));
    }

    #[test]
    fn an_outage_is_logged_at_once_where_the_last_line_says_that_the_uplink_works() {
        let mut repeats = Repeats::default();
        // Falls for five seconds and works for forty, again and again.
        let mut said = EventKind::UplinkUp;
        for second in 0..3_600 {
            let change = match second % 45 {
                0 => Some(EventKind::UplinkDown),
                5 => Some(EventKind::UplinkUp),
                _ => None,
            };
            let change = change.map(|kind| event(kind, "fiber"));
            let line = change.and_then(|record| repeats.line(&record, at(second)));
            let lines = line.into_iter().chain(repeats.due(at(second)));
            said = lines.last().map_or(said, |line| line.event);
            let is_down = second % 45 < 5;
            let is_told = said == EventKind::UplinkDown;
            assert!(is_told || !is_down, "at {second} s");
        }
    }

    #[test]
    fn the_line_of_an_outage_has_the_number_of_changes_that_had_none() {
        let mut repeats = Repeats::default();
        flaps(0, 34, &mut repeats);
        // The seventh line was that of an outage; its end is counted, and summed up when nothing follows.
        assert_eq!(flaps(34, 36, &mut repeats), (0, vec![]));
        assert_eq!(repeats.due(at(70)).len(), 1);
        for kind in [EventKind::UplinkRecovering, EventKind::UplinkUp] {
            assert_eq!(repeats.line(&event(kind, "fiber"), at(71)), None);
        }
        let line = repeats.line(&event(EventKind::UplinkDown, "fiber"), at(80));
        let reason = line.expect("an outage").reason;
        assert_eq!(
            reason,
            "no answer (after 2 changes that were not logged, in 10 s)"
        );
    }

    #[test]
    fn what_people_must_act_upon_and_other_uplinks_are_told_at_once() {
        let mut repeats = Repeats::default();
        flaps(0, 300, &mut repeats);
        let down = event(EventKind::UplinkDown, "lte");
        assert_eq!(repeats.line(&down, at(300)), Some(down));
        for kind in [
            EventKind::Switch,
            EventKind::NoUsableUplink,
            EventKind::SwitchStranded,
            EventKind::UplinkDrained,
        ] {
            for _ in 0..100 {
                let event = event(kind, "fiber");
                assert_eq!(repeats.line(&event, at(300)), Some(event));
            }
        }
        assert_eq!(repeats.rest(at(300)).len(), 1);
    }
}
