//! One end of a wire: a TAP interface and the file through which its frames come and go.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::lab::error::{Doing, LabError};
use crate::lab::namespace::Namespace;
use crate::lab::sys;
use crate::units::InterfaceName;

/// The far side of a TAP interface. The interface lives as long as this.
#[derive(Debug)]
pub(super) struct Tap {
    device: File,
}

impl Tap {
    /// Makes the interface `name` in `node`.
    pub(super) fn create(node: &Namespace, name: &InterfaceName) -> Result<Self, LabError> {
        // A device belongs to the namespace in which it was opened (`tun_chr_open`).
        let device = node.run(open_device).map_err(LabError::Tun)?;
        node.run(|| sys::attach_tap(&device, name))
            .doing(|| format!("make the interface {name} of {}", node.name()))?;
        Ok(Self { device })
    }

    /// The next frame that the node has sent, if there is one.
    pub(super) fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        match (&self.device).read(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Delivers a frame to the node. An interface that is down does not take it (EIO).
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.device).write(frame).map(drop)
    }

    /// Plugs or pulls the cable.
    pub(super) fn set_carrier(&self, up: bool) -> io::Result<()> {
        sys::set_carrier(&self.device, up)
    }
}

fn open_device() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
