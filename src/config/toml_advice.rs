//! What to write instead of a line that is not TOML.

use toml::de::DeTable;

use super::document::boolean;

/// The sections that stand in double brackets, once for each.
pub(super) const LISTS: [&str; 3] = ["uplink", "group", "rule"];

/// The parser's word for a key or a section that stands there twice.
pub(super) const DUPLICATE: &str = "duplicate key";

const ONE_VALUE: &str = "a line is a key, a `=` and one value";

/// What the file says at a line that the parser refuses with `message`, in its own words or in better
/// ones.
pub(super) fn advice(lines: &[&str], number: usize, message: &str) -> String {
    let (above, line) = match lines.get(..number) {
        Some([above @ .., line]) => (above, *line),
        _ => (&[][..], ""),
    };
    let better = if message == DUPLICATE {
        duplicate(above, line)
    } else {
        let code = without_comment(line);
        of_header(code).or_else(|| of_value(code)).or_else(|| {
            let is_item = !message.starts_with("key with no value");
            of_item(code).filter(|_| is_item)
        })
    };
    better.unwrap_or_else(|| match message {
        message if message.contains(", expected literal string") => {
            "a text stands in quotes".to_owned()
        }
        message => message.to_owned(),
    })
}

/// What makes everything after it wrong, with its line: another form of file, or a list without an end.
pub(super) fn cause_of_all(lines: &[&str]) -> Option<(usize, String)> {
    let mut code = lines
        .iter()
        .map(|line| without_comment(line))
        .zip(1..)
        .filter(|(code, _)| !code.is_empty());
    let (first, at) = code.clone().next()?;
    let form = |name: &str| format!("this looks like {name}: write [[uplink]] and `tier = 1`");
    if first.starts_with('{') {
        return Some((at, form("JSON")));
    }
    let is_yaml = |code: &str| {
        let is_item = code
            .strip_prefix("- ")
            .is_some_and(|item| item.contains(':'));
        is_item || code == "---"
    };
    if let Some((_, at)) = code.clone().find(|(code, _)| is_yaml(code)) {
        return Some((at, form("YAML")));
    }
    let (key, at) = code.find_map(|(code, number)| {
        let (key, value) = code.split_once('=')?;
        let is_open = value.trim().starts_with('[') && !value.contains(']');
        (is_open && has_no_end(&lines[number..])).then(|| (key.trim(), number))
    })?;
    Some((
        at,
        format!("`{key}`: the list that begins on this line does not end: add a `]`"),
    ))
}

/// The next section or key comes before a list ends.
fn has_no_end(below: &[&str]) -> bool {
    for line in below {
        let code = without_comment(line);
        if header(code).is_some() || code.contains('=') {
            return true;
        }
        if code.contains(']') {
            return false;
        }
    }
    true
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// The name of `[name]` or `[[name]]`.
fn header(line: &str) -> Option<&str> {
    let inside = without_comment(line).strip_prefix('[')?.strip_suffix(']')?;
    Some(inside.trim_matches(['[', ']']).trim())
}

/// Where a section or a key stands already.
fn duplicate(above: &[&str], line: &str) -> Option<String> {
    let key = |line: &str| Some(line.split_once('=')?.0.trim().to_owned());
    let mut upwards = above.iter().enumerate().rev();
    let Some(name) = header(line) else {
        let name = key(line)?;
        let mut own = upwards.take_while(|(_, line)| header(line).is_none());
        let (first, _) = own.find(|(_, line)| key(line).as_ref() == Some(&name))?;
        return Some(format!("`{name}` is on line {} already", first + 1));
    };
    if LISTS.contains(&name) {
        return part_above(above, name);
    }
    if let Some((first, _)) = upwards.find(|(_, line)| header(line) == Some(name)) {
        let first = first + 1;
        return Some(format!(
            "[{name}] is on line {first} already: write its keys there"
        ));
    }
    // `probe.interval = "1s"` makes [probe] as well.
    let dotted = format!("{name}.");
    let mut keys = (1..).zip(above.iter().filter_map(|line| key(line)));
    let (_, part) = keys.find(|(_, key)| key.starts_with(&dotted))?;
    Some(format!(
        "`{part}` above makes [{name}] already: write its keys in one place"
    ))
}

/// The part of an uplink that stands above all of them.
fn part_above(above: &[&str], list: &str) -> Option<String> {
    let part = |line: &str| {
        header(line)?
            .strip_prefix(list)?
            .strip_prefix('.')
            .map(str::to_owned)
    };
    let mut parts = above.iter().enumerate();
    let (at, part) = parts.find_map(|(at, line)| Some((at + 1, part(line)?)))?;
    Some(format!(
        "[{list}.{part}] on line {at} is above the first [[{list}]]: move it below the [[{list}]] that it \
         is of"
    ))
}

/// The title of a section whose brackets do not match, or with more in them than a name.
fn of_header(code: &str) -> Option<String> {
    let inside = code.strip_prefix('[')?;
    let mut words = inside.split(['[', ']', ' ', '"', '\'']);
    let name = words.find(|word| !word.is_empty())?;
    let more = words.find(|word| !word.is_empty());
    if !name.chars().all(is_of_key) || inside.contains(',') {
        return None;
    }
    Some(match more {
        _ if !LISTS.contains(&name) => format!("write `[{name}]` as the title of a section"),
        Some(own) => format!("write `[[{name}]]` and `name = \"{own}\"` below it"),
        None => format!("write `[[{name}]]` above each {name}"),
    })
}

/// A key with a value that TOML does not know, or apart from it by something else than `=`.
fn of_value(code: &str) -> Option<String> {
    let is_key = |key: &str| !key.is_empty() && key.chars().all(is_of_key);
    let (key, value, is_toml) = [
        (code.split_once('='), true),
        (code.split_once(':'), false),
        (code.split_once(char::is_whitespace), false),
    ]
    .into_iter()
    .filter_map(|(parts, is_toml)| parts.map(|(key, value)| (key.trim(), value.trim(), is_toml)))
    .find(|(key, _, _)| is_key(key))?;
    let alone = value.trim_end_matches([',', ';']).trim_end();
    if alone.is_empty() {
        let what = "a value is missing, such as a text in quotes, a number, true or false";
        return is_toml.then(|| format!("`{key}`: {what}"));
    }
    let (written, why) = if is_good(alone) {
        let is_changed = alone != value || !is_toml;
        (is_changed.then(|| alone.to_owned())?, ONE_VALUE)
    } else if let Some(first) = first_text(alone) {
        (first.to_owned(), ONE_VALUE)
    } else {
        literal(alone)?
    };
    Some(format!("write `{key} = {written}`: {why}"))
}

/// The text in quotes that a value begins with, and does not end with.
fn first_text(value: &str) -> Option<&str> {
    let end = value.strip_prefix('"')?.find('"')? + 2;
    let (first, more) = value.split_at(end);
    let is_followed = more.starts_with(char::is_whitespace);
    (is_followed && is_good(first)).then_some(first)
}

/// An item of a list over several lines.
fn of_item(code: &str) -> Option<String> {
    let alone = code.trim_end_matches([',', ';', ']']);
    if is_good(alone) {
        return None;
    }
    let (written, why) = literal(alone)?;
    Some(format!("write `{written}`: {why}"))
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

/// The value as TOML has it.
fn is_good(value: &str) -> bool {
    DeTable::parse(&format!("x = {value}")).is_ok()
}

/// What was probably meant by a value that is not TOML, and the rule.
fn literal(value: &str) -> Option<(String, &'static str)> {
    const TEXT: &str = "a text stands in quotes";
    let plain = |text: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || "_-.,:/+%@ '".contains(c);
        !text.is_empty() && text.chars().all(is_plain)
    };
    if let Some(truth) = boolean(&value.to_lowercase()) {
        let why = "yes and no are `true` and `false`";
        return Some((truth.to_string(), why));
    }
    if let Some(number) = number(value) {
        return Some((number, "a number has a point and no unit"));
    }
    if let Some(items) = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let items = items.split([',', ';', ' ']).filter(|item| !item.is_empty());
        let items: Vec<_> = items.map(str::to_owned).collect();
        let are_plain = items.iter().all(|item| plain(item)) && !items.is_empty();
        let quoted = items.iter().map(|item| format!("\"{item}\""));
        let list = quoted.collect::<Vec<_>>().join(", ");
        return are_plain.then(|| (format!("[{list}]"), TEXT));
    }
    let inside = value.trim_matches(['"', '\'', '“', '”', '„', '‘', '’', '«', '»', '`']);
    plain(inside).then(|| (format!("\"{inside}\""), TEXT))
}

/// A number that is written in another way than TOML's.
fn number(value: &str) -> Option<String> {
    let text = value.replace(',', ".");
    let text = text.trim_end_matches('%').trim_end();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.to_string());
    }
    let number: f64 = text.parse().ok()?;
    number.is_finite().then(|| format!("{number:?}"))
}
