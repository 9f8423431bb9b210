//! Flows that stay on a healthy uplink which the traffic has left: at a failback, and at `switch` by hand.
//!
//! ```text
//!  left while healthy ──> kept ──┬── carries traffic again ─────────> nothing is done
//!                                ├── is healthy no more ────────────> they have failed: `flows` decides
//!                                ├── flows are not to stay any more ─> they are moved
//!                                └── the limit is over ─────────────> they are ended
//! ```
//! Some flows never end by themselves, so each uplink that is left has a limit from then on. The limit is read
//! whenever it is asked for: a reload moves it.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::action::DepartureCause;
use super::input::KeptSpan;
use super::settings::{FailbackFlows, Flows};
use super::state::State;
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::Family;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Moment, UplinkName};

/// A family of an uplink. By name, since reloads change ids.
pub(super) type UplinkFamily = (UplinkName, Family);

/// The flows that stay, by uplink and family.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptFlows(Option<Box<Stays>>);

/// Apart, and small where there is no flow memory.
#[derive(Clone, Debug, Default)]
struct Stays {
    /// The uplinks whose flows are remembered; none before that is known.
    remembering: Option<SortedSet<UplinkFamily>>,
    kept: SortedMap<UplinkFamily, Kept>,
}

/// Flows that stay on an uplink.
#[derive(Clone, Debug)]
struct Kept {
    since: Moment,
    /// For so long they had stayed before this run.
    before: Duration,
    /// Those by which they leave; none before the uplink of an earlier run has any.
    addresses: SortedSet<IpAddr>,
}

impl Kept {
    fn until(&self, flows: FailbackFlows, uplink: &Uplink) -> Moment {
        let limit = flows.limit_of(uplink.settings());
        self.since + limit.saturating_sub(self.before)
    }

    /// The addresses that its uplink no longer has, while it has any.
    fn lost(&mut self, uplink: &Uplink, family: Family) -> Option<SortedSet<IpAddr>> {
        let held = addresses(uplink, family);
        if self.addresses.is_empty() {
            self.addresses = held;
            return None;
        }
        let lost: SortedSet<_> = self.addresses.difference(&held).copied().collect();
        if held.is_empty() || lost.is_empty() {
            return None;
        }
        self.addresses.retain(|address| held.contains(address));
        Some(lost)
    }
}

/// The end of a stay.
#[derive(Debug)]
pub(super) struct StayEnd {
    pub(super) key: UplinkFamily,
    pub(super) addresses: SortedSet<IpAddr>,
    pub(super) cause: DepartureCause,
    /// All flows of the uplink, and not only those by addresses that it has lost.
    pub(super) is_whole: bool,
}

impl KeptFlows {
    /// The kernel remembers the flows of these uplinks.
    pub(super) fn set_remembering(&mut self, remembering: SortedSet<UplinkFamily>) {
        self.state().remembering = Some(remembering);
    }

    /// The families of an uplink whose flows the kernel remembers.
    pub(super) fn remembered_families(&self, name: &UplinkName) -> SortedSet<Family> {
        let known = self.0.iter().flat_map(|state| &state.remembering);
        let own = known.flatten().filter(|(of, _)| of == name);
        own.map(|(_, family)| *family).collect()
    }

    /// An earlier run has left flows on these uplinks.
    pub(super) fn adopt(&mut self, earlier: Vec<KeptSpan>, now: Moment) {
        for span in earlier {
            let kept = Kept {
                since: now,
                before: span.lasted,
                addresses: SortedSet::new(),
            };
            self.state().kept.insert((span.uplink, span.family), kept);
        }
    }

    /// Uplinks have other names.
    pub(super) fn rename(&mut self, renew: impl Fn(UplinkName) -> UplinkName) {
        let Some(state) = &mut self.0 else {
            return;
        };
        let renew = |(name, family)| (renew(name), family);
        let remembering = state.remembering.take();
        state.remembering = remembering.map(|keys| keys.into_iter().map(renew).collect());
        let kept = std::mem::take(&mut state.kept).into_iter();
        state.kept = kept.map(|(key, kept)| (renew(key), kept)).collect();
    }

    /// The kernel remembers the flows of an uplink.
    pub(super) fn is_remembered(&self, uplink: &Uplink, family: Family) -> bool {
        let remembering = self.0.as_ref().and_then(|state| state.remembering.as_ref());
        let key = || (uplink.settings().name.clone(), family);
        remembering.is_some_and(|uplinks| uplinks.contains(&key()))
    }

    /// What becomes of the flows of a healthy uplink that is left; none as long as that is not known.
    pub(super) fn fate(&self, view: EngineView<'_>, key: &UplinkFamily) -> Option<Flows> {
        let state = self.0.as_ref();
        fate(
            view,
            state.and_then(|state| state.remembering.as_ref()),
            key,
        )
    }

    /// The traffic has left a healthy uplink, and its flows by these addresses stay.
    pub(super) fn keep(&mut self, key: UplinkFamily, addresses: SortedSet<IpAddr>, now: Moment) {
        let before = Duration::ZERO;
        let kept = Kept {
            since: now,
            before,
            addresses,
        };
        self.state().kept.insert(key, kept);
    }

    /// The stays that are over. `is_carrying`: traffic goes by it again.
    pub(super) fn review(
        &mut self,
        view: EngineView<'_>,
        is_carrying: impl Fn(&UplinkFamily) -> bool,
        now: Moment,
    ) -> Vec<StayEnd> {
        let Some(mut state) = self.0.take() else {
            return Vec::new();
        };
        let mut ends = Vec::new();
        for (key, mut kept) in std::mem::take(&mut state.kept) {
            if is_carrying(&key) {
                continue;
            }
            let uplink = uplink_of(view, &key);
            if let Some(lost) = uplink.and_then(|uplink| kept.lost(uplink, key.1)) {
                ends.push(StayEnd {
                    key: key.clone(),
                    addresses: lost,
                    cause: DepartureCause::Failed,
                    is_whole: false,
                });
            }
            let is_over = uplink
                .is_some_and(|uplink| kept.until(view.settings.failback_flows, uplink) <= now);
            let cause = if uplink.is_none_or(|uplink| !is_healthy(uplink, key.1)) {
                Some(DepartureCause::Failed)
            } else if fate(view, state.remembering.as_ref(), &key) == Some(Flows::Move) {
                Some(DepartureCause::Chosen)
            } else {
                is_over.then_some(DepartureCause::Limit)
            };
            match cause {
                Some(cause) => ends.push(StayEnd {
                    key,
                    addresses: kept.addresses,
                    cause,
                    is_whole: true,
                }),
                None => drop(state.kept.insert(key, kept)),
            }
        }
        self.0 = Some(state);
        ends
    }

    /// Until when flows stay on an uplink at most, if there may be any.
    pub(super) fn until(&self, view: EngineView<'_>, uplink: &Uplink) -> Option<Moment> {
        let name = &uplink.settings().name;
        let kept = self.0.iter().flat_map(|state| &state.kept);
        let own = kept.filter(|((of, _), _)| of == name);
        own.map(|(_, kept)| kept.until(view.settings.failback_flows, uplink))
            .max()
    }

    /// When the first stay is over.
    pub(super) fn next_timeout(&self, view: EngineView<'_>) -> Option<Moment> {
        let kept = self.0.as_ref()?.kept.iter();
        let due = kept.filter_map(|(key, kept)| {
            let uplink = uplink_of(view, key)?;
            Some(kept.until(view.settings.failback_flows, uplink))
        });
        due.min()
    }

    /// For how long flows have stayed on each uplink, for a later run.
    pub(super) fn spans(&self, now: Moment) -> Vec<KeptSpan> {
        let kept = self.0.iter().flat_map(|state| &state.kept);
        let span = |((uplink, family), kept): (&UplinkFamily, &Kept)| KeptSpan {
            uplink: uplink.clone(),
            family: *family,
            lasted: now.since(kept.since) + kept.before,
        };
        kept.map(span).collect()
    }

    fn state(&mut self) -> &mut Stays {
        self.0.get_or_insert_default()
    }
}

fn fate(
    view: EngineView<'_>,
    remembering: Option<&SortedSet<UplinkFamily>>,
    key: &UplinkFamily,
) -> Option<Flows> {
    let is_remembered = || remembering.map(|uplinks| uplinks.contains(key));
    let usual = || is_remembered().map(|is_so| if is_so { Flows::Keep } else { Flows::Move });
    view.settings.failback_flows.fate.or_else(usual)
}

fn uplink_of<'a>(view: EngineView<'a>, (name, _): &UplinkFamily) -> Option<&'a Uplink> {
    let mut uplinks = view.uplinks.iter();
    uplinks.find(|uplink| uplink.settings().name == *name)
}

/// Or not judged yet.
fn is_healthy(uplink: &Uplink, family: Family) -> bool {
    let candidate = uplink.candidate();
    let is_spent = candidate.is_spent();
    match candidate.of_family(uplink.outlook(family), false).state {
        State::Up => uplink.attachment().paths.contains_key(&family) && !is_spent,
        State::Unknown => true,
        State::Degraded
        | State::Down
        | State::Recovering
        | State::Disabled
        | State::Absent
        | State::Cold => false,
    }
}

/// The addresses from which packets of a family go through an uplink.
pub(super) fn addresses(uplink: &Uplink, family: Family) -> SortedSet<IpAddr> {
    let sources = uplink.attachment().sources.iter();
    let addresses = sources.map(IpNet::addr);
    addresses
        .filter(|address| Family::of(*address) == family)
        .collect()
}
