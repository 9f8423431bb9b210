//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

use super::histogram::Histogram;

/// The labels of a sample, each with its value.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The kind of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A text on its way.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// The samples of one metric on their way.
pub(super) struct MetricSamples<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    /// A metric, unless it has no sample.
    pub(super) fn metric(
        &mut self,
        kind: MetricKind,
        name: &'static str,
        help: &str,
        samples: impl FnOnce(&mut MetricSamples<'_>),
    ) {
        let before = self.0.len();
        let _ = writeln!(self.0, "# HELP {name} {help}");
        let _ = writeln!(self.0, "# TYPE {name} {}", kind.as_str());
        let head = self.0.len();
        let text = &mut self.0;
        samples(&mut MetricSamples { text, name });
        if self.0.len() == head {
            self.0.truncate(before);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl MetricSamples<'_> {
    /// A sample.
    pub(super) fn add(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A sample, if its value is known.
    pub(super) fn add_known(&mut self, labels: Labels<'_>, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }

    /// The samples of a histogram.
    pub(super) fn add_histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        for (bound, count) in histogram.buckets() {
            self.line("_bucket", labels, Some(&bound.to_string()), count);
        }
        self.line("_bucket", labels, Some("+Inf"), histogram.count());
        self.line("_sum", labels, None, histogram.sum());
        self.line("_count", labels, None, histogram.count());
    }

    /// `bound`: the label `le` of a bucket.
    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = "{";
        for (label, value) in labels.iter().copied().chain(bound) {
            let _ = write!(self.text, "{before}{label}=\"");
            self.text.extend(value.chars().flat_map(escaped));
            self.text.push('"');
            before = ",";
        }
        let close = if before == "," { "}" } else { "" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

/// A character of the value of a label.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        '\\' => ('\\', Some('\\')),
        '"' => ('\\', Some('"')),
        '\n' => ('\\', Some('n')),
        c => (c, None),
    };
    [first].into_iter().chain(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let mut text = Exposition::default();
        text.metric(MetricKind::Gauge, "m", "Help.", |samples| {
            samples.add(&[("a", "back\\slash"), ("b", "\"quoted\"\nline")], 1);
        });
        let expected = "# HELP m Help.\n# TYPE m gauge\n\
                        m{a=\"back\\\\slash\",b=\"\\\"quoted\\\"\\nline\"} 1\n";
        assert_eq!(text.into_text(), expected);
    }

    #[test]
    fn a_metric_without_a_sample_is_left_out() {
        let mut text = Exposition::default();
        text.metric(MetricKind::Gauge, "m", "Help.", |samples| {
            samples.add_known(&[], None::<f64>);
        });
        assert_eq!(text.into_text(), "");
    }
}
