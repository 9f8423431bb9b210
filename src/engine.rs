//! The decisions. Pure: no clock, no socket, no task, no random source; a month runs in a second and
//! a recording replays exactly.
//!
//! Call order: tell the engine what happened with [`Engine::handle_input`] or that time has passed
//! with [`Engine::handle_timeout`]; after either take what it wants with [`Engine::poll_action`]
//! until there is nothing left, and call `handle_timeout` again no later than at
//! [`Engine::poll_timeout`].

pub mod action;
mod agent_status;
pub mod allowance;
pub mod best_policy;
pub mod budget;
pub mod candidate;
pub mod command;
pub mod common_outage;
pub mod damping;
pub mod deadline;
mod desired_routes;
pub mod detection_time;
mod drain;
mod drill;
pub mod election;
pub mod event;
pub mod family;
pub mod fault_isolation;
mod flow_memory;
mod follow;
pub mod group;
mod group_choice;
mod groups;
pub mod hazard;
pub mod ids;
pub mod input;
mod kept_flows;
mod local_clock;
pub mod loss;
mod manual;
mod no_usable;
pub mod outage;
pub mod passive;
mod path_trace;
pub mod phase;
mod planned;
mod prefixes;
mod probe_rate;
pub mod quality;
mod refused_sends;
mod reload;
mod resume;
pub mod round;
pub mod schedule;
pub mod score;
pub mod settings;
mod soft_moves;
mod stale_flows;
pub mod stalls;
mod standby_wake;
pub mod state;
pub mod status;
pub mod suspicion;
pub mod target;
pub mod timer;
pub mod uplink;
mod view;
pub mod window;
pub mod wording;

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::action::Action;
use crate::engine::agent_status::{agent_status, figures};
use crate::engine::allowance::AllowanceCount;
use crate::engine::command::Command;
pub use crate::engine::command::CommandRefusal;
use crate::engine::damping::Flaps;
use crate::engine::desired_routes::DesiredRoutes;
use crate::engine::drain::Drains;
pub use crate::engine::drill::{Drills, stream_cost};
use crate::engine::event::Event;
use crate::engine::fault_isolation::FaultIsolation;
use crate::engine::group::AskedFor;
use crate::engine::group::carriers::names;
use crate::engine::group_choice::GroupChoice;
use crate::engine::groups::Groups;
use crate::engine::ids::UplinkId;
use crate::engine::input::{Input, KeptSpan};
use crate::engine::local_clock::LocalClock;
use crate::engine::loss::Learner;
use crate::engine::manual::PinWatch;
use crate::engine::no_usable::NoUsableUplink;
use crate::engine::path_trace::PathTraces;
use crate::engine::prefixes::PrefixAnnouncements;
use crate::engine::probe_rate::{ProbeRate, keep_step, share_wake_up};
use crate::engine::refused_sends::RefusedSends;
use crate::engine::reload::uplinks_of;
use crate::engine::settings::{Policy, Settings, SharedSettings};
use crate::engine::stale_flows::StaleFlows;
use crate::engine::stalls::Stalls;
use crate::engine::standby_wake::call_of;
use crate::engine::status::{AgentState, Choices, Status, UplinkFigures};
use crate::engine::timer::{DeadlineOwner, FirstDeadline};
use crate::engine::uplink::{AllowanceNews, Outbox, Purse, Uplink};
use crate::engine::view::EngineView;
use crate::units::sorted::SortedMap;
use crate::units::{Bytes, Moment, UplinkName, Wall};

/// An engine that is called later than this was held up, or its machine slept.
const ASLEEP: Duration = Duration::from_secs(5);

/// The whole of the decisions. See the module for the order of calls.
///
/// Large: it has a field for each part that is about all uplinks.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: SharedSettings,
    clock: LocalClock,
    /// In the order of the configuration.
    uplinks: Vec<Uplink>,
    groups: Groups,
    flaps: Flaps,
    isolation: FaultIsolation,
    probe_rate: ProbeRate,
    no_usable: NoUsableUplink,
    pin_watch: PinWatch,
    prefixes: PrefixAnnouncements,
    drains: Drains,
    drills: Drills,
    traces: PathTraces,
    stale_flows: StaleFlows,
    stalls: Stalls,
    refused_sends: RefusedSends,
    /// When it was last told something.
    called: Moment,
    /// Something changed that the choice or the routes may depend on.
    is_stale: bool,
    routes: DesiredRoutes,
    outbox: Outbox,
    events: VecDeque<Event>,
}

impl Engine {
    /// An engine that knows nothing but its settings.
    pub fn new(settings: Settings, now: Moment) -> Self {
        let (wanted, settings) = settings.split();
        let (uplinks, _) = uplinks_of(wanted, &settings, Vec::new(), now);
        Self {
            groups: Groups::new(&settings, &uplinks),
            uplinks,
            settings,
            clock: LocalClock::default(),
            flaps: Flaps::default(),
            isolation: FaultIsolation::default(),
            probe_rate: ProbeRate::default(),
            no_usable: NoUsableUplink::new(now),
            pin_watch: PinWatch::default(),
            prefixes: PrefixAnnouncements::default(),
            drains: Drains::default(),
            drills: Drills::new(now),
            traces: PathTraces::new(now),
            stale_flows: StaleFlows::default(),
            stalls: Stalls::default(),
            refused_sends: RefusedSends::default(),
            called: now,
            is_stale: true,
            routes: DesiredRoutes::default(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
        }
    }

    /// Takes something that happened.
    pub fn handle_input(&mut self, now: Moment, input: Input) {
        self.is_stale |= !input.is_routine();
        let decides = !input.is_of_deadlines();
        self.wake_up(now);
        self.take(input, now);
        if decides {
            self.decide(now);
        }
    }

    fn take(&mut self, input: Input, now: Moment) {
        match input {
            Input::Attachment { uplink, attachment } => {
                if let Some(id) = self.id(&uplink) {
                    let uplink = &mut self.uplinks[id.index()];
                    self.traces.attached(uplink, &attachment);
                    self.drills.attached(uplink, &attachment, now);
                    uplink.attach(attachment, now, &mut self.outbox);
                }
            }
            Input::Resume(earlier) => self.resume(*earlier, now),
            Input::Probe {
                uplink,
                id,
                outcome,
            } => self.on(&uplink, |one, out| one.probed(id, outcome, now, out)),
            Input::SentLate { uplink, id, by } => self.on(&uplink, |one, _| one.sent_late(id, by)),
            Input::AnswersRead { until } => {
                let uplinks = self.uplinks.iter_mut();
                uplinks.for_each(|uplink| uplink.answers_read(until));
            }
            Input::Stalled { lasts } => {
                let (uplinks, out) = (self.uplinks.iter_mut(), &mut self.outbox);
                uplinks.for_each(|uplink| uplink.stalled(lasts, now, out));
                self.outbox.events.extend(self.stalls.add(lasts, now));
            }
            Input::Counters { uplink, counters } => {
                let counters = self.drills.as_if_cut(&uplink, counters);
                self.on(&uplink, |one, _| one.counted(counters, now));
            }
            Input::Traffic { uplink, reading } => {
                if let Some(id) = self.id(&uplink) {
                    let news = AllowanceNews::Read(reading);
                    self.uplinks[id.index()].take_allowance_news(news, now, &mut self.outbox);
                }
            }
            Input::Settings(settings) => self.reload(*settings, now),
            Input::Moved {
                uplink,
                interface,
                gateway,
                gateway6,
            } => {
                self.on(&uplink, |one, _| {
                    let mut settings = one.settings().clone();
                    settings.interface = interface;
                    (settings.gateway, settings.gateway6) = (gateway, gateway6);
                    one.adapt(one.id(), settings, now);
                });
            }
            Input::Time(time) => self.take_time(time, now),
            Input::Traced(path) => self.traces.take(path, &self.uplinks, now),
            Input::Drill(news) => self.drills.heard(news, &mut self.uplinks, now),
            Input::Command(command) => self.follow(command, now),
            Input::FlowsCounted { uplink, flows } => self.flows_counted(uplink, flows, now),
            Input::FlowsUnknown { uplink, why } => self.drains.uncounted(&uplink, &why),
            Input::FlowsRemembered(uplinks) => self.stale_flows.kept.set_remembering(uplinks),
        }
    }

    /// Does what is due by `now`.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.wake_up(now);
        let leader = share_wake_up(&mut self.uplinks, now);
        for uplink in &mut self.uplinks {
            if uplink.next_timeout().is_some_and(|at| at <= now) {
                uplink.handle_timeout(now, &mut self.outbox);
            }
        }
        keep_step(&mut self.uplinks, leader);
        self.decide(now);
    }

    /// What to do next; routes come before the probes that need them and before the events that
    /// tell of them.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(routes) = self.routes.take() {
            return Some(Action::Route(routes));
        }
        if let Some(departure) = self.stale_flows.take() {
            return Some(Action::Leave(departure));
        }
        if let Some(order) = self.outbox.take_order() {
            return Some(order);
        }
        { self.drains.take_order() }
            .or_else(|| self.drills.take_order().map(Action::Drill))
            .or_else(|| self.traces.take_order().map(Action::Trace))
            .or_else(|| self.events.pop_front().map(Action::Event))
    }

    /// When to call [`Engine::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.next_deadline().map(|(at, _)| at)
    }

    /// The same, and what is due then.
    pub fn next_deadline(&self) -> Option<(Moment, DeadlineOwner)> {
        let mut first = FirstDeadline::default();
        for uplink in &self.uplinks {
            first.consider(uplink.next_timeout(), DeadlineOwner::Uplink(uplink.id()));
        }
        for group in self.groups.iter() {
            first.consider(group.look_again(), DeadlineOwner::Group);
        }
        first.consider(self.flaps.next_timeout(), DeadlineOwner::Damping);
        first.consider(self.isolation.next_timeout(), DeadlineOwner::Isolation);
        first.consider(self.drains.next_timeout(), DeadlineOwner::Drain);
        first.consider(self.drills.next_timeout(), DeadlineOwner::Drill);
        let kept = self.stale_flows.kept.next_timeout(self.view());
        first.consider(kept, DeadlineOwner::KeptFlows);
        first.get()
    }

    /// A probe is to be judged that may have been answered since the sockets were read last:
    /// [`Input::AnswersRead`] is to come before [`Engine::handle_timeout`].
    pub fn awaits_answers(&self, now: Moment) -> bool {
        self.uplinks.iter().any(|uplink| uplink.awaits_answers(now))
    }

    /// The uplink that leads the default group.
    pub fn carrier(&self) -> Option<&UplinkName> {
        let leader = self.view().uplink(self.groups.default_group().leader()?)?;
        Some(&leader.settings().name)
    }

    /// All uplinks that carry the default group.
    pub fn carriers(&self) -> Vec<UplinkName> {
        let carriers = self.groups.default_group().carriers(&self.uplinks);
        names(&carriers, &self.uplinks)
    }

    /// What was learnt about how each uplink loses packets, for `EarlierRun` after a restart.
    pub fn learnt(&self) -> SortedMap<UplinkName, Learner> {
        let learnt = |uplink: &Uplink| (uplink.settings().name.clone(), uplink.learnt());
        self.uplinks.iter().map(learnt).collect()
    }

    /// For how long flows have stayed on each uplink that the traffic has left, for `EarlierRun`.
    pub fn kept_flows(&self, now: Moment) -> Vec<KeptSpan> {
        self.stale_flows.kept.spans(now)
    }

    /// What a later run may still spend on each metered uplink, for `EarlierRun`.
    pub fn unspent(&mut self) -> SortedMap<UplinkName, Bytes> {
        let name = |uplink: &Uplink| uplink.settings().name.clone();
        let left = |uplink: &mut Uplink| Some((name(uplink), uplink.purse_mut()?.keep()));
        self.uplinks.iter_mut().filter_map(left).collect()
    }

    /// What was counted of the allowances, for `EarlierRun`.
    pub fn allowances(&self) -> SortedMap<UplinkName, AllowanceCount> {
        let name = |uplink: &Uplink| uplink.settings().name.clone();
        let counted = |uplink: &Uplink| Some((name(uplink), uplink.allowance_count()?));
        self.uplinks.iter().filter_map(counted).collect()
    }

    /// So much was spent on a metered uplink that [`Engine::unspent`] should be written down again.
    pub fn has_spent(&self) -> bool {
        let mut purses = self.uplinks.iter().filter_map(Uplink::purse);
        purses.any(Purse::is_unkept)
    }

    /// Whether a command can be followed; [`Engine::handle_input`] follows it.
    pub fn check(&self, command: &Command) -> Result<(), CommandRefusal> {
        manual::check(self.view(), command)?;
        self.drains.check(&self.stale_flows.kept, command)
    }

    /// The same for one that cannot be followed at all times.
    pub fn check_at(&self, command: &Command, now: Moment) -> Result<(), CommandRefusal> {
        self.check(command)?;
        match command.drilled().and_then(|name| self.id(name)) {
            Some(id) => (self.drills).check(self.view(), &self.uplinks[id.index()], now),
            None => Ok(()),
        }
    }

    /// What operators chose, as it is now.
    pub fn choices(&self) -> Choices {
        manual::choices(self.view())
    }

    /// How many flows an uplink in maintenance still has, and until when at most.
    pub fn draining(&self, name: &UplinkName) -> Option<(usize, Moment)> {
        self.drains.progress(name)
    }

    /// The read model, as far as the engine knows. `wall` translates times.
    pub fn status(&self, wall: Wall) -> Status {
        self.status_of(self.choices().into(), wall)
    }

    /// The read model, complete.
    pub fn status_of(&self, agent: AgentState, wall: Wall) -> Status {
        let status = agent_status(self.view(), &self.stale_flows, &self.drills, agent, wall);
        self.traces.shown(self.drills.shown(status))
    }

    /// The part of it that samples take.
    pub fn figures(&self) -> Vec<UplinkFigures> {
        figures(self.view(), &self.drills)
    }

    /// The drill that goes on, and when the next one is due by itself.
    pub fn drills(&self) -> &Drills {
        &self.drills
    }

    fn view(&self) -> EngineView<'_> {
        EngineView::of(
            self.clock,
            &self.settings,
            &self.uplinks,
            &self.groups,
            &self.flaps,
        )
    }

    fn id(&self, name: &UplinkName) -> Option<UplinkId> {
        let uplink = { self.uplinks.iter() }.find(|uplink| uplink.settings().name == *name);
        uplink.map(Uplink::id)
    }

    /// Does something to an uplink, if there is one of this name.
    fn on(&mut self, name: &UplinkName, does: impl FnOnce(&mut Uplink, &mut Outbox)) {
        if let Some(id) = self.id(name) {
            does(&mut self.uplinks[id.index()], &mut self.outbox);
        }
    }

    /// What was not looked at for long is no evidence.
    fn wake_up(&mut self, now: Moment) {
        let is_awake = now.since(std::mem::replace(&mut self.called, now)) < ASLEEP;
        for uplink in self.uplinks.iter_mut().filter(|_| !is_awake) {
            if { uplink.next_timeout() }.is_some_and(|due| now.since(due) >= ASLEEP) {
                uplink.wake(now);
                self.is_stale = true;
            }
        }
    }

    // ---- decisions ----

    fn decide(&mut self, now: Moment) {
        self.isolation
            .hear(&mut self.uplinks, now, &mut self.outbox);
        let refused = self.refused_sends.judge(&mut self.uplinks, now);
        self.outbox.events.extend(refused);
        self.drills.hush(&mut self.outbox);
        (self.traces).follow(&self.uplinks, self.drills.uplink(), &mut self.outbox, now);
        let is_settled = self.settle(now);
        // Whether a cold uplink is needed depends on what carries now.
        let mut is_stale = self.wake_standbys(now) && self.settle(now);
        is_stale |= self.end_drains(now) && self.settle(now);
        let is_drilled = self.drills.uplink().is_some();
        is_stale |= is_drilled && self.advance_drill(now) && self.settle(now);
        self.set_needs(is_settled || is_stale, now);
        self.drills.hush(&mut self.outbox);
        (self.events).extend(std::mem::take(&mut self.outbox.events));
    }

    /// Goes on with a drill; whether it is over. The traffic goes back to its uplink.
    fn advance_drill(&mut self, now: Moment) -> bool {
        let carriers = self.carriers();
        let Some(ended) = self.drills.advance(&mut self.uplinks, &carriers, now) else {
            return false;
        };
        let leader = self.groups.default_group().leader();
        if ended.has_returned && leader != self.drills.uplink() {
            self.elect(now, AskedFor::Default);
        }
        let events = (self.drills).finish(&ended, &self.uplinks, self.settings.drill, now);
        self.outbox.events.extend(events);
        self.is_stale = true;
        true
    }

    /// Decides which uplinks carry the traffic, if anything speaks for another decision.
    fn settle(&mut self, now: Moment) -> bool {
        let is_reused = self.flaps.next_timeout().is_some_and(|until| until <= now);
        if is_reused || !self.outbox.turns.is_empty() {
            let damping = self.settings.failover.damping;
            let turns = self.outbox.turns.drain(..);
            for change in self.flaps.observe(damping, now, turns) {
                let uplink = self.uplinks[change.uplink.index()].settings();
                self.outbox.events.push(change.event(uplink, now));
            }
        }
        self.is_stale |= std::mem::take(&mut self.outbox.is_changed);
        self.is_stale |= !self.outbox.events.is_empty();
        self.is_stale |= self.groups.iter().any(|group| group.is_due(now));
        self.is_stale |= self.stale_flows.is_due(self.view(), now);
        let compares = { self.groups.iter() }.any(|group| group.policy() == Policy::Best);
        self.is_stale |= compares && self.group_choice(now).has_better_rival();
        let is_stale = std::mem::take(&mut self.is_stale);
        if is_stale {
            self.elect(now, AskedFor::Nothing);
            let mut pin_watch = self.pin_watch;
            self.outbox
                .events
                .extend(pin_watch.stranded(self.view(), now));
            self.pin_watch = pin_watch;
            self.route(now);
        }
        is_stale
    }

    /// Decides which uplinks carry the traffic.
    fn elect(&mut self, now: Moment, asked_for: AskedFor) {
        self.group_choice(now).elect(asked_for);
    }

    fn group_choice(&mut self, now: Moment) -> GroupChoice<'_> {
        GroupChoice {
            groups: &mut self.groups,
            uplinks: &mut self.uplinks,
            flaps: &self.flaps,
            failover: self.clock.failover(&self.settings),
            drilled: self.drills.uplink(),
            no_usable: &mut self.no_usable,
            events: &mut self.outbox.events,
            now,
        }
    }

    fn route(&mut self, now: Moment) {
        let carriers = self.groups.all_carriers(&self.uplinks);
        for uplink in &mut self.uplinks {
            uplink.set_carrying(carriers.contains(&uplink.id()), now);
        }
        let view = EngineView::of(
            self.clock,
            &self.settings,
            &self.uplinks,
            &self.groups,
            &self.flaps,
        );
        let moved = self.stale_flows.lead_new_ones(view, now);
        self.outbox.events.extend(moved);
        let soft = &self.stale_flows.soft;
        let remembered = self.routes.decide(view, soft, &self.drains);
        let held = self.drains.addresses();
        self.stale_flows.note(view, &held, &remembered, now);
        self.outbox.events.extend(self.prefixes.changes(view, now));
    }

    /// Lets each cold uplink know whether it is needed; whether there are any.
    fn wake_standbys(&mut self, now: Moment) -> bool {
        let mut is_any = false;
        for place in 0..self.uplinks.len() {
            if self.uplinks[place].settings().is_cold() {
                let booted = self.no_usable.booted();
                let call = call_of(self.view(), &self.uplinks[place], booted, now);
                self.uplinks[place].wake_standby(&call, now, &mut self.outbox);
                is_any = true;
            }
        }
        is_any
    }

    /// Lets each uplink know how much depends on it, if that may have changed.
    fn set_needs(&mut self, is_stale: bool, now: Moment) {
        let view = EngineView::of(
            self.clock,
            &self.settings,
            &self.uplinks,
            &self.groups,
            &self.flaps,
        );
        let Some(needs) = self.probe_rate.needs(view, &self.drains, is_stale) else {
            return;
        };
        for (uplink, need) in self.uplinks.iter_mut().zip(needs) {
            uplink.set_need(need, now);
        }
    }
}
