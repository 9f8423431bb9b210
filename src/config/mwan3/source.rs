//! The files of mwan3 and of the network, and what a remark says of them.

use std::fmt;

use crate::config::document::boolean;
use crate::config::error::{ConfigError, Fault, Problem};
use crate::config::uci_text::{self, UciFile, UciItem, UciSection};
use crate::config::write::Setting;

/// A file of UCI.
pub(super) struct Mwan3File {
    pub(super) sections: Vec<UciSection>,
}

impl Mwan3File {
    /// As libuci takes it: sections of one name are one, an option takes the place of what it had
    /// before, and a list adds to that, which a script reads as words.
    pub(super) fn parse((name, text): (&str, &str), package: &str) -> Result<Self, ConfigError> {
        let file = UciFile::parse(text).map_err(|problems| refused(name, problems))?;
        if let Some((other, line)) = file.package.filter(|(other, _)| other != package) {
            let fault = Fault::value(format!("package {other:?}"), format!("{package:?}"));
            return Err(refused(name, vec![problem(line, "", fault)]));
        }
        let mut names = file.sections.iter().map(|section| section.name.as_deref());
        let firsts = uci_text::firsts(&mut names);
        let mut sections: Vec<UciSection> = Vec::new();
        // Where each of the file has gone.
        let mut places = Vec::new();
        for (mut section, first) in file.sections.into_iter().zip(firsts) {
            let place = first.map_or(sections.len(), |first| places[first]);
            places.push(place);
            let options = std::mem::take(&mut section.options);
            if place == sections.len() {
                sections.push(section);
            }
            for item in options {
                take(&mut sections[place].options, item);
            }
        }
        Ok(Self { sections })
    }

    pub(super) fn all<'a>(&'a self, kind: &'static str) -> impl Iterator<Item = &'a UciSection> {
        self.sections
            .iter()
            .filter(move |section| section.kind == kind)
    }

    pub(super) fn find(&self, kind: &'static str, name: &str) -> Option<&UciSection> {
        self.all(kind)
            .find(|section| section.name.as_deref() == Some(name))
    }
}

fn take(options: &mut Vec<UciItem>, item: UciItem) {
    match options.iter_mut().find(|known| known.name == item.name) {
        Some(known) if item.is_of_list => known.value = [&known.value, " ", &item.value].concat(),
        Some(known) => *known = item,
        None => options.push(item),
    }
}

impl UciSection {
    pub(super) fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.kind),
            None => format!("the {} on line {}", self.kind, self.line),
        }
    }

    /// The value of an option. One without a value is not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let item = self.options.iter().find(|item| item.name == name)?;
        Some(item.value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name).and_then(boolean).unwrap_or_default()
    }

    /// The items of a list; an option is the list of its words.
    pub(super) fn list(&self, name: &str) -> std::str::SplitWhitespace<'_> {
        self.get(name).unwrap_or_default().split_whitespace()
    }

    /// `option 'value'`, to be pointed at.
    pub(super) fn cite(&self, name: &str) -> String {
        format!("{name} '{}'", show(self.get(name).unwrap_or_default()))
    }

    /// Remarks on the options that are in a table of them, and on those that mwan3 does not know.
    pub(super) fn remark(
        &self,
        notes: &[(&'static str, &str)],
        known: &[&str],
        remarks: &mut Vec<String>,
    ) {
        for (option, meaning) in notes {
            if self.get(option).is_some() {
                note(remarks, format_args!("{}: {meaning}.", self.cite(option)));
            }
        }
        let mut strangers: Vec<&str> = Vec::new();
        for UciItem { name, .. } in &self.options {
            let name = name.as_str();
            let is_known = known.contains(&name) || notes.iter().any(|(option, _)| *option == name);
            if !is_known && !strangers.contains(&name) {
                strangers.push(name);
            }
        }
        if !strangers.is_empty() {
            let (title, names) = (self.title(), strangers.join(", "));
            note(
                remarks,
                format_args!("{title}: {names}: unknown to mwan3 2.12, left out."),
            );
        }
    }
}

pub(super) fn problem(line: usize, key: &str, fault: Fault) -> Problem {
    Problem {
        line,
        section: String::new(),
        key: key.to_owned(),
        fault,
    }
}

pub(super) fn refused(file: &str, problems: Vec<Problem>) -> ConfigError {
    let file = file.to_owned();
    ConfigError::Refused { file, problems }
}

/// Adds a remark.
pub(super) fn note(remarks: &mut Vec<String>, remark: fmt::Arguments<'_>) {
    remarks.push(remark.to_string());
}

/// A value in a remark, which must stay on its line.
pub(super) fn show(value: &str) -> String {
    value.escape_debug().take(200).collect()
}

pub(super) fn text(value: impl Into<String>) -> Setting {
    Setting::Text(value.into())
}

pub(super) fn plain(value: u32) -> Setting {
    Setting::Plain(value.to_string())
}

/// `a, b and c`
pub(super) fn join(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}
