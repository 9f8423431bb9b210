//! How a command fails: the words, and the exit code.

use std::process::ExitCode;

use super::output;
use crate::alert::InitError;
use crate::config::ConfigError;
use crate::control::client::ClientError;
use crate::control::socket::BindError;
#[cfg(feature = "replay")]
use crate::recording::RecordingError;

/// The whole chain of an error, folded on a terminal.
pub fn explain(error: &anyhow::Error) -> String {
    #[cfg(feature = "replay")]
    if let Some(lines @ RecordingError::Lines { .. }) = error.downcast_ref() {
        return lines.to_string();
    }
    let text = match error.downcast_ref() {
        // Each line begins with a file and a line, as editors expect.
        Some(ConfigError::Refused { .. }) => error.to_string(),
        Some(ConfigError::NoFile { .. } | ConfigError::Read { .. } | ConfigError::TooLarge(_))
        | None => format!("uplinkd: {error:#}"),
    };
    output::folded(&text)
}

/// What the contract says a failure of this kind ends with.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_configuration = error.is::<ConfigError>()
        || error.is::<UsageError>()
        || error.is::<InitError>()
        || matches!(
            error.downcast_ref(),
            Some(BindError::AlreadyRunning(_) | BindError::NotAlone(_))
        );
    if is_configuration {
        ExitCode::from(2)
    } else if error.is::<ClientError>() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}

/// What is wrong with the command line is known only now, such as the name of an uplink.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);
