//! The references are complete: keys, states, events, commands, exit codes, signals, environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use super::Document;
use uplinkd::cli;
use uplinkd::config::{Config, KnownKey, schema};
use uplinkd::engine::event::{EventKind, Severity};
use uplinkd::engine::state::State;

/// What the reference says of a key.
#[derive(Debug)]
struct Entry {
    kind: String,
    default: String,
    example: String,
    uci: String,
}

/// The entries of the reference by `section.key`, and what is wrong with their form.
fn entries(reference: &Document) -> (BTreeMap<String, Entry>, Vec<String>) {
    let mut entries = BTreeMap::new();
    let mut faults = Vec::new();
    for (line, heading) in reference.prose() {
        let Some(path) = heading.strip_prefix("### ") else {
            continue;
        };
        let text = reference.under(heading);
        let field = |name: &str| {
            let mark = format!("- {name}: ");
            let found = text.lines().find_map(|line| line.strip_prefix(&mark));
            found.map(str::to_owned)
        };
        let fields = (
            field("Type"),
            field("Default"),
            field("Example"),
            field("UCI"),
        );
        if let (Some(kind), Some(default), Some(example), Some(uci)) = fields {
            let entry = Entry {
                kind,
                default,
                example,
                uci,
            };
            if entries.insert(path.to_owned(), entry).is_some() {
                faults.push(format!("line {line}: {path} is there already"));
            }
        } else {
            faults.push(format!("line {line}: {path} lacks a field"));
        }
    }
    (entries, faults)
}

/// Text between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The defaults that the sample shows, by `section.key`.
fn sample() -> BTreeMap<String, String> {
    let text = Document::read("config/uplinkd.toml").text;
    let mut section = String::new();
    let mut defaults = BTreeMap::new();
    for line in text
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
    {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ") {
            let path = format!("{section}.{key}");
            // The second uplink is an example like the first one.
            defaults.entry(path).or_insert_with(|| value.to_owned());
        }
    }
    defaults
}

/// A whole configuration with one setting in one section.
fn configuration(title: &str, setting: &str) -> String {
    let key = setting.split(" = ").next().unwrap_or_default();
    let section = |title: &str, lines: &[&str], setting: &str| {
        let mut text = format!("{title}\n{setting}\n");
        let is_other = |line: &&&str| !key.eq(line.split(" = ").next().unwrap_or_default());
        for line in lines
            .iter()
            .filter(|line| setting.is_empty() || is_other(line))
        {
            let _ = writeln!(text, "{line}");
        }
        text
    };
    let of = |wanted: &str| if title == wanted { setting } else { "" };
    let needs_cold = key == "exercise_every";
    let fiber = ["name = \"fiber\"", "interface = \"eth1\"", "tier = 1"];
    let cold = [
        "name = \"fiber\"",
        "interface = \"eth1\"",
        "tier = 1",
        "standby = \"cold\"",
    ];
    let fiber: &[_] = if needs_cold { &cold } else { &fiber };
    let lte = ["name = \"lte\"", "interface = \"wwan0\"", "tier = 2"];
    let mut text = String::new();
    if !title.starts_with("[[") {
        text += &section(title, &[], setting);
    }
    text += &section("[[uplink]]", fiber, of("[[uplink]]"));
    text += &section("[[uplink]]", &lte, "");
    if matches!(title, "[[group]]" | "[[rule]]") {
        let group = ["name = \"voice\"", "uplinks = [\"lte\", \"fiber\"]"];
        text += &section("[[group]]", &group, of("[[group]]"));
    }
    if title == "[[rule]]" {
        text += &section(title, &["group = \"voice\"", "protocol = \"udp\""], setting);
    }
    text
}

fn refusal(title: &str, setting: &str) -> Option<String> {
    let text = configuration(title, setting);
    let error = Config::parse(&text, "x.toml").err()?;
    Some(error.to_string())
}

/// Values just outside of the bounds that a type states, and how a refusal writes the bounds.
fn outside(kind: &str) -> Vec<(String, [String; 2])> {
    let Some((before, after)) = kind.split_once("` to `") else {
        return Vec::new();
    };
    let low = before.rsplit('`').next().unwrap_or_default();
    let high = after.split('`').next().unwrap_or_default();
    let show = |span: Duration| {
        let shown = humantime::format_duration(span).to_string();
        shown.replace("days", "d").replace("day", "d")
    };
    let (below, above, bounds) = if kind.starts_with("duration") {
        let span = |text: &str| humantime::parse_duration(text).expect("a duration");
        let (low, high) = (span(low), span(high));
        let step = Duration::from_millis(1);
        let quoted = |span| format!("\"{}\"", show(span));
        let below = low.checked_sub(step).map(quoted);
        (below, quoted(high + step), [show(low), show(high)])
    } else if kind.starts_with("data") {
        let below = Some("\"999kB\"".to_owned());
        let above = "\"1001TB\"".to_owned();
        (
            below,
            above,
            [low.replace("MB", " MB"), high.replace("TB", " TB")],
        )
    } else {
        let number = |text: &str| text.parse::<f64>().expect("a number");
        let is_whole = kind.contains("integer");
        let step = if is_whole { 1.0 } else { 0.01 };
        let places = if is_whole { 0 } else { 2 };
        let show = |number: f64| format!("{number:.places$}");
        let (below, above) = (number(low) - step, number(high) + step);
        let bounds = [low.to_owned(), high.to_owned()];
        (Some(show(below)), show(above), bounds)
    };
    let values = below.into_iter().chain([above]);
    values.map(|value| (value, bounds.clone())).collect()
}

/// Everything that the reference says of a key and is not so.
fn contradictions(
    known: &KnownKey,
    entry: &Entry,
    sample: &BTreeMap<String, String>,
) -> Vec<String> {
    let (title, key, place) = (&known.section(), known.name(), known.path.join("."));
    let mut found = Vec::new();
    let example = code(&entry.example).concat();
    if !example.starts_with(&format!("{key} = ")) {
        found.push(format!("the example `{example}` is of another key"));
    }
    if let Some(why) = refusal(title, &example) {
        found.push(format!("the example is refused: {why}"));
    }
    let shown = sample.get(&place).map(String::as_str);
    let default = code(&entry.default);
    if !entry.default.starts_with("none") && default.first().copied() != shown {
        found.push(format!(
            "the default {default:?} is {shown:?} in the sample"
        ));
    }
    if let Some(value) = default
        .first()
        .filter(|_| !entry.default.starts_with("none"))
        && let Some(why) = refusal(title, &format!("{key} = {value}"))
    {
        found.push(format!("the default is refused: {why}"));
    }
    for (value, bounds) in outside(&entry.kind) {
        let why = refusal(title, &format!("{key} = {value}"));
        let says = |why: &String| bounds.iter().all(|bound| why.contains(bound));
        if !why.as_ref().is_some_and(says) {
            found.push(format!("{value} is beyond {bounds:?}, but: {why:?}"));
        }
    }
    if entry.kind.starts_with("one of") {
        let choices = code(&entry.kind);
        let words = choices.iter().filter(|choice| choice.starts_with('"'));
        for word in words.clone() {
            if let Some(why) = refusal(title, &format!("{key} = {word}")) {
                found.push(format!("{word} is refused: {why}"));
            }
        }
        let why = refusal(title, &format!("{key} = \"no such word\"")).unwrap_or_default();
        let known = why.matches('"').count() / 2 - 1;
        if known != words.count() {
            found.push(format!("has {known} words: {why}"));
        }
    }
    let (_, option) = known.uci_option();
    if code(&entry.uci) != [&*option] {
        found.push(format!("the UCI option is `{option}`, not {}", entry.uci));
    }
    found
        .iter()
        .map(|what| format!("{place}: {what}"))
        .collect()
}

/// What is wrong with a reference of the configuration.
fn faults(reference: &Document) -> Vec<String> {
    let (entries, mut faults) = entries(reference);
    let sample = sample();
    let mut known = BTreeSet::new();
    let schema = schema();
    // The keys of an uplink's own [uplink.probe] and [uplink.health] are those of the common sections.
    let is_own = |key: &&KnownKey| key.is_supported && !key.section().starts_with("[uplink.");
    for key in schema.keys().iter().filter(is_own) {
        let path = key.path.join(".");
        match entries.get(&path) {
            Some(entry) => faults.extend(contradictions(key, entry, &sample)),
            None => faults.push(format!("{path} is missing")),
        }
        known.insert(path);
    }
    let strange = entries.keys().filter(|path| !known.contains(*path));
    faults.extend(strange.map(|path| format!("{path} is no key")));
    faults
}

#[test]
fn every_key_has_an_entry_whose_type_default_bounds_example_and_option_are_true() {
    let reference = Document::read("docs/configuration.md");
    assert_eq!(faults(&reference), Vec::<String>::new());
}

#[test]
fn an_entry_that_is_missing_or_wrong_is_found() {
    let mut reference = Document::read("docs/configuration.md");
    let mut change = |from: &str, to: &str| {
        assert!(reference.text.contains(from), "{from}");
        reference.text = reference.text.replacen(from, to, 1);
    };
    change("### probe.quorum", "### probe.quota");
    change("duration, `20ms` to `1m`", "duration, `20ms` to `2m`");
    change("- Default: `\"balanced\"`", "- Default: `\"fast\"`");
    change("`\"table\"`, `\"main\"`\n", "`\"table\"`\n");
    change("- UCI: `health_loss_exit`", "- UCI: `health_exit`");
    change("- Example: `tier = 1`", "- Example: `tier = 0`");
    let found = faults(&reference);
    let places: Vec<_> = found.iter().map(|fault| fault.split(' ').next()).collect();
    let expected = [
        "probe.quorum",
        "probe.confirm_interval:",
        "health.sensitivity:",
        "health.loss.exit:",
        "routing.mode:",
        "uplink.tier:",
        "probe.quota",
    ];
    assert_eq!(places, expected.map(Some), "{found:#?}");
}

/// The first cells of the rows of the tables in a text, without their heads.
fn first_cells(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells
        .filter(|cell| cell.starts_with('`') || cell.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_and_each_of_its_options_is_described() {
    let text = Document::read("docs/commands.md").text;
    let rows: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let mut program = cli::program();
    program.build();
    let mut missing = Vec::new();
    for command in program.get_subcommands() {
        let name = format!("| `{}", command.get_name());
        let of_command = rows.iter().filter(|row| {
            row.strip_prefix(&name)
                .is_some_and(|rest| rest.starts_with(['`', ' ']))
        });
        let described: String = of_command
            .map(|row| row.split(" | ").next().unwrap_or_default())
            .collect();
        if described.is_empty() {
            missing.push(name.clone());
        }
        // What every command has is described once.
        let own = command
            .get_arguments()
            .filter_map(|argument| argument.get_long());
        for option in own.filter(|option| !matches!(*option, "help" | "config" | "socket")) {
            if !described.contains(&format!("--{option}")) {
                missing.push(format!("{name} --{option}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    let names: BTreeSet<_> = program
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    let strange: Vec<_> = rows
        .iter()
        .filter_map(|row| row.split(['`', ' ']).nth(2))
        .filter(|name| !names.contains(name) && !name.starts_with('-'))
        .collect();
    assert_eq!(strange, Vec::<&str>::new(), "no such commands");
}

/// The cells of each row of the table under a heading.
fn rows(document: &Document, heading: &str) -> Vec<Vec<String>> {
    let text = document.under(heading);
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = |row: &str| {
        row.split(" | ")
            .map(|cell| cell.trim_matches(['`', ' ', '|']).to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn every_event_is_described_with_its_level_and_what_to_do() {
    let described = rows(&Document::read("docs/operations.md"), "## Events");
    let described: BTreeMap<_, _> = described
        .iter()
        .map(|row| (&*row[0], (&*row[1], row.len())))
        .collect();
    let known = EventKind::ALL.iter().map(|kind| {
        let level = match kind.delivery().severity {
            Severity::Error => "error",
            Severity::Warning => "warn",
            Severity::Info => "info",
        };
        (kind.name(), (level, 4))
    });
    assert_eq!(described, known.collect());
}

#[test]
fn every_state_is_described_with_what_to_do() {
    let described = rows(&Document::read("docs/operations.md"), "## States");
    let described: Vec<_> = described.iter().map(|row| (&*row[0], row.len())).collect();
    let known = State::ALL.map(|state| (state.as_str(), 3));
    assert_eq!(described, known);
}

#[test]
fn the_exit_codes_described_are_those_of_the_help() {
    let reference = Document::read("docs/files.md");
    let described = first_cells(&reference.under("## Exit status"));
    let mut help = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
    let help = help.arg("--help").output().expect("the help").stdout;
    let help = String::from_utf8(help).expect("a text");
    let (_, codes) = help.split_once("Exit codes: ").expect("the codes");
    let codes = codes.split(", ").filter_map(|code| code.split(' ').next());
    let codes: Vec<_> = codes.filter(|code| code.parse::<u8>().is_ok()).collect();
    assert_eq!(described, codes);
}

/// The files of the program itself.
fn source() -> String {
    fn read(directory: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(directory).expect("the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("lab") {
                read(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                *text += &std::fs::read_to_string(&path).expect("a file");
            }
        }
    }
    let mut text = String::new();
    read(&super::root().join("src"), &mut text);
    text
}

#[test]
fn every_variable_of_the_environment_and_every_signal_is_described() {
    let source = source();
    let name = |text: &str| -> String {
        let is_part = |c: &char| c.is_ascii_uppercase() || *c == '_';
        text.chars().take_while(is_part).collect()
    };
    let begins = [
        "env::var(\"",
        "env::var_os(\"",
        "number(\"WATCHDOG",
        "\"UPLINKD_",
    ];
    let mut used: BTreeSet<String> = BTreeSet::new();
    for begin in begins {
        let quoted = begin.rsplit('"').next().unwrap_or_default();
        let rest = source.split(begin).skip(1);
        used.extend(rest.map(|text| format!("{quoted}{}", name(text))));
    }
    let is_inner = |name: &String| name.ends_with('_') || name.contains("LAB");
    used.retain(|name| !is_inner(name) && !matches!(&**name, "CI" | "PATH"));
    assert!(used.len() > 10, "{used:?}");
    let reference = Document::read("docs/files.md");
    let environment = reference.under("## Environment");
    let described: BTreeSet<_> = code(&environment).into_iter().map(str::to_owned).collect();
    let missing: Vec<_> = used.difference(&described).collect();
    assert_eq!(missing, Vec::<&String>::new());

    let signals = [
        ("terminate", "SIGTERM"),
        ("interrupt", "SIGINT"),
        ("hangup", "SIGHUP"),
        ("user_defined1", "SIGUSR1"),
        ("user_defined2", "SIGUSR2"),
        ("quit", "SIGQUIT"),
    ];
    let handled = signals
        .iter()
        .filter(|(kind, _)| source.contains(&format!("SignalKind::{kind}()")))
        .map(|(_, signal)| *signal);
    let text = reference.under("## Signals");
    let described = code(&text);
    let missing: Vec<_> = handled
        .clone()
        .filter(|signal| !described.contains(signal))
        .collect();
    assert!(handled.count() > 3);
    assert_eq!(missing, Vec::<&str>::new());
}
