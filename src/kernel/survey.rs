//! What other programs have in main, and where ours is: lists that may be long. They are read on a thread of its
//! own, so that nothing waits for them, and the more rarely the longer they are.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use super::error::KernelError;
use super::message::{Dump, DumpEntry, RouteEntry};
use super::observe::Observer;
use crate::routing::attach::is_link_local6;
use crate::routing::desired::MAIN;
use crate::routing::{DeadEnd, Family, LearnedDefault, Observed};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{IfIndex, InterfaceName, Protocol, TableId};

/// The pause after a survey, in times that it took: a tenth of one core is the most that surveys cost.
const PAUSE: u32 = 9;

/// What a survey found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    defaults: SortedMap<IfIndex, Vec<LearnedDefault>>,
    connected: SortedMap<IfIndex, Vec<IpNet>>,
    dead_ends: Vec<DeadEnd>,
}

impl Survey {
    /// Adds what it found of these interfaces. Those that are down have lost their routes.
    pub(super) fn add_to(&self, observed: &mut Observed, interfaces: &SortedSet<InterfaceName>) {
        let up = observed.links.values_mut().filter(|link| link.is_up);
        for link in up {
            let index = &link.index;
            link.connected = self.connected.get(index).cloned().unwrap_or_default();
            if interfaces.contains(&link.name) {
                link.defaults = self.defaults.get(index).cloned().unwrap_or_default();
            }
        }
        observed.dead_ends.clone_from(&self.dead_ends);
    }

    fn add(&mut self, entry: &RouteEntry, family: Family) {
        let is_default = entry.route.destination == family.default_destination();
        for path in entry.paths() {
            if is_default {
                let defaults = self.defaults.entry(path.index).or_default();
                defaults.push(LearnedDefault {
                    family,
                    metric: entry.route.metric,
                    preference: entry.preference,
                    gateway: path.gateway,
                    onlink: path.onlink,
                    source: entry.source,
                    options: entry.options_of(path),
                });
            } else if path.gateway.is_none() && !is_link_local6(entry.route.destination.addr()) {
                let connected = self.connected.entry(path.index).or_default();
                connected.push(entry.route.destination);
            }
        }
    }
}

/// A survey, and what is to be known with it.
pub(super) struct SurveyReport {
    pub(super) survey: Survey,
    /// The tables that hold routes with our protocol number.
    pub(super) tables: SortedSet<TableId>,
    /// How long after it the first of the default routes expires. The kernel stops using such a route then, but
    /// removes it, with an event, up to half a minute later (`net.ipv6.route.gc_interval`).
    pub(super) next_expiry: Option<Duration>,
    took: Duration,
}

impl Observer {
    /// Surveys main, and all tables for routes of ours.
    pub(super) fn survey(&mut self, protocol: Protocol) -> Result<SurveyReport, KernelError> {
        let begun = cpu_time();
        let mut survey = Survey::default();
        let mut tables = SortedSet::new();
        let mut next_expiry: Option<Duration> = None;
        for family in Family::ROUTED {
            for entry in self.list(Dump::RoutesOf(family, protocol))? {
                if let DumpEntry::Route(entry) | DumpEntry::DeadEnd(entry) = entry {
                    tables.insert(entry.route.table);
                }
            }
            // A kernel without IPv6 lists IPv4 instead.
            let is_foreign = |entry: &RouteEntry| {
                let route = &entry.route;
                let is_of_family = Family::of(route.destination.addr()) == family;
                entry.protocol != protocol && route.table == MAIN && is_of_family
            };
            let is_over = |entry: &RouteEntry| entry.expires_in.is_some_and(|left| left.is_zero());
            for entry in self.list(Dump::Main(family))? {
                if let DumpEntry::Route(entry) = &entry
                    && is_foreign(entry)
                    && !is_over(entry)
                {
                    next_expiry = next_expiry.into_iter().chain(entry.expires_in).min();
                    survey.add(entry, family);
                } else if let DumpEntry::DeadEnd(entry) = &entry
                    && is_foreign(entry)
                    && entry.source.is_none()
                {
                    let metric = entry.route.metric;
                    survey.dead_ends.push(DeadEnd { family, metric });
                }
            }
        }
        for defaults in survey.defaults.values_mut() {
            // A stable sort: equals keep the kernel's order.
            defaults.sort_by_key(|default| (default.metric, default.preference));
        }
        survey.dead_ends.sort_unstable();
        Ok(SurveyReport {
            survey,
            tables,
            next_expiry,
            took: cpu_time().saturating_sub(begun),
        })
    }
}

/// The thread that surveys. It ends when this is dropped.
pub(super) struct Surveyor {
    orders: blocking::Sender<Protocol>,
    reports: mpsc::Receiver<Result<SurveyReport, KernelError>>,
    /// What is to be surveyed once more.
    due: Option<Protocol>,
    is_at_work: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Surveyor {
    pub(super) fn start() -> Result<Self, KernelError> {
        let mut observer = Observer::open()?;
        let (orders, ordered) = blocking::channel();
        let (sender, reports) = mpsc::channel(1);
        let work = move || {
            for protocol in ordered {
                if sender.blocking_send(observer.survey(protocol)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("survey".to_owned());
        thread.spawn(work).map_err(KernelError::Socket)?;
        Ok(Self {
            orders,
            reports,
            due: None,
            is_at_work: false,
            pause: None,
        })
    }

    /// Something may have changed since the last survey.
    pub(super) fn order(&mut self, protocol: Protocol) {
        self.due = Some(protocol);
    }

    /// The next report, once one is ordered. Cancel safe.
    pub(super) async fn report(&mut self) -> Result<SurveyReport, KernelError> {
        loop {
            if self.is_at_work {
                let report = self.reports.recv().await;
                self.is_at_work = false;
                let report = report.unwrap_or_else(|| Err(KernelError::Look(has_ended())))?;
                self.pause = Some(Box::pin(sleep(report.took * PAUSE)));
                return Ok(report);
            }
            let Some(protocol) = self.due else {
                pending::<()>().await;
                continue;
            };
            if let Some(pause) = &mut self.pause {
                pause.await;
                self.pause = None;
            }
            self.due = None;
            self.is_at_work = true;
            // A thread that has ended is noticed by its report.
            let _ = self.orders.send(protocol);
        }
    }
}

/// What this thread has used of a processor.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Into::into)
}

fn has_ended() -> io::Error {
    io::Error::other("the thread that surveys has ended")
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn after_a_survey_nine_times_its_cost_pass_before_the_next() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut surveyor = Surveyor::start().expect("a socket");
            let at_once = timeout(Duration::ZERO, surveyor.report()).await;
            assert!(at_once.is_err(), "none is ordered");
            surveyor.order(Protocol(117));
            let first = surveyor.report().await.expect("a survey");
            surveyor.order(Protocol(117));
            surveyor.order(Protocol(117));
            let pause = first.took * PAUSE;
            assert!(timeout(pause / 2, surveyor.report()).await.is_err());
            surveyor.report().await.expect("another survey");
            let third = timeout(Duration::from_millis(20), surveyor.report()).await;
            assert!(third.is_err(), "two orders are one survey");
        });
    }
}
