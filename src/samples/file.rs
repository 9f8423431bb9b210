//! The file of a book of samples: a head, the names of uplinks, the records of each level, and a checksum.
//!
//! It is replaced as a whole. A file that is torn or of another kind is set aside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Level, SampleBook, SlotSample};
use crate::state_file::{self, Durability};
use crate::units::UplinkName;

/// The most that the file holds.
pub const MOST_BYTES: usize = 512 * 1024;
/// With the number of the form.
const HEAD: &[u8] = b"uplinkd samples 1\n";
const RECORD: usize = 38;

/// Why samples cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// The file cannot be handled.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds no samples, or not all of them.
    #[error("{} holds no samples, or is torn; it is set aside as {}", path.display(), aside.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it is now.
        aside: PathBuf,
    },
}

/// Keeps a book in a directory, which is made if need be.
///
/// # Errors
/// If the file cannot be written; the old one is left whole.
pub fn keep(book: &SampleBook, directory: &Path) -> Result<(), SamplesError> {
    let path = path_in(directory);
    state_file::replace(&path, &to_bytes(book), Durability::Synced).map_err(|source| {
        SamplesError::Io {
            verb: "write",
            path,
            source,
        }
    })
}

/// The book in a directory; an empty one if there is none.
///
/// # Errors
/// If there is a file that cannot be read.
pub fn read(directory: &Path) -> Result<Option<SampleBook>, SamplesError> {
    let path = path_in(directory);
    match state_file::read(&path, MOST_BYTES as u64) {
        Ok(Some(bytes)) => Ok(from_bytes(&bytes)),
        Ok(None) => Ok(Some(SampleBook::default())),
        Err(error) if state_file::is_foreign(&error) => Ok(None),
        Err(source) => Err(SamplesError::Io {
            verb: "read",
            path,
            source,
        }),
    }
}

/// The same for the agent, which owns the file: one that makes no sense is set aside.
///
/// # Errors
/// If there is a file that cannot be read, or makes no sense.
pub fn recall(directory: &Path) -> Result<SampleBook, SamplesError> {
    if let Some(book) = read(directory)? {
        return Ok(book);
    }
    let path = path_in(directory);
    let aside = path.with_extension("corrupt");
    // What was set aside before may be of another kind, which cannot be replaced by this.
    let _ = fs::remove_file(&aside);
    match fs::rename(&path, &aside) {
        Ok(()) => Err(SamplesError::Damaged { path, aside }),
        Err(source) => Err(SamplesError::Io {
            verb: "set aside",
            path,
            source,
        }),
    }
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join("samples.bin")
}

/// A book as text, for the control socket.
pub fn to_text(book: &SampleBook) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = to_bytes(book);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// What [`to_text`] made of a book.
pub fn from_text(text: &str) -> Option<SampleBook> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes = digits?;
    let bytes = bytes.chunks(2).map(|pair| {
        let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
        u8::try_from(value).unwrap_or_default()
    });
    from_bytes(&bytes.collect::<Vec<_>>())
}

fn to_bytes(book: &SampleBook) -> Vec<u8> {
    let records: usize = book.levels.iter().map(Vec::len).sum();
    let names: usize = book.names.iter().map(|name| name.as_str().len() + 1).sum();
    let mut bytes = Vec::with_capacity(HEAD.len() + names + records * RECORD + 21);
    bytes.extend_from_slice(HEAD);
    bytes.push(length(book.names.len()));
    for name in &book.names {
        bytes.push(length(name.as_str().len()));
        bytes.extend_from_slice(name.as_str().as_bytes());
    }
    for samples in &book.levels {
        let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        for sample in samples {
            put(&mut bytes, sample);
        }
    }
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Names are shorter than that, and no more are numbered.
fn length(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn put(bytes: &mut Vec<u8>, sample: &SlotSample) {
    bytes.extend_from_slice(&sample.slot.to_le_bytes());
    bytes.extend_from_slice(&[sample.uplink, sample.score]);
    for value in sample.figures.iter().chain(&sample.shares) {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    for value in sample.bytes {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

/// None where it makes no sense to the last byte.
fn from_bytes(bytes: &[u8]) -> Option<SampleBook> {
    let (content, sum) = bytes.split_last_chunk::<8>()?;
    if bytes.len() > MOST_BYTES || u64::from_le_bytes(*sum) != checksum(content) {
        return None;
    }
    let mut rest = content.strip_prefix(HEAD)?;
    let mut book = SampleBook::default();
    for _ in 0..take::<1>(&mut rest)?[0] {
        let [length] = take(&mut rest)?;
        let (name, behind) = rest.split_at_checked(usize::from(length))?;
        rest = behind;
        let name: UplinkName = std::str::from_utf8(name).ok()?.parse().ok()?;
        book.names.push(name);
    }
    for level in Level::ALL {
        let count = u32::from_le_bytes(take(&mut rest)?) as usize;
        let samples = &mut book.levels[level as usize];
        samples.reserve_exact(count.min(rest.len() / RECORD));
        for _ in 0..count {
            let sample = get(&mut rest)?;
            let is_in_order = samples.last().is_none_or(|last| last.key() < sample.key());
            let is_sound = is_in_order && usize::from(sample.uplink) < book.names.len();
            samples.push(Some(sample).filter(|_| is_sound)?);
        }
    }
    rest.is_empty().then_some(book)
}

fn get(rest: &mut &[u8]) -> Option<SlotSample> {
    let slot = u32::from_le_bytes(take(rest)?);
    let [uplink, score] = take(rest)?;
    let mut sample = SlotSample {
        slot,
        uplink,
        score,
        ..SlotSample::NOTHING
    };
    for value in sample.figures.iter_mut().chain(&mut sample.shares) {
        *value = u16::from_le_bytes(take(rest)?);
    }
    for value in &mut sample.bytes {
        *value = Some(f32::from_le_bytes(take(rest)?)).filter(|value| value.is_finite())?;
    }
    Some(sample)
}

fn take<const COUNT: usize>(rest: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// FNV-1a of 64 bits: it finds what a power cut tore.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
