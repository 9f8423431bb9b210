//! The inner walls of the engine: no circle of files, and no arrow that leads upwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The layers of the engine from below. A file names files of its own layer and of those below it. Files
/// about all uplinks stand above these, and the engine itself on top.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "words",
        &[
            "action", "command", "event", "ids", "schedule", "settings", "state", "timer",
            "wording",
        ],
    ),
    (
        "parts",
        &[
            "best_policy",
            "budget",
            "candidate",
            "damping",
            "deadline",
            "detection_time",
            "election",
            "family",
            "input",
            "loss",
            "outage",
            "passive",
            "quality",
            "round",
            "score",
            "status",
            "suspicion",
            "target",
            "window",
        ],
    ),
    ("uplink", &["uplink"]),
];

/// The modules that each module of the engine names.
type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_files_of_the_engine_form_a_circle() {
    let arrows = arrows();
    let circles: Vec<_> = arrows
        .keys()
        .filter(|module| reaches(&arrows, module).contains(*module))
        .collect();
    assert!(circles.is_empty(), "in a circle: {circles:?}");
}

#[test]
fn no_file_of_the_engine_names_a_layer_above_its_own() {
    let mut upwards = Vec::new();
    for (module, named) in arrows() {
        for other in named {
            if layer(&other) > layer(&module) {
                upwards.push(format!("{module} names {other}"));
            }
        }
    }
    assert!(upwards.is_empty(), "upwards:\n{}", upwards.join("\n"));
}

#[test]
fn every_name_in_the_layers_is_that_of_a_file() {
    let arrows = arrows();
    for name in LAYERS.iter().flat_map(|(_, names)| names.iter()) {
        let is_there = arrows.keys().any(|module| top(module) == *name);
        assert!(is_there, "there is no `{name}` in the engine");
    }
}

/// The file directly below the engine to which a module belongs.
fn top(module: &str) -> &str {
    let below = module.strip_prefix("engine::");
    below.map_or("engine", |below| below.split("::").next().unwrap_or(below))
}

fn layer(module: &str) -> usize {
    let has = |(_, names): &(&str, &[&str])| names.contains(&top(module));
    let above = LAYERS.len() + usize::from(module == "engine");
    LAYERS.iter().position(has).unwrap_or(above)
}

/// All that a module names, and what that names, and so on.
fn reaches(arrows: &Arrows, module: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![module.to_owned()];
    while let Some(module) = open.pop() {
        for named in &arrows[&module] {
            if found.insert(named.clone()) {
                open.push(named.clone());
            }
        }
    }
    found
}

fn arrows() -> Arrows {
    let mut files = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files.insert("engine".to_owned(), source.join("engine.rs"));
    collect("engine", &source.join("engine"), &mut files);
    let mut arrows = Arrows::new();
    for (module, path) in &files {
        let text = fs::read_to_string(path).expect("a file of the engine");
        let named = imports(&text, module);
        let named = named.into_iter().filter_map(|path| owner(&files, &path));
        let named = named.filter(|other| other != module).collect();
        arrows.insert(module.clone(), named);
    }
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    assert!(count > 100, "the imports are not found");
    arrows
}

fn collect(module: &str, directory: &Path, files: &mut BTreeMap<String, std::path::PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the engine") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = format!("{module}::{}", name.expect("a name"));
        if path.is_dir() {
            collect(&name, &path, files);
        } else {
            files.insert(name, path);
        }
    }
}

/// The module that a path of the crate leads to: the longest that is a file.
fn owner<T>(files: &BTreeMap<String, T>, path: &str) -> Option<String> {
    let mut module = path;
    while !files.contains_key(module) {
        module = module.rsplit_once("::")?.0;
    }
    Some(module.to_owned())
}

/// The paths, from the root of the crate, that the `use` items of a module outside its tests name.
fn imports(text: &str, module: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let code = lines.collect::<Vec<_>>().join(" ");
    let items = code.split(';').filter_map(|item| {
        let (before, path) = item.rsplit_once("use ")?;
        let is_item = before.trim().is_empty() || before.trim_end().ends_with("pub");
        is_item.then_some(path)
    });
    let paths = items.flat_map(expand);
    paths.map(|path| absolute(&path, module)).collect()
}

/// Each path of `a::{b, c::{d, e}}`.
fn expand(item: &str) -> Vec<String> {
    let item = item.trim();
    let Some((before, group)) = item.split_once('{') else {
        return vec![item.to_owned()];
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut parts, mut depth) = (vec![String::new()], 0_usize);
    for c in group.chars() {
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += usize::from(c == '{');
                depth -= usize::from(c == '}');
                parts.last_mut().expect("a part").push(c);
            }
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| expand(&format!("{before}{}", part.trim())))
        .collect()
}

/// The path from the root of the crate: `engine::loss::Tally` for `super::loss::Tally`.
fn absolute(path: &str, module: &str) -> String {
    let mut module = module;
    let mut path = path;
    if let Some(path) = path.strip_prefix("crate::") {
        return path.to_owned();
    }
    path = path.strip_prefix("self::").unwrap_or(path);
    while let Some(rest) = path.strip_prefix("super::") {
        module = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        path = rest;
    }
    format!("{module}::{path}")
}

#[test]
fn each_path_of_an_import_is_read_as_the_compiler_reads_it() {
    let text = "use crate::engine::{loss::{Run, Tally}, timer};\npub use super::ids::UplinkId;\n\
                use cold::Cold; // use crate::no::Comment;\n#[cfg(test)]\nuse super::no::Test;";
    let paths = imports(text, "engine::uplink");
    let expected = [
        "engine::loss::Run",
        "engine::loss::Tally",
        "engine::timer",
        "engine::ids::UplinkId",
        "engine::uplink::cold::Cold",
    ];
    assert_eq!(paths, expected);
}
