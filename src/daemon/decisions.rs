//! The engine, with the clock and the recorder of what it takes in.

use anyhow::Context;

use super::clock::Clock;
use super::lateness::Lateness;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::input::Input;
use crate::recorder::{self, Recorder};
use crate::units::Moment;

/// The one engine. Each of its inputs goes through here and is recorded.
pub(super) struct Decisions {
    pub(super) engine: Engine,
    pub(super) lateness: Lateness,
    /// When the engine was last called by the time, which is when it orders probes.
    pub(super) ordered: Moment,
    recorder: Option<Recorder>,
    clock: Clock,
}

impl Decisions {
    pub(super) fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let begin = clock.now();
        Ok(Self {
            engine: Engine::new(config.engine.clone(), begin),
            lateness: Lateness::default(),
            ordered: begin,
            recorder: recorder(config, begin, clock)?,
            clock,
        })
    }

    /// Hands the engine an input.
    pub(super) fn tell(&mut self, input: Input) {
        let now = self.clock.now();
        self.record(now, Some(&input));
        self.engine.handle_input(now, input);
    }

    /// Hands the engine the time.
    pub(super) fn handle_timeout(&mut self, now: Moment) {
        self.record(now, None);
        self.ordered = now;
        self.engine.handle_timeout(now);
    }

    /// Records an input, until recording fails or the file is full.
    fn record(&mut self, now: Moment, input: Option<&Input>) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.record(now, input)
        {
            let why = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(why, "records no more");
            self.recorder = None;
        }
    }
}

fn recorder(config: &Config, at: Moment, clock: Clock) -> anyhow::Result<Option<Recorder>> {
    let Some(path) = &config.agent.record else {
        return Ok(None);
    };
    let header = recorder::Header {
        recording: recorder::FORM,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: clock.wall().at(at),
        at,
        settings: config.engine.clone(),
    };
    Recorder::create(path, &header)
        .with_context(|| format!("cannot begin the recording {}", path.display()))
        .map(Some)
}
