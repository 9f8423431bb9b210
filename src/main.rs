//! The binary: parse, run, print one error chain, exit.

use std::io::Write;
use std::process::ExitCode;

use uplinkd::cli;

fn main() -> ExitCode {
    match cli::run(std::env::args_os().skip(1)) {
        Ok(code) => code,
        Err(error) => {
            // Without a standard error there is nowhere left to report to.
            drop(writeln!(std::io::stderr(), "{}", cli::explain(&error)));
            cli::exit_code(&error)
        }
    }
}
