//! Changes to netfilter, each batch as a whole: all of it or nothing.

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::exchange::Exchange;
use super::message::{self, ListItem};
pub use super::message::{
    MarkField, NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable,
    PacketField, PacketHook,
};

/// Makes these changes in the network namespace of this thread.
///
/// # Errors
/// If the kernel refuses one of them; then it makes none.
pub fn commit(batch: &NetfilterBatch) -> io::Result<()> {
    let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
    submit(&mut exchange, &batch.to_commit())
}

/// Sends a batch; the error is that of its first change that the kernel refuses. The kernel has answered when the
/// system call returns.
pub(super) fn submit(exchange: &mut Exchange, batch: &[u8]) -> io::Result<()> {
    exchange.send(batch)?;
    let mut first = None;
    let mut is_answered = false;
    loop {
        let answers = match exchange.receive() {
            Ok(datagram) => message::netfilter_answers(datagram),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        for answer in answers {
            is_answered = true;
            if let ListItem::Failed(errno) = answer.item {
                first.get_or_insert(errno);
            }
        }
    }
    match first {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None if is_answered => Ok(()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
