//! `uplinkd top` on a real terminal, whose other end shows what a person would see.

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use vt100::Parser;

use crate::agent::Agent;
use crate::cli::{start_with, status};

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a size")
}

/// A terminal in which `top` runs.
struct Terminal {
    top: Child,
    keys: fs::File,
    tty: OwnedFd,
    screen: Arc<Mutex<Parser>>,
}

impl Terminal {
    fn start(socket: &Path, (rows, columns): (u16, u16)) -> Self {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let terminal = openpty(Some(&size), None).expect("a terminal");
        let tty = || Stdio::from(terminal.slave.try_clone().expect("a terminal"));
        let top = Command::new(env!("CARGO_BIN_EXE_uplinkd"))
            .args(["top", "--socket"])
            .arg(socket)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("COLUMNS")
            .stdin(tty())
            .stdout(tty())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let screen = Arc::new(Mutex::new(Parser::new(cells(rows), cells(columns), 0)));
        let keys = fs::File::from(terminal.master);
        let mut output = keys.try_clone().expect("the terminal");
        let shown = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("the screen").process(&bytes[..count]);
            }
        });
        Self {
            top,
            keys,
            tty: terminal.slave,
            screen,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    fn text(&self) -> String {
        self.screen.lock().expect("the screen").screen().contents()
    }

    /// What is on the screen as soon as all of these are.
    fn shows(&self, wanted: &[&str]) -> String {
        for _ in 0..1_500 {
            let text = self.text();
            if wanted.iter().all(|one| text.contains(one)) {
                return text;
            }
            #[expect(clippy::disallowed_methods, reason = "a person waits as well")]
            thread::sleep(Duration::from_millis(20));
        }
        panic!("no {wanted:?} on the screen:\n{}", self.text());
    }

    /// The screen is as it was before.
    fn is_given_back(&self) {
        for _ in 0..1_500 {
            let screen = self.screen.lock().expect("the screen");
            if !screen.screen().alternate_screen() {
                return;
            }
            drop(screen);
            #[expect(clippy::disallowed_methods, reason = "a person waits as well")]
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the screen is kept");
    }

    /// The terminal gets another size.
    fn resize(&mut self, rows: u16, columns: u16) {
        let mut screen = self.screen.lock().expect("the screen");
        screen.screen_mut().set_size(cells(rows), cells(columns));
        drop(screen);
        let done = Command::new("stty")
            .args(["rows", &rows.to_string(), "cols", &columns.to_string()])
            .stdin(self.tty.try_clone().expect("a terminal"))
            .status();
        assert!(done.expect("stty").success());
        let top = i32::try_from(self.top.id()).expect("a process");
        kill(Pid::from_raw(top), Signal::SIGWINCH).expect("a signal");
    }

    fn ends(mut self) -> i32 {
        let status = self.top.wait().expect("an end");
        status.code().expect("no signal")
    }
}

/// An agent behind a path that another one can take over.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn socket(&self) -> std::path::PathBuf {
        self.0.path().join("socket")
    }

    fn start(&self, status: &Value) -> Agent {
        let agent = start_with(status);
        drop(fs::remove_file(self.socket()));
        symlink(agent.path(), self.socket()).expect("a link");
        agent
    }
}

#[test]
fn top_shows_who_carries_how_each_uplink_is_and_the_last_events_on_80_by_24() {
    let place = Place::new();
    let _agent = place.start(&status());
    let mut terminal = Terminal::start(&place.socket(), (24, 80));
    let text = terminal.shows(&["EVENTS", "switch: 1", "q quit"]);
    for wanted in [
        "active: lte for 3h 5m (automatic, policy failover)",
        "UPLINK  STATE       SCORE     LOSS        RTT      FOR",
        "fiber   down            -  100.0 %          -    3h 5m",
        " * lte     up             81    0.4 %    48.3 ms    2d 7h",
        "no answer from 2 of 2 targets for 1.1 s",
    ] {
        assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
    }
    // A bar for the round trip of lte, and one for all that fiber loses.
    terminal.shows(&["2d 7h  █", "targets for 1.1 s               █"]);
    terminal.press("q");
    terminal.is_given_back();
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn top_asks_before_it_gives_a_command_and_shows_what_the_agent_says() {
    let place = Place::new();
    let _agent = place.start(&status());
    let mut terminal = Terminal::start(&place.socket(), (24, 80));
    terminal.shows(&["* lte"]);
    terminal.press("\x1b[B");
    terminal.shows(&[">* lte"]);
    terminal.press("s");
    terminal.shows(&["Send the traffic to lte, and leave it there? y/n"]);
    terminal.press("n");
    terminal.shows(&["q quit"]);
    terminal.press("sy");
    terminal.shows(&["switch lte"]);
    terminal.press("ks");
    terminal.shows(&["Send the traffic to fiber"]);
    terminal.press("y");
    terminal.shows(&["no uplink `fiber`"]);
    terminal.press("ay");
    terminal.shows(&["auto"]);
    terminal.press("jd");
    terminal.shows(&["Let the path of lte fail for 30s, as a drill? y/n"]);
    terminal.press("n");
    terminal.shows(&["q quit"]);
    terminal.press("dy");
    terminal.shows(&["lte -> fiber: passed: traffic recovered in 529 ms"]);
    terminal.press("\x03");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn top_survives_a_restart_of_the_agent_and_another_size_of_the_terminal() {
    let place = Place::new();
    let agent = place.start(&status());
    let mut terminal = Terminal::start(&place.socket(), (24, 80));
    terminal.shows(&["active: lte"]);
    drop(agent);
    terminal.shows(&["cannot reach the agent", "active: lte", "* lte"]);
    let mut other = status();
    other["active"] = json!(["fiber"]);
    let _agent = place.start(&other);
    let text = terminal.shows(&["active: fiber"]);
    assert!(!text.contains("cannot reach"), "{text}");
    for (rows, columns) in [(50, 160), (6, 30), (1, 1), (24, 80)] {
        terminal.resize(rows, columns);
    }
    terminal.shows(&["active: fiber", "q quit", "EVENTS"]);
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn top_needs_a_terminal_and_an_agent() {
    let place = Place::new();
    let _agent = place.start(&status());
    let bare = Command::new(env!("CARGO_BIN_EXE_uplinkd"))
        .args(["top", "--socket"])
        .arg(place.socket())
        .stdin(Stdio::null())
        .output()
        .expect("the program");
    assert_eq!(bare.status.code(), Some(2));
    let said = String::from_utf8(bare.stderr).expect("a text");
    assert!(
        said.contains("`uplinkd status --watch` does without"),
        "{said}"
    );
    let terminal = Terminal::start(Path::new("/nonexistent/socket"), (24, 80));
    assert_eq!(terminal.ends(), 3);
}
