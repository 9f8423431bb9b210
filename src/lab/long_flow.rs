//! Long flows of the client, and how long after a switch they go on. Pure.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::lab::call::CallQuality;
use crate::lab::stream::TimeRange;
use crate::units::Moment;
use crate::units::sorted::SortedMap;

/// The long flows, each open for as long as the play lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LongFlow {
    /// A TCP connection by which both ends speak; opened again whenever it is reset.
    Tcp,
    /// UDP from one socket with a connection id, as QUIC has it: the far end speaks unasked, and to
    /// where it was last heard from.
    Quic,
}

impl LongFlow {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Tcp, Self::Quic];
}

/// What a flow's client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowNews {
    /// The far end has what was sent then.
    Answer {
        /// When it was sent.
        sent: Moment,
    },
    /// The connection is over.
    Reset,
}

/// What all flows have heard so far, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowLog(SortedMap<LongFlow, Vec<(Moment, FlowNews)>>);

/// What became of a flow when the traffic moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FlowOutcome {
    /// Which one.
    pub flow: LongFlow,
    /// How long after the switch its client heard of it; none if it hangs.
    #[serde(rename = "after_ms", serialize_with = "milliseconds")]
    pub after: Option<Duration>,
    /// What it heard was a reset: the client may begin anew. Otherwise it goes on.
    pub is_reset: bool,
}

impl FlowLog {
    /// Takes in what a client heard.
    pub(super) fn handle(&mut self, flow: LongFlow, at: Moment, word: FlowNews) {
        self.0.entry(flow).or_default().push((at, word));
    }

    /// How a call sounds that goes like the QUIC-like flow.
    pub(super) fn call(&self, TimeRange { from, to }: TimeRange) -> CallQuality {
        let heard = self.0.get(&LongFlow::Quic).into_iter().flatten();
        let answers = heard.filter_map(|(at, word)| match word {
            FlowNews::Answer { sent } => (from..to).contains(at).then_some((*at, *sent)),
            FlowNews::Reset => None,
        });
        CallQuality::of(&answers.collect::<Vec<_>>(), to.since(from))
    }

    /// What became of a flow after a switch: answers to what was sent before it do not count, they
    /// may have been on their way.
    pub(super) fn fate(&self, flow: LongFlow, switch: Moment) -> FlowOutcome {
        let heard = self.0.get(&flow).into_iter().flatten();
        let mut news = heard.filter(|(at, word)| match word {
            FlowNews::Answer { sent } => *sent >= switch,
            FlowNews::Reset => *at >= switch,
        });
        let first = news.next();
        FlowOutcome {
            flow,
            after: first.map(|(at, _)| at.since(switch)),
            is_reset: first.is_some_and(|(_, word)| *word == FlowNews::Reset),
        }
    }
}

impl fmt::Display for LongFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Quic => "QUIC-like UDP",
        })
    }
}

impl fmt::Display for FlowOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flow,
            after,
            is_reset,
        } = self;
        match after {
            None => write!(f, "{flow} hangs"),
            Some(after) => {
                let how = if *is_reset { "is reset" } else { "goes on" };
                write!(f, "{flow} {how} {} ms after the switch", after.as_millis())
            }
        }
    }
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn milliseconds<S: serde::Serializer>(
    span: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => serializer.serialize_some(&(span.as_secs_f64() * 1000.0)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::after_start(Duration::from_millis(milliseconds))
    }

    fn fate(words: &[(u64, FlowNews)]) -> (Option<u128>, bool) {
        let mut heard = FlowLog::default();
        for (when, word) in words {
            heard.handle(LongFlow::Tcp, at(*when), *word);
        }
        let fate = heard.fate(LongFlow::Tcp, at(1000));
        (fate.after.map(|after| after.as_millis()), fate.is_reset)
    }

    fn answer(sent: u64) -> FlowNews {
        FlowNews::Answer { sent: at(sent) }
    }

    #[test]
    fn an_answer_to_what_was_sent_before_the_switch_does_not_count() {
        assert_eq!(fate(&[(1010, answer(990))]), (None, false));
        let words = [(1010, answer(990)), (1050, answer(1030))];
        assert_eq!(fate(&words), (Some(50), false));
    }

    #[test]
    fn a_reset_counts_as_news_and_one_before_the_switch_does_not() {
        let words = [
            (900, FlowNews::Reset),
            (1300, FlowNews::Reset),
            (1400, answer(1390)),
        ];
        assert_eq!(fate(&words), (Some(300), true));
    }
}
