//! Switches, and why traffic moves.

use std::num::NonZeroU32;

use super::carriers::{GroupCarriers, TrafficMove};
use crate::engine::candidate::SPENT;
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
    /// For how many milliseconds the outage that it ends for the traffic had lasted, if it ends one.
    pub(super) outage_ms: Option<NonZeroU32>,
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
                outage_ms: self.outage_ms,
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
    /// It is a refusal of the traffic, and no group.
    pub is_refusal: bool,
}

impl DefaultGroupState {
    /// What takes the place of the default group where the traffic of a group is refused.
    pub(super) fn refusal() -> Self {
        Self {
            carriers: GroupCarriers::refusal(),
            refuge: None,
            moved: None,
            is_refusal: true,
        }
    }
}

/// What becomes of a group without a usable uplink.
pub(super) fn without_own(refuses: bool) -> &'static str {
    if refuses {
        "its traffic is refused"
    } else {
        "it goes with the default group"
    }
}

/// Why the traffic of a group moves with the default group.
pub(super) fn go_with_default(default_group: Option<&DefaultGroupState>) -> SwitchReason {
    let is_refusal = default_group.is_some_and(|group| group.is_refusal);
    let what = if is_refusal {
        "no uplink of the group is usable, its traffic is refused"
    } else {
        "the group goes with the default group"
    };
    let why = default_group.and_then(|group| group.moved.as_ref());
    match why {
        Some(why) => SwitchReason::new(why.cause, format!("{what}: {}", why.text)),
        None => SwitchReason::new(SwitchCause::Config, what),
    }
}

impl TrafficMove {
    /// For how many milliseconds the outage of the uplinks that were left had lasted; none where one of them works.
    pub(super) fn outage_ms(&self, uplinks: &[Uplink], now: Moment) -> Option<NonZeroU32> {
        let left = missing(&self.from, &self.to);
        let left = left.filter_map(|name| {
            let mut known = uplinks.iter();
            known.find(|uplink| uplink.settings().name == *name)
        });
        let since: Option<Vec<_>> = left.map(Uplink::outage_since).collect();
        let lasted = now.since(since?.into_iter().min()?).as_millis();
        NonZeroU32::new(u32::try_from(lasted).unwrap_or(u32::MAX).max(1))
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
            (Some(uplink), _) if uplink.is_off() => {
                (SwitchCause::Allowance, format!("{left}: {SPENT}"))
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
