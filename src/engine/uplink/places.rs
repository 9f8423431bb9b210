//! Some of the targets of an uplink, by their places.

/// A set of places, in order. Targets are asked a thousand times an hour, and a set that allocates
/// nothing is chosen from for next to nothing; no uplink has so many targets that one does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(u64);

impl Places {
    /// How many.
    pub(super) fn len(self) -> usize {
        // At most 64.
        self.0.count_ones() as usize
    }

    /// None at all.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is among them.
    pub(super) fn contains(self, place: usize) -> bool {
        self.0 & bit(place) != 0
    }

    /// Whether all of these are among them.
    pub(super) fn contains_all(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// With this one.
    pub(super) fn with(self, place: usize) -> Self {
        Self(self.0 | bit(place))
    }

    /// Without this one.
    pub(super) fn without(self, place: usize) -> Self {
        Self(self.0 & !bit(place))
    }

    /// Each, the first first.
    pub(super) fn iter(self) -> impl Iterator<Item = usize> + Clone {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let first = rest.trailing_zeros() as usize;
            rest &= rest.checked_sub(1)?;
            Some(first)
        })
    }

    /// All but the last.
    pub(super) fn without_last(self) -> Self {
        let last = self.0.checked_ilog2().map_or(0, |last| 1 << last);
        Self(self.0 & !last)
    }

    /// So many of them, others at each turn.
    pub(super) fn in_turn(self, count: usize, turn: usize) -> impl Iterator<Item = usize> {
        let first = turn.wrapping_mul(count) % self.len().max(1);
        self.iter().cycle().skip(first).take(count.min(self.len()))
    }
}

impl FromIterator<usize> for Places {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        Self(places.into_iter().map(bit).fold(0, |set, bit| set | bit))
    }
}

fn bit(place: usize) -> u64 {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    1_u64.checked_shl(place).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_leave_none_out() {
        let places: Places = [5, 1, 63].into_iter().collect();
        let turn = |turn| places.in_turn(2, turn).collect::<Vec<_>>();
        assert_eq!([turn(0), turn(1), turn(2)], [[1, 5], [63, 1], [5, 63]]);
        assert_eq!(places.in_turn(9, usize::MAX).count(), 3);
        assert_eq!(Places::default().in_turn(1, 7).count(), 0);
    }
}
