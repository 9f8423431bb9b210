//! How many cases a property is tried with, and which.

use proptest::test_runner::{Config, RngSeed};

/// The cases of an ordinary run are the same in each: what fails there is what was changed.
const ORDINARY: RngSeed = RngSeed::Fixed(2_026);

/// So many in an ordinary run; where `PROPTEST_CASES` is set, as by `.ci/nightly`, that many, and others in each run.
/// `PROPTEST_RNG_SEED` names those of a failure again.
pub(crate) fn cases(ordinary: u32) -> Config {
    let default = Config::default();
    let is_set = |name| std::env::var_os(name).is_some();
    let (cases, rng_seed) = if is_set("PROPTEST_CASES") {
        (default.cases, default.rng_seed)
    } else if is_set("PROPTEST_RNG_SEED") {
        (ordinary, default.rng_seed)
    } else {
        (ordinary, ORDINARY)
    };
    Config {
        cases,
        rng_seed,
        failure_persistence: None,
        ..default
    }
}
