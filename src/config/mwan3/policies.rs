//! Policies and their members.

use super::links::Mwan3Link;
use super::order::{NO_POLICY, OrderPlace, PolicyOrder, weights};
use super::source::{Mwan3File, note, show};
use crate::config::uci_text::UciSection;

/// The policies of a file, by their names.
pub(super) struct Policies {
    known: Vec<(String, PolicyOrder)>,
    /// What takes the place of a policy where there is none.
    pub(super) all: PolicyOrder,
}

impl Policies {
    /// All of them, with remarks on what is lost.
    pub(super) fn new(
        source: &Mwan3File,
        links: &[Mwan3Link<'_>],
        remarks: &mut Vec<String>,
    ) -> Self {
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
                let order = PolicyOrder {
                    name: name.clone(),
                    places,
                    refuses: last_resort != "default",
                };
                known.push((name.clone(), order));
            }
        }
        for last_resort in last_resorts {
            let meaning = match last_resort {
                "default" => "as here: where no uplink works the routes stay as they are",
                _ => {
                    "`when_none` \"drop\" of a group; no counterpart for the default group: where no \
                     uplink works its routes stay as they are"
                }
            };
            let last_resort = show(last_resort);
            note(
                remarks,
                format_args!("last_resort '{last_resort}': {meaning}."),
            );
        }
        let places = (0..).zip(links).map(|(link, _)| OrderPlace {
            link,
            metric: u32::try_from(link).unwrap_or_default() + 1,
            weight: 1,
        });
        let all = PolicyOrder {
            name: NO_POLICY.to_owned(),
            places: places.collect(),
            refuses: false,
        };
        Self { known, all }
    }

    /// The policy of a name, if it has a member that works.
    pub(super) fn find(&self, name: &str) -> Option<&PolicyOrder> {
        let mut known = self.known.iter();
        let (_, order) = known.find(|(other, _)| other == name)?;
        Some(order).filter(|order| !order.places.is_empty())
    }
}

/// The names of chains must not be longer.
pub(super) const MAX_NAME: usize = 15;

/// A member with a greater metric is none.
const MAX_METRIC: u32 = 256;

fn places(
    source: &Mwan3File,
    policy: &UciSection,
    links: &[Mwan3Link<'_>],
    remarks: &mut Vec<String>,
) -> Vec<OrderPlace> {
    let mut places: Vec<OrderPlace> = Vec::new();
    for name in policy.list("use_member") {
        let member = source.find("member", name);
        let interface = member.and_then(|member| member.get("interface"));
        let link = links
            .iter()
            .position(|link| interface.is_some_and(|name| link.is_of(name)));
        let (Some(member), Some(link)) = (member, link) else {
            let (title, name) = (policy.title(), show(name));
            note(
                remarks,
                format_args!("{title}: use_member '{name}': no enabled interface, left out."),
            );
            continue;
        };
        let place = OrderPlace {
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
    for rank in places.chunk_by_mut(|one, other| one.metric == other.metric) {
        scale(rank, policy, remarks);
    }
    places
}

/// As great as a weight may be.
const MAX_WEIGHT: u32 = 255;

/// Weights of one rank as they may be here, in their proportion.
fn scale(rank: &mut [OrderPlace], policy: &UciSection, remarks: &mut Vec<String>) {
    let greatest = rank.iter().map(|place| place.weight).max();
    let greatest = u64::from(greatest.unwrap_or_default().max(MAX_WEIGHT));
    let before = weights(rank);
    for place in &mut *rank {
        let scaled = (u64::from(place.weight) * u64::from(MAX_WEIGHT) + greatest / 2) / greatest;
        place.weight = u32::try_from(scaled).unwrap_or(MAX_WEIGHT).max(1);
    }
    let after = weights(rank);
    if before != after {
        let title = policy.title();
        note(
            remarks,
            format_args!(
                "{title}: weight {before}: scaled to {after}, as weights go from 1 to {MAX_WEIGHT} here."
            ),
        );
    }
}
