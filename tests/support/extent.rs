//! How long a test goes on that could go on for hours.

/// So long in an ordinary run, and so long where `LONG_TESTS` is in the environment, as in
/// `.ci/nightly`. The guarantee is the same.
pub(crate) fn extent<T>(ordinary: T, long: T) -> T {
    if std::env::var_os("LONG_TESTS").is_some() {
        long
    } else {
        ordinary
    }
}
