//! Numbers as they are shown: spans in words, figures to a fixed number of places.

use std::time::Duration;

use super::state::State;

/// A span in words, to the tenth of a second below ten seconds.
pub fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format!("{:.1} s", span.as_secs_f64())
    } else {
        format!("{:.0} s", span.as_secs_f64())
    }
}

/// A state with its reason, the word of the state once.
pub(super) fn in_state(state: State, separator: &str, reason: &str) -> String {
    if reason.starts_with(state.as_str()) {
        reason.to_owned()
    } else {
        format!("{state}{separator}{reason}")
    }
}

/// A duration in milliseconds, to the hundredth.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

/// A number to the tenth.
pub fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
