//! The router's own packet filter, which drops what the router itself sends: the kernel refuses to send it.

use crate::kernel::netfilter::{
    NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable, PacketField,
    PacketHook, commit,
};
use crate::lab::error::{Doing, LabError};
use crate::lab::namespace::Namespace;

const TABLE: NetfilterTable = NetfilterTable {
    family: NetfilterFamily::Inet,
    name: "output",
};

const CHAIN: NetfilterChain = NetfilterChain {
    name: "output",
    kind: "filter",
    hook: PacketHook::Output,
    priority: 0,
};

/// A filter in the output chain; it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct OutputFilter<'n> {
    router: &'n Namespace,
}

impl<'n> OutputFilter<'n> {
    /// Has the router refuse what it sends by these interfaces itself. What it forwards passes.
    pub(super) fn set(router: &'n Namespace, interfaces: &[String]) -> Result<Self, LabError> {
        let mut batch = NetfilterBatch::default();
        batch.add_table(TABLE);
        batch.add_chain(TABLE, &CHAIN);
        for interface in interfaces {
            let mut name = vec![0; libc::IFNAMSIZ];
            name[..interface.len()].copy_from_slice(interface.as_bytes());
            let steps = [
                NetfilterStep::Load(PacketField::OutputName),
                NetfilterStep::Is(name),
                NetfilterStep::Drop,
            ];
            batch.add_rule(TABLE, &CHAIN, "lab", &steps);
        }
        let set = router.run(|| commit(&batch));
        set.doing(|| "filter what the router sends".to_owned())?;
        Ok(Self { router })
    }
}

impl Drop for OutputFilter<'_> {
    fn drop(&mut self) {
        let mut batch = NetfilterBatch::default();
        batch.delete_table(TABLE);
        // What is left behind fails the phase that follows, and goes with the network.
        drop(self.router.run(|| commit(&batch)));
    }
}
