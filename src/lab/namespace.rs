//! Throw-away namespaces: one for the whole lab, and a network namespace for each node in it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::lab::error::{Doing, LabError};
use crate::lab::sys;

/// Moves this process, which must have one thread only, into namespaces of its own: network,
/// mounts, and users unless it is privileged. It is root there, its network is empty, and `/run`
/// is an empty tmpfs, so that no file of the lab outlives it and no service of the machine is in
/// reach. All of it vanishes with the last process inside, however that ends.
pub fn isolate() -> Result<(), LabError> {
    leave_the_machine().map_err(LabError::Namespaces)?;
    hide_run().doing(|| "put a tmpfs over /run".to_owned())
}

fn leave_the_machine() -> io::Result<()> {
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    match unshare(own) {
        Err(Errno::EPERM) => {
            let (uid, gid) = (geteuid(), getegid());
            unshare(own | CloneFlags::CLONE_NEWUSER)?;
            fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
            // user_namespaces(7): without this an unprivileged process may not map its group.
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
        }
        other => Ok(other?),
    }
}

fn hide_run() -> io::Result<()> {
    const NOTHING: Option<&str> = None;
    mount(
        NOTHING,
        "/",
        NOTHING,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NOTHING,
    )?;
    mount(
        Some("lab"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=0755"),
    )?;
    Ok(())
}

/// A network namespace. It lives as long as this value, a process or a socket in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: OwnedFd,
}

impl Namespace {
    /// A new, empty one. The process needs CAP_SYS_ADMIN, as it has after [`isolate`].
    pub fn create(name: &str) -> Result<Self, LabError> {
        let handle = thread::scope(|scope| {
            let birth = scope.spawn(|| -> io::Result<OwnedFd> {
                unshare(CloneFlags::CLONE_NEWNET)?;
                Ok(File::open("/proc/thread-self/ns/net")?.into())
            });
            birth.join().unwrap_or_else(|_| Err(panicked()))
        });
        Ok(Self {
            name: name.to_owned(),
            handle: handle.map_err(LabError::Namespaces)?,
        })
    }

    /// The name of the node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `task` in the namespace, on a thread of its own, and waits for it.
    pub fn run<T: Send>(&self, task: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let visit = scope.spawn(|| {
                sys::enter(self.handle.as_fd())?;
                task()
            });
            visit.join().unwrap_or_else(|_| Err(panicked()))
        })
    }

    /// Runs `task` in the namespace, on a thread of its own, until it returns.
    pub fn spawn(
        &self,
        what: &str,
        task: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let handle = self.handle.try_clone()?;
        let (entered, has_entered) = std::sync::mpsc::sync_channel(1);
        let name = format!("{}-{what}", self.name);
        let thread = thread::Builder::new().name(name).spawn(move || {
            let entry = sys::enter(handle.as_fd());
            let may_run = entry.is_ok();
            if entered.send(entry).is_ok() && may_run {
                task();
            }
        })?;
        has_entered.recv().unwrap_or_else(|_| Err(panicked()))?;
        Ok(thread)
    }

    /// Makes the child of `command` begin in the namespace and be killed when the thread that
    /// spawned it ends.
    pub fn adopt<'c>(&self, command: &'c mut Command) -> io::Result<&'c mut Command> {
        Ok(sys::run_in(command, self.handle.try_clone()?))
    }
}

/// Runs a test where it may build networks: runs this test program again, in fresh namespaces, with
/// `test` (its full name) alone, and there `body`.
///
/// Returns without running `body` where the machine forbids namespaces, loudly; with `CI` in the
/// environment that is a failure.
///
/// # Panics
///
/// Panics if the test fails in there.
pub fn run_test_isolated(test: &str, body: impl FnOnce()) {
    const MARK: &str = "UPLINKD_LAB_INSIDE";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1");
    sys::prepare(&mut command, || isolate().map_err(io::Error::other));
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            // No test of that name is a success as well to the test runner.
            let has_run = output.status.success() && said.contains("test result: ok. 1 passed");
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(has_run, "{test} in its namespaces:\n{said}{words}");
        }
        Err(error) => {
            let is_ci = std::env::var_os("CI").is_some();
            assert!(!is_ci, "namespaces are forbidden here: {error}");
            let report = format!("*** NOT RUN: {test}: namespaces are FORBIDDEN: {error} ***\n");
            // Past the test runner, which would keep the words of a test that passes.
            io::stderr().write_all(report.as_bytes()).unwrap_or(());
        }
    }
}

fn panicked() -> io::Error {
    io::Error::other("a thread of the lab panicked")
}
