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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn, spawn_blocking};
use tokio::time::timeout;

use super::clock::now;
use super::hook_files::HookFiles;
use super::hook_run::{Hook, HookLimits, LIMITS, News};
use crate::engine::event::Lane;
use crate::engine::event::record::EventRecord;
use crate::units::sorted::{SortedMap, SortedSet};

/// How many events may wait.
const QUEUE: usize = 64;
/// So long the end of the agent waits for programs before it ends them.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// The line to the programs.
#[derive(Debug)]
pub struct Hooks {
    directory: Arc<Path>,
    /// Its end is the end of all programs.
    agent: watch::Sender<()>,
    news: broadcast::Sender<Arc<News>>,
    errands: broadcast::Sender<Arc<News>>,
    lanes: [JoinHandle<()>; 2],
}

impl Hooks {
    /// Runs the programs of a directory from now on, on the current runtime; one that is not there is
    /// as good as empty, and may come later.
    pub fn start(directory: &Path) -> Self {
        Self::with(directory, LIMITS)
    }

    fn with(directory: &Path, limits: HookLimits) -> Self {
        let (agent, is_there) = watch::channel(());
        let lane = |is_errand| {
            let (events, inbox) = broadcast::channel(QUEUE);
            let lane = HookLane {
                hook: Hook {
                    program: PathBuf::new(),
                    limits,
                    is_errand,
                    agent: is_there.clone(),
                },
                workers: SortedMap::new(),
                said: SortedMap::new(),
            };
            (events, spawn(lane.serve(inbox)))
        };
        let (news, of_news) = lane(false);
        let (errands, of_errands) = lane(true);
        Self {
            directory: directory.into(),
            agent,
            news,
            errands,
            lanes: [of_news, of_errands],
        }
    }

    /// Runs the programs of another directory from now on; what others still have to do they do.
    pub fn move_to(&mut self, directory: &Path) {
        self.directory = directory.into();
    }

    /// Runs them for this event, each when it is done with those before.
    pub fn tell(&self, record: &EventRecord) {
        let lane = match record.event.delivery().lane {
            Lane::Standby(_) => &self.errands,
            Lane::News => &self.news,
        };
        // The receiver is gone only when the runtime ends.
        let _ = lane.send(Arc::new(self.news_of(record)));
    }

    fn news_of(&self, record: &EventRecord) -> News {
        News {
            record: record.clone(),
            told: now(),
            directory: Arc::clone(&self.directory),
            _done: None,
        }
    }

    /// Runs them for the news of something that is about to happen: the receiver is closed when all have ended.
    pub fn tell_before(&self, record: &EventRecord) -> oneshot::Receiver<()> {
        let (done, ended) = oneshot::channel();
        let news = News {
            _done: Some(done),
            ..self.news_of(record)
        };
        // The receiver is gone only when the runtime ends.
        let _ = self.news.send(Arc::new(news));
        ended
    }

    /// Waits for the programs to take what they were told, for two seconds at most. What still runs then
    /// is ended.
    pub async fn finish(self) {
        let Self {
            agent,
            news,
            errands,
            lanes,
            ..
        } = self;
        drop((news, errands));
        let all = async {
            for lane in lanes {
                // It fails only if it panicked.
                let _ = lane.await;
            }
        };
        tokio::pin!(all);
        if timeout(STOP_GRACE, &mut all).await.is_err() {
            tracing::warn!(
                "hooks are not done at the end of the agent: they are ended, and events that wait are lost to them"
            );
            drop(agent);
            all.await;
        }
    }
}

/// The news, or the errands, on the way to each program.
struct HookLane {
    /// What all have in common; the program is none.
    hook: Hook,
    workers: SortedMap<PathBuf, Worker>,
    /// Which files are no hooks, said once.
    said: SortedMap<PathBuf, String>,
}

/// The task that runs one program.
struct Worker {
    /// None: the file is gone, and the task ends with what it still has to do.
    inbox: Option<broadcast::Sender<Arc<News>>>,
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
        let programs = self.programs(&news.directory).await;
        self.workers.retain(|program, worker| {
            let is_there = programs.contains(program);
            if !is_there {
                worker.inbox = None;
            }
            is_there || !worker.task.is_finished()
        });
        for program in programs {
            let before = self.workers.remove(&program);
            let worker = match before {
                Some(worker) if worker.inbox.is_some() => worker,
                before => self.worker(&program, before.map(|worker| worker.task)),
            };
            if let Some(inbox) = &worker.inbox {
                // The receiver is gone only when the runtime ends.
                let _ = inbox.send(Arc::clone(news));
            }
            self.workers.insert(program, worker);
        }
    }

    /// A task for a program. One of the same name that was gone for a while is never run twice at a time.
    fn worker(&self, program: &Path, before: Option<JoinHandle<()>>) -> Worker {
        let (sender, inbox) = broadcast::channel(QUEUE);
        let hook = Hook {
            program: program.to_owned(),
            ..self.hook.clone()
        };
        let serve = async move {
            if let Some(before) = before {
                // It fails only if it panicked.
                let _ = before.await;
            }
            hook.serve(inbox).await;
        };
        Worker {
            inbox: Some(sender),
            task: spawn(serve),
        }
    }

    /// The programs that are there now. Which files are none is said once, with the news.
    async fn programs(&mut self, directory: &Arc<Path>) -> SortedSet<PathBuf> {
        let directory = Arc::clone(directory);
        let files = spawn_blocking(move || HookFiles::of(&directory)).await;
        let HookFiles { programs, others } = files.unwrap_or_default();
        let is_known = |(path, why): &(&PathBuf, &String)| self.said.get(*path) == Some(*why);
        let new = others.iter().filter(|other| !is_known(other));
        for (path, why) in new.filter(|_| !self.hook.is_errand) {
            tracing::warn!(hook = %path.display(), why, "not run as a hook");
        }
        self.said = others;
        programs
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::super::hook_run::LONGEST_PAUSE;
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

    fn runtime() -> tokio::runtime::Runtime {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().expect("a runtime")
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
            runtime().block_on(async {
                let Hooks {
                    agent: _agent,
                    news,
                    errands,
                    lanes,
                    ..
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
    fn what_cannot_be_run_is_named_before_the_first_event() {
        let shelf = Shelf::new();
        let add = |name: &str, text: &[u8]| {
            let path = shelf.hooks().join(name);
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
        };
        add("10-misspelt", b"#!/usr/bin/pithon\nprint(1)\n");
        add("20-looked-for", b"#!/usr/bin/env pithon\nprint(1)\n");
        add("30-of-windows", b"#!/bin/sh\r\necho\r\n");
        add("40-no-line", b"echo told\n");
        add("50-fine", b"#! /bin/sh -e\n");
        add("60-fine", b"#!/usr/bin/env sh\n");
        let open = shelf.directory.path().join("open");
        fs::create_dir(&open).expect("a directory");
        fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("it is ours");
        fs::rename(shelf.hooks().join("50-fine"), open.join("fine")).expect("it is ours");
        let link = std::os::unix::fs::symlink(open.join("fine"), shelf.hooks().join("50-link"));
        link.expect("a link");
        let files = HookFiles::of(&shelf.hooks());
        assert_eq!(files.programs.len(), 1, "{files:?}");
        let others: Vec<_> = files.others.values().cloned().collect();
        let open = format!(
            "others may replace it: all may write to {} (chmod o-w)",
            open.display()
        );
        assert_eq!(
            others,
            [
                "its interpreter \"/usr/bin/pithon\" is not there",
                &format!(
                    "its interpreter \"pithon\" is nowhere in {}",
                    super::super::hook_run::PATH
                ),
                "its interpreter \"/bin/sh\\r\" is not there",
                "its first line names no interpreter, as #!/bin/sh does",
                &open,
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
        shelf.add(
            "11-says-much",
            0o755,
            "head -c 400000 /dev/zero && echo ended >> $out.much",
        );
        shelf.add("20-forks", 0o755, "sleep 20 & echo started");
        shelf.add("30-next", 0o755, "echo next >> $out");
        let limits = HookLimits {
            run: Duration::from_secs(8),
            ..LIMITS
        };
        shelf.tell(limits, &[EventKind::UplinkDown]);
        assert_eq!(shelf.written(), "next\n");
        let much = fs::read_to_string(shelf.directory.path().join("written.much"));
        assert_eq!(much.expect("not ended by what it wrote"), "ended\n");
    }

    #[test]
    fn a_hook_that_hangs_ends_with_the_agent_and_so_do_its_children() {
        let shelf = Shelf::new();
        let hangs = "trap '' TERM; sleep 1000 & echo $$ $! > $out; sleep 1001; wait";
        shelf.add("10-hangs", 0o755, hangs);
        shelf.add("20-asks-again", 0o755, "echo >> $out.again; exit 75");
        runtime().block_on(async {
            let hooks = Hooks::start(&shelf.hooks());
            hooks.tell(&record());
            hooks.tell(&record());
            let wait = async {
                while shelf.written().is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(Duration::from_secs(15), wait)
                .await
                .expect("it runs");
            let end = timeout(Duration::from_secs(15), hooks.finish());
            end.await.expect("it does not wait for hooks that hang");
        });
        // What is killed takes a moment to end, on a busy machine.
        let is_over = |process: &str| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let processes = shelf.written();
        let deadline = now() + Duration::from_secs(15);
        while !processes.split_whitespace().all(is_over) {
            assert!(now() < deadline, "they outlive the agent");
            std::thread::yield_now();
        }
        let again = fs::read_to_string(shelf.directory.path().join("written.again"));
        assert_eq!(again.expect("written"), "\n");
    }

    #[test]
    fn a_hook_that_is_gone_for_a_while_never_runs_twice_at_a_time() {
        let shelf = Shelf::new();
        let script = "mkdir $out.lock || { echo twice >> $out; exit 1; }
            echo begins >> $out; until [ -e $out.go ]; do sleep 0.02; done; rmdir $out.lock";
        shelf.add("10-slow", 0o755, script);
        shelf.add("20-other", 0o755, "echo >> $out.other");
        runtime().block_on(async {
            let mut hooks = Hooks::start(&shelf.hooks());
            let count = |name: &str| {
                let text = fs::read_to_string(shelf.directory.path().join(name));
                text.unwrap_or_default().lines().count()
            };
            let wait = async |name: &str, lines: usize| {
                let wait = async {
                    while count(name) < lines {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                timeout(Duration::from_secs(15), wait).await.expect(name);
            };
            hooks.tell(&record());
            wait("written", 1).await;
            wait("written.other", 1).await;
            let (hook, away) = (
                shelf.hooks().join("10-slow"),
                shelf.directory.path().join("away"),
            );
            fs::rename(&hook, &away).expect("it is ours");
            hooks.tell(&record());
            wait("written.other", 2).await;
            fs::rename(&away, &hook).expect("it is ours");
            hooks.tell(&record());
            wait("written.other", 3).await;
            // The same for a directory that is left and taken again.
            hooks.move_to(shelf.directory.path());
            hooks.tell(&record());
            hooks.move_to(&shelf.hooks());
            hooks.tell(&record());
            wait("written.other", 4).await;
            assert_eq!(shelf.written(), "begins\n");
            fs::write(shelf.directory.path().join("written.go"), "").expect("a file");
            wait("written", 3).await;
            hooks.finish().await;
        });
        assert_eq!(shelf.written(), "begins\nbegins\nbegins\n");
    }

    #[test]
    fn an_errand_for_a_standby_does_not_wait_behind_the_news() {
        let shelf = Shelf::new();
        shelf.add(
            "10-tells",
            0o755,
            "[ $UPLINKD_EVENT = uplink.down ] && sleep 20; echo $UPLINKD_EVENT >> $out",
        );
        runtime().block_on(async {
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
