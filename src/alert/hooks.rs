//! Programs that are run when something happens.
//!
//! ```text
//!           ┌─ broadcast, 64 ─> news (1) ─────┐  which programs are there,  ┌─ broadcast, 64 ─> worker
//!  daemon ──┤                                 ├─ on a thread that may block ┤  (1 for each program)
//!           └─ broadcast, 64 ─> errands (1) ──┘                             └─ broadcast, 64 ─> ...
//! ```
//! Every program of the directory is run for each event, with a clean environment, what happened in
//! `UPLINKD_*` and as JSON on its standard input. What it prints goes to the log. One program takes the
//! events in their order, each with a limit; programs do not wait for each other, and nothing waits for
//! them. Where a program is so slow that events pile up, the oldest of those that wait are passed over,
//! and that is said. One that ends with [`TRY_AGAIN`] is run again. Whether a standby is to be up is
//! waited for by the traffic: such errands do not wait behind the news.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::{JoinHandle, spawn, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::clock::now;
use super::hook_files::HookFiles;
use super::record::cut;
use super::words;
use crate::engine::event::Lane;
use crate::engine::event::record::EventRecord;
use crate::units::sorted::{SortedMap, SortedSet};

/// How many events may wait.
const QUEUE: usize = 64;
/// Between the request to end and the end.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// What a program prints after it has ended, by its children, is waited for so long.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// So long the end of the agent waits for programs.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// The longest pause before a program is run again for the same event.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The most of its output that goes to the log.
const MOST_OUTPUT: usize = 1_024;
/// The most that is read of it.
const FLOOD: usize = 64 * 1_024;
/// `EX_TEMPFAIL` (sysexits.h): not now, as mail and webhooks have it while the network is down.
const TRY_AGAIN: i32 = 75;
/// Where programs find others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The line to the programs.
#[derive(Debug)]
pub struct Hooks {
    news: broadcast::Sender<Arc<News>>,
    errands: broadcast::Sender<Arc<News>>,
    lanes: [JoinHandle<()>; 2],
}

/// An event, and when it was told.
#[derive(Debug)]
struct News {
    record: EventRecord,
    told: Instant,
}

impl News {
    fn new(record: &EventRecord) -> Self {
        Self {
            record: record.clone(),
            told: now(),
        }
    }
}

/// How long hooks may take.
#[derive(Clone, Copy, Debug)]
struct HookLimits {
    /// One run.
    run: Duration,
    /// Before the second run for one event; it doubles with each.
    pause: Duration,
    /// So long after an event no further run for it begins.
    give_up: Duration,
}

const LIMITS: HookLimits = HookLimits {
    run: Duration::from_secs(30),
    pause: Duration::from_secs(5),
    give_up: Duration::from_secs(3_600),
};

impl Hooks {
    /// Runs the programs of a directory from now on, on the current runtime; one that is not there is
    /// as good as empty, and may come later.
    pub fn start(directory: &Path) -> Self {
        Self::with(directory, LIMITS)
    }

    fn with(directory: &Path, limits: HookLimits) -> Self {
        let lane = |are_errands| {
            let (events, inbox) = broadcast::channel(QUEUE);
            let lane = HookLane {
                directory: directory.to_owned(),
                limits,
                are_errands,
                workers: SortedMap::new(),
                said: SortedMap::new(),
            };
            (events, spawn(lane.serve(inbox)))
        };
        let (news, of_news) = lane(false);
        let (errands, of_errands) = lane(true);
        Self {
            news,
            errands,
            lanes: [of_news, of_errands],
        }
    }

    /// Runs them for this event, each when it is done with those before.
    pub fn tell(&self, record: &EventRecord) {
        let lane = match record.event.delivery().lane {
            Lane::Standby(_) => &self.errands,
            Lane::News => &self.news,
        };
        // The receiver is gone only when the runtime ends.
        let _ = lane.send(Arc::new(News::new(record)));
    }

    /// Waits for the programs to take what they were told, for two seconds at most. What still runs then
    /// goes on by itself.
    pub async fn finish(self) {
        let Self {
            news,
            errands,
            lanes,
        } = self;
        drop((news, errands));
        let all = async {
            for lane in lanes {
                // It fails only if it panicked.
                let _ = lane.await;
            }
        };
        if timeout(STOP_GRACE, all).await.is_err() {
            tracing::warn!(
                "hooks are not done at the end of the agent: events that wait are lost to them"
            );
        }
    }
}

/// The news, or the errands, on the way to each program.
struct HookLane {
    directory: PathBuf,
    limits: HookLimits,
    are_errands: bool,
    workers: SortedMap<PathBuf, Worker>,
    /// Which files are no hooks, said once.
    said: SortedMap<PathBuf, String>,
}

/// The task that runs one program.
struct Worker {
    inbox: broadcast::Sender<Arc<News>>,
    task: JoinHandle<()>,
}

impl HookLane {
    async fn serve(mut self, mut inbox: broadcast::Receiver<Arc<News>>) {
        loop {
            match inbox.recv().await {
                Ok(news) => self.pass_on(&news).await,
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "hooks are too slow: no hook was run for these events");
                }
                Err(RecvError::Closed) => break,
            }
        }
        for worker in std::mem::take(&mut self.workers).into_values() {
            drop(worker.inbox);
            // It fails only if it panicked.
            let _ = worker.task.await;
        }
    }

    async fn pass_on(&mut self, news: &Arc<News>) {
        let programs = self.programs().await;
        self.workers.retain(|program, _| programs.contains(program));
        for program in programs {
            let worker = self.workers.entry(program.clone()).or_insert_with(|| {
                let (sender, inbox) = broadcast::channel(QUEUE);
                let hook = Hook {
                    program,
                    limits: self.limits,
                    is_errand: self.are_errands,
                };
                Worker {
                    inbox: sender,
                    task: spawn(hook.serve(inbox)),
                }
            });
            // The receiver is gone only when the runtime ends.
            let _ = worker.inbox.send(news.clone());
        }
    }

    /// The programs that are there now. Which files are none is said once, with the news.
    async fn programs(&mut self) -> SortedSet<PathBuf> {
        let directory = self.directory.clone();
        let files = spawn_blocking(move || HookFiles::of(&directory)).await;
        let HookFiles { programs, others } = files.unwrap_or_default();
        let is_known = |(path, why): &(&PathBuf, &String)| self.said.get(*path) == Some(*why);
        let new = others.iter().filter(|other| !is_known(other));
        for (path, why) in new.filter(|_| !self.are_errands) {
            tracing::warn!(hook = %path.display(), why, "not run as a hook");
        }
        self.said = others;
        programs
    }
}

/// A program, and how long it may take.
struct Hook {
    program: PathBuf,
    limits: HookLimits,
    /// Only the newest of its events counts.
    is_errand: bool,
}

impl Hook {
    async fn serve(self, mut inbox: broadcast::Receiver<Arc<News>>) {
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
    async fn deliver(&self, news: &News, inbox: &broadcast::Receiver<Arc<News>>) {
        let (hook, event) = (self.program.display(), news.record.event.name());
        let is_overtaken = || self.is_errand && !inbox.is_empty();
        let mut pause = self.limits.pause;
        loop {
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
            sleep(pause).await;
            if is_overtaken() {
                return;
            }
            if !self.is_errand {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Runs it once, for an event that is so late.
    async fn result(&self, record: &EventRecord, late: Duration) -> io::Result<HookEnd> {
        let mut child = command(&self.program, record, late).spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let mut output = Output::default();
        let talk = converse(&mut child, record, &mut output);
        let ended = timeout(self.limits.run, talk).await;
        if let Ok(ended) = ended {
            return ended.map(|status| HookEnd {
                status,
                output: output.text(),
            });
        }
        // It may have ended this very moment, and leave children that do not.
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let _ = group.map(|group| killpg(group, signal));
            let _ = timeout(KILL_GRACE, child.wait()).await;
        }
        let limit = self.limits.run.as_secs_f64();
        let text = output.text();
        Err(io::Error::other(format!(
            "ended: it took longer than {limit} s, and said {text:?}"
        )))
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
    command
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

/// Reads to the end, and keeps the beginning. A hook that writes more is cut off, and learns
/// it as the reader of any pipe would tell (SIGPIPE).
async fn drain(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else {
        return;
    };
    let mut piece = [0; 512];
    let mut heard = 0;
    while heard < FLOOD
        && let Ok(length @ 1..) = stream.read(&mut piece).await
    {
        heard += length;
        let room = MOST_OUTPUT.saturating_sub(kept.len());
        kept.extend(&piece[..length.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::engine::event::{EventKind, Side};
    use crate::engine::state::State;
    use crate::units::Timestamp;

    fn record() -> EventRecord {
        EventRecord {
            group: None,
            family: serde_json::from_str("\"ipv6\"").expect("a family"),
            at: Timestamp(std::time::UNIX_EPOCH + Duration::from_secs(1_763_700_000)),
            event: EventKind::UplinkDown,
            uplink: Some("fiber".parse().expect("a name")),
            interface: Some("eth1".parse().expect("a name")),
            network: Some("wan".parse().expect("a name")),
            from: Some(Side::State(State::Up)),
            to: Some(Side::State(State::Down)),
            reason: "a page says \"log\0in\"".to_owned(),
            prefixes: SortedSet::new(),
            cause: None,
            took_us: None,
            recovery_ms: None,
            flows_moved: None,
            drill: None,
            broken_at: None,
        }
    }

    /// A directory of programs, and the file into which they write.
    struct Shelf {
        directory: tempfile::TempDir,
    }

    impl Shelf {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            fs::create_dir(directory.path().join("hooks.d")).expect("a directory");
            fs::set_permissions(
                directory.path().join("hooks.d"),
                Permissions::from_mode(0o755),
            )
            .expect("it is ours");
            Self { directory }
        }

        fn hooks(&self) -> PathBuf {
            self.directory.path().join("hooks.d")
        }

        fn written(&self) -> String {
            fs::read_to_string(self.directory.path().join("written")).unwrap_or_default()
        }

        /// `script` finds the file in `$out`.
        fn add(&self, name: &str, mode: u32, script: &str) {
            let out = self.directory.path().join("written");
            let path = self.hooks().join(name);
            let text = format!("#!/bin/sh\nout={}\n{script}\n", out.display());
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
        }

        /// Tells the hooks of events, and waits until all are done.
        fn tell(&self, limits: HookLimits, events: &[EventKind]) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let Hooks {
                    news,
                    errands,
                    lanes,
                } = {
                    let hooks = Hooks::with(&self.hooks(), limits);
                    for event in events {
                        let event = *event;
                        hooks.tell(&EventRecord { event, ..record() });
                    }
                    hooks
                };
                drop((news, errands));
                for lane in lanes {
                    lane.await.expect("it does not panic");
                }
            });
        }

        fn run(&self) {
            self.tell(LIMITS, &[EventKind::UplinkDown]);
        }
    }

    #[test]
    fn a_hook_is_told_what_happened_by_its_environment_and_its_input() {
        let shelf = Shelf::new();
        shelf.add(
            "10-all",
            0o755,
            "env | grep -v '^_=' | sort > $out; cat >> $out",
        );
        shelf.run();
        let written = shelf.written();
        let (environment, input) = written.split_at(written.find('{').expect("JSON"));
        let names: Vec<_> = environment
            .lines()
            .filter_map(|l| l.split('=').next())
            .collect();
        let given = "PATH PWD UPLINKD_EVENT UPLINKD_FAMILY UPLINKD_FROM UPLINKD_GROUP UPLINKD_INTERFACE UPLINKD_LATE UPLINKD_NETWORK UPLINKD_PREFIXES \
                    UPLINKD_REASON UPLINKD_TO UPLINKD_UPLINK";
        assert_eq!(names.join(" "), given);
        assert!(environment.contains("UPLINKD_TO=down\n"), "{environment}");
        assert!(
            environment.contains("UPLINKD_FAMILY=ipv6\n"),
            "{environment}"
        );
        assert!(
            environment.contains("UPLINKD_REASON=a page says \"log in\""),
            "{environment}"
        );
        let parsed: EventRecord = serde_json::from_str(input).expect("one JSON object");
        assert_eq!(parsed, record());
    }

    #[test]
    fn one_hook_gets_the_events_in_their_order_and_none_waits_for_another() {
        let shelf = Shelf::new();
        // Each of the two waits for the other.
        let meet = |own: &str, other: &str| {
            format!(
                "touch $out.{own}; until [ -e $out.{other} ]; do sleep 0.02; done; echo met >> $out"
            )
        };
        shelf.add("10-first", 0o755, &meet("first", "second"));
        shelf.add("20-second", 0o755, &meet("second", "first"));
        shelf.add("30-fails", 0o755, "exit 3");
        shelf.add("40-last", 0o755, "echo $UPLINKD_EVENT >> $out.last");
        let events = [
            EventKind::UplinkDown,
            EventKind::Switch,
            EventKind::UplinkUp,
            EventKind::Switch,
        ];
        shelf.tell(LIMITS, &events);
        assert_eq!(shelf.written(), "met\n".repeat(8));
        let last = fs::read_to_string(shelf.directory.path().join("written.last"));
        assert_eq!(
            last.expect("written"),
            "uplink.down\nswitch\nuplink.up\nswitch\n"
        );
    }

    #[test]
    fn a_hook_that_cannot_do_it_now_is_run_again_and_told_how_late_it_is() {
        let shelf = Shelf::new();
        let second_time = "[ -e $out.tried ] || { touch $out.tried; exit 75; }; \
                           echo $UPLINKD_EVENT $((UPLINKD_LATE >= 1)) >> $out";
        shelf.add("10-mail", 0o755, second_time);
        let limits = HookLimits {
            pause: Duration::from_secs(1),
            ..LIMITS
        };
        shelf.tell(limits, &[EventKind::UplinkDown, EventKind::UplinkUp]);
        let written = shelf.written();
        let mut lines = written.lines();
        assert_eq!(lines.next(), Some("uplink.down 1"));
        assert!(
            lines
                .next()
                .is_some_and(|line| line.starts_with("uplink.up")),
            "{written}"
        );
    }

    #[test]
    fn a_hook_that_never_can_is_given_up_and_gets_the_next_event() {
        let shelf = Shelf::new();
        let never = "echo $UPLINKD_EVENT >> $out; [ $UPLINKD_EVENT = switch ] || exit 75";
        shelf.add("10-mail", 0o755, never);
        let limits = HookLimits {
            pause: Duration::from_millis(1),
            give_up: Duration::from_millis(300),
            ..LIMITS
        };
        shelf.tell(limits, &[EventKind::UplinkDown, EventKind::Switch]);
        let written = shelf.written();
        assert!(written.ends_with("uplink.down\nswitch\n"), "{written}");
    }

    #[test]
    fn an_errand_that_a_later_one_overtakes_is_not_run_again() {
        let shelf = Shelf::new();
        let never = "echo $UPLINKD_EVENT >> $out; [ $UPLINKD_EVENT = standby.down ] || exit 75";
        shelf.add("10-standby", 0o755, never);
        let limits = HookLimits {
            pause: Duration::from_millis(10),
            ..LIMITS
        };
        shelf.tell(limits, &[EventKind::StandbyUp, EventKind::StandbyDown]);
        let written = shelf.written();
        assert!(written.ends_with("standby.up\nstandby.down\n"), "{written}");
    }

    #[test]
    fn what_others_may_change_or_what_is_no_program_is_not_run_and_named() {
        let shelf = Shelf::new();
        shelf.add("10-open", 0o777, "echo open >> $out");
        shelf.add("20-plain", 0o644, "echo plain >> $out");
        shelf.add("30-old.bak", 0o755, "echo old >> $out");
        shelf.add(".hidden", 0o755, "echo hidden >> $out");
        fs::create_dir(shelf.hooks().join("40-more")).expect("a directory");
        shelf.run();
        assert_eq!(shelf.written(), "");
        let files = HookFiles::of(&shelf.hooks());
        assert_eq!(files.programs, SortedSet::new());
        let others = files.others.iter().map(|(path, why)| {
            let name = path.file_name().and_then(OsStr::to_str);
            (name.unwrap_or_default(), why.as_str())
        });
        assert_eq!(
            others.collect::<Vec<_>>(),
            [
                ("10-open", "group or others may write to it (chmod go-w)"),
                ("20-plain", "is not executable (chmod +x)"),
                (
                    "30-old.bak",
                    "its name has other characters than letters, digits, - and _"
                ),
                ("40-more", "is no file"),
            ]
        );
    }

    #[test]
    fn a_directory_that_others_may_change_is_no_place_for_hooks() {
        let shelf = Shelf::new();
        shelf.add("10-fine", 0o755, "echo fine >> $out");
        fs::set_permissions(shelf.hooks(), Permissions::from_mode(0o777)).expect("it is ours");
        let files = HookFiles::of(&shelf.hooks());
        assert_eq!((files.programs.len(), files.others.len()), (0, 1));
        shelf.run();
        assert_eq!(shelf.written(), "");
    }

    #[test]
    fn a_hook_has_as_long_as_the_documents_say() {
        let documents = include_str!("../../docs/operations.md").replace('\n', " ");
        let stated = [
            format!("takes longer than {} s is ended", LIMITS.run.as_secs()),
            format!("after {} s", LIMITS.pause.as_secs()),
            format!("{} minutes", LONGEST_PAUSE.as_secs() / 60),
            format!("waits {} s", STOP_GRACE.as_secs()),
        ];
        for stated in stated {
            assert!(documents.contains(&stated), "{stated}");
        }
        assert_eq!(LIMITS.give_up, Duration::from_secs(3_600), "an hour");
    }

    #[test]
    fn a_hook_that_hangs_is_ended_with_its_children_and_delays_no_other() {
        let shelf = Shelf::new();
        shelf.add(
            "10-hangs",
            0o755,
            "trap '' TERM; sleep 1000 & sleep 1001; wait",
        );
        shelf.add("20-next", 0o755, "echo next >> $out");
        let limits = HookLimits {
            run: Duration::from_millis(200),
            ..LIMITS
        };
        shelf.tell(limits, &[EventKind::UplinkDown]);
        assert_eq!(shelf.written(), "next\n");
    }

    #[test]
    fn a_hook_that_floods_its_output_or_leaves_a_child_behind_delays_no_other() {
        let shelf = Shelf::new();
        shelf.add("10-floods", 0o755, "yes");
        shelf.add("20-forks", 0o755, "sleep 20 & echo started");
        shelf.add("30-next", 0o755, "echo next >> $out");
        shelf.run();
        assert_eq!(shelf.written(), "next\n");
    }

    #[test]
    fn an_errand_for_a_standby_does_not_wait_behind_the_news() {
        let shelf = Shelf::new();
        shelf.add(
            "10-tells",
            0o755,
            "[ $UPLINKD_EVENT = uplink.down ] && sleep 20; echo $UPLINKD_EVENT >> $out",
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let hooks = Hooks::start(&shelf.hooks());
            hooks.tell(&record());
            for event in [EventKind::StandbyUp, EventKind::StandbyDown] {
                hooks.tell(&EventRecord { event, ..record() });
            }
            let is_done = || shelf.written().lines().count() == 2;
            let wait = async {
                while !is_done() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(Duration::from_secs(15), wait)
                .await
                .expect("they do not wait");
        });
        assert_eq!(shelf.written(), "standby.up\nstandby.down\n");
    }
}
