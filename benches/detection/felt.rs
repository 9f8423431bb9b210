//! What people feel: seconds without traffic, and what each move costs. Each silence scored alone, links beside a
//! clean standby, and outages that come again and again.

use std::time::Duration;

use uplinkd::engine::outage::Demand;
use uplinkd::engine::state::State;

use crate::arguments::Arguments;
use crate::chance::Chance;
use crate::demands::Demands;
use crate::link::{Link, Process, Trouble};
use crate::ours::{Delays, Extent, Tuning, Watch, settings};
use crate::report::{count, say, seconds};
use crate::rows::{BURSTY, CABLE, DSL, FELT_ROWS, LTE, Row, STARLINK};
use crate::silences::{FormerRule, Silence, Tolls, felt_on};
use crate::traffic::{Habit, Traffic};

const DAY: Duration = Duration::from_secs(86_400);

/// Each silence of a link scored alone, of the links that are asked for.
pub(crate) fn alone(arguments: &Arguments, demands: &mut Demands) {
    let extent = arguments.extent;
    let is_asked = |row: &Row| arguments.part(&format!("felt alone: {}", row.name));
    let rows: Vec<_> = FELT_ROWS.into_iter().filter(is_asked).collect();
    if rows.is_empty() {
        return;
    }
    let switch_cost = tuning().switch_cost.as_secs_f64();
    say(&format!(
        "Felt cost, each silence scored alone, an outage a day, a switch costs {switch_cost} s, {} times {} days: \
         ours, the former rule, the best fixed age by hindsight",
        extent.lives, extent.days
    ));
    say(&format!(
        "  {:<22}{:>9}  {:>29}  {:>29}  {:>23}",
        "", "silences", "felt s/day", "useless moves/30 d", "outages left, p50"
    ));
    let lives = |row: Row| {
        let mut tolls = Tolls::default();
        for life in 0..u64::from(extent.lives) {
            tolls.add(life_alone(row.process, extent, extent.seed + 100 * life));
        }
        tolls
    };
    crate::at_once(&rows, lives, |row, tolls| {
        line_alone(row, &tolls, demands);
    });
    say("");
}

fn line_alone(row: &Row, tolls: &Tolls, demands: &mut Demands) {
    let days = f64::from(tolls.days);
    let (age, fixed) = tolls.best_fixed();
    let all = [&tolls.ours, &tolls.former, fixed];
    let [felt, former, best] = all.map(|toll| toll.felt / days);
    let useless = all.map(|toll| f64::from(toll.useless) * 30.0 / days);
    let left = all.map(|toll| seconds(toll.left().median()));
    say(&format!(
        "  {:<22}{:>9.1}  {felt:>9.1}{former:>9.1}{best:>11.1}  {:>9.1}{:>9.1}{:>11.1}  {:>8}{:>8} at {age} s",
        row.name,
        count(tolls.silences) / days,
        useless[0],
        useless[1],
        useless[2],
        left[0],
        left[1],
    ));
    let what = format!("felt, {}:", row.name);
    // The former rule sees a silence without pause, and the engine by probes.
    demands.at_most(
        &format!("{what} s/day, the former rule's + 0.5 %"),
        felt,
        round_up(former * 1.005),
    );
    demands.at_most(
        &format!("{what} s/day, best fixed + 3 %"),
        felt,
        round_up(best * 1.03),
    );
    // In fewer days one useless move more or less is chance.
    let chance = 30.0 / f64::from(tolls.days.max(1));
    let most = if row.name.starts_with("loses") {
        2.0
    } else {
        2.0 * useless[2] + 10.0
    };
    demands.at_most(
        &format!("{what} useless moves in 30 days"),
        useless[0],
        round_up(most.max(chance)),
    );
    let left = tolls.ours.left();
    let is_known = left.median().is_finite();
    if let Some((_, most)) = LEFT_AFTER
        .iter()
        .find(|(known, _)| is_known && *known == row.name)
    {
        demands.at_most(&format!("{what} outages left, p50"), left.median(), *most);
    }
}

/// The median age at which outages are left, at most, where a link has short silences and long ones.
const LEFT_AFTER: [(&str, f64); 2] = [(LTE.name, 0.7), (STARLINK.name, 1.2)];

/// To the digits that are printed.
fn round_up(value: f64) -> f64 {
    (value * 100.0).ceil() / 100.0
}

/// So many days of a link that is the only uplink, after some of learning.
fn life_alone(process: Process, extent: Extent, seed: u64) -> Tolls {
    let switch_cost = tuning().switch_cost.as_secs_f64();
    let mut alone = settings(tuning());
    alone.uplinks.truncate(1);
    let demand = Demand::of(&alone.uplinks[0]);
    let idle = Traffic::new(Habit::Idle, 0);
    let mut watch = Watch::of(alone, idle, Link::new(process, 0.012, seed));
    watch.take_silences();
    let (mut former, mut tolls) = (FormerRule::new(demand), Tolls::default());
    for day in 0..=extent.days {
        let verdicts = watch.pass(DAY);
        let verdicts = verdicts.iter().filter(|(_, to)| *to == State::Down);
        let stray = verdicts.filter(|(at, _)| !watch.leave(*at)).count();
        let silences = watch.take_silences();
        if day == 0 {
            Tolls::default().count(&silences, &mut former, switch_cost);
            continue;
        }
        tolls.count(&silences, &mut former, switch_cost);
        (0..stray).for_each(|_| tolls.ours.moved(true, switch_cost));
        tolls.days += 1;
    }
    tolls
}

fn tuning() -> Tuning {
    Tuning::steady(Duration::from_secs(1))
}

/// Links beside a standby that never fails, at the defaults, from the first day on.
pub(crate) fn beside_a_standby(extent: Extent, demands: &mut Demands) {
    let rows = [STARLINK, DSL, CABLE, LTE, BURSTY];
    say(
        "Beside a clean standby, at the defaults: what the traffic misses and moves cost on the first and on the second day",
    );
    say(&format!(
        "  {:<22}{:>20}{:>16}{:>16}{:>7}{:>18}{:>9}",
        "", "felt s/day", "moves", "never moving", "away", "over 3 s: left", "worst"
    ));
    let lives = u64::from(extent.lives.max(2));
    let live = |row: Row| {
        let lives = (0..lives).map(|life| DayBeside::live(row.process, extent.seed + life));
        lives.collect::<Vec<_>>()
    };
    crate::at_once(&rows, live, |row, lives| {
        let mean = |day: usize, of: fn(&DayBeside) -> f64| {
            lives.iter().map(|days| of(&days[day])).sum::<f64>() / count(lives.len())
        };
        let moves = [0, 1].map(|day| mean(day, |one| one.moves));
        let left = lives
            .iter()
            .flatten()
            .flat_map(|day| day.left.iter().copied());
        let left = Delays::new(left.collect());
        say(&format!(
            "  {:<22}{:>10.1}{:>10.1}{:>8.1}{:>8.1}{:>16.1}{:>6.0}%{:>18}{:>9}",
            row.name,
            mean(0, |one| one.felt),
            mean(1, |one| one.felt),
            moves[0],
            moves[1],
            mean(1, |one| one.silent),
            mean(1, |one| one.away) * 100.0,
            seconds(left.median()),
            seconds(left.quantile(1.0)),
        ));
        if row.name == BURSTY.name {
            for (day, moves) in ["first", "second"].into_iter().zip(moves) {
                let what = format!(
                    "{}, beside a clean standby: moves on the {day} day",
                    row.name
                );
                demands.at_most(&what, moves, 6.0);
            }
        }
    });
    say("");
}

/// A day beside a standby.
#[derive(Debug)]
struct DayBeside {
    felt: f64,
    /// Away from the link.
    moves: f64,
    /// All its silences.
    silent: f64,
    /// The share of the time that the standby carried.
    away: f64,
    /// After how long each silence of over 3 s was left that began on the link.
    left: Vec<f64>,
}

impl DayBeside {
    /// The first two.
    fn live(process: Process, seed: u64) -> [Self; 2] {
        let link = Link::new(process, 0.012, seed);
        let mut watch = Watch::of(settings(tuning()), Traffic::new(Habit::Idle, 0), link);
        watch.take_silences();
        [0, 1].map(|_| {
            let spans = watch.carried(DAY);
            Self::of(&watch.take_silences(), &spans, watch.seconds())
        })
    }

    fn of(silences: &[Silence], spans: &[(f64, f64)], end: f64) -> Self {
        let cost = tuning().switch_cost.as_secs_f64();
        let (felt, moves) = felt_on(silences, spans, end, cost);
        let left = silences.iter().filter(|silence| silence.lasts() > 3.0);
        let left = left.filter_map(|silence| {
            let on = spans
                .iter()
                .find(|(from, to)| (*from..*to).contains(&silence.began));
            on.map(|(_, to)| to.min(silence.ended) - silence.began)
        });
        Self {
            felt,
            moves,
            silent: silences.iter().map(Silence::lasts).sum(),
            away: 1.0 - spans.iter().map(|(from, to)| to - from).sum::<f64>() / DAY.as_secs_f64(),
            left: left.collect(),
        }
    }
}

/// Outages of one length, so long apart, under a stream that begins a minute before; failback after 5 s, no damping.
pub(crate) fn again_and_again(is_quick: bool, demands: &mut Demands) {
    let gaps = [
        ("40 s", 40.0),
        ("10 min", 600.0),
        ("6 h", 21_600.0),
        ("24 h", 86_400.0),
    ];
    let gaps = if is_quick { &gaps[..2] } else { &gaps[..] };
    say(
        "The same outage again and again, a stream on a clean link: seconds without traffic, and moves; the mean of the \
         first and of the last in eight lives",
    );
    say(&format!(
        "  {:<22}{:>9}{:>9}{:>9}{:>9}{:>15}",
        "", "first", "median", "worst", "last", "moves"
    ));
    let mut trials = Vec::new();
    for (lasts, repetitions) in [(1.0, 20), (2.0, 20), (4.0, 8), (8.0, 8), (15.0, 8)] {
        trials.extend(
            gaps.iter()
                .map(|(name, gap)| (*name, *gap, lasts, repetitions)),
        );
    }
    for (name, gap, lasts, repetitions) in trials {
        // How soon one is left depends on when it begins between two probes: the n-th of one life says little.
        let lives: Vec<_> = (0..LIVES)
            .map(|life| repeat(lasts, gap, repetitions, 1 + life))
            .collect();
        let found: Vec<_> = lives.iter().flatten().copied().collect();
        let mean = |place: usize| {
            let felt = lives.iter().map(|life| life[place].0);
            felt.sum::<f64>() / count(lives.len())
        };
        let means: Vec<_> = (0..lives[0].len()).map(mean).collect();
        let (first, last) = (means[0], means[means.len() - 1]);
        let all = Delays::new(found.iter().map(|(felt, _)| *felt).collect());
        let moved = found.iter().filter(|(_, has_moved)| *has_moved).count();
        let what = format!("{lasts} s, {name} apart");
        say(&format!(
            "  {what:<22}{:>9}{:>9}{:>9}{:>9}{:>9} of {}",
            seconds(first),
            seconds(all.median()),
            seconds(all.quantile(1.0)),
            seconds(last),
            moved,
            found.len()
        ));
        let what = format!("again, {what}:");
        if lasts > 2.0 {
            demands.at_most(&format!("{what} median"), all.median(), 0.5);
            demands.at_most(&format!("{what} worst"), all.quantile(1.0), 0.8);
            let later = means.iter().skip(1).copied().fold(0.0, f64::max);
            demands.at_most(
                &format!("{what} the slowest in the mean, the first + 0.1 s"),
                later,
                round_up(first + 0.1),
            );
        } else {
            let known = lives.iter().flat_map(|life| &life[9..]);
            let cost = |(felt, has_moved): &(f64, bool)| felt + if *has_moved { 2.0 } else { 0.0 };
            let worst = known.map(cost).fold(0.0, f64::max);
            demands.at_most(
                &format!("{what} felt from the tenth on"),
                worst,
                lasts + 0.1,
            );
        }
    }
    say("");
}

/// How often the same outages are lived through.
const LIVES: u64 = 8;

/// For each outage the seconds without traffic, and whether the traffic moved.
fn repeat(lasts: f64, gap: f64, repetitions: u32, seed: u64) -> Vec<(f64, bool)> {
    const STREAM: f64 = 60.0;
    let mut settings = settings(tuning());
    settings.failover.failback_after = Duration::from_secs(5);
    settings.failover.damping.longest = Duration::ZERO;
    let link = Link::new(Process::Independent { loss: 0.0 }, 0.012, seed);
    let mut watch = Watch::of(settings, Traffic::new(Habit::Idle, seed), link);
    let mut chance = Chance::new(seed);
    watch.carried(Duration::from_secs(600));
    let outage = |_| {
        let quiet = Duration::from_secs_f64((gap - STREAM).max(0.0));
        watch.carried(quiet);
        watch.flow(Habit::Stream);
        watch.carried(Duration::from_secs_f64(gap.min(STREAM) + chance.unit()));
        let begin = watch.seconds();
        watch.strike(Trouble::Dead);
        let spans = watch.carried(Duration::from_secs_f64(lasts));
        let left = spans.first().map_or(begin, |(_, to)| *to);
        let has_moved = left < watch.seconds();
        watch.strike(Trouble::None);
        watch.flow(Habit::Idle);
        (left - begin, has_moved)
    };
    (0..repetitions).map(outage).collect()
}
