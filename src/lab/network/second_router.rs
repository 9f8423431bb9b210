//! A second router on the access link of a provider, and the end of the first.

use std::net::IpAddr;

use super::{ACCESS, ANYWHERE, AccessLine, AddressPair, LabNetwork, index_of};
use crate::lab::error::{Doing, LabError};
use crate::lab::netlink::{AddressPrefix, Netlink};
use crate::lab::scenario::RouterChange;
use crate::units::Metric;

/// The last byte of the second router's address.
const SECOND_HOST: u8 = 254;
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
        let AddressPair(second, _) = line.subnets.both(0, SECOND_HOST);
        let AddressPair(first, _) = line.subnets.provider_on_access();
        let second: IpAddr = second.into();
        let changed = match change {
            RouterChange::Second => provider
                .run(move || {
                    let address = AddressPrefix(second, 24);
                    Netlink::open()?.add_address(index_of(ACCESS)?, address)
                })
                .and_then(|()| {
                    self.router().run(move || {
                        let metric = Metric(line.subnets.metric().0 + 1);
                        let anywhere = ANYWHERE.prefixes()[0];
                        Netlink::open()?.add_route(anywhere, second, metric)
                    })
                }),
            // What is sent to it goes to no interface of the link.
            RouterChange::FirstDies => self.router().run(move || {
                let index = index_of(line.name)?;
                Netlink::open()?.pin_neighbour(index, first, DEAD)
            }),
        };
        changed.doing(|| format!("change the routers of {uplink}"))
    }
}
