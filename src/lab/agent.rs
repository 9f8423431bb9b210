//! The agent under test: the same program as `uplinkd run`, in the router, and what it says.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::control::client::Client;
use crate::control::{Request, Response};
use crate::lab::clock;
use crate::lab::clock::pause;
use crate::lab::error::{Doing, LabError};
use crate::lab::event::LabEvent;
use crate::lab::files::{CONFIG, CONTROL, FILES, HOOKS, LOG, STATE};
use crate::lab::internet::{TARGETS, TARGETS6};
use crate::lab::namespace::Namespace;
use crate::lab::network::UPLINKS;
use crate::lab::report::PhaseCost;
use crate::lab::scenario::Scenario;

/// Between two looks at something that has no event.
const TICK: Duration = Duration::from_millis(2);
/// How long the agent may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running agent. It is killed when the thread that started it ends.
#[derive(Debug)]
pub(super) struct AgentProcess {
    child: Child,
}

/// What the agent has cost since it was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentCost {
    /// Time on a processor, of all its threads.
    pub(super) cpu: Duration,
    /// Resident memory.
    pub(super) memory_kib: u64,
}

impl PhaseCost {
    /// What an agent has cost in `span`; none if another one was started in between.
    pub(super) fn between(
        before: &AgentCost,
        after: &AgentCost,
        probes: u64,
        span: Duration,
        bare: Option<Duration>,
    ) -> Option<Self> {
        let cpu = after.cpu.checked_sub(before.cpu)?;
        #[expect(clippy::cast_precision_loss, reason = "probes of a few hours")]
        let us_per_probe = cpu.as_secs_f64() * 1e6 / probes as f64;
        Some(Self {
            cpu_percent: cpu.as_secs_f64() / span.as_secs_f64() * 100.0,
            probes,
            us_per_probe,
            us_per_bare_probe: bare.map(|bare| bare.as_secs_f64() * 1e6),
            memory_kib: after.memory_kib,
        })
    }
}

impl AgentProcess {
    /// Starts `uplinkd run` in the router; `program` is what runs. What it says goes to `sink`.
    pub(super) fn start(
        program: &Path,
        router: &Namespace,
        scenario: &Scenario,
        sink: Sender<LabEvent>,
    ) -> Result<Self, LabError> {
        let agent = Self::start_unheard(program, router, scenario)?;
        thread::Builder::new()
            .name("agent-ear".to_owned())
            .spawn(move || listen(&sink))
            .doing(|| "listen to the agent".to_owned())?;
        Ok(agent)
    }

    /// The same, and what the agent says is not read.
    pub(super) fn start_unheard(
        program: &Path,
        router: &Namespace,
        scenario: &Scenario,
    ) -> Result<Self, LabError> {
        let prepare = || {
            fs::create_dir_all(FILES)?;
            fs::write(CONFIG, configuration(scenario))?;
            let mut log = File::options();
            log.create(true).append(true).open(LOG)
        };
        let log = prepare().doing(|| format!("write the agent's files in {FILES}"))?;
        let mut command = Command::new(program);
        command
            .args(["run", "--config", CONFIG])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = router
            .adopt(&mut command)
            .and_then(Command::spawn)
            .doing(|| format!("start {} in the router", program.display()))?;
        Ok(Self { child })
    }

    /// Sends the agent a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), LabError> {
        kill(self.pid(), signal).doing(|| format!("end the agent with {signal}"))
    }

    /// Ends the agent with a signal, and waits until it has ended.
    pub(super) fn end(&mut self, signal: Signal) -> Result<ExitStatus, LabError> {
        self.signal(signal)?;
        let limit = clock::now() + PATIENCE;
        while clock::now() < limit {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            pause(TICK);
        }
        let event = format!("the agent ended on {signal}");
        Err(LabError::vain(&event, PATIENCE))
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        let status = self.child.try_wait();
        status.doing(|| "see whether the agent has ended".to_owned())
    }

    /// What it has cost so far.
    pub(super) fn cost(&self) -> Result<AgentCost, LabError> {
        let read = || {
            let cpu = clock_gettime(clock_getcpuclockid(self.pid())?)?;
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
            Ok::<_, io::Error>(AgentCost {
                cpu: cpu.into(),
                memory_kib: resident(&status).ok_or(io::ErrorKind::InvalidData)?,
            })
        };
        read().doing(|| "read what the agent has cost".to_owned())
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The path of this very program, even if its file is gone.
pub fn this_program() -> PathBuf {
    "/proc/self/exe".into()
}

fn configuration(scenario: &Scenario) -> String {
    let own = [
        format!("agent.control = {CONTROL:?}"),
        format!("agent.state_dir = {STATE:?}"),
        "agent.log = \"stderr\"".to_owned(),
        format!("agent.hooks = {HOOKS:?}"),
    ];
    let has_targets = scenario
        .agent
        .iter()
        .any(|line| line.starts_with("probe.targets"));
    let targets = (!has_targets).then(|| format!("probe.targets = {:?}", pings(scenario)));
    let policy = scenario
        .balance
        .then(|| "failover.policy = \"balance\"".to_owned());
    let lines = own.into_iter().chain(targets).chain(policy);
    let lines: Vec<_> = lines.chain(scenario.agent.iter().cloned()).collect();
    let uplinks = uplinks(scenario).zip(1..).map(|((name, keys), place)| {
        let tier = if scenario.balance { 1 } else { place };
        format!("[[uplink]]\nname = {name:?}\ninterface = {name:?}\ntier = {tier}\n{keys}\n")
    });
    format!("{}\n\n{}", lines.join("\n"), uplinks.collect::<String>())
}

/// The uplinks that the agent has, with the keys of each beside its interface and tier.
fn uplinks(scenario: &Scenario) -> impl Iterator<Item = (&'static str, String)> {
    let modem = scenario.modem.as_ref();
    let keys = modem.map_or_else(String::new, |modem| {
        let spans = [
            ("standby_linger", modem.linger),
            ("ready_within", modem.ready_within),
            ("exercise_every", modem.exercise_every),
        ];
        let set = spans.into_iter();
        let set = set.filter_map(|(key, span)| Some((key, span?)));
        let lines = set.map(|(key, span)| format!("{key} = \"{span}\"\n"));
        format!("standby = \"cold\"\n{}", lines.collect::<String>())
    });
    let cold = modem.map(|modem| modem.uplink.clone());
    UPLINKS.into_iter().filter_map(move |name| match &cold {
        Some(cold) if name == cold => Some((name, keys.clone())),
        Some(_) if name != UPLINKS[0] => None,
        Some(_) | None => Some((name, String::new())),
    })
}

fn pings(scenario: &Scenario) -> Vec<String> {
    let by_ipv6 = TARGETS6.iter().filter(|_| scenario.ipv6);
    let by_ipv4 = TARGETS.iter().map(ToString::to_string);
    by_ipv4.chain(by_ipv6.map(ToString::to_string)).collect()
}

/// Tells what the agent says until it hangs up.
fn listen(sink: &Sender<LabEvent>) {
    if let Some(mut agent) = connect() {
        let mut said = agent.watch();
        while let Ok(response) = said {
            let event = LabEvent::Agent(clock::now(), Box::new(response));
            if sink.send(event).is_err() {
                return;
            }
            said = agent.next_event();
        }
    }
    // Without a receiver it is not missed.
    drop(sink.send(LabEvent::Silence(clock::now())));
}

fn connect() -> Option<Client> {
    let limit = clock::now() + PATIENCE;
    while clock::now() < limit {
        if let Ok(agent) = Client::connect(Path::new(CONTROL)) {
            return Some(agent);
        }
        pause(TICK);
    }
    None
}

/// The loss that it has learnt of its uplinks, the most of all, in percent; none where it does not answer.
pub(super) fn learnt_loss() -> Option<f64> {
    let answer = connect()?.request(&Request::Status).ok()?;
    let Response::Status(status) = answer else {
        return None;
    };
    let learnt = status
        .uplinks
        .into_iter()
        .filter_map(|uplink| uplink.learnt);
    learnt.map(|learnt| learnt.loss_percent).reduce(f64::max)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
