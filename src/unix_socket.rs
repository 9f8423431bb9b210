//! A Unix socket at a path: what stands there, and a listener that never has more rights than it should.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

/// Read and write for the owner and the group.
const MODE: u32 = 0o660;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathOccupant {
    /// Nothing.
    None,
    /// A socket that a program listens at.
    Listener,
    /// A socket that no program listens at any more.
    StaleSocket,
    /// Something that is no socket.
    OtherFile,
}

/// What stands at a path.
///
/// # Errors
/// If it cannot be looked at.
pub fn occupant(path: &Path) -> io::Result<PathOccupant> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PathOccupant::None),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(PathOccupant::OtherFile),
        Ok(_) => {}
    }
    Ok(match connect_at_once(path) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => PathOccupant::StaleSocket,
        Ok(()) | Err(_) => PathOccupant::Listener,
    })
}

/// Connects without waiting: a full queue of connections is an answer as well.
fn connect_at_once(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// A socket that never has more rights than 0660, not even for a moment: the kernel takes those of
/// the unbound socket's inode (`unix_bind_bsd` in `net/unix/af_unix.c`). It does not block.
///
/// # Errors
/// If it cannot be bound.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let mode = Mode::from_bits_truncate(MODE);
    fchmod(&socket, mode)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}
