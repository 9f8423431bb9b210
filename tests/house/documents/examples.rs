//! What the documents show: each configuration is accepted, each command succeeds.
//!
//! A block is of one of these languages:
//!
//! - `sh`: commands. They run in the router of the lab, beside a running agent.
//! - `console`: commands after `$ ` and what they print. They run likewise, and the words in capitals,
//!   such as titles of columns, must be in what they print.
//! - `toml`, `uci`: configuration. It is read; uplinks that it lacks are added.
//! - `text`: anything else.
//!
//! A comment `<!-- not run: REASON -->` on the line before keeps a block of commands from running.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Document, documents};
use crate::machine::{not_run, this_test};
use uplinkd::config::Config;

/// So many blocks of commands may not run.
const MOST_NOT_RUN: usize = 12;

struct Example {
    /// As in `README.md:12`.
    place: String,
    language: String,
    text: String,
    not_run: Option<String>,
}

fn examples(document: &Document) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut before = "";
    let mut lines = document.text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            before = line;
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let inside = lines.by_ref().map(|(line, _)| line);
        let inside = inside.take_while(|line| !line.trim_start().starts_with("```"));
        let text = lines_of(inside.map(|line| line.get(indent..).unwrap_or_default()));
        let reason = before.trim().strip_prefix("<!-- not run: ");
        let reason = reason.and_then(|reason| reason.strip_suffix(" -->"));
        examples.push(Example {
            place: format!("{}:{number}", document.path.display()),
            language: language.to_owned(),
            text,
            not_run: reason.map(str::to_owned),
        });
        before = "";
    }
    examples
}

fn lines_of<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn all() -> Vec<Example> {
    documents().iter().flat_map(examples).collect()
}

impl Example {
    /// The commands of it, if it is of commands.
    fn script(&self) -> Option<String> {
        match &*self.language {
            "sh" => Some(self.text.clone()),
            "console" => {
                let commands = self.text.lines().filter_map(|line| line.strip_prefix("$ "));
                Some(lines_of(commands))
            }
            _ => None,
        }
    }

    /// The words that must be in what the commands print.
    fn capitals(&self) -> Vec<&str> {
        if self.language != "console" {
            return Vec::new();
        }
        let printed = self.text.lines().filter(|line| !line.starts_with("$ "));
        let words = printed.flat_map(str::split_whitespace);
        let is_title = |word: &&str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
        words.filter(is_title).collect()
    }
}

/// Why a configuration of a document is refused.
fn refusal(example: &Example) -> Option<String> {
    const TOML: [&str; 2] = ["fiber", "lte"];
    let mut text = example.text.clone();
    for (name, tier) in TOML.into_iter().zip(1..) {
        let is_toml = example.language == "toml";
        let title = if is_toml {
            format!("name = \"{name}\"")
        } else {
            format!("config uplink '{name}'")
        };
        if text.contains(&title) {
            continue;
        }
        let _ = if is_toml {
            writeln!(
                text,
                "[[uplink]]\n{title}\ninterface = \"of-{name}\"\ntier = {tier}"
            )
        } else {
            writeln!(
                text,
                "{title}\n\toption interface 'of-{name}'\n\toption tier '{tier}'"
            )
        };
    }
    let name = if example.language == "toml" {
        "x.toml"
    } else {
        "x"
    };
    let error = Config::parse(&text, name).err()?;
    Some(format!("{}: {error}", example.place))
}

#[test]
fn every_configuration_shown_is_accepted() {
    let examples = all();
    let shown = examples
        .iter()
        .filter(|example| matches!(&*example.language, "toml" | "uci"));
    let refused: Vec<_> = shown.clone().filter_map(refusal).collect();
    assert!(shown.count() > 3);
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn every_block_is_of_a_language_that_is_checked_or_says_why_not() {
    let mut faults = Vec::new();
    let mut not_run = 0;
    for Example {
        place,
        language,
        not_run: reason,
        ..
    } in all()
    {
        if !matches!(&*language, "sh" | "console" | "toml" | "uci" | "text") {
            faults.push(format!("{place}: a block of `{language}`"));
        }
        not_run += usize::from(reason.is_some());
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(not_run <= MOST_NOT_RUN, "{not_run} blocks do not run");
}

/// The machine is read only, and the configuration of the lab stands where the commands look for one.
const SHELL: &str = "\
#!/bin/sh
set -e
cd \"$(dirname \"$0\")\"
mount --bind . .
mount -t tmpfs none /etc
mkdir /etc/uplinkd
cp /run/uplinkd/uplinkd.toml /etc/uplinkd/
mount -o remount,bind,ro /
cd \"$PWD\"
";

/// Runs the commands of some examples in one router of the lab and says which failed, and how. None
/// where the machine forbids the lab.
fn failures(examples: &[Example]) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().expect("a directory");
    let shell = directory.path().join("shell");
    let mut text = SHELL.to_owned();
    let scripts: Vec<_> = examples.iter().map(Example::script).collect();
    for (number, script) in scripts.iter().enumerate() {
        let file = directory.path().join(format!("{number}.sh"));
        fs::write(file, script.as_deref().unwrap_or_default()).expect("a script");
        let _ = writeln!(
            text,
            "sh -e {number}.sh > {number}.out 2>&1 < /dev/null && : > {number}.passed || :"
        );
    }
    text.push_str(": > finished\n");
    fs::write(&shell, text).expect("a script");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let ran = Command::new(env!("CARGO_BIN_EXE_uplinkd"))
        .args(["lab", "--shell"])
        .env("SHELL", &shell)
        .stdin(Stdio::null())
        .output()
        .expect("the program");
    let is_there = |name: &str| directory.path().join(name).exists();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if said.contains("FORBIDDEN") {
        return None;
    }
    assert!(is_there("finished"), "the lab's shell: {said}");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut failures = Vec::new();
    for (number, example) in examples.iter().enumerate() {
        let output = read(&directory.path().join(format!("{number}.out")));
        let place = &example.place;
        if !is_there(&format!("{number}.passed")) {
            failures.push(format!("{place}: failed: {output}"));
        }
        for word in example.capitals() {
            if !output.contains(word) {
                failures.push(format!("{place}: no {word} in: {output}"));
            }
        }
    }
    Some(failures)
}

fn not_run_here() {
    not_run(&this_test(), &"the lab is forbidden on this machine");
}

#[test]
fn every_command_shown_succeeds() {
    let runs = |example: &Example| example.script().is_some() && example.not_run.is_none();
    let examples: Vec<_> = all().into_iter().filter(runs).collect();
    assert!(examples.len() > 5, "only {} blocks run", examples.len());
    match failures(&examples) {
        Some(failures) => assert_eq!(failures, Vec::<String>::new()),
        None => not_run_here(),
    }
}

#[test]
fn a_command_that_fails_and_an_output_that_differs_are_found() {
    let text = "```sh\nuplinkd status\nuplinkd status fibre\n```\n```console\n$ uplinkd status\nUPLINK WEATHER\n```\n\
                ```toml\n[probe]\nintervall = \"1s\"\n```\n";
    let document = Document {
        path: "x.md".into(),
        text: text.to_owned(),
    };
    let mut examples = examples(&document);
    let configuration = examples.pop().expect("three of them");
    assert!(refusal(&configuration).is_some_and(|why| why.contains("did you mean")));
    let Some(failures) = failures(&examples) else {
        return not_run_here();
    };
    let [failed, differs] = &*failures else {
        panic!("{failures:?}");
    };
    assert!(failed.starts_with("x.md:1: failed: "), "{failed}");
    assert!(differs.starts_with("x.md:5: no WEATHER in: "), "{differs}");
}
