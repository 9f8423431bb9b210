//! Requests of operators to a running agent, by socket, ubus or CLI.

use super::planned::SwitchOccasion;
use super::{Daemon, mwan3};
use crate::control::{Call, Request, Response};
use crate::engine::command::{Caller, Command, IssuedCommand};
use crate::engine::input::Input;
use crate::engine::status::{Choices, Draining};

impl Daemon {
    /// Answers a request, after the hooks where it brings about a planned switch.
    pub(super) fn answer(&mut self, call: Call) {
        if matches!(call.request, Request::Command(_) | Request::Reload) {
            // One that waits comes first.
            self.end_wait();
        }
        let planned = self.planned_by(&call);
        if let Some(SwitchOccasion::Call(call)) = self.hold(SwitchOccasion::Call(call), planned) {
            self.answer_now(call);
        }
    }

    /// Answers a request, now or when its result is known.
    pub(super) fn answer_now(&mut self, call: Call) {
        let response = match &call.request {
            Request::Watch => {
                let status = self.status();
                self.announcer.watch(call, &status);
                return;
            }
            Request::Command(
                command @ Command::Disable {
                    uplink,
                    drain: Some(_),
                    force: _,
                },
            ) => {
                let (command, uplink) = (command.clone(), uplink.clone());
                self.drain(call, &command, uplink);
                return;
            }
            Request::Command(command @ Command::Drill { .. }) => {
                let command = command.clone();
                self.drill(call, &command);
                return;
            }
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Command(command) => self.follow_command(&call.by, command),
            Request::Reload => self.reload(),
            Request::Mwan3 { section, interface } => {
                let now = self.clock.wall().at(self.clock.now());
                let answer = mwan3::status(
                    &self.status(),
                    now,
                    section.as_deref(),
                    interface.as_deref(),
                );
                Response::Mwan3(answer)
            }
            Request::Samples | Request::Day => {
                self.read_samples();
                self.state.samples.answer(call, self.clock.wall());
                return;
            }
            Request::History { since, newest } => {
                let range = (*since, *newest);
                let now = self.clock.wall().at(self.clock.now());
                let directory = &self.config.agent.state_dir;
                self.announcer.answer_history(call, directory, range, now);
                return;
            }
        };
        call.answer(response);
    }

    fn follow_command(&mut self, by: &Caller, command: &Command) -> Response {
        if let Err(refusal) = self.decisions.engine.check(command) {
            return refusal.into();
        }
        let issued = self.issued(by, command.clone());
        self.decisions.tell(Input::Command(issued.clone()));
        self.pending.note_command(&issued);
        if let Command::Forget { .. } = command {
            // A power cut must not bring it back.
            self.keep_memory();
        }
        if let Command::Allowance { .. } = command {
            // A power cut must not bring back what was there before.
            self.keep_allowances();
        }
        let mut done = command.outcome(self.decisions.engine.carrier());
        if self.options.observe {
            done.push_str("; this agent only observes: the kernel keeps its routes");
        }
        Response::Done(self.followed(&issued, done))
    }

    /// A command with its caller and time.
    pub(super) fn issued(&self, by: &Caller, command: Command) -> IssuedCommand {
        IssuedCommand {
            command,
            by: Some(by.clone()),
            at: Some(self.clock.wall().at(self.clock.now())),
        }
    }

    /// Keeps the new choice on disk; returns `done`, with a warning where a restart would lose it.
    pub(super) fn followed(&mut self, issued: &IssuedCommand, done: String) -> String {
        let by = issued.by.as_ref().map(tracing::field::display);
        tracing::info!(command = %issued.command, by, "by hand");
        let chosen = self.decisions.engine.choices();
        let directory = &self.config.agent.state_dir;
        match self.state.note_choices(chosen, Some(issued), directory) {
            None => done,
            Some(why) => format!("{done}; a restart will forget it: {why}"),
        }
    }

    /// The choices of operators, with the drains that go on.
    pub(super) fn choices(&self) -> Choices {
        let mut choices = self.state.choices().clone();
        for (uplink, maintenance) in &mut choices.disabled {
            let drained = self.decisions.engine.draining(uplink);
            maintenance.draining = drained.map(|(flows, until)| Draining {
                flows,
                until: self.clock.wall().at(until),
            });
        }
        choices
    }
}
