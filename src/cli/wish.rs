//! `switch`, `auto`, `disable`, `enable`, `reload`: one request, one answer.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::{Connection, output};
use crate::control::{Request, Response};

pub(super) fn send(connection: &Connection, request: &Request) -> Result<ExitCode> {
    match connection.open()?.request(request)? {
        Response::Done(meaning) => output::print(&format!("{meaning}\n"))?,
        Response::Refused(why) | Response::NotFound(why) => bail!("{why}"),
        Response::Status(_) | Response::Event(_) | Response::Waiting(_) | Response::History(_) => {
            bail!("the agent answered something else")
        }
    }
    Ok(ExitCode::SUCCESS)
}
