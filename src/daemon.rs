//! The agent: one loop that owns the engine and is the only reader of the clock.
//!
//! ```text
//!  kernel task (1) ──── mpsc<Report>, 64 ────┐                  ┌── watch<Wanted> ────> kernel task
//!  prober thread (1) ── mpsc<Report>, 1024 ──┤                  ├── mpsc<Order>, 1024 ─> prober thread
//!  control tasks (n) ── mpsc<Call> ──────────┼─> loop: Engine ──┼── reply per call ───> control tasks
//!  signals ──────────────────────────────────┤                  ├── broadcast ────────> watchers
//!  ubus tasks (0..2) ── Call, watch<Networks> ┤                  ├── broadcast ────────> ubus, a watcher
//!  flow mover (0..1) ── mpsc<Report>, 16 ────┤                  ├── addresses left ───> flow mover
//!  drains (n) ───────── mpsc<Report>, 16 ────┤                  ├── addresses ────────> drains
//!  the engine's next timeout ────────────────┘                  ├── broadcast, 64, twice ───> hooks (2)
//!                                                               └── log
//! ```
//! Events that tell of a new way wait until the kernel holds it: alerts never delay a switch, and
//! never tell of one that is not there.

mod alarm;
mod announce;
mod commands;
mod drain;
mod flows;
mod history_query;
mod links;
mod networks;
mod supervisor;

pub use networks::find_networks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::alert::{self, Hooks, Repeats};
use crate::config::{Config, OnStop, UbusPlace};
use crate::control::socket::{Server, Watchers, claim};
use crate::control::ubus::Ubus;
use crate::control::ubus::netifd::Networks;
use crate::control::{Call, Request, Response};
use crate::daemon::alarm::Alarm;
use crate::daemon::announce::{Announcement, Stage};
use crate::daemon::drain::{Drains, FlowList};
use crate::daemon::flows::Mover;
use crate::daemon::history_query::HistoryReaders;
use crate::daemon::supervisor::Supervisor;
use crate::engine::Engine;
use crate::engine::action::{Action, ProbeOrder};
use crate::engine::command::Command;
use crate::engine::event::{Change, Event};
use crate::engine::input::Input;
use crate::engine::settings::Settings;
use crate::engine::status::{Choices, RoutesState, Status};
use crate::history::History;
use crate::kernel::{self, CounterReader, Kernel, KernelAccess, RefusedOperation, Wanted};
use crate::probe::{self, Probers};
use crate::recorder::{self, Recorder};
use crate::routing::{Attachment, Desired, Observed};
use crate::units::{InterfaceName, Moment, UplinkName, Wall};

/// How long a clean stop waits for the kernel.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A request to hand over that came together with one to stop is heard within this time.
const SECOND_THOUGHT: Duration = Duration::from_millis(50);
/// How often what was learnt is written down.
const KEEP_EVERY: Duration = Duration::from_secs(3_600);
/// After somebody changed what is ours the routes count as contested for so long.
const CONTESTED_FOR: Duration = Duration::from_secs(30);

/// How the agent is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Probe and decide, but write nothing to the kernel.
    pub observe: bool,
    /// Where the configuration is read again from.
    pub config_path: PathBuf,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// If it cannot start, or loses the kernel for good.
pub fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let daemon = Daemon::start(config, options)?;
        daemon.serve().await
    })
}

/// The monotonic clock and the wall clock; nobody else reads either.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the agent reads the clock"
)]
impl Clock {
    fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    fn now(self) -> Moment {
        Moment::after_start(self.start.elapsed())
    }

    fn wall(self) -> Wall {
        Wall::reading(SystemTime::now(), self.now())
    }
}

struct Daemon {
    config: Config,
    options: Options,
    clock: Clock,
    engine: Engine,
    recorder: Option<Recorder>,
    alarm: Alarm,
    alarm_at: Option<Moment>,
    kernel: Kernel,
    counter: CounterReader,
    wanted: watch::Sender<Arc<Wanted>>,
    probers: Probers,
    control: Server,
    watchers: Watchers,
    /// None if nobody wants it.
    ubus: Option<Ubus>,
    /// What netifd said last.
    networks: Networks,
    /// None for an agent that only observes: hooks act.
    hooks: Option<Hooks>,
    /// What the log has heard too often.
    repeats: Repeats,
    history: History,
    readers: HistoryReaders,
    /// Said once: flash that cannot be written stays so.
    has_complained_of_history: bool,
    mover: Mover,
    drains: Drains,
    /// What people chose, with who and when.
    choices: Choices,
    /// They could not be kept.
    owes_choices: bool,
    /// Nobody else writes what we write.
    _claim: Option<UnixListener>,
    signals: Signals,
    supervisor: Supervisor,
    attachments: BTreeMap<UplinkName, Attachment>,
    observed: Option<Arc<Observed>>,
    applied: u64,
    announcements: VecDeque<Announcement>,
    refused: BTreeSet<String>,
    has_complained_of_flows: bool,
    contested: Option<Moment>,
    /// Through which of our interfaces somebody else's default route goes before ours.
    rival: Option<InterfaceName>,
    kept: Moment,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    hand_over: Signal,
}

/// What woke the loop.
enum Wake {
    Kernel(Option<kernel::KernelReport>),
    Probe(Option<probe::ProbeReport>),
    Flows(Option<flows::Report>),
    Held(Option<FlowList>),
    Call(Option<Call>),
    Networks(Networks),
    Timeout,
    Stop(OnStop),
    Reload,
}

impl Daemon {
    fn start(mut config: Config, options: Options) -> anyhow::Result<Self> {
        let clock = Clock::start();
        config.engine.seed = u64::from(std::process::id());
        let control = Server::bind(&config.agent.control)?;
        let writes = !options.observe;
        let claim = writes.then(|| claim(config.engine.numbering.protocol));
        let (wanted, wishes) = watch::channel(Arc::new(wanted(&config, 0, None)));
        let mode = if options.observe {
            KernelAccess::Observe
        } else {
            KernelAccess::Write
        };
        let begin = clock.now();
        Ok(Self {
            engine: Engine::new(config.engine.clone(), begin),
            recorder: recorder(&config, begin, clock.wall())?,
            alarm: Alarm::new().context("cannot make a timer")?,
            alarm_at: None,
            kernel: kernel::start(wishes, mode)?,
            counter: CounterReader::open()?,
            wanted,
            readers: HistoryReaders::default(),
            probers: Probers::start().context("cannot start the probers")?,
            ubus: ubus(&config.agent.ubus, &control),
            networks: Networks::new(),
            control,
            watchers: Watchers::default(),
            hooks: (!options.observe).then(|| Hooks::start(&config.agent.hooks)),
            repeats: Repeats::default(),
            history: history(&config.agent.state_dir),
            has_complained_of_history: false,
            mover: Mover::new(),
            drains: Drains::new(),
            choices: Choices::default(),
            owes_choices: false,
            _claim: claim.transpose()?.flatten(),
            signals: Signals::listen().context("cannot listen for signals")?,
            supervisor: Supervisor::of_environment(),
            attachments: BTreeMap::new(),
            observed: None,
            applied: 0,
            announcements: VecDeque::new(),
            refused: BTreeSet::new(),
            has_complained_of_flows: false,
            contested: None,
            rival: None,
            kept: Moment::START,
            config,
            options,
            clock,
        })
    }

    async fn serve(mut self) -> anyhow::Result<()> {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
        self.find_networks().await;
        loop {
            match self
                .wake()
                .await
                .context("cannot wait for what comes next")?
            {
                Wake::Kernel(Some(report)) => self.kernel_reports(report)?,
                Wake::Kernel(None) => anyhow::bail!("the kernel task has ended"),
                Wake::Probe(Some(report)) => self.probed(report),
                Wake::Probe(None) => anyhow::bail!("the prober thread has ended"),
                Wake::Flows(Some(report)) => self.flows_moved(report),
                Wake::Flows(None) => anyhow::bail!("the flow mover has ended"),
                Wake::Held(Some(report)) => self.flows_listed(report),
                Wake::Held(None) => anyhow::bail!("the lists of flows have ended"),
                Wake::Call(Some(call)) => self.answer(call),
                Wake::Call(None) => anyhow::bail!("the control socket has ended"),
                Wake::Networks(networks) => self.follow(networks),
                Wake::Timeout => {
                    self.alarm_at = None;
                    let now = self.clock.now();
                    self.record(now, None);
                    self.engine.handle_timeout(now);
                }
                Wake::Reload => {
                    self.reload();
                }
                Wake::Stop(on_stop) => return self.stop(on_stop).await,
            }
            if self.is_acquainted() {
                self.act();
                if self.report_held_routes() {
                    self.act();
                }
                self.sum_up_repeats();
                self.supervisor.ready();
            }
            self.supervisor.feed(self.clock.now());
        }
    }

    async fn wake(&mut self) -> std::io::Result<Wake> {
        self.set_alarm()?;
        Ok(tokio::select! {
            biased;
            report = self.kernel.reports.recv() => Wake::Kernel(report),
            report = self.probers.report() => Wake::Probe(report),
            report = self.mover.reports.recv() => Wake::Flows(report),
            list = self.drains.list() => Wake::Held(list),
            rang = self.alarm.wait() => { rang?; Wake::Timeout }
            // Another one takes over at once: a restart, or a new version.
            _ = self.signals.hand_over.recv() => Wake::Stop(OnStop::Keep),
            _ = self.signals.terminate.recv() => Wake::Stop(self.config.on_stop),
            _ = self.signals.interrupt.recv() => Wake::Stop(self.config.on_stop),
            _ = self.signals.hang_up.recv() => Wake::Reload,
            networks = networks::told_by(&mut self.ubus) => Wake::Networks(networks),
            call = self.control.calls.recv() => Wake::Call(call),
        })
    }

    /// Sets the alarm to the engine's next timeout, or the supervisor's, if that is another than before.
    fn set_alarm(&mut self) -> std::io::Result<()> {
        let decision = self.engine.poll_timeout().filter(|_| self.is_acquainted());
        let next = decision.into_iter().chain(self.supervisor.due()).min();
        if next != self.alarm_at {
            self.alarm.set(next.map(|at| at.since(self.clock.now())))?;
            self.alarm_at = next;
        }
        Ok(())
    }

    fn tell(&mut self, input: Input) {
        let now = self.clock.now();
        self.record(now, Some(&input));
        self.engine.handle_input(now, input);
    }

    /// Keeps what the engine is told, until that fails or is enough.
    fn record(&mut self, now: Moment, input: Option<&Input>) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.record(now, input)
        {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "records no more");
            self.recorder = None;
        }
    }

    // ---- in ----

    fn kernel_reports(&mut self, report: kernel::KernelReport) -> anyhow::Result<()> {
        match report {
            kernel::KernelReport::Observed(observed) => self.observed(observed),
            kernel::KernelReport::Applied {
                revision, refused, ..
            } => {
                self.complain(&refused);
                self.applied = revision;
            }
            kernel::KernelReport::Reasserted { what } => {
                self.contested = Some(self.clock.now());
                tracing::warn!(what, "someone changed what is ours in the kernel; put back");
            }
            kernel::KernelReport::Lost(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn is_acquainted(&self) -> bool {
        self.observed.is_some()
    }

    fn probed(&mut self, report: probe::ProbeReport) {
        tracing::debug!(uplink = %report.uplink, id = %report.id, outcome = ?report.outcome, "probe");
        self.tell(Input::Probe {
            uplink: report.uplink,
            id: report.id,
            outcome: report.outcome,
        });
    }

    fn answer(&mut self, call: Call) {
        let response = match &call.request {
            Request::Watch => {
                let status = self.status();
                self.watchers.add(call, &status);
                return;
            }
            Request::Command(
                command @ Command::Disable {
                    uplink,
                    drain: Some(_),
                },
            ) => {
                let (command, uplink) = (command.clone(), uplink.clone());
                self.drain(call, &command, uplink);
                return;
            }
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Command(command) => self.obey(&call, command),
            Request::Reload => self.reload(),
            Request::History { since, newest } => {
                let (since, newest) = (*since, *newest);
                self.answer_history(call, since, newest);
                return;
            }
        };
        call.answer(&response);
    }

    fn status(&self) -> Status {
        Status {
            routes: self.routes_state(),
            choices: self.shown_choices(),
            ..self.engine.status(self.clock.wall())
        }
    }

    fn routes_state(&self) -> RoutesState {
        let is_recent = |at: Moment| self.clock.now().since(at) < CONTESTED_FOR;
        if self.options.observe {
            RoutesState::Observing
        } else if self.contested.is_some_and(is_recent) {
            RoutesState::Contested
        } else if !self.refused.is_empty() {
            RoutesState::Refused
        } else if self.applied < self.wanted.borrow().revision {
            RoutesState::Pending
        } else if self.rival.is_some() {
            RoutesState::Overruled
        } else {
            RoutesState::InPlace
        }
    }

    fn reload(&mut self) -> Response {
        self.supervisor.reloading();
        let outcome = self.load_again();
        self.supervisor.reloaded();
        match outcome {
            Ok(()) => Response::Done("the configuration is in force".to_owned()),
            Err(error) => {
                let reason = format!("{error:#}");
                let event = Event {
                    at: self.clock.now(),
                    change: Change::ConfigRefused,
                    reason: reason.clone(),
                };
                self.announce(&event.record(self.clock.wall()));
                Response::Refused(reason)
            }
        }
    }

    fn load_again(&mut self) -> anyhow::Result<()> {
        let mut config = Config::load(&self.options.config_path)?;
        let running = &self.config;
        let needs_restart = [
            (
                "agent.control",
                config.agent.control != running.agent.control,
            ),
            ("agent.log", config.agent.log != running.agent.log),
            ("agent.record", config.agent.record != running.agent.record),
        ];
        if let Some((key, _)) = needs_restart.iter().find(|(_, differs)| *differs) {
            anyhow::bail!("`{key}` changes only with a restart");
        }
        if config.engine.numbering.protocol != running.engine.numbering.protocol {
            // What carries the old number would be nobody's.
            anyhow::bail!(
                "`routing.protocol` changes only while nothing carries the old number: set it while \
                 the agent is stopped, after a stop with `on_stop = \"remove\"`"
            );
        }
        config.engine.seed = running.engine.seed;
        if config.agent.hooks != running.agent.hooks && self.hooks.is_some() {
            self.hooks = Some(Hooks::start(&config.agent.hooks));
        }
        if config.agent.ubus != running.agent.ubus {
            self.ubus = ubus(&config.agent.ubus, &self.control);
        }
        self.config = config;
        // Of no use as inputs: the settings have it already.
        drop(self.locate());
        self.attachments.clear();
        let settings = Box::new(self.config.engine.clone());
        self.tell(Input::Settings(settings));
        self.look_at_interfaces();
        self.note_choices(None);
        Ok(())
    }

    /// Takes in that uplinks may be on other interfaces than before.
    fn look_at_interfaces(&mut self) {
        let before = self.wanted.borrow().clone();
        self.want(before.desired.clone());
        // Other interfaces have to be looked at first: what was seen does not tell of their routes.
        let is_same_scope = before.interfaces == self.wanted.borrow().interfaces;
        if let Some(observed) = self.observed.clone().filter(|_| is_same_scope) {
            self.observed(observed);
        }
    }

    // ---- out ----

    fn act(&mut self) {
        let mut events = Vec::new();
        let mut routes = None;
        let mut orders = Vec::new();
        let mut departure = None;
        let mut drains = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Count(uplink) => self.count(uplink),
                Action::Route(desired) => routes = Some(desired),
                Action::Probe(order) => orders.extend(self.order(order)),
                Action::Leave(left) => departure = Some(left),
                Action::Drain(uplink, order) => drains.push((uplink, order)),
                Action::Event(event) => events.push(event),
            }
        }
        if let Some(desired) = routes {
            self.want(Some(desired));
        }
        for (uplink, order) in drains {
            self.advance_drain(uplink, order);
        }
        for report in self.probers.order(orders).err().into_iter().flatten() {
            self.probed(report);
        }
        if !events.is_empty() || departure.is_some() {
            self.announcements.push_back(Announcement {
                revision: self.wanted.borrow().revision,
                decided: self.clock.now(),
                held: None,
                events,
                departure,
                stage: Stage::Routing,
            });
        }
        let held_by_kernel = if self.options.observe {
            u64::MAX
        } else {
            self.applied
        };
        self.announce_up_to(held_by_kernel);
    }

    fn want(&mut self, desired: Option<Desired>) {
        let revision = self.wanted.borrow().revision + 1;
        let wanted = wanted(&self.config, revision, desired);
        self.wanted.send_replace(Arc::new(wanted));
    }

    fn count(&mut self, uplink: UplinkName) {
        let attachment = self.attachments.get(&uplink);
        let index = attachment.and_then(|attachment| attachment.index);
        if let Some(counters) = index.and_then(|index| self.counter.read(index)) {
            self.tell(Input::Counters { uplink, counters });
        }
    }

    fn order(&self, probe: ProbeOrder) -> Option<probe::ProbeJob> {
        let attachment = self.attachments.get(&probe.uplink);
        let index = attachment.and_then(|attachment| attachment.index);
        let Settings {
            uplinks, numbering, ..
        } = &self.config.engine;
        let uplink = (0..).zip(uplinks).find(|(_, u)| u.name == probe.uplink);
        let (index, (position, uplink)) = (index?, uplink?);
        let exit = probe::ProbeExit {
            interface: uplink.interface.clone(),
            index,
            mark: numbering.uplink_mark(position),
        };
        Some(probe::ProbeJob {
            probe,
            exit,
            resolvers: uplink.probe.resolvers.clone(),
        })
    }

    /// Says once what the kernel would not do.
    fn complain(&mut self, refused: &[RefusedOperation]) {
        let said = std::mem::take(&mut self.refused);
        for refusal in refused {
            let line = format!("{}: {}", refusal.operation, refusal.reason);
            if !said.contains(&line) {
                tracing::warn!(
                    operation = refusal.operation,
                    why = refusal.reason,
                    "refused by the kernel"
                );
            }
            self.refused.insert(line);
        }
    }

    async fn stop(mut self, on_stop: OnStop) -> anyhow::Result<()> {
        self.supervisor.stopping();
        // A supervisor may say both, and each may reach another thread of this process.
        let hand_over = timeout(SECOND_THOUGHT, self.signals.hand_over.recv()).await;
        let on_stop = hand_over.map_or(on_stop, |_| OnStop::Keep);
        if on_stop == OnStop::Keep
            && let Err(error) = Config::load(&self.options.config_path)
        {
            let why = format!("{:#}", anyhow::Error::from(error));
            // To remove them might cut the last working uplink, and whoever could mend the file.
            tracing::error!(
                why,
                "the routes stay, and nobody can take them over: no agent starts with this configuration"
            );
        }
        for record in std::mem::take(&mut self.repeats).rest(self.clock.now()) {
            alert::tell(&record);
        }
        self.keep_memory();
        let is_removed = on_stop == OnStop::Remove && !self.options.observe;
        if is_removed {
            self.want(Some(Desired::default()));
            let revision = self.wanted.borrow().revision;
            timeout(STOP_WITHIN, self.applied(revision))
                .await
                .context("the kernel did not remove our routes and rules in time")??;
        }
        tracing::info!(removed = is_removed, "stopped");
        Ok(())
    }

    async fn applied(&mut self, awaited: u64) -> anyhow::Result<()> {
        loop {
            match self.kernel.reports.recv().await {
                Some(kernel::KernelReport::Applied {
                    revision, refused, ..
                }) if revision >= awaited => {
                    self.complain(&refused);
                    anyhow::ensure!(
                        refused.is_empty(),
                        "the kernel did not let go of everything"
                    );
                    return Ok(());
                }
                Some(kernel::KernelReport::Lost(error)) => return Err(error.into()),
                Some(
                    kernel::KernelReport::Applied { .. }
                    | kernel::KernelReport::Observed(_)
                    | kernel::KernelReport::Reasserted { .. },
                ) => {}
                None => anyhow::bail!("the kernel task has ended"),
            }
        }
    }
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }
}

fn recorder(config: &Config, at: Moment, wall: Wall) -> anyhow::Result<Option<Recorder>> {
    let Some(path) = &config.agent.record else {
        return Ok(None);
    };
    let header = recorder::Header {
        recording: recorder::FORM,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: wall.at(at),
        at,
        settings: config.engine.clone(),
    };
    Recorder::create(path, &header)
        .with_context(|| format!("cannot begin the recording {}", path.display()))
        .map(Some)
}

fn ubus(place: &UbusPlace, control: &Server) -> Option<Ubus> {
    let path = match place {
        UbusPlace::Off => return None,
        UbusPlace::Auto => None,
        UbusPlace::At(path) => Some(path.clone()),
    };
    Some(Ubus::start(path, control.caller.clone()))
}

fn history(directory: &Path) -> History {
    let (history, complaints) = History::open(directory);
    for error in complaints {
        let why = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(why, "what happened before is not known");
    }
    history
}

fn wanted(config: &Config, revision: u64, desired: Option<Desired>) -> Wanted {
    let uplinks = config.engine.uplinks.iter();
    Wanted {
        revision,
        desired,
        interfaces: uplinks.map(|uplink| uplink.interface.clone()).collect(),
        protocol: config.engine.numbering.protocol,
    }
}
