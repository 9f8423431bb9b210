//! State that outlives a restart: the choices of operators, and the learnt loss.

use std::path::Path;
use std::time::Duration;

use super::allowances::KeptAllowances;
use super::clock::Clock;
use super::decisions::Decisions;
use super::samples::AgentSamples;
use crate::choices;
use crate::config::Config;
use crate::engine::command::{Command, IssuedCommand};
use crate::engine::status::{Choices, Chosen, Maintenance};
use crate::memory::{self, Memory};
use crate::units::{Moment, Wall};

/// How often the learnt state is written.
const KEEP_EVERY: Duration = Duration::from_secs(3_600);

/// The files of the state directory but the history.
pub(super) struct KeptState {
    /// The choices of operators, with caller and time.
    choices: Choices,
    /// The choices could not be written.
    owes_choices: bool,
    /// When the learnt state was written.
    memory_written: Moment,
    /// What was measured.
    pub(super) samples: AgentSamples,
    /// What was counted of the allowances.
    pub(super) allowances: KeptAllowances,
    /// An agent that only observes writes nothing.
    pub(super) is_observing: bool,
    /// It ends as it was told to.
    pub(super) is_stopping: bool,
}

impl KeptState {
    pub(super) fn new(directory: &Path, is_observing: bool, wall: Wall) -> Self {
        Self {
            samples: AgentSamples::start(directory, is_observing, wall),
            allowances: KeptAllowances::new(),
            choices: Choices::default(),
            owes_choices: false,
            memory_written: Moment::START,
            is_observing,
            is_stopping: false,
        }
    }

    /// The choices of operators, with caller and time.
    pub(super) fn choices(&self) -> &Choices {
        &self.choices
    }

    /// Takes the present choices and the caller of the new one; returns why they cannot be kept.
    pub(super) fn note_choices(
        &mut self,
        mut now: Choices,
        issued: Option<&IssuedCommand>,
        directory: &Path,
    ) -> Option<String> {
        let by = issued.and_then(|issued| issued.by.as_ref().map(ToString::to_string));
        let at = issued.and_then(|issued| issued.at);
        if let Some(chosen) = &mut now.switch {
            let known = self.choices.switch.clone();
            let is_same =
                |known: &Chosen| known.uplink == chosen.uplink && known.pinned == chosen.pinned;
            *chosen = known.filter(is_same).unwrap_or_else(|| Chosen {
                by: by.clone(),
                at,
                ..chosen.clone()
            });
        }
        for (uplink, maintenance) in &mut now.disabled {
            let known = self.choices.disabled.get(uplink).cloned();
            *maintenance = known.unwrap_or_else(|| Maintenance {
                by: by.clone(),
                at,
                draining: None,
            });
        }
        let is_news = now != self.choices;
        self.choices = now;
        let is_owed = issued.is_some() && self.owes_choices;
        if !(is_news || is_owed) || self.is_observing {
            return None;
        }
        let kept = choices::keep(&self.choices, directory);
        self.owes_choices = kept.is_err();
        let why = format!("{:#}", anyhow::Error::from(kept.err()?));
        tracing::warn!(why, "a restart will forget what was chosen by hand");
        Some(why)
    }

    /// The choices of an earlier run.
    pub(super) fn recall_choices(&mut self, config: &Config) -> Vec<IssuedCommand> {
        let directory = &config.agent.state_dir;
        let kept = choices::recall(directory).unwrap_or_else(|error| {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "what was chosen by hand before is not known");
            Choices::default()
        });
        let switch = kept.switch.iter().map(|chosen| {
            let uplink = chosen.uplink.clone();
            let pin = chosen.pinned;
            (Command::Switch { uplink, pin }, &chosen.uplink, &chosen.by)
        });
        let disabled = kept.disabled.iter().map(|(uplink, maintenance)| {
            (Command::disable(uplink.clone()), uplink, &maintenance.by)
        });
        let mut chosen = Vec::new();
        for (command, uplink, by) in switch.chain(disabled) {
            let mut uplinks = config.engine.uplinks.iter();
            if !uplinks.any(|known| known.name == *uplink) {
                tracing::warn!(%uplink, "was chosen by hand and is not configured any more");
                continue;
            }
            tracing::info!(%command, by, "by hand, before a restart");
            chosen.push(command.into());
        }
        self.choices = kept;
        chosen
    }

    /// The learnt state is due to be written.
    pub(super) fn is_memory_due(&self, decisions: &Decisions, now: Moment) -> bool {
        now.since(self.memory_written) >= KEEP_EVERY || decisions.engine.has_spent()
    }

    /// Writes the learnt state and the active uplink.
    pub(super) fn write_memory(
        &mut self,
        decisions: &mut Decisions,
        directory: &Path,
        clock: Clock,
    ) {
        if self.is_observing {
            return;
        }
        self.memory_written = clock.now();
        let engine = &mut decisions.engine;
        let memory = Memory {
            form: memory::FORM,
            written: clock.wall().at(self.memory_written),
            kept_flows: engine.kept_flows(self.memory_written),
            carrying: engine.carrier().cloned(),
            drilled: engine.drills().running().cloned(),
            has_stopped: self.is_stopping,
            learnt: engine.learnt(),
            unspent: engine.unspent(),
        };
        if let Err(error) = memory.keep(directory) {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "a restart will have to learn anew");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_learnt_while_nothing_happens_is_written_once_an_hour() {
        let text = "[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n";
        let config = Config::parse(text, "uplinkd.toml").expect("a configuration");
        let decisions = Decisions::start(&config, Clock::start()).expect("the engine");
        let state = KeptState::new(Path::new("/nowhere"), true, Clock::start().wall());
        let is_due = |seconds| {
            let now = Moment::after_start(Duration::from_secs(seconds));
            state.is_memory_due(&decisions, now)
        };
        assert_eq!([1, 3_599, 3_600].map(is_due), [false, false, true]);
    }
}
