//! The verdicts and switches of one run of the engine on a recording.

use serde::Serialize;

use super::felt::{ConnectionCourse, FeltCost, SWITCH_COST};
use crate::engine::action::{Departure, DepartureCause};
use crate::engine::event::cause::SwitchCause;
use crate::engine::event::{Change, Event, SoftSwitch};
use crate::engine::settings::UplinkSettings;
use crate::engine::state::State;
use crate::recording::{MarkedOutage, Recording};
use crate::routing::Family;
use crate::units::counting::median;
use crate::units::{Moment, UplinkName};

/// The result of a run; times in seconds of the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ReplayRun {
    /// The configuration that was tried.
    #[serde(skip)]
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) verdicts: Vec<ReplayVerdict>,
    pub(super) switches: Vec<ReplaySwitch>,
    /// Of new connections only.
    pub(super) soft_switches: Vec<ReplaySwitch>,
    pub(super) felt: FeltCost,
    pub(super) uplinks: Vec<UplinkTotal>,
    /// Only where true outages are marked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truth: Option<TruthScore>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ReplayVerdict {
    pub(super) at: f64,
    pub(super) uplink: UplinkName,
    pub(super) from: State,
    pub(super) to: State,
    pub(super) reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ReplaySwitch {
    pub(super) at: f64,
    /// The one family that moved, where the other stayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family: Option<Family>,
    pub(super) from: Vec<UplinkName>,
    pub(super) to: Vec<UplinkName>,
    pub(super) reason: String,
}

/// One uplink over the whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct UplinkTotal {
    pub(super) name: UplinkName,
    pub(super) carried_seconds: f64,
    pub(super) probes: u64,
}

impl UplinkTotal {
    fn of(uplink: &UplinkName) -> Self {
        Self {
            name: uplink.clone(),
            carried_seconds: 0.0,
            probes: 0,
        }
    }
}

/// The verdicts compared with the true outages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TruthScore {
    /// True outages.
    pub(super) outages: usize,
    /// Those with a verdict while they lasted.
    pub(super) found: usize,
    pub(super) missed: usize,
    /// Verdicts of an outage outside true ones.
    #[serde(rename = "false")]
    pub(super) false_ones: usize,
    /// From the beginning of an outage to the verdict.
    pub(super) delay_p50_seconds: Option<f64>,
    pub(super) delay_worst_seconds: Option<f64>,
}

/// Collects the verdicts and switches of a run.
#[derive(Debug)]
pub(super) struct ReplayNotes {
    from: f64,
    verdicts: Vec<ReplayVerdict>,
    switches: Vec<ReplaySwitch>,
    soft_switches: Vec<ReplaySwitch>,
    totals: Vec<UplinkTotal>,
    established: ConnectionCourse,
    new_ones: ConnectionCourse,
    /// When established connections were moved by decisions, in the order of time.
    departures: Vec<f64>,
    /// When switches left uplinks, and whether these had failed.
    leaves: Vec<(f64, bool)>,
    active: Vec<UplinkName>,
    since: f64,
}

impl ReplayNotes {
    /// For these uplinks, from the time of the recording at which the engine starts.
    pub(super) fn new(uplinks: &[UplinkSettings], from: f64) -> Self {
        Self {
            from,
            verdicts: Vec::new(),
            switches: Vec::new(),
            soft_switches: Vec::new(),
            totals: { uplinks.iter() }
                .map(|uplink| UplinkTotal::of(&uplink.name))
                .collect(),
            established: ConnectionCourse::default(),
            new_ones: ConnectionCourse::default(),
            departures: Vec::new(),
            leaves: Vec::new(),
            active: Vec::new(),
            since: from,
        }
    }

    pub(super) fn events(&mut self, events: impl IntoIterator<Item = Event>) {
        for Event { at, change, reason } in events {
            let at = self.time(at);
            if let Change::Uplink {
                uplink, from, to, ..
            } = change
            {
                self.verdicts.push(ReplayVerdict {
                    at,
                    uplink,
                    from,
                    to,
                    reason,
                });
            } else if let Change::Switch {
                group: None,
                family,
                from,
                to,
                active,
                cause,
                outage_ms: _,
            } = change
            {
                if !from.is_empty() {
                    let has_failed = matches!(cause, SwitchCause::Down | SwitchCause::Degraded);
                    self.leaves.push((at, has_failed));
                }
                self.carry(at, active);
                self.switches.push(ReplaySwitch {
                    at,
                    family,
                    from,
                    to,
                    reason,
                });
            } else if let Change::SoftSwitch(SoftSwitch {
                group: None,
                family,
                from,
                to,
                cause: _,
            }) = change
            {
                // That of one family is not told apart.
                if family.is_none() {
                    self.new_ones.go_by(at, &to);
                }
                self.soft_switches.push(ReplaySwitch {
                    at,
                    family,
                    from,
                    to,
                    reason,
                });
            }
        }
    }

    /// Flows are left behind.
    pub(super) fn left(&mut self, departure: &Departure, at: Moment) {
        match departure.cause {
            DepartureCause::Failed | DepartureCause::Chosen => self.departures.push(self.time(at)),
            DepartureCause::Limit | DepartureCause::Doubt(_) => {}
        }
    }

    /// The time of the recording.
    fn time(&self, at: Moment) -> f64 {
        micros(self.from + at.since_start().as_secs_f64())
    }

    /// From then on these uplinks are active.
    pub(super) fn carry(&mut self, at: f64, carriers: Vec<UplinkName>) {
        if carriers != self.active {
            self.count_until(at);
            self.established.go_by(at, &carriers);
            self.new_ones.go_by(at, &carriers);
            self.active = carriers;
        }
    }

    pub(super) fn probes(&mut self, uplink: &UplinkName, count: u64) {
        self.total(uplink).probes += count;
    }

    /// A reload may have added an uplink.
    fn total(&mut self, uplink: &UplinkName) -> &mut UplinkTotal {
        let known = self.totals.iter().position(|total| total.name == *uplink);
        let place = known.unwrap_or_else(|| {
            self.totals.push(UplinkTotal::of(uplink));
            self.totals.len() - 1
        });
        &mut self.totals[place]
    }

    pub(super) fn finish(mut self, name: String, to: f64, recording: &Recording) -> ReplayRun {
        let truth = &recording.truth;
        self.count_until(to);
        for total in &mut self.totals {
            total.carried_seconds = micros(total.carried_seconds);
        }
        for verdict in &mut self.verdicts {
            for (target, alias) in &recording.aliases {
                verdict.reason = verdict.reason.replace(&target.to_string(), alias);
            }
        }
        ReplayRun {
            truth: (!truth.is_empty()).then(|| judge(&self.verdicts, truth, to)),
            felt: self.felt(to, recording),
            name,
            from: self.from,
            to,
            verdicts: self.verdicts,
            switches: self.switches,
            soft_switches: self.soft_switches,
            uplinks: self.totals,
        }
    }

    fn felt(&self, to: f64, recording: &Recording) -> FeltCost {
        let moves = { self.leaves.iter() }
            .filter(|(at, has_failed)| *has_failed || self.departures.contains(at))
            .map(|_| SWITCH_COST)
            .sum::<f64>();
        let unanswered = |course: &ConnectionCourse| course.unanswered(&recording.tracks, to);
        FeltCost {
            established_seconds: micros(unanswered(&self.established) + moves),
            new_seconds: micros(unanswered(&self.new_ones)),
        }
    }

    fn count_until(&mut self, until: f64) {
        let lasted = until - self.since;
        for uplink in std::mem::take(&mut self.active) {
            self.total(&uplink).carried_seconds += lasted;
        }
        self.since = until;
    }
}

/// Compares the verdicts with the true outages. A verdict is true if it overlaps one.
fn judge(verdicts: &[ReplayVerdict], truth: &[MarkedOutage], end: f64) -> TruthScore {
    let downs = downs(verdicts, end);
    let meet = |one: &MarkedOutage, other: &MarkedOutage| {
        one.uplink == other.uplink && one.from <= other.to && other.from <= one.to
    };
    let mut delays: Vec<_> = truth
        .iter()
        .filter_map(|outage| {
            let verdict = downs.iter().find(|down| meet(down, outage))?;
            Some((verdict.from - outage.from).max(0.0))
        })
        .collect();
    delays.sort_by(f64::total_cmp);
    let is_false = |down: &&MarkedOutage| !truth.iter().any(|outage| meet(down, outage));
    TruthScore {
        outages: truth.len(),
        found: delays.len(),
        missed: truth.len() - delays.len(),
        false_ones: downs.iter().filter(is_false).count(),
        delay_p50_seconds: median(&delays).map(micros),
        delay_worst_seconds: delays.last().copied().map(micros),
    }
}

/// The times for which uplinks had the verdict of an outage.
fn downs(verdicts: &[ReplayVerdict], end: f64) -> Vec<MarkedOutage> {
    let mut downs: Vec<MarkedOutage> = Vec::new();
    let is_down = |state: State| matches!(state, State::Down | State::Absent);
    for verdict in verdicts {
        let was_down = is_down(verdict.from);
        let was_usable = !was_down && verdict.from != State::Unknown;
        if is_down(verdict.to) && was_usable {
            downs.push(MarkedOutage {
                uplink: verdict.uplink.clone(),
                from: verdict.at,
                to: end,
            });
        } else if was_down && !is_down(verdict.to) {
            let mut last = downs.iter_mut().rev();
            if let Some(down) = last.find(|down| down.uplink == verdict.uplink) {
                down.to = verdict.at;
            }
        }
    }
    downs
}

/// Rounded to a microsecond.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
