//! A configuration to be written, in either form, with remarks.

use super::uci_text;

/// What a file is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigDraft {
    /// What stands above everything.
    pub remarks: Vec<String>,
    /// The sections in their order: first `globals`, if there is one.
    pub sections: Vec<DraftSection>,
}

/// What stands under one title.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftSection {
    /// `globals`, `uplink`, `group` or `rule`.
    pub kind: &'static str,
    /// The name of an uplink or a group.
    pub name: Option<String>,
    /// What is to be said of it as a whole.
    pub remarks: Vec<String>,
    /// Its keys in their order.
    pub entries: Vec<DraftEntry>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftEntry {
    /// What is to be said of it, if anything.
    pub remark: String,
    /// The path of the key as in TOML, such as `health.loss.enter`.
    pub path: String,
    /// Its value.
    pub setting: Setting,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A text in TOML.
    Text(String),
    /// What TOML writes without quotes: a number, `true` or `false`.
    Plain(String),
    /// A list of texts.
    List(Vec<String>),
}

impl DraftSection {
    /// A section without a key.
    pub fn new(kind: &'static str, name: Option<String>) -> Self {
        Self {
            kind,
            name,
            remarks: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Adds a key.
    pub fn set(&mut self, path: &str, setting: Setting, remark: &str) {
        self.entries.push(DraftEntry {
            remark: remark.to_owned(),
            path: path.to_owned(),
            setting,
        });
    }
}

impl ConfigDraft {
    /// As a file of UCI. The name of an uplink or a group names its section where UCI has such a name
    /// and no other section has it.
    pub fn to_uci(&self) -> String {
        let mut names = vec!["globals"];
        let mut text = String::new();
        remark(&mut text, "", &in_uci(&self.remarks.join("\n")));
        for section in &self.sections {
            text.push('\n');
            remark(&mut text, "", &in_uci(&section.remarks.join("\n")));
            let name = section.name.as_deref();
            let own = name.filter(|name| uci_text::is_name(name) && !names.contains(name));
            names.extend(own);
            text += "config ";
            text += section.kind;
            if let Some(name) = own {
                text.extend([" ", &in_quotes(name)]);
            }
            text.push('\n');
            if let Some(name) = name.filter(|_| own.is_none()) {
                option(&mut text, "option", "name", name);
            }
            for entry in &section.entries {
                remark(&mut text, "\t", &in_uci(&entry.remark));
                let name = entry.path.replace('.', "_");
                match &entry.setting {
                    Setting::Text(value) | Setting::Plain(value) => {
                        option(&mut text, "option", &name, value);
                    }
                    Setting::List(items) if items.is_empty() => {
                        option(&mut text, "option", &name, "none");
                    }
                    Setting::List(items) => {
                        for item in items {
                            option(&mut text, "list", &name, item);
                        }
                    }
                }
            }
        }
        text
    }

    /// As a file of TOML.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        remark(&mut text, "", &self.remarks.join("\n"));
        for section in &self.sections {
            text.push('\n');
            remark(&mut text, "", &section.remarks.join("\n"));
            if section.kind != "globals" {
                text.extend(["[[", section.kind, "]]\n"]);
            }
            if let Some(name) = &section.name {
                text.extend(["name = ", &quoted(name), "\n"]);
            }
            for entry in &section.entries {
                remark(&mut text, "", &entry.remark);
                let value = match &entry.setting {
                    Setting::Text(value) => quoted(value),
                    Setting::Plain(value) => value.clone(),
                    Setting::List(items) => {
                        let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
                        format!("[{}]", items.join(", "))
                    }
                };
                text.extend([&entry.path, " = ", &value, "\n"]);
            }
        }
        text
    }
}

fn option(text: &mut String, word: &str, name: &str, value: &str) {
    text.extend(["\t", word, " ", name, " ", &in_quotes(value), "\n"]);
}

/// As UCI has it: single quotes, and one that is part of the value outside of them.
fn in_quotes(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// As TOML has it, whose escapes are those of JSON.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// Comments of at most this width, the tabulator of an option aside.
const WIDTH: usize = 98;

/// Remarks name keys as TOML does, in backticks.
fn in_uci(remarks: &str) -> String {
    let mut is_key = false;
    let in_uci = |c: char| {
        is_key ^= c == '`';
        if is_key && c == '.' { '_' } else { c }
    };
    remarks.chars().map(in_uci).collect()
}

/// Comments, of which each line is one.
fn remark(text: &mut String, indent: &str, remarks: &str) {
    for remark in remarks.lines() {
        text.extend([indent, "#"]);
        let mut width = indent.len() + 1;
        for word in remark.split_whitespace() {
            if width + word.len() >= WIDTH {
                text.extend(["\n", indent, "#  "]);
                width = indent.len() + 3;
            }
            text.extend([" ", word]);
            width += 1 + word.len();
        }
        text.push('\n');
    }
}
