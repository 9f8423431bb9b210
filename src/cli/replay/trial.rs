//! The engine on a recording.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::run::{ReplayNotes, ReplayRun};
use crate::alert::utc_offset;
use crate::config::{Config, defaults as default};
use crate::engine::action::Action;
use crate::engine::input::Input;
use crate::engine::settings::{Settings, UplinkSettings};
use crate::recording::{RecordedWorld, Recording, ReplayStep, Track, replay_steps};
use crate::replay::{Replay, StandingDeadline};
use crate::routing::{Attachment, Family, Trouble};
use crate::units::{Moment, Target};

/// Every uplink of the recording at the defaults, in the order in which they first appear.
pub(super) fn defaults(recording: &Recording) -> Result<Settings> {
    let uplinks = (1..).zip(&recording.tracks).map(|(place, track)| {
        let name = &track.uplink;
        format!("[[uplink]]\nname = \"{name}\"\ninterface = \"recorded{place}\"\ntier = {place}\n")
    });
    let config = Config::parse(&uplinks.collect::<String>(), "defaults")?;
    let mut settings = config.engine;
    for (uplink, track) in settings.uplinks.iter_mut().zip(&recording.tracks) {
        uplink.probe.targets = targets(track);
        fit_pace(uplink, track);
    }
    Ok(settings)
}

fn targets(track: &Track) -> Vec<Target> {
    let targets = track.targets.iter();
    targets.map(|(target, _)| target.clone()).collect()
}

/// The settings as far as the recording covers them, and remarks about the rest.
pub(super) fn fit(mut settings: Settings, recording: &Recording) -> (Settings, Vec<String>) {
    let mut remarks = Vec::new();
    for uplink in &mut settings.uplinks {
        let name = &uplink.name;
        let mut tracks = recording.tracks.iter();
        match tracks.find(|track| track.uplink == *name) {
            Some(track) => {
                fit_targets(uplink, &targets(track), &mut remarks);
                fit_pace(uplink, track);
            }
            None => remarks.push(format!(
                "{name} is not in the recording and counts as absent"
            )),
        }
    }
    if settings.has_hours() && recording.wall_clock(recording.span().0).is_none() {
        remarks.push(
            "the recording has no times of a clock that is set: no hours hold, so `failback_window` is closed and rules \
             with `when` do not apply"
                .to_owned(),
        );
    }
    for track in &recording.tracks {
        if !settings
            .uplinks
            .iter()
            .any(|uplink| uplink.name == track.uplink)
        {
            remarks.push(format!(
                "the recorded uplink {} is not configured",
                track.uplink
            ));
        }
    }
    (settings, remarks)
}

/// In doubt the engine probes no faster than the recording did: one lost probe is not many.
fn fit_pace(uplink: &mut UplinkSettings, track: &Track) {
    let targets = track.targets.iter();
    let spacings = targets.filter_map(|(_, samples)| samples.spacing_in_doubt());
    let finest = spacings.min_by(f64::total_cmp);
    if let Some(spacing) = finest.and_then(|spacing| Duration::try_from_secs_f64(spacing).ok()) {
        let probe = &mut uplink.probe;
        probe.confirm_interval = probe.confirm_interval.max(spacing);
        probe.interval = probe.interval.max(spacing);
    }
}

/// The configured targets that were recorded; without any, all that were recorded.
fn fit_targets(uplink: &mut UplinkSettings, recorded: &[Target], remarks: &mut Vec<String>) {
    let probe = &mut uplink.probe;
    let is_configured = probe.targets != default::probe().targets;
    let (known, unknown): (Vec<_>, Vec<_>) =
        (probe.targets.drain(..)).partition(|target| recorded.contains(target));
    if is_configured {
        let unknown = unknown.iter();
        remarks
            .extend(unknown.map(|target| {
                format!("{}: {target} was not probed in the recording", uplink.name)
            }));
    }
    probe.targets = if is_configured && !known.is_empty() {
        known
    } else {
        recorded.to_vec()
    };
    probe.quorum = probe.quorum.min(probe.targets.len());
}

/// Runs the engine from the first moment of the recording to the last.
///
/// # Errors
/// If the engine does not meet a deadline.
pub(super) fn run(
    name: String,
    mut settings: Settings,
    recording: &Recording,
) -> Result<ReplayRun, StandingDeadline> {
    let names: Vec<_> = settings.uplinks.iter().map(|u| u.name.clone()).collect();
    let remembered = remembered(&settings);
    let mut past = RecordedWorld::new(recording);
    if settings.has_hours() {
        past.tell_time(utc_offset);
    }
    let (from, to) = recording.span();
    let end = past.moment(to);
    let inputs = recording.inputs.iter();
    let inputs: Vec<_> = inputs.map(|(at, _)| (*at, past.moment(*at))).collect();
    let mut notes = ReplayNotes::new(&settings.uplinks, from);
    // There is no path that could be cut.
    settings.drill.schedule = None;
    let mut replay = Replay::new(settings, past);
    notes.events(replay.input(remembered));
    for uplink in names {
        let is_recorded = recording.tracks.iter().any(|track| track.uplink == uplink);
        if !is_recorded {
            let attachment = Attachment {
                trouble: Some(Trouble::Absent),
                ..Attachment::default()
            };
            notes.events(replay.input(Input::Attachment { uplink, attachment }));
        }
    }
    // An input may move the traffic without an event.
    for (at, moment) in inputs {
        notes.events(replay.try_run_until(moment)?);
        notes.carry(at, replay.engine().carriers());
    }
    notes.events(replay.try_run_until(end)?);
    for (at, departure) in std::mem::take(&mut replay.world().departures) {
        notes.left(&departure, at);
    }
    for (uplink, count) in replay.probes() {
        notes.probes(uplink, *count);
    }
    Ok(notes.finish(name, to, recording))
}

/// The flows that a kernel remembers which can do all that these settings want. Uplinks that share an interface are not
/// told apart.
fn remembered(settings: &Settings) -> Input {
    let is_wanted = settings.numbering.flow_mark(0).is_some();
    let is_alone = |uplink: &&UplinkSettings| {
        let mut others = settings.uplinks.iter();
        !others.any(|other| other.name != uplink.name && other.interface == uplink.interface)
    };
    let uplinks = { settings.uplinks.iter() }.filter(|uplink| is_wanted && is_alone(uplink));
    let families =
        |uplink: &UplinkSettings| Family::ROUTED.map(|family| (uplink.name.clone(), family));
    Input::FlowsRemembered(uplinks.flat_map(families).collect())
}

/// What the agent did when it was recorded.
pub(super) fn rerun(path: &Path, recording: &Recording) -> Result<ReplayRun> {
    let mut notes = ReplayNotes::new(&[], 0.0);
    let mut last = Moment::START;
    replay_steps(path, |seen| match seen {
        ReplayStep::Start(header) => {
            notes = ReplayNotes::new(&header.settings.uplinks, 0.0);
        }
        ReplayStep::Input(at, _) => last = at,
        ReplayStep::Carriers(at, carriers) => notes.carry(at.since_start().as_secs_f64(), carriers),
        ReplayStep::Action(_, Action::Event(event)) => notes.events([event]),
        ReplayStep::Action(at, Action::Leave(departure)) => notes.left(&departure, at),
        ReplayStep::Action(_, Action::Probe(order)) => notes.probes(&order.uplink, 1),
        ReplayStep::Action(
            _,
            Action::Route(_)
            | Action::Count(_)
            | Action::Drain(..)
            | Action::Drill(_)
            | Action::Trace(_),
        ) => {}
    })?;
    let to = last.since_start().as_secs_f64();
    Ok(notes.finish("as recorded".to_owned(), to, recording))
}
