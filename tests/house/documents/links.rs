//! Links between the documents.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{Document, documents, root};

/// What is wrong with the links of some documents.
fn broken(documents: &[Document]) -> Vec<String> {
    let mut broken = Vec::new();
    for document in documents {
        for (line, text) in document.prose() {
            for target in targets(text) {
                if let Some(why) = fault(document, target, documents) {
                    broken.push(format!(
                        "{}:{line}: {target}: {why}",
                        document.path.display()
                    ));
                }
            }
        }
    }
    broken
}

/// The targets of `[text](target)`, `![text](target)` and `src="target"`.
fn targets(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).map(|rest| rest.split(')'));
    let images = text.split("src=\"").skip(1);
    let images = images.chain(text.split("srcset=\"").skip(1));
    let images = images.filter_map(|rest| rest.split('"').next());
    links
        .filter_map(|mut rest| rest.next())
        .chain(images)
        .collect()
}

fn fault(document: &Document, target: &str, documents: &[Document]) -> Option<&'static str> {
    if target.starts_with("https://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        document.path.clone()
    } else {
        normal(&document.path.with_file_name(file))
    };
    if !root().join(&path).exists() {
        return Some("no such file");
    }
    if anchor.is_empty() {
        return None;
    }
    let Some(linked) = documents.iter().find(|other| other.path == path) else {
        return Some("an anchor in what is no document");
    };
    (!anchors(linked).contains(anchor)).then_some("no such heading")
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            normal.pop();
        } else {
            normal.push(part);
        }
    }
    normal
}

/// The anchors of the headings as GitHub makes them.
fn anchors(document: &Document) -> BTreeSet<String> {
    let headings = document.prose().filter(|(_, line)| line.starts_with('#'));
    let mut anchors = BTreeSet::new();
    for (_, heading) in headings {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.collect::<String>().replace(' ', "-");
        let again = (0..).map(|count| match count {
            0 => anchor.clone(),
            _ => format!("{anchor}-{count}"),
        });
        let free = again.into_iter().find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let documents = documents();
    let count: usize = documents
        .iter()
        .flat_map(Document::prose)
        .map(|(_, line)| targets(line).len())
        .sum();
    assert!(count > 30, "only {count} links were found");
    assert_eq!(broken(&documents), Vec::<String>::new());
}

/// The paths of the repository that a document names in backticks.
fn named_paths(document: &Document) -> impl Iterator<Item = &str> {
    const DIRECTORIES: [&str; 7] = [
        "src/", "tests/", "benches/", "docs/", "config/", "openwrt/", ".ci/",
    ];
    let text = document.text.split('`').skip(1).step_by(2);
    // Of a command the program; of a pattern nothing.
    let words = text.filter_map(|code| code.split_whitespace().next());
    words.filter(|word| {
        let is_fixed = !word.contains(['*', '|', ':']) && !word.contains("NAME");
        is_fixed && DIRECTORIES.iter().any(|start| word.starts_with(start))
    })
}

#[test]
fn every_file_of_the_repository_that_a_document_names_is_there() {
    let mut missing = Vec::new();
    let mut count = 0;
    for document in documents() {
        for path in named_paths(&document) {
            count += 1;
            if !root().join(path).exists() {
                missing.push(format!("{}: {path}", document.path.display()));
            }
        }
    }
    assert!(count > 20, "only {count} are named");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_link_to_a_missing_file_or_heading_is_found() {
    let text = "# One\n[a](README.md) [b](missing.md) [c](#one) [d](#two) [e](README.md#nowhere)\n";
    let document = Document {
        path: "CHANGELOG.md".into(),
        text: text.to_owned(),
    };
    let found = broken(&[document, Document::read("README.md")]);
    let found: Vec<_> = found
        .iter()
        .filter(|line| line.starts_with("CHANGELOG"))
        .collect();
    assert_eq!(
        found,
        [
            "CHANGELOG.md:2: missing.md: no such file",
            "CHANGELOG.md:2: #two: no such heading",
            "CHANGELOG.md:2: README.md#nowhere: no such heading",
        ]
    );
}
