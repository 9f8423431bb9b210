//! Policies and their members: in which order uplinks are preferred, and which share.

use super::links::Link;
use super::{Section, Source, note};

/// Which uplinks carry some traffic, the most preferred first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    /// Of the policy.
    pub(super) name: String,
    pub(super) places: Vec<Place>,
}

/// An uplink in an order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) link: usize,
    pub(super) metric: u32,
    pub(super) weight: u32,
}

impl Order {
    /// Several uplinks are of one rank.
    pub(super) fn is_shared(&self) -> bool {
        let mut pairs = self.places.windows(2);
        pairs.any(|pair| pair[0].metric == pair[1].metric)
    }

    /// All are.
    pub(super) fn is_flat(&self) -> bool {
        let mut pairs = self.places.windows(2);
        self.places.len() > 1 && pairs.all(|pair| pair[0].metric == pair[1].metric)
    }

    /// The same uplinks, as preferred and as shared, weights aside.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let are_as_many = self.places.len() == other.places.len();
        let mut places = self.places.iter();
        are_as_many && places.all(|place| other.rank(place.link) == self.rank(place.link))
    }

    /// How many uplinks go before one.
    fn rank(&self, link: usize) -> Option<usize> {
        let own = self.places.iter().find(|place| place.link == link)?;
        let mut places = self.places.iter();
        places.position(|place| place.metric == own.metric)
    }
}

/// The policies of a file, by their names.
pub(super) struct Policies {
    known: Vec<(String, Order)>,
    /// What takes the place of a policy where there is none.
    pub(super) all: Order,
}

impl Policies {
    /// All of them, with remarks on what is lost.
    pub(super) fn new(source: &Source, links: &[Link<'_>], remarks: &mut Vec<String>) -> Self {
        for member in source.all("member") {
            member.remark(&[], &["interface", "metric", "weight"], remarks);
        }
        let mut last_resorts: Vec<&str> = Vec::new();
        let mut known = Vec::new();
        for policy in source.all("policy") {
            policy.remark(&[], &["use_member", "last_resort"], remarks);
            let Some(name) = &policy.name else { continue };
            let last_resort = policy.get("last_resort").unwrap_or("unreachable");
            if !last_resorts.contains(&last_resort) {
                last_resorts.push(last_resort);
            }
            if name.len() > MAX_NAME {
                let title = policy.title();
                note(
                    remarks,
                    format_args!("{title}: mwan3 ignores names of more than 15 letters."),
                );
            } else {
                let places = places(source, policy, links, remarks);
                let name = name.clone();
                known.push((name.clone(), Order { name, places }));
            }
        }
        for last_resort in last_resorts {
            let meaning = match last_resort {
                "default" => "as here: where no uplink works the routes stay as they are",
                _ => {
                    "no counterpart: where no uplink works the routes stay as they are, and a group \
                     of which none works goes with the rest. To forbid that is up to the firewall"
                }
            };
            let last_resort = super::show(last_resort);
            note(
                remarks,
                format_args!("last_resort '{last_resort}': {meaning}."),
            );
        }
        let places = (0..).zip(links).map(|(link, _)| Place {
            link,
            metric: u32::try_from(link).unwrap_or_default() + 1,
            weight: 1,
        });
        let all = Order {
            name: NO_POLICY.to_owned(),
            places: places.collect(),
        };
        Self { known, all }
    }

    /// The policy of a name, if it has a member that works.
    pub(super) fn find(&self, name: &str) -> Option<&Order> {
        let mut known = self.known.iter();
        let (_, order) = known.find(|(other, _)| other == name)?;
        Some(order).filter(|order| !order.places.is_empty())
    }
}

/// The main table, as rules name it.
pub(super) const NO_POLICY: &str = "default";

/// The names of chains must not be longer.
pub(super) const MAX_NAME: usize = 15;

/// A member with a greater metric is none.
const MAX_METRIC: u32 = 256;

fn places(
    source: &Source,
    policy: &Section,
    links: &[Link<'_>],
    remarks: &mut Vec<String>,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for name in policy.list("use_member") {
        let member = source.find("member", name);
        let interface = member.and_then(|member| member.get("interface"));
        let link = links
            .iter()
            .position(|link| interface.is_some_and(|name| link.is_of(name)));
        let (Some(member), Some(link)) = (member, link) else {
            let (title, name) = (policy.title(), super::show(name));
            note(
                remarks,
                format_args!("{title}: use_member '{name}': no enabled interface, left out."),
            );
            continue;
        };
        let place = Place {
            link,
            metric: member.number("metric").unwrap_or(1),
            weight: member.number("weight").unwrap_or(1),
        };
        if place.metric > MAX_METRIC {
            let title = member.title();
            note(
                remarks,
                format_args!("{title}: mwan3 ignores metrics beyond 256."),
            );
            continue;
        }
        let known = places.iter().position(|other| other.link == place.link);
        if let Some(known) = known {
            if places[known].metric <= place.metric {
                continue;
            }
            places.remove(known);
        }
        let at = places.partition_point(|other| other.metric <= place.metric);
        places.insert(at, place);
    }
    places
}
