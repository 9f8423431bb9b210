//! What stands on the command line, by the row of its command.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use super::{Argument, ArgumentForm, CommandForm, CommandRow, unknown};
use crate::cli::failure::UsageError;

/// The arguments of a command as they were given: such as its row has, none more often than it may be, none
/// beside one that it excludes, and all that must be there.
pub(in crate::cli) struct Given {
    command: CommandRow,
    /// In their order. A switch has an empty value.
    values: Vec<(&'static Argument, OsString)>,
}

impl Given {
    /// Reads what follows the name of a command. None where its help is asked for.
    pub(in crate::cli) fn read(
        command: CommandRow,
        line: &mut Parser,
    ) -> Result<Option<Self>, UsageError> {
        let mut given = Self {
            command,
            values: Vec::new(),
        };
        let misuse = |error: lexopt::Error| command.misuse(&error.to_string());
        while let Some(word) = line.next().map_err(misuse)? {
            match word {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Short(letter) => {
                    return Err(command.misuse(&format!("there is no option `-{letter}`")));
                }
                Arg::Long(name) => {
                    let option = given.option(name)?;
                    let value = given.value_of(option, line)?;
                    given.add(option, value)?;
                }
                Arg::Value(value) => {
                    let word = given.next_word(&value)?;
                    given.add(word, value)?;
                }
            }
        }
        given.check()?;
        Ok(Some(given))
    }

    fn option(&self, name: &str) -> Result<&'static Argument, UsageError> {
        let options = self.command.arguments().filter(|one| !one.is_word());
        let option = options.clone().find(|option| option.name == name);
        option.ok_or_else(|| {
            let known = options.map(|option| option.name).chain(["help"]);
            let unknown = unknown("--", name, known);
            self.command
                .misuse(&format!("there is no option {unknown}"))
        })
    }

    /// The value of an option that the line has just shown.
    fn value_of(&self, option: &Argument, line: &mut Parser) -> Result<OsString, UsageError> {
        let attached = line.optional_value();
        let is_value = |word: &OsString| word == "-" || !word.as_encoded_bytes().starts_with(b"-");
        let value = match option.form {
            ArgumentForm::Switch if attached.is_some() => {
                return Err(self.command.misuse(&format!("{option} takes no value")));
            }
            ArgumentForm::Switch | ArgumentForm::Word(_) | ArgumentForm::OptionalWord(_) => {
                Some(OsString::new())
            }
            ArgumentForm::Optional { usual, .. } => Some(attached.unwrap_or_else(|| usual.into())),
            ArgumentForm::Dashed(_) => attached.or_else(|| line.value().ok()),
            ArgumentForm::Valued(_) => attached.or_else(|| line.value().ok().filter(is_value)),
        };
        value.ok_or_else(|| self.command.misuse(&format!("{option} needs a value")))
    }

    /// What the next word is.
    fn next_word(&self, value: &OsStr) -> Result<&'static Argument, UsageError> {
        let is_open = |argument: &&Argument| {
            argument.is_word() && (argument.is_repeatable || !self.has(argument))
        };
        let next = self.command.arguments().find(is_open);
        next.ok_or_else(|| {
            let hint = self.equals_sign(value).unwrap_or_default();
            let value = value.display();
            self.command
                .misuse(&format!("`{value}` is one word too many{hint}"))
        })
    }

    /// How a word too many, or one before it, would be the value of an option that does without.
    fn equals_sign(&self, last: &OsStr) -> Option<String> {
        let is_optional =
            |argument: &Argument| matches!(argument.form, ArgumentForm::Optional { .. });
        let mut values = self.values.iter();
        let (option, _) = values.find(|(argument, _)| is_optional(argument))?;
        let word = values.find(|(argument, _)| argument.is_word());
        let (name, value) = (option.name, word.map_or(last, |(_, word)| word).display());
        Some(format!(
            "; the value of --{name} follows an equals sign: --{name}={value}"
        ))
    }

    fn add(&mut self, argument: &'static Argument, value: OsString) -> Result<(), UsageError> {
        let choices = argument.choices;
        if !argument.is_repeatable && self.has(argument) {
            let what = format!("{argument} is given twice");
            return Err(self.command.misuse(&what));
        }
        if !choices.is_empty() && !choices.iter().any(|choice| value == *choice) {
            let wrong = unknown("", &value.to_string_lossy(), choices.iter().copied());
            let what = format!("{argument} is one of {}, not {wrong}", choices.join(", "));
            return Err(self.command.misuse(&what));
        }
        if let Some(text) = value.to_str() {
            (argument.check)(text).map_err(|why| self.wrong(argument, &value, &why))?;
        }
        self.values.push((argument, value));
        Ok(())
    }

    /// Whether these arguments may stand together, and none is missing.
    fn check(&self) -> Result<(), UsageError> {
        for (argument, _) in &self.values {
            let is_excluded = |other: &&Argument| argument.excludes.contains(&other.name);
            let mut others = self.values.iter().map(|(other, _)| *other);
            if let Some(other) = others.find(is_excluded) {
                let what = format!("{argument} and {other} exclude each other");
                return Err(self.command.misuse(&what));
            }
        }
        let is_missing = |argument: &&Argument| {
            let is_needed = argument.is_required || matches!(argument.form, ArgumentForm::Word(_));
            is_needed && !self.has(argument)
        };
        match self.command.arguments().find(is_missing) {
            Some(missing) => Err(self.missing(missing)),
            None => Ok(()),
        }
    }

    fn missing(&self, argument: &Argument) -> UsageError {
        self.command.misuse(&format!("{argument} is missing"))
    }

    /// The command with its own arguments as fields, as a line of the control socket has it.
    pub(in crate::cli) fn request(&self) -> Result<serde_json::Value, UsageError> {
        let CommandForm {
            name, arguments, ..
        } = self.command.form;
        let mut fields = serde_json::Map::new();
        for argument in arguments.iter().filter(|argument| self.has(argument)) {
            let field = if matches!(argument.form, ArgumentForm::Switch) {
                true.into()
            } else {
                self.need(argument, text(str::parse::<String>))?.into()
            };
            fields.insert(argument.name.to_owned(), field);
        }
        Ok(if arguments.is_empty() {
            name.into()
        } else {
            serde_json::json!({ name: fields })
        })
    }

    /// It was given.
    pub(in crate::cli) fn has(&self, argument: &Argument) -> bool {
        let mut given = self.values.iter();
        given.any(|(one, _)| one.name == argument.name)
    }

    /// All values of an argument, or its default.
    pub(in crate::cli) fn all<T>(
        &self,
        argument: &Argument,
        parse: impl Fn(&OsStr) -> Result<T, String>,
    ) -> Result<Vec<T>, UsageError> {
        let mut values = Vec::new();
        for word in self.words(argument) {
            values.push(parse(word).map_err(|why| self.wrong(argument, word, &why))?);
        }
        Ok(values)
    }

    /// The value of an argument, or its default, if it has one.
    pub(in crate::cli) fn value<T>(
        &self,
        argument: &Argument,
        parse: impl Fn(&OsStr) -> Result<T, String>,
    ) -> Result<Option<T>, UsageError> {
        Ok(self.all(argument, parse)?.pop())
    }

    /// The value of an argument that must be there or has a default.
    pub(in crate::cli) fn need<T>(
        &self,
        argument: &Argument,
        parse: impl Fn(&OsStr) -> Result<T, String>,
    ) -> Result<T, UsageError> {
        self.value(argument, parse)?
            .ok_or_else(|| self.missing(argument))
    }

    /// What stands for an argument, or its default.
    fn words(&self, argument: &Argument) -> Vec<&OsStr> {
        let given = self.values.iter();
        let given = given.filter(|(one, _)| one.name == argument.name);
        let default = argument.default.filter(|_| !self.has(argument));
        given
            .map(|(_, word)| word.as_os_str())
            .chain(default.map(|default| OsStr::new(default())))
            .collect()
    }

    fn wrong(&self, argument: &Argument, word: &OsStr, why: &str) -> UsageError {
        let word = word.display();
        self.command.misuse(&format!("{argument}: `{word}`: {why}"))
    }
}

/// Reads an argument that is a text.
pub(in crate::cli) fn text<T, E: Display>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&OsStr) -> Result<T, String> {
    move |word| {
        let text = word.to_str().ok_or("is not UTF-8")?;
        parse(text).map_err(|why| why.to_string())
    }
}

/// Reads an argument that is a path, in any encoding.
pub(in crate::cli) fn path(word: &OsStr) -> Result<PathBuf, String> {
    if word.is_empty() {
        return Err("is no path".to_owned());
    }
    Ok(word.into())
}
