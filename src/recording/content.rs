//! The content of a recording.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::counts::Counts;
use super::error::{LineFault, Quoted, RecordingError};
use super::samples::Samples;
use crate::engine::input::Input;
use crate::units::{Target, Timestamp, UplinkName};

/// More uplinks than any router has.
const MOST_UPLINKS: usize = 64;
/// More targets than any uplink may have.
const MOST_TARGETS: usize = 16;

/// The longest span of a recording: two years, in seconds.
const LONGEST_SPAN: f64 = 2.0 * 365.0 * 86_400.0;

/// The content of one or more files.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The uplinks in the order in which they first appear.
    pub tracks: Vec<Track>,
    /// The other inputs of the engine with their times, in order.
    pub inputs: Vec<(f64, Input)>,
    /// The time of the wall clock at the time 0 of the recording, in seconds since 1970, where the recording tells it.
    pub epoch: Option<f64>,
    /// The counters of each uplink's interface.
    pub counts: BTreeMap<UplinkName, Counts>,
    /// The true outages.
    pub truth: Vec<MarkedOutage>,
    /// Target names that do not parse, by the address that stands for them.
    pub aliases: BTreeMap<Target, String>,
    /// What a reader should know of the files.
    pub remarks: Vec<String>,
}

/// One uplink of a recording.
#[derive(Clone, Debug)]
pub struct Track {
    /// Its name.
    pub uplink: UplinkName,
    /// The probes to each target, in the order in which the targets first appear.
    pub targets: Vec<(Target, Samples)>,
}

impl Track {
    /// From each probe that was not answered to the next one that was, whatever its target; in seconds of the recording.
    pub fn silences(&self) -> Vec<(f64, f64)> {
        let samples = self.targets.iter().flat_map(|(_, samples)| samples.fates());
        let mut fates: Vec<_> = samples.collect();
        fates.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let mut silences: Vec<(f64, f64)> = Vec::new();
        let mut is_silent = false;
        for (at, is_answered) in fates {
            match silences.last_mut().filter(|_| is_silent) {
                Some((_, until)) => *until = at,
                None if !is_answered => silences.push((at, at)),
                None => {}
            }
            is_silent = !is_answered;
        }
        silences
    }
}

/// A true outage of an uplink, in seconds of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkedOutage {
    /// The uplink.
    pub uplink: UplinkName,
    /// Its beginning.
    pub from: f64,
    /// Its end.
    pub to: f64,
}

impl Recording {
    /// The times of the first and the last probe, in seconds.
    pub fn span(&self) -> (f64, f64) {
        let samples = self.tracks.iter().flat_map(|track| &track.targets);
        let spans = samples.filter_map(|(_, samples)| samples.span());
        let (from, to) = spans.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), span| {
            (from.min(span.0), to.max(span.1))
        });
        if from <= to { (from, to) } else { (0.0, 0.0) }
    }

    /// What the wall clock showed at a time of the recording. Times of a recording that names none are those of the
    /// clock, unless it began before that was set.
    pub fn wall_clock(&self, time: f64) -> Option<Timestamp> {
        let since_1970 = Duration::try_from_secs_f64(self.epoch.unwrap_or(0.0) + time).ok()?;
        let utc = SystemTime::UNIX_EPOCH.checked_add(since_1970)?;
        Some(Timestamp(utc)).filter(|time| time.is_set())
    }

    /// The number of probes.
    pub fn probes(&self) -> usize {
        let samples = self.tracks.iter().flat_map(|track| &track.targets);
        samples.map(|(_, samples)| samples.len()).sum()
    }

    /// A clock that was set during the recording leaves a gap of decades.
    pub(super) fn check_span(&self) -> Result<(), RecordingError> {
        let (from, to) = self.span();
        if to - from <= LONGEST_SPAN {
            return Ok(());
        }
        let samples = self.tracks.iter().flat_map(|track| &track.targets);
        let gaps = samples.filter_map(|(_, samples)| samples.longest_gap());
        let longest = gaps.max_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0)));
        let (from, to) = longest.unwrap_or((from, to));
        Err(RecordingError::Gap { from, to })
    }

    /// The samples of a target; a new target is added.
    pub(super) fn samples(
        &mut self,
        uplink: &UplinkName,
        target: &Target,
    ) -> Result<&mut Samples, LineFault> {
        let place = match self.tracks.iter().position(|track| track.uplink == *uplink) {
            Some(place) => place,
            None if self.tracks.len() == MOST_UPLINKS => return Err(LineFault::TooManyUplinks),
            None => {
                self.tracks.push(Track {
                    uplink: uplink.clone(),
                    targets: Vec::new(),
                });
                self.tracks.len() - 1
            }
        };
        let targets = &mut self.tracks[place].targets;
        let place = match targets.iter().position(|(known, _)| known == target) {
            Some(place) => place,
            None if targets.len() == MOST_TARGETS => return Err(LineFault::TooManyTargets),
            None => {
                targets.push((target.clone(), Samples::default()));
                targets.len() - 1
            }
        };
        Ok(&mut targets[place].1)
    }

    /// The target of a text. A text that does not parse gets an address of the reserved range
    /// 240.0.0.0/4 (RFC 1112).
    pub(super) fn target(&mut self, text: &str) -> Result<Target, LineFault> {
        if let Ok(target) = text.parse() {
            return Ok(target);
        }
        let is_name = !text.is_empty() && text.len() <= 255 && !text.contains(char::is_control);
        if !is_name {
            return Err(LineFault::Target(Quoted::new(text)));
        }
        let known = self.aliases.iter().find(|(_, alias)| *alias == text);
        if let Some((target, _)) = known {
            return Ok(target.clone());
        }
        let number = u32::try_from(self.aliases.len() + 1).unwrap_or(u32::MAX);
        let target = Target::Icmp(std::net::Ipv4Addr::from(0xf000_0000 | number).into());
        self.aliases.insert(target.clone(), text.to_owned());
        Ok(target)
    }
}
