//! Numbers in sentences, and the middle of several.

use std::ops::{Add, Div};

/// So many of a thing: `1 flow`, `2 flows`.
pub fn plural(count: usize, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {word}{ending}")
}

/// The middle of values in their order, or the mean of the two in the middle.
pub fn median<T: Copy + Add<Output = T> + Div<Output = T> + From<u8>>(sorted: &[T]) -> Option<T> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some((*lower + *upper) / T::from(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median::<u64>(&[]), None);
        assert_eq!(median(&[3_u64]), Some(3));
        assert_eq!(median(&[400_u64, 1_000]), Some(700));
        assert_eq!(median(&[1_u64, 2, 9]), Some(2));
        assert_eq!(median(&[0.5, 1.0, 2.0, 9.0]), Some(1.5));
    }
}
