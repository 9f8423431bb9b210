//! `uplinkd top`: the status on a whole screen, live.

mod dashboard;
mod feed;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::connection::{CONNECTION, Connection, LastingConnection};
use super::failure::UsageError;
use super::history;
use super::output;
use super::syntax::{CommandForm, CommandRow};
use crate::units::Timestamp;
use dashboard::{Dashboard, Effect};

pub(super) const COMMAND: CommandRow = CommandRow {
    form: CommandForm {
        name: "top",
        about: "Show it live on the whole screen, and take keys",
        arguments: &[],
    },
    connection: CONNECTION,
    run: |given| run(&Connection::read(given)?),
};

/// Between two looks at the agent.
const REFRESH: Duration = Duration::from_secs(1);

fn now() -> Timestamp {
    Timestamp(history::now())
}

fn run(connection: &Connection) -> Result<ExitCode> {
    if !io::stdin().is_terminal() || !output::is_terminal() {
        let why = "`top` needs a terminal; `uplinkd status --watch` does without";
        return Err(UsageError(why.to_owned()).into());
    }
    // An agent that never answered is an error; one that restarts is waited for.
    let agent = connection.lasting()?;
    let terminal = ratatui::try_init().context("the terminal cannot be taken over")?;
    let outcome = show(terminal, agent);
    ratatui::restore();
    outcome.map(|()| ExitCode::SUCCESS)
}

fn show(mut terminal: DefaultTerminal, mut agent: LastingConnection) -> Result<()> {
    let is_colourful = output::Palette::of_stdout().is_colourful();
    let mut dashboard = Dashboard::default();
    let mut due = now();
    let (results, result) = channel();
    loop {
        dashboard.note = result.try_recv().ok().or(dashboard.note);
        let left = due.0.duration_since(now().0).unwrap_or_default();
        // A clock that was set back does not stop it.
        let left = left.min(REFRESH);
        if left.is_zero() {
            feed::refresh(&mut agent, &mut dashboard);
            due.0 = now().0 + REFRESH;
        }
        terminal.draw(|frame| view::draw(frame, &dashboard, now(), is_colourful))?;
        if !event::poll(left)? {
            continue;
        }
        // A new size is drawn as well.
        let Event::Key(key) = event::read()? else {
            continue;
        };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match dashboard.press(key) {
            Some(Effect::Quit) => return Ok(()),
            Some(Effect::Order(command)) => {
                dashboard.note = Some(feed::order(&mut agent, command, &results));
                due = now();
            }
            None => {}
        }
    }
}
