//! What this machine does to itself says nothing about a path: the agent does not run, or its probes are
//! refused.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::cases::cases;
use crate::support::{at, brief, name, probe, settings};
use proptest::prelude::*;
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, ProbeOrder};
use uplinkd::engine::event::{Change, Event};
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::loss::Learner;
use uplinkd::engine::schedule::Spread;
use uplinkd::engine::stalls::LEAST_STALL;
use uplinkd::engine::state::State;
use uplinkd::replay::{Replay, World, attached};
use uplinkd::routing::{Attachment, Trouble};
use uplinkd::units::{Moment, ProbeId, UplinkName, Wall};

const RTT: Duration = Duration::from_millis(20);

/// How a machine keeps the agent from running: at each call it may wait before it runs.
#[derive(Clone, Copy, Debug)]
struct Stalling {
    /// The share of calls that wait.
    share: f64,
    /// For how many seconds, at most.
    longest: f64,
}

/// An agent that runs now and then. Answers arrive in its sockets whether it runs or not.
struct StalledAgent {
    engine: Engine,
    now: Moment,
    stalling: Stalling,
    random: Spread,
    sockets: BinaryHeap<Reverse<(Moment, ProbeId, UplinkName)>>,
    /// From then on fiber answers nothing.
    dead_from: Option<Moment>,
    events: Vec<Event>,
}

impl StalledAgent {
    fn new(stalling: Stalling, seed: u64) -> Self {
        let mut engine = Engine::new(settings(&["fiber", "lte"]), Moment::START);
        for (place, uplink) in [(1, "fiber"), (2, "lte")] {
            let (uplink, attachment) = (name(uplink), attached(place));
            engine.handle_input(Moment::START, Input::Attachment { uplink, attachment });
        }
        Self {
            engine,
            now: Moment::START,
            stalling,
            random: Spread::new(seed),
            sockets: BinaryHeap::new(),
            dead_from: None,
            events: Vec::new(),
        }
    }

    fn run_until(&mut self, end: Moment) {
        while self.now < end {
            self.act();
            let due = self.engine.poll_timeout().expect("an uplink is probed");
            let arrival = self.sockets.peek().map(|Reverse((at, ..))| *at);
            let next = arrival.map_or(due, |arrival| arrival.min(due));
            self.now = self.now.max(next);
            self.wait();
            if arrival.is_some_and(|arrival| arrival < due) {
                self.read(self.now);
            } else {
                self.timeout(due);
            }
        }
    }

    /// As the daemon does it: all that has arrived is read before a probe is judged.
    fn timeout(&mut self, due: Moment) {
        let is_stall = self.now.since(due) >= LEAST_STALL;
        if self.engine.awaits_answers(self.now) || is_stall {
            self.wait();
            let until = self.now;
            self.read(until);
            self.wait();
            self.engine
                .handle_input(self.now, Input::AnswersRead { until });
            let lasts = self.now.since(due);
            if lasts >= LEAST_STALL {
                self.engine.handle_input(self.now, Input::Stalled { lasts });
            }
        }
        self.engine.handle_timeout(self.now);
    }

    fn read(&mut self, until: Moment) {
        while let Some(Reverse((arrival, id, uplink))) = self.sockets.peek().cloned()
            && arrival <= until
        {
            self.sockets.pop();
            let outcome = ProbeOutcome::Reply(RTT);
            let input = Input::Probe {
                uplink,
                id,
                outcome,
            };
            self.engine.handle_input(self.now, input);
        }
    }

    /// What is ordered together leaves together, late or not.
    fn act(&mut self) {
        let late = self.stall();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Probe(order) => self.send(order, late),
                Action::Event(event) => self.events.push(event),
                Action::Count(_)
                | Action::Drain(..)
                | Action::Drill(_)
                | Action::Trace(_)
                | Action::Route(_)
                | Action::Leave(_) => {}
            }
        }
    }

    fn send(&mut self, order: ProbeOrder, by: Duration) {
        let ProbeOrder { id, uplink, .. } = order;
        let is_dead = self.dead_from.is_some_and(|from| self.now + by >= from);
        if !is_dead || uplink != name("fiber") {
            let arrival = self.now + by + RTT;
            self.sockets.push(Reverse((arrival, id, uplink.clone())));
        }
        let input = Input::SentLate { uplink, id, by };
        self.engine.handle_input(self.now, input);
    }

    fn wait(&mut self) {
        self.now = self.now + self.stall();
    }

    fn stall(&mut self) -> Duration {
        if self.random.unit() >= self.stalling.share {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(self.stalling.longest * self.random.unit())
    }

    fn lines(&self) -> Vec<String> {
        brief(&self.events)
    }

    /// Without the events that say that the machine stalls.
    fn verdicts(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| line.contains("down") || line.contains("->"));
        // The first is the choice at the start.
        lines.drain(..lines.len().min(1));
        lines
    }
}

fn stalling() -> impl Strategy<Value = Stalling> {
    (0.01..1.0, 0.05..3.0).prop_map(|(share, longest)| Stalling { share, longest })
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn an_agent_that_is_kept_from_running_calls_no_uplink_down_and_learns_no_loss(
        stalling in stalling(),
        seed in any::<u64>(),
    ) {
        let mut agent = StalledAgent::new(stalling, seed);
        agent.run_until(at(600.0));
        prop_assert!(agent.verdicts().is_empty(), "{:?}", agent.lines());
        for (uplink, learner) in agent.engine.learnt() {
            let loss = learner.process().mean();
            let unknown = Learner::default().process().mean();
            prop_assert!(loss < unknown, "{uplink}: {loss}, an unknown link {unknown}");
        }
    }

    #[test]
    fn an_agent_that_hardly_runs_leaves_a_dead_uplink_within_ten_seconds(
        share in 0.0..1.0,
        longest in 0.05..0.5,
        seed in any::<u64>(),
    ) {
        let mut agent = StalledAgent::new(Stalling { share, longest }, seed);
        agent.run_until(at(120.0));
        agent.dead_from = Some(agent.now);
        let end = agent.now + Duration::from_secs(10);
        agent.run_until(end);
        let has_left = agent.lines().iter().any(|line| line == "switch fiber -> lte");
        prop_assert!(has_left, "{:?}", agent.lines());
    }
}

#[test]
fn stalls_are_reported_and_rarely() {
    let stalling = Stalling {
        share: 1.0,
        longest: 1.0,
    };
    let mut agent = StalledAgent::new(stalling, 1);
    agent.run_until(at(1_800.0));
    let stalls = agent.lines();
    let stalls = stalls.iter().filter(|line| *line == "machine.stalled");
    assert_eq!(stalls.count(), 1);
}

/// From 60 s until 120 s this machine refuses the probes of these uplinks.
struct Refusing(&'static [&'static str]);

impl World for Refusing {
    fn answer(&mut self, _: &ProbeOrder, _: Moment) -> Option<Duration> {
        Some(RTT)
    }

    fn outcome(&mut self, order: &ProbeOrder, now: Moment) -> Option<(Duration, ProbeOutcome)> {
        let is_refused = self.0.contains(&order.uplink.as_str());
        if is_refused && (at(60.0)..at(120.0)).contains(&now) {
            let why = "Operation not permitted (os error 1)".to_owned();
            return Some((Duration::ZERO, ProbeOutcome::Refused(why)));
        }
        Some((RTT, ProbeOutcome::Reply(RTT)))
    }
}

#[test]
fn what_this_machine_refuses_to_send_on_all_uplinks_moves_nothing_and_is_reported() {
    let mut replay = Replay::new(settings(&["fiber", "lte"]), Refusing(&["fiber", "lte"]));
    replay.run_until(at(59.0));
    let events = replay.run_until(at(110.0));
    assert_eq!(brief(&events), ["machine.refuses"]);
    let wall = Wall::reading(std::time::UNIX_EPOCH, replay.now());
    for uplink in replay.engine().status(wall).uplinks {
        assert_eq!(uplink.state, State::Up);
        assert!(uplink.reason.contains("not permitted"), "{}", uplink.reason);
    }
    let events = replay.run_until(at(300.0));
    assert_eq!(brief(&events), ["machine.sends"]);
}

/// This machine refuses the probes to an address of its own.
struct OwnAddress(&'static str);

impl World for OwnAddress {
    fn answer(&mut self, _: &ProbeOrder, _: Moment) -> Option<Duration> {
        Some(RTT)
    }

    fn outcome(&mut self, order: &ProbeOrder, _: Moment) -> Option<(Duration, ProbeOutcome)> {
        if order.target.to_string() == self.0 {
            let why = format!("{} is this machine itself", self.0);
            return Some((Duration::ZERO, ProbeOutcome::Refused(why)));
        }
        Some((RTT, ProbeOutcome::Reply(RTT)))
    }
}

#[test]
fn one_target_that_is_an_address_of_this_machine_is_no_refusal_of_all_however_rarely_it_is_probed()
{
    for interval in [1, 5, 20, 60] {
        let mut settings = settings(&["fiber", "lte"]);
        for uplink in &mut settings.uplinks {
            uplink.probe.interval = Duration::from_secs(interval);
            uplink.probe.standby_interval = Duration::from_secs(interval);
        }
        let mut replay = Replay::new(settings, OwnAddress("192.0.2.1"));
        let events = brief(&replay.run_until(at(7_200.0)));
        let is_calm = |line: &String| !line.contains("machine") && !line.contains("down");
        assert!(events.iter().all(is_calm), "{interval} s: {events:?}");
    }
}

#[test]
fn where_the_only_target_is_an_address_of_this_machine_that_is_reported_once() {
    for interval in [1, 20] {
        let mut settings = settings(&["fiber", "lte"]);
        for uplink in &mut settings.uplinks {
            uplink.probe = probe(&["192.0.2.1"]);
            uplink.probe.interval = Duration::from_secs(interval);
        }
        let mut replay = Replay::new(settings, OwnAddress("192.0.2.1"));
        let events = brief(&replay.run_until(at(7_200.0)));
        assert_eq!(events, ["machine.refuses"], "{interval} s");
    }
}

#[test]
fn a_refusal_on_all_uplinks_goes_on_while_the_link_of_one_comes_back_and_none_has_sent() {
    let mut replay = Replay::new(settings(&["fiber", "lte"]), Refusing(&["fiber", "lte"]));
    replay.run_until(at(70.0));
    for (then, trouble) in [(75.0, Some(Trouble::NoCarrier)), (90.0, None)] {
        replay.run_until(at(then));
        let uplink = name("lte");
        let attachment = Attachment {
            trouble,
            ..attached(2)
        };
        replay.input(Input::Attachment { uplink, attachment });
    }
    let events = brief(&replay.run_until(at(119.0)));
    let is_news = |line: &&String| line.contains("machine") || line.contains("switch");
    let news: Vec<_> = events.iter().filter(is_news).collect();
    assert_eq!(news, [""; 0]);
    let events = brief(&replay.run_until(at(300.0)));
    assert!(events.contains(&"machine.sends".to_owned()), "{events:?}");
}

#[test]
fn what_it_refuses_on_one_uplink_alone_is_that_uplinks_trouble() {
    let mut replay = Replay::new(settings(&["fiber", "lte"]), Refusing(&["fiber"]));
    replay.run_until(at(59.0));
    let events = replay.run_until(at(75.0));
    let is_left =
        |event: &Event| matches!(&event.change, Change::Switch { to, .. } if *to == [name("lte")]);
    assert!(events.iter().any(is_left), "{:?}", brief(&events));
}
