//! UCI's syntax, as libuci reads it (`file.c`), and stricter where it would guess.
//!
//! A statement is a line: `package NAME`, `config TYPE ['NAME']`, `option NAME 'VALUE'` or
//! `list NAME 'VALUE'`; a `;` ends one as well. A value is one word: plain parts, where a backslash
//! takes the next character as it is, parts in double quotes, where it does the same, and parts in
//! single quotes, where nothing is special, all run together. Quotes may span lines, a backslash at
//! the end of a line joins it to the next, and `#` outside of quotes begins a comment.

use std::collections::BTreeMap;
use std::str::Chars;

use super::raw::MAX_SYNTAX_PROBLEMS;
use super::{Fault, Problem};

/// A file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// What it says to be the configuration of, with the line.
    pub(super) package: Option<(String, usize)>,
    pub(super) sections: Vec<Section>,
}

/// A `config` and what stands under it.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) line: usize,
    pub(super) kind: String,
    /// None of an anonymous one.
    pub(super) name: Option<String>,
    pub(super) options: Vec<Item>,
}

/// An `option`, or one item of a `list`.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) is_of_list: bool,
}

impl File {
    /// A file, or the first things that are wrong with its syntax.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut scanner = Scanner {
            rest: text.chars(),
            line: 1,
        };
        if let Some(at) = text.find('\0') {
            let line = 1 + text[..at].matches('\n').count();
            return Err(vec![Slip::new(line, "a NUL byte").into()]);
        }
        let mut file = Self::default();
        let mut problems = Vec::new();
        while let Some(statement) = scanner.statement() {
            let taken = statement.and_then(|statement| file.take(statement));
            problems.extend(taken.err().map(Problem::from));
            if problems.len() == MAX_SYNTAX_PROBLEMS {
                break;
            }
        }
        if problems.is_empty() {
            Ok(file)
        } else {
            Err(problems)
        }
    }

    fn take(&mut self, statement: Statement) -> Result<(), Slip> {
        let Statement { line, words } = statement;
        let mut words = words.into_iter();
        // libuci knows the keywords without quotes, and by their first letters.
        let keyword = words.next().filter(|word| !word.is_quoted);
        let keyword = keyword.map_or_else(String::new, |word| word.text);
        let mut arguments = words.map(|word| word.text);
        let first = arguments.next().unwrap_or_default();
        let second = arguments.next();
        if arguments.next().is_some() {
            return Err(Slip::new(
                line,
                "more words than a line takes; is a quote missing?",
            ));
        }
        match keyword.as_str() {
            "package" | "p" => self.package(line, first, second.as_ref()),
            "config" | "c" => self.section(line, first, second),
            "option" | "o" => self.item(line, first, second, false),
            "list" | "l" => self.item(line, first, second, true),
            _ => {
                let what = "a line that does not begin with config, option, list or package";
                Err(Slip::new(line, what))
            }
        }
    }

    fn package(&mut self, line: usize, name: String, more: Option<&String>) -> Result<(), Slip> {
        if name.is_empty() || more.is_some() {
            return Err(Slip::new(line, "a package has one name"));
        }
        if self.package.is_some() || !self.sections.is_empty() {
            return Err(Slip::new(line, "a package within a file, which is of one"));
        }
        self.package = Some((name, line));
        Ok(())
    }

    fn section(&mut self, line: usize, kind: String, name: Option<String>) -> Result<(), Slip> {
        let is_type = |byte: u8| byte.is_ascii_graphic();
        if !(1..=MAX_NAME).contains(&kind.len()) || !kind.bytes().all(is_type) {
            return Err(Slip::new(line, "a section without a type"));
        }
        let name = name.filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| !is_name(name)) {
            let what = "the name of a section is of up to 64 letters, digits and _";
            return Err(Slip::new(line, what));
        }
        self.sections.push(Section {
            line,
            kind,
            name,
            options: Vec::new(),
        });
        Ok(())
    }

    fn item(
        &mut self,
        line: usize,
        name: String,
        value: Option<String>,
        is_of_list: bool,
    ) -> Result<(), Slip> {
        if !is_name(&name) {
            let what = "the name of an option is of 1 to 64 letters, digits and _";
            return Err(Slip::new(line, what));
        }
        let section = self.sections.last_mut();
        let section =
            section.ok_or_else(|| Slip::new(line, "an option before the first config"))?;
        section.options.push(Item {
            line,
            name,
            value: value.unwrap_or_default(),
            is_of_list,
        });
        Ok(())
    }
}

/// What libuci takes for the name of a section or an option, unless it is absurdly long.
pub(super) fn is_name(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_of_name)
}

const MAX_NAME: usize = 64;

/// For each of some names the place of the one before it that is the same.
pub(super) fn firsts(names: &mut dyn Iterator<Item = Option<&str>>) -> Vec<Option<usize>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let numbered = names.enumerate();
    numbered
        .map(|(at, name)| places.insert(name?, at))
        .collect()
}

/// What is wrong with the syntax, and on which line.
struct Slip {
    line: usize,
    what: &'static str,
}

impl Slip {
    fn new(line: usize, what: &'static str) -> Self {
        Self { line, what }
    }
}

impl From<Slip> for Problem {
    fn from(slip: Slip) -> Self {
        Self {
            line: slip.line,
            section: String::new(),
            key: String::new(),
            fault: Fault::Syntax {
                form: "UCI",
                what: slip.what.to_owned(),
            },
        }
    }
}

struct Statement {
    line: usize,
    words: Vec<Word>,
}

#[derive(Default)]
struct Word {
    text: String,
    is_quoted: bool,
}

/// Where in the text we are.
struct Scanner<'a> {
    rest: Chars<'a>,
    line: usize,
}

impl Scanner<'_> {
    /// The next statement that says something.
    fn statement(&mut self) -> Option<Result<Statement, Slip>> {
        let mut words = Vec::new();
        let mut line = self.line;
        loop {
            let is_over = match self.peek() {
                None => true,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                    continue;
                }
                Some(c) if is_space(c) || c == ';' => {
                    self.next();
                    c == '\n' || c == ';'
                }
                Some(_) => {
                    if words.is_empty() {
                        line = self.line;
                    }
                    match self.word() {
                        Ok(word) => words.push(word),
                        Err(slip) => return Some(Err(slip)),
                    }
                    false
                }
            };
            if is_over && !words.is_empty() {
                return Some(Ok(Statement { line, words }));
            }
            if is_over && self.peek().is_none() {
                return None;
            }
        }
    }

    fn word(&mut self) -> Result<Word, Slip> {
        let mut word = Word::default();
        while let Some(c) = self.peek() {
            if is_space(c) || c == ';' || c == '#' {
                break;
            }
            self.next();
            match c {
                '\'' | '"' => {
                    word.is_quoted = true;
                    self.quoted(c, &mut word.text)?;
                }
                '\\' => self.escaped(&mut word.text),
                _ => word.text.push(c),
            }
        }
        Ok(word)
    }

    fn quoted(&mut self, quote: char, text: &mut String) -> Result<(), Slip> {
        let line = self.line;
        loop {
            match self.next() {
                None => return Err(Slip::new(line, "a quote that does not end")),
                Some(c) if c == quote => return Ok(()),
                Some('\\') if quote == '"' => self.escaped(text),
                Some(c) => text.push(c),
            }
        }
    }

    /// What comes after a backslash: the character itself, and nothing of the end of a line.
    fn escaped(&mut self, text: &mut String) {
        if self.rest.as_str().starts_with("\r\n") {
            self.next();
        }
        match self.next() {
            None | Some('\n') => {}
            Some(c) => text.push(c),
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.line += usize::from(c == '\n');
        Some(c)
    }
}

/// `isspace` of C.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
