//! The metrics in the loop: what is counted, while there is a way out for it.

use super::metrics_door::{MetricsDoor, SnapshotRequest};
use crate::config::{Config, MetricsPlace};
use crate::engine::action::ProbeOrder;
use crate::engine::budget::cost;
use crate::engine::event::record::EventRecord;
use crate::engine::settings::Settings;
use crate::metrics::Meters;
use crate::probe::ProbeReport;
use crate::units::Moment;

/// The metrics of the agent. They are counted for samples, too, where there is no way out.
pub(super) struct AgentMetrics {
    meters: Meters,
    offered: Option<(MetricsPlace, MetricsDoor)>,
}

impl AgentMetrics {
    /// Opens the way out that the configuration names.
    pub(super) fn start(config: &Config, now: Moment) -> anyhow::Result<Self> {
        let mut metrics = Self {
            meters: Meters::new(now),
            offered: None,
        };
        metrics.move_to(config)?;
        Ok(metrics)
    }

    /// Opens the way out that a changed configuration names, and then closes the one before. What was counted stays
    /// as far as its uplinks do.
    ///
    /// # Errors
    /// If it cannot be opened; the one before stays open.
    pub(super) fn move_to(&mut self, config: &Config) -> anyhow::Result<()> {
        let place = &config.agent.metrics;
        let is_open = self.offered.as_ref().map(|(open, _)| open) == Some(place);
        if !is_open {
            let opened = MetricsDoor::open(place)?;
            self.offered = opened.map(|door| (place.clone(), door));
        }
        let uplinks = config.engine.uplinks.iter();
        let uplinks = uplinks.map(|uplink| (&uplink.name, &*uplink.probe.targets));
        self.meters.configure(uplinks);
        Ok(())
    }

    /// The next request for a snapshot; for ever where metrics are off.
    pub(super) async fn requested(&mut self) -> SnapshotRequest {
        if let Some((_, door)) = &mut self.offered
            && let Some(request) = door.requests.recv().await
        {
            return request;
        }
        std::future::pending().await
    }

    /// What was counted until now.
    pub(super) fn counted(&mut self, now: Moment) -> &Meters {
        self.meters.settle(now);
        &self.meters
    }

    /// A probe is handed to the probers.
    pub(super) fn ordered(&mut self, settings: &Settings, order: &ProbeOrder, now: Moment) {
        let mut uplinks = settings.uplinks.iter();
        let uplink = uplinks.find(|uplink| uplink.name == order.uplink);
        let cost = uplink.map_or(0, |uplink| cost(&order.target, &uplink.probe));
        self.meters.ordered(order, cost, now);
    }

    /// What became of it.
    pub(super) fn reported(&mut self, report: &ProbeReport) {
        self.meters.reported(report.id, &report.outcome);
    }

    /// An event is announced.
    pub(super) fn announced(&mut self, record: &EventRecord, now: Moment) {
        self.meters.announced(record, now);
    }

    /// Closes the way out, at the end.
    pub(super) async fn close(&mut self) {
        if let Some((_, door)) = self.offered.take() {
            door.close().await;
        }
    }
}
