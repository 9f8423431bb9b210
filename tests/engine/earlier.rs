//! What an earlier run left, as an input.

use uplinkd::engine::command::Command;
use uplinkd::engine::input::{EarlierRun, Input, SharedFamily};
use uplinkd::routing::Family;
use uplinkd::units::{Bytes, UplinkName};

use crate::support::name;

fn resume(earlier: EarlierRun) -> Input {
    Input::Resume(Box::new(earlier))
}

/// This uplink carried the traffic.
pub(crate) fn carrying(uplink: &str) -> Input {
    resume(EarlierRun {
        carrying: Some(name(uplink)),
        ..EarlierRun::default()
    })
}

/// This uplink led, and another one carried a family.
pub(crate) fn carrying_apart(leader: &str, family: Family, uplink: &str) -> Input {
    resume(EarlierRun {
        carrying: Some(name(leader)),
        apart: [(family, name(uplink))].into(),
        ..EarlierRun::default()
    })
}

/// These carried the IPv4 traffic, led by one of them.
pub(crate) fn sharing(leader: &str, uplinks: &[&str]) -> Input {
    resume(EarlierRun {
        carrying: Some(name(leader)),
        shared: vec![SharedFamily {
            group: None,
            family: Family::Ipv4,
            uplinks: uplinks.iter().map(|uplink| name(uplink)).collect(),
        }],
        ..EarlierRun::default()
    })
}

/// So much of a budget was left.
pub(crate) fn unspent(uplink: UplinkName, left: Bytes) -> Input {
    resume(EarlierRun {
        unspent: [(uplink, left)].into(),
        ..EarlierRun::default()
    })
}

/// An operator had given this command.
pub(crate) fn restored(command: Command) -> Input {
    resume(EarlierRun {
        chosen: vec![command.into()],
        ..EarlierRun::default()
    })
}
