//! Addresses of an uplink that change while it is in use, at moments drawn from the seed.

use std::io;
use std::time::Duration;

use crate::lab::chance::Chance;
use crate::lab::error::{Doing, LabError};
use crate::lab::namespace::Namespace;
use crate::lab::network::AccessLine;
use crate::lab::scenario::AddressChange;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};

/// Between two changes there is at least this, and at most `LONGEST`.
const SHORTEST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(1);
/// A DHCP client that renews has no address for so long.
const AWAY: Duration = Duration::from_millis(20);
/// The last byte of the address that the router has, and of the one that comes and goes.
const OWN_HOST: u8 = 2;
const SECOND_HOST: u8 = 77;

/// Changes the address of the router on `line` until the handle is dropped.
pub(super) fn begin(
    router: &Namespace,
    line: AccessLine,
    kind: AddressChange,
    chance: Chance,
) -> Result<ShutdownHandle, LabError> {
    let begin = || {
        let (handle, shutdown) = shutdown::pair()?;
        router.spawn("addresses", move || {
            // What is left behind fails the phase that follows, and goes with the network.
            drop(change_until(&shutdown, line, kind, chance));
        })?;
        Ok::<_, io::Error>(handle)
    };
    begin().doing(|| "change addresses on the router".to_owned())
}

fn change_until(
    shutdown: &Shutdown,
    line: AccessLine,
    kind: AddressChange,
    mut chance: Chance,
) -> io::Result<()> {
    let mut has_second = false;
    let mut pause = || SHORTEST + LONGEST.saturating_sub(SHORTEST).mul_f64(chance.unit());
    while !shutdown.is_requested_within(pause()) {
        match kind {
            AddressChange::Second => {
                has_second = !has_second;
                line.set_address(SECOND_HOST, has_second)?;
            }
            AddressChange::Renewed => {
                line.set_address(OWN_HOST, false)?;
                // However it ends, the address comes back.
                shutdown.is_requested_within(AWAY);
                line.set_address(OWN_HOST, true)?;
                line.dial()?;
            }
            AddressChange::Gateways => {
                has_second = !has_second;
                line.set_gateway(has_second)?;
            }
        }
    }
    match kind {
        AddressChange::Second if has_second => line.set_address(SECOND_HOST, false),
        AddressChange::Gateways if has_second => line.set_gateway(false),
        AddressChange::Second | AddressChange::Renewed | AddressChange::Gateways => Ok(()),
    }
}
