//! What the internet may ask the router by each of its uplinks.

use std::net::Ipv4Addr;

use super::{CLIENT, LabNetwork, ProviderSubnets, SubnetPair, UPLINKS};
use crate::lab::error::{Doing, LabError};
use crate::lab::nat;

impl LabNetwork {
    /// Lets the router forward a port to the client, whatever uplink it is asked by.
    pub(in crate::lab) fn forward(&self, port: u16) -> Result<(), LabError> {
        let forward = || nat::forward(port, CLIENT, &UPLINKS);
        let router = &self.router;
        router
            .run(forward)
            .doing(|| "forward a port on the router".to_owned())
    }

    /// The address of the router on each uplink.
    pub(in crate::lab) fn entries() -> [Ipv4Addr; UPLINKS.len()] {
        [1, 2, 3].map(|number| ProviderSubnets { number }.router_on_access().0)
    }
}

impl ProviderSubnets {
    /// The network of its customer.
    pub(super) const fn access(self) -> SubnetPair {
        SubnetPair(self.both(0, 0), 24, 64)
    }
}
