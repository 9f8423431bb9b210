//! Chance from a seed: the same seed, the same weather.

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and three mixes a draw, any seed is good.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// All draws follow from `seed`.
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream from the same seed; streams of different `salt` have nothing in common.
    #[must_use]
    pub fn fork(&self, salt: u64) -> Self {
        let mut fork = Self(self.0 ^ salt.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self(fork.bits())
    }

    /// Uniform over 0.0 (inclusive) to 1.0 (exclusive).
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
        let numerator = (self.bits() >> 11) as f64;
        numerator * 2_f64.powi(-53)
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        // A draw is spent in any case, so that one setting does not shift the weather of another.
        self.unit() < probability
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
