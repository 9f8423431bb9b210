//! Soft failover: what new connections feel apart from established ones, and how often they move for nothing.

use std::time::Duration;

use uplinkd::engine::event::cause::SwitchCause;
use uplinkd::engine::event::{Change, Event};
use uplinkd::units::UplinkName;

use crate::chance::Chance;
use crate::demands::Demands;
use crate::link::{Link, Process, Trouble};
use crate::ours::{Delays, Extent, Tuning, Watch, all_traffic};
use crate::report::{count, say, seconds};
use crate::rows::{CABLE, DSL, LTE, ROWS, Row};
use crate::silences::felt_on;
use crate::traffic::{Habit, Traffic};

const DAY: Duration = Duration::from_secs(86_400);

/// Beside a perfect standby, of which one is never in doubt.
pub(crate) fn print(extent: Extent, demands: &mut Demands) {
    beside_a_standby(extent.days.min(MOST_DAYS), extent.seed, demands);
    blackhole(extent.outages, extent.seed, demands);
}

/// A rate of once an hour is seen in a few days.
const MOST_DAYS: u32 = 6;

fn beside_a_standby(days: u32, seed: u64, demands: &mut Demands) {
    say(&format!(
        "Soft failover, {days} days after one of learning: felt by established connections and by new ones, soft moves"
    ));
    say(&format!(
        "  {:<34}{:>13}{:>9}{:>12}{:>14}",
        "", "established", "new", "soft moves", "taken back"
    ));
    say(&format!(
        "  {:<34}{:>13}{:>9}{:>12}",
        "", "s/day", "s/day", "/hour"
    ));
    let links = [ROWS[0], ROWS[1], ROWS[2], ROWS[4], ROWS[5], LTE, DSL, CABLE];
    for habit in [Habit::Idle, Habit::Stream] {
        let measure = |row: Row| days_beside(row.process, habit, days, seed);
        crate::at_once(&links, measure, |row, felt| {
            let name = format!("{}, {}", row.name, habit.name());
            let [established, new, moves, back] = felt.map(|sum| sum / f64::from(days));
            let an_hour = moves / 24.0;
            say(&format!(
                "  {name:<34}{established:>13.1}{new:>9.1}{an_hour:>12.2}{back:>9.1}/day"
            ));
            if let Process::Independent { .. } = row.process {
                let what = format!("{name}: soft moves an hour");
                demands.at_most(&what, an_hour, 1.0);
            }
        });
    }
    say("");
}

/// The seconds that established and new connections missed, with what moves cost, the soft moves, and those of them
/// that were taken back.
fn days_beside(process: Process, habit: Habit, days: u32, seed: u64) -> [f64; 4] {
    let tuning = Tuning::steady(Duration::from_secs(1));
    let link = Link::new(process, 0.012, seed);
    let mut watch = Watch::under(Traffic::new(habit, seed), tuning, link);
    watch.remember_flows();
    watch.run(DAY);
    watch.take_silences();
    let mut sums = [0.0; 4];
    for _ in 0..days {
        let from = watch.is_carrying().then(|| watch.seconds());
        let events = watch.run(DAY);
        let (silences, end) = (watch.take_silences(), watch.seconds());
        let felt = |taking, cost| {
            let spans = watch.spans(from, &events, taking);
            felt_on(&silences, &spans, end, cost).0
        };
        let cost = tuning.switch_cost.as_secs_f64();
        // A new connection has nothing to lose by a move.
        let moves = [SwitchCause::Doubt, SwitchCause::Failback].map(|cause| {
            let soft = events.iter().filter(|event| is_soft(event, cause));
            count(soft.count())
        });
        let found = [
            felt(all_traffic, cost),
            felt(new_connections, 0.0),
            moves[0],
            moves[1],
        ];
        for (sum, more) in sums.iter_mut().zip(found) {
            *sum += more;
        }
    }
    sums
}

fn is_soft(event: &Event, cause: SwitchCause) -> bool {
    matches!(&event.change, Change::SoftSwitch(soft) if soft.cause == cause)
}

/// What takes new connections from this change on.
fn new_connections(change: &Change) -> Option<&Vec<UplinkName>> {
    if let Change::SoftSwitch(soft) = change {
        Some(&soft.to)
    } else {
        all_traffic(change)
    }
}

/// During a call on a clean link.
fn blackhole(outages: u32, seed: u64, demands: &mut Demands) {
    let tuning = Tuning::steady(Duration::from_secs(1));
    let link = Link::new(Process::Independent { loss: 0.0 }, 0.012, seed);
    let mut watch = Watch::under(Traffic::new(Habit::Stream, seed), tuning, link);
    watch.remember_flows();
    watch.run(Duration::from_secs(3_600));
    let mut chance = Chance::new(seed);
    let delays = (0..outages).map(|_| {
        watch.run(Duration::from_secs_f64(chance.between(20.0, 60.0)));
        let mut watch = watch.clone();
        let begin = watch.seconds();
        watch.strike(Trouble::Dead);
        let events = watch.run(Duration::from_secs(5));
        let first = |taking: fn(&Change) -> Option<&Vec<UplinkName>>| {
            let mut left = events
                .iter()
                .filter(|event| taking(&event.change).is_some());
            let at = left
                .next()
                .map(|event| event.at.since_start().as_secs_f64());
            at.map_or(f64::INFINITY, |at| at - begin)
        };
        (first(new_connections), first(all_traffic))
    });
    let (new, established) = delays.unzip();
    say(&format!(
        "A blackhole during a call on a clean link, {outages} times: without an answer"
    ));
    let (new, established) = (Delays::new(new), Delays::new(established));
    for (what, delays) in [
        ("new connections", &new),
        ("established ones", &established),
    ] {
        let [median, worst] = [0.5, 1.0].map(|share| seconds(delays.quantile(share)));
        say(&format!("  {what:<34}p50 {median}  worst {worst}"));
    }
    // A call has a quarter of the packets of the lab's stream, for which 0.2 s and 0.4 s are demanded.
    for (word, share, most) in [("p50", 0.5, 0.25), ("worst", 1.0, 0.55)] {
        let what = format!("blackhole during a call, new connections: {word}");
        demands.at_most(&what, new.quantile(share), most);
    }
    say("");
}
