//! `reload`, `switch`, `auto`, `disable`, `enable`, `forget`: one request to the agent, one answer.

use std::process::ExitCode;

use anyhow::Result;

use super::connection::{CONFIG, Connection, SOCKET};
use super::failure::UsageError;
use super::output;
use super::syntax::{Argument, ArgumentForm, CommandRow, Given, text};
use crate::control::{Request, Response};
use crate::engine::command::{Command, DrainLimit};
use crate::units::UplinkName;

pub(super) const RELOAD: CommandRow = CommandRow {
    name: "reload",
    about: "Take over a changed configuration unless it has a mistake",
    arguments: &[SOCKET, CONFIG],
    run: |given| ask(given, Request::Reload),
};

pub(super) const SWITCH: CommandRow = CommandRow {
    name: "switch",
    about: "Send the traffic through one uplink until `auto`",
    arguments: &[NAME, PIN, SOCKET, CONFIG],
    run: |given| {
        let (uplink, pin) = (uplink(given)?, given.has(&PIN));
        ask(given, Command::Switch { uplink, pin })
    },
};

pub(super) const AUTO: CommandRow = CommandRow {
    name: "auto",
    about: "Let the agent choose again",
    arguments: &[SOCKET, CONFIG],
    run: |given| ask(given, Command::Auto),
};

pub(super) const DISABLE: CommandRow = CommandRow {
    name: "disable",
    about: "Take an uplink out for maintenance: no traffic, still probed",
    arguments: &[NAME, DRAIN, FORCE, SOCKET, CONFIG],
    run: |given| {
        let disable = Command::Disable {
            uplink: uplink(given)?,
            drain: given.value(&DRAIN, text(str::parse))?,
            force: given.has(&FORCE),
        };
        ask(given, disable)
    },
};

pub(super) const ENABLE: CommandRow = CommandRow {
    name: "enable",
    about: "End the maintenance of an uplink",
    arguments: &[NAME, SOCKET, CONFIG],
    run: |given| ask(given, Command::enable(uplink(given)?)),
};

pub(super) const FORGET: CommandRow = CommandRow {
    name: "forget",
    about: "Forget what was learnt of an uplink: loss, silences, failures",
    arguments: &[NAME, SOCKET, CONFIG],
    run: |given| {
        let uplink = uplink(given)?;
        ask(given, Command::Forget { uplink })
    },
};

const NAME: Argument = Argument {
    form: ArgumentForm::Word,
    help: "The name of the uplink",
    ..Argument::named("NAME")
};
const PIN: Argument = Argument {
    help: "Stay there even if it fails",
    ..Argument::named("pin")
};
const DRAIN: Argument = Argument {
    form: ArgumentForm::Optional {
        value: "LIMIT",
        usual: DrainLimit::USUAL,
    },
    help: "Let its flows end first, within LIMIT (1s to 7days)",
    ..Argument::named("drain")
};
const FORCE: Argument = Argument {
    help: "Even while the others are only recovering",
    ..Argument::named("force")
};

fn uplink(given: &Given) -> Result<UplinkName> {
    Ok(given.need(&NAME, text(str::parse))?)
}

fn ask(given: &Given, request: impl Into<Request>) -> Result<ExitCode> {
    let mut agent = Connection::read(given)?.open()?;
    match agent.request(&request.into())? {
        Response::Done(meaning) => output::print(&output::fitted(&meaning))?,
        other @ (Response::Status(_)
        | Response::Event(_)
        | Response::Refused(_)
        | Response::NotFound(_)
        | Response::History(_)) => return Err(unexpected(other)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The error that an answer is where another one was expected.
pub(super) fn unexpected(response: Response) -> anyhow::Error {
    match response {
        Response::NotFound(why) => UsageError(why).into(),
        Response::Refused(why) => anyhow::anyhow!(why),
        Response::Status(_) | Response::Event(_) | Response::Done(_) | Response::History(_) => {
            anyhow::anyhow!("the agent answered something else")
        }
    }
}
