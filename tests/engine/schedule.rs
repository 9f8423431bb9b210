//! When whom is probed, in virtual time.

use std::time::Duration;

use crate::earlier::unspent;
use crate::extent::extent;
use crate::support::{at, brief, name, settings, when};
use uplinkd::engine::action::ProbeOrder;
use uplinkd::engine::budget::{PERIOD, cost, plan};
use uplinkd::engine::input::Input;
use uplinkd::engine::schedule::Spread;
use uplinkd::engine::settings::Settings;
use uplinkd::engine::status::BudgetStatus;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::Trouble;
use uplinkd::units::{Bytes, Counters, Moment, Wall};

const RTT: Duration = Duration::from_millis(10);

/// A world that notes when each probe is sent.
struct Noted<F> {
    is_answered: F,
    sent: Vec<(String, f64)>,
    costs: Vec<(String, f64, u64)>,
    traffic: Option<Traffic>,
}

/// What flows through an uplink, as its counters tell each second.
#[derive(Clone, Copy)]
struct Traffic {
    uplink: &'static str,
    /// Packets a second, in and out.
    rates: [u64; 2],
    next: Moment,
    counters: Counters,
}

impl Traffic {
    fn of(uplink: &'static str, rates: [u64; 2]) -> Self {
        Self {
            uplink,
            rates,
            next: at(10.0),
            counters: Counters::default(),
        }
    }
}

impl<F: FnMut(&str, f64) -> bool> World for Noted<F> {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        let now = now.since_start().as_secs_f64();
        let uplink = order.uplink.to_string();
        let is_answered = (self.is_answered)(&uplink, now);
        let settings = crate::support::probe(&["192.0.2.1"]);
        let cost = cost(&order.target, &settings);
        self.costs.push((uplink.clone(), now, cost));
        self.sent.push((uplink, now));
        is_answered.then_some(RTT)
    }

    fn next_input(&mut self, now: Moment) -> Option<Input> {
        let traffic = self
            .traffic
            .as_mut()
            .filter(|traffic| traffic.next <= now)?;
        traffic.next = traffic.next + Duration::from_secs(1);
        traffic.counters.rx_packets += traffic.rates[0];
        traffic.counters.tx_packets += traffic.rates[1];
        Some(Input::Counters {
            uplink: name(traffic.uplink),
            counters: traffic.counters,
        })
    }

    fn next_input_at(&self) -> Option<Moment> {
        self.traffic.map(|traffic| traffic.next)
    }
}

fn noted<F: FnMut(&str, f64) -> bool>(settings: Settings, is_answered: F) -> Replay<Noted<F>> {
    let world = Noted {
        is_answered,
        sent: Vec::new(),
        costs: Vec::new(),
        traffic: None,
    };
    Replay::new(settings, world)
}

/// When an uplink was probed between two times.
fn sent<F: FnMut(&str, f64) -> bool>(
    replay: &mut Replay<Noted<F>>,
    uplink: &str,
    between: std::ops::Range<f64>,
) -> Vec<f64> {
    let sent = replay.world().sent.iter();
    sent.filter(|(name, at)| name == uplink && between.contains(at))
        .map(|(_, at)| *at)
        .collect()
}

fn longest_gap(times: &[f64]) -> f64 {
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.fold(0.0, f64::max)
}

#[test]
fn a_standby_is_probed_a_fifth_as_often_and_wakes_no_other() {
    let mut replay = noted(settings(&["fiber", "lte", "backup"]), |_, _| true);
    replay.run_until(at(3_660.0));
    let fiber = sent(&mut replay, "fiber", 60.0..3_660.0);
    assert!((3_500..=3_700).contains(&fiber.len()), "{}", fiber.len());
    for standby in ["lte", "backup"] {
        let probes = sent(&mut replay, standby, 60.0..3_660.0);
        assert!((650..=790).contains(&probes.len()), "{}", probes.len());
        assert!(longest_gap(&probes) <= 7.0, "{}", longest_gap(&probes));
        let alone = probes.iter().filter(|at| !fiber.contains(at)).count();
        assert!(alone * 50 <= probes.len(), "{alone} wake-ups of its own");
    }
}

#[test]
fn all_standbys_are_asked_at_once_when_the_carrier_misses_a_probe() {
    let mut replay = noted(settings(&["fiber", "lte", "backup"]), |uplink, now| {
        uplink != "fiber" || now < 100.0
    });
    replay.run_until(at(110.0));
    let first_miss = sent(&mut replay, "fiber", 100.0..110.0)[0];
    for standby in ["lte", "backup"] {
        let asked = sent(&mut replay, standby, first_miss + 0.001..first_miss + 0.1);
        assert!(asked.len() >= 3, "{standby}: {asked:?} after {first_miss}");
    }
}

#[test]
fn a_single_miss_of_the_carrier_costs_one_round_of_each_standby() {
    let mut is_lost = false;
    let mut replay = noted(settings(&["fiber", "lte"]), move |uplink, now| {
        let is_the_one = uplink == "fiber" && now >= 100.0 && !is_lost;
        is_lost |= is_the_one;
        !is_the_one
    });
    let events = replay.run_until(at(90.0));
    assert!(when(&events, "switch  -> fiber").is_some());
    let calm = sent(&mut replay, "lte", 60.0..90.0).len();
    replay.run_until(at(130.0));
    let disturbed = sent(&mut replay, "lte", 100.0..130.0).len();
    assert!(disturbed <= calm + 5, "{disturbed} instead of {calm}");
}

#[test]
fn the_traffic_never_goes_to_a_standby_that_died_since_it_was_last_probed() {
    for run in 0..40_u32 {
        let lte_dies = 95.0 + f64::from(run) * 0.113;
        let mut replay = noted(settings(&["fiber", "lte", "backup"]), |uplink, now| {
            let is_dead = match uplink {
                "fiber" => now >= 100.0,
                "lte" => now >= lte_dies,
                _ => false,
            };
            !is_dead
        });
        replay.run_until(at(90.0));
        let events = replay.run_until(at(130.0));
        let lines = brief(&events);
        assert!(
            when(&events, "switch fiber -> backup").is_some(),
            "{run}: {lines:?}"
        );
        assert_eq!(
            lines
                .iter()
                .filter(|line| line.starts_with("switch"))
                .count(),
            1
        );
    }
}

#[test]
fn the_way_from_a_dead_uplink_is_not_delayed_by_asking_the_standbys() {
    let delay = |standby: Duration| {
        let mut settings = settings(&["fiber", "lte"]);
        settings.uplinks[1].probe.standby_interval = standby;
        let mut replay = noted(settings, |uplink, now| uplink != "fiber" || now < 100.0);
        let events = replay.run_until(at(110.0));
        when(&events, "switch fiber -> lte").expect("a switch")
    };
    let (rare, often) = (
        delay(Duration::from_secs(30)),
        delay(Duration::from_secs(1)),
    );
    assert!((rare - often).abs() < 1e-9, "{rare} and {often}");
}

#[test]
fn a_dead_standby_that_gets_the_traffic_of_a_pulled_cable_is_left_within_a_second() {
    let mut replay = noted(settings(&["fiber", "lte", "backup"]), |uplink, now| {
        uplink != "lte" || now < 100.0
    });
    let calm = replay.run_until(at(90.0));
    assert!(when(&calm, "switch  -> fiber").is_some());
    // Just after a probe of the standby has been answered.
    let last = sent(&mut replay, "lte", 80.0..90.0)
        .last()
        .copied()
        .expect("a probe");
    let mut attachment = attached(1);
    attachment.trouble = Some(Trouble::NoCarrier);
    replay.run_until(at(100.0_f64.max(last) + 0.001));
    let mut events = replay.input(Input::Attachment {
        uplink: name("fiber"),
        attachment,
    });
    events.extend(replay.run_until(at(110.0)));
    let away = when(&events, "switch lte -> backup").or(when(&events, "switch fiber -> backup"));
    assert!(away.expect("a way out") < 101.001, "{:?}", brief(&events));
}

#[test]
fn an_uplink_that_was_passed_over_comes_back_by_a_failback() {
    let mut replay = noted(
        settings(&["fiber", "lte", "backup"]),
        |uplink, now| match uplink {
            "fiber" => now < 100.0,
            // A short silence, just when it matters.
            "lte" => !(99.9..101.3).contains(&now),
            _ => true,
        },
    );
    let events = replay.run_until(at(300.0));
    let left = when(&events, "switch fiber -> backup").expect("a switch");
    let back = when(&events, "switch backup -> lte").expect("a failback");
    assert!(back - left >= 60.0, "{:?}", brief(&events));
}

#[test]
fn a_preferred_uplink_that_waits_to_come_back_is_probed_at_the_interval() {
    let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
        uplink != "fiber" || !(100.0..120.0).contains(&now)
    });
    replay.run_until(at(120.0));
    let events = replay.run_until(at(200.0));
    let up = when(&events, "uplink.up fiber").expect("well again");
    let back = when(&events, "switch lte -> fiber").expect("a failback");
    let probes = sent(&mut replay, "fiber", up..back);
    assert!(longest_gap(&probes) <= 1.3, "{}", longest_gap(&probes));
}

#[test]
fn the_return_of_an_uplink_is_noticed_within_a_tenth_of_its_outage_and_twelve_seconds() {
    for lasts in [5.0, 30.0, 90.0, 600.0, 20_000.0] {
        let mends = 100.0 + lasts;
        let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
            uplink != "fiber" || !(100.0..mends).contains(&now)
        });
        let events = replay.run_until(at(mends + 30.0));
        let noticed = when(&events, "uplink.recovering fiber").expect("noticed") - mends;
        let most = (lasts * 0.1 * 1.2).clamp(1.3, 12.1);
        assert!(noticed <= most, "{noticed} s after {lasts} s");
    }
}

#[test]
fn an_uplink_that_has_long_been_dead_is_asked_rarely() {
    let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
        uplink != "fiber" || now < 100.0
    });
    replay.run_until(at(7_200.0));
    let probes = sent(&mut replay, "fiber", 3_600.0..7_200.0).len();
    assert!((300..=450).contains(&probes), "{probes}");
}

#[test]
fn no_uplink_backs_off_while_nothing_works() {
    let mut replay = noted(settings(&["fiber", "lte"]), |_, now| now < 100.0);
    replay.run_until(at(7_200.0));
    for uplink in ["fiber", "lte"] {
        let probes = sent(&mut replay, uplink, 3_600.0..7_200.0);
        assert!(longest_gap(&probes) <= 1.3, "{}", longest_gap(&probes));
    }
}

#[test]
fn a_link_that_comes_back_is_probed_at_once_however_long_it_was_away() {
    let mut replay = noted(settings(&["fiber", "lte"]), |uplink, now| {
        uplink != "fiber" || !(100.0..3_602.0).contains(&now)
    });
    replay.run_until(at(3_600.0));
    let attach = |replay: &mut Replay<_>, trouble| {
        let mut attachment = attached(1);
        attachment.trouble = trouble;
        let uplink = name("fiber");
        replay.input(Input::Attachment { uplink, attachment })
    };
    attach(&mut replay, Some(Trouble::NoCarrier));
    replay.run_until(at(3_600.5));
    attach(&mut replay, None);
    let events = replay.run_until(at(3_610.0));
    let noticed = when(&events, "uplink.recovering fiber").expect("noticed");
    assert!(noticed <= 3_603.3, "{noticed}");
}

const BUDGET: Bytes = Bytes(50_000_000);

/// Uplinks of which this one is metered.
fn metered(uplinks: &[&str], which: usize) -> Settings {
    let mut settings = settings(uplinks);
    settings.uplinks[which].probe_budget = Some(BUDGET);
    settings
}

/// The most that an uplink's probes cost in any 30 days, in bytes.
fn dearest_month(costs: &[(String, f64, u64)], uplink: &str) -> u64 {
    let costs: Vec<_> = costs.iter().filter(|(name, ..)| name == uplink).collect();
    let (mut oldest, mut sum, mut dearest) = (0, 0, 0);
    for (_, at, cost) in &costs {
        sum += cost;
        while at - costs[oldest].1 > PERIOD.as_secs_f64() {
            sum -= costs[oldest].2;
            oldest += 1;
        }
        dearest = dearest.max(sum);
    }
    dearest
}

fn budget(replay: &Replay<impl World>, which: usize) -> BudgetStatus {
    let wall = Wall::reading(std::time::UNIX_EPOCH, Moment::START);
    let status = replay.engine().status(wall).uplinks.swap_remove(which);
    status.probe_budget.expect("it is metered")
}

/// A link that is silent for two seconds at a time, so and so often.
fn bursty(seed: u64, every: f64) -> impl FnMut(&str, f64) -> bool {
    let mut random = Spread::new(seed);
    let (mut begins, mut ends) = (0.0, 0.0);
    move |_, now| {
        while now >= ends {
            begins = ends - every * random.unit().max(1e-9).ln();
            ends = begins - 2.0 * random.unit().max(1e-9).ln();
        }
        now < begins
    }
}

#[test]
fn forty_days_of_a_suspicious_metered_link_cost_no_more_than_its_budget_in_any_thirty_days() {
    let mut settings = metered(&["lte"], 0);
    let budget_of_it = BUDGET.0 / 10;
    settings.uplinks[0].probe_budget = Some(Bytes(budget_of_it));
    let mut replay = noted(settings, bursty(1, 125.0));
    replay.run_until(at(40.0 * 86_400.0));
    let dearest = dearest_month(&replay.world().costs, "lte");
    assert!(dearest <= budget_of_it, "{dearest}");
    assert!(
        dearest >= budget_of_it / 2,
        "{dearest}: most of it is of use"
    );
    assert_eq!(
        budget(&replay, 0).spent_bytes.0,
        replay
            .world()
            .costs
            .iter()
            .map(|(.., cost)| cost)
            .sum::<u64>()
    );
}

#[test]
fn a_metered_link_that_never_works_costs_no_more_than_its_budget_either() {
    let shares = [(2, 0.0), (1, 0.3)];
    for &(seed, share) in &shares[..extent(1, shares.len())] {
        let mut random = Spread::new(seed);
        let mut settings = metered(&["lte"], 0);
        settings.uplinks[0].probe_budget = Some(Bytes(500_000));
        let mut replay = noted(settings, move |_, _| random.unit() < share);
        replay.run_until(at(35.0 * 86_400.0));
        let dearest = dearest_month(&replay.world().costs, "lte");
        assert!((250_000..=500_000).contains(&dearest), "{dearest}");
    }
}

#[test]
fn a_metered_carrier_is_probed_as_rarely_as_its_plan_says_and_left_within_it() {
    let settings = metered(&["lte", "backup"], 0);
    let plan = plan(&settings.uplinks[0]).expect("it is metered");
    assert!(plan.every < Duration::from_secs(17), "{plan:?}");
    for run in 0..20_u32 {
        let dies = 7_200.0 + f64::from(run) * 1.3;
        let mut replay = noted(settings.clone(), move |uplink, now| {
            uplink != "lte" || now < dies
        });
        let events = replay.run_until(at(7_300.0));
        let calm = sent(&mut replay, "lte", 3_600.0..7_200.0).len();
        let usual = 3_600.0 / plan.every.as_secs_f64();
        assert!((usual * 0.9..usual * 1.1).contains(&f64::from(u32::try_from(calm).expect("few"))));
        let delay = when(&events, "switch lte -> backup").expect("a switch") - dies;
        let first = sent(&mut replay, "lte", dies..7_300.0)[0] - dies;
        assert!(first <= plan.suspected_within.as_secs_f64(), "{first}");
        assert!(
            delay - first <= 1.5,
            "a verdict {} s after the first miss",
            delay - first
        );
    }
}

#[test]
fn a_new_metered_link_is_judged_at_once_and_can_be_left_in_its_first_minute() {
    let mut replay = noted(metered(&["lte", "backup"], 0), |uplink, now| {
        uplink != "lte" || now < 60.0
    });
    let events = replay.run_until(at(120.0));
    assert!(when(&events, "uplink.up lte").expect("judged") < 1.0);
    let left = when(&events, "switch lte -> backup").expect("left");
    assert!(left - 60.0 < 20.0, "{left}");
}

#[test]
fn traffic_saves_probes_of_a_metered_carrier_but_not_all_of_them() {
    let mut calm = noted(metered(&["lte", "backup"], 0), |_, _| true);
    calm.run_until(at(7_200.0));
    let mut busy = noted(metered(&["lte", "backup"], 0), |_, _| true);
    busy.world().traffic = Some(Traffic::of("lte", [15, 15]));
    busy.run_until(at(7_200.0));
    let calm = sent(&mut calm, "lte", 60.0..7_200.0).len();
    let busy = sent(&mut busy, "lte", 60.0..7_200.0).len();
    assert!(busy * 4 <= calm, "{busy} instead of {calm}");
    assert!(busy * 6 >= calm, "{busy} instead of {calm}");
}

#[test]
fn noise_on_a_metered_link_does_not_save_probes() {
    let mut calm = noted(metered(&["lte", "backup"], 0), |_, _| true);
    calm.run_until(at(7_200.0));
    let mut noisy = noted(metered(&["lte", "backup"], 0), |_, _| true);
    noisy.world().traffic = Some(Traffic::of("lte", [50, 1]));
    noisy.run_until(at(7_200.0));
    let calm = sent(&mut calm, "lte", 60.0..7_200.0).len();
    let noisy = sent(&mut noisy, "lte", 60.0..7_200.0).len();
    assert!(noisy * 10 >= calm * 9, "{noisy} instead of {calm}");
}

#[test]
fn a_metered_standby_is_asked_only_when_the_doubt_is_grave() {
    let mut lost = 0;
    let mut replay = noted(metered(&["fiber", "lte"], 1), move |uplink, now| {
        // Each minute one probe.
        let is_lost = uplink == "fiber" && now >= f64::from(lost + 2) * 60.0;
        lost += i32::from(is_lost);
        !is_lost
    });
    replay.run_until(at(3_600.0));
    let probes = sent(&mut replay, "lte", 0.0..3_600.0).len();
    assert!(probes <= 290, "{probes}");
    let mut replay = noted(metered(&["fiber", "lte"], 1), |uplink, now| {
        uplink != "fiber" || now < 100.0
    });
    let events = replay.run_until(at(110.0));
    let switched = when(&events, "switch fiber -> lte").expect("a switch");
    let asked = sent(&mut replay, "lte", switched - 0.6..switched - 0.02);
    assert!(!asked.is_empty(), "no probe before {switched}");
}

#[test]
fn what_a_metered_link_has_spent_outlives_a_restart() {
    let mut settings = metered(&["lte"], 0);
    settings.uplinks[0].probe_budget = Some(Bytes(2_000_000));
    let mut costs = Vec::new();
    let mut left = None;
    for run in 0..40_u32 {
        let mut replay = noted(settings.clone(), bursty(u64::from(run), 20.0));
        if let Some(left) = left.take() {
            replay.input(unspent(name("lte"), left));
        }
        let begin = f64::from(run) * 43_200.0;
        replay.run_until(at(43_200.0));
        let now = replay.world().costs.drain(..);
        costs.extend(now.map(|(uplink, at, cost)| (uplink, begin + at, cost)));
        left = replay.engine().clone().unspent().remove(&name("lte"));
    }
    let dearest = dearest_month(&costs, "lte");
    assert!(dearest <= 2_000_000, "{dearest}");
}

#[test]
fn a_reload_gives_nothing_back() {
    let settings = metered(&["lte", "backup"], 0);
    let mut replay = noted(settings.clone(), |_, _| true);
    replay.run_until(at(86_400.0));
    let before = budget(&replay, 0).left_bytes.0;
    let earned_meanwhile = 1_000;
    for seconds in 0..200_u64 {
        let mut changed = settings.clone();
        changed.uplinks[0].probe.timeout = Duration::from_millis(900 + seconds);
        replay.input(Input::Settings(Box::new(changed)));
    }
    assert!(budget(&replay, 0).left_bytes.0 <= before + earned_meanwhile);
}
