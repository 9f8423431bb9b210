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
use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::family::Family;
use crate::lab::happening::Happening;
use crate::lab::internet::{TARGETS, TARGETS6};
use crate::lab::modem::HOOKS;
use crate::lab::namespace::Namespace;
use crate::lab::network::UPLINKS;
use crate::lab::scenario::Modem;

/// Between two looks at something that has no event.
const TICK: Duration = Duration::from_millis(2);
/// How long the agent may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the agent's files are: its configuration, control socket and log. Gone with the
/// namespaces, as `/run` in there is ours.
const FILES: &str = "/run/uplinkd";
const CONFIG: &str = "/run/uplinkd/uplinkd.toml";
const LOG: &str = "/run/uplinkd/log";
/// Its control socket: where the CLI looks by itself.
pub(super) const CONTROL: &str = "/run/uplinkd/control.sock";
/// What it remembers from one start to the next.
const STATE: &str = "/run/uplinkd/state";

/// Makes the next agent begin as the first one did.
pub(super) fn forget() {
    // Where nothing was kept there is nothing to forget.
    std::fs::remove_dir_all(STATE).unwrap_or(());
}

/// What a scenario wants of the agent other than the defaults.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    /// `failover.failback_after`
    pub(super) failback_after: Option<Duration>,
    /// `probe.standby_interval`
    pub(super) standby_interval: Option<Duration>,
    /// `probe.targets`; pings of the hosts of the internet unless said.
    pub(super) targets: Option<Vec<String>>,
    /// `routing.mode`
    pub(super) mode: Option<String>,
    /// The client streams by IPv6 as well, and the hosts of the internet are pinged by both families.
    pub(super) ipv6: bool,
    /// `routing.flows`
    pub(super) flows: Option<String>,
    /// `routing.flows_on_failback`
    pub(super) flows_on_failback: Option<String>,
    /// `routing.on_stop`
    pub(super) on_stop: Option<String>,
    /// All uplinks share the traffic: `failover.policy`, and one tier.
    pub(super) balance: bool,
    /// The client has long flows besides its stream.
    pub(super) long_flows: bool,
    /// A cold uplink; the agent knows only this one and the first.
    pub(super) modem: Option<Box<Modem>>,
}

impl Wishes {
    /// The families of the client's traffic.
    pub(super) fn families(&self) -> &[Family] {
        if self.ipv6 {
            &[Family::Ipv4, Family::Ipv6]
        } else {
            &[Family::Ipv4]
        }
    }

    /// Those that the agent knows, with the keys of each beside its interface and tier.
    fn uplinks(&self) -> impl Iterator<Item = (&'static str, String)> {
        let modem = self.modem.as_ref();
        let keys = modem.map_or_else(String::new, |modem| {
            let spans = [
                ("standby_linger", modem.linger),
                ("ready_within", modem.ready_within),
                ("exercise_every", modem.exercise_every),
            ];
            let said = spans
                .into_iter()
                .filter_map(|(key, span)| Some((key, span?)));
            let lines = said.map(|(key, span)| format!("{key} = \"{span}\"\n"));
            format!("standby = \"cold\"\n{}", lines.collect::<String>())
        });
        let cold = modem.map(|modem| modem.uplink.clone());
        UPLINKS.into_iter().filter_map(move |name| match &cold {
            Some(cold) if name == cold => Some((name, keys.clone())),
            Some(_) if name != UPLINKS[0] => None,
            Some(_) | None => Some((name, String::new())),
        })
    }

    fn pings(&self) -> Vec<String> {
        let by_ipv6 = TARGETS6.iter().filter(|_| self.ipv6);
        let by_ipv4 = TARGETS.iter().map(ToString::to_string);
        by_ipv4.chain(by_ipv6.map(ToString::to_string)).collect()
    }
}

/// A running agent. It is killed when the thread that started it ends.
#[derive(Debug)]
pub(super) struct Agent {
    child: Child,
}

/// What the agent has cost since it was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Time on a processor, of all its threads.
    pub(super) cpu: Duration,
    /// Resident memory.
    pub(super) memory_kib: u64,
}

impl Agent {
    /// Starts `uplinkd run` in the router; `program` is what runs. What it says goes to `sink`.
    pub(super) fn start(
        program: &Path,
        router: &Namespace,
        wishes: &Wishes,
        sink: Sender<Happening>,
    ) -> Result<Self, LabError> {
        let agent = Self::start_unheard(program, router, wishes)?;
        thread::Builder::new()
            .name("agent-ear".to_owned())
            .spawn(move || listen(&sink))
            .doing(|| "listen to the agent".to_owned())?;
        Ok(agent)
    }

    /// The same for an agent to which nobody listens.
    pub(super) fn start_unheard(
        program: &Path,
        router: &Namespace,
        wishes: &Wishes,
    ) -> Result<Self, LabError> {
        let prepare = || {
            fs::create_dir_all(FILES)?;
            fs::write(CONFIG, configuration(wishes))?;
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
    pub(super) fn cost(&self) -> Result<Cost, LabError> {
        let read = || {
            let cpu = clock_gettime(clock_getcpuclockid(self.pid())?)?;
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
            Ok::<_, io::Error>(Cost {
                cpu: cpu.into(),
                memory_kib: resident(&status).ok_or(io::ErrorKind::InvalidData)?,
            })
        };
        read().doing(|| "read what the agent has cost".to_owned())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The end of the agent's log.
pub(super) fn last_words() -> String {
    const LINES: usize = 12;
    let log = fs::read_to_string(LOG).unwrap_or_else(|error| format!("no log: {error}"));
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// The path of this very program, even if its file is gone.
pub fn this_program() -> PathBuf {
    "/proc/self/exe".into()
}

fn configuration(wishes: &Wishes) -> String {
    let targets = wishes.targets.clone().unwrap_or_else(|| wishes.pings());
    let show = |span| humantime::format_duration(span).to_string();
    let after = wishes
        .failback_after
        .map(|span| format!("failback_after = {:?}\n", show(span)));
    let policy = wishes.balance.then(|| "policy = \"balance\"\n".to_owned());
    let failover = format!(
        "[failover]\n{}\n",
        after.into_iter().chain(policy).collect::<String>()
    );
    let keys = [
        ("mode", &wishes.mode),
        ("flows", &wishes.flows),
        ("flows_on_failback", &wishes.flows_on_failback),
        ("on_stop", &wishes.on_stop),
    ];
    let routing = keys
        .into_iter()
        .filter_map(|(key, wish)| wish.as_ref().map(|value| format!("{key} = {value:?}\n")));
    let routing = format!("[routing]\n{}\n", routing.collect::<String>());
    let standby = wishes.standby_interval.map(|span| {
        let span = show(span);
        format!("standby_interval = {span:?}\n")
    });
    let uplinks = wishes.uplinks().zip(1..).map(|((name, keys), place)| {
        let tier = if wishes.balance { 1 } else { place };
        format!("[[uplink]]\nname = {name:?}\ninterface = {name:?}\ntier = {tier}\n{keys}\n")
    });
    format!(
        "[agent]\ncontrol = {CONTROL:?}\nstate_dir = {STATE:?}\nlog = \"stderr\"\nhooks = {HOOKS:?}\n\n\
         [probe]\ntargets = {targets:?}\n{standby}\n{failover}{routing}{uplinks}",
        standby = standby.unwrap_or_default(),
        uplinks = uplinks.collect::<String>(),
    )
}

/// Tells what the agent says until it hangs up.
fn listen(sink: &Sender<Happening>) {
    if let Some(mut agent) = connect() {
        let mut said = agent.watch();
        while let Ok(response) = said {
            let happening = Happening::Agent(clock::now(), Box::new(response));
            if sink.send(happening).is_err() {
                return;
            }
            said = agent.next_event();
        }
    }
    // Nobody may listen any more: then nobody misses it.
    drop(sink.send(Happening::Silence(clock::now())));
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

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "files, exits and modems have no event here"
)]
pub(super) fn pause(span: Duration) {
    thread::sleep(span);
}
