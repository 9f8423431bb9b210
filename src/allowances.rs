//! What was counted of the allowances, kept across restarts: one small file, written once an hour, as flash wears, and
//! when a period begins or something was announced.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::allowance::AllowanceCount;
use crate::state_file::{self, Durability};
use crate::units::sorted::SortedMap;
use crate::units::{UplinkName, json};

/// No file of it is as long as this: some hundreds of bytes for an uplink.
const LONGEST: u64 = 256 * 1024;

/// What was counted of each uplink.
pub type AllowanceCounts = SortedMap<UplinkName, AllowanceCount>;

/// Why it cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct AllowancesError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What an earlier run left in this directory; nothing if there is no file.
///
/// # Errors
/// If there is a file that cannot be read or makes no sense.
pub fn recall(directory: &Path) -> Result<AllowanceCounts, AllowancesError> {
    let path = file(directory);
    let text = match state_file::read(&path, LONGEST) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(AllowanceCounts::new()),
        Err(source) => return Err(error("read", path, source)),
    };
    let counts = json::read(&text);
    counts.map_err(|source| error("make sense of", path, source.into()))
}

/// Keeps it in this directory, which is made if need be. It is on the disk then.
///
/// # Errors
/// If the file cannot be written; the old one is left whole.
pub fn keep(counts: &AllowanceCounts, directory: &Path) -> Result<(), AllowancesError> {
    let path = file(directory);
    let write = || state_file::replace(&path, &serde_json::to_vec(counts)?, Durability::Synced);
    write().map_err(|source| error("write", path.clone(), source))
}

fn error(verb: &'static str, path: PathBuf, source: io::Error) -> AllowancesError {
    AllowancesError { verb, path, source }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("allowance.json")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::allowance::{BillingPeriod, EndedPeriod};
    use crate::units::{BillingDay, BootId, Bytes, Counters, IfIndex, InterfaceReading, LocalDay};

    fn counts() -> AllowanceCounts {
        let index = IfIndex::new(3).expect("an index");
        let count = AllowanceCount {
            used: Bytes(12_000_000_001),
            read: Some(InterfaceReading {
                counters: Counters {
                    rx_bytes: u64::MAX,
                    ..Counters::default()
                },
                index,
                newest: index,
                boot: BootId(u64::MAX),
            }),
            period: Some(BillingPeriod {
                day: BillingDay(1),
                begins: LocalDay(20_758),
                ends: LocalDay(20_788),
            }),
            announced: 75,
            before: Some(EndedPeriod {
                period: BillingPeriod {
                    day: BillingDay(1),
                    begins: LocalDay(20_728),
                    ends: LocalDay(20_758),
                },
                used: Bytes(7),
                announced: 0,
            }),
        };
        [("lte".parse().expect("a name"), count)].into()
    }

    #[test]
    fn what_was_counted_is_recalled_to_the_byte() {
        let directory = tempfile::tempdir().expect("a directory");
        let deeper = directory.path().join("state");
        assert_eq!(recall(&deeper).expect("none yet"), AllowanceCounts::new());
        keep(&counts(), &deeper).expect("kept");
        assert_eq!(recall(&deeper).expect("there"), counts());
    }

    #[test]
    fn a_torn_file_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        keep(&counts(), directory.path()).expect("kept");
        let path = file(directory.path());
        let text = fs::read(&path).expect("there");
        fs::write(&path, &text[..text.len() / 2]).expect("torn");
        let error = recall(directory.path()).expect_err("torn");
        assert!(error.to_string().contains("allowance.json"), "{error}");
    }
}
