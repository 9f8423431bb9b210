//! What a machine may lack, and how a test that needs it says so.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::Command;

/// Reports that the running test does not run here; in CI that is a failure.
///
/// The report goes past the test runner, which would keep the words of a test that passes.
pub(crate) fn not_run(test: &str, why: &dyn Display) {
    assert!(std::env::var_os("CI").is_none(), "NOT RUN: {test}: {why}");
    let report = format!("*** NOT RUN: {test}: {why} ***\n");
    io::stderr().write_all(report.as_bytes()).unwrap_or(());
}

/// The name of the running test.
pub(crate) fn this_test() -> String {
    std::thread::current().name().unwrap_or("main").to_owned()
}

/// Whether a program of the machine is there and ends well; reported where it is not.
pub(crate) fn has(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    let is_there = output.is_ok_and(|output| output.status.success());
    if !is_there {
        let words = arguments.join(" ");
        not_run(
            &this_test(),
            &format!("there is no `{program} {words}` here"),
        );
    }
    is_there
}
