//! UCI's syntax, as libuci reads it (`file.c`), and stricter where it would guess.
//!
//! A statement is a line: `package NAME`, `config TYPE ['NAME']`, `option NAME 'VALUE'` or
//! `list NAME 'VALUE'`; a `;` ends one as well. A value is one word: plain parts, where a backslash
//! takes the next character as it is, parts in double quotes, where it does the same, and parts in
//! single quotes, where nothing is special, all run together. Quotes may span lines, a backslash at
//! the end of a line joins it to the next, and `#` outside of quotes begins a comment.

use std::str::Chars;

use super::error::Problem;
use crate::units::sorted::SortedMap;

/// A file.
#[derive(Debug, Default)]
pub(super) struct UciFile {
    /// What it says to be the configuration of, with the line.
    pub(super) package: Option<(String, usize)>,
    pub(super) sections: Vec<UciSection>,
}

/// A `config` and what stands under it.
#[derive(Debug)]
pub(super) struct UciSection {
    pub(super) line: usize,
    pub(super) kind: String,
    /// None of an anonymous one.
    pub(super) name: Option<String>,
    pub(super) options: Vec<UciItem>,
}

/// An `option`, or one item of a `list`.
#[derive(Debug)]
pub(super) struct UciItem {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) is_of_list: bool,
}

impl UciFile {
    /// A file, or the first things that are wrong with its syntax.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut scanner = UciScanner {
            rest: text.chars(),
            line: 1,
            open_line: None,
        };
        if let Some(at) = text.find('\0') {
            let line = 1 + text[..at].matches('\n').count();
            return Err(vec![UciSlip::new(line, "a NUL byte").into()]);
        }
        let mut file = Self::default();
        let mut slips: Vec<UciSlip> = Vec::new();
        while let Some(statement) = scanner.statement() {
            let taken = statement.and_then(|statement| file.take(statement));
            let is_toml = |slip: &UciSlip| slip.what == IS_TOML;
            let is_known = slips.iter().any(is_toml);
            let is_echo = |slip: &UciSlip| {
                is_known && is_toml(slip) || !slips.is_empty() && slip.what == BEFORE_FIRST
            };
            let slip = taken.err().filter(|slip| !is_echo(slip));
            slips.extend(slip);
            if slips.len() == Problem::MAX_OF_SYNTAX {
                break;
            }
        }
        if slips.is_empty() {
            return Ok(file);
        }
        // A quote that is missing turns the inside of all later ones outside: what is wrong there is
        // an echo.
        if let Some(line) = scanner.open_line {
            slips.retain(|slip| slip.line < line);
            slips.push(UciSlip::new(line, IS_OPEN));
        }
        Err(slips.into_iter().map(Problem::from).collect())
    }

    fn take(&mut self, statement: UciStatement) -> Result<(), UciSlip> {
        let UciStatement { line, words } = statement;
        let mut words = words.into_iter();
        // libuci knows the keywords without quotes, and by their first letters.
        let keyword = words.next().filter(|word| !word.is_quoted);
        let keyword = keyword.map_or_else(String::new, |word| word.text);
        let mut arguments = words.map(|word| word.text);
        let first = arguments.next().unwrap_or_default();
        let second = arguments.next();
        if keyword.starts_with('[') || keyword.contains('=') || first.starts_with('=') {
            return Err(UciSlip::new(line, IS_TOML));
        }
        if second.as_deref() == Some("=") {
            return Err(UciSlip::new(line, HAS_EQUALS_SIGN));
        }
        if arguments.next().is_some() {
            return Err(UciSlip::new(
                line,
                "more words than a line takes; is a quote missing?",
            ));
        }
        match keyword.as_str() {
            "package" | "p" => self.package(line, first, second.as_ref()),
            "config" | "c" => self.section(line, first, second),
            "option" | "o" => self.item(line, first, second, false),
            "list" | "l" => self.item(line, first, second, true),
            _ => Err(UciSlip::new(line, NO_KEYWORD)),
        }
    }

    fn package(&mut self, line: usize, name: String, more: Option<&String>) -> Result<(), UciSlip> {
        if name.is_empty() || more.is_some() {
            return Err(UciSlip::new(line, "a package has one name"));
        }
        if self.package.is_some() || !self.sections.is_empty() {
            return Err(UciSlip::new(
                line,
                "a package within a file, which is of one",
            ));
        }
        self.package = Some((name, line));
        Ok(())
    }

    fn section(&mut self, line: usize, kind: String, name: Option<String>) -> Result<(), UciSlip> {
        let is_type = |byte: u8| byte.is_ascii_graphic();
        if !(1..=MAX_NAME).contains(&kind.len()) || !kind.bytes().all(is_type) {
            return Err(UciSlip::new(line, "a section without a type"));
        }
        let name = name.filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| !is_name(name)) {
            let what = "the name of a section is of up to 64 letters, digits and _; a name with `-` or \
                        `.` stands below it, as `option name`";
            return Err(UciSlip::new(line, what));
        }
        self.sections.push(UciSection {
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
    ) -> Result<(), UciSlip> {
        if !is_name(&name) {
            let what = "the name of an option is of 1 to 64 letters, digits and _";
            return Err(UciSlip::new(line, what));
        }
        let section = self.sections.last_mut();
        let section = section.ok_or_else(|| UciSlip::new(line, BEFORE_FIRST))?;
        section.options.push(UciItem {
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
    let mut places: SortedMap<&str, usize> = SortedMap::new();
    let numbered = names.enumerate();
    numbered
        .map(|(at, name)| places.insert(name?, at))
        .collect()
}

const BEFORE_FIRST: &str = "an option before the first config";
const HAS_EQUALS_SIGN: &str =
    "no `=` stands between a name and its value: write option NAME 'VALUE'";
const NO_KEYWORD: &str = "a line that does not begin with config, option, list or package";
const IS_DROPPED: &str =
    "libuci drops what follows a `;` right after a word without quotes: begin a line";
const IS_OPEN: &str = "the quote that opens on this line does not close on it";
const IS_TOML: &str = "from here on this looks like TOML, and the file begins as UCI: write \
                       `config uplink 'NAME'` and `option tier '1'`, or let all of it be TOML";

/// What is wrong with the syntax, and on which line.
struct UciSlip {
    line: usize,
    what: &'static str,
}

impl UciSlip {
    fn new(line: usize, what: &'static str) -> Self {
        Self { line, what }
    }
}

impl From<UciSlip> for Problem {
    fn from(slip: UciSlip) -> Self {
        Self::of_syntax(slip.line, "UCI", slip.what)
    }
}

struct UciStatement {
    line: usize,
    words: Vec<UciWord>,
}

#[derive(Default)]
struct UciWord {
    text: String,
    is_quoted: bool,
}

/// Where in the text we are.
struct UciScanner<'a> {
    rest: Chars<'a>,
    line: usize,
    /// Where the first quote opened that did not close on its line.
    open_line: Option<usize>,
}

impl UciScanner<'_> {
    /// The next statement that says something.
    fn statement(&mut self) -> Option<Result<UciStatement, UciSlip>> {
        let mut words = Vec::new();
        let mut line = self.line;
        loop {
            let is_over = match self.peek() {
                None => true,
                Some(';') if words.is_empty() => {
                    self.next();
                    return Some(Err(UciSlip::new(self.line, NO_KEYWORD)));
                }
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
                        Ok(word) if !word.is_quoted && self.is_dropped() => {
                            while self.peek().is_some_and(|c| c != '\n') {
                                self.next();
                            }
                            return Some(Err(UciSlip::new(line, IS_DROPPED)));
                        }
                        Ok(word) => words.push(word),
                        Err(slip) => return Some(Err(slip)),
                    }
                    false
                }
            };
            if is_over && !words.is_empty() {
                return Some(Ok(UciStatement { line, words }));
            }
            if is_over && self.peek().is_none() {
                return None;
            }
        }
    }

    /// Whether a `;` is here, and more on its line than a remark.
    fn is_dropped(&self) -> bool {
        let rest = self.rest.as_str().strip_prefix(';');
        let rest = rest.and_then(|rest| rest.lines().next());
        let rest = rest.unwrap_or_default().trim_start();
        !rest.is_empty() && !rest.starts_with('#')
    }

    fn word(&mut self) -> Result<UciWord, UciSlip> {
        let mut word = UciWord::default();
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

    fn quoted(&mut self, quote: char, text: &mut String) -> Result<(), UciSlip> {
        let line = self.line;
        loop {
            match self.next() {
                None => {
                    self.open_line.get_or_insert(line);
                    return Err(UciSlip::new(line, IS_OPEN));
                }
                Some(c) if c == quote => return Ok(()),
                Some('\\') if quote == '"' => self.escaped(text),
                Some(c) => {
                    if c == '\n' {
                        self.open_line.get_or_insert(line);
                    }
                    text.push(c);
                }
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
