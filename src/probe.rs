//! Sends the probes that the engine orders and reports their outcomes.
//!
//! Probers run on a thread and a runtime of their own, so that the agent's other work does not distort
//! round trips. Each probe is bound to its uplink's interface.
//!
//! # How to add a kind of probe
//! A kind is a scheme of a target (`tcp://…`) and a prober for it. In this order, so that the compiler
//! names the next place:
//! 1. `src/units/target/KIND.rs`: what the target says. `parse` reads the text behind `://`, `Display`
//!    writes it back, `wire_cost` bounds its bytes for metered uplinks.
//! 2. `src/units/target.rs`: the variant of [`Target`], its row in `SCHEMES`, its texts in the tests.
//! 3. `src/probe/KIND.rs`: the prober. It opens its sockets with `socket`, and returns an outcome, or
//!    none if there was no answer in time. Errors of this machine are `NotSent`, never a miss.
//! 4. `src/probe.rs`: its arm in `Prober::send`.
//! 5. `tests/kernel/targets.rs`: the prober against a good, a silent and a wrong server.
//! 6. `config/uplinkd.toml`: its syntax, under `targets`.
//! 7. `docs/configuration.md`: the same in the reference.
//! 8. `CHANGELOG.md`: its line.

mod dns;
mod dns_message;
mod echo_stream;
mod flights;
mod http;
mod icmp;
mod job;
mod names;
mod own;
mod path_trace;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::net::SocketAddr;
use std::thread;

use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::engine::input::{ProbeOutcome, TracedPath};
use crate::routing::Family;
use crate::units::{HopPlace, Host, Target, UplinkName};
pub use echo_stream::EchoStream;
use flights::Flights;
use icmp::Icmp;
pub use job::{ProbeExit, ProbeJob, ProbeReport, ProberReport, TraceJob};
use names::Names;
use own::{AddressChanges, OwnAddresses};
use socket::now;

/// Jobs and reports that may wait; far more than are ever in flight.
const QUEUE: usize = 1024;
/// Turns of the runtime in which all that has arrived is read: one to find what is readable, one to read
/// it, one to report it.
const LEAST_TURNS: usize = 3;
/// More turns than that are a flood.
const MOST_TURNS: usize = 64;

/// The prober thread.
#[derive(Debug)]
pub struct Probers {
    orders: mpsc::Sender<ProberOrder>,
    reports: mpsc::Receiver<ProberReport>,
    address_changes: AddressChanges,
}

/// What the thread is to do.
enum ProberOrder {
    /// Send these.
    Send {
        jobs: Vec<ProbeJob>,
        ordered: Instant,
        address_changes: AddressChanges,
    },
    /// Trace this path.
    Trace(TraceJob),
    /// Report all that has arrived by now.
    ReadAnswers,
}

impl Probers {
    /// Starts the thread. It ends when this value is dropped.
    ///
    /// # Errors
    /// If this process may not open ICMP sockets, or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        icmp::check()?;
        // One place is kept for the order to read.
        let (orders, inbox) = mpsc::channel(QUEUE + 1);
        let (outbox, reports) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("probers".to_owned())
            .spawn(move || runtime.block_on(serve(inbox, outbox)))?;
        Ok(Self {
            orders,
            reports,
            address_changes: AddressChanges::default(),
        })
    }

    /// The addresses of this machine may be others from now on: before the next probe of a target it is looked at
    /// again whether this machine answers it itself.
    pub fn addresses_changed(&mut self) {
        self.address_changes.0 += 1;
    }

    /// Orders probes, all with one wake-up. `ordered`: when the engine ordered them, from which their lateness counts.
    ///
    /// # Errors
    /// If the queue is full; the probes are reported as not sent.
    pub fn order(&self, jobs: Vec<ProbeJob>, ordered: Instant) -> Result<(), Vec<ProbeReport>> {
        if jobs.is_empty() {
            return Ok(());
        }
        let refused = |jobs: Vec<ProbeJob>, why: &str| {
            let reports =
                (jobs.iter()).map(|job| job.report(ProbeOutcome::NotSent(why.to_owned())));
            Err(reports.collect())
        };
        if self.orders.capacity() <= 1 {
            return refused(jobs, "the probers are overloaded");
        }
        let order = ProberOrder::Send {
            jobs,
            ordered,
            address_changes: self.address_changes,
        };
        match self.orders.try_send(order) {
            Err(mpsc::error::TrySendError::Closed(ProberOrder::Send { jobs, .. })) => {
                refused(jobs, "the probers have ended")
            }
            _ => Ok(()),
        }
    }

    /// Orders a trace. Where the thread has no time for it, there is none.
    pub fn trace(&self, job: TraceJob) {
        if self.orders.capacity() > 1 {
            drop(self.orders.try_send(ProberOrder::Trace(job)));
        }
    }

    /// Orders that all answers that have arrived by now are reported, and then
    /// [`ProberReport::AnswersRead`]. One such order may wait at a time.
    pub fn read_answers(&self) {
        drop(self.orders.try_send(ProberOrder::ReadAnswers));
    }

    /// The next report; none if the thread has ended, which it does not do by itself.
    pub async fn report(&mut self) -> Option<ProberReport> {
        self.reports.recv().await
    }

    /// How many reports wait.
    pub fn waiting(&self) -> usize {
        self.reports.len()
    }

    /// The next of those that wait.
    pub fn next_waiting(&mut self) -> Option<ProberReport> {
        self.reports.try_recv().ok()
    }
}

async fn serve(mut inbox: mpsc::Receiver<ProberOrder>, outbox: mpsc::Sender<ProberReport>) {
    let mut prober = Prober {
        clients: Clients::default(),
        names: Names::default(),
        own: OwnAddresses::default(),
        flights: Flights::new(outbox.clone()),
    };
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                Some(ProberOrder::Send { jobs, ordered, address_changes }) => {
                    prober.own.changed(address_changes);
                    for job in jobs {
                        if let Err(outcome) = prober.send(&job, ordered) {
                            drop(outbox.try_send(ProberReport::Outcome(job.report(outcome))));
                        }
                    }
                }
                Some(ProberOrder::Trace(job)) => trace(job, outbox.clone()),
                Some(ProberOrder::ReadAnswers) => {
                    let begun = now();
                    prober.clients.read().await;
                    drop(outbox.send(ProberReport::AnswersRead(begun)).await);
                }
                None => break,
            },
            () = prober.names.learn(), if prober.names.is_querying() => {}
        }
    }
}

/// Traces a path on a thread of its own.
fn trace(job: TraceJob, outbox: mpsc::Sender<ProberReport>) {
    let work = move || {
        let TraceJob { trace, exit } = job;
        match path_trace::trace(trace.target, &exit, trace.listen_for) {
            Ok(hops) => {
                let path = TracedPath {
                    uplink: trace.uplink,
                    in_doubt: trace.in_doubt,
                    hops,
                };
                drop(outbox.try_send(ProberReport::Traced(path)));
            }
            Err(error) => tracing::debug!(uplink = %trace.uplink, %error, "its path is not traced"),
        }
    };
    if let Err(error) = thread::Builder::new().name("trace".to_owned()).spawn(work) {
        tracing::debug!(%error, "no thread for a trace");
    }
}

/// The state of the thread.
struct Prober {
    clients: Clients,
    names: Names,
    own: OwnAddresses,
    flights: Flights,
}

impl Prober {
    /// Sends a probe.
    ///
    /// # Errors
    /// The outcome of a probe that cannot be sent.
    fn send(&mut self, job: &ProbeJob, ordered: Instant) -> Result<(), ProbeOutcome> {
        let address = self.resolve(job).map_err(ProbeOutcome::NotSent)?;
        if let Some(why) = self.own.refusal(job, address.ip()) {
            return Err(ProbeOutcome::Refused(why));
        }
        let exit = job.exit.clone();
        let listen_for = job.probe.listen_for;
        match job.probe.target.clone() {
            Target::Icmp(address) => {
                let client = self.clients.icmp(job, Family::of(address));
                let client = client.map_err(|error| ProbeOutcome::NotSent(error.to_string()))?;
                let ping = Box::pin(client.ping(address, listen_for));
                self.flights.start(&job.probe, ordered, ping);
            }
            Target::Tcp(_) => {
                let connect = Box::pin(async move { tcp::probe(address, &exit, listen_for).await });
                self.flights.start_connected(&job.probe, ordered, connect);
            }
            Target::Http(page) => {
                let get =
                    Box::pin(async move { http::probe(&page, address, &exit, listen_for).await });
                self.flights.start_connected(&job.probe, ordered, get);
            }
            Target::Dns(question) => {
                let query = Box::pin(async move { dns::probe(&question, &exit, listen_for).await });
                self.flights.start_connected(&job.probe, ordered, query);
            }
        }
        Ok(())
    }

    /// Where a probe goes.
    fn resolve(&mut self, job: &ProbeJob) -> Result<SocketAddr, String> {
        let endpoint = match &job.probe.target {
            Target::Icmp(address) => return Ok(SocketAddr::new(*address, 0)),
            Target::Dns(question) => return Ok(question.server),
            Target::Tcp(endpoint) => endpoint,
            Target::Http(page) => &page.endpoint,
        };
        let address = match &endpoint.host {
            Host::Address(address) => *address,
            Host::Name(name) => self.names.address(job, name)?,
        };
        Ok(SocketAddr::new(address, endpoint.port))
    }
}

/// One ICMP client per uplink, next hop and family, replaced when the interface is another one. So few that a search
/// among sorted keys takes longer.
#[derive(Default)]
struct Clients {
    icmp: Vec<UplinkClient>,
}

struct UplinkClient {
    uplink: UplinkName,
    hop: Option<HopPlace>,
    family: Family,
    icmp: Icmp,
}

impl Clients {
    /// Has the tasks that wait for answers read all that has arrived.
    async fn read(&self) {
        for turn in 0..MOST_TURNS {
            yield_now().await;
            if turn >= LEAST_TURNS && self.icmp.iter().all(|client| client.icmp.is_read()) {
                break;
            }
        }
        yield_now().await;
    }

    fn icmp(&mut self, job: &ProbeJob, family: Family) -> io::Result<&mut Icmp> {
        let (uplink, hop) = (&job.probe.uplink, job.probe.hop);
        let is_wanted = |known: &UplinkClient| {
            known.family == family && known.hop == hop && known.uplink == *uplink
        };
        let known = self.icmp.iter().position(is_wanted);
        let current = known.filter(|place| self.icmp[*place].icmp.is_bound_to(&job.exit));
        let place = if let Some(place) = current {
            place
        } else {
            // The socket of another interface is closed first.
            drop(known.map(|place| self.icmp.swap_remove(place)));
            self.icmp.push(UplinkClient {
                uplink: uplink.clone(),
                hop,
                family,
                icmp: Icmp::open(family, &job.exit)?,
            });
            self.icmp.len() - 1
        };
        Ok(&mut self.icmp[place].icmp)
    }
}
