//! Probes that this machine refuses to send.
//!
//! A firewall that rejects them in the output chain, or a lack of buffers, says nothing of a path. Refused
//! on all uplinks that can be probed, it is this machine's doing: every verdict stays, and an event says so, until a
//! probe leaves. Refused on one while another sends, it is that uplink's: it is down when it could not be probed for
//! `outage_within`. An uplink that has not tried meanwhile is asked. A cold standby is brought up to be asked: until
//! it has tried, or is not usable in time, it is open whose doing it is, and every verdict stays as well.

use std::time::Duration;

use crate::engine::event::{Change, Event};
use crate::engine::uplink::{RefusalScope, SendState, Uplink};
use crate::routing::Family;
use crate::units::Moment;

/// Buffers may be full for a moment: before this a refusal is no event.
const WORTH_AN_EVENT: Duration = Duration::from_secs(2);
/// An uplink that may not probe, for its budget, is asked no more often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is refused on all uplinks.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedSends {
    /// Since when each family is.
    since: [Option<Moment>; Family::ROUTED.len()],
    is_announced: bool,
    /// When the uplinks were asked last that had not tried.
    asked: Option<Moment>,
}

impl RefusedSends {
    /// Takes what the uplinks were refused since the last call, and lets each know whose doing it is.
    pub(super) fn judge(&mut self, uplinks: &mut [Uplink], now: Moment) -> Option<Event> {
        let is_any = self.since != [None; Family::ROUTED.len()] || self.is_announced;
        if !is_any && uplinks.iter().all(|uplink| uplink.refusals().are_none()) {
            return None;
        }
        let may_ask = self.asked.is_none_or(|at| now.since(at) >= ASK_EVERY);
        for family in Family::ROUTED {
            let known = self.since[family as usize];
            let sight = FamilySight::of(family, uplinks, known);
            let finding = sight.finding(known);
            self.since[family as usize] = finding.everywhere_since();
            for uplink in uplinks.iter_mut() {
                uplink.set_refusal_scope(family, finding.scope());
            }
            if may_ask && ask_the_others(family, sight.first, uplinks, now) {
                self.asked = Some(now);
            }
        }
        self.announce(uplinks, now)
    }

    fn announce(&mut self, uplinks: &[Uplink], now: Moment) -> Option<Event> {
        let since = self.since.into_iter().flatten().min();
        let is_lasting = since.is_some_and(|since| now.since(since) >= WORTH_AN_EVENT);
        let is_news = match since {
            Some(_) => is_lasting && !self.is_announced,
            None => self.is_announced,
        };
        if !is_news {
            return None;
        }
        self.is_announced = is_lasting;
        let reason = if is_lasting {
            let mut refusals = uplinks.iter().map(Uplink::refusals);
            let why = refusals.find_map(|refusals| refusals.reason());
            let why = why.unwrap_or_default();
            format!(
                "no uplink can be probed: {why}; all stay as they are: see the output chain of this \
                 machine's firewall, and the targets"
            )
        } else {
            "probes can be sent again".to_owned()
        };
        let change = Change::MachineRefuses {
            is_over: !is_lasting,
        };
        Some(Event {
            at: now,
            change,
            reason,
        })
    }
}

/// Where the probes of a family are refused.
#[derive(Clone, Copy)]
enum RefusalFinding {
    /// Nowhere, or not on all uplinks, as far as is known.
    Elsewhere,
    /// On all that are up, and a cold standby could show more.
    Open,
    Everywhere {
        since: Moment,
    },
}

impl RefusalFinding {
    fn everywhere_since(self) -> Option<Moment> {
        match self {
            Self::Elsewhere | Self::Open => None,
            Self::Everywhere { since } => Some(since),
        }
    }

    fn scope(self) -> RefusalScope {
        match self {
            Self::Elsewhere => RefusalScope::Own,
            Self::Open => RefusalScope::Open,
            Self::Everywhere { .. } => RefusalScope::Everywhere,
        }
    }
}

/// What all uplinks show of the probes of a family.
#[derive(Default)]
struct FamilySight {
    /// When the first and the last uplink were refused of those that are.
    first: Option<Moment>,
    last: Option<Moment>,
    /// Some were refused that may not be asked just now.
    is_kept: bool,
    others: OthersSight,
}

/// What the uplinks show that are not refused: the last of these that is true of one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum OthersSight {
    /// None of them is asked.
    #[default]
    Nothing,
    /// A cold standby has not tried yet.
    MayBeWoken,
    /// One that is asked has not tried since the first refusal.
    Unknown,
    /// One has sent since then.
    Sends,
}

impl FamilySight {
    /// `known`: since when the family is refused on all of them.
    fn of(family: Family, uplinks: &[Uplink], known: Option<Moment>) -> Self {
        let mut sight = Self::default();
        for uplink in uplinks {
            sight.is_kept |= uplink.refusals().are_kept(family);
            if let SendState::Refused(since) = uplink.send_state(family) {
                sight.first = Some(sight.first.map_or(since, |first| first.min(since)));
                sight.last = sight.last.max(Some(since));
            }
        }
        sight.first = sight.first.or(known);
        let first = sight.first;
        let others = uplinks
            .iter()
            .map(|one| OthersSight::of(family, one, first));
        sight.others = others.max().unwrap_or_default();
        sight
    }

    fn finding(&self, known: Option<Moment>) -> RefusalFinding {
        match (known, self.last, self.others) {
            (_, _, OthersSight::Sends) | (None, Some(_), OthersSight::Unknown) => {
                RefusalFinding::Elsewhere
            }
            (Some(since), Some(_), _) | (Some(since), None, OthersSight::Unknown) => {
                RefusalFinding::Everywhere { since }
            }
            (Some(since), None, _) if self.is_kept => RefusalFinding::Everywhere { since },
            (Some(_) | None, None, _) => RefusalFinding::Elsewhere,
            (None, Some(_), OthersSight::MayBeWoken) => RefusalFinding::Open,
            (None, Some(since), OthersSight::Nothing) => RefusalFinding::Everywhere { since },
        }
    }
}

impl OthersSight {
    fn of(family: Family, uplink: &Uplink, first: Option<Moment>) -> Self {
        let has_sent = |at| first.is_some_and(|first| at >= first);
        match uplink.send_state(family) {
            SendState::Sends(at) if has_sent(at) => Self::Sends,
            SendState::Unasked | SendState::Unknown(_) | SendState::Sends(_)
                if uplink.may_be_woken() =>
            {
                Self::MayBeWoken
            }
            SendState::Unasked | SendState::Refused(_) => Self::Nothing,
            SendState::Unknown(_) | SendState::Sends(_) => Self::Unknown,
        }
    }
}

/// Has those probe that have not tried since `first`, and those that are refused some of their targets and have not
/// tried the others; whether there are any.
fn ask_the_others(
    family: Family,
    first: Option<Moment>,
    uplinks: &mut [Uplink],
    now: Moment,
) -> bool {
    let mut is_any = false;
    for uplink in uplinks {
        let unknown_since = match uplink.send_state(family) {
            SendState::Unknown(since) => since.or(first),
            SendState::Sends(at) => first.filter(|first| at < *first),
            SendState::Unasked | SendState::Refused(_) => None,
        };
        if unknown_since.is_some_and(|since| !uplink.has_asked_since(since)) {
            uplink.probe_now(now);
            is_any = true;
        }
    }
    is_any
}
