//! What the hosts behind this machine should be told of delegated prefixes.
//!
//! An address of a provider's prefix works through that provider only. So the prefixes of an uplink
//! are preferred while it carries the rest of IPv6, alone or with others, and deprecated while another uplink carries it or none does
//! because the traffic has gone to one without IPv6. Where an uplink carries the rest and has lost its
//! IPv6 that nobody else has, its prefixes stay what they are. At the start, and when a prefix is
//! learnt, it is told as well: an earlier run may have left it otherwise.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::event::{Change, Event};
use super::{Engine, REST};
use crate::engine::uplink::Uplink;
use crate::routing::Family;
use crate::units::{Moment, UplinkName};

/// What was told last of each uplink that has prefixes.
pub(super) type ToldPrefixes = BTreeMap<UplinkName, Told>;

/// What was told last of an uplink's prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    prefixes: BTreeSet<IpNet>,
    is_preferred: bool,
}

impl Engine {
    /// Tells which prefixes are preferred, and which no longer are.
    pub(super) fn tell_of_prefixes(&mut self, now: Moment) {
        let uplinks = &self.uplinks;
        let has = |name: &UplinkName| uplinks.iter().any(|u| u.settings().name == *name);
        self.told_prefixes.retain(|name, _| has(name));
        let news: Vec<_> = (self.uplinks.iter())
            .filter_map(|uplink| Some((uplink, self.news_of_prefixes(uplink)?)))
            .map(|(uplink, told)| (uplink.settings().clone(), told))
            .collect();
        for (settings, told) in news {
            let reason = if told.is_preferred {
                format!("{} carries IPv6", settings.name)
            } else {
                format!("{} does not carry IPv6", settings.name)
            };
            self.outbox.events.push(Event {
                at: now,
                change: Change::Prefix {
                    uplink: settings.name.clone(),
                    interface: settings.interface,
                    prefixes: told.prefixes.clone(),
                    is_preferred: told.is_preferred,
                },
                reason,
            });
            self.told_prefixes.insert(settings.name, told);
        }
    }

    fn news_of_prefixes(&self, uplink: &Uplink) -> Option<Told> {
        let name = &uplink.settings().name;
        let leader = self.carrier()?;
        let before = self.told_prefixes.get(name);
        let seen = uplink.attachment().prefixes.iter();
        let seen: BTreeSet<_> = seen
            .filter(|net| Family::of(net.addr()) == Family::Ipv6)
            .copied()
            .collect();
        // With its link its prefixes are out of sight, and still in use.
        let prefixes = match before {
            Some(before) if seen.is_empty() => before.prefixes.clone(),
            Some(_) | None => seen,
        };
        let carriers = self.groups[REST].carriers_of(Family::Ipv6, &self.uplinks);
        let stays = || leader == name && before.is_none_or(|before| before.is_preferred);
        let is_preferred = carriers.contains(name) || (carriers.is_empty() && stays());
        let told = Told {
            prefixes,
            is_preferred,
        };
        (!told.prefixes.is_empty() && before != Some(&told)).then_some(told)
    }
}
