//! The agent: one loop that owns the engine and is the only reader of the clock.
//!
//! ```text
//!  kernel task (1) ──── mpsc<Report>, 64 ────┐                  ┌── watch<Wanted> ────> kernel task
//!  prober thread (1) ── mpsc<Report>, 1024 ──┤                  ├── mpsc<Order>, 1025 ─> prober thread
//!  control tasks (n) ── mpsc<Call> ──────────┼─> loop: Engine ──┼── reply per call ───> control tasks
//!  ubus tasks (0..2) ── Call, watch<Networks> ┤                  ├── broadcast ────────> ubus, a watcher
//!  signals (1 task) ─┬─ mpsc<TaskReport>, 32 ┤                  ├── broadcast ────────> watchers
//!  flow mover (0..1) ┤                       │                  ├── flows left ───────> flow mover
//!  drains (n) ───────┤                       │                  ├── marks ────────────> drains
//!  drill (0..1) ─────┘                       │                  ├── its end ──────────> drill
//!  metrics thread (0..1) ── mpsc<Request>, 1 ┤                  ├── reply per request > metrics thread
//!  the engine's next timeout ────────────────┘                  ├── broadcast, 64, twice ───> hooks (2)
//!                                                               └── log
//! ```
//! Events that report new routes wait until the kernel holds them: alerts never delay a switch, and
//! never report one that is not in effect.

mod alarm;
mod allowances;
mod announcer;
mod clock;
mod commands;
mod decisions;
mod drain;
mod drill;
mod flows;
mod history_query;
mod hours;
mod kept_state;
mod kernel_side;
mod lateness;
mod metrics;
mod metrics_door;
mod mwan3;
mod networks;
mod page;
mod pending;
mod planned;
mod probe_reports;
mod reload;
mod resume;
mod reverse_path;
mod samples;
mod signals;
mod supervisor;
mod tasks;

pub use networks::find_networks;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::{Config, OnStop, Stated};
use crate::control::Call;
use crate::control::socket::Server;
use crate::control::ubus::netifd::Networks;
use crate::daemon::alarm::Alarm;
use crate::daemon::announcer::Announcer;
use crate::daemon::clock::Clock;
use crate::daemon::decisions::Decisions;
use crate::daemon::drain::DrainTasks;
use crate::daemon::drill::DrillTask;
use crate::daemon::hours::ToldTime;
use crate::daemon::kept_state::KeptState;
use crate::daemon::kernel_side::KernelSide;
use crate::daemon::metrics_door::SnapshotRequest;
use crate::daemon::networks::{Netifd, network_of};
use crate::daemon::pending::{PendingEvents, SwitchView};
use crate::daemon::planned::PlannedSwitchTask;
use crate::daemon::supervisor::Supervisor;
use crate::daemon::tasks::TaskReport;
use crate::engine::action::{Action, Departure, DepartureCause};
use crate::engine::event::record::EventContext;
use crate::engine::event::{Change, Event};
use crate::engine::input::Input;
use crate::engine::status::{AgentState, Status};
use crate::kernel::KernelReport;
use crate::probe::{ProberReport, Probers, TraceJob};
use crate::routing::Observed;
use crate::units::Moment;

/// A hand-over that arrives within this time after a stop signal replaces the stop.
const SECOND_THOUGHT: Duration = Duration::from_millis(50);

/// How the agent is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Probe and decide, but write nothing to the kernel.
    pub observe: bool,
    /// Where the configuration is read again from.
    pub config_path: PathBuf,
    /// What the file stated when it was read.
    pub stated: Stated,
}

impl Options {
    /// An agent that only observes begins no drill.
    fn restrict(&self, config: &mut Config) {
        if self.observe {
            config.engine.drill.schedule = None;
        }
    }
}

/// Runs the agent until a signal stops it.
///
/// # Errors
/// If it cannot start, or loses the kernel for good.
pub fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let daemon = Daemon::start(config, options)?;
        daemon.serve().await
    });
    // A list of flows that is still being read is of no use any more.
    runtime.shutdown_background();
    outcome
}

/// Large: it has a field for each part of the agent. The loop hands each wake-up to the part that it concerns; each part owns its
/// state, and only the engine decides.
struct Daemon {
    config: Config,
    options: Options,
    clock: Clock,
    decisions: Decisions,
    alarm: Alarm,
    kernel: KernelSide,
    probers: Probers,
    control: Server,
    netifd: Netifd,
    announcer: Announcer,
    pending: PendingEvents,
    state: KeptState,
    drains: DrainTasks,
    drill: DrillTask,
    told_time: ToldTime,
    planned: PlannedSwitchTask,
    tasks: mpsc::Receiver<TaskReport>,
    supervisor: Supervisor,
}

/// What woke the loop.
enum Wake {
    Kernel(Option<KernelReport>),
    Probe(Option<ProberReport>),
    Task(TaskReport),
    Call(Option<Call>),
    Networks(Networks),
    Metrics(SnapshotRequest),
    Planned,
    Timeout,
}

impl Daemon {
    fn start(mut config: Config, options: Options) -> anyhow::Result<Self> {
        let clock = Clock::start();
        config.engine.seed = u64::from(std::process::id());
        options.restrict(&mut config);
        let control = Server::bind(&config.agent.control)?;
        let (outbox, tasks) = tasks::queue();
        signals::listen(outbox.clone()).context("cannot listen for signals")?;
        Ok(Self {
            decisions: Decisions::start(&config, clock)?,
            kernel: KernelSide::start(&config, options.observe)?,
            alarm: Alarm::new().context("cannot make a timer")?,
            probers: Probers::start().context("cannot start the probers")?,
            netifd: Netifd::start(&config.agent, &control),
            control,
            announcer: Announcer::start(&config, options.observe, clock.now())?,
            pending: PendingEvents::new(outbox.clone()),
            state: KeptState::new(&config.agent.state_dir, options.observe, clock.wall()),
            drains: DrainTasks::new(outbox.clone()),
            drill: DrillTask::new(outbox),
            told_time: ToldTime::default(),
            planned: PlannedSwitchTask::default(),
            tasks,
            supervisor: Supervisor::of_environment(),
            config,
            options,
            clock,
        })
    }

    async fn serve(mut self) -> anyhow::Result<()> {
        if !self.options.observe {
            drill::clean_up();
        }
        if let Some(networks) = self.netifd.first(&self.config).await {
            self.follow(networks);
        }
        loop {
            let wake = self.wake().await;
            match wake.context("cannot wait for what comes next")? {
                Wake::Kernel(Some(report)) => self.kernel_reports(report)?,
                Wake::Kernel(None) => anyhow::bail!("the kernel task has ended"),
                Wake::Probe(Some(report)) => self.prober_reports(report),
                Wake::Probe(None) => anyhow::bail!("the prober thread has ended"),
                Wake::Task(TaskReport::Flows(report)) => self.pending.flows_moved(report),
                Wake::Task(TaskReport::Counted(count)) => self.flows_counted(count),
                Wake::Task(TaskReport::Drill(news)) => self.drill_reports(news),
                Wake::Task(TaskReport::Signal(signal)) => {
                    match signal.on_stop(self.config.on_stop) {
                        Some(on_stop) => return self.stop(on_stop).await,
                        None => drop(self.reload()),
                    }
                }
                Wake::Call(Some(call)) => self.answer(call),
                Wake::Call(None) => anyhow::bail!("the control socket has ended"),
                Wake::Networks(networks) => self.follow(networks),
                Wake::Metrics(request) => self.hand_over(request),
                Wake::Planned => self.end_wait(),
                Wake::Timeout => self.time_has_passed(),
            }
            let now = self.clock.now();
            if self.kernel.is_known() {
                self.review_wait();
                self.tell_time(now);
                self.act(now);
                self.announcer.sum_up_repeats(now);
                self.take_samples(now);
                self.supervisor.ready();
            }
            self.supervisor.feed(now);
        }
    }

    async fn wake(&mut self) -> std::io::Result<Wake> {
        // Before the first look nothing is known that could be answered truly.
        let is_known = self.kernel.is_known();
        let decision = self.decisions.engine.poll_timeout().filter(|_| is_known);
        let decision = self.decisions.lateness.wait_until(decision);
        let others = [Some(self.state.samples.due()), self.time_due()];
        let others = others.into_iter().flatten().filter(|_| is_known);
        let due = decision.into_iter().chain(self.supervisor.due());
        self.alarm.set(due.chain(others).min(), self.clock)?;
        Ok(tokio::select! {
            biased;
            report = self.kernel.report() => Wake::Kernel(report),
            report = self.probers.report() => Wake::Probe(report),
            rang = self.alarm.wait() => { rang?; Wake::Timeout }
            // A part of this agent has the other end.
            Some(report) = self.tasks.recv() => Wake::Task(report),
            news = self.drill.caller_gone() => Wake::Task(TaskReport::Drill(news)),
            () = self.planned.over() => Wake::Planned,
            networks = self.netifd.changed() => Wake::Networks(networks),
            call = self.control.calls.recv(), if is_known => Wake::Call(call),
            request = self.announcer.metrics.requested(), if is_known => Wake::Metrics(request),
        })
    }

    // ---- in ----

    fn kernel_reports(&mut self, report: KernelReport) -> anyhow::Result<()> {
        match report {
            KernelReport::Observed(observed) => self.observed(observed),
            KernelReport::Applied {
                revision, refused, ..
            } => self.kernel.applied(revision, &refused),
            KernelReport::Reasserted(restored) => {
                self.kernel.reasserted(&restored, self.clock.now());
            }
            KernelReport::FlowMemory => self.note_flow_memory(),
            KernelReport::Lost(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn observed(&mut self, observed: Arc<Observed>) {
        self.probers.addresses_changed();
        if !self.kernel.is_known() {
            let (decisions, state) = (&mut self.decisions, &mut self.state);
            let carriers = resume::resume(decisions, state, &self.config, &observed, self.clock);
            let version = format!("version {}", env!("CARGO_PKG_VERSION"));
            self.announce_agent(Change::AgentStarted { carriers }, version);
        }
        for input in self.kernel.observe(&self.config.engine, observed) {
            self.decisions.tell(input);
        }
        self.note_flow_memory();
    }

    /// Takes in of which uplinks the kernel remembers the flows.
    fn note_flow_memory(&mut self) {
        if self.kernel.is_known()
            && let Some(input) = self.kernel.remembering(&self.config.engine)
        {
            self.decisions.tell(input);
        }
    }

    /// Takes what netifd says now.
    fn follow(&mut self, networks: Networks) {
        let moved = self.netifd.follow(networks, &mut self.config);
        if moved.is_empty() {
            return;
        }
        for input in moved {
            if let Input::Moved {
                uplink, interface, ..
            } = &input
            {
                tracing::info!(%uplink, %interface, "netifd tells where it is");
                self.kernel.forget_attachment(Some(uplink));
            }
            self.decisions.tell(input);
        }
        self.look_at_interfaces();
    }

    /// Takes in that uplinks may be on other interfaces than before.
    fn look_at_interfaces(&mut self) {
        if let Some(observed) = self.kernel.want_elsewhere(&self.config) {
            self.observed(observed);
        }
    }

    /// The status, complete.
    fn status(&self) -> Status {
        let agent = AgentState {
            routes: self.kernel.routes_state(self.clock.now()),
            choices: self.choices(),
            flow_memory: self.kernel.flow_memory(&self.config.engine),
            when: Some(Clock::when),
        };
        let status = self.decisions.engine.status_of(agent, self.clock.wall());
        self.kernel.with_remarks(status)
    }

    // ---- out ----

    /// Carries out the actions of the engine.
    fn act(&mut self, now: Moment) {
        let (mut events, mut jobs, mut drains) = (Vec::new(), Vec::new(), Vec::new());
        let (mut routes, mut departures, mut is_drilled) = (None, Vec::new(), false);
        while let Some(action) = self.decisions.engine.poll_action() {
            match action {
                Action::Count(uplink) => {
                    if let Some(counters) = self.kernel.counters(&uplink) {
                        self.decisions.tell(Input::Counters { uplink, counters });
                    }
                }
                Action::Route(desired) => routes = Some(desired),
                Action::Probe(order) => jobs.extend(self.kernel.job(&self.config.engine, order)),
                Action::Leave(left) => departures.push(left),
                Action::Drain(uplink, order) => drains.push((uplink, order)),
                Action::Drill(order) => {
                    self.drill.follow(order);
                    is_drilled = true;
                }
                Action::Trace(order) => {
                    if let Some(exit) = self.kernel.exit(&self.config.engine, &order.uplink) {
                        self.probers.trace(TraceJob { trace: order, exit });
                    }
                }
                Action::Event(event) => events.push(event),
            }
        }
        if let Some(desired) = routes {
            self.kernel.want(&self.config, Some(desired));
        }
        for (uplink, order) in drains {
            self.advance_drain(uplink, order);
        }
        for job in &jobs {
            let settings = &self.config.engine;
            self.announcer.metrics.ordered(settings, &job.probe, now);
        }
        let ordered = self.clock.instant(self.decisions.ordered);
        let refused = self.probers.order(jobs, ordered).err();
        for report in refused.into_iter().flatten() {
            self.probed(report);
        }
        let is_limit = |departure: &Departure| departure.cause == DepartureCause::Limit;
        let has_ended_a_stay = departures.iter().any(is_limit);
        let view = SwitchView::of(&self.kernel, &self.config, &self.options, self.clock);
        self.pending.push(view, events, departures);
        self.announce_what_is_true(now);
        if has_ended_a_stay || is_drilled {
            // A restart must not end the stay again, and is to announce the drill if it comes before its end.
            self.keep_memory();
        }
    }

    fn announce_what_is_true(&mut self, now: Moment) {
        let view = SwitchView::of(&self.kernel, &self.config, &self.options, self.clock);
        let mut has_switched = false;
        for (event, context) in self.pending.take_true(view) {
            has_switched |= matches!(event.change, Change::Switch { .. } | Change::Drill(_));
            self.announce(&event, context);
        }
        if has_switched || self.state.is_memory_due(&self.decisions, now) {
            self.keep_memory();
        }
    }

    /// Passes on an event with its context.
    fn announce(&mut self, event: &Event, context: EventContext) {
        let network = network_of(&self.config, event.change.uplink());
        let record = event.record_in(self.clock.wall(), EventContext { network, ..context });
        let (status, now) = (self.status(), self.clock.now());
        let figures = status.figures();
        self.state.samples.follow(&figures, self.clock.wall());
        self.announcer.announce(&record, &status, &self.netifd, now);
        self.note_drill(&record);
    }

    /// Passes on what the agent itself does.
    fn announce_agent(&mut self, change: Change, reason: String) {
        let at = self.clock.now();
        self.announce(&Event { at, change, reason }, EventContext::default());
    }

    /// Writes the learnt state and the pending history.
    fn keep_memory(&mut self) {
        let directory = &self.config.agent.state_dir;
        self.state
            .write_memory(&mut self.decisions, directory, self.clock);
        self.announcer.write_history();
    }

    async fn stop(mut self, on_stop: OnStop) -> anyhow::Result<()> {
        self.supervisor.stopping();
        self.end_wait();
        self.stop_drill();
        // A supervisor may send both signals, and each may reach another thread of this process.
        let hand_over = timeout(SECOND_THOUGHT, signals::hand_over(&mut self.tasks)).await;
        let on_stop = hand_over.map_or(on_stop, |()| OnStop::Keep);
        if on_stop == OnStop::Keep
            && let Err(error) = Config::load(&self.options.config_path)
        {
            let why = format!("{:#}", anyhow::Error::from(error));
            // To remove them might cut the last working uplink, by which the file could be mended.
            tracing::error!(
                why,
                "the routes stay, and nothing can take them over: no agent starts with this configuration"
            );
        }
        let is_removed = on_stop == OnStop::Remove && !self.options.observe;
        let what = match on_stop {
            _ if self.options.observe => "it only observed",
            OnStop::Remove => "removes its routes",
            OnStop::Keep => "keeps its routes",
        };
        self.announce_agent(Change::AgentStopped, what.to_owned());
        self.announcer.finish(self.clock.now());
        self.announcer.metrics.close().await;
        self.keep_memory();
        self.read_samples();
        self.keep_allowances();
        self.state
            .samples
            .finish(&self.config.agent.state_dir, self.clock.wall())
            .await;
        if is_removed {
            self.kernel.remove_all(&self.config).await?;
        }
        self.announcer.finish_hooks().await;
        Ok(())
    }
}
