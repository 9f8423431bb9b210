//! The engine in virtual time: what it would decide in a world where every probe's fate is known.
//!
//! What the tests, the simulations and `uplinkd replay` run is the engine that the router runs; only
//! the world is another.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use crate::engine::Engine;
use crate::engine::action::{Action, Departure, DrainOrder, ProbeOrder, TraceOrder};
use crate::engine::event::Event;
use crate::engine::input::{Input, ProbeOutcome};
use crate::engine::settings::{Settings, UplinkSettings};
use crate::routing::{Attachment, Desired, Family, Path};
use crate::units::{Counters, IfIndex, Moment, ProbeId, Target, UplinkName, Weight};

/// Between two counts of the flows of an uplink that is drained.
const COUNT_FLOWS_EVERY: Duration = Duration::from_secs(2);

/// So often the engine may have something more to do at one moment.
const MOST_TURNS: u32 = 1_000;

/// A deadline stands although the engine was called at it: time would not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the deadline of {owner} at {deadline} is not met at {now}, however often the engine is called"
)]
pub struct StandingDeadline {
    owner: String,
    deadline: Moment,
    now: Moment,
}

/// What the internet does with probes.
pub trait World {
    /// After how long a probe sent now is answered; none: never.
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration>;

    /// The same with what is answered, in a world where not every answer is a right one.
    fn outcome(&mut self, order: &ProbeOrder, now: Moment) -> Option<(Duration, ProbeOutcome)> {
        let rtt = self.answer(order, now)?;
        Some((rtt, ProbeOutcome::Reply(rtt)))
    }

    /// What the interface of an uplink has counted by `now`; none where that is not known.
    fn counters(&mut self, uplink: &UplinkName, now: Moment) -> Option<Counters> {
        let _ = (uplink, now);
        None
    }

    /// How many established flows an uplink has that is drained, or why they cannot be counted.
    fn flows(&mut self, uplink: &UplinkName, now: Moment) -> Result<usize, String> {
        let _ = (uplink, now);
        Ok(0)
    }

    /// The first hops of a path are asked; who answers is an [`Input::Traced`] of [`World::next_input`].
    fn trace(&mut self, order: &TraceOrder, now: Moment) {
        let _ = (order, now);
    }

    /// The kernel is to hold this from now on.
    fn routed(&mut self, desired: &Desired) {
        let _ = desired;
    }

    /// These flows are left behind.
    fn left(&mut self, departure: Departure, now: Moment) {
        let _ = (departure, now);
    }

    /// What else happens up to `now`, soonest first; read before every step.
    fn next_input(&mut self, now: Moment) -> Option<Input> {
        let _ = now;
        None
    }

    /// When [`World::next_input`] has something next.
    fn next_input_at(&self) -> Option<Moment> {
        None
    }
}

impl<F: FnMut(&ProbeOrder, Moment) -> Option<Duration>> World for F {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        self(order, now)
    }
}

/// An engine, its world and the clock between them.
#[derive(Clone, Debug)]
pub struct Replay<W> {
    engine: Engine,
    world: W,
    now: Moment,
    /// How often the engine was called at this moment.
    turns: u32,
    answers: BinaryHeap<Reverse<DueAnswer>>,
    probes: BTreeMap<UplinkName, u64>,
    /// The uplinks that are drained, and when their flows are counted next.
    drains: BTreeMap<UplinkName, Moment>,
}

#[derive(Clone, Debug)]
struct DueAnswer {
    at: Moment,
    id: ProbeId,
    uplink: UplinkName,
    outcome: ProbeOutcome,
}

impl Ord for DueAnswer {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.id).cmp(&(other.at, other.id))
    }
}

impl PartialOrd for DueAnswer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DueAnswer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DueAnswer {}

impl<W: World> Replay<W> {
    /// Starts an engine at [`Moment::START`], every uplink attached with an address and a next hop;
    /// by IPv6 as well where it has targets of both families.
    pub fn new(settings: Settings, world: W) -> Self {
        let names: Vec<_> = settings.uplinks.iter().map(|u| u.name.clone()).collect();
        let has_both: Vec<_> = settings.uplinks.iter().map(has_both_families).collect();
        let mut replay = Self {
            engine: Engine::new(settings, Moment::START),
            world,
            now: Moment::START,
            turns: 0,
            answers: BinaryHeap::new(),
            probes: names.iter().map(|name| (name.clone(), 0)).collect(),
            drains: BTreeMap::new(),
        };
        for ((place, uplink), has_both) in (1..).zip(names).zip(has_both) {
            let attachment = if has_both {
                attached_by_both(place)
            } else {
                attached(place)
            };
            replay.input(Input::Attachment { uplink, attachment });
        }
        replay
    }

    /// The engine as it is now.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The time now.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// How many probes each uplink has been sent.
    pub fn probes(&self) -> &BTreeMap<UplinkName, u64> {
        &self.probes
    }

    /// The world, to change it.
    pub fn world(&mut self) -> &mut W {
        &mut self.world
    }

    /// Tells the engine something now.
    pub fn input(&mut self, input: Input) -> Vec<Event> {
        self.engine.handle_input(self.now, input);
        self.drain()
    }

    /// Lets the time pass until `end`, and returns what happened.
    ///
    /// # Panics
    /// Where [`Replay::try_run_until`] is an error.
    pub fn run_until(&mut self, end: Moment) -> Vec<Event> {
        match self.try_run_until(end) {
            Ok(events) => events,
            Err(standing) => panic!("{standing}"),
        }
    }

    /// Lets the time pass until `end`, and returns what happened.
    ///
    /// # Errors
    /// If a deadline is not met.
    pub fn try_run_until(&mut self, end: Moment) -> Result<Vec<Event>, StandingDeadline> {
        let mut events = self.drain();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.pass_until(next);
            self.step()?;
            events.extend(self.drain());
        }
        self.pass_until(end);
        Ok(events)
    }

    fn pass_until(&mut self, moment: Moment) {
        if moment > self.now {
            (self.now, self.turns) = (moment, 0);
        }
    }

    fn call_engine(&mut self) -> Result<(), StandingDeadline> {
        self.turns += 1;
        if self.turns > MOST_TURNS
            && let Some(standing) = self.standing()
        {
            return Err(standing);
        }
        self.engine.handle_timeout(self.now);
        Ok(())
    }

    fn standing(&self) -> Option<StandingDeadline> {
        let engine = self.engine.next_deadline();
        let engine = engine.map(|(at, owner)| (at, owner.to_string()));
        let world = self
            .world
            .next_input_at()
            .map(|at| (at, "the world".to_owned()));
        let first = engine.into_iter().chain(world).min();
        let (deadline, owner) = first.filter(|(at, _)| *at <= self.now)?;
        let now = self.now;
        Some(StandingDeadline {
            owner,
            deadline,
            now,
        })
    }

    fn next(&self) -> Option<Moment> {
        let answer = self.answers.peek().map(|Reverse(answer)| answer.at);
        let world = self.world.next_input_at();
        let list = self.drains.values().min().copied();
        [answer, world, list, self.engine.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn step(&mut self) -> Result<(), StandingDeadline> {
        if let Some(input) = self.world.next_input(self.now) {
            self.engine.handle_input(self.now, input);
            return Ok(());
        }
        let is_due = |answer: &Reverse<DueAnswer>| answer.0.at <= self.now;
        if self.answers.peek().is_some_and(is_due)
            && let Some(Reverse(answer)) = self.answers.pop()
        {
            let input = Input::Probe {
                uplink: answer.uplink,
                id: answer.id,
                outcome: answer.outcome,
            };
            self.engine.handle_input(self.now, input);
            return Ok(());
        }
        let mut drains = self.drains.iter_mut();
        if let Some((uplink, next)) = drains.find(|(_, next)| **next <= self.now) {
            *next = self.now + COUNT_FLOWS_EVERY;
            let input = match self.world.flows(uplink, self.now) {
                Ok(flows) => Input::FlowsCounted {
                    uplink: uplink.clone(),
                    flows,
                },
                Err(why) => Input::FlowsUnknown {
                    uplink: uplink.clone(),
                    why,
                },
            };
            self.engine.handle_input(self.now, input);
            return Ok(());
        }
        self.call_engine()
    }

    fn drain(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Probe(order) => self.send(&order),
                Action::Event(event) => events.push(event),
                Action::Count(uplink) => self.count(uplink),
                Action::Drain(uplink, DrainOrder::CountFlows(_)) => {
                    self.drains.insert(uplink, self.now);
                }
                Action::Drain(uplink, DrainOrder::Failed(_) | DrainOrder::Over) => {
                    self.drains.remove(&uplink);
                }
                Action::Route(desired) => self.world.routed(&desired),
                Action::Trace(order) => self.world.trace(&order, self.now),
                // A replay has no path that it could cut.
                Action::Drain(_, DrainOrder::Begun { .. }) | Action::Drill(_) => {}
                Action::Leave(departure) => self.world.left(departure, self.now),
            }
        }
        events
    }

    fn count(&mut self, uplink: UplinkName) {
        if let Some(counters) = self.world.counters(&uplink, self.now) {
            let input = Input::Counters { uplink, counters };
            self.engine.handle_input(self.now, input);
        }
    }

    fn send(&mut self, order: &ProbeOrder) {
        if let Some(count) = self.probes.get_mut(&order.uplink) {
            *count += 1;
        }
        let answer = self.world.outcome(order, self.now);
        if let Some((after, outcome)) = answer.filter(|(after, _)| *after <= order.listen_for) {
            self.answers.push(Reverse(DueAnswer {
                at: self.now + after,
                id: order.id,
                uplink: order.uplink.clone(),
                outcome,
            }));
        }
    }
}

fn has_both_families(uplink: &UplinkSettings) -> bool {
    let mut families = Family::ROUTED.iter();
    families.all(|family| {
        let addresses = uplink.probe.targets.iter().filter_map(Target::address);
        addresses.map(Family::of).any(|of| of == *family)
    })
}

/// A link in order: one address, one next hop.
pub fn attached(place: u8) -> Attachment {
    let index = IfIndex(NonZeroU32::MIN.saturating_add(u32::from(place)));
    let address = [10, 0, place, 2];
    Attachment {
        trouble: None,
        index: Some(index),
        addresses: [address.into()].into(),
        sources: [IpNet::new_assert(address.into(), 24)].into(),
        paths: [(
            Family::Ipv4,
            Path {
                index,
                gateway: Some([10, 0, place, 1].into()),
                onlink: false,
                weight: Weight(1),
                options: None,
            },
        )]
        .into(),
        ..Attachment::default()
    }
}

/// The same by IPv6 as well.
pub fn attached_by_both(place: u8) -> Attachment {
    let place6 = u16::from(place);
    let mut attachment = attached(place);
    let address = [0x2001, 0xdb8, place6, 0, 0, 0, 0, 2_u16];
    attachment.addresses.insert(address.into());
    attachment
        .sources
        .insert(IpNet::new_assert(address.into(), 64));
    if let Some(path) = attachment.paths.get(&Family::Ipv4).cloned() {
        let router = [0xfe80, 0, 0, 0, 0, 0, 0, place6];
        let gateway = Some(router.into());
        attachment
            .paths
            .insert(Family::Ipv6, Path { gateway, ..path });
    }
    attachment
}
