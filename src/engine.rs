//! The decisions. Pure: no clock, no socket, no task, no random source; a month runs in a second and
//! a recording replays exactly.
//!
//! Call order: tell the engine what happened with [`Engine::handle_input`] or that time has passed
//! with [`Engine::handle_timeout`]; after either take what it wants with [`Engine::poll_action`]
//! until there is nothing left, and call `handle_timeout` again no later than at
//! [`Engine::poll_timeout`].

pub mod action;
mod attention;
pub mod budget;
pub mod command;
pub mod common_outage;
pub mod contest;
pub mod damping;
pub mod deadline;
mod departure;
pub mod detection_time;
pub mod docket;
pub mod election;
pub mod event;
pub mod family;
mod group;
pub mod input;
pub mod loss;
mod manual;
pub mod outage;
pub mod passive;
mod prefixes;
pub mod quality;
pub mod round;
mod rouse;
pub mod schedule;
pub mod score;
pub mod settings;
pub mod state;
pub mod status;
pub mod target;
pub mod timer;
pub mod uplink;
pub mod window;
pub mod wording;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::engine::action::{Action, Departure};
pub use crate::engine::command::CommandRefusal;
use crate::engine::common_outage::explain_nobody;
use crate::engine::damping::Flaps;
use crate::engine::departure::Exits;
use crate::engine::docket::Docket;
use crate::engine::election::Fitness;
use crate::engine::event::{Change, Event};
use crate::engine::group::{Around, Asked, Group, find};
use crate::engine::input::{Input, ProbeOutcome};
use crate::engine::loss::Learner;
use crate::engine::prefixes::ToldPrefixes;
use crate::engine::schedule::{Doubt, Spread};
use crate::engine::settings::{Settings, UplinkSettings};
use crate::engine::state::State;
use crate::engine::status::{RoutesState, SelectionMode, Status, UplinkStatus};
use crate::engine::uplink::{Outbox, Uplink};
use crate::engine::wording::tenths;
use crate::routing::desired::{Carrying, TrafficRoutes, UplinkRoutes, desired};
use crate::routing::traffic::Flow;
use crate::routing::{Desired, Family};
use crate::units::{Bytes, GroupName, InterfaceName, Moment, ProbeId, UplinkName, Wall};

/// Who is called later than this was held up, or slept.
const ASLEEP: Duration = Duration::from_secs(5);

/// For so long after the start it is no news that no uplink is usable yet.
const BOOT: Duration = Duration::from_secs(10);

/// The whole of the decisions. See the module for the order of calls.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: Settings,
    /// In the order of the configuration.
    uplinks: Vec<Uplink>,
    /// Who carries which traffic: first the rest, then each group of the configuration.
    groups: Vec<Group>,
    flaps: Flaps,
    exits: Exits,
    departures: VecDeque<Departure>,
    started: Moment,
    nobody_since: Option<Moment>,
    /// A pin keeps the traffic where it is of no use, and that was said.
    is_stranded: bool,
    /// Flows that stay with their uplink while others go another way.
    held: BTreeMap<UplinkName, BTreeSet<Flow>>,
    docket: Docket,
    /// Something changed that the choice or the routes may depend on.
    is_stale: bool,
    /// How much speaks against whoever carries the traffic.
    doubt: Doubt,
    desired: Option<Desired>,
    /// What the networks behind this machine were told of each uplink's prefixes.
    told_prefixes: ToldPrefixes,
    outbox: Outbox,
    /// Routes that nobody has taken yet: only the last ones matter.
    routes: Option<Desired>,
    events: VecDeque<Event>,
}

impl Engine {
    /// An engine that knows nothing but its settings.
    pub fn new(settings: Settings, now: Moment) -> Self {
        let mut engine = Self {
            uplinks: Vec::new(),
            groups: vec![Group::rest(settings.failover.policy)],
            settings,
            flaps: Flaps::default(),
            exits: Exits::new(),
            departures: VecDeque::new(),
            started: now,
            nobody_since: None,
            is_stranded: false,
            held: BTreeMap::new(),
            docket: Docket::default(),
            is_stale: true,
            doubt: Doubt::None,
            desired: None,
            told_prefixes: ToldPrefixes::new(),
            outbox: Outbox::default(),
            routes: None,
            events: VecDeque::new(),
        };
        engine.set_uplinks(now);
        engine
            .groups
            .extend(engine.settings.groups.iter().map(Group::new));
        engine
    }

    /// Takes something that happened.
    pub fn handle_input(&mut self, now: Moment, input: Input) {
        self.is_stale |= !matches!(input, Input::Probe { .. } | Input::Counters { .. });
        self.wake_up(now);
        match input {
            Input::Attachment { uplink, attachment } => {
                if let Some(place) = self.place(&uplink) {
                    self.uplinks[place].attach(attachment, now, &mut self.outbox);
                }
            }
            Input::Carrying(uplink) => self.adopt(&uplink, now),
            Input::CarryingApart { family, uplink } => {
                if let Some(place) = self.place(&uplink) {
                    let uplink = &self.uplinks[place];
                    self.groups[REST].adopt_apart(family, uplink);
                }
            }
            Input::Sharing {
                group,
                family,
                uplinks,
            } => self.adopt_sharers(group.as_ref(), family, uplinks, now),
            Input::Learnt { uplink, learner } => {
                if let Some(place) = self.place(&uplink) {
                    self.uplinks[place].recall(learner);
                }
            }
            Input::Unspent { uplink, left } => {
                if let Some(place) = self.place(&uplink) {
                    self.uplinks[place].recall_budget(left);
                }
            }
            Input::Probe {
                uplink,
                id,
                outcome,
            } => self.probed(&uplink, id, outcome, now),
            Input::Counters { uplink, counters } => {
                if let Some(place) = self.place(&uplink) {
                    self.uplinks[place].counted(counters, now);
                }
            }
            Input::Settings(settings) => self.reload(*settings, now),
            Input::Moved {
                uplink,
                interface,
                gateway,
                gateway6,
            } => {
                if let Some(place) = self.place(&uplink) {
                    let settings = &mut self.settings.uplinks[place];
                    settings.interface = interface;
                    (settings.gateway, settings.gateway6) = (gateway, gateway6);
                    self.uplinks[place].adapt(settings.clone(), now);
                }
            }
            Input::Command(command) => self.obey(command, now),
            Input::Restored(command) => self.restore(command, now),
            Input::Held { uplink, flows } => {
                self.held.insert(uplink, flows);
                self.held.retain(|_, flows| !flows.is_empty());
            }
        }
        self.decide(now);
    }

    /// Does what is due by `now`.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.wake_up(now);
        let leader = self.share_the_wake(now);
        for uplink in &mut self.uplinks {
            if uplink.next_timeout().is_some_and(|at| at <= now) {
                uplink.handle_timeout(now, &mut self.outbox);
            }
        }
        self.keep_step_with(leader);
        self.decide(now);
    }

    /// What to do next; routes come before the probes that need them and before the events that
    /// tell of them.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(routes) = self.routes.take() {
            return Some(Action::Route(routes));
        }
        if let Some(departure) = self.departures.pop_front() {
            return Some(Action::Leave(departure));
        }
        let order = self.outbox.take_order();
        order.or_else(|| self.events.pop_front().map(Action::Event))
    }

    /// When to call [`Engine::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let uplinks = self.uplinks.iter().filter_map(Uplink::next_timeout);
        let groups = self.groups.iter().filter_map(Group::look_again);
        let others = [self.flaps.next_timeout(), self.docket.next_timeout()];
        let others = others.into_iter().flatten();
        uplinks.chain(groups).chain(others).min()
    }

    /// Who carries the traffic that no group claims: whoever leads there.
    pub fn carrier(&self) -> Option<&UplinkName> {
        self.groups[REST].leader()
    }

    /// Everybody who carries the traffic that no group claims.
    pub fn carriers(&self) -> Vec<UplinkName> {
        self.groups[REST].carriers(&self.uplinks)
    }

    /// What was learnt about how each uplink loses packets, for [`Input::Learnt`] after a restart.
    pub fn learnt(&self) -> BTreeMap<UplinkName, Learner> {
        let learnt = |uplink: &Uplink| (uplink.settings().name.clone(), uplink.learnt());
        self.uplinks.iter().map(learnt).collect()
    }

    /// What a later run may still spend on each metered uplink, for [`Input::Unspent`].
    pub fn unspent(&mut self) -> BTreeMap<UplinkName, Bytes> {
        let uplinks = self.uplinks.iter_mut();
        let unspent = uplinks.filter_map(|uplink| {
            let left = uplink.keep_budget()?;
            Some((uplink.settings().name.clone(), left))
        });
        unspent.collect()
    }

    /// So much was spent on a metered uplink that [`Engine::unspent`] should be written down again.
    pub fn has_spent(&self) -> bool {
        self.uplinks.iter().any(Uplink::has_spent)
    }

    /// The read model. `wall` translates times.
    pub fn status(&self, wall: Wall) -> Status {
        let rest = &self.groups[REST];
        let carrying = self.all_carriers();
        let uplink_status = |uplink: &Uplink| {
            let name = &uplink.settings().name;
            let carries = self.carried_by(name);
            let status = uplink.status(carries, carrying.contains(name), wall);
            self.with_penalty(status, wall)
        };
        let groups = (0..self.groups.len())
            .filter_map(|place| self.groups[place].status(self.carriers_of(place), wall));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: if rest.chosen().is_some() {
                SelectionMode::Manual
            } else {
                SelectionMode::Auto
            },
            choices: self.choices(),
            policy: self.settings.failover.policy,
            since: rest.since().map(|since| wall.at(since)),
            uplinks: self.uplinks.iter().map(uplink_status).collect(),
            active: self.carriers(),
            groups: groups.collect(),
            routes: RoutesState::InPlace,
            last_switch: rest.last_switch(wall),
        }
    }

    fn with_penalty(&self, uplink: UplinkStatus, wall: Wall) -> UplinkStatus {
        let settings = self.settings.failover.damping;
        let penalty = self.flaps.penalty(&uplink.name, settings, wall.now());
        let until = self.flaps.suppressed_until(&uplink.name);
        UplinkStatus {
            penalty: tenths(penalty),
            suppressed_until: until.map(|until| wall.at(until)),
            ..uplink
        }
    }

    /// What nobody looked at for long is no evidence.
    fn wake_up(&mut self, now: Moment) {
        for uplink in &mut self.uplinks {
            let due = uplink.next_timeout();
            if due.is_some_and(|due| now.since(due) >= ASLEEP) {
                uplink.wake(now);
                self.is_stale = true;
            }
        }
    }

    fn place(&self, name: &UplinkName) -> Option<usize> {
        self.uplinks
            .iter()
            .position(|uplink| uplink.settings().name == *name)
    }

    fn find(&self, name: &UplinkName) -> Result<&Uplink, CommandRefusal> {
        self.place(name)
            .map(|place| &self.uplinks[place])
            .ok_or_else(|| CommandRefusal::NoSuchUplink {
                name: name.clone(),
                known: self
                    .settings
                    .uplinks
                    .iter()
                    .map(|uplink| uplink.name.clone())
                    .collect(),
            })
    }

    fn adopt(&mut self, uplink: &UplinkName, now: Moment) {
        if let Some(place) = self.place(uplink) {
            self.groups[REST].adopt(&self.uplinks[place], now);
        }
    }

    /// Goes on as an earlier run left a family of a group; of the rest it is known to whom that was
    /// led.
    fn adopt_sharers(
        &mut self,
        name: Option<&GroupName>,
        family: Family,
        mut uplinks: Vec<UplinkName>,
        now: Moment,
    ) {
        let mut groups = self.groups.iter_mut();
        let Some(group) = groups.find(|group| group.name() == name) else {
            return;
        };
        let is_member = |name: &UplinkName| {
            let uplink = group::find(&self.uplinks, name);
            uplink.is_some_and(|uplink| group.tier_of(uplink).is_some())
        };
        uplinks.retain(is_member);
        let first = uplinks
            .first()
            .and_then(|name| group::find(&self.uplinks, name));
        if let Some(first) = first.filter(|_| name.is_some()) {
            group.adopt(first, now);
            group.adopt_apart(family, first);
        }
        group.adopt_sharers(family, uplinks);
    }

    fn probed(&mut self, uplink: &UplinkName, id: ProbeId, outcome: ProbeOutcome, now: Moment) {
        if let Some(place) = self.place(uplink) {
            self.uplinks[place].probed(id, outcome, now, &mut self.outbox);
        }
    }

    fn reload(&mut self, settings: Settings, now: Moment) {
        let carrying: Vec<_> = (0..self.groups.len())
            .map(|place| self.groups[place].carrying(&self.uplinks))
            .collect();
        self.settings = settings;
        let renamed = self.set_uplinks(now);
        let new_name = |old: &UplinkName| {
            let has = |name: &UplinkName| self.settings.uplinks.iter().any(|u| u.name == *name);
            let renamed = renamed.iter().find(|(from, _)| from == old);
            renamed
                .map(|(_, to)| to.clone())
                .or_else(|| has(old).then(|| old.clone()))
        };
        let damping = self.settings.failover.damping;
        self.flaps.adapt(damping, &renamed, |name| {
            self.settings.uplinks.iter().any(|u| u.name == *name)
        });
        let mut old: Vec<_> = std::mem::take(&mut self.groups)
            .into_iter()
            .zip(carrying)
            .collect();
        let mut keep = |name: Option<&GroupName>| {
            let place = old.iter().position(|(group, _)| group.name() == name)?;
            Some(old.swap_remove(place))
        };
        if let Some((mut rest, carrying)) = keep(None) {
            let policy = self.settings.failover.policy;
            rest.adapt(policy, None, carrying, new_name);
            self.groups.push(rest);
        }
        for settings in &self.settings.groups {
            let mut group = Group::new(settings);
            if let Some((kept, _)) = keep(Some(&settings.name)) {
                group = kept;
                let members = Some(settings.uplinks.clone());
                group.adapt(settings.policy, members, Carrying::new(), new_name);
            }
            self.groups.push(group);
        }
        self.outbox.events.push(Event {
            at: now,
            change: Change::ConfigReloaded,
            reason: "the configuration was read again".to_owned(),
        });
    }

    /// One uplink for each of the settings; those whose name and interface are known stay, and those
    /// that only have another name. Returns these. Of uplinks that share an interface the gateway
    /// tells which is which; elsewhere another gateway is another way out of the same uplink.
    fn set_uplinks(&mut self, now: Moment) -> Vec<(UplinkName, UplinkName)> {
        let mut old = std::mem::take(&mut self.uplinks);
        let mut renamed = Vec::new();
        let names: Vec<_> = self.settings.uplinks.iter().map(|u| &u.name).collect();
        let shared_before = shared_interfaces(old.iter().map(Uplink::settings));
        let shared_now = shared_interfaces(&self.settings.uplinks);
        for (place, settings) in self.settings.uplinks.iter().enumerate() {
            let kept = old.iter().position(|uplink| {
                let known = uplink.settings();
                let is_same_name = known.name == settings.name;
                let is_free = is_same_name || !names.contains(&&known.name);
                let mut shared = shared_before.union(&shared_now);
                let is_alone = !shared.any(|interface| *interface == known.interface);
                let is_same_way = known.gateway == settings.gateway || (is_same_name && is_alone);
                is_free && known.interface == settings.interface && is_same_way
            });
            let uplink = if let Some(kept) = kept {
                let mut kept = old.swap_remove(kept);
                let name = kept.settings().name.clone();
                if kept.settings() != settings {
                    kept.adapt(settings.clone(), now);
                }
                if name != settings.name {
                    renamed.push((name, settings.name.clone()));
                }
                kept
            } else {
                let seed = self.settings.seed.wrapping_add(place as u64);
                Uplink::new(settings.clone(), now, Spread::new(seed))
            };
            self.uplinks.push(uplink);
        }
        renamed
    }

    fn rest_mut(&mut self) -> &mut Group {
        &mut self.groups[REST]
    }

    /// Whether an uplink has proven to be better than one that leads.
    fn is_contest_won(&mut self, now: Moment) -> bool {
        let around = Around {
            uplinks: &mut self.uplinks,
            flaps: &self.flaps,
            failover: self.settings.failover,
            is_asked: false,
            refuge: None,
        };
        let mut is_won = false;
        for group in &mut self.groups {
            is_won |= group.is_contest_won(&around, now);
        }
        is_won
    }

    fn decide(&mut self, now: Moment) {
        self.docket.hear(&mut self.uplinks, now, &mut self.outbox);
        let is_settled = self.settle(now);
        // Whether one is needed depends on who carries now.
        let is_stale = self.rouse(now) && self.settle(now);
        self.attend(is_settled || is_stale, now);
        if !self.outbox.events.is_empty() {
            self.events.extend(self.outbox.events.drain(..));
        }
    }

    /// Decides who carries the traffic, if anything speaks for another decision.
    fn settle(&mut self, now: Moment) -> bool {
        let is_reused = self.flaps.next_timeout().is_some_and(|until| until <= now);
        if is_reused || !self.outbox.turns.is_empty() {
            let damping = self.settings.failover.damping;
            let turns = self.outbox.turns.drain(..);
            let events = &mut self.outbox.events;
            self.flaps.observe(damping, now, turns, events);
        }
        self.is_stale |= std::mem::take(&mut self.outbox.is_changed);
        self.is_stale |= !self.outbox.events.is_empty();
        self.is_stale |= self.groups.iter().any(|group| group.is_due(now));
        self.is_stale |= self.is_contest_won(now);
        let is_stale = std::mem::take(&mut self.is_stale);
        if is_stale {
            self.elect(now, Asked::None);
            self.tell_of_pin(now);
            self.route(now);
        }
        is_stale
    }

    fn route(&mut self, now: Moment) {
        let carriers = self.all_carriers();
        for uplink in &mut self.uplinks {
            let is_carrying = carriers.contains(&uplink.settings().name);
            uplink.set_carrying(is_carrying, now);
        }
        let desired = self.desire();
        if self.desired.as_ref() != Some(&desired) {
            self.desired = Some(desired.clone());
            self.routes = Some(desired);
        }
        let departure = self.depart();
        self.departures.extend(departure);
        self.tell_of_prefixes(now);
    }

    /// Decides who carries the traffic, that of the rest first.
    fn elect(&mut self, now: Moment, asked: Asked) {
        let mut refuge = None;
        for place in 0..self.groups.len() {
            let mut around = Around {
                uplinks: &mut self.uplinks,
                flaps: &self.flaps,
                failover: self.settings.failover,
                is_asked: match asked {
                    Asked::None => false,
                    Asked::Rest => place == REST,
                    Asked::All => true,
                },
                refuge: refuge.clone(),
            };
            let outcome = self.groups[place].elect(&mut around, now);
            if place == REST {
                match outcome.is_usable {
                    Some(true) => self.nobody_since = None,
                    Some(false) => self.tell_of_nobody(now),
                    None => {}
                }
                refuge = Some(self.carriers_of(REST)).filter(|carriers| {
                    let carriers = carriers.iter();
                    let mut carriers = carriers.filter_map(|name| find(&self.uplinks, name));
                    carriers.any(|uplink| uplink.candidate().fitness() > Fitness::Unusable)
                });
            }
            if let Some(switch) = outcome.switch {
                let group = self.groups[place].name().cloned();
                let (from, to) = (switch.from, switch.to);
                self.outbox.events.push(Event {
                    at: now,
                    change: Change::Switch { group, from, to },
                    reason: switch.reason,
                });
            }
        }
    }

    /// Who carries a group, be it with the rest.
    fn carriers_of(&self, place: usize) -> Vec<UplinkName> {
        self.carrying_group(place).carriers(&self.uplinks)
    }

    /// The group by whose uplinks a group goes: itself or the rest.
    fn carrying_group(&self, place: usize) -> &Group {
        let own = &self.groups[place];
        if own.leader().is_some() {
            own
        } else {
            &self.groups[REST]
        }
    }

    /// Everybody who carries any traffic.
    fn all_carriers(&self) -> BTreeSet<UplinkName> {
        let groups = self.groups.iter();
        groups
            .flat_map(|group| group.carriers(&self.uplinks))
            .collect()
    }

    /// The families of which an uplink carries any traffic.
    fn carried_by(&self, uplink: &UplinkName) -> Vec<Family> {
        let carries = |family: &Family| {
            let mut groups = self.groups.iter();
            groups.any(|group| group.carriers_of(*family, &self.uplinks).contains(uplink))
        };
        Family::ROUTED.into_iter().filter(carries).collect()
    }

    fn tell_of_nobody(&mut self, now: Moment) {
        let still_learning = self
            .uplinks
            .iter()
            .any(|uplink| uplink.state() == State::Unknown);
        if still_learning || self.nobody_since.is_some() {
            return;
        }
        // While a machine boots its links come one after another.
        let booted = self.started + BOOT;
        if !self.groups[REST].has_switched() && now < booted {
            self.rest_mut().look_again_at(booted);
            return;
        }
        self.nobody_since = Some(now);
        self.outbox.events.push(Event {
            at: now,
            change: Change::NoUsableUplink,
            reason: explain_nobody(&self.uplinks),
        });
    }

    fn desire(&self) -> Desired {
        let routes: Vec<_> = (0_u32..)
            .zip(&self.uplinks)
            .map(|(position, uplink)| UplinkRoutes {
                position,
                interface: &uplink.settings().interface,
                attachment: uplink.attachment(),
            })
            .collect();
        let carrying = |place| self.carrying_group(place).carrying(&self.uplinks);
        let place_of = |name: &GroupName| {
            let mut groups = (0_u32..).zip(&self.settings.groups);
            groups.find_map(|(place, group)| (group.name == *name).then_some(place))
        };
        let rules = self.settings.rules.iter();
        let rules = rules.filter_map(|rule| Some((place_of(&rule.group)?, &rule.traffic)));
        let traffic = TrafficRoutes {
            default_group: carrying(REST),
            groups: (REST + 1..self.groups.len()).map(carrying).collect(),
            rules: rules.collect(),
            held: self.held_flows().collect(),
        };
        desired(&self.settings.numbering, &routes, &traffic)
    }
}

/// The place of the rest among the groups.
const REST: usize = 0;

fn shared_interfaces<'a>(
    uplinks: impl IntoIterator<Item = &'a UplinkSettings>,
) -> BTreeSet<InterfaceName> {
    let mut seen = BTreeSet::new();
    let interfaces = uplinks.into_iter().map(|uplink| &uplink.interface);
    interfaces
        .filter(|interface| !seen.insert(*interface))
        .cloned()
        .collect()
}
