//! The one way to standard output.

mod terminal;

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::units::UplinkName;

/// Prints. A reader that has seen enough, as in `uplinkd status | head -1`, is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        printed => printed,
    }
}

/// Waits for so long. Ends the program, as [`print`] does, if the reader goes meanwhile.
pub(super) fn wait_for_reader(span: Duration) {
    let stdout = io::stdout();
    // Nothing is waited for but the errors, which are always told.
    let mut reader = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let span = PollTimeout::try_from(span).unwrap_or(PollTimeout::MAX);
    if poll(&mut reader, span).is_ok_and(|gone| gone > 0) {
        std::process::exit(0);
    }
}

/// Prints a notice that is no result to standard error. Without one it is lost.
pub(super) fn remark(text: &str) {
    drop(writeln!(
        io::stderr(),
        "{}",
        folded(&format!("uplinkd: {text}"))
    ));
}

/// Uplinks, in a sentence.
pub(super) fn list(names: &[UplinkName]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = names.iter().map(UplinkName::as_str).collect();
    names.join(", ")
}

/// A text for standard error, in lines that fit it if it is a terminal.
pub(super) fn folded(text: &str) -> String {
    let fit = |line| {
        if io::stderr().is_terminal() {
            fitted(line)
        } else {
            format!("{line}\n")
        }
    };
    let lines = text.lines().map(fit);
    lines.collect::<String>().trim_end().to_owned()
}

/// Standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The width of a screen where none is known.
const USUAL_WIDTH: usize = 80;
/// Nothing is made to fit less.
const LEAST_WIDTH: usize = 40;

/// How many columns there are: as `COLUMNS` says, or the terminal; none in a pipe.
pub(super) fn known_width() -> Option<usize> {
    let named = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let width = named.or_else(terminal::width)?;
    Some(width.max(LEAST_WIDTH))
}

/// How many columns there are, or usually are.
pub(super) fn width() -> usize {
    known_width().unwrap_or(USUAL_WIDTH)
}

/// The text in lines of so many columns, broken between words. A longer word has a line of its own.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + length <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A text in lines of at most `width` columns, broken between words. The first line is indented by
/// `indent`, and those that continue it by two more.
pub(super) fn paragraph(text: &str, indent: usize, width: usize) -> String {
    let mut lines = wrapped(text, width.saturating_sub(indent)).into_iter();
    let first = lines.next().unwrap_or_default();
    let mut paragraph = format!("{:indent$}{}\n", "", first.trim_end());
    let rest = lines.collect::<Vec<_>>().join(" ");
    if !rest.is_empty() {
        let indent = indent + 2;
        let folded = wrapped(&rest, width.saturating_sub(indent)).into_iter();
        paragraph.extend(folded.map(|line| format!("{:indent$}{}\n", "", line.trim_end())));
    }
    paragraph
}

/// A text in lines that fit the screen, if there is one.
pub(super) fn fitted(text: &str) -> String {
    paragraph(text, 0, known_width().unwrap_or(usize::MAX))
}

/// A colour of the terminal, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Dim,
}

/// How to colour: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    is_colourful: bool,
}

impl Palette {
    pub(super) fn of_stdout() -> Self {
        let is_wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            is_colourful: is_wanted && is_terminal(),
        }
    }

    /// There are colours.
    pub(super) fn is_colourful(self) -> bool {
        self.is_colourful
    }

    /// The text in a colour.
    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Dim => 2,
        };
        if self.is_colourful {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A span in its two largest units.
pub(super) fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_wrapped_between_words_and_loses_none() {
        let text = "no answer from 2001:db8:0:0:0:0:0:1 since 1.5 s";
        for columns in [1, 10, 20, 46, 47, 80] {
            let lines = wrapped(text, columns);
            assert_eq!(lines.join(" "), text);
            let fits = |line: &String| line.len() <= columns || !line.contains(' ');
            assert!(lines.iter().all(fits), "{lines:?}");
        }
        assert_eq!(wrapped(text, 47).len(), 1);
        assert_eq!(wrapped(text, 46).len(), 2);
    }
}
