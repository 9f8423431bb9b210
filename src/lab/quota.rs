//! A CPU quota of the agent: a control group (cgroups(7), version 1 or 2) that it shares with busy loops.
//!
//! The groups of a machine are no namespace of the lab's: it has to be root there, and a group whose lab is killed
//! stays, empty.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::unistd::Pid;

use crate::lab::error::{Doing, LabError};
use crate::lab::scenario::CpuQuota;
use crate::lab::sys;

/// The groups of the CPU controller of version 1, and those of all controllers of version 2.
const VERSION_1: &str = "/sys/fs/cgroup/cpu";
const VERSION_2: &str = "/sys/fs/cgroup";
/// The processes of a group; 0 is the one that writes.
const MEMBERS: &str = "cgroup.procs";

/// The group, with the agent and the loops in it; when it is dropped, the agent has all of the machine again.
#[derive(Debug)]
pub(super) struct SharedQuota {
    group: PathBuf,
    agent: Pid,
    loops: Vec<Child>,
}

impl SharedQuota {
    /// Puts the agent into a group of this quota, and loops beside it.
    pub(super) fn set(agent: Pid, quota: CpuQuota) -> Result<Self, LabError> {
        let group = group(agent);
        let set = || {
            limit(&group, quota)?;
            let mut shared = Self {
                group: group.clone(),
                agent,
                loops: Vec::new(),
            };
            for _ in 0..quota.loops {
                shared.loops.push(spin(&group)?);
            }
            fs::write(group.join(MEMBERS), agent.to_string())?;
            Ok::<_, io::Error>(shared)
        };
        set().doing(|| format!("give the agent a CPU quota in {}", group.display()))
    }
}

impl Drop for SharedQuota {
    fn drop(&mut self) {
        // Each fails only where what it undoes has ended by itself.
        for spinning in &mut self.loops {
            drop(spinning.kill());
            drop(spinning.wait());
        }
        if let Some(all) = self.group.parent() {
            drop(fs::write(all.join(MEMBERS), self.agent.to_string()));
        }
        drop(fs::remove_dir(&self.group));
    }
}

fn is_version_1() -> bool {
    Path::new(VERSION_1).join(MEMBERS).exists()
}

fn group(agent: Pid) -> PathBuf {
    let all = if is_version_1() { VERSION_1 } else { VERSION_2 };
    Path::new(all).join(format!("uplinkd-lab-{agent}"))
}

fn limit(group: &Path, quota: CpuQuota) -> io::Result<()> {
    fs::create_dir(group)?;
    let [runs, each] = [quota.runs, quota.each].map(|span| span.0.as_micros().to_string());
    if is_version_1() {
        fs::write(group.join("cpu.cfs_period_us"), each)?;
        fs::write(group.join("cpu.cfs_quota_us"), runs)
    } else {
        let all = Path::new(VERSION_2);
        fs::write(all.join("cgroup.subtree_control"), "+cpu")?;
        fs::write(group.join("cpu.max"), format!("{runs} {each}"))
    }
}

/// A process of the group that does nothing but run.
fn spin(group: &Path) -> io::Result<Child> {
    let members = group.join(MEMBERS);
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do :; done"]);
    sys::prepare(&mut command, move || fs::write(&members, "0")).spawn()
}
