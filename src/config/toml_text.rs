//! TOML's syntax, and what to write where it is broken.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{ConfigValue, Entries, Node};
use super::error::Problem;
use super::toml_advice::{DUPLICATE, LISTS, advice, cause_of_all};

/// The tree of a file and what cannot stand in it, or what is wrong with its syntax, one problem a line.
pub(super) fn tree(text: &str) -> Result<(Node, Vec<Problem>), Vec<Problem>> {
    let whole = parse(text);
    let is_list = |node: &Node| {
        let table = node.value.as_table();
        let lists = table.map(|table| LISTS.map(|list| table.get(list)));
        let nodes = lists.into_iter().flatten().flatten();
        { nodes }.all(|node| node.value.as_list().is_some())
    };
    if whole.as_ref().is_ok_and(is_list) {
        return whole.map(|node| (node, Vec::new()));
    }
    // Read as if the brackets were double, so that the rest of what is wrong is reported as well.
    let (doubled, mut problems) = with_double_brackets(text);
    if problems.is_empty() {
        return whole.map(|node| (node, problems));
    }
    match parse(&doubled) {
        Ok(node) => Ok((node, problems)),
        Err(mut others) => {
            problems.append(&mut others);
            Err(problems)
        }
    }
}

/// The text with `[uplink]` and its likes as `[[uplink]]`, and a problem for each kind of them.
fn with_double_brackets(text: &str) -> (String, Vec<Problem>) {
    let mut doubled = String::new();
    let mut problems: Vec<Problem> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let header = line.split('#').next().unwrap_or_default().trim();
        let inside = header
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let list = inside.and_then(|name| LISTS.into_iter().find(|list| *list == name.trim()));
        let Some(list) = list else {
            doubled.extend([line, "\n"]);
            continue;
        };
        doubled.extend(["[[", list, "]]\n"]);
        let what = format!("[{list}] in single brackets: write [[{list}]] above each {list}");
        let problem = Problem::of_syntax(number, "TOML", what);
        if !problems.iter().any(|known| known.fault == problem.fault) {
            problems.push(problem);
        }
    }
    (doubled, problems)
}

fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let starts = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let value = ConfigValue::Table(starts.entries(document.into_inner()));
        return Ok(Node { line: 1, value });
    }
    let lines: Vec<&str> = text.lines().collect();
    if let Some((number, what)) = cause_of_all(&lines) {
        return Err(vec![Problem::of_syntax(number, "TOML", what)]);
    }
    let mut problems: Vec<Problem> = Vec::new();
    for error in &errors {
        let number = error.span().map_or(1, |span| starts.line(&span));
        let line = lines.get(number - 1).copied().unwrap_or_default();
        let what = if is_uci(line) {
            "this looks like UCI, and the file is TOML by its name or by how it begins: let its name \
             not end in .toml, or write [[uplink]] and `tier = 1`"
                .to_owned()
        } else {
            advice(&lines, number, &error.message().trim().replace('\n', ", "))
        };
        // A title that cannot be read makes the next one of its list a duplicate.
        let is_echo = what == DUPLICATE && !problems.is_empty();
        let problem = Problem::of_syntax(number, "TOML", what);
        let is_known = problems.iter().any(|known| known.fault == problem.fault);
        if !(is_known || is_echo) {
            problems.push(problem);
        }
    }
    Problem::put_in_order(&mut problems);
    problems.dedup_by_key(|problem| problem.line);
    problems.truncate(Problem::MAX_OF_SYNTAX);
    Err(problems)
}

/// A statement of UCI, such as `option tier '1'`.
pub(super) fn is_uci(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let keyword = words.next().unwrap_or_default();
    let argument = words.next();
    ["config", "option", "list", "package"].contains(&keyword)
        && argument.is_some_and(|word| !word.starts_with('='))
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after_breaks).collect())
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|&start| start <= span.start)
    }

    fn entries(&self, table: DeTable<'_>) -> Entries {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let line = self.line(&key.span());
            let value = self.value(value.into_inner());
            (String::from(key.into_inner()), Node { line, value })
        };
        table.into_iter().map(entry).collect()
    }

    fn value(&self, value: DeValue<'_>) -> ConfigValue {
        match value {
            DeValue::String(text) => ConfigValue::Text(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(
                    |_| ConfigValue::Other(number.to_string()),
                    ConfigValue::Integer,
                ),
            DeValue::Float(number) => (number.as_str().parse()).map_or_else(
                |_| ConfigValue::Other(number.to_string()),
                ConfigValue::Float,
            ),
            DeValue::Boolean(truth) => ConfigValue::Boolean(truth),
            DeValue::Datetime(date) => ConfigValue::Other(date.to_string()),
            DeValue::Array(items) => ConfigValue::List(
                items
                    .into_iter()
                    .map(|item| Node {
                        line: self.line(&item.span()),
                        value: self.value(item.into_inner()),
                    })
                    .collect(),
            ),
            DeValue::Table(table) => ConfigValue::Table(self.entries(table)),
        }
    }
}
