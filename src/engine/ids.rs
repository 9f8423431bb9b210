//! Uplinks and groups as the engine knows them: by their place in the configuration. Names are for its edge.

/// An uplink, by its place in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UplinkId(usize);

impl UplinkId {
    /// The uplink at a place.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// Its place.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A group of traffic; the default group comes first, then those of the configuration in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId(usize);

impl GroupId {
    /// The group of all traffic that no rule claims.
    pub const DEFAULT: Self = Self(0);

    /// The group at a place.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// Its place.
    pub const fn index(self) -> usize {
        self.0
    }
}
