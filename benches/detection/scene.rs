//! What the engine probes: the observed uplink and a perfect one.

use std::net::IpAddr;
use std::time::Duration;

use uplinkd::engine::action::ProbeOrder;
use uplinkd::replay::World;
use uplinkd::units::{Counters, Host, Moment, Target, UplinkName};

use crate::link::{Link, Trouble};
use crate::traffic::Traffic;

/// The observed uplink goes through the link, any other is perfect.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) observed: UplinkName,
    pub(crate) link: Link,
    pub(crate) traffic: Traffic,
}

impl Scene {
    /// A trouble of the link begins or ends now.
    pub(crate) fn strike(&mut self, trouble: Trouble, now: Moment) {
        self.flow(now);
        self.link.trouble = trouble;
    }

    fn flow(&mut self, now: Moment) -> f64 {
        let at = now.since_start().as_secs_f64();
        self.traffic.pass(at, &mut self.link);
        at
    }
}

impl World for Scene {
    fn answer(&mut self, order: &ProbeOrder, now: Moment) -> Option<Duration> {
        if order.uplink != self.observed {
            return Some(Duration::from_millis(10));
        }
        let at = self.flow(now);
        self.link
            .answer(place(&order.target), at)
            .map(Duration::from_secs_f64)
    }

    fn counters(&mut self, uplink: &UplinkName, now: Moment) -> Option<Counters> {
        self.flow(now);
        (*uplink == self.observed).then(|| self.traffic.counters())
    }
}

/// The last octet, which identifies a target of the simulation.
fn place(target: &Target) -> u8 {
    match target.host() {
        Host::Address(IpAddr::V4(address)) => address.octets()[3],
        Host::Address(IpAddr::V6(address)) => address.octets()[15],
        Host::Name(_) => 0,
    }
}
