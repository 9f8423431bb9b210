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
mod flights;
mod http;
mod icmp;
mod job;
mod names;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::thread;

use tokio::sync::mpsc;

use crate::routing::Family;
use crate::units::{Endpoint, Host, Target, UplinkName};
use flights::Flights;
use icmp::Icmp;
pub use job::{ProbeExit, ProbeJob, ProbeReport};
use names::Names;

/// Jobs and reports that may wait; far more than are ever in flight.
const QUEUE: usize = 1024;

/// The prober thread.
#[derive(Debug)]
pub struct Probers {
    jobs: mpsc::Sender<Vec<ProbeJob>>,
    reports: mpsc::Receiver<ProbeReport>,
}

impl Probers {
    /// Starts the thread. It ends when this value is dropped.
    ///
    /// # Errors
    /// If this process may not open ICMP sockets, or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        icmp::check()?;
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let (outbox, reports) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("probers".to_owned())
            .spawn(move || runtime.block_on(serve(inbox, outbox)))?;
        Ok(Self { jobs, reports })
    }

    /// Orders probes, all with one wake-up.
    ///
    /// # Errors
    /// If the queue is full; the probes are reported as not sent.
    pub fn order(&self, jobs: Vec<ProbeJob>) -> Result<(), Vec<ProbeReport>> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.jobs.try_send(jobs).map_err(|error| {
            let (why, jobs) = match error {
                mpsc::error::TrySendError::Full(jobs) => ("the probers are overloaded", jobs),
                mpsc::error::TrySendError::Closed(jobs) => ("the probers have ended", jobs),
            };
            let reports = jobs.iter().map(|job| job.not_sent(why.to_owned()));
            reports.collect()
        })
    }

    /// The next report; none if the thread has ended, which it does not do by itself.
    pub async fn report(&mut self) -> Option<ProbeReport> {
        self.reports.recv().await
    }
}

async fn serve(mut inbox: mpsc::Receiver<Vec<ProbeJob>>, outbox: mpsc::Sender<ProbeReport>) {
    let mut prober = Prober {
        clients: Clients::default(),
        names: Names::default(),
        flights: Flights::new(outbox.clone()),
    };
    loop {
        tokio::select! {
            jobs = inbox.recv() => match jobs {
                Some(jobs) => {
                    for job in jobs {
                        if let Err(why) = prober.send(&job) {
                            drop(outbox.try_send(job.not_sent(why)));
                        }
                    }
                }
                None => break,
            },
            () = prober.names.learn(), if prober.names.is_querying() => {}
            () = prober.flights.land(), if prober.flights.is_any() => {}
        }
    }
}

/// The state of the thread.
struct Prober {
    clients: Clients,
    names: Names,
    flights: Flights,
}

impl Prober {
    /// Sends a probe.
    ///
    /// # Errors
    /// The reason why it cannot be sent.
    fn send(&mut self, job: &ProbeJob) -> Result<(), String> {
        let exit = job.exit.clone();
        let listen_for = job.probe.listen_for;
        match job.probe.target.clone() {
            Target::Icmp(address) => {
                let client = self.clients.icmp(job, Family::of(address));
                let ping = client
                    .map_err(|error| error.to_string())?
                    .ping(address, listen_for);
                self.flights.start(&job.probe, ping);
            }
            Target::Tcp(endpoint) => {
                let address = self.resolve(job, &endpoint)?;
                let connect = async move { tcp::probe(address, &exit, listen_for).await };
                self.flights.start_connected(&job.probe, connect);
            }
            Target::Http(page) => {
                let address = self.resolve(job, &page.endpoint)?;
                let get = async move { http::probe(&page, address, &exit, listen_for).await };
                self.flights.start_connected(&job.probe, get);
            }
            Target::Dns(question) => {
                let query = async move { dns::probe(&question, &exit, listen_for).await };
                self.flights.start_connected(&job.probe, query);
            }
        }
        Ok(())
    }

    fn resolve(&mut self, job: &ProbeJob, endpoint: &Endpoint) -> Result<SocketAddr, String> {
        let address = match &endpoint.host {
            Host::Address(address) => *address,
            Host::Name(name) => self.names.address(job, name)?,
        };
        Ok(SocketAddr::new(address, endpoint.port))
    }
}

/// One ICMP client per uplink and family, replaced when the interface is another one.
#[derive(Default)]
struct Clients {
    icmp: BTreeMap<(UplinkName, Family), Icmp>,
}

impl Clients {
    fn icmp(&mut self, job: &ProbeJob, family: Family) -> io::Result<&mut Icmp> {
        let key = (job.probe.uplink.clone(), family);
        let is_current = self
            .icmp
            .get(&key)
            .is_some_and(|client| client.is_bound_to(&job.exit));
        if !is_current {
            self.icmp.remove(&key);
            let client = Icmp::open(family, &job.exit)?;
            self.icmp.insert(key.clone(), client);
        }
        self.icmp
            .get_mut(&key)
            .ok_or_else(|| io::Error::other("no client"))
    }
}
