//! What the engine answers, pinned: scripted inputs and the sequence of its actions.
//!
//! Each case is a setup, a world and a script, all made by [`cases`]; its answers stand in
//! `tests/engine/corpus/<family>.txt`. Kinds, ids, times and order are compared exactly after each call,
//! reasons through [`adapter::REASONS`]. [`adapter`] is the one file that knows the engine's types: a change of
//! inputs or words is translated there, so that the recorded answers stay what they are.
//!
//! `CORPUS=write` writes the answers anew; a commit that does so says which difference it brings and why that is
//! right. `CORPUS=show:NAME` prints everything that the case NAME answers, as this tree answers it.
//!
//! ```text
//! # format 1
//! == lab-blackhole
//! 0.000 x9a                    a call of the engine: time, digest of all that it answers but the reasons
//!   route 4:2/10.0.1.1         and that answer in words
//!   event uplink.up fiber …
//!     because answers          the reason of the event
//! 1.013 Pq0 7dd …              calls that are answered with probes and counts only: the time of the first,
//! ```                          and the digest of each

mod adapter;
mod cases;
mod rig;
mod scenarios;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use cases::{Case, cases};
use rig::{Step, play};

/// The form of the files.
const FORMAT: &str = "# format 1";

/// So many digests stand on a line.
const DIGESTS: usize = 24;

fn file(family: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/engine/corpus/{family}.txt"))
}

/// The cases by the file that has their answers.
fn families() -> BTreeMap<String, Vec<Case>> {
    let mut families = BTreeMap::<_, Vec<_>>::new();
    for case in cases() {
        let family = case.name.split('-').next().expect("a family").to_owned();
        families.entry(family).or_default().push(case);
    }
    families
}

/// The answers as a file has them, one entry for each call that was answered.
fn lines(steps: &[Step]) -> String {
    let mut text = String::new();
    let mut quiet = 0;
    for step in steps {
        let is_quiet = step.lines.is_empty();
        if is_quiet && (1..DIGESTS).contains(&quiet) {
            write!(text, " {}", step.digest).expect("a string");
        } else {
            let end = if text.is_empty() { "" } else { "\n" };
            write!(text, "{end}{} {}", step.at, step.digest).expect("a string");
        }
        quiet = if is_quiet { quiet % DIGESTS + 1 } else { 0 };
        for line in &step.lines {
            write!(text, "\n{line}").expect("a string");
        }
    }
    text.push('\n');
    text
}

fn write(family: &str, cases: &[Case]) {
    let mut text = format!("{FORMAT}\n");
    for case in cases {
        write!(text, "== {}\n{}", case.name, lines(&play(case))).expect("a string");
    }
    fs::write(file(family), text).expect("the file is written");
}

/// A recorded call: its digest, its time where that is known, and its words.
#[derive(Debug, Default)]
struct Recorded {
    at: Option<String>,
    digest: String,
    lines: Vec<String>,
}

fn recorded(text: &str) -> Vec<Recorded> {
    let mut calls = Vec::<Recorded>::new();
    for line in text.lines() {
        if line.starts_with(' ') {
            let call = calls.last_mut().expect("words follow a call");
            call.lines.push(adapter::renamed(line));
            continue;
        }
        let mut fields = line.split(' ');
        let at = fields.next().expect("a time");
        for (place, digest) in fields.enumerate() {
            calls.push(Recorded {
                at: (place == 0).then(|| at.to_owned()),
                digest: digest.to_owned(),
                lines: Vec::new(),
            });
        }
    }
    calls
}

/// The first difference, in words; none if there is none.
fn difference(case: &Case, expected: &[Recorded]) -> Option<String> {
    let steps = play(case);
    for (place, step) in steps.iter().enumerate() {
        let call = expected.get(place);
        let is_same = call.is_some_and(|call| {
            let is_in_time = call.at.as_ref().is_none_or(|at| *at == step.at);
            is_in_time && call.digest == step.digest && call.lines == step.lines
        });
        if !is_same {
            let before = place.checked_sub(1).map(|place| steps[place].full.clone());
            return Some(format!(
                "{}, call {place}\n--- the call before\n{}\n--- recorded\n{}\n--- now\n{}",
                case.name,
                before.unwrap_or_default(),
                call.map_or_else(|| "nothing more".to_owned(), |call| format!("{call:#?}")),
                step.full
            ));
        }
    }
    let missing = expected.get(steps.len());
    missing.map(|call| format!("{}: now ends before {call:#?}", case.name))
}

#[test]
fn the_engine_answers_as_it_is_recorded() {
    let wish = std::env::var("CORPUS").unwrap_or_default();
    let mut differences = Vec::new();
    for (family, cases) in families() {
        if let Some(name) = wish.strip_prefix("show:") {
            let shown = cases.iter().filter(|case| case.name == name);
            for step in shown.flat_map(play) {
                differences.push(step.full);
            }
            continue;
        }
        if wish == "write" {
            write(&family, &cases);
            continue;
        }
        let text = fs::read_to_string(file(&family)).expect("the recorded answers");
        let mut parts = text.split("== ");
        let format = parts.next().map(str::trim_end);
        assert_eq!(format, Some(FORMAT), "{family}.txt");
        let recorded: BTreeMap<_, _> = parts
            .map(|part| part.split_once('\n').expect("a name"))
            .map(|(name, answers)| (name, recorded(answers)))
            .collect();
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        let known: Vec<_> = recorded.keys().copied().collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(known, sorted, "{family}.txt has the answers of other cases");
        differences.extend(
            cases
                .iter()
                .filter_map(|case| difference(case, &recorded[case.name.as_str()])),
        );
    }
    assert!(
        differences.is_empty(),
        "{} cases are answered differently:\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}

#[test]
fn the_corpus_has_every_kind_of_case_and_of_answer() {
    assert!(cases().len() >= 40, "{} cases", cases().len());
    let mut texts = String::new();
    for family in families().keys() {
        texts += &fs::read_to_string(file(family)).expect("the recorded answers");
    }
    for word in [
        "route ",
        "leave ",
        "event switch ",
        "event switch voice: ",
        "event uplink.up ",
        "event uplink.degraded ",
        "event uplink.down ",
        "event uplink.recovering ",
        "event target.down ",
        "event target.up ",
        "event flap.penalty ",
        "event flap.reuse ",
        "event standby.up ",
        "event standby.down ",
        "event standby.unready ",
        "event prefix.preferred ",
        "event prefix.deprecated ",
        "event switch.stranded ",
        "event no_usable_uplink",
        "event config.reloaded",
        "drain fiber begun ",
        "drain fiber over",
    ] {
        assert!(texts.contains(word), "no case is answered by `{word}`");
    }
}
