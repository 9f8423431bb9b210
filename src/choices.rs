//! What people chose by hand, kept across restarts: one small file, written whole and at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::status::{Choices, Maintenance};
use crate::state_file::{self, Durability};
use crate::units::json;

/// No choices are as long as this.
const LONGEST: u64 = 256 * 1024;

/// Why choices cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ChoicesError {
    /// The file cannot be handled.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is something else in it.
    #[error("{} makes no sense; it is set aside as {}", path.display(), aside.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// What an earlier run left in this directory; nothing if there is no file. One that makes no sense is
/// set aside.
///
/// # Errors
/// If there is a file that cannot be read or makes no sense.
pub fn recall(directory: &Path) -> Result<Choices, ChoicesError> {
    let path = file(directory);
    let failed = |verb, source| ChoicesError::File {
        verb,
        path: path.clone(),
        source,
    };
    let Some(text) = state_file::read(&path, LONGEST).map_err(|error| failed("read", error))?
    else {
        return Ok(Choices::default());
    };
    json::read(&text).or_else(|source| {
        let aside = path.with_extension("corrupt");
        fs::rename(&path, &aside).map_err(|error| failed("set aside", error))?;
        Err(ChoicesError::Corrupt {
            path: path.clone(),
            aside,
            source,
        })
    })
}

/// Keeps them in this directory, which is made if need be. Flows that are held are not kept: a restart
/// lets go of them.
///
/// # Errors
/// If the file cannot be written; the old one is left whole.
pub fn keep(choices: &Choices, directory: &Path) -> Result<(), ChoicesError> {
    let path = file(directory);
    let mut lasting = choices.clone();
    for maintenance in lasting.disabled.values_mut() {
        *maintenance = Maintenance {
            draining: None,
            ..maintenance.clone()
        };
    }
    // A choice is most worth keeping before the power goes.
    let write = || state_file::replace(&path, &serde_json::to_vec(&lasting)?, Durability::Synced);
    write().map_err(|source| ChoicesError::File {
        verb: "write",
        path: path.clone(),
        source,
    })
}

fn file(directory: &Path) -> PathBuf {
    directory.join("choices.json")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::engine::status::{Chosen, Draining};
    use crate::units::Timestamp;

    fn choices() -> Choices {
        let at = Some(Timestamp(
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
        ));
        let by = Some("anna".to_owned());
        Choices {
            switch: Some(Chosen {
                uplink: "lte".parse().expect("a name"),
                pinned: true,
                by: by.clone(),
                at,
            }),
            disabled: [(
                "fiber".parse().expect("a name"),
                Maintenance {
                    by,
                    at,
                    draining: None,
                },
            )]
            .into(),
        }
    }

    #[test]
    fn what_was_chosen_is_recalled_without_the_flows_that_were_held() {
        let directory = tempfile::tempdir().expect("a directory");
        let deeper = directory.path().join("state");
        assert_eq!(recall(&deeper).expect("nothing yet"), Choices::default());
        let mut draining = choices();
        for maintenance in draining.disabled.values_mut() {
            maintenance.draining = Some(Draining {
                flows: 3,
                until: Timestamp(SystemTime::UNIX_EPOCH),
            });
        }
        keep(&draining, &deeper).expect("kept");
        assert_eq!(recall(&deeper).expect("there"), choices());
    }

    #[test]
    fn a_corrupt_file_is_set_aside_and_said_once() {
        let directory = tempfile::tempdir().expect("a directory");
        keep(&choices(), directory.path()).expect("kept");
        let path = file(directory.path());
        let text = fs::read(&path).expect("there");
        for torn in 1..text.len() {
            fs::write(&path, &text[..torn]).expect("torn");
            let error = recall(directory.path()).expect_err("torn");
            assert!(error.to_string().contains("choices.corrupt"), "{error}");
            let again = recall(directory.path()).expect("nothing any more");
            assert_eq!(again, Choices::default());
        }
    }
}
