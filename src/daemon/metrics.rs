//! The metrics in the loop: what is counted, while there is a way out for it.

use tokio::sync::mpsc;

use super::Daemon;
use super::metrics_door::{MetricsDoor, PagesOffered, SnapshotRequest};
use super::page::PictureSnapshot;
use crate::config::{Config, MetricsPlace};
use crate::engine::action::ProbeOrder;
use crate::engine::budget::cost;
use crate::engine::event::record::EventRecord;
use crate::engine::settings::Settings;
use crate::engine::stream_cost;
use crate::metrics::{Meters, MetricsSnapshot};
use crate::probe::ProbeReport;
use crate::report::UplinkLimits;
use crate::units::{Moment, UplinkName};

/// The metrics of the agent. They are counted for samples, too, where there is no way out.
pub(super) struct AgentMetrics {
    meters: Meters,
    doors: Vec<(MetricsPlace, MetricsDoor)>,
    requests: mpsc::Receiver<SnapshotRequest>,
    snapshots: mpsc::Sender<SnapshotRequest>,
}

impl AgentMetrics {
    /// Opens the way out that the configuration names.
    pub(super) fn start(config: &Config, now: Moment) -> anyhow::Result<Self> {
        let (snapshots, requests) = mpsc::channel(1);
        let mut metrics = Self {
            meters: Meters::new(now),
            doors: Vec::new(),
            requests,
            snapshots,
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
        let wanted = places(config);
        let mut opened = Vec::new();
        for (place, offered) in &wanted {
            let open = self.doors.iter().find(|(open, _)| open == place);
            if let Some((_, door)) = open {
                door.offer(offered.clone());
            } else if let Some(door) =
                MetricsDoor::open(place, offered.clone(), self.snapshots.clone())?
            {
                opened.push((place.clone(), door));
            }
        }
        self.doors
            .retain(|(open, _)| wanted.iter().any(|(place, _)| place == open));
        self.doors.extend(opened);
        let uplinks = config.engine.uplinks.iter();
        let uplinks = uplinks.map(|uplink| (&uplink.name, &*uplink.probe.targets));
        self.meters.configure(uplinks);
        Ok(())
    }

    /// The next request for a snapshot; for ever where nothing is offered.
    pub(super) async fn requested(&mut self) -> SnapshotRequest {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
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

    /// The stream of a drill went by an uplink.
    pub(super) fn streamed(&mut self, uplink: &UplinkName, packets: u32) {
        self.meters.streamed(uplink, stream_cost(packets));
    }

    /// An event is announced.
    pub(super) fn announced(&mut self, record: &EventRecord, now: Moment) {
        self.meters.announced(record, now);
    }

    /// Closes the way out, at the end.
    pub(super) async fn close(&mut self) {
        for (_, door) in std::mem::take(&mut self.doors) {
            door.close().await;
        }
    }
}

/// Where pages and files are offered, each place once.
fn places(config: &Config) -> Vec<(MetricsPlace, PagesOffered)> {
    let agent = &config.agent;
    let web = agent.web.map(MetricsPlace::Tcp);
    let page = Some(agent.web_allow.clone());
    let is_shared = web.as_ref() == Some(&agent.metrics);
    let metrics = PagesOffered {
        metrics: true,
        page: page.clone().filter(|_| is_shared),
    };
    let own = web.filter(|_| !is_shared).map(|web| {
        let offered = PagesOffered {
            metrics: false,
            page,
        };
        (web, offered)
    });
    let metrics = Some((agent.metrics.clone(), metrics));
    let metrics = metrics.filter(|(place, _)| *place != MetricsPlace::Off);
    metrics.into_iter().chain(own).collect()
}

impl Daemon {
    /// Hands over a snapshot. A thread that has ended meanwhile is no error.
    pub(super) fn hand_over(&mut self, request: SnapshotRequest) {
        let wall = self.clock.wall();
        match request {
            SnapshotRequest::Metrics(reply) => {
                let snapshot = MetricsSnapshot {
                    status: self.status(),
                    meters: self.announcer.metrics.counted(wall.now()).clone(),
                    traffic: self.kernel.all_counters(),
                    overruns: self.kernel.overruns(),
                    wall,
                };
                drop(reply.send(Box::new(snapshot)));
            }
            SnapshotRequest::Status(reply) => drop(reply.send(Box::new(self.status()))),
            SnapshotRequest::Pictures(reply) => {
                let uplinks = self.config.engine.uplinks.iter();
                let snapshot = PictureSnapshot {
                    status: self.status(),
                    samples: self.state.samples.gatherer().clone(),
                    waiting: self.announcer.unwritten().to_vec(),
                    state_dir: self.config.agent.state_dir.clone(),
                    limits: uplinks.map(UplinkLimits::of).collect(),
                    wall,
                };
                drop(reply.send(Box::new(snapshot)));
            }
        }
    }
}
