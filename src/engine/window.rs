//! What became of the probes to one target lately: loss, round trip, jitter.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::units::{Loss, Moment, ProbeId};

/// The most samples that a window holds, whatever its length in time.
pub const CAPACITY: usize = 64;

/// The recent outcomes of the probes to one target, oldest first.
#[derive(Clone, Debug)]
pub struct Window {
    length: Duration,
    /// What was sent before is not taken.
    began: Moment,
    samples: VecDeque<Sample>,
    lost: usize,
    /// No probe after this one is among the samples: most answers are news.
    newest: Option<ProbeId>,
    jitter: Jitter,
}

/// A room that is used by less than this share is given back, unless it is small.
const LEAST_USE: usize = 4;
const SMALL_ROOM: usize = 16;

/// Small, because there are many: a round trip is kept in microseconds, and none means lost; of the
/// number of the probe the lower part tells it from the few others here.
#[derive(Clone, Copy, Debug)]
struct Sample {
    sent: SampleTime,
    id: u16,
    rtt_micros: Option<NonZeroU32>,
}

/// Microseconds since the beginning, most significant part first: 48 bits last for nine years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SampleTime([u16; 3]);

impl From<Moment> for SampleTime {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each part is 16 bits of it"
    )]
    fn from(moment: Moment) -> Self {
        let micros = moment.since_start().as_micros();
        Self([(micros >> 32) as u16, (micros >> 16) as u16, micros as u16])
    }
}

impl Window {
    /// An empty window over the last `length`.
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            began: Moment::START,
            samples: VecDeque::new(),
            lost: 0,
            newest: None,
            jitter: Jitter::default(),
        }
    }

    /// The probe `id`, sent at `sent`, was answered after `rtt`. If it had been given up for lost,
    /// that is undone.
    pub fn answered(&mut self, id: ProbeId, sent: Moment, rtt: Duration) {
        if sent < self.began {
            return;
        }
        match self.known(id) {
            Some(sample) => {
                if sample.rtt_micros.replace(whole_micros(rtt)).is_none() {
                    self.lost -= 1;
                }
            }
            None => self.push(id, sent, Some(whole_micros(rtt))),
        }
    }

    /// The probe `id`, sent at `sent`, was not answered in time.
    pub fn missed(&mut self, id: ProbeId, sent: Moment) {
        if sent >= self.began {
            self.push(id, sent, None);
        }
    }

    /// The round trips of two successive answers differ as this one and the last do.
    pub fn follow(&mut self, rtt: Duration) {
        self.jitter.observe(rtt);
    }

    /// The last answer says nothing about how successive ones differ.
    pub fn interrupt_jitter(&mut self) {
        self.jitter.previous = None;
    }

    /// What was sent before `since` is of another time: it is forgotten, and what else becomes known of it is not taken.
    pub fn begin(&mut self, since: Moment) {
        self.began = since;
        let since = SampleTime::from(since);
        self.samples.retain(|sample| sample.sent >= since);
        let lost = self.samples.iter().filter(|s| s.rtt_micros.is_none());
        self.lost = lost.count();
        self.jitter = Jitter::default();
    }

    /// It is to be this long from now on.
    pub fn set_length(&mut self, length: Duration) {
        self.length = length;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.length);
    }

    /// Forgets what is older than the window is long.
    pub fn expire(&mut self, now: Moment) {
        let horizon = SampleTime::from(now - self.length);
        while let Some(oldest) = self.samples.front()
            && oldest.sent < horizon
        {
            self.pop();
        }
        let room = self.samples.capacity();
        if room > SMALL_ROOM && self.samples.len() < room / LEAST_USE {
            self.samples.shrink_to(SMALL_ROOM);
        }
    }

    /// How many outcomes are in the window, and how many of them are misses.
    pub fn counts(&self) -> (usize, usize) {
        (self.samples.len(), self.lost)
    }

    /// The last outcomes are misses, this many at least.
    pub fn ends_in_misses(&self, at_least: usize) -> bool {
        let mut last = self.samples.iter().rev();
        self.samples.len() >= at_least
            && last.by_ref().take(at_least).all(|s| s.rtt_micros.is_none())
    }

    /// The share of misses; none while the window is empty.
    pub fn loss(&self) -> Option<Loss> {
        loss_of(self.counts())
    }

    /// The median round trip; none while nothing was answered.
    pub fn median_rtt(&self) -> Option<Duration> {
        self.rtt_at(|count| count / 2)
    }

    /// The round trip that 95 % of the answered probes do not exceed; none while nothing was
    /// answered.
    pub fn p95_rtt(&self) -> Option<Duration> {
        self.rtt_at(|count| (count * 19).div_ceil(20) - 1)
    }

    /// The round trip at a rank, counted from 0, that depends on how many there are.
    fn rtt_at(&self, rank: impl Fn(usize) -> usize) -> Option<Duration> {
        let mut rtts: Vec<_> = self.samples.iter().filter_map(|s| s.rtt_micros).collect();
        let rank = (!rtts.is_empty()).then(|| rank(rtts.len()))?;
        let rtt = rtts.select_nth_unstable(rank).1.get();
        Some(Duration::from_micros(rtt.into()))
    }

    /// The jitter of the round trips; none before the second answer.
    pub fn jitter(&self) -> Option<Duration> {
        self.jitter.estimate
    }

    fn known(&mut self, id: ProbeId) -> Option<&mut Sample> {
        if self.newest < Some(id) {
            return None;
        }
        let id = lower_part(id);
        self.samples.iter_mut().rev().find(|sample| sample.id == id)
    }

    fn push(&mut self, id: ProbeId, sent: Moment, rtt_micros: Option<NonZeroU32>) {
        self.newest = self.newest.max(Some(id));
        if self.samples.len() == CAPACITY {
            self.pop();
        }
        self.lost += usize::from(rtt_micros.is_none());
        self.samples.push_back(Sample {
            id: lower_part(id),
            sent: sent.into(),
            rtt_micros,
        });
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.samples.pop_front() {
            self.lost -= usize::from(oldest.rtt_micros.is_none());
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is the purpose")]
fn lower_part(ProbeId(id): ProbeId) -> u16 {
    id as u16
}

fn whole_micros(rtt: Duration) -> NonZeroU32 {
    let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
    NonZeroU32::new(micros).unwrap_or(NonZeroU32::MIN)
}

/// The share of misses among (all, missed) outcomes; none of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn loss_of((all, missed): (usize, usize)) -> Option<Loss> {
    (all > 0).then(|| Loss::from_ratio(missed as f64 / all as f64))
}

/// Interarrival jitter as in RFC 3550, section 6.4.1: J += (|D| - J) / 16, where D is the
/// difference between two successive round trips.
#[derive(Clone, Copy, Debug, Default)]
struct Jitter {
    previous: Option<Duration>,
    estimate: Option<Duration>,
}

impl Jitter {
    fn observe(&mut self, rtt: Duration) {
        if let Some(previous) = self.previous.replace(rtt) {
            let difference = rtt.abs_diff(previous);
            self.estimate = Some(match self.estimate {
                None => difference,
                Some(jitter) => jitter * 15 / 16 + difference / 16,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_start(Duration::from_millis(millis))
    }

    const RTT: Duration = Duration::from_millis(10);

    #[test]
    fn a_late_reply_undoes_the_miss() {
        let mut window = Window::new(Duration::from_secs(30));
        window.missed(ProbeId(1), at(0));
        assert_eq!(window.counts(), (1, 1));
        window.answered(ProbeId(1), at(0), RTT);
        assert_eq!(window.counts(), (1, 0));
        window.answered(ProbeId(1), at(0), RTT);
        assert_eq!(window.counts(), (1, 0), "a second answer changes nothing");
    }

    #[test]
    fn the_window_is_bounded_in_time_and_in_number() {
        let mut window = Window::new(Duration::from_secs(30));
        for id in 0..1000 {
            window.missed(ProbeId(id), at(id * 10));
        }
        assert_eq!(window.counts(), (CAPACITY, CAPACITY));
        window.expire(at(60_000));
        assert_eq!(window.counts(), (0, 0));
        assert_eq!(window.loss(), None);
    }

    #[test]
    fn the_median_and_the_95th_percentile_are_of_those_that_were_answered() {
        let mut window = Window::new(Duration::from_secs(30));
        assert_eq!(window.p95_rtt(), None);
        for id in 1..=20 {
            window.answered(ProbeId(id), at(id), Duration::from_millis(id));
            window.missed(ProbeId(100 + id), at(id));
        }
        assert_eq!(window.median_rtt(), Some(Duration::from_millis(11)));
        assert_eq!(window.p95_rtt(), Some(Duration::from_millis(19)));
    }

    #[test]
    fn jitter_follows_rfc_3550() {
        let mut window = Window::new(Duration::from_secs(30));
        window.follow(Duration::from_millis(10));
        assert_eq!(window.jitter(), None);
        window.follow(Duration::from_millis(26));
        assert_eq!(window.jitter(), Some(Duration::from_millis(16)));
        window.follow(Duration::from_millis(26));
        assert_eq!(window.jitter(), Some(Duration::from_millis(15)));
    }

    #[test]
    fn a_window_that_begins_anew_knows_nothing_of_what_was_sent_before() {
        let mut window = Window::new(Duration::from_secs(30));
        for id in 0..10 {
            window.missed(ProbeId(id), at(id));
            window.follow(RTT * 20);
        }
        window.begin(at(10));
        window.missed(ProbeId(10), at(9));
        window.answered(ProbeId(3), at(3), RTT);
        assert_eq!((window.counts(), window.jitter()), ((0, 0), None));
        window.answered(ProbeId(11), at(10), RTT);
        assert_eq!(window.counts(), (1, 0));
    }
}
