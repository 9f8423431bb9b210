//! Events that come again and again: the log counts them instead of repeating them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::event::Repetition;
use crate::engine::event::record::EventRecord;
use crate::units::{InterfaceName, Moment, UplinkName};

/// How many events of a kind are logged one by one within `WINDOW`.
const MOST: usize = 6;
/// What is counted is summed up at least this often.
const WINDOW: Duration = Duration::from_secs(600);
/// And as soon as nothing more has come for so long: what was last must not stay untold.
const CALM: Duration = Duration::from_secs(30);

/// What may repeat itself: the states of an uplink, or of its targets.
///
/// `MOST` events of a kind are logged within `WINDOW`; those that follow are counted, and the last of
/// them is logged with their number when nothing has followed it for `CALM`, or after `WINDOW`. Where
/// it goes on after that, one line in each window is all. Switches and whatever else people must act
/// upon are always logged at once.
#[derive(Debug, Default)]
pub struct Repeats(BTreeMap<RepeatKind, Run>);

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
    last: EventRecord,
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
    /// Takes an event; false if it is counted and not logged now.
    pub fn is_logged(&mut self, record: &EventRecord, now: Moment) -> bool {
        let Some(kind) = RepeatKind::of(record) else {
            return true;
        };
        let run = self.0.entry(kind).or_insert_with(|| Run {
            since: now,
            logged: 0,
            counted: 0,
            latest: now,
            last: record.clone(),
        });
        let is_logged = run.logged < MOST;
        if is_logged {
            run.logged += 1;
        } else {
            run.counted += 1;
        }
        run.latest = now;
        run.last.clone_from(record);
        is_logged
    }

    /// The counted events that are due to be logged.
    pub fn due(&mut self, now: Moment) -> Vec<EventRecord> {
        let mut due = Vec::new();
        self.0.retain(|_, run| {
            let is_over = now.since(run.since) >= WINDOW;
            let is_calm = now.since(run.latest) >= CALM;
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
    fn sum_up(&mut self, now: Moment) -> EventRecord {
        let Self { counted, since, .. } = *self;
        let seconds = now.since(since).as_secs();
        let mut record = self.last.clone();
        if counted > 1 {
            let like = format!(
                " (the last of {counted} changes of which no other was logged, in {seconds} s)"
            );
            record.reason.push_str(&like);
        }
        (self.since, self.counted) = (now, 0);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{EventKind, Side};
    use crate::engine::state::State;
    use crate::units::Timestamp;

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
            prefixes: std::collections::BTreeSet::new(),
            took_us: None,
            flows_moved: None,
        }
    }

    /// Of an uplink that falls and rises every five seconds: how many lines, and the summaries.
    fn flaps(from: u64, to: u64, repeats: &mut Repeats) -> (usize, Vec<String>) {
        let (mut lines, mut sums) = (0, Vec::new());
        for second in from..to {
            if second % 5 == 0 {
                let kind = [EventKind::UplinkDown, EventKind::UplinkUp][(second / 5 % 2) as usize];
                lines += usize::from(repeats.is_logged(&event(kind, "fiber"), at(second)));
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
        assert_eq!(lines, 6, "docs/operations.md says so");
        assert_eq!(sums.len(), 5, "{sums:#?}");
        assert_eq!(
            sums[1],
            "uplink.down: no answer (the last of 120 changes of which no other was logged, in 600 s)"
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
    fn after_ten_quiet_minutes_each_is_logged_again() {
        let mut repeats = Repeats::default();
        flaps(0, 100, &mut repeats);
        for second in 100..1_400 {
            repeats.due(at(second));
        }
        assert!(repeats.is_logged(&event(EventKind::UplinkDown, "fiber"), at(1_400)));
    }

    #[test]
    fn what_people_must_act_upon_and_other_uplinks_are_told_at_once() {
        let mut repeats = Repeats::default();
        flaps(0, 300, &mut repeats);
        assert!(repeats.is_logged(&event(EventKind::UplinkDown, "lte"), at(300)));
        for kind in [
            EventKind::Switch,
            EventKind::NoUsableUplink,
            EventKind::SwitchStranded,
            EventKind::UplinkDrained,
        ] {
            for _ in 0..100 {
                assert!(repeats.is_logged(&event(kind, "fiber"), at(300)));
            }
        }
        assert_eq!(repeats.rest(at(300)).len(), 1);
    }
}
