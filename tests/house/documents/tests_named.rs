//! The tests that documents name.

use std::fs;
use std::path::{Path, PathBuf};

use super::{documents, root};

/// The files of Rust below a directory of the repository.
fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names by which the test runner can be asked for tests: functions, and the modules they stand in.
fn names() -> Vec<String> {
    let mut files = Vec::new();
    for directory in ["src", "tests"] {
        sources(&root().join(directory), &mut files);
    }
    let lines = files.iter().flat_map(|file| {
        let text = fs::read_to_string(file).expect("a source");
        text.lines()
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    });
    let named = lines.filter_map(|line| {
        let rest = line
            .strip_prefix("fn ")
            .or_else(|| line.strip_prefix("mod "))?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(rest[..end].to_owned())
    });
    named.collect()
}

/// What a command `cargo test ...` asks for by name.
fn filters(command: &str) -> Vec<&str> {
    let (_, arguments) = command.split_once("cargo test").unwrap_or_default();
    let mut words = arguments
        .split_whitespace()
        .take_while(|word| *word != "--");
    let mut filters = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--test" | "--features" => drop(words.next()),
            flag if flag.starts_with('-') => {}
            filter => filters.push(filter),
        }
    }
    filters
}

#[test]
fn each_test_that_a_document_names_is_there() {
    let names = names();
    let mut missing = Vec::new();
    for document in documents() {
        for (line, text) in document.prose() {
            let commands = text.split('`').skip(1).step_by(2);
            let commands = commands.filter(|code| code.contains("cargo test"));
            for filter in commands.flat_map(filters) {
                if !names.iter().any(|name| name.contains(filter)) {
                    missing.push(format!("{}:{line}: {filter}", document.path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn each_test_that_holds_a_line_of_the_threat_model_is_there() {
    let text = fs::read_to_string(root().join("SECURITY.md")).expect("the threat model");
    let names = names();
    let codes = text.split('`').skip(1).step_by(2);
    let said: Vec<_> = codes
        .filter(|code| code.matches('_').count() >= 3)
        .collect();
    assert!(said.len() > 10, "{said:?}");
    let is_missing = |name: &&&str| !names.iter().any(|known| known == *name);
    let missing: Vec<_> = said.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn of_a_command_the_words_that_name_tests_are_found() {
    let command = "LONG_TESTS=1 cargo test --release --test kernel sixty_four -- --nocapture";
    assert_eq!(filters(command), ["sixty_four"]);
    assert!(filters("cargo test --lib --test engine").is_empty());
}
