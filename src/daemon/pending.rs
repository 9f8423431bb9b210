//! Events that wait until they are true.
//!
//! A switch is announced when the kernel holds its routes and, where flows are moved, when the flows that
//! it left behind are ended. Later events wait behind it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use super::Options;
use super::clock::Clock;
use super::flows::{FlowMover, LeftFlows, retry_elsewhere};
use super::kernel_side::KernelSide;
use super::tasks::{FlowMoverNews, FlowMoverReport, TaskOutbox};
use crate::config::{Config, FlowSettings, LocalSockets};
use crate::engine::action::{Departure, DepartureCause};
use crate::engine::command::IssuedCommand;
use crate::engine::event::record::{EventContext, SwitchOutcome};
use crate::engine::event::{Change, Event, EventKind};
use crate::engine::settings::Flows;
use crate::kernel::UnansweredFlows;
use crate::routing::Family;
use crate::routing::flows::{FlowRule, TrafficOf};
use crate::routing::traffic::Marks;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{GroupName, Moment, UplinkName};

/// Of flows that were to be left, so many are named.
const MOST_NAMED: usize = 3;

/// Events in their order, and the flows that switches leave behind.
pub(super) struct PendingEvents {
    queue: VecDeque<Pending>,
    mover: FlowMover,
    /// Logged once: connection tracking does not appear while the kernel runs.
    has_complained_of_flows: bool,
    /// The changes of the last reload, until they are announced.
    reload: Option<String>,
    /// The command that was just followed, and who gave it.
    command: Option<String>,
}

/// Events that wait until the kernel holds the routes of their revision.
struct Pending {
    revision: u64,
    decided: Moment,
    /// When the kernel was found to hold its routes, though it may have to wait for those before it.
    held: Option<Moment>,
    events: Vec<Event>,
    /// What the switch among them, and drains that end with it, leave behind.
    departures: Vec<Departure>,
    /// The uplinks whose flows are ended that stayed there for as long as they may.
    after_limit: SortedSet<UplinkName>,
    stage: SwitchStage,
}

/// How far a switch has come.
#[derive(Clone, Copy)]
enum SwitchStage {
    /// The kernel does not hold its routes yet.
    Routing,
    /// It does, after `took`; the flows are being ended.
    MovingFlows {
        took: Duration,
    },
    Done(SwitchOutcome),
}

/// The parts of the daemon that a switch depends on.
#[derive(Clone, Copy)]
pub(super) struct SwitchView<'a> {
    pub(super) kernel: &'a KernelSide,
    pub(super) config: &'a Config,
    pub(super) is_observing: bool,
    pub(super) clock: Clock,
}

impl<'a> SwitchView<'a> {
    pub(super) fn of(
        kernel: &'a KernelSide,
        config: &'a Config,
        options: &Options,
        clock: Clock,
    ) -> Self {
        Self {
            kernel,
            config,
            is_observing: options.observe,
            clock,
        }
    }
}

impl SwitchView<'_> {
    /// The flows of departures that are moved, apart for each set of groups that left.
    fn moved(&self, departures: Vec<Departure>) -> Vec<LeftFlows> {
        if self.is_observing {
            return Vec::new();
        }
        let flows = self.config.flows;
        let mut by_groups = SortedMap::<_, Vec<_>>::new();
        for departure in moved(flows, departures) {
            let all = by_groups.entry(departure.groups.clone()).or_default();
            all.push(departure);
        }
        let left = by_groups.into_iter().map(|(groups, departures)| LeftFlows {
            of: self.traffic_of(&groups),
            marks: self.marks(&departures),
            sockets: sockets(flows, &departures),
            addresses: addresses(&departures),
        });
        left.collect()
    }

    /// All where there are none.
    fn traffic_of(&self, groups: &SortedSet<Option<GroupName>>) -> TrafficOf {
        if groups.is_empty() {
            return TrafficOf::all();
        }
        let rules = self.config.engine.rules.iter();
        let rules = rules.map(|rule| FlowRule {
            traffic: rule.traffic.clone(),
            is_of_it: groups.contains(&Some(rule.group.clone())),
            has_hours: !rule.when.are_always(),
        });
        let observed = self.kernel.observed();
        TrafficOf::selected(rules.collect(), groups.contains(&None), observed)
    }

    fn marks(&self, departures: &[Departure]) -> SortedSet<(Family, Marks)> {
        let uplinks = departures.iter().flat_map(|departure| &departure.uplinks);
        let marks = uplinks.filter_map(|(name, family)| {
            let mut places = (0..).zip(&self.config.engine.uplinks);
            let (place, _) = places.find(|(_, uplink)| uplink.name == *name)?;
            Some((*family, self.config.engine.numbering.flow_mark(place)?))
        });
        marks.collect()
    }

    /// Lets what has begun on uplinks in doubt begin anew, and takes it out of what is left.
    fn retry_elsewhere(&self, departures: &mut Vec<Departure>) {
        let doubt = |departure: &Departure| match departure.cause {
            DepartureCause::Doubt(since) => Some(since),
            DepartureCause::Failed | DepartureCause::Chosen | DepartureCause::Limit => None,
        };
        let Some(since) = departures.iter().filter_map(doubt).min() else {
            return;
        };
        let (doubted, left) = { std::mem::take(departures).into_iter() }
            .partition(|departure| doubt(departure).is_some());
        let doubted: Vec<_> = doubted;
        *departures = left;
        if self.is_observing || self.config.flows.on_failover == Flows::Keep {
            return;
        }
        let since = self.clock.wall().at(since).0.duration_since(UNIX_EPOCH);
        retry_elsewhere(UnansweredFlows {
            marks: self.marks(&doubted),
            addresses: addresses(&doubted),
            since: u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX),
        });
    }
}

/// What a command brings about at once.
fn is_commanded(change: &Change) -> bool {
    matches!(
        change.kind(),
        EventKind::Switch | EventKind::UplinkDisabled | EventKind::UplinkEnabled
    )
}

impl PendingEvents {
    pub(super) fn new(tasks: TaskOutbox) -> Self {
        Self {
            queue: VecDeque::new(),
            mover: FlowMover::new(tasks),
            has_complained_of_flows: false,
            reload: None,
            command: None,
        }
    }

    /// Takes the command whose events come next, for their reasons.
    pub(super) fn note_command(&mut self, issued: &IssuedCommand) {
        if let Some(by) = &issued.by {
            self.command = Some(format!("`{}` by {by}", issued.command));
        }
    }

    /// Takes the changes of a reload, for its event.
    pub(super) fn note_reload(&mut self, changes: String) {
        self.reload = Some(changes);
    }

    /// Takes the events and departures that came with the newest revision of the desired state.
    pub(super) fn push(
        &mut self,
        view: SwitchView<'_>,
        mut events: Vec<Event>,
        departures: Vec<Departure>,
    ) {
        if let Some(command) = self.command.take() {
            for event in events
                .iter_mut()
                .filter(|event| is_commanded(&event.change))
            {
                event.reason = format!("{} ({command})", event.reason);
            }
        }
        if events.is_empty() && departures.is_empty() {
            return;
        }
        self.queue.push_back(Pending {
            revision: view.kernel.revision(),
            decided: view.clock.now(),
            held: None,
            events,
            departures,
            after_limit: SortedSet::new(),
            stage: SwitchStage::Routing,
        });
    }

    /// The events that are true by now, with the outcome of their switch.
    pub(super) fn take_true(&mut self, view: SwitchView<'_>) -> Vec<(Event, EventContext)> {
        let revision = view.kernel.held_revision();
        let held = self.queue.iter_mut();
        for pending in held.filter(|one| one.revision <= revision) {
            pending.held.get_or_insert(view.clock.now());
        }
        let mut events = Vec::new();
        while let Some(mut next) = self.queue.pop_front() {
            if next.revision <= revision {
                self.advance(&mut next, view);
            }
            let SwitchStage::Done(outcome) = next.stage else {
                self.queue.push_front(next);
                break;
            };
            for event in next.events {
                let context = self.context(&event.change, outcome);
                events.push((event, context));
            }
        }
        events
    }

    fn context(&mut self, change: &Change, outcome: SwitchOutcome) -> EventContext {
        let is_switch = matches!(change, Change::Switch { .. });
        let is_reload = matches!(change, Change::ConfigReloaded);
        EventContext {
            outcome: is_switch.then_some(outcome),
            changes: self.reload.take_if(|_| is_reload),
            ..EventContext::default()
        }
    }

    fn advance(&mut self, pending: &mut Pending, view: SwitchView<'_>) {
        if !matches!(pending.stage, SwitchStage::Routing) {
            return;
        }
        let held = pending.held.unwrap_or(view.clock.now());
        let took = held.since(pending.decided);
        let mut departures = std::mem::take(&mut pending.departures);
        view.retry_elsewhere(&mut departures);
        pending.after_limit = after_limit(&departures);
        let mut events = pending.events.iter();
        let is_switch = events.any(|event| matches!(event.change, Change::Switch { .. }));
        if is_switch || !departures.is_empty() {
            // The traffic may be back where an earlier switch left flows behind.
            self.mover.stop();
        }
        let settings = &view.config.engine;
        let is_refused = is_switch && !view.kernel.holds_default_routes(settings, pending.revision);
        let left = view.moved(departures);
        pending.stage = if is_refused {
            SwitchStage::Done(SwitchOutcome::Refused)
        } else if left.is_empty() {
            SwitchStage::Done(SwitchOutcome::Applied {
                took,
                flows_moved: None,
            })
        } else {
            self.mover.start(pending.revision, left);
            SwitchStage::MovingFlows { took }
        };
    }

    /// Takes a report on flows.
    pub(super) fn flows_moved(&mut self, report: FlowMoverReport) {
        let flows_moved = match report.news {
            FlowMoverNews::Ended { count, failed } => {
                let is_all = failed.is_none();
                if let Some(error) = failed {
                    self.complain_of_flows(error);
                }
                (is_all || count > 0).then_some(count)
            }
            FlowMoverNews::CameBack(count) => {
                tracing::warn!(
                    count,
                    "flows by the address that was left came back and were ended again: a fixed \
                     source address or a mark still sends them there"
                );
                return;
            }
            FlowMoverNews::Clings(flows) => {
                let flows = flows.iter().map(|(from, to)| format!("{from} -> {to}"));
                let flows = flows.take(MOST_NAMED).collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    flows,
                    "this machine still sends by an address that was left: a socket holds to it, or a rule of other \
                     software leads there. WireGuard lets go when the endpoint of the peer is set again (`wg set \
                     INTERFACE peer KEY endpoint HOST:PORT`); for Tailscale see `uplinkd check`"
                );
                return;
            }
        };
        if let Some(next) = self.queue.front_mut()
            && next.revision == report.revision
            && let SwitchStage::MovingFlows { took } = next.stage
        {
            next.stage = SwitchStage::Done(SwitchOutcome::Applied { took, flows_moved });
            if let Some(count @ 1..) = flows_moved {
                for uplink in &next.after_limit {
                    tracing::info!(
                        %uplink,
                        count,
                        "flows that the traffic had left there are ended: the time of `flows_on_failback_limit` is over"
                    );
                }
            }
        }
    }

    fn complain_of_flows(&mut self, error: crate::kernel::KernelError) {
        if !std::mem::replace(&mut self.has_complained_of_flows, true) {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(
                why,
                "flows cannot be moved: those that are pinned will hang"
            );
        }
    }
}

/// The departures whose flows are moved, of all those of one step: a switch and the end of a drain may come together.
/// What stays of a healthy uplink is no departure.
fn moved(flows: FlowSettings, mut departures: Vec<Departure>) -> Vec<Departure> {
    departures.retain(|departure| match departure.cause {
        DepartureCause::Failed => flows.on_failover == Flows::Move,
        DepartureCause::Chosen | DepartureCause::Limit => true,
        DepartureCause::Doubt(_) => false,
    });
    departures
}

fn addresses<'a>(departures: impl IntoIterator<Item = &'a Departure>) -> SortedSet<IpAddr> {
    let departures = departures.into_iter();
    let addresses = departures.flat_map(|departure| &departure.addresses);
    addresses.copied().collect()
}

/// The addresses by which the connections of the machine itself are ended: those of the limit would never end.
fn sockets(flows: FlowSettings, departures: &[Departure]) -> SortedSet<IpAddr> {
    let all = flows.local_sockets == LocalSockets::End;
    addresses({ departures.iter() }.filter(|one| all || one.cause == DepartureCause::Limit))
}

fn after_limit(departures: &[Departure]) -> SortedSet<UplinkName> {
    let over = { departures.iter() }.filter(|departure| departure.cause == DepartureCause::Limit);
    let uplinks = over.flat_map(|departure| &departure.uplinks);
    uplinks.map(|(uplink, _)| uplink.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use DepartureCause::{Chosen, Failed, Limit};

    const FLOWS: FlowSettings = FlowSettings {
        on_failover: Flows::Keep,
        local_sockets: LocalSockets::Keep,
    };

    fn departures() -> Vec<Departure> {
        let causes = [
            ("192.0.2.1", Chosen),
            ("198.51.100.1", Failed),
            ("203.0.113.1", Limit),
        ];
        let departures = causes.map(|(address, cause)| Departure {
            addresses: [address.parse().expect("an address")].into(),
            uplinks: SortedSet::new(),
            groups: SortedSet::new(),
            cause,
        });
        departures.into()
    }

    #[test]
    fn only_flows_of_an_uplink_that_fails_are_left_to_the_kernel_by_flows_keep() {
        let ends = |on_failover| {
            let flows = FlowSettings {
                on_failover,
                ..FLOWS
            };
            moved(flows, departures())
                .iter()
                .map(|one| one.cause)
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(Flows::Move), [Chosen, Failed, Limit]);
        assert_eq!(ends(Flows::Keep), [Chosen, Limit]);
    }

    #[test]
    fn after_the_limit_the_connections_of_the_machine_end_whatever_local_sockets_says() {
        let ends = |local_sockets| {
            let flows = FlowSettings {
                local_sockets,
                ..FLOWS
            };
            sockets(flows, &departures()).len()
        };
        assert_eq!([LocalSockets::Keep, LocalSockets::End].map(ends), [1, 3]);
    }
}
