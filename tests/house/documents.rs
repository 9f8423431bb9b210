//! The documents: their links lead somewhere, their examples work, and nothing is missing in them.

mod examples;
mod links;
mod reference;
mod tests_named;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document as it stands in the repository.
struct Document {
    /// Relative to the repository.
    path: PathBuf,
    text: String,
}

impl Document {
    fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let text = fs::read_to_string(root().join(&path));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text }
    }

    /// Each line with its number, from 1, and whether it stands in a fenced block.
    fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut is_inside = false;
        self.text.lines().zip(1..).map(move |(line, number)| {
            let is_fence = line.trim_start().starts_with("```");
            is_inside ^= is_fence;
            (number, line, is_inside || is_fence)
        })
    }

    /// The lines outside of fenced blocks.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.lines();
        lines.filter_map(|(number, line, is_inside)| (!is_inside).then_some((number, line)))
    }

    /// The text under a heading, without those of the same or a higher level after it.
    fn under(&self, heading: &str) -> String {
        let level = heading.split(' ').next().map_or(0, str::len);
        let ends = |line: &str| {
            let marks = line.bytes().take_while(|byte| *byte == b'#').count();
            (1..=level).contains(&marks)
        };
        let mut lines = self.prose().map(|(_, line)| line);
        let found = lines.find(|line| *line == heading);
        assert!(found.is_some(), "{}: no {heading}", self.path.display());
        let text: Vec<_> = lines.take_while(|line| !ends(line)).collect();
        text.join("\n")
    }
}

/// Every document of the repository.
fn documents() -> Vec<Document> {
    let entries = fs::read_dir(root().join("docs")).expect("the documents");
    let names = entries.map(|entry| Path::new("docs").join(entry.expect("an entry").file_name()));
    let mut paths: Vec<_> = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.extend(
        [
            "README.md",
            "CONTRIBUTING.md",
            "CHANGELOG.md",
            "SECURITY.md",
        ]
        .map(PathBuf::from),
    );
    paths.sort();
    paths.into_iter().map(Document::read).collect()
}
