//! What happened, told in order and no sooner than it is so.
//!
//! A switch is told when the kernel holds its routes and, where flows are moved, when those that it
//! left behind were ended; whatever happened after it waits behind it.

use std::time::Duration;

use super::flows::{News, Report};
use super::{Daemon, KEEP_EVERY};
use crate::alert;
use crate::config::Flows;
use crate::engine::action::Departure;
use crate::engine::event::EventRecord;
use crate::engine::event::{Change, Event};
use crate::history::HistoryError;
use crate::routing::Route;
use crate::routing::nexthop::leads_alike;
use crate::units::Moment;

/// Events that wait until the kernel holds the routes of their revision.
pub(super) struct Announcement {
    pub(super) revision: u64,
    pub(super) decided: Moment,
    /// When the kernel was found to hold its routes, though it may have to wait for those before it.
    pub(super) held: Option<Moment>,
    pub(super) events: Vec<Event>,
    /// What the switch among them leaves behind.
    pub(super) departure: Option<Departure>,
    pub(super) stage: Stage,
}

/// How far a switch has come.
pub(super) enum Stage {
    /// The kernel does not hold its routes yet.
    Routing,
    /// It does, after so long; the flows are being ended.
    MovingFlows { took: Duration },
    /// All of it, with so many flows; or the kernel would not do it.
    Done {
        took: Duration,
        flows: Option<usize>,
        is_refused: bool,
    },
}

impl Daemon {
    /// Tells of everything that is so by now.
    pub(super) fn announce_up_to(&mut self, revision: u64) {
        let mut has_switched = false;
        let now = self.clock.now();
        let held = self.announcements.iter_mut();
        for announcement in held.filter(|one| one.revision <= revision) {
            announcement.held.get_or_insert(now);
        }
        while let Some(mut next) = self.announcements.pop_front() {
            if next.revision <= revision {
                self.advance(&mut next);
            }
            let Stage::Done {
                took,
                flows,
                is_refused,
            } = next.stage
            else {
                self.announcements.push_front(next);
                break;
            };
            let wall = self.clock.wall();
            for event in next.events {
                let is_switch = matches!(event.change, Change::Switch { .. });
                has_switched |= is_switch;
                let mut record = event.record(wall);
                record.network = self.network_of(record.uplink.as_ref());
                if is_switch && is_refused {
                    record.reason.push_str("; the kernel refuses the new route");
                } else if is_switch {
                    record.took_us = u64::try_from(took.as_micros()).ok();
                    record.flows_moved = flows;
                }
                self.announce(&record);
            }
        }
        let is_due = self.clock.now().since(self.kept) >= KEEP_EVERY;
        if has_switched || is_due || self.engine.has_spent() {
            self.keep_memory();
        }
    }

    fn advance(&mut self, announcement: &mut Announcement) {
        if !matches!(announcement.stage, Stage::Routing) {
            return;
        }
        let held = announcement.held.unwrap_or(self.clock.now());
        let took = held.since(announcement.decided);
        let departure = announcement.departure.take();
        let mut events = announcement.events.iter();
        let is_switch = events.any(|event| matches!(event.change, Change::Switch { .. }));
        if is_switch || departure.is_some() {
            // The traffic may be back where an earlier switch left flows behind.
            self.mover.stop();
        }
        let is_refused = is_switch && !self.is_carried_as_wanted(announcement.revision);
        let leaves = departure.filter(|departure| !is_refused && self.moves_flows(departure));
        announcement.stage = match leaves {
            None => Stage::Done {
                took,
                flows: None,
                is_refused,
            },
            Some(Departure { addresses, .. }) => {
                let sockets = self.config.flows.local_sockets;
                self.mover.start(announcement.revision, addresses, sockets);
                Stage::MovingFlows { took }
            }
        };
    }

    /// The kernel was seen to hold the default routes of whoever carries the traffic. What was wanted
    /// since then is not looked for: it has an announcement of its own.
    fn is_carried_as_wanted(&self, revision: u64) -> bool {
        let wanted = self.wanted.borrow();
        let (Some(desired), Some(observed)) = (&wanted.desired, &self.observed) else {
            return true;
        };
        let numbering = &self.config.engine.numbering;
        let groups = (0..).zip(&self.config.engine.groups);
        let groups = groups.map(|(place, _)| numbering.group_place(place));
        let places: Vec<_> = groups.chain([numbering.carrier_place()]).collect();
        let is_carrier = |route: &&Route| places.iter().any(|place| place.holds(route));
        // A kernel without nexthop groups holds the same paths, as far as it can.
        let flattened = desired.flattened();
        let held = (desired.routes.iter().chain(&flattened.routes))
            .filter(is_carrier)
            .filter(|wanted| {
                let mut held = observed.routes.iter();
                held.any(|held| {
                    held.is_in_the_place_of(wanted)
                        && leads_alike((held, &observed.nexthops), (wanted, &desired.nexthops))
                })
            });
        let held: Vec<_> = held.collect();
        let mut routes = desired.routes.iter().filter(is_carrier);
        let is_held = |route: &Route| held.iter().any(|held| held.is_in_the_place_of(route));
        self.options.observe || wanted.revision != revision || routes.all(is_held)
    }

    pub(super) fn moves_flows(&self, departure: &Departure) -> bool {
        let flows = self.config.flows;
        let wish = if departure.is_voluntary {
            flows.on_failback
        } else {
            flows.on_failover
        };
        wish == Flows::Move && !self.options.observe
    }

    /// Takes what became of flows.
    pub(super) fn flows_moved(&mut self, report: Report) {
        let flows = match report.news {
            News::Ended { count, failed } => {
                let is_all = failed.is_none();
                if let Some(error) = failed {
                    self.complain_of_flows(error);
                }
                (is_all || count > 0).then_some(count)
            }
            News::CameBack(count) => {
                tracing::warn!(
                    count,
                    "flows by the address that was left came back and were ended again: a fixed \
                     source address or a mark still sends them there"
                );
                return;
            }
        };
        if let Some(next) = self.announcements.front_mut()
            && next.revision == report.revision
            && let Stage::MovingFlows { took } = next.stage
        {
            next.stage = Stage::Done {
                took,
                flows,
                is_refused: false,
            };
        }
    }

    /// Said once: a kernel without connection tracking does not learn it.
    fn complain_of_flows(&mut self, error: crate::kernel::KernelError) {
        if !std::mem::replace(&mut self.has_complained_of_flows, true) {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(
                why,
                "flows cannot be moved: those that are pinned will hang"
            );
        }
    }

    pub(super) fn announce(&mut self, record: &EventRecord) {
        if self.repeats.is_told(record, self.clock.now()) {
            alert::tell(record);
        }
        if !self.options.observe {
            self.order_network(record);
        }
        if let Some(hooks) = &self.hooks {
            hooks.tell(record);
        }
        if !self.options.observe {
            let noted = self.history.note(record);
            self.has_kept_history(noted);
        }
        let status = self.status();
        self.watchers.publish(record, &status);
    }

    /// Tells the log of what was only counted.
    pub(super) fn sum_up_repeats(&mut self) {
        for record in self.repeats.due(self.clock.now()) {
            alert::tell(&record);
        }
    }

    pub(super) fn has_kept_history(&mut self, outcome: Result<(), HistoryError>) {
        if let Err(error) = outcome
            && !std::mem::replace(&mut self.has_complained_of_history, true)
        {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "the history is not kept");
        }
    }
}
