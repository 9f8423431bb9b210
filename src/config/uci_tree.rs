//! From the sections and options of UCI to the tree that a TOML file of the same meaning would be.
//!
//! The sections are `globals`, `uplink`, `group` and `rule`; all of `globals` are one. An option is named by the path of its key
//! in TOML, joined by `_`: `[health.loss] enter` is `health_loss_enter` in `globals` and in an
//! `uplink`. The name of a section is that of its uplink or group, unless there is a `name`, which may
//! have `-` and `.` in it.

use super::document::{ConfigValue, Entries, Node};
use super::error::{Fault, Hint, Problem};
use super::schema::Schema;
use super::uci_text::{self, UciFile, UciItem, UciSection};

/// The package that the file may say to be.
const PACKAGE: &str = "uplinkd";

/// The tree of a file, and what cannot stand in it; or what is wrong with its syntax.
pub(super) fn tree(text: &str, schema: &Schema) -> Result<(Node, Vec<Problem>), Vec<Problem>> {
    let file = UciFile::parse(text)?;
    let mut tree = UciTree::new(schema);
    if let Some((name, line)) = file.package.filter(|(name, _)| name != PACKAGE) {
        let bound = format!("\"{PACKAGE}\", or not be there");
        let fault = Fault::value(format!("package \"{name}\""), bound);
        tree.note(line, "", "", fault);
    }
    let (globals, mut sections): (Vec<_>, Vec<_>) =
        (file.sections.into_iter()).partition(|section| section.kind == Schema::GLOBALS);
    let globals = globals.into_iter().reduce(|mut all, mut more| {
        all.options.append(&mut more.options);
        all
    });
    sections.extend(globals);
    let names = sections.iter().map(|section| section.name.as_deref());
    let firsts = uci_text::firsts(&mut { names });
    for (section, first) in sections.iter().zip(firsts) {
        if let Some(first) = first {
            let first = sections[first].line;
            let value = format!("section `{}`", section.name.as_deref().unwrap_or_default());
            tree.note(section.line, "", "", Fault::Duplicate { value, first });
        }
        tree.take(section);
        if tree.problems.len() > MAX_PROBLEMS {
            break;
        }
    }
    let value = ConfigValue::Table(tree.top);
    Ok((Node { line: 1, value }, tree.problems))
}

/// So many are enough to see that it is another file.
const MAX_PROBLEMS: usize = 100;

/// The kinds of sections of an mwan3 configuration.
const OF_MWAN3: [&str; 3] = ["interface", "member", "policy"];

/// A kind of section and its options, each with the path of its key.
struct SectionKind<'a> {
    name: &'static str,
    has_name: bool,
    options: Vec<(String, &'a [&'static str])>,
}

struct UciTree<'a> {
    kinds: Vec<SectionKind<'a>>,
    top: Entries,
    problems: Vec<Problem>,
}

impl<'a> UciTree<'a> {
    fn new(schema: &'a Schema) -> Self {
        let mut kinds: Vec<SectionKind<'a>> = Vec::new();
        for key in schema.keys() {
            let (path, option) = key.uci_option();
            let name = key.uci_section();
            let at = kinds.iter().position(|kind| kind.name == name);
            let at = at.unwrap_or_else(|| {
                kinds.push(SectionKind {
                    name,
                    has_name: false,
                    options: Vec::new(),
                });
                kinds.len() - 1
            });
            kinds[at].has_name |= path == ["name"];
            kinds[at].options.push((option, path));
        }
        Self {
            kinds,
            top: Entries::new(),
            problems: Vec::new(),
        }
    }

    /// An option of what TOML has in a section of this name, if it stands in `globals` here.
    fn of_globals(&self, section: &str) -> Option<&(String, &'a [&'static str])> {
        let mut kinds = self.kinds.iter();
        let globals = kinds.find(|kind| kind.name == Schema::GLOBALS)?;
        let mut options = globals.options.iter();
        options.find(|(_, path)| path.len() > 1 && path[0] == section)
    }

    fn take(&mut self, section: &UciSection) {
        let line = section.line;
        let is_kind = |kind: &SectionKind<'_>| kind.name == section.kind;
        let Some(at) = self.kinds.iter().position(is_kind) else {
            let mut hint = Hint::nearest(&section.kind, self.kinds.iter().map(|kind| kind.name));
            if hint == Hint::None && OF_MWAN3.contains(&section.kind.as_str()) {
                hint = Hint::Advice(
                    "this looks like a configuration of mwan3: make one of it with `uplinkd import mwan3 FILE`"
                        .to_owned(),
                );
            }
            if let Some((option, _)) = self.of_globals(&section.kind) {
                hint = Hint::Advice(format!(
                    "its options stand in `config globals`, such as `{option}`"
                ));
            }
            return self.note(line, &section.kind, "", Fault::UnknownSection(hint));
        };
        let kind = &self.kinds[at];
        let (name, has_name) = (kind.name, kind.has_name);
        let title = match &section.name {
            Some(own) if name != Schema::GLOBALS => format!("{name} {own}"),
            Some(_) | None => name.to_owned(),
        };
        let mut entries = self.entries(section, at, &title);
        if name == Schema::GLOBALS {
            return self.top.extend(entries);
        }
        if let Some(own) = section.name.as_ref().filter(|_| has_name) {
            let value = ConfigValue::Word(own.clone());
            let own = Node { line, value };
            entries.entry("name".to_owned()).or_insert(own);
        }
        let value = ConfigValue::Table(entries);
        push(&mut self.top, name, Node { line, value });
    }

    /// The options of a section where their keys would stand.
    fn entries(&mut self, section: &UciSection, kind: usize, title: &str) -> Entries {
        let mut entries = Entries::new();
        let firsts =
            uci_text::firsts(&mut section.options.iter().map(|item| Some(item.name.as_str())));
        for (item, first) in section.options.iter().zip(firsts) {
            let first = first.map(|first| &section.options[first]);
            let first = first.filter(|first| !(first.is_of_list && item.is_of_list));
            let options = &self.kinds[kind].options;
            let path = options.iter().find(|(option, _)| *option == item.name);
            let fault = match (path, first) {
                (None, _) => Fault::UnknownKey(hint(&item.name, options)),
                (Some(_), Some(first)) => Fault::Duplicate {
                    value: format!("\"{}\"", item.value.escape_debug()),
                    first: first.line,
                },
                (Some(_), None) if item.value.is_empty() => {
                    Fault::value("\"\"", "a value, or not be there")
                }
                (Some((_, path)), None) => {
                    insert(&mut entries, path, item);
                    continue;
                }
            };
            self.note(item.line, title, &item.name, fault);
            if self.problems.len() > MAX_PROBLEMS {
                break;
            }
        }
        entries
    }

    fn note(&mut self, line: usize, section: &str, key: &str, fault: Fault) {
        self.problems.push(Problem {
            line,
            section: section.to_owned(),
            key: key.to_owned(),
            fault,
        });
    }
}

/// A word like it, or the one whose last part it is.
fn hint(name: &str, known: &[(String, &[&str])]) -> Hint {
    let ends_so = |option: &&str| {
        option
            .strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('_'))
    };
    let mut options = known.iter().map(|(option, _)| option.as_str());
    match options.clone().find(ends_so) {
        Some(option) => Hint::Nearest(option.to_owned()),
        None => Hint::nearest(name, &mut options),
    }
}

fn insert(entries: &mut Entries, path: &[&str], item: &UciItem) {
    let line = item.line;
    let [key, below @ ..] = path else {
        return;
    };
    if !below.is_empty() {
        let table = entries.entry((*key).to_owned()).or_insert_with(|| Node {
            line,
            value: ConfigValue::Table(Entries::new()),
        });
        if let ConfigValue::Table(entries) = &mut table.value {
            insert(entries, below, item);
        }
        return;
    }
    let value = ConfigValue::Word(item.value.clone());
    let node = Node { line, value };
    if item.is_of_list {
        push(entries, key, node);
    } else {
        entries.insert((*key).to_owned(), node);
    }
}

/// Adds an item to the list of a key.
fn push(entries: &mut Entries, key: &str, item: Node) {
    let list = entries.entry(key.to_owned()).or_insert_with(|| Node {
        line: item.line,
        value: ConfigValue::List(Vec::new()),
    });
    if let ConfigValue::List(items) = &mut list.value {
        items.push(item);
    }
}
