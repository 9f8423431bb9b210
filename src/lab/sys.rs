//! The few system calls that Rust cannot check: TAP devices and what a child does before it runs.
#![expect(
    unsafe_code,
    reason = "ioctl on /dev/net/tun and Command::pre_exec have no safe form"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

use crate::units::InterfaceName;

mod request {
    // `linux/if_tun.h`: the numbers say "int" although TUNSETIFF takes a `struct ifreq`.
    nix::ioctl_write_ptr_bad!(
        tun_set_iff,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );
    nix::ioctl_write_ptr_bad!(
        tun_set_carrier,
        nix::request_code_write!(b'T', 226, size_of::<libc::c_int>()),
        libc::c_int
    );
}

/// Makes `device`, an open `/dev/net/tun`, the far end of a new TAP interface in the network
/// namespace of this thread. The interface lives as long as the file is open.
pub(super) fn attach_tap(device: &File, name: &InterfaceName) -> io::Result<()> {
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: libc::c_short::try_from(flags).map_err(io::Error::other)?,
        },
    };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *slot = libc::c_char::from_ne_bytes([byte]);
    }
    // SAFETY: the descriptor is open and `request` is a whole `ifreq` that outlives the call.
    unsafe { request::tun_set_iff(device.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// Plugs or pulls the cable of a TAP interface.
pub(super) fn set_carrier(device: &File, up: bool) -> io::Result<()> {
    let carrier = libc::c_int::from(up);
    // SAFETY: the descriptor is open and `carrier` outlives the call.
    unsafe { request::tun_set_carrier(device.as_raw_fd(), &raw const carrier) }?;
    Ok(())
}

/// Makes the child of `command` begin in the network namespace `namespace` and die with the thread
/// that spawns it.
pub(super) fn run_in(command: &mut Command, namespace: OwnedFd) -> &mut Command {
    let parent = getpid();
    // SAFETY: between fork and exec the closure makes system calls only.
    unsafe {
        command.pre_exec(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            die_with_parent(parent)
        })
    }
}

/// Makes the child of `command` run `prepare` before it becomes another program, and die with the
/// thread that spawns it.
pub(super) fn prepare(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> &mut Command {
    let parent = getpid();
    let mut prepare = prepare;
    // SAFETY: `prepare` makes system calls and formats numbers; the parent's other threads hold
    // no lock that it takes.
    unsafe {
        command.pre_exec(move || {
            prepare()?;
            die_with_parent(parent)
        })
    }
}

fn die_with_parent(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let was_orphaned_already = getppid() != parent;
    if was_orphaned_already {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// Puts this thread before all that are not in a hurry, if it may: a wire does not slow down when
/// the machine is busy, and who holds a lock of the kernel does not keep it.
pub(super) fn hurry() {
    // SAFETY: all of it are numbers, and zero is one. musl has more of them than glibc.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = 1;
    // SAFETY: `parameters` is whole and outlives the call. Without CAP_SYS_NICE nothing changes.
    // musl has no sched_setscheduler.
    unsafe {
        libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_RR, &raw const parameters)
    };
}

/// Joins this thread to a network namespace.
pub(super) fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}
