//! Switches, and why traffic moves.

use super::carriers::{GroupCarriers, TrafficMove};
use crate::engine::event::cause::{SwitchCause, SwitchReason};
use crate::engine::event::{Change, Event};
use crate::engine::ids::UplinkId;
use crate::engine::status::LastSwitch;
use crate::engine::uplink::Uplink;
use crate::engine::wording::in_state;
use crate::units::{GroupName, Moment, UplinkName, Wall};

/// The traffic went another way.
#[derive(Clone, Debug)]
pub struct Switch {
    pub(super) at: Moment,
    pub(super) moved: TrafficMove,
    /// All uplinks that carry the group from then on.
    pub(super) active: Vec<UplinkName>,
    /// Why.
    pub reason: SwitchReason,
    /// When the outage that it ends for the traffic began, if it does.
    pub(super) outage_since: Option<Moment>,
}

impl Switch {
    /// The event of it, for the traffic of a group.
    pub fn event(self, group: Option<GroupName>) -> Event {
        let TrafficMove { family, from, to } = self.moved;
        let active = self.active;
        Event {
            at: self.at,
            change: Change::Switch {
                group,
                family,
                from,
                to,
                active,
                cause: self.reason.cause,
                outage_since: self.outage_since,
            },
            reason: self.reason.text,
        }
    }

    /// As the status shows it.
    pub(super) fn status(&self, wall: Wall) -> LastSwitch {
        let TrafficMove { family, from, to } = self.moved.clone();
        LastSwitch {
            at: wall.at(self.at),
            family,
            from,
            to,
            reason: self.reason.text.clone(),
        }
    }
}

/// The default group, with which a group of the configuration goes while none of its own uplinks is usable.
pub struct DefaultGroupState {
    /// What carries it.
    pub carriers: GroupCarriers,
    /// Its uplinks, if one of them is usable.
    pub refuge: Option<Vec<UplinkId>>,
    /// Why it has just moved, if it has.
    pub moved: Option<SwitchReason>,
}

/// Why the traffic of a group moves with the default group.
pub(super) fn go_with_default(default_group: Option<&DefaultGroupState>) -> SwitchReason {
    let what = "the group goes with the default group";
    let why = default_group.and_then(|group| group.moved.as_ref());
    match why {
        Some(why) => SwitchReason::new(why.cause, format!("{what}: {}", why.text)),
        None => SwitchReason::new(SwitchCause::Config, what),
    }
}

impl TrafficMove {
    /// When the outage of the uplinks that were left began; none where one of them works.
    pub(super) fn outage_since(&self, uplinks: &[Uplink]) -> Option<Moment> {
        let left = missing(&self.from, &self.to);
        let left = left.filter_map(|name| {
            let mut known = uplinks.iter();
            known.find(|uplink| uplink.settings().name == *name)
        });
        let since: Option<Vec<_>> = left.map(Uplink::outage_since).collect();
        since?.into_iter().min()
    }

    /// Why traffic has moved that no election moved: an uplink that carried it is not there any more or has lost its
    /// way out, or another one has got its own.
    pub(super) fn explain(
        &self,
        uplinks: &[Uplink],
        is_member: impl Fn(&Uplink) -> bool,
    ) -> SwitchReason {
        let Some(left) = missing(&self.from, &self.to).next() else {
            let joined: Vec<_> = missing(&self.to, &self.from)
                .map(UplinkName::as_str)
                .collect();
            let text = format!("{} has a way out", joined.join(", "));
            return SwitchReason::new(SwitchCause::Sharing, text);
        };
        let known = uplinks
            .iter()
            .find(|uplink| uplink.settings().name == *left);
        let (cause, text) = match (known, self.family) {
            (None, _) => {
                let text = format!("{left} is not configured any more");
                (SwitchCause::Config, text)
            }
            (Some(uplink), _) if !is_member(uplink) => {
                let text = format!("{left} is not of the group any more");
                (SwitchCause::Config, text)
            }
            (Some(uplink), _) if uplink.attachment().paths.is_empty() => {
                let state = in_state(uplink.state(), ": ", &uplink.reason());
                let cause = uplink.candidate().cause_of_leaving();
                (cause, format!("{left} {state}"))
            }
            (Some(_), Some(family)) => (
                SwitchCause::Down,
                format!("{left}: {family} has no way out"),
            ),
            (Some(_), None) => (SwitchCause::Down, format!("{left} has no way out")),
        };
        SwitchReason::new(cause, text)
    }
}

/// Those of some uplinks that are not among others.
fn missing<'a>(
    some: &'a [UplinkName],
    others: &[UplinkName],
) -> impl Iterator<Item = &'a UplinkName> {
    some.iter().filter(|name| !others.contains(name))
}
