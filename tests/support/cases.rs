//! How many cases a property is tried with.

use proptest::test_runner::Config;

/// So many in an ordinary run; `PROPTEST_CASES` where it is set, as by `.ci/nightly`.
pub(crate) fn cases(ordinary: u32) -> Config {
    let default = Config::default();
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    Config {
        cases: if is_set { default.cases } else { ordinary },
        failure_persistence: None,
        ..default
    }
}
