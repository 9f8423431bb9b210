//! The delay of true demands and the rate of false ones: the shipped engine in virtual time on links of
//! many kinds, and the rules of other programs on the same links.
//!
//! `cargo bench --bench detection -- [RECORDING]... [--quick] [--days N] [--interval SECONDS] [--only WORD]
//! [--seed N] [--svg FILE | --no-svg]`
//!
//! `--quick` ends within a minute: the cost of the engine and the felt cost, over days instead of months, and of the
//! rest what `--only` names.

mod arguments;
mod bound;
mod chance;
mod chart;
mod cost;
mod demands;
mod felt;
mod link;
mod metered;
mod ours;
mod peers;
mod report;
mod rows;
mod scene;
mod silences;
mod soft;
mod traffic;

use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use arguments::Arguments;
use demands::Demands;
use link::{Process, Trouble};
use ours::{Extent, Figures, Tuning};
use peers::{Alarms, Trial};
use report::{Comparison, Line, say};
use rows::{ROWS, Row};
use traffic::Habit;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(complaint) => {
            say(&complaint);
            return ExitCode::from(2);
        }
    };
    let mut demands = Demands::default();
    if arguments.part("cost") {
        cost::print(&mut demands);
    }
    felt::alone(&arguments, &mut demands);
    if arguments.part("felt beside a standby") {
        felt::beside_a_standby(arguments.extent, &mut demands);
    }
    if arguments.part("felt again") {
        felt::again_and_again(arguments.is_quick, &mut demands);
    }
    if arguments.long_part("metered") {
        metered::print(arguments.is_quick, &mut demands);
    }
    if arguments.long_part("slow") {
        slower(arguments.extent, &mut demands);
    }
    if arguments.long_part("steady") {
        steady_loss(&mut demands, arguments.is_quick);
    }
    if arguments.long_part("traffic") {
        under_traffic(arguments.extent, &mut demands);
    }
    if arguments.long_part("soft failover") {
        soft::print(arguments.extent, &mut demands);
    }
    if arguments.long_part("series") {
        series(arguments.extent, &mut demands);
    }
    let intervals = arguments.intervals.iter();
    for interval in intervals.filter(|_| !arguments.is_short()) {
        detection(&arguments, *interval, &mut demands);
    }
    if let Some(path) = &arguments.svg
        && let Err(error) = chart::write(path, arguments.is_quick)
    {
        say(&format!("cannot write {}: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    demands.print();
    ExitCode::SUCCESS
}

/// The main table at one steady interval, and the peers beside it.
fn detection(arguments: &Arguments, interval: Duration, demands: &mut Demands) {
    let recorded = arguments.recorded.iter().copied();
    let known = ROWS.into_iter().filter(|row| arguments.part(row.name));
    let rows: Vec<_> = known.chain(recorded).collect();
    if rows.is_empty() {
        return;
    }
    let extent = arguments.extent_at(interval);
    report::head(interval, extent);
    let measure = |row: Row| {
        let figures = ours::measure(row.process, Tuning::steady(interval), extent);
        let comparison = compare(row, &figures, interval, extent);
        (figures, comparison)
    };
    let mut comparisons = Vec::new();
    at_once(&rows, measure, |row, (figures, comparison)| {
        let line = Line {
            row,
            figures: &figures,
        };
        say(&line.to_string());
        demands.detection(row.name, interval, &figures);
        comparisons.push(comparison);
    });
    report::comparisons(interval, &comparisons);
    // Three days are too few to tune a rule for what happens once in thirty.
    if !arguments.is_quick {
        demands.comparison(interval, &comparisons);
    }
}

/// Measures each row, on as many cores as there are, and hands over what is found in their order: each row as soon
/// as those before it are done.
fn at_once<T: Send>(
    rows: &[Row],
    measure: impl Fn(Row) -> T + Sync,
    mut tell: impl FnMut(&Row, T),
) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let work = |sender: Sender<(usize, T)>| {
        let places = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = places.map_while(|place| Some((place, *rows.get(place)?)));
        for (place, row) in mine {
            let is_heard = sender.send((place, measure(row))).is_ok();
            assert!(is_heard, "rows are told until all are measured");
        }
    };
    let work = &work;
    thread::scope(|scope| {
        for _ in 0..cores {
            let sender = sender.clone();
            scope.spawn(move || work(sender));
        }
        drop(sender);
        let mut found: Vec<_> = rows.iter().map(|_| None).collect();
        let mut told = 0;
        for (place, figures) in receiver {
            found[place] = Some(figures);
            while let Some(figures) = found.get_mut(told).and_then(Option::take) {
                tell(&rows[told], figures);
                told += 1;
            }
        }
    });
}

/// Rules are tuned on so many times the days of one life of ours: the best of many rules would
/// otherwise be the luckiest.
const TUNED_ON: u32 = 3;

/// The best that each of the peers' rules can be tuned to on a link, at no higher a rate of false
/// demands than ours, or one in all the days, and with the probes that ours spent; and what an oracle
/// would take.
fn compare(row: Row, figures: &Figures, steady: Duration, extent: Extent) -> Comparison {
    let interval = 3600.0 / figures.probes_per_hour;
    let days = extent.days * TUNED_ON;
    let budget = (figures.downs * days / figures.days).max(1);
    let rules = peers::rules(interval);
    let trials = rules.into_iter().map(|named| {
        let alarms = Alarms::of(&named.rule, row.process, interval, days);
        let threshold = alarms.threshold(budget);
        let trial = |count| Trial {
            process: row.process,
            interval,
            threshold,
            count,
        };
        report::Peer {
            name: named.name,
            threshold,
            blackhole: trial(extent.outages).delays(&named.rule, Trouble::Dead),
            loss_30: trial(extent.changes).delays(&named.rule, Trouble::Loses(0.3)),
        }
    });
    Comparison {
        row,
        ours: [figures.blackhole.median(), figures.loss_30.median()],
        peers: trials.collect(),
        bound: bound::blackhole(row.process, steady, budget, days),
    }
}

/// What the client's own traffic adds to the evidence, and where it misleads.
fn under_traffic(extent: Extent, demands: &mut Demands) {
    let extent = Extent {
        days: extent.days / TRAFFIC_SHARE + 1,
        ..extent
    };
    say(&format!(
        "A client's traffic on the uplink, steady 1 s: {} days for false demands, {} outages",
        extent.days, extent.outages
    ));
    report::traffic_head();
    let links = [
        ("1 % loss", Process::Independent { loss: 0.01 }),
        ("600 ms bursts", ROWS[5].process),
    ];
    for (link, process) in links {
        for habit in Habit::BUSY {
            let tuning = Tuning::steady(Duration::from_secs(1));
            let figures = ours::busy(habit, process, tuning, extent);
            let name = format!("{}, {link}", habit.name());
            report::traffic(&name, &figures);
            demands.traffic(&name, habit, process, &figures);
        }
    }
    say("");
}

/// Its counters are read ten times a second, so that a day of it costs as much as nine.
const TRAFFIC_SHARE: u32 = 9;

/// The first, the second and the tenth of ten outages in a row: what one teaches must not delay the
/// next.
fn series(extent: Extent, demands: &mut Demands) {
    let count = (extent.outages / 10).max(10);
    say(&format!(
        "Ten outages of {} s in a row, steady 1 s, {count} times: median delay",
        ours::SERIES_OUTAGE.as_secs()
    ));
    say(&format!(
        "  {:<22}{:>9}{:>9}{:>9}",
        "", "first", "second", "tenth"
    ));
    let measure = |row: Row| ours::series(row.process, count, extent.seed);
    at_once(&ROWS, measure, |row, delays| {
        let medians = [0, 1, 9].map(|place| delays[place].median());
        let [first, second, tenth] = medians.map(report::seconds);
        say(&format!(
            "  {:<22}{first:>9}{second:>9}{tenth:>9}",
            row.name
        ));
        if row.name == "independent 1 %" {
            let what = "ten outages in a row, 1 % loss: p50 of the";
            demands.at_most(&format!("{what} second"), medians[1], 1.1);
            demands.at_most(&format!("{what} tenth"), medians[2], 1.1);
        }
    });
    say("");
}

/// Round trips become five times as long.
fn slower(extent: Extent, demands: &mut Demands) {
    say("Round trips become five times as long, steady 1 s, 1 % loss");
    for (rtt, limit) in [(0.025, 100), (0.12, 500)] {
        let delays = ours::slow(rtt, Duration::from_millis(limit), extent.changes);
        let what = format!("{:.0} ms x5, limit {limit} ms", rtt * 1e3);
        say(&format!(
            "  {what:<26} p50 {}  p99 {}",
            report::seconds(delays.median()),
            report::seconds(delays.quantile(0.99))
        ));
        demands.at_most(&format!("RTT {what}: p50"), delays.median(), 1.1);
    }
    say("");
}

/// Steady loss must not make it change its mind.
fn steady_loss(demands: &mut Demands, is_quick: bool) {
    let step = if is_quick { 20 } else { 5 };
    say("Steady independent loss, 1 s: changes of state in 24 h after the first hour");
    let mut worst = 0;
    for percent in (0..=60_u32).step_by(step) {
        let changes = ours::changes(f64::from(percent) / 100.0, 5);
        worst = worst.max(changes);
        say(&format!("  {percent:>3} %  {changes:>4}"));
    }
    demands.at_most(
        "steady loss 0 to 60 %: changes in 24 h",
        report::count(worst),
        2.0,
    );
    say("");
}
