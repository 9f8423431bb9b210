//! A section of the file, read key by key. What is wrong is noted and the reading goes on, so that
//! a person sees all of it at once.

use std::cell::RefCell;

use super::raw::{Entries, Node, Value};
use super::schema::{SECTIONS, SectionKeys};
use super::{Fault, Problem, error::Hint};

/// What a file is written in. Messages call things as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Toml,
    Uci,
}

/// Everything found wrong so far. Sections read from one place write here from many.
pub(super) struct Problems {
    form: Form,
    found: RefCell<Vec<Problem>>,
}

impl Problems {
    pub(super) fn new(form: Form, found: Vec<Problem>) -> Self {
        let found = RefCell::new(found);
        Self { form, found }
    }

    pub(super) fn into_inner(self) -> Vec<Problem> {
        self.found.into_inner()
    }

    /// `[[uplink]] fiber` or `uplink fiber`, or by number while it has no name.
    pub(super) fn title(&self, kind: &str, node: &Node, number: usize) -> String {
        let name = (node.value.as_table())
            .and_then(|entries| entries.get("name")?.value.as_text())
            .map_or_else(|| format!("number {number}"), str::to_owned);
        match self.form {
            Form::Toml => format!("[[{kind}]] {name}"),
            Form::Uci => format!("{kind} {name}"),
        }
    }
}

/// A section; one that is not in the file reads as empty.
pub(super) struct Section<'a> {
    /// As messages call it.
    title: String,
    /// What stands before a key of this section in messages.
    prefix: String,
    line: usize,
    entries: Option<&'a Entries>,
    keys: &'static SectionKeys,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    /// The section that `node` is.
    pub(super) fn new(
        node: &'a Node,
        title: String,
        keys: &'static SectionKeys,
        problems: &'a Problems,
    ) -> Self {
        let mut section = Self {
            title,
            prefix: String::new(),
            line: node.line,
            entries: None,
            keys,
            problems,
        };
        section.enter(node);
        section
    }

    /// The section `name` within this one.
    pub(super) fn section(&self, name: &str, keys: &'static SectionKeys) -> Self {
        let is_named_by_path = keys.title.starts_with(self.title.trim_end_matches(']'));
        let (title, prefix) = match self.problems.form {
            Form::Uci if self.title.is_empty() => ("globals", format!("{name}_")),
            Form::Uci => (self.title.as_str(), format!("{}{name}_", self.prefix)),
            Form::Toml if is_named_by_path => (keys.title, String::new()),
            Form::Toml => (self.title.as_str(), format!("{}{name}.", self.prefix)),
        };
        let mut section = Self {
            title: title.to_owned(),
            prefix,
            line: self.line,
            entries: None,
            keys,
            problems: self.problems,
        };
        if let Some(node) = self.node(name) {
            section.line = node.line;
            section.enter(node);
        }
        section
    }

    /// The value of a key, if it is there and is one.
    pub(super) fn get<T>(
        &self,
        key: &str,
        parse: impl Fn(&Value) -> Result<T, Fault>,
    ) -> Option<T> {
        let node = self.node(key)?;
        parse(&node.value)
            .map_err(|fault| self.note(node.line, key, fault))
            .ok()
    }

    /// Puts the value of a key in its place, which keeps its default if there is none.
    pub(super) fn set<T>(
        &self,
        key: &str,
        parse: impl Fn(&Value) -> Result<T, Fault>,
        place: &mut T,
    ) {
        if let Some(value) = self.get(key, parse) {
            *place = value;
        }
    }

    /// The same for a list, each item of which is judged on its own line.
    pub(super) fn set_list<T: PartialEq>(
        &self,
        key: &str,
        parse: impl Fn(&Value) -> Result<T, Fault>,
        place: &mut Vec<T>,
    ) {
        let Some(node) = self.node(key) else {
            return;
        };
        let Some(items) = node.value.as_items(node.line) else {
            let expected = "a list";
            let found = node.value.to_string();
            return self.note(node.line, key, Fault::Kind { expected, found });
        };
        let mut kept: Vec<(T, usize)> = Vec::new();
        for Node { line, value } in items.as_ref() {
            let line = *line;
            match parse(value) {
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
            return;
        }
        *place = kept.into_iter().map(|(item, _)| item).collect();
    }

    /// Notes that a key without a default must be here.
    pub(super) fn require(&self, key: &str, what: &'static str) {
        if self.entries.is_some() && !self.has(key) {
            self.note(self.line, key, Fault::Missing(what));
        }
    }

    /// Notes that the value of a key cannot stand beside the others.
    pub(super) fn refuse(&self, key: &str, fault: Fault) {
        self.note(self.line_of(key), key, fault);
    }

    /// The key is in the file.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// The line of a key; that of the section if the key is not there.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.node(key).map_or(self.line, |node| node.line)
    }

    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries?.get(key)
    }

    fn enter(&mut self, node: &'a Node) {
        if let Some(entries) = node.value.as_table() {
            self.entries = Some(entries);
            self.note_strangers(entries);
        } else {
            let expected = "a section";
            let found = node.value.to_string();
            let path = std::mem::take(&mut self.prefix);
            let path = path.trim_end_matches('.');
            self.note(node.line, path, Fault::Kind { expected, found });
        }
    }

    fn note_strangers(&self, entries: &Entries) {
        for (key, node) in entries {
            let SectionKeys { keys, sections, .. } = self.keys;
            let is_known = keys.contains(&key.as_str()) || sections.contains(&key.as_str());
            if self.keys.not_yet.contains(&key.as_str()) {
                self.note(node.line, key, Fault::NotSupported);
            } else if !is_known {
                self.note(node.line, key, Fault::UnknownKey(self.hint(key)));
            }
        }
    }

    fn hint(&self, key: &str) -> Hint {
        let own = self.keys.keys.iter().chain(self.keys.sections);
        match Hint::nearest(key, own.copied()) {
            Hint::None => SECTIONS
                .iter()
                .find(|section| section.keys.contains(&key))
                .map_or(Hint::None, |section| Hint::Elsewhere(section.title)),
            near @ (Hint::Nearest(_) | Hint::Elsewhere(_)) => near,
        }
    }

    fn note(&self, line: usize, key: &str, fault: Fault) {
        self.problems.found.borrow_mut().push(Problem {
            line,
            section: self.title.clone(),
            key: format!("{}{key}", self.prefix),
            fault,
        });
    }
}
