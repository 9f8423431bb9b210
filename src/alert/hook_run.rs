//! One hook: it is run for each event, in order, ended when it takes too long, and run again where it asks for that.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::clock::now;
use super::record::cut;
use super::words;
use crate::engine::event::record::EventRecord;

/// Between the request to end and the end.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// What a program prints after it has ended, by its children, is waited for so long.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The longest pause before a program is run again for the same event.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The most of its output that goes to the log.
const MOST_OUTPUT: usize = 1_024;
/// What it writes beyond this is read at a pace that takes nothing from the loop.
const FLOOD: usize = 64 * 1_024;
/// Between two pieces of a flood.
const FLOOD_PAUSE: Duration = Duration::from_millis(1);
/// `EX_TEMPFAIL` (sysexits.h): not now, as mail and webhooks have it while the network is down.
const TRY_AGAIN: i32 = 75;
/// Where programs find others.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An event, when it was told, and to the programs of which directory.
#[derive(Debug)]
pub(super) struct News {
    pub(super) record: EventRecord,
    pub(super) told: Instant,
    pub(super) directory: Arc<Path>,
    /// Dropped with the event, when all programs are done with it.
    pub(super) _done: Option<oneshot::Sender<()>>,
}

/// How long hooks may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct HookLimits {
    /// One run.
    pub(super) run: Duration,
    /// Before the second run for one event; it doubles with each.
    pub(super) pause: Duration,
    /// So long after an event no further run for it begins.
    pub(super) give_up: Duration,
}

pub(super) const LIMITS: HookLimits = HookLimits {
    run: Duration::from_secs(30),
    pause: Duration::from_secs(5),
    give_up: Duration::from_secs(3_600),
};

/// A program, and how long it may take.
#[derive(Clone)]
pub(super) struct Hook {
    pub(super) program: PathBuf,
    pub(super) limits: HookLimits,
    /// Only the newest of its events counts.
    pub(super) is_errand: bool,
    /// Closed once hooks have to end.
    pub(super) agent: watch::Receiver<()>,
}

impl Hook {
    pub(super) async fn serve(mut self, mut inbox: broadcast::Receiver<Arc<News>>) {
        loop {
            match inbox.recv().await {
                Ok(news) => self.deliver(&news, &inbox).await,
                Err(RecvError::Lagged(lost)) => {
                    let hook = self.program.display();
                    tracing::warn!(%hook, lost, "the hook is too slow: it was not run for these events");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Runs it for an event, again and again while it asks for that.
    async fn deliver(&mut self, news: &News, inbox: &broadcast::Receiver<Arc<News>>) {
        let program = self.program.clone();
        let (hook, event) = (program.display(), news.record.event.name());
        let is_errand = self.is_errand;
        let is_overtaken = || is_errand && !inbox.is_empty();
        let mut pause = self.limits.pause;
        while self.agent.has_changed().is_ok() {
            let late = now().duration_since(news.told);
            let HookEnd { status, output } = match self.result(&news.record, late).await {
                Ok(end) => end,
                Err(error) => {
                    tracing::warn!(%hook, event, %error, "hook failed");
                    return;
                }
            };
            if status.success() {
                if !output.is_empty() {
                    tracing::info!(%hook, event, output, "hook");
                }
                return;
            }
            let asks_again = status.code() == Some(TRY_AGAIN);
            let is_too_late = now().duration_since(news.told) + pause > self.limits.give_up;
            if !asks_again || is_too_late || is_overtaken() {
                tracing::warn!(%hook, event, %status, output, "hook failed");
                return;
            }
            let again_in_s = pause.as_secs();
            tracing::info!(%hook, event, output, again_in_s, "the hook asks to be run again");
            let _ = timeout(pause, self.agent.changed()).await;
            if is_overtaken() {
                return;
            }
            if !is_errand {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Runs it once, for an event that is so late.
    async fn result(&mut self, record: &EventRecord, late: Duration) -> io::Result<HookEnd> {
        let mut child = command(&self.program, record, late).spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let mut output = Output::default();
        let talk = converse(&mut child, record, &mut output);
        let limit = self.limits.run;
        let why = tokio::select! {
            ended = timeout(limit, talk) => match ended {
                Ok(ended) => return ended.map(|status| HookEnd { status, output: output.text() }),
                Err(_) => format!("it took longer than {} s", limit.as_secs_f64()),
            },
            // It never changes: it closes.
            _ = self.agent.changed() => "so does the agent".to_owned(),
        };
        // It may have ended this very moment, and leave children that do not.
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let _ = group.map(|group| killpg(group, signal));
            let _ = timeout(KILL_GRACE, child.wait()).await;
        }
        let text = output.text();
        Err(io::Error::other(format!("ended: {why}, and said {text:?}")))
    }
}

/// How a program ended.
struct HookEnd {
    status: ExitStatus,
    output: String,
}

fn command(program: &Path, record: &EventRecord, late: Duration) -> Command {
    let text = |value: Option<String>| clean(&value.unwrap_or_default());
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("UPLINKD_EVENT", record.event.name())
        .env(
            "UPLINKD_GROUP",
            text(record.group.as_ref().map(ToString::to_string)),
        )
        .env("UPLINKD_FAMILY", record.family_key().unwrap_or_default())
        .env(
            "UPLINKD_UPLINK",
            text(record.uplink.as_ref().map(ToString::to_string)),
        )
        .env(
            "UPLINKD_INTERFACE",
            text(record.interface.as_ref().map(ToString::to_string)),
        )
        .env(
            "UPLINKD_NETWORK",
            text(record.network.as_ref().map(ToString::to_string)),
        )
        .env(
            "UPLINKD_FROM",
            text(record.from.as_ref().map(ToString::to_string)),
        )
        .env(
            "UPLINKD_TO",
            text(record.to.as_ref().map(ToString::to_string)),
        )
        .env("UPLINKD_REASON", clean(&record.reason))
        .env("UPLINKD_LATE", late.as_secs().to_string())
        .env("UPLINKD_PREFIXES", words(&record.prefixes))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    end_with_agent(&mut command);
    command
}

/// A hook that hangs does not outlive an agent that is killed. What it started does, unless a supervisor ends the group.
#[expect(unsafe_code, reason = "Command::pre_exec has no safe form")]
fn end_with_agent(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes one system call.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
}

/// A reason may quote what a stranger's web server said.
fn clean(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(printable).collect()
}

/// Hands over what happened, takes what the program says, and waits for its end.
async fn converse(
    child: &mut Child,
    record: &EventRecord,
    output: &mut Output,
) -> io::Result<ExitStatus> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    let stdin = child.stdin.take();
    let tell = async move {
        if let Some(mut stdin) = stdin {
            // A program need not read it.
            let _ = stdin.write_all(&line).await;
        }
    };
    let streams = (child.stdout.take(), child.stderr.take());
    let Output { out, err } = output;
    let hear = async { tokio::join!(drain(streams.0, out), drain(streams.1, err)) };
    tokio::pin!(hear);
    let end = async {
        let ((), status) = tokio::join!(tell, child.wait());
        status
    };
    tokio::pin!(end);
    tokio::select! {
        status = &mut end => {
            // A child of its own may hold the pipe for good.
            let _ = timeout(LAST_WORDS, hear).await;
            status
        }
        _ = &mut hear => end.await,
    }
}

/// What a program said, as far as it is kept.
#[derive(Default)]
struct Output {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Output {
    fn text(&self) -> String {
        let both = [self.out.as_slice(), &self.err].concat();
        let mut text = String::from_utf8_lossy(&both).trim().to_owned();
        cut(&mut text, MOST_OUTPUT);
        text
    }
}

/// Reads to the end, and keeps the beginning.
async fn drain(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else {
        return;
    };
    let mut piece = [0; 4_096];
    let mut heard = 0_usize;
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        heard = heard.saturating_add(length);
        let room = MOST_OUTPUT.saturating_sub(kept.len());
        kept.extend(&piece[..length.min(room)]);
        if heard > FLOOD {
            sleep(FLOOD_PAUSE).await;
        }
    }
}
