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
//! 7. The reference of the configuration in `docs/`, and the line in `CHANGELOG.md`.

mod dns;
mod dns_message;
mod flights;
mod http;
mod icmp;
mod names;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread;

use tokio::sync::mpsc;

use crate::engine::action::ProbeOrder;
use crate::engine::input::ProbeOutcome;
use crate::probe::flights::Flights;
use crate::probe::icmp::Icmp;
use crate::probe::names::Names;
use crate::routing::Family;
use crate::units::{Endpoint, Host, IfIndex, InterfaceName, Mark, ProbeId, Target, UplinkName};

/// Orders and reports that may wait; far more than are ever in flight.
const QUEUE: usize = 1024;

/// A probe to send, and its way out.
#[derive(Clone, Debug)]
pub struct ProbeJob {
    /// The engine's order.
    pub probe: ProbeOrder,
    /// The way it leaves the machine.
    pub exit: ProbeExit,
    /// The resolvers for names through this uplink; empty: those of this machine.
    pub resolvers: Vec<IpAddr>,
}

/// The way a probe leaves the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeExit {
    /// The uplink's interface.
    pub interface: InterfaceName,
    /// Its index now; another index means another interface of the same name.
    pub index: IfIndex,
    /// The mark whose rule leads to the uplink's table, also where two uplinks share an interface.
    pub mark: Mark,
}

/// The outcome of a probe.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// Its uplink.
    pub uplink: UplinkName,
    /// Its number.
    pub id: ProbeId,
    /// Its outcome. A probe without an answer is not reported.
    pub outcome: ProbeOutcome,
}

/// The prober thread.
#[derive(Debug)]
pub struct Probers {
    orders: mpsc::Sender<Vec<ProbeJob>>,
    reports: mpsc::Receiver<ProbeReport>,
}

impl Probers {
    /// Starts the thread. It ends when this value is dropped.
    ///
    /// # Errors
    /// If this process may not open ICMP sockets, or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        icmp::check()?;
        let (orders, inbox) = mpsc::channel(QUEUE);
        let (outbox, reports) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("probers".to_owned())
            .spawn(move || runtime.block_on(serve(inbox, outbox)))?;
        Ok(Self { orders, reports })
    }

    /// Orders probes, all with one wake-up.
    ///
    /// # Errors
    /// If the queue is full; the probes are reported as not sent.
    pub fn order(&self, orders: Vec<ProbeJob>) -> Result<(), Vec<ProbeReport>> {
        if orders.is_empty() {
            return Ok(());
        }
        self.orders.try_send(orders).map_err(|error| {
            let (why, orders) = match error {
                mpsc::error::TrySendError::Full(orders) => ("the probers are overloaded", orders),
                mpsc::error::TrySendError::Closed(orders) => ("the probers have ended", orders),
            };
            let reports = orders.iter().map(|order| order.not_sent(why.to_owned()));
            reports.collect()
        })
    }

    /// The next report; none if the thread has ended, which it does not do by itself.
    pub async fn report(&mut self) -> Option<ProbeReport> {
        self.reports.recv().await
    }
}

impl ProbeJob {
    fn not_sent(&self, why: String) -> ProbeReport {
        ProbeReport {
            uplink: self.probe.uplink.clone(),
            id: self.probe.id,
            outcome: ProbeOutcome::NotSent(why),
        }
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
            orders = inbox.recv() => match orders {
                Some(orders) => {
                    for order in orders {
                        if let Err(why) = prober.send(&order) {
                            drop(outbox.try_send(order.not_sent(why)));
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
    fn send(&mut self, order: &ProbeJob) -> Result<(), String> {
        let exit = order.exit.clone();
        let listen_for = order.probe.listen_for;
        match order.probe.target.clone() {
            Target::Icmp(address) => {
                let client = self.clients.icmp(order, Family::of(address));
                let ping = client
                    .map_err(|error| error.to_string())?
                    .ping(address, listen_for);
                self.flights.start(&order.probe, ping);
            }
            Target::Tcp(endpoint) => {
                let address = self.resolve(order, &endpoint)?;
                let connect = async move { tcp::probe(address, &exit, listen_for).await };
                self.flights.start_connected(&order.probe, connect);
            }
            Target::Http(page) => {
                let address = self.resolve(order, &page.endpoint)?;
                let get = async move { http::probe(&page, address, &exit, listen_for).await };
                self.flights.start_connected(&order.probe, get);
            }
            Target::Dns(question) => {
                let query = async move { dns::probe(&question, &exit, listen_for).await };
                self.flights.start_connected(&order.probe, query);
            }
        }
        Ok(())
    }

    fn resolve(&mut self, order: &ProbeJob, endpoint: &Endpoint) -> Result<SocketAddr, String> {
        let address = match &endpoint.host {
            Host::Address(address) => *address,
            Host::Name(name) => self.names.address(order, name)?,
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
    fn icmp(&mut self, order: &ProbeJob, family: Family) -> io::Result<&mut Icmp> {
        let key = (order.probe.uplink.clone(), family);
        let is_current = self
            .icmp
            .get(&key)
            .is_some_and(|client| client.is_bound_to(&order.exit));
        if !is_current {
            self.icmp.remove(&key);
            let client = Icmp::open(family, &order.exit)?;
            self.icmp.insert(key.clone(), client);
        }
        self.icmp
            .get_mut(&key)
            .ok_or_else(|| io::Error::other("no client"))
    }
}
