//! What the hosts behind this machine should know of delegated prefixes.
//!
//! An address of a provider's prefix works through that provider only. So the prefixes of an uplink are preferred
//! while it carries the IPv6 traffic of the default group, alone or with others, and deprecated while another uplink
//! carries it, or none because the traffic has gone to one without IPv6. Where an uplink carries the default group
//! and has lost its IPv6, which no other uplink has, its prefixes stay what they are. They are announced at the start
//! and whenever a prefix is learnt as well: an earlier run may have left them otherwise.

use ipnet::IpNet;

use super::event::{Change, Event};
use super::uplink::Uplink;
use super::view::EngineView;
use crate::routing::Family;
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{Moment, UplinkName};

/// What was announced last of each uplink that has prefixes. By name, since reloads change ids.
#[derive(Clone, Debug, Default)]
pub(super) struct PrefixAnnouncements(SortedMap<UplinkName, Announced>);

/// What was announced last of an uplink's prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Announced {
    prefixes: SortedSet<IpNet>,
    is_preferred: bool,
}

impl PrefixAnnouncements {
    /// Which prefixes are preferred now and were not, and which no longer are.
    pub(super) fn changes(&mut self, view: EngineView<'_>, now: Moment) -> Vec<Event> {
        let has = |name: &UplinkName| view.uplinks.iter().any(|u| u.settings().name == *name);
        self.0.retain(|name, _| has(name));
        let mut events = Vec::new();
        for uplink in view.uplinks {
            let Some(announced) = self.change_of(view, uplink) else {
                continue;
            };
            let settings = uplink.settings();
            let reason = if announced.is_preferred {
                format!("{} carries IPv6", settings.name)
            } else {
                format!("{} does not carry IPv6", settings.name)
            };
            events.push(Event {
                at: now,
                change: Change::Prefix {
                    uplink: settings.name.clone(),
                    interface: settings.interface.clone(),
                    prefixes: announced.prefixes.clone(),
                    is_preferred: announced.is_preferred,
                },
                reason,
            });
            self.0.insert(settings.name.clone(), announced);
        }
        events
    }

    fn change_of(&self, view: EngineView<'_>, uplink: &Uplink) -> Option<Announced> {
        let default_group = view.groups.default_group();
        let leader = default_group.leader()?;
        let before = self.0.get(&uplink.settings().name);
        let seen = uplink.attachment().prefixes.iter();
        let seen: SortedSet<_> = seen
            .filter(|net| Family::of(net.addr()) == Family::Ipv6)
            .copied()
            .collect();
        // With its link its prefixes are out of sight, and still in use.
        let prefixes = match before {
            Some(before) if seen.is_empty() => before.prefixes.clone(),
            Some(_) | None => seen,
        };
        let carriers = default_group.carriers_of(Family::Ipv6, view.uplinks);
        let stays = || leader == uplink.id() && before.is_none_or(|before| before.is_preferred);
        let is_preferred = carriers.contains(&uplink.id()) || (carriers.is_empty() && stays());
        let announced = Announced {
            prefixes,
            is_preferred,
        };
        (!announced.prefixes.is_empty() && before != Some(&announced)).then_some(announced)
    }
}
