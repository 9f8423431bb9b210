//! The one way to standard output.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

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

/// Tells a person something that is no result. Without a standard error there is nobody to tell.
pub(super) fn remark(text: &str) {
    drop(writeln!(io::stderr(), "uplinkd: {text}"));
}

/// Standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
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
