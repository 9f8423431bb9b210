//! Every key that a configuration may hold, as one table.
//!
//! The table is not written down: it is what the reading of a configuration asks for, collected once
//! without a file. So a key is known exactly if something reads it.

use super::error::{Hint, nearest};

/// A key that a configuration may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The names of its sections, from the top, and its own: `uplink`, `health`, `loss`, `enter`.
    pub path: Vec<&'static str>,
    /// Its section stands once for each uplink, group or rule.
    pub is_of_list: bool,
    /// What its value may be, such as `50ms to 1h`.
    pub takes: String,
    /// Something acts on it. A key of the contract on which nothing acts yet is refused.
    pub is_supported: bool,
}

impl KnownKey {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.path.last().copied().unwrap_or_default()
    }

    /// Its section as TOML writes it, such as `[[uplink]]` or `[uplink.probe]`.
    pub fn section(&self) -> String {
        title(self.sections(), self.is_of_list)
    }

    /// The kind of its section in UCI: `globals`, `uplink`, `group` or `rule`.
    pub fn uci_section(&self) -> &'static str {
        match self.path.first() {
            Some(list) if self.is_of_list => list,
            Some(_) | None => Schema::GLOBALS,
        }
    }

    /// Its path within that section, and the name of its option: the path with `_` between the parts.
    pub fn uci_option(&self) -> (&[&'static str], String) {
        let path = self.path.get(usize::from(self.is_of_list)..);
        let path = path.unwrap_or_default();
        (path, path.join("_"))
    }

    fn sections(&self) -> &[&'static str] {
        self.path.split_last().map_or(&[], |(_, sections)| sections)
    }
}

fn title(path: &[&str], is_of_list: bool) -> String {
    match path {
        [list] if is_of_list => format!("[[{list}]]"),
        _ => format!("[{}]", path.join(".")),
    }
}

/// All of them, in the order in which they are read.
#[derive(Clone, Debug)]
pub struct Schema(pub(super) Vec<KnownKey>);

/// What may stand under a name within a section.
pub(super) enum Known<'a> {
    Key(&'a KnownKey),
    Section,
}

impl Schema {
    /// The section of UCI that holds what belongs to no uplink, group or rule.
    pub const GLOBALS: &str = "globals";

    /// Every key.
    pub fn keys(&self) -> &[KnownKey] {
        &self.0
    }

    /// What stands under a name in the section at `path`, if the name is known.
    pub(super) fn find(&self, path: &[&str], name: &str) -> Option<Known<'_>> {
        self.below(path).find_map(|(key, rest)| match rest {
            [own] if *own == name => Some(Known::Key(key)),
            [first, _, ..] if *first == name => Some(Known::Section),
            _ => None,
        })
    }

    /// What an unknown name in the section at `path` was probably meant to be: the same key of another
    /// section, or one like it, first in this section.
    pub(super) fn hint(&self, path: &[&str], name: &str) -> Hint {
        if let Some(sections) = self.elsewhere(path, name) {
            return Hint::Elsewhere(sections);
        }
        if let Some(key) = self.by_option(path, name) {
            let (name, section) = (key.name(), key.section());
            return Hint::write(format_args!("`{name}` under {section}"));
        }
        let own = self
            .below(path)
            .filter_map(|(_, rest)| rest.first().copied());
        if let Some(near) = nearest(name, own) {
            return Hint::Nearest(near.to_owned());
        }
        // Elsewhere a key is meant only where a letter in four is another.
        let is_near =
            |near: &&str| strsim::damerau_levenshtein(name, near) <= 1.max(name.len() / 4);
        let near = nearest(name, self.0.iter().map(KnownKey::name)).filter(is_near);
        let near = near.and_then(|near| Some((near, self.elsewhere(path, near)?)));
        near.map_or(Hint::None, |(near, sections)| {
            Hint::Advice(format!("did you mean `{near}` under {sections}?"))
        })
    }

    /// The same of a name that stands as the title of a section, where a section like it comes first.
    pub(super) fn section_hint(&self, path: &[&str], name: &str) -> Hint {
        let parts = self.below(path).filter(|(_, rest)| rest.len() > 1);
        let own = parts.filter_map(|(_, rest)| rest.first().copied());
        match nearest(name, own) {
            Some(near) => Hint::Nearest(near.to_owned()),
            None => self.hint(path, name),
        }
    }

    /// The sections that have a key, or of which a section of this name is a part: those within the
    /// section at `path`, or else all.
    fn elsewhere(&self, path: &[&str], name: &str) -> Option<String> {
        let mut titles = Vec::new();
        for is_within in [true, false] {
            let keys = self.0.iter();
            for key in keys.filter(|key| !is_within || key.path.starts_with(path)) {
                let at = key.path.iter().position(|part| *part == name);
                let Some(at) = at.filter(|at| *at > 0) else {
                    continue;
                };
                let title = title(&key.path[..at], key.is_of_list);
                if !titles.contains(&title) {
                    titles.push(title);
                }
            }
            if !titles.is_empty() && titles.len() <= MAX_SECTIONS {
                return Some(titles.join(" or "));
            }
        }
        titles.truncate(MAX_SECTIONS);
        (!titles.is_empty()).then(|| titles.join(" or "))
    }

    /// The key whose option of UCI has this name.
    fn by_option(&self, path: &[&str], name: &str) -> Option<&KnownKey> {
        let of_list = path.first().map_or("", |list| list);
        let find = |section: &str| {
            let mut keys = self.0.iter();
            keys.find(|key| key.uci_section() == section && key.uci_option().1 == name)
        };
        find(of_list).or_else(|| find(Self::GLOBALS))
    }

    /// The keys within the section at `path`, each with its path from there.
    fn below(&self, path: &[&str]) -> impl Iterator<Item = (&KnownKey, &[&'static str])> {
        let keys = self.0.iter();
        keys.filter_map(move |key| {
            let is_below = key.path.len() > path.len() && key.path.starts_with(path);
            is_below.then(|| (key, &key.path[path.len()..]))
        })
    }
}

/// More sections than this in a hint confuse.
const MAX_SECTIONS: usize = 4;
