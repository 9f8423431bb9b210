//! The end of the network, cheap for the other networks of the machine.

use super::LabNetwork;
use crate::lab::netlink::Netlink;
use crate::lab::sys;

impl Drop for LabNetwork {
    fn drop(&mut self) {
        let wires = self.pump.stop();
        let nodes = [&self.client, &self.router, &self.internet];
        for node in nodes.into_iter().chain(&self.providers) {
            // An interface that stays is removed with its end of the wire, alone and so slower.
            drop(node.run(|| {
                sys::hurry();
                Netlink::open()?.remove_grouped()
            }));
        }
        drop(wires);
    }
}
