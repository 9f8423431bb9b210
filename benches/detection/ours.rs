//! What the shipped engine does on a link.

use std::time::Duration;

use uplinkd::config::{Config, defaults};
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::Input;
use uplinkd::engine::settings::Settings;
use uplinkd::engine::state::State;
use uplinkd::replay::Replay;
use uplinkd::routing::Family;
use uplinkd::units::{Bytes, Moment, Target, UplinkName, Wall};

use crate::chance::Chance;
use crate::link::{Link, Process, Trouble};
use crate::scene::Scene;
use crate::silences::{Silence, felt_on};
use crate::traffic::{Habit, Traffic};

/// The time to learn before figures count.
const LEARNING: Duration = Duration::from_secs(86_400);

const DAY: f64 = 86_400.0;

/// The settings that are tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Steady interval.
    pub(crate) interval: Duration,
    /// What a switch costs, in seconds without traffic.
    pub(crate) switch_cost: Duration,
    /// The latency that makes an uplink degraded; three fifths of it make it healthy.
    pub(crate) latency: Duration,
    /// The observed uplink is metered.
    pub(crate) budget: Option<Bytes>,
}

impl Tuning {
    pub(crate) fn steady(interval: Duration) -> Self {
        let health = defaults::health();
        Self {
            interval,
            switch_cost: health.switch_cost,
            latency: health.latency.enter,
            budget: None,
        }
    }
}

/// The extent of a simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Days for false verdicts.
    pub(crate) days: u32,
    /// So many times, each with other random numbers: rare events need many days.
    pub(crate) lives: u32,
    /// Outages for the delay.
    pub(crate) outages: u32,
    /// Changes for the worse.
    pub(crate) changes: u32,
    /// The seed of the random numbers.
    pub(crate) seed: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// False verdicts of an outage in all the days.
    pub(crate) downs: u32,
    /// And of bad quality.
    pub(crate) degradeds: u32,
    /// Seconds without traffic beside a perfect standby, and what the moves cost.
    pub(crate) felt: f64,
    /// Verdicts on silences that would have ended within what a switch costs.
    pub(crate) useless: u32,
    pub(crate) days: u32,
    pub(crate) probes_per_hour: f64,
    pub(crate) blackhole: Delays,
    pub(crate) loss_30: Delays,
    pub(crate) loss_50: Delays,
}

impl Figures {
    /// False verdicts of an outage in 30 days.
    pub(crate) fn downs_per_month(&self) -> f64 {
        f64::from(self.downs) * 30.0 / f64::from(self.days)
    }

    /// Seconds without traffic and what the moves cost, in a day.
    pub(crate) fn felt_per_day(&self) -> f64 {
        self.felt / f64::from(self.days)
    }

    /// Useless verdicts of an outage in 30 days.
    pub(crate) fn useless_per_month(&self) -> f64 {
        f64::from(self.useless) * 30.0 / f64::from(self.days)
    }

    /// False verdicts of bad quality in 30 days.
    pub(crate) fn degradeds_per_month(&self) -> f64 {
        f64::from(self.degradeds) * 30.0 / f64::from(self.days)
    }
}

/// Delays in seconds, sorted; infinite: never.
#[derive(Clone, Debug)]
pub(crate) struct Delays(Vec<f64>);

impl Delays {
    pub(crate) fn new(mut delays: Vec<f64>) -> Self {
        delays.sort_by(f64::total_cmp);
        Self(delays)
    }

    /// The delay that `share` of them do not exceed; NaN of none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list of some thousands"
    )]
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// An engine that watches a link, in virtual time.
#[derive(Clone)]
pub(crate) struct Watch {
    replay: Replay<Scene>,
    observed: UplinkName,
    /// In seconds.
    switch_cost: f64,
}

impl Watch {
    pub(crate) fn new(tuning: Tuning, link: Link) -> Self {
        Self::under(Traffic::new(Habit::Idle, 0), tuning, link)
    }

    /// With a client's traffic.
    pub(crate) fn under(traffic: Traffic, tuning: Tuning, link: Link) -> Self {
        Self::of(settings(tuning), traffic, link)
    }

    /// Of the first uplink.
    pub(crate) fn of(settings: Settings, traffic: Traffic, link: Link) -> Self {
        let observed = settings.uplinks[0].name.clone();
        let scene = Scene {
            observed: observed.clone(),
            link,
            traffic,
        };
        let switch_cost = settings.uplinks[0].health.switch_cost.as_secs_f64();
        Self {
            replay: Replay::new(settings, scene),
            observed,
            switch_cost,
        }
    }

    /// Lets time pass and returns what happened to the observed uplink.
    pub(crate) fn pass(&mut self, span: Duration) -> Vec<(f64, State)> {
        let events = self.run(span);
        events
            .iter()
            .filter_map(|event| self.state(event))
            .collect()
    }

    /// Lets time pass and returns what happened.
    pub(crate) fn run(&mut self, span: Duration) -> Vec<Event> {
        self.replay.run_until(self.replay.now() + span)
    }

    /// The silences that are over since they were last taken.
    pub(crate) fn take_silences(&mut self) -> Vec<Silence> {
        let now = self.seconds();
        self.replay.world().link.take_silences(now)
    }

    /// The silence at a moment was declared an outage; whether there is one.
    pub(crate) fn leave(&mut self, at: f64) -> bool {
        self.replay.world().link.leave(at)
    }

    /// The client's traffic is this from now on.
    pub(crate) fn flow(&mut self, habit: Habit) {
        let now = self.seconds();
        self.replay.world().traffic.take_up(habit, now);
    }

    /// The kernel remembers flows: new connections may leave an uplink before all others.
    pub(crate) fn remember_flows(&mut self) {
        let uplinks = self.replay.probes().keys();
        let families = |name: &UplinkName| Family::ROUTED.map(|family| (name.clone(), family));
        let flows = uplinks.flat_map(families).collect();
        self.replay.input(Input::FlowsRemembered(flows));
    }

    pub(crate) fn is_carrying(&self) -> bool {
        self.is_observed(&self.replay.engine().carriers())
    }

    /// Lets time pass, and returns when the observed uplink carried the traffic meanwhile.
    pub(crate) fn carried(&mut self, span: Duration) -> Vec<(f64, f64)> {
        let from = self.is_carrying().then(|| self.seconds());
        let events = self.run(span);
        self.spans(from, &events, all_traffic)
    }

    /// When the observed uplink was among those that take what moves, which it did since `from` before these events.
    pub(crate) fn spans(
        &self,
        mut from: Option<f64>,
        events: &[Event],
        taking: fn(&Change) -> Option<&Vec<UplinkName>>,
    ) -> Vec<(f64, f64)> {
        let mut spans = Vec::new();
        for event in events {
            let Some(to) = taking(&event.change) else {
                continue;
            };
            let at = event.at.since_start().as_secs_f64();
            if self.is_observed(to) {
                from.get_or_insert(at);
            } else if let Some(from) = from.take() {
                spans.push((from, at));
            }
        }
        spans.extend(from.map(|from| (from, self.seconds())));
        spans
    }

    /// The observed uplink is the first of these.
    fn is_observed(&self, carriers: &[UplinkName]) -> bool {
        carriers.first() == Some(&self.observed)
    }

    /// Lets time pass until the uplink is up.
    pub(crate) fn pass_until_up(&mut self, span: Duration) {
        self.pass(span);
        while !self.is_up() {
            self.pass(Duration::from_secs(10));
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.replay.now().since_start().as_secs_f64()
    }

    pub(crate) fn probes(&self) -> u64 {
        self.replay.probes()[&self.observed]
    }

    /// The delays of verdicts after so many changes for the worse, at random times while it is up.
    fn delays(&mut self, count: u32, trouble: Trouble, chance: &mut Chance) -> Delays {
        let delays = (0..count).map(|_| {
            self.pass_until_up(Duration::from_secs_f64(chance.between(20.0, 60.0)));
            self.delay(trouble)
        });
        Delays::new(delays.collect())
    }

    /// The delay of the verdict if `trouble` begins now: of an outage if nothing comes back, else of bad
    /// quality or an outage.
    pub(crate) fn delay(&self, trouble: Trouble) -> f64 {
        const LONGEST: f64 = 600.0;
        let is_verdict = |to: State| match trouble {
            Trouble::Dead => to == State::Down,
            Trouble::None | Trouble::Loses(_) | Trouble::Slow(_) => {
                matches!(to, State::Down | State::Degraded)
            }
        };
        let mut watch = self.clone();
        let begin = watch.seconds();
        watch.strike(trouble);
        while watch.seconds() - begin < LONGEST {
            let events = watch.pass(Duration::from_millis(500));
            if let Some((at, _)) = events.iter().find(|(_, to)| is_verdict(*to)) {
                return at - begin;
            }
        }
        f64::INFINITY
    }

    /// The delay of the verdict on an outage that begins now and ends after `length`.
    fn outage(&mut self, length: Duration) -> f64 {
        let begin = self.seconds();
        self.strike(Trouble::Dead);
        let events = self.pass(length);
        self.strike(Trouble::None);
        let verdict = events.iter().find(|(_, to)| *to == State::Down);
        verdict.map_or(f64::INFINITY, |(at, _)| at - begin)
    }

    pub(crate) fn strike(&mut self, trouble: Trouble) {
        let now = self.replay.now();
        self.replay.world().strike(trouble, now);
    }

    fn state(&self, event: &Event) -> Option<(f64, State)> {
        if let Change::Uplink { uplink, to, .. } = &event.change
            && *uplink == self.observed
        {
            return Some((event.at.since_start().as_secs_f64(), *to));
        }
        None
    }

    fn is_up(&self) -> bool {
        let wall = Wall::reading(std::time::UNIX_EPOCH, Moment::START);
        self.replay.engine().status(wall).uplinks[0].state == State::Up
    }
}

/// What carries all traffic from this change on.
pub(crate) fn all_traffic(change: &Change) -> Option<&Vec<UplinkName>> {
    if let Change::Switch { to, .. } = change {
        Some(to)
    } else {
        None
    }
}

/// Everything about one process at one interval.
pub(crate) fn measure(process: Process, tuning: Tuning, extent: Extent) -> Figures {
    let life = |seed| {
        let watch = Watch::new(tuning, Link::new(process, 0.012, seed));
        live(watch, extent)
    };
    let (mut watch, mut figures) = life(extent.seed);
    for seed in 1..u64::from(extent.lives) {
        let (_, more) = life(extent.seed + 100 * seed);
        figures.downs += more.downs;
        figures.degradeds += more.degradeds;
        figures.felt += more.felt;
        figures.useless += more.useless;
        figures.days += more.days;
    }
    let mut chance = Chance::new(7);
    let mut delays = |count, trouble| watch.delays(count, trouble, &mut chance);
    figures.blackhole = delays(extent.outages, Trouble::Dead);
    figures.loss_30 = delays(extent.changes, Trouble::Loses(0.3));
    figures.loss_50 = delays(extent.changes, Trouble::Loses(0.5));
    figures
}

/// The figures of so many days after a day of learning; the engine has learnt the link at the end.
fn live(mut watch: Watch, extent: Extent) -> (Watch, Figures) {
    let (days, switch_cost) = (extent.days, watch.switch_cost);
    watch.pass(LEARNING);
    let probes_before = watch.probes();
    let (mut events, mut felt, mut useless) = (Vec::new(), 0.0, 0);
    watch.take_silences();
    for _ in 0..days {
        let from = watch.is_carrying().then(|| watch.seconds());
        let new = watch.run(Duration::from_secs_f64(DAY));
        let states: Vec<_> = new.iter().filter_map(|event| watch.state(event)).collect();
        let downs = states.iter().filter(|(_, to)| *to == State::Down);
        useless += downs.filter(|(at, _)| !watch.leave(*at)).count();
        let silences = watch.take_silences();
        let is_useless = |silence: &&Silence| silence.is_left_in_vain(switch_cost);
        useless += silences.iter().filter(is_useless).count();
        felt += felt_on(
            &silences,
            &watch.spans(from, &new, all_traffic),
            watch.seconds(),
            switch_cost,
        )
        .0;
        events.extend(states);
    }
    let count = |state: State| {
        let count = events.iter().filter(|(_, to)| *to == state).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    let probes = (watch.probes() - probes_before) as f64;
    let figures = Figures {
        downs: count(State::Down),
        degradeds: count(State::Degraded),
        days,
        felt,
        useless: u32::try_from(useless).unwrap_or(u32::MAX),
        probes_per_hour: probes / (f64::from(days) * 24.0),
        blackhole: Delays::new(Vec::new()),
        loss_30: Delays::new(Vec::new()),
        loss_50: Delays::new(Vec::new()),
    };
    (watch, figures)
}

/// False verdicts and the delay of an outage with a client's traffic.
pub(crate) fn busy(habit: Habit, process: Process, tuning: Tuning, extent: Extent) -> Figures {
    let traffic = Traffic::new(habit, extent.seed);
    let watch = Watch::under(traffic, tuning, Link::new(process, 0.012, extent.seed));
    let (mut watch, mut figures) = live(watch, extent);
    figures.blackhole = watch.delays(extent.outages, Trouble::Dead, &mut Chance::new(7));
    figures
}

/// False verdicts, probes, and the delay of a true verdict.
pub(crate) fn trade_off(process: Process, tuning: Tuning, extent: Extent) -> Figures {
    let watch = Watch::new(tuning, Link::new(process, 0.012, extent.seed));
    let (mut watch, mut figures) = live(watch, extent);
    figures.blackhole = watch.delays(extent.changes, Trouble::Dead, &mut Chance::new(7));
    figures
}

/// A link whose round trips become five times as long, beyond the limit.
pub(crate) fn slow(rtt: f64, latency: Duration, count: u32) -> Delays {
    let tuning = Tuning {
        latency,
        ..Tuning::steady(Duration::from_secs(1))
    };
    let process = Process::Independent { loss: 0.01 };
    let mut watch = Watch::new(tuning, Link::new(process, rtt, 1));
    watch.pass(Duration::from_secs(3600));
    watch.delays(count, Trouble::Slow(5.0), &mut Chance::new(7))
}

/// The length of each outage of [`series`].
pub(crate) const SERIES_OUTAGE: Duration = Duration::from_secs(4);

/// The delays of ten outages in a row, by their place, over so many series.
pub(crate) fn series(process: Process, count: u32, seed: u64) -> Vec<Delays> {
    let mut chance = Chance::new(seed);
    let mut delays = vec![Vec::new(); 10];
    for number in 0..count {
        let link = Link::new(process, 0.012, seed + u64::from(number));
        let mut watch = Watch::new(Tuning::steady(Duration::from_secs(1)), link);
        watch.pass(Duration::from_secs(3600));
        for delays in &mut delays {
            watch.pass_until_up(Duration::from_secs_f64(chance.between(60.0, 120.0)));
            delays.push(watch.outage(SERIES_OUTAGE));
        }
    }
    delays.into_iter().map(Delays::new).collect()
}

/// Changes of state in 24 h of steady loss, after an hour.
pub(crate) fn changes(loss: f64, seed: u64) -> usize {
    let tuning = Tuning::steady(Duration::from_secs(1));
    let mut watch = Watch::new(
        tuning,
        Link::new(Process::Independent { loss }, 0.012, seed),
    );
    watch.pass(Duration::from_secs(3600));
    watch.pass(Duration::from_secs(86_400)).len()
}

/// Two uplinks: the observed one, and a perfect one that takes over.
pub(crate) fn settings(tuning: Tuning) -> Settings {
    const UPLINKS: &str = "[[uplink]]\nname = \"observed\"\ninterface = \"eth1\"\ntier = 1\n\
                           [[uplink]]\nname = \"perfect\"\ninterface = \"eth2\"\ntier = 2\n";
    let config = Config::parse(UPLINKS, "detection").expect("a configuration");
    let mut settings = config.engine;
    settings.seed = 1;
    for uplink in &mut settings.uplinks {
        uplink.health.switch_cost = tuning.switch_cost;
        uplink.health.latency.enter = tuning.latency;
        uplink.health.latency.exit = tuning.latency * 3 / 5;
        let probe = &mut uplink.probe;
        probe.interval = tuning.interval;
        probe.confirm_interval = probe.confirm_interval.min(tuning.interval);
        probe.targets = (0..3)
            .map(|place| Target::Icmp([192, 0, 2, place].into()))
            .collect();
    }
    settings.uplinks[0].probe_budget = tuning.budget;
    settings.uplinks[1].probe.interval = tuning.interval.max(Duration::from_secs(10));
    settings
}
