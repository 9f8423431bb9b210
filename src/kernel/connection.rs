//! The connection to the kernel.

use super::error::KernelError;
use super::monitor::EventMonitor;
use super::observe::Observer;
use super::write::RouteWriter;

/// The three sockets to the kernel.
pub(super) struct KernelSockets {
    pub(super) observer: Observer,
    pub(super) monitor: EventMonitor,
    pub(super) writer: RouteWriter,
}

impl KernelSockets {
    pub(super) fn open() -> Result<Self, KernelError> {
        Ok(Self {
            // First, so that no change after the first look is missed.
            monitor: EventMonitor::open()?,
            observer: Observer::open()?,
            writer: RouteWriter::open()?,
        })
    }
}
