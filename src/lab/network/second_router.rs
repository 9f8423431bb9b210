//! A second router on the access link of a provider, and the end of the first.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use super::{
    ACCESS, ANYWHERE, AccessLine, AddressPair, LabNetwork, ProviderSubnets, configure, index_of,
};
use crate::lab::error::LabError;
use crate::lab::netlink::{AddressPrefix, Netlink};
use crate::lab::scenario::RouterChange;
use crate::units::Metric;

/// A link-layer address that no interface has.
const DEAD: [u8; 6] = [2, 0, 0, 0, 0xde, 0xad];

impl LabNetwork {
    /// Changes the routers of the provider behind an uplink.
    pub(in crate::lab) fn change_router(
        &self,
        uplink: &str,
        change: RouterChange,
    ) -> Result<(), LabError> {
        let line = AccessLine::of(uplink)?;
        let provider = self.provider(uplink);
        let provider = provider.ok_or_else(|| LabError::Wire(uplink.to_owned()))?;
        let second = line.subnets.second_on_access();
        match change {
            RouterChange::Unrouted => configure(provider, |n| n.address(ACCESS, second)),
            RouterChange::Second => {
                self.change_router(uplink, RouterChange::Unrouted)?;
                let metric = Metric(line.subnets.metric().0 + 1);
                configure(self.router(), |n| n.route(ANYWHERE, second, metric))
            }
            // What is sent to it goes to no interface of the link.
            RouterChange::FirstDies => configure(self.router(), |n| {
                let index = index_of(line.name)?;
                let AddressPair(first, first6) = line.subnets.provider_on_access();
                for address in [IpAddr::from(first), first6.into()] {
                    n.netlink.pin_neighbour(index, address, DEAD)?;
                }
                Ok(())
            }),
        }
    }
}

impl AccessLine {
    /// The IPv4 default route leads by the second router of the provider, or by the first.
    pub(in crate::lab) fn set_gateway(self, is_second: bool) -> io::Result<()> {
        let AddressPair(first, _) = self.subnets.provider_on_access();
        let AddressPair(second, _) = self.subnets.second_on_access();
        let gateway = if is_second { second } else { first };
        let anywhere = AddressPrefix(Ipv4Addr::UNSPECIFIED.into(), 0);
        Netlink::open()?.replace_route(anywhere, gateway.into(), self.subnets.metric())
    }
}

impl ProviderSubnets {
    const fn second_on_access(self) -> AddressPair {
        self.both(0, 254)
    }
}
