//! The probes in flight.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::job::{ProbeReport, ProberReport};
use super::socket::now;
use crate::engine::action::ProbeOrder;
use crate::engine::input::ProbeOutcome;
use crate::units::UplinkName;
use crate::units::sorted::SortedMap;

/// Probes of one uplink that may hold a socket of their own. With so many, none is answered any more:
/// the oldest is aborted and counts as missed.
const MOST_CONNECTED: usize = 256;
/// A probe that leaves so much later than it was ordered has less time than the engine gave it.
const LATE: Duration = Duration::from_millis(5);

/// What becomes of a probe, as soon as that is known; none if it is not answered in time.
pub(super) type ProbeFuture = Pin<Box<dyn Future<Output = Option<ProbeOutcome>> + Send>>;

/// The probes in flight. A task ends, and closes its socket, with its answer or its time limit; those that are left when
/// the prober thread ends, end with its runtime.
pub(super) struct Flights {
    outbox: mpsc::Sender<ProberReport>,
    connected: SortedMap<UplinkName, VecDeque<JoinHandle<()>>>,
}

impl Flights {
    pub(super) fn new(outbox: mpsc::Sender<ProberReport>) -> Self {
        Self {
            outbox,
            connected: SortedMap::new(),
        }
    }

    /// Starts a probe that shares its socket with others.
    pub(super) fn start(
        &self,
        probe: &ProbeOrder,
        ordered: Instant,
        mut flight: ProbeFuture,
    ) -> JoinHandle<()> {
        let outbox = self.outbox.clone();
        let (uplink, id) = (probe.uplink.clone(), probe.id);
        // The runtime moves the whole of a task three times at its end: a box is all that it moves.
        tokio::spawn(Box::pin(async move {
            let begun = poll_fn(|context| Poll::Ready(flight.as_mut().poll(context))).await;
            // The probe has left by now: a stall just before it left is part of this.
            let by = now() - ordered;
            if by >= LATE {
                let uplink = uplink.clone();
                drop(outbox.send(ProberReport::SentLate { uplink, id, by }).await);
            }
            let outcome = match begun {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => flight.await,
            };
            if let Some(outcome) = outcome {
                let report = ProbeReport {
                    uplink,
                    id,
                    outcome,
                };
                drop(outbox.send(ProberReport::Outcome(report)).await);
            }
        }))
    }

    /// Starts a probe with a socket of its own.
    pub(super) fn start_connected(
        &mut self,
        probe: &ProbeOrder,
        ordered: Instant,
        flight: ProbeFuture,
    ) {
        let handle = self.start(probe, ordered, flight);
        let connected = self.connected.entry(probe.uplink.clone()).or_default();
        // A handle keeps its task in memory.
        while connected.front().is_some_and(JoinHandle::is_finished) {
            connected.pop_front();
        }
        connected.push_back(handle);
        if connected.len() > MOST_CONNECTED {
            connected.retain(|handle| !handle.is_finished());
        }
        if connected.len() > MOST_CONNECTED
            && let Some(oldest) = connected.pop_front()
        {
            oldest.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ProbeId;

    #[test]
    fn a_stall_just_before_a_probe_leaves_is_part_of_its_lateness() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let (outbox, mut reports) = mpsc::channel(1);
        let probe = ProbeOrder {
            id: ProbeId(7),
            uplink: "fiber".parse().expect("a name"),
            target: "192.0.2.1".parse().expect("a target"),
            hop: None,
            listen_for: Duration::from_secs(1),
        };
        let report = runtime.block_on(async {
            let flights = Flights::new(outbox);
            let ordered = now();
            // On its way to the socket the prober does not run for a while.
            let flight = Box::pin(async move {
                while now() - ordered < LATE * 2 {}
                std::future::pending().await
            });
            flights.start(&probe, ordered, flight);
            reports.recv().await
        });
        let by = match report {
            Some(ProberReport::SentLate { by, .. }) => by,
            other @ (Some(
                ProberReport::Outcome(_) | ProberReport::Traced(..) | ProberReport::AnswersRead(_),
            )
            | None) => {
                panic!("{other:?}")
            }
        };
        assert!(by >= LATE * 2, "{by:?}");
    }
}
