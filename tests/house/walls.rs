//! What keeps the source readable, as far as a machine can count it: no circle of files, layers in the
//! engine, types and files of a size that a reader can hold, names that are unique, words of the field.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::architecture::{Source, root, sources};

/// Words that hide who does something, in the whole tree, at most.
const MOST_VAGUE_WORDS: usize = 10;
/// Lines of a file without its tests, at most; and the files that are still longer.
const MOST_LINES: usize = 500;
const LONG_FILES: &[(&str, usize)] = &[
    ("src/engine.rs", 600),
    ("src/engine/uplink/monitor.rs", 636),
];
/// Methods and fields of a type, at most, where its doc gives no reason after [`REASON`].
const MOST_METHODS: usize = 40;
const MOST_FIELDS: usize = 15;
const REASON: &str = "Large:";

/// The layers of the engine, from the top: a file imports files of its own layer and of those below it. A file
/// without a line is about all uplinks and groups, in the layer below `Engine`.
const ENGINE_LAYERS: &[(&str, &[&str])] = &[
    (
        "Engine",
        &["engine.rs", "follow.rs", "planned.rs", "resume.rs"],
    ),
    ("all uplinks and groups", &[]),
    ("group", &["common_outage.rs", "group.rs", "group/"]),
    (
        "uplink",
        &["uplink.rs", "uplink/allowance.rs", "uplink/blame.rs"],
    ),
    ("what an uplink owns", &["uplink/"]),
    (
        "parts",
        &[
            "allowance.rs",
            "best_policy.rs",
            "budget.rs",
            "candidate.rs",
            "damping.rs",
            "deadline.rs",
            "detection_time.rs",
            "election.rs",
            "family.rs",
            "hazard.rs",
            "input.rs",
            "loss.rs",
            "outage.rs",
            "passive.rs",
            "phase.rs",
            "quality.rs",
            "round.rs",
            "score.rs",
            "status.rs",
            "suspicion.rs",
            "target.rs",
            "window.rs",
        ],
    ),
    (
        "words",
        &[
            "action.rs",
            "command.rs",
            "event.rs",
            "event/",
            "ids.rs",
            "schedule.rs",
            "settings.rs",
            "settings/",
            "state.rs",
            "timer.rs",
            "wording.rs",
        ],
    ),
];
/// Where a file of the engine without a line stands in [`ENGINE_LAYERS`].
const LAYER_OF_OTHERS: usize = 1;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = circles(&imports(&sources()));
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn the_engine_imports_downwards_only() {
    let imports = imports(&sources());
    let mut upwards = Vec::new();
    for (file, imported) in &imports {
        let Some(own) = engine_layer(file) else {
            continue;
        };
        for below in imported {
            if engine_layer(below).is_some_and(|other| other < own) {
                upwards.push(format!("{file} imports {below}"));
            }
        }
    }
    assert_eq!(upwards, [""; 0]);
    for place in ENGINE_LAYERS.iter().flat_map(|(_, places)| *places) {
        let is_there = imports.keys().any(|file| is_in(file, place));
        assert!(is_there, "the engine has no {place}");
    }
}

fn engine_layer(file: &str) -> Option<usize> {
    let is_engine = file == "src/engine.rs" || file.starts_with("src/engine/");
    let holds = |(_, places): &(&str, &[&str])| places.iter().any(|place| is_in(file, place));
    let layer = ENGINE_LAYERS.iter().position(holds);
    is_engine.then_some(layer.unwrap_or(LAYER_OF_OTHERS))
}

/// It is this file of the engine, or in this folder.
fn is_in(file: &str, place: &str) -> bool {
    let file = file
        .strip_prefix("src/engine/")
        .unwrap_or(file.trim_start_matches("src/"));
    file == place || place.ends_with('/') && file.starts_with(place)
}

#[test]
fn a_type_has_a_name_of_its_own() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for source in sources() {
        for found in types(source.shipped()) {
            places
                .entry(found.name)
                .or_default()
                .push(source.path.clone());
        }
    }
    assert!(places.len() > 400, "the types are elsewhere");
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn a_type_is_small_or_says_why_not() {
    let (mut methods, mut fields) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
    for source in sources() {
        let text = source.shipped();
        for found in types(text) {
            if !found.doc.contains(REASON) {
                let most = fields.entry(found.name).or_insert(0);
                *most = found.fields.max(*most);
            }
        }
        for (name, count) in implementations(text) {
            *methods.entry(name).or_default() += count;
        }
    }
    let mut large = Vec::new();
    for (name, field_count) in fields {
        let method_count = methods.get(&name).copied().unwrap_or_default();
        if method_count > MOST_METHODS || field_count > MOST_FIELDS {
            large.push(format!(
                "{name}: {method_count} methods, {field_count} fields"
            ));
        }
    }
    assert_eq!(
        large, [""; 0],
        "a doc with `{REASON}` and the reason allows it"
    );
}

#[test]
fn a_file_is_short_without_its_tests() {
    let mut long = Vec::new();
    for source in sources() {
        let lines = source.shipped().lines().count();
        let known = LONG_FILES.iter().find(|(path, _)| *path == source.path);
        if lines > known.map_or(MOST_LINES, |(_, lines)| *lines) {
            long.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert_eq!(long, [""; 0]);
}

#[test]
fn sentences_name_who_does_something() {
    // In pieces, so that this file is none of those it looks for.
    let vague = ["whoe", "nob", "someb", "anyb"]
        .into_iter()
        .zip(["ver", "ody", "ody", "ody"]);
    let vague: Vec<_> = vague.map(|(head, tail)| format!("{head}{tail}")).collect();
    let mut places = Vec::new();
    for (path, text) in texts() {
        for (line, number) in text.lines().zip(1..) {
            let words = line.split(|c: char| !c.is_alphanumeric());
            let count = words
                .filter(|word| vague.contains(&word.to_lowercase()))
                .count();
            places.extend((0..count).map(|_| format!("{path}:{number}")));
        }
    }
    assert!(
        places.len() <= MOST_VAGUE_WORDS,
        "{}:\n{}",
        places.len(),
        places.join("\n")
    );
}

/// Whom each file imports. What a file names of its own submodules is composition and counts for
/// nothing; what they name of it does.
fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<Vec<&str>, &str> = sources
        .iter()
        .map(|source| (module(&source.path), source.path.as_str()))
        .collect();
    let mut all = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path != "src/main.rs") {
        let own = module(&source.path);
        let lines = source.shipped().lines();
        let code: Vec<_> = lines
            .map(|line| line.split("//").next().unwrap_or_default())
            .collect();
        let code = code.join("\n");
        let imported = paths(&code).into_iter().filter_map(|path| {
            let mut words = path.split("::").peekable();
            let mut place = match words.next() {
                Some("crate") => Vec::new(),
                Some("super") => own[..own.len() - 1].to_vec(),
                _ => own.clone(),
            };
            while words.next_if_eq(&"super").is_some() {
                place.pop();
            }
            for word in words {
                let known = files
                    .keys()
                    .find(|file| file.split_last() == Some((&word, place.as_slice())));
                let Some(known) = known else { break };
                place.clone_from(known);
            }
            let is_own = place.starts_with(&own);
            files
                .get(&place)
                .filter(|_| !is_own)
                .map(|file| (*file).to_owned())
        });
        all.insert(source.path.clone(), imported.collect());
    }
    all
}

/// `["engine", "uplink"]` for `src/engine/uplink.rs`.
fn module(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').collect()
}

/// Each path that begins at the crate, the parent or the module itself, groups taken apart.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let is_whole = !code[..at].ends_with(|c| is_of_name(c) || c == ':');
            if is_whole {
                let base = start.trim_end_matches("::");
                take_apart(base, &code[at + start.len()..], &mut found);
            }
        }
    }
    found
}

/// Appends what `rest` names below `base`: one path, or each of a group.
fn take_apart(base: &str, rest: &str, found: &mut Vec<String>) {
    if let Some(group) = rest.strip_prefix('{') {
        for item in items(group) {
            take_apart(base, item.trim(), found);
        }
        return;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
    let path = format!("{base}::{name}");
    match after.strip_prefix("::") {
        Some(below) => take_apart(&path, below, found),
        None => found.push(path),
    }
}

/// The items of a group, up to its closing brace.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// The sets of files each of which reaches all others of its set.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|file| (file, reach(file, imports)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, others) in &reached {
        let back = others.iter().filter(|other| reached[other].contains(*file));
        let circle: BTreeSet<_> = back.cloned().collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reach(file: &str, imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file.to_owned()]);
    while let Some(file) = next.pop() {
        for other in imports.get(&file).into_iter().flatten() {
            if reached.insert(other.clone()) {
                next.push(other.clone());
            }
        }
    }
    reached
}

/// A type and what stands on it.
struct FoundType {
    name: String,
    doc: String,
    fields: usize,
}

/// The types of a file; associated types are none.
fn types(text: &str) -> Vec<FoundType> {
    let (mut found, mut doc) = (Vec::<FoundType>::new(), String::new());
    let mut is_open = false;
    for line in text.lines() {
        let item = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        let item = item.trim_start_matches("pub ");
        let keyword = ["struct ", "enum ", "trait ", "type "];
        let rest = keyword
            .iter()
            .find_map(|keyword| item.strip_prefix(keyword));
        if let Some(rest) = rest {
            let name = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            is_open = item.starts_with("struct ") && line.ends_with('{');
            let doc = std::mem::take(&mut doc);
            found.push(FoundType {
                name,
                doc,
                fields: 0,
            });
        } else if line.starts_with("//") || line.starts_with('#') {
            doc.push_str(line);
        } else if line.starts_with('}') {
            is_open = false;
            doc.clear();
        } else if is_open {
            let is_field = line.starts_with("    ") && !line.starts_with("     ");
            let is_field = is_field && !line.trim_start().starts_with(['/', '#', '}', ')']);
            let last = found.last_mut().expect("an open type");
            last.fields += usize::from(is_field && line.contains(": "));
        } else if line.is_empty() {
            doc.clear();
        }
    }
    found
}

/// The methods that each type is given outside of traits.
fn implementations(text: &str) -> Vec<(String, usize)> {
    let (mut found, mut is_open) = (Vec::<(String, usize)>::new(), false);
    for line in text.lines() {
        if line.starts_with("impl") && !line.contains(" for ") {
            let name = line.trim_start_matches("impl");
            let name = name.split_once("> ").filter(|_| name.starts_with('<'));
            let name = name.map_or(line.trim_start_matches("impl "), |(_, name)| name);
            let name = name.chars().take_while(|c| c.is_alphanumeric()).collect();
            found.push((name, 0));
            is_open = true;
        } else if line.starts_with('}') {
            is_open = false;
        } else if is_open && line.starts_with("    ") && !line.starts_with("     ") {
            let is_method = line.contains(" fn ") && !line.trim_start().starts_with("//");
            let last = found.last_mut().expect("an open implementation");
            last.1 += usize::from(is_method);
        }
    }
    found
}

/// All texts of the tree that people write.
fn texts() -> Vec<(String, String)> {
    let (mut texts, mut next) = (Vec::new(), vec![root().to_owned()]);
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    next.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                texts.push((relative(&path), text));
            }
        }
    }
    assert!(texts.len() > 200, "the tree is elsewhere");
    texts
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("a path below the root");
    path.display().to_string()
}

#[test]
fn a_circle_is_found_and_a_chain_is_none() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
        for (from, to) in edges {
            graph.entry((*to).to_owned()).or_default();
            graph
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
        }
        graph
    };
    assert!(circles(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    let circle: BTreeSet<_> = ["b", "c", "d"].map(str::to_owned).into();
    let edges = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e")];
    assert_eq!(circles(&graph(&edges)), [circle]);
}

#[test]
fn paths_types_and_methods_are_read_as_they_are_written() {
    let code =
        "use crate::{a::{B, c::D}, e};\nlet x: super::F = self::g::h();\npub(crate) fn i() {}";
    assert_eq!(
        paths(code),
        [
            "crate::a::B",
            "crate::a::c::D",
            "crate::e",
            "super::F",
            "self::g::h"
        ]
    );
    let text = "/// Large: it is.\npub struct A {\n    /// One.\n    pub b: u8,\n    c: u8,\n}\n\n\
                impl<T> A<T> {\n    pub fn d() {\n        let e: u8 = 1;\n    }\n\n    fn f() {}\n}\n\n\
                impl C for A {\n    type G = u8;\n    fn h() {}\n}\n";
    let [a] = &types(text)[..] else {
        panic!("one type")
    };
    assert_eq!((a.name.as_str(), a.fields), ("A", 2));
    assert!(a.doc.contains(REASON));
    assert_eq!(implementations(text), [("A".to_owned(), 2)]);
}
