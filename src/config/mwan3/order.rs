//! In which order uplinks are preferred, and which share.

use super::source::join;

/// The main table, as rules name it.
pub(super) const NO_POLICY: &str = "default";

/// Which uplinks carry some traffic, the most preferred first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PolicyOrder {
    /// Of the policy.
    pub(super) name: String,
    pub(super) places: Vec<OrderPlace>,
    /// Without an uplink that works its traffic is refused.
    pub(super) refuses: bool,
}

/// An uplink in an order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OrderPlace {
    pub(super) link: usize,
    pub(super) metric: u32,
    pub(super) weight: u32,
}

impl PolicyOrder {
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

    /// Those of one rank share in the proportion of these weights.
    pub(super) fn is_weighed(&self, weight: impl Fn(usize) -> u32) -> bool {
        let product = |one: &OrderPlace, other: &OrderPlace| {
            u64::from(one.weight) * u64::from(weight(other.link))
        };
        self.places.windows(2).all(|pair| {
            pair[0].metric != pair[1].metric
                || product(&pair[0], &pair[1]) == product(&pair[1], &pair[0])
        })
    }

    /// Its weight where an uplink shares its rank.
    pub(super) fn shared_weight(&self, link: usize) -> Option<u32> {
        let (metric, weight) = self.tier(link)?;
        let rank = self.places.iter().filter(|place| place.metric == metric);
        (rank.count() > 1).then_some(weight)
    }

    /// How many uplinks go before one.
    fn rank(&self, link: usize) -> Option<usize> {
        let own = self.places.iter().find(|place| place.link == link)?;
        let mut places = self.places.iter();
        places.position(|place| place.metric == own.metric)
    }

    /// Where an uplink stands in it.
    pub(super) fn tier(&self, link: usize) -> Option<(u32, u32)> {
        let mut places = self.places.iter();
        let place = places.find(|place| place.link == link)?;
        Some((place.metric, place.weight))
    }
}

/// `1000 and 300`
pub(super) fn weights(places: &[OrderPlace]) -> String {
    let weights = places.iter().map(|place| place.weight.to_string());
    let weights: Vec<_> = weights.collect();
    join(&weights.iter().map(String::as_str).collect::<Vec<_>>())
}
