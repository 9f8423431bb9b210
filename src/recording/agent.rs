//! The agent's own recordings: all inputs of its engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::content::Recording;
use super::error::{LineFault, Quoted, RecordingError};
use super::lines::{FileLines, open};
use super::samples::{LONGEST, Samples};
use crate::engine::Engine;
use crate::engine::action::{Action, ProbeOrder};
use crate::engine::command::{Command, IssuedCommand};
use crate::engine::input::{EarlierRun, Input, ProbeOutcome};
use crate::recorder::{Entry, FORM, Header};
use crate::units::{Moment, ProbeId, UplinkName, json};

/// What goes in and out of an engine that runs on recorded inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplayStep {
    /// The engine starts with these settings.
    Start(Box<Header>),
    /// An input, or a timeout.
    Input(Moment, Option<Input>),
    /// An action of the engine.
    Action(Moment, Action),
    /// From now on these uplinks carry the default group.
    Carriers(Moment, Vec<UplinkName>),
}

/// Runs the engine on the inputs of a recording, step by step. The same inputs at the same moments give
/// the same actions.
pub fn replay_steps(path: &Path, see: impl FnMut(ReplayStep)) -> Result<(), RecordingError> {
    let mut lines = open(path)?;
    replay_lines(&mut lines, see)
}

fn replay_lines(
    lines: &mut FileLines,
    mut see: impl FnMut(ReplayStep),
) -> Result<(), RecordingError> {
    let mut engine: Option<Engine> = None;
    let mut carriers = Vec::new();
    let mut last = Moment::START;
    while lines.advance()? {
        let is_torn = lines.is_torn();
        let taken = lines.line().and_then(|line| match &mut engine {
            _ if line.is_empty() => Ok(()),
            None => {
                let header = header(line)?;
                last = header.at;
                engine = Some(Engine::new(header.settings.clone(), header.at));
                see(ReplayStep::Start(Box::new(header)));
                Ok(())
            }
            Some(engine) => {
                let Entry { at, input } = entry(line)?;
                if at < last {
                    return Err(LineFault::Backwards);
                }
                last = at;
                see(ReplayStep::Input(at, input.clone()));
                let may_move = step(engine, at, input, &mut see);
                if may_move && engine.carriers() != carriers {
                    carriers = engine.carriers();
                    see(ReplayStep::Carriers(at, carriers.clone()));
                }
                Ok(())
            }
        });
        match taken {
            // The agent may still be writing this line.
            Err(LineFault::Json(_)) if is_torn && engine.is_some() => {}
            Err(fault) => lines.note(fault),
            Ok(()) => {}
        }
        // Without the settings, or after a gap, the rest has no meaning.
        lines.finish()?;
    }
    Ok(())
}

/// Returns whether the traffic may have moved.
fn step(
    engine: &mut Engine,
    at: Moment,
    input: Option<Input>,
    see: &mut impl FnMut(ReplayStep),
) -> bool {
    let mut may_move = input.as_ref().is_some_and(|input| !input.is_routine());
    match input {
        Some(input) => engine.handle_input(at, input),
        None => engine.handle_timeout(at),
    }
    while let Some(action) = engine.poll_action() {
        may_move |= matches!(action, Action::Event(_));
        see(ReplayStep::Action(at, action));
    }
    may_move
}

fn header(line: &str) -> Result<Header, LineFault> {
    let header: Header = json::read(line.as_bytes()).map_err(LineFault::Json)?;
    if header.recording == FORM {
        Ok(header)
    } else {
        Err(LineFault::Form(header.recording))
    }
}

fn entry(line: &str) -> Result<Entry, LineFault> {
    let entry: Entry = json::read(line.as_bytes()).map_err(LineFault::Json)?;
    match &entry.input {
        Some(Input::Probe {
            outcome: ProbeOutcome::Reply(rtt),
            ..
        }) if *rtt > LONGEST => Err(LineFault::Rtt(Quoted::new(&format!("{rtt:?}")))),
        Some(_) | None => Ok(entry),
    }
}

/// Reads the outcome of each probe and the other inputs. No line names the target of a probe: the order
/// of the engine that runs again does.
pub(super) fn read_samples(
    mut lines: FileLines,
    recording: &mut Recording,
) -> Result<(), RecordingError> {
    let mut probes = Probes {
        recording,
        ordered: BTreeMap::new(),
        fault: None,
    };
    replay_lines(&mut lines, |seen| match seen {
        ReplayStep::Action(at, Action::Probe(order)) => probes.order(at, order),
        ReplayStep::Input(at, Some(Input::Probe { id, outcome, .. })) => {
            probes.answer(at, id, outcome);
        }
        ReplayStep::Input(
            at,
            Some(
                input @ (Input::Attachment { .. }
                | Input::Traffic { .. }
                | Input::Time(_)
                | Input::Command(IssuedCommand {
                    command: Command::Allowance { .. },
                    ..
                })),
            ),
        ) => {
            let at = at.since_start().as_secs_f64();
            probes.recording.inputs.push((at, input));
        }
        ReplayStep::Input(at, Some(Input::Resume(earlier))) => {
            // What operators had chosen is no more replayed than their commands are.
            let earlier = EarlierRun {
                chosen: Vec::new(),
                ..*earlier
            };
            let at = at.since_start().as_secs_f64();
            let input = Input::Resume(Box::new(earlier));
            probes.recording.inputs.push((at, input));
        }
        ReplayStep::Start(header) => {
            let started = header.started.0.duration_since(SystemTime::UNIX_EPOCH);
            let started = started.unwrap_or_default().as_secs_f64();
            probes.recording.epoch = Some(started - header.at.since_start().as_secs_f64());
        }
        ReplayStep::Input(at, Some(Input::Counters { uplink, counters })) => {
            let counts = probes.recording.counts.entry(uplink).or_default();
            counts.push(at.since_start().as_secs_f64(), counters);
        }
        // A replay has settings of its own, and no recorded commands.
        ReplayStep::Input(
            _,
            Some(
                Input::Settings(_)
                | Input::Moved { .. }
                | Input::Command(_)
                | Input::FlowsCounted { .. }
                | Input::Drill(_)
                | Input::Traced(_)
                | Input::FlowsUnknown { .. }
                | Input::FlowsRemembered(_)
                | Input::SentLate { .. }
                | Input::AnswersRead { .. }
                | Input::Stalled { .. },
            )
            | None,
        )
        | ReplayStep::Carriers(..)
        | ReplayStep::Action(
            _,
            Action::Route(_)
            | Action::Event(_)
            | Action::Count(_)
            | Action::Leave(_)
            | Action::Drain(..)
            | Action::Drill(_)
            | Action::Trace(_),
        ) => {}
    })?;
    if let Some(fault) = probes.fault {
        lines.note(fault);
    }
    lines.finish()
}

/// Ordered probes, until their outcomes are known.
struct Probes<'a> {
    recording: &'a mut Recording,
    ordered: BTreeMap<ProbeId, (Moment, ProbeOrder)>,
    fault: Option<LineFault>,
}

impl Probes<'_> {
    fn order(&mut self, at: Moment, order: ProbeOrder) {
        let is_overdue =
            |(sent, order): &(Moment, ProbeOrder)| at.since(*sent) > order.listen_for * 2;
        while let Some(oldest) = self.ordered.first_entry()
            && is_overdue(oldest.get())
        {
            let (sent, order) = oldest.remove();
            self.note(sent, &order, None);
        }
        // What a next hop answers by which nothing else goes is no sample of the uplink.
        if order.hop.is_none() {
            self.ordered.insert(order.id, (at, order));
        }
    }

    fn answer(&mut self, at: Moment, id: ProbeId, outcome: ProbeOutcome) {
        let Some((sent, order)) = self.ordered.remove(&id) else {
            return;
        };
        match outcome {
            ProbeOutcome::Reply(rtt) => self.note(sent, &order, Some(rtt)),
            ProbeOutcome::Unreachable(_) => self.note(sent, &order, None),
            ProbeOutcome::Wrong(_) | ProbeOutcome::Captive(_) => {
                self.with_samples(&order, |samples| {
                    samples.push_wrong(sent.since_start().as_secs_f64(), at.since(sent), outcome);
                });
            }
            ProbeOutcome::NotSent(_) | ProbeOutcome::Refused(_) => {}
        }
    }

    fn note(&mut self, sent: Moment, order: &ProbeOrder, rtt: Option<Duration>) {
        self.with_samples(order, |samples| {
            samples.push(sent.since_start().as_secs_f64(), rtt);
        });
    }

    fn with_samples(&mut self, order: &ProbeOrder, note: impl FnOnce(&mut Samples)) {
        match self.recording.samples(&order.uplink, &order.target) {
            Ok(samples) => note(samples),
            Err(fault) => self.fault = Some(fault),
        }
    }
}
