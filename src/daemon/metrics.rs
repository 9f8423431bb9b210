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

/// The metrics of the agent. Where they are off nothing is counted.
pub(super) struct AgentMetrics(Option<OfferedMetrics>);

struct OfferedMetrics {
    place: MetricsPlace,
    door: MetricsDoor,
    meters: Meters,
}

impl AgentMetrics {
    /// Opens the way out that the configuration names.
    pub(super) fn start(config: &Config, now: Moment) -> anyhow::Result<Self> {
        let mut metrics = Self(None);
        metrics.move_to(config, now)?;
        Ok(metrics)
    }

    /// Opens the way out that a changed configuration names, and then closes the one before. What was counted stays
    /// as far as its uplinks do.
    ///
    /// # Errors
    /// If it cannot be opened; the one before stays open.
    pub(super) fn move_to(&mut self, config: &Config, now: Moment) -> anyhow::Result<()> {
        let place = &config.agent.metrics;
        let is_open = self.0.as_ref().map(|offered| &offered.place) == Some(place);
        if !is_open {
            let opened = MetricsDoor::open(place)?;
            let before = self.0.take().map(|offered| offered.meters);
            self.0 = opened.map(|door| OfferedMetrics {
                place: place.clone(),
                door,
                meters: before.unwrap_or_else(|| Meters::new(now)),
            });
        }
        if let Some(offered) = &mut self.0 {
            let uplinks = config.engine.uplinks.iter();
            let uplinks = uplinks.map(|uplink| (&uplink.name, &*uplink.probe.targets));
            offered.meters.configure(uplinks);
        }
        Ok(())
    }

    /// The next request for a snapshot; for ever where metrics are off.
    pub(super) async fn requested(&mut self) -> SnapshotRequest {
        if let Some(offered) = &mut self.0
            && let Some(request) = offered.door.requests.recv().await
        {
            return request;
        }
        std::future::pending().await
    }

    /// What was counted until now, for a snapshot.
    pub(super) fn counted(&mut self, now: Moment) -> Option<Meters> {
        let offered = self.0.as_mut()?;
        offered.meters.settle(now);
        Some(offered.meters.clone())
    }

    /// A probe is handed to the probers.
    pub(super) fn ordered(&mut self, settings: &Settings, order: &ProbeOrder, now: Moment) {
        if let Some(offered) = &mut self.0 {
            let mut uplinks = settings.uplinks.iter();
            let uplink = uplinks.find(|uplink| uplink.name == order.uplink);
            let cost = uplink.map_or(0, |uplink| cost(&order.target, &uplink.probe));
            offered.meters.ordered(order, cost, now);
        }
    }

    /// What became of it.
    pub(super) fn reported(&mut self, report: &ProbeReport) {
        if let Some(offered) = &mut self.0 {
            offered.meters.reported(report.id, &report.outcome);
        }
    }

    /// An event is announced.
    pub(super) fn announced(&mut self, record: &EventRecord, now: Moment) {
        if let Some(offered) = &mut self.0 {
            offered.meters.announced(record, now);
        }
    }

    /// Closes the way out, at the end.
    pub(super) async fn close(&mut self) {
        if let Some(offered) = self.0.take() {
            offered.door.close().await;
        }
    }
}
