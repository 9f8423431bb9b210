//! Sends the probes that the engine orders and says what became of them.
//!
//! Probers live on a thread and a runtime of their own, so that nothing the agent does distorts a
//! round trip. Each probe is bound to its uplink's interface.

mod icmp;
mod tcp;

use std::collections::BTreeMap;
use std::io;
use std::thread;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::engine::input::{Outcome, ProbeOrder};
use crate::probe::icmp::Icmp;
use crate::routing::Family;
use crate::units::{IfIndex, InterfaceName, ProbeId, Target, UplinkName};

/// Orders and reports that may wait; far more than are ever under way.
const QUEUE: usize = 1024;

/// A probe to send, and the interface it goes through.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the engine asks for.
    pub probe: ProbeOrder,
    /// The uplink's interface.
    pub interface: InterfaceName,
    /// Its index now; a new one means a new interface of the old name.
    pub index: IfIndex,
}

/// What became of a probe.
#[derive(Clone, Debug)]
pub struct Report {
    /// Through which uplink.
    pub uplink: UplinkName,
    /// Which probe.
    pub id: ProbeId,
    /// Its outcome. A probe without any answer is not reported.
    pub outcome: Outcome,
}

/// The prober thread.
#[derive(Debug)]
pub struct Probers {
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Report>,
}

impl Probers {
    /// Starts the thread. It ends when this value is dropped.
    pub fn start() -> io::Result<Self> {
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

    /// Orders a probe. An order that cannot be taken is reported as not sent.
    pub fn order(&self, order: Order) -> Result<(), Report> {
        self.orders.try_send(order).map_err(|error| {
            let (why, order) = match error {
                mpsc::error::TrySendError::Full(order) => ("the probers are overloaded", order),
                mpsc::error::TrySendError::Closed(order) => ("the probers have ended", order),
            };
            Report {
                uplink: order.probe.uplink,
                id: order.probe.id,
                outcome: Outcome::NotSent(why.to_owned()),
            }
        })
    }

    /// The next report; none when the thread has ended, which it never does by itself.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }
}

async fn serve(mut inbox: mpsc::Receiver<Order>, outbox: mpsc::Sender<Report>) {
    let mut clients = Clients::default();
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                Some(order) => send(order, &mut clients, &mut under_way, &outbox),
                None => break,
            },
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
        }
    }
}

fn send(
    order: Order,
    clients: &mut Clients,
    under_way: &mut JoinSet<()>,
    outbox: &mpsc::Sender<Report>,
) {
    let outbox = outbox.clone();
    let ProbeOrder {
        id,
        uplink,
        target,
        listen_for,
    } = order.probe.clone();
    let report = move |outcome| Report {
        uplink,
        id,
        outcome,
    };
    match target {
        Target::Icmp(address) => match clients.icmp(&order, Family::of(address)) {
            Ok(client) => {
                let ping = client.ping(address, listen_for);
                under_way.spawn(async move {
                    if let Some(outcome) = ping.await {
                        drop(outbox.send(report(outcome)).await);
                    }
                });
            }
            Err(error) => {
                let outcome = Outcome::NotSent(error.to_string());
                drop(outbox.try_send(report(outcome)));
            }
        },
        Target::Tcp(address) => {
            under_way.spawn(async move {
                if let Some(outcome) = tcp::connect(address, &order.interface, listen_for).await {
                    drop(outbox.send(report(outcome)).await);
                }
            });
        }
    }
}

/// One ICMP client per uplink and family, made anew when the interface is another one.
#[derive(Default)]
struct Clients {
    icmp: BTreeMap<(UplinkName, Family), Icmp>,
}

impl Clients {
    fn icmp(&mut self, order: &Order, family: Family) -> io::Result<&mut Icmp> {
        let key = (order.probe.uplink.clone(), family);
        let is_current = self
            .icmp
            .get(&key)
            .is_some_and(|client| client.is_bound_to(&order.interface, order.index));
        if !is_current {
            self.icmp.remove(&key);
            let client = Icmp::open(family, &order.interface, order.index)?;
            self.icmp.insert(key.clone(), client);
        }
        self.icmp
            .get_mut(&key)
            .ok_or_else(|| io::Error::other("no client"))
    }
}
