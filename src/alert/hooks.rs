//! Programs that are run when something happens.
//!
//! ```text
//!           ┌── broadcast<EventRecord>, 64 ──> news (1) ───┐
//!  daemon ──┤                                              ├── one program after the other, each
//!           └── broadcast<EventRecord>, 64 ──> errands (1) ┘   with a limit
//! ```
//! Every program of the directory is run for each event, in the order of the names, one at a time,
//! with a clean environment, what happened in `UPLINKD_*` and as JSON on its standard input. What it
//! prints goes to the log. Nothing waits for it: where programs are so slow that events pile up, the
//! oldest of those that wait are passed over, and that is said. Whether a standby is to be up is waited
//! for by the traffic: such errands do not wait behind the news.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::spawn;
use tokio::time::timeout;

use super::record::cut;
use super::words;
use crate::engine::event::Lane;
use crate::engine::event::record::EventRecord;

/// How many events may wait.
const QUEUE: usize = 64;
/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Between the request to end and the end.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// What a program prints after it has ended, by its children, is waited for so long.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The most of its output that goes to the log.
const MOST_OUTPUT: usize = 1_024;
/// The most that is read of it.
const FLOOD: usize = 64 * 1_024;
/// Where programs find others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The line to the programs.
#[derive(Debug)]
pub struct Hooks {
    news: broadcast::Sender<EventRecord>,
    errands: broadcast::Sender<EventRecord>,
}

impl Hooks {
    /// Runs the programs of a directory from now on, on the current runtime; one that is not there is
    /// as good as empty, and may come later.
    pub fn start(directory: &Path) -> Self {
        let lane = || {
            let (events, inbox) = broadcast::channel(QUEUE);
            spawn(serve(Runner::new(directory.to_owned()), inbox));
            events
        };
        Self {
            news: lane(),
            errands: lane(),
        }
    }

    /// Runs them for this event, when they have done with those before.
    pub fn tell(&self, record: &EventRecord) {
        let lane = match record.event.delivery().lane {
            Lane::Standby(_) => &self.errands,
            Lane::News => &self.news,
        };
        // The receiver is gone only when the runtime ends.
        let _ = lane.send(record.clone());
    }
}

async fn serve(mut runner: Runner, mut inbox: broadcast::Receiver<EventRecord>) {
    loop {
        match inbox.recv().await {
            Ok(record) => {
                for program in runner.programs() {
                    runner.run(&program, &record).await;
                }
            }
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "hooks are too slow: no hook was run for these events");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Runs programs, and remembers what was said of them.
struct Runner {
    directory: PathBuf,
    limit: Duration,
    refused: BTreeSet<String>,
}

impl Runner {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            limit: LIMIT,
            refused: BTreeSet::new(),
        }
    }

    /// The programs in the order of their names. What others than root and this user may change is
    /// refused, and that is said once.
    fn programs(&mut self) -> Vec<PathBuf> {
        let found = list(&self.directory);
        let (programs, why) = match found {
            Ok(found) => found,
            Err(error) => (
                Vec::new(),
                vec![format!("{}: {error}", self.directory.display())],
            ),
        };
        let said = std::mem::take(&mut self.refused);
        for line in why {
            if !said.contains(&line) {
                tracing::warn!(why = line, "hook refused");
            }
            self.refused.insert(line);
        }
        programs
    }

    async fn run(&self, program: &Path, record: &EventRecord) {
        let hook = program.display();
        let event = record.event.name();
        match self.result(program, record).await {
            Ok(HookEnd { status, output }) if status.success() => {
                if !output.is_empty() {
                    tracing::info!(%hook, event, output, "hook");
                }
            }
            Ok(HookEnd { status, output }) => {
                tracing::warn!(%hook, event, %status, output, "hook failed");
            }
            Err(error) => tracing::warn!(%hook, event, %error, "hook failed"),
        }
    }

    async fn result(&self, program: &Path, record: &EventRecord) -> io::Result<HookEnd> {
        let mut child = command(program, record).spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let mut output = Output::default();
        let talk = converse(&mut child, record, &mut output);
        let ended = timeout(self.limit, talk).await;
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
        let limit = self.limit.as_secs_f64();
        let text = output.text();
        Err(io::Error::other(format!(
            "ended: it took longer than {limit} s, and said {text:?}"
        )))
    }
}

/// How a program ended.
struct HookEnd {
    status: std::process::ExitStatus,
    output: String,
}

/// The programs of a directory, and why others in it are none.
fn list(directory: &Path) -> io::Result<(Vec<PathBuf>, Vec<String>)> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((vec![], vec![])),
        entries => entries?,
    };
    if let Some(why) = distrust(&fs::metadata(directory)?) {
        return Err(io::Error::other(why));
    }
    let mut names: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    names.sort_unstable();
    let mut programs = Vec::new();
    let mut refused = Vec::new();
    for name in names.into_iter().filter(|name| is_proper(name)) {
        let path = directory.join(name);
        match fs::metadata(&path) {
            Err(error) => refused.push(format!("{}: {error}", path.display())),
            Ok(metadata) => match distrust(&metadata) {
                Some(why) => refused.push(format!("{}: {why}", path.display())),
                None if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
                    programs.push(path);
                }
                None => {}
            },
        }
    }
    Ok((programs, refused))
}

/// As run-parts(8) has it: letters, digits, `-` and `_`, so that what an editor or a package manager
/// leaves behind is not run.
fn is_proper(name: &OsStr) -> bool {
    let is_proper = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.as_encoded_bytes().iter().all(is_proper)
}

fn distrust(metadata: &fs::Metadata) -> Option<&'static str> {
    let owner = metadata.uid();
    let is_trusted = owner == 0 || owner == nix::unistd::geteuid().as_raw();
    if !is_trusted {
        return Some("belongs neither to root nor to this user");
    }
    let is_open = metadata.permissions().mode() & 0o022 != 0;
    is_open.then_some("group or others may write to it (chmod go-w)")
}

fn command(program: &Path, record: &EventRecord) -> Command {
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
) -> io::Result<std::process::ExitStatus> {
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
    use std::fs::Permissions;

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
            prefixes: BTreeSet::new(),
            took_us: None,
            flows_moved: None,
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

        fn run(&self, limit: Duration) -> Runner {
            let mut runner = Runner {
                limit,
                ..Runner::new(self.hooks())
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                for program in runner.programs() {
                    runner.run(&program, &record()).await;
                }
            });
            runner
        }
    }

    const PLENTY: Duration = Duration::from_secs(30);

    #[test]
    fn a_hook_is_told_what_happened_by_its_environment_and_its_input() {
        let shelf = Shelf::new();
        shelf.add(
            "10-all",
            0o755,
            "env | grep -v '^_=' | sort > $out; cat >> $out",
        );
        shelf.run(PLENTY);
        let written = shelf.written();
        let (environment, input) = written.split_at(written.find('{').expect("JSON"));
        let names: Vec<_> = environment
            .lines()
            .filter_map(|l| l.split('=').next())
            .collect();
        let given = "PATH PWD UPLINKD_EVENT UPLINKD_FAMILY UPLINKD_FROM UPLINKD_GROUP UPLINKD_INTERFACE UPLINKD_NETWORK UPLINKD_PREFIXES \
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
    fn hooks_run_one_after_the_other_in_the_order_of_their_names() {
        let shelf = Shelf::new();
        shelf.add("20-second", 0o755, "echo second >> $out");
        shelf.add("10-first", 0o755, "echo first >> $out");
        shelf.add("30-fails", 0o755, "exit 3");
        shelf.add("40-last", 0o755, "echo last >> $out");
        shelf.run(PLENTY);
        assert_eq!(shelf.written(), "first\nsecond\nlast\n");
    }

    #[test]
    fn what_others_may_change_or_what_is_no_program_is_not_run() {
        let shelf = Shelf::new();
        shelf.add("10-open", 0o777, "echo open >> $out");
        shelf.add("20-plain", 0o644, "echo plain >> $out");
        shelf.add("30-old.bak", 0o755, "echo old >> $out");
        let runner = shelf.run(PLENTY);
        assert_eq!(shelf.written(), "");
        let refused = runner.refused.iter().next().expect("one is refused");
        assert!(
            refused.contains("10-open: group or others may write"),
            "{refused}"
        );
        assert_eq!(runner.refused.len(), 1);
    }

    #[test]
    fn a_directory_that_others_may_change_is_no_place_for_hooks() {
        let shelf = Shelf::new();
        shelf.add("10-fine", 0o755, "echo fine >> $out");
        fs::set_permissions(shelf.hooks(), Permissions::from_mode(0o777)).expect("it is ours");
        assert_eq!(shelf.run(PLENTY).refused.len(), 1);
        assert_eq!(shelf.written(), "");
    }

    #[test]
    fn a_hook_has_as_long_as_the_documents_say() {
        let runner = Runner::new(PathBuf::from("hooks.d"));
        let stated = format!("takes longer than {} s is ended", runner.limit.as_secs());
        assert!(
            include_str!("../../docs/operations.md").contains(&stated),
            "{stated}"
        );
    }

    #[test]
    fn a_hook_that_hangs_is_ended_with_its_children_and_the_next_one_runs() {
        let shelf = Shelf::new();
        shelf.add(
            "10-hangs",
            0o755,
            "trap '' TERM; sleep 1000 & sleep 1001; wait",
        );
        shelf.add("20-next", 0o755, "echo next >> $out");
        shelf.run(Duration::from_millis(200));
        assert_eq!(shelf.written(), "next\n");
    }

    #[test]
    fn a_hook_that_floods_its_output_or_leaves_a_child_behind_delays_no_other() {
        let shelf = Shelf::new();
        shelf.add("10-floods", 0o755, "yes");
        shelf.add("20-forks", 0o755, "sleep 20 & echo started");
        shelf.add("30-next", 0o755, "echo next >> $out");
        shelf.run(PLENTY);
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

    #[test]
    fn a_directory_that_is_not_there_is_as_good_as_empty() {
        let mut runner = Runner::new(PathBuf::from("/nonexistent/hooks.d"));
        assert!(runner.programs().is_empty());
        assert!(runner.refused.is_empty());
    }
}
