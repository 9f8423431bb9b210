//! A section of the file, read key by key. What is wrong is noted and the reading goes on, so that all
//! of it is reported at once.
//!
//! A key exists by being read: [`Section::read`] and its likes name it, what it may be, and its default.
//! Without a file the same reading yields the [`Schema`] and the defaults.

use std::cell::RefCell;

use super::document::{ConfigValue, Entries, Node};
use super::error::{Fault, Hint, Problem};
use super::kinds::ValueKind;
use super::schema::{Known, KnownKey, Schema};

/// What a file is written in. Messages name sections and keys as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Toml,
    Uci,
}

/// One reading of a file. Sections read from one place write here from many.
pub(super) struct Reading {
    form: Form,
    schema: Schema,
    problems: RefCell<Vec<Problem>>,
    /// The keys that were read, while they are collected.
    keys: Option<RefCell<Vec<KnownKey>>>,
}

impl Reading {
    /// Of a file in which `problems` are known already.
    pub(super) fn new(form: Form, schema: Schema, problems: Vec<Problem>) -> Self {
        Self {
            form,
            schema,
            problems: RefCell::new(problems),
            keys: None,
        }
    }

    /// Of no file, to see what is read.
    pub(super) fn of_nothing() -> Self {
        Self {
            keys: Some(RefCell::default()),
            ..Self::new(Form::Toml, Schema(Vec::new()), Vec::new())
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    pub(super) fn into_schema(self) -> Schema {
        Schema(self.keys.unwrap_or_default().into_inner())
    }

    /// The section that is the file.
    pub(super) fn top<'a>(&'a self, document: Option<&'a Node>) -> Section<'a> {
        Section::of(self, Vec::new(), String::new(), document)
    }

    /// `[[uplink]] fiber` or `uplink fiber`, or by number while it has no name.
    fn title(&self, list: &str, node: &Node, number: usize) -> String {
        let name = (node.value.as_table())
            .and_then(|entries| entries.get("name")?.value.as_text())
            .map_or_else(|| format!("number {number}"), str::to_owned);
        match self.form {
            Form::Toml => format!("[[{list}]] {name}"),
            Form::Uci => format!("{list} {name}"),
        }
    }
}

/// A section; one that is not in the file reads as empty.
pub(super) struct Section<'a> {
    /// The names of the sections from the top to this one.
    path: Vec<&'static str>,
    /// It stands once for each uplink, group or rule, or is a part of such a one.
    is_of_list: bool,
    /// As messages call it.
    title: String,
    /// What stands before a key of this section in messages.
    prefix: String,
    line: usize,
    entries: Option<&'a Entries>,
    reading: &'a Reading,
}

impl<'a> Section<'a> {
    fn of(
        reading: &'a Reading,
        path: Vec<&'static str>,
        title: String,
        node: Option<&'a Node>,
    ) -> Self {
        let mut section = Self {
            is_of_list: false,
            path,
            title,
            prefix: String::new(),
            line: 1,
            entries: None,
            reading,
        };
        if let Some(node) = node {
            section.enter(node);
        }
        section
    }

    /// The section `name` within this one.
    pub(super) fn section(&self, name: &'static str) -> Self {
        let path: Vec<_> = self.path.iter().copied().chain([name]).collect();
        let (title, prefix) = match self.reading.form {
            Form::Uci if self.title.is_empty() => (Schema::GLOBALS.to_owned(), format!("{name}_")),
            Form::Uci => (self.title.clone(), format!("{}{name}_", self.prefix)),
            Form::Toml if self.is_of_list => {
                (self.title.clone(), format!("{}{name}.", self.prefix))
            }
            Form::Toml => (format!("[{}]", path.join(".")), String::new()),
        };
        let mut section = Self {
            path,
            is_of_list: self.is_of_list,
            title,
            prefix,
            line: self.line,
            entries: None,
            reading: self.reading,
        };
        if let Some(node) = self.node(name) {
            section.enter(node);
        }
        section
    }

    /// The sections of a list, such as all under `[[uplink]]`, unless there are more than `most`.
    pub(super) fn sections(&self, list: &'static str, most: usize) -> Vec<Self> {
        let one = |title: String, node: Option<&'a Node>| {
            let mut section = Self::of(self.reading, vec![list], title, None);
            section.is_of_list = true;
            if let Some(node) = node {
                section.enter(node);
            }
            section
        };
        if self.reading.keys.is_some() {
            return vec![one(String::new(), None)];
        }
        let Some(node) = self.node(list) else {
            return Vec::new();
        };
        let Some(nodes) = node.value.as_list() else {
            let bound = format!("a list of sections, each under [[{list}]]");
            self.refuse(list, Fault::value(&node.value, bound));
            return Vec::new();
        };
        if nodes.len() > most {
            let value = format!("{} {list}s", nodes.len());
            self.refuse(list, Fault::value(value, format!("at most {most}")));
            return Vec::new();
        }
        let numbered = nodes.iter().zip(1..);
        numbered
            .map(|(node, number)| one(self.reading.title(list, node, number), Some(node)))
            .collect()
    }

    /// The value of a key; `default` if the file does not say it.
    pub(super) fn read<K: ValueKind>(
        &self,
        key: &'static str,
        kind: &K,
        default: K::Parsed,
    ) -> K::Parsed {
        self.find(key, kind).unwrap_or(default)
    }

    /// The value of a key that has no default of its own.
    pub(super) fn find<K: ValueKind>(&self, key: &'static str, kind: &K) -> Option<K::Parsed> {
        self.is_known_to_take(key, || kind.takes());
        let node = self.node(key)?;
        kind.parse(&node.value)
            .map_err(|fault| self.note(node.line, key, fault))
            .ok()
    }

    /// The items of a list, each of which is judged on its own line.
    pub(super) fn list<K: ValueKind>(
        &self,
        key: &'static str,
        kind: &K,
        default: Vec<K::Parsed>,
    ) -> Vec<K::Parsed>
    where
        K::Parsed: PartialEq,
    {
        self.is_known_to_take(key, || format!("a list, each {}", kind.takes()));
        let Some(node) = self.node(key) else {
            return default;
        };
        let Some(items) = node.value.as_items(node.line) else {
            self.note(node.line, key, Fault::no_list(&node.value));
            return default;
        };
        let mut kept: Vec<(K::Parsed, usize)> = Vec::new();
        for Node { line, value } in items.as_ref() {
            let line = *line;
            match kind.parse(value) {
                Err(fault) => self.note(line, key, fault),
                Ok(item) => match kept.iter().find(|(known, _)| *known == item) {
                    Some(&(_, first)) => {
                        let value = value.to_string();
                        self.note(line, key, Fault::Duplicate { value, first });
                    }
                    None => kept.push((item, line)),
                },
            }
        }
        let are_all_faulty = kept.is_empty() && !items.is_empty();
        if are_all_faulty {
            return default;
        }
        kept.into_iter().map(|(item, _)| item).collect()
    }

    /// A key of the contract on which nothing acts yet: it is refused, so that it is not relied on.
    pub(super) fn not_yet(&self, key: &'static str) {
        self.add(key, String::new(), false);
    }

    /// Notes that a key without a default must be here.
    pub(super) fn require(&self, key: &str, what: &'static str) {
        if self.entries.is_some() && !self.has(key) && !self.is_misspelt(key) {
            self.note(self.line, key, Fault::Missing(what));
        }
    }

    /// A key of this section is unknown, and this one was meant.
    pub(super) fn is_misspelt(&self, key: &str) -> bool {
        let problems = self.reading.problems.borrow();
        problems.iter().any(|problem| {
            let is_of_uci = matches!(problem.fault, Fault::UnknownSection(_));
            let is_here = problem.section == self.title || (is_of_uci && self.title.is_empty());
            let is_near = matches!(
                &problem.fault,
                Fault::UnknownKey(Hint::Nearest(near)) | Fault::UnknownSection(Hint::Nearest(near))
                    if near == key
            );
            is_here && is_near && problem.line >= self.line
        })
    }

    /// Notes that the value of a key cannot stand beside the others.
    pub(super) fn refuse(&self, key: &str, fault: Fault) {
        self.note(self.line_of(key), key, fault);
    }

    /// The key is in the file.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// The section holds no other keys than these.
    pub(super) fn is_nothing_but(&self, these: &[&str]) -> bool {
        let keys = self.entries.into_iter().flat_map(Entries::keys);
        keys.into_iter().all(|own| these.contains(&&**own))
    }

    /// The line of a key; that of the section if the key is not there.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.node(key).map_or(self.line, |node| node.line)
    }

    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries?.get(key)
    }

    fn is_known_to_take(&self, key: &'static str, takes: impl Fn() -> String) {
        if self.reading.keys.is_some() {
            self.add(key, takes(), true);
        }
    }

    fn add(&self, key: &'static str, takes: String, is_supported: bool) {
        if let Some(keys) = &self.reading.keys {
            keys.borrow_mut().push(KnownKey {
                path: self.path.iter().copied().chain([key]).collect(),
                is_of_list: self.is_of_list,
                takes,
                is_supported,
            });
        }
    }

    fn enter(&mut self, node: &'a Node) {
        self.line = node.line;
        if let Some(entries) = node.value.as_table() {
            self.entries = Some(entries);
            self.note_unknown(entries);
        } else {
            let path = std::mem::take(&mut self.prefix);
            let path = path.trim_end_matches(['.', '_']);
            let bound = match node.value.as_list() {
                Some(_) => format!("one section, under [{}]", self.path.join(".")),
                None => "a section".to_owned(),
            };
            self.note(node.line, path, Fault::value(&node.value, bound));
        }
    }

    fn note_unknown(&self, entries: &Entries) {
        let schema = &self.reading.schema;
        for (key, node) in entries {
            let fault = match schema.find(&self.path, key) {
                Some(Known::Key(known)) if !known.is_supported => Fault::NotSupported,
                Some(Known::Key(_) | Known::Section) => continue,
                None if is_section(&node.value) => {
                    Fault::UnknownKey(schema.section_hint(&self.path, key))
                }
                None => Fault::UnknownKey(schema.hint(&self.path, key)),
            };
            self.note(node.line, key, fault);
        }
    }

    fn note(&self, line: usize, key: &str, fault: Fault) {
        self.reading.problems.borrow_mut().push(Problem {
            line,
            section: self.title.clone(),
            key: format!("{}{key}", self.prefix),
            fault,
        });
    }
}

fn is_section(value: &ConfigValue) -> bool {
    let has_sections = |items: &[Node]| items.iter().any(|item| item.value.as_table().is_some());
    value.as_table().is_some() || value.as_list().is_some_and(has_sections)
}
