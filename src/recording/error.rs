//! The faults of a recording.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::units::NameError;
use crate::units::counting::plural;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("cannot read the recording {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no probe.
    #[error("{}: the recording has no probe", .0.display())]
    Empty(PathBuf),
    /// Neither its lines nor its name tell the uplink.
    #[error("{}: the uplink is not known; name it: NAME={}", .0.display(), .0.display())]
    Nameless(PathBuf),
    /// It spans more than two years, with a gap.
    #[error(
        "the recording spans more than two years and has no probe from {from} to {to}, as after a set \
         clock: cut it there"
    )]
    Gap {
        /// The last time before the gap, in seconds.
        from: f64,
        /// The first after it.
        to: f64,
    },
    /// Some lines are wrong.
    #[error("{}", enumerated(file, lines, *more))]
    Lines {
        /// The name of the file.
        file: String,
        /// What is wrong, by line.
        lines: Vec<BadLine>,
        /// So many more lines are.
        more: usize,
    },
}

fn enumerated(file: &str, lines: &[BadLine], more: usize) -> String {
    let mut texts: Vec<_> = lines
        .iter()
        .map(|BadLine { line, fault }| format!("{file}:{line}: {fault}"))
        .collect();
    if more > 0 {
        texts.push(format!("{file}: and {} more", plural(more, "line")));
    }
    texts.join("\n")
}

/// One line that is wrong.
#[derive(Debug)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// The first line of no known format.
    #[error(
        "neither a recording of the agent (JSON lines), nor CSV under the header \
         `time,uplink,target,rtt_ms`, nor the output of `ping -D`"
    )]
    NoRecording,
    /// Longer than a line may be.
    #[error("longer than 1 MiB")]
    TooLong,
    /// Not a text.
    #[error("not a text in UTF-8")]
    NotText,
    /// A zero byte, as after a crash.
    #[error("holds a NUL byte")]
    Nul,
    /// Too many or too few fields.
    #[error("{found} fields: must be {expected}")]
    Fields {
        /// The number of fields.
        found: usize,
        /// The fields of such a line.
        expected: &'static str,
    },
    /// Not a time.
    #[error("time {0}: must be a number of seconds")]
    Time(Quoted),
    /// Not a round trip.
    #[error("rtt_ms {0}: must be a number of milliseconds from 0 to 3600000, or `lost`")]
    Rtt(Quoted),
    /// Not a target.
    #[error("target {0}: must be an address, a tcp:// target or a name")]
    Target(Quoted),
    /// Not the name of an uplink.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An outage that ends before it begins.
    #[error("an outage from {from} to {to}: must end after it began")]
    Outage {
        /// Its beginning.
        from: f64,
        /// Its end.
        to: f64,
    },
    /// Not a line of `ping -D`.
    #[error("no line of `ping -D`: {0}")]
    Ping(Quoted),
    /// A reply without its time.
    #[error("no time in brackets: record with `ping -D`")]
    Timeless,
    /// A run without a line that has a time.
    #[error("{0} requests without an answer, and without a time: record with `ping -D -O`")]
    Unplaced(u64),
    /// Not a line of the agent.
    #[error("no line of the agent")]
    Json(#[source] serde_json::Error),
    /// The form of another version.
    #[error("a recording of form {0}: this version reads form 1")]
    Form(u32),
    /// The clock of the agent never goes back.
    #[error("earlier than the line before it")]
    Backwards,
    /// Too many uplinks.
    #[error("more than 64 uplinks")]
    TooManyUplinks,
    /// Too many targets.
    #[error("more than 16 targets of one uplink")]
    TooManyTargets,
}

/// A text for a message: in quotes, shortened, control characters escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// The text, or its beginning.
    pub fn new(text: &str) -> Self {
        const MOST: usize = 40;
        let mut short: String = text.chars().take(MOST).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        Self(short)
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
