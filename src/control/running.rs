//! Which control sockets the agents of this machine listen at.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the lock beside a control socket begins with.
const MARK: &str = "uplinkd ";

/// The place beside a control socket that its agent holds a lock on.
pub(super) fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Marks a lock as that of an agent. Without the mark the agent is only not found.
pub(super) fn mark(lock: &mut fs::File) {
    let written = lock
        .set_len(0)
        .and_then(|()| writeln!(lock, "{MARK}{}", std::process::id()));
    if let Err(error) = written {
        tracing::debug!(%error, "the lock of the control socket has no mark");
    }
}

/// The control sockets at which agents listen, as far as this user may see: of the sockets that the
/// kernel lists (proc(5)) those whose lock is marked.
pub(super) fn sockets() -> Vec<PathBuf> {
    let listed = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let listening = listed.lines().filter_map(listening_at).map(PathBuf::from);
    let is_of_agent = |path: &PathBuf| {
        let mark = fs::read_to_string(lock_path(path));
        mark.is_ok_and(|mark| mark.starts_with(MARK))
    };
    let mut sockets: Vec<_> = listening.filter(is_of_agent).collect();
    sockets.sort_unstable();
    sockets.dedup();
    sockets
}

/// The path of a line of `/proc/net/unix` if it is of a socket that listens: address, references,
/// protocol, flags, type, state, inode, path.
fn listening_at(line: &str) -> Option<&str> {
    /// `__SO_ACCEPTCON` of the kernel's `include/uapi/linux/net.h`.
    const LISTENS: &str = "00010000";
    let flags = line.split_whitespace().nth(3)?;
    let path = line.find(" /").map(|at| &line[at + 1..])?;
    (flags == LISTENS).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_listens_is_read_from_the_kernels_list() {
        let line =
            "0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/uplinkd/a b.sock";
        assert_eq!(listening_at(line), Some("/run/uplinkd/a b.sock"));
        let connected = "0000000000000000: 00000003 00000000 00000000 0001 03 12345 /run/a.sock";
        assert_eq!(listening_at(connected), None);
        let nameless = "0000000000000000: 00000002 00000000 00010000 0001 01 12345";
        assert_eq!(listening_at(nameless), None);
    }
}
