//! In which order uplinks are preferred, and which share.

/// The main table, as rules name it.
pub(super) const NO_POLICY: &str = "default";

/// Which uplinks carry some traffic, the most preferred first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PolicyOrder {
    /// Of the policy.
    pub(super) name: String,
    pub(super) places: Vec<OrderPlace>,
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
