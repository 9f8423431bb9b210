//! The connection to the kernel.

use super::error::KernelError;
use super::monitor::EventMonitor;
use super::observe::Observer;
use super::survey::Surveyor;
use super::write::RouteWriter;

/// The sockets to the kernel.
pub(super) struct KernelSockets {
    pub(super) observer: Observer,
    pub(super) surveyor: Surveyor,
    pub(super) monitor: EventMonitor,
    pub(super) writer: RouteWriter,
}

impl KernelSockets {
    pub(super) fn open() -> Result<Self, KernelError> {
        Ok(Self {
            // First, so that no change after the first look is missed.
            monitor: EventMonitor::open()?,
            observer: Observer::open()?,
            surveyor: Surveyor::start()?,
            writer: RouteWriter::open()?,
        })
    }
}
