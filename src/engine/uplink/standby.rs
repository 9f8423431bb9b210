//! A cold standby is called or sent to sleep.

use super::cold::{StandbyCall, StandbySight};
use super::link::{StandbyStep, UplinkLink};
use super::monitor::UplinkMonitor;
use crate::engine::event::{Change, Errand};
use crate::units::Moment;

/// Takes whether it is needed: what is to be done about it is reported, and its state follows.
pub(super) fn follow(
    link: &mut UplinkLink,
    monitor: &mut UplinkMonitor,
    (call, sight): (&StandbyCall, StandbySight),
    now: Moment,
) {
    let settings = &monitor.settings;
    let (uplink, interface) = (settings.name.clone(), settings.interface.clone());
    let standby = |errand| Change::Standby {
        uplink: uplink.clone(),
        interface: interface.clone(),
        errand,
    };
    while let Some(step) = link.wake_standby(call, sight, &monitor.health, &interface, now) {
        monitor.is_coming_up = link.is_coming_up();
        match step {
            StandbyStep::Ordered(errand, reason, link) => {
                monitor.reports.event(standby(errand), reason, now);
                monitor.take_verdict(link, now);
            }
            StandbyStep::Unready { said, signal } => {
                monitor.signal(signal, now);
                if let Some(reason) = said {
                    let change = standby(Errand::Unready);
                    monitor.reports.event(change, reason, now);
                }
            }
        }
    }
    monitor.is_coming_up = link.is_coming_up();
}
