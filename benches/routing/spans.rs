//! Spans of time, and what a table shows of them.

use std::fmt;
use std::time::Duration;

/// Spans that were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Vec<Duration>);

impl Spans {
    pub(crate) fn push(&mut self, span: Duration) {
        self.0.push(span);
    }

    /// The one that so many in a thousand do not exceed.
    fn at(&self, thousandths: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let place = (sorted.len() * thousandths)
            .div_ceil(1000)
            .saturating_sub(1);
        sorted.get(place.min(last)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = [500, 990, 1000].map(|share| self.at(share));
        let unit = if shares[0] < Duration::from_millis(1) {
            "us"
        } else {
            "ms"
        };
        let shown = shares.map(|span| match unit {
            "us" => span.as_micros(),
            _ => span.as_millis(),
        });
        let [median, most, worst] = shown;
        write!(f, "{median} / {most} / {worst} {unit}")
    }
}
