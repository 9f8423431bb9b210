//! Probes that this machine refuses to send.
//!
//! A firewall that rejects them in the output chain, or a lack of buffers, says nothing of a path. Refused
//! on all uplinks that are probed, it is this machine's doing: every verdict stays, and an event says so.
//! Refused on one while another sends, it is that uplink's: it is down when it could not be probed for
//! `outage_within`. An uplink that has not tried meanwhile is asked.

use std::time::Duration;

use crate::engine::event::{Change, Event};
use crate::engine::uplink::{SendState, Uplink};
use crate::routing::Family;
use crate::units::Moment;

/// Buffers may be full for a moment: before this a refusal is no event.
const WORTH_AN_EVENT: Duration = Duration::from_secs(2);
/// An uplink that may not probe, for its budget, is asked no more often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is refused on all uplinks.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedSends {
    is_announced: bool,
    /// When the uplinks were asked last that had not tried.
    asked: Option<Moment>,
}

impl RefusedSends {
    /// Takes what the uplinks were refused since the last call, and lets each know whose doing it is.
    pub(super) fn judge(&mut self, uplinks: &mut [Uplink], now: Moment) -> Option<Event> {
        if !self.is_announced && uplinks.iter().all(Uplink::sends_all) {
            return None;
        }
        let may_ask = self.asked.is_none_or(|at| now.since(at) >= ASK_EVERY);
        let mut asked = false;
        let since = Family::ROUTED.map(|family| {
            let refused = refused_everywhere(family, uplinks);
            if may_ask && let RefusedBy::Some { first } = refused {
                asked |= ask_the_others(family, first, uplinks, now);
            }
            refused.everywhere_since()
        });
        if asked {
            self.asked = Some(now);
        }
        let since = since.into_iter().flatten().min();
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
            let why = uplinks.iter().find_map(Uplink::refusal).unwrap_or_default();
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

/// Which uplinks that are to ask by a family are refused it.
#[derive(Clone, Copy)]
enum RefusedBy {
    None,
    Some { first: Moment },
    All { since: Moment },
}

impl RefusedBy {
    fn everywhere_since(self) -> Option<Moment> {
        match self {
            Self::None | Self::Some { .. } => None,
            Self::All { since } => Some(since),
        }
    }
}

/// Finds it, and lets each uplink know whether it is alone.
fn refused_everywhere(family: Family, uplinks: &mut [Uplink]) -> RefusedBy {
    let (mut first, mut last, mut is_everywhere) = (None::<Moment>, None, true);
    for uplink in &*uplinks {
        match uplink.send_state(family) {
            SendState::Unasked => {}
            SendState::Free => is_everywhere = false,
            SendState::Refused(since) => {
                first = Some(first.map_or(since, |first| first.min(since)));
                last = last.max(Some(since));
            }
        }
    }
    let refused = match (first, last) {
        (Some(_), Some(since)) if is_everywhere => RefusedBy::All { since },
        (Some(first), _) => RefusedBy::Some { first },
        (None, _) => RefusedBy::None,
    };
    let is_everywhere = refused.everywhere_since().is_some();
    for uplink in uplinks.iter_mut() {
        uplink.refused_everywhere(family, is_everywhere);
    }
    refused
}

/// Has those probe that have not tried since `first`; whether there are any.
fn ask_the_others(family: Family, first: Moment, uplinks: &mut [Uplink], now: Moment) -> bool {
    let mut is_any = false;
    for uplink in uplinks {
        let is_free = uplink.send_state(family) == SendState::Free;
        if is_free && !uplink.has_asked_since(first) {
            uplink.probe_now(now);
            is_any = true;
        }
    }
    is_any
}
