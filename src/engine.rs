//! The decisions. Pure: no clock, no socket, no task, no random source; a month runs in a second and
//! a recording replays exactly.
//!
//! Call order: tell the engine what happened with [`Engine::handle_input`] or that time has passed
//! with [`Engine::handle_timeout`]; after either take what it wants with [`Engine::poll_action`]
//! until there is nothing left, and call `handle_timeout` again no later than at
//! [`Engine::poll_timeout`].

mod attention;
pub mod budget;
mod carriers;
pub mod contest;
pub mod damping;
pub mod deadline;
mod departure;
pub mod docket;
pub mod election;
pub mod family;
pub mod input;
pub mod loss;
pub mod outage;
pub mod passive;
pub mod patience;
mod prefixes;
pub mod quality;
pub mod round;
mod rouse;
pub mod schedule;
pub mod score;
pub mod settings;
pub mod silence;
pub mod status;
pub mod target;
pub mod timer;
pub mod uplink;
pub mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::engine::carriers::Apart;
use crate::engine::contest::Contest;
use crate::engine::damping::Flaps;
use crate::engine::departure::Exits;
use crate::engine::docket::Docket;
use crate::engine::election::{Candidate, Choice, Fitness, Terms, elect};
use crate::engine::input::{Action, Change, Command, Departure, Event, Input, Outcome};
use crate::engine::loss::Learner;
use crate::engine::prefixes::ToldPrefixes;
use crate::engine::schedule::{Doubt, Spread};
use crate::engine::settings::{Failback, Policy, Settings, UplinkSettings};
use crate::engine::silence::{as_silent_as, explain_nobody};
use crate::engine::status::{LastSwitch, Mode, RoutesState, State, Status, UplinkStatus};
use crate::engine::target::tenths;
use crate::engine::uplink::{Outbox, Uplink};
use crate::routing::Desired;
use crate::routing::desired::{Carrying, UplinkRoutes, desired};
use crate::units::{Bytes, InterfaceName, Moment, ProbeId, UplinkName, Wall};

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
    /// Who leads: carries every family that is not carried apart.
    active: Option<Active>,
    apart: Apart,
    flaps: Flaps,
    contest: Contest,
    exits: Exits,
    departures: VecDeque<Departure>,
    /// What an uplink that a reload removed still carries, until there is a successor.
    leaving: Carrying,
    started: Moment,
    last_switch: Option<Switch>,
    chosen: Option<UplinkName>,
    nobody_since: Option<Moment>,
    look_again: Option<Moment>,
    docket: Docket,
    /// Some that look better than the carrier have been as silent as it since it died.
    is_undecided: bool,
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

#[derive(Clone, Debug)]
struct Active {
    uplink: UplinkName,
    since: Moment,
    is_adopted: bool,
}

#[derive(Clone, Debug)]
struct Switch {
    at: Moment,
    from: Vec<UplinkName>,
    to: Vec<UplinkName>,
    reason: String,
}

/// Whether what is to go back waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    InForce,
    /// A person asks for it now.
    Waived,
}

/// Why a wish was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No uplink has this name.
    #[error("no uplink is named `{0}`")]
    NoSuchUplink(UplinkName),
    /// It cannot carry traffic now.
    #[error("{uplink} cannot carry the traffic: {reason}")]
    Unusable {
        /// Which.
        uplink: UplinkName,
        /// Why.
        reason: String,
    },
    /// Nothing else could carry the traffic.
    #[error("{0} is the last usable uplink: nothing else could carry the traffic")]
    Last(UplinkName),
}

impl Engine {
    /// An engine that knows nothing but its settings.
    pub fn new(settings: Settings, now: Moment) -> Self {
        let mut engine = Self {
            uplinks: Vec::new(),
            settings,
            active: None,
            apart: Apart::new(),
            flaps: Flaps::default(),
            contest: Contest::default(),
            exits: Exits::new(),
            departures: VecDeque::new(),
            leaving: Carrying::new(),
            started: now,
            last_switch: None,
            chosen: None,
            nobody_since: None,
            look_again: None,
            docket: Docket::default(),
            is_undecided: false,
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
            Input::Carrying(uplink) => self.adopt(uplink, now),
            Input::CarryingApart { family, uplink } => self.adopt_apart(family, uplink),
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
            Input::Command(command) => self.obey(command, now),
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
        let others = [
            self.look_again,
            self.flaps.next_timeout(),
            self.docket.next_timeout(),
        ];
        let others = others.into_iter().flatten();
        uplinks.chain(others).min()
    }

    /// Whether a wish can be granted; [`Engine::handle_input`] grants it.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Auto => Ok(()),
            Command::Enable(name) => self.find(name).map(|_| ()),
            Command::Switch(name) => {
                let uplink = self.find(name)?;
                let is_usable = uplink.candidate().fitness() >= Fitness::Poor;
                if is_usable || uplink.can_be_called() {
                    return Ok(());
                }
                Err(Refusal::Unusable {
                    uplink: name.clone(),
                    reason: format!("{}, {}", uplink.state(), uplink.reason()),
                })
            }
            Command::Disable(name) => {
                self.find(name)?;
                let is_active = self.active.as_ref().is_some_and(|a| a.uplink == *name);
                let mut others = self.candidates().into_iter().filter(|c| c.name != name);
                let has_other = others.any(|c| c.fitness() > Fitness::Unusable);
                if is_active && !has_other {
                    return Err(Refusal::Last(name.clone()));
                }
                Ok(())
            }
        }
    }

    /// Who carries the traffic.
    pub fn carrier(&self) -> Option<&UplinkName> {
        self.active.as_ref().map(|active| &active.uplink)
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
        let active = self.carriers();
        let leader = self.active.as_ref();
        let uplink_status = |uplink: &Uplink| {
            let name = &uplink.settings().name;
            let status = uplink.status(self.carried_by(name), active.contains(name), wall);
            self.with_penalty(status, wall)
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: if self.chosen.is_some() {
                Mode::Manual
            } else {
                Mode::Auto
            },
            policy: self.settings.failover.policy,
            since: leader.map(|leader| wall.at(leader.since)),
            uplinks: self.uplinks.iter().map(uplink_status).collect(),
            active,
            routes: RoutesState::InPlace,
            last_switch: self.last_switch.as_ref().map(|switch| LastSwitch {
                at: wall.at(switch.at),
                from: switch.from.clone(),
                to: switch.to.clone(),
                reason: switch.reason.clone(),
            }),
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

    fn find(&self, name: &UplinkName) -> Result<&Uplink, Refusal> {
        self.place(name)
            .map(|place| &self.uplinks[place])
            .ok_or_else(|| Refusal::NoSuchUplink(name.clone()))
    }

    fn adopt(&mut self, uplink: UplinkName, now: Moment) {
        if self.active.is_none() && self.place(&uplink).is_some() {
            self.active = Some(Active {
                uplink,
                since: now,
                is_adopted: true,
            });
        }
    }

    fn probed(&mut self, uplink: &UplinkName, id: ProbeId, outcome: Outcome, now: Moment) {
        if let Some(place) = self.place(uplink) {
            self.uplinks[place].probed(id, outcome, now, &mut self.outbox);
        }
    }

    fn reload(&mut self, settings: Settings, now: Moment) {
        let carrying = self.carrying();
        self.settings = settings;
        let renamed = self.set_uplinks(now);
        let new_name = |old: &UplinkName| {
            let has = |name: &UplinkName| self.settings.uplinks.iter().any(|u| u.name == *name);
            let renamed = renamed.iter().find(|(from, _)| from == old);
            renamed
                .map(|(_, to)| to.clone())
                .or_else(|| has(old).then(|| old.clone()))
        };
        self.chosen = self.chosen.as_ref().and_then(new_name);
        let damping = self.settings.failover.damping;
        self.flaps.adapt(damping, &renamed, |name| {
            self.settings.uplinks.iter().any(|u| u.name == *name)
        });
        let active = self.active.take().and_then(|active| {
            let uplink = new_name(&active.uplink)?;
            Some(Active { uplink, ..active })
        });
        if active.is_none() {
            self.leaving = carrying;
        }
        self.active = active;
        self.apart = carriers::renamed(std::mem::take(&mut self.apart), new_name);
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

    fn obey(&mut self, command: Command, now: Moment) {
        if self.check(&command).is_err() {
            return;
        }
        match command {
            Command::Switch(name) => {
                self.flaps.pardon(&name);
                self.chosen = Some(name);
                self.elect(now, Waits::Waived);
            }
            Command::Auto => {
                self.chosen = None;
                // Where only a person says when to go back, it is said now.
                if self.settings.failover.failback == Failback::Manual {
                    self.flaps.pardon_all();
                }
                self.elect(now, Waits::Waived);
            }
            Command::Disable(name) => self.set_disabled(&name, true, "disabled by hand", now),
            Command::Enable(name) => {
                self.flaps.pardon(&name);
                self.set_disabled(&name, false, "enabled by hand", now);
            }
        }
    }

    fn set_disabled(&mut self, name: &UplinkName, is_disabled: bool, reason: &str, now: Moment) {
        if let Some(place) = self.place(name) {
            self.uplinks[place].set_disabled(is_disabled, now, reason, &mut self.outbox);
        }
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        self.uplinks.iter().map(|u| self.candidate(u)).collect()
    }

    fn candidate<'a>(&self, uplink: &'a Uplink) -> Candidate<'a> {
        let candidate = uplink.candidate();
        let score = match self.settings.failover.policy {
            Policy::Best => uplink.lasting_score(),
            Policy::Failover => None,
        };
        Candidate {
            suppressed_until: self.flaps.suppressed_until(candidate.name),
            score,
            ..candidate
        }
    }

    /// Whether a rival of the uplink that carries the traffic has proven to be better.
    fn is_contest_won(&mut self, now: Moment) -> bool {
        let is_due = self.contest.is_due(now);
        let best = self.settings.failover.best;
        match (self.settings.failover.policy, &self.active) {
            (Policy::Best, Some(active)) if is_due => {
                let mut contest = std::mem::take(&mut self.contest);
                let is_won = contest.observe(&self.candidates(), &active.uplink, best, now);
                self.contest = contest;
                is_won
            }
            (Policy::Best | Policy::Failover, _) => false,
        }
    }

    fn decide(&mut self, now: Moment) {
        self.docket.hear(&mut self.uplinks, now, &mut self.outbox);
        self.rouse(now);
        let damping = self.settings.failover.damping;
        let turns = self.outbox.turns.drain(..);
        let events = &mut self.outbox.events;
        self.flaps.observe(damping, now, turns, events);
        self.is_stale |= std::mem::take(&mut self.outbox.is_changed);
        self.is_stale |= self.is_undecided || !self.outbox.events.is_empty();
        self.is_stale |= self.look_again.is_some_and(|at| at <= now);
        self.is_stale |= self.is_contest_won(now);
        let is_stale = std::mem::take(&mut self.is_stale);
        if is_stale {
            self.elect(now, Waits::InForce);
            self.route(now);
        }
        self.attend(is_stale, now);
        if !self.outbox.events.is_empty() {
            self.events.extend(self.outbox.events.drain(..));
        }
    }

    fn route(&mut self, now: Moment) {
        let carriers = self.carriers();
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

    fn elect(&mut self, now: Moment, waits: Waits) {
        let before = self.carriers();
        let (choice, is_undecided) = self.choose(now, waits);
        self.is_undecided = is_undecided;
        let mut reasons = Vec::new();
        match choice {
            Choice::Nobody if self.is_undecided => {
                self.look_again = None;
                return;
            }
            Choice::Stay { until } => {
                self.nobody_since = None;
                self.look_again = until;
            }
            Choice::Move { to, reason } => {
                self.nobody_since = None;
                self.pass_over(&to, now);
                self.lead(to, now);
                reasons.push(reason);
                // Another that is preferred to the new leader may fall due later.
                let (next, _) = self.choose(now, Waits::InForce);
                self.look_again = next.due();
            }
            Choice::Nobody => {
                self.look_again = None;
                self.tell_of_nobody(now);
            }
        }
        reasons.extend(self.elect_apart(waits, now));
        if !reasons.is_empty() {
            self.tell_of_switch(before, reasons.join("; "), now);
        }
    }

    /// The choice, and whether some were left out because they are as silent as the carrier.
    fn choose(&self, now: Moment, waits: Waits) -> (Choice, bool) {
        let terms = Terms {
            active: self.active.as_ref().map(|active| &active.uplink),
            is_adopted: self.active.as_ref().is_some_and(|active| active.is_adopted),
            chosen: self.chosen.as_ref(),
            is_asked: waits == Waits::Waived,
            failover: self.settings.failover,
            contest: &self.contest,
        };
        let mut candidates = self.candidates();
        let carrier = self.place_of_carrier().map(|place| &self.uplinks[place]);
        let silent_too = as_silent_as(carrier, &self.uplinks);
        candidates.retain(|candidate| !silent_too.contains(candidate.name));
        (elect(&candidates, terms, now), !silent_too.is_empty())
    }

    fn place_of_carrier(&self) -> Option<usize> {
        self.place(self.carrier()?)
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
        if self.last_switch.is_none() && now < booted {
            self.look_again = Some(booted);
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
        desired(&self.settings.numbering, &routes, &self.carrying())
    }
}

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
