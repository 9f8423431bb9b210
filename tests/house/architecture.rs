//! The picture of the crate, held against the source.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom: a module of the crate on the left may name what stands on the right and
/// what is below it, and nothing else. Every module has a line.
const IMPORTS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "alert",
            "config",
            "control",
            "daemon",
            "engine::action",
            "engine::budget",
            "engine::command",
            "engine::event",
            "engine::input",
            "engine::settings",
            "engine::state",
            "engine::status",
            "history",
            "kernel",
            "lab",
            "recording",
            "replay",
            "report",
            "routing",
            "samples",
            "units",
        ],
    ),
    (
        "daemon",
        &[
            "alert",
            "allowances",
            "choices",
            "config",
            "control",
            "engine",
            "history",
            "kernel",
            "memory",
            "metrics",
            "probe",
            "recorder",
            "report",
            "routing",
            "samples",
            "state_file",
            "units",
            "web",
        ],
    ),
    (
        "lab",
        &[
            "config",
            "control",
            "engine::command",
            "engine::event",
            "engine::score",
            "engine::state",
            "engine::status",
            "kernel::netfilter",
            "units",
        ],
    ),
    (
        "alert",
        &["config", "engine::event", "engine::state", "units"],
    ),
    (
        "control",
        &[
            "engine::command",
            "engine::event",
            "engine::status",
            "units",
            "unix_socket",
        ],
    ),
    (
        "metrics",
        &[
            "engine::action",
            "engine::event",
            "engine::input",
            "engine::state",
            "engine::status",
            "units",
        ],
    ),
    ("web", &["unix_socket"]),
    ("unix_socket", &[]),
    ("kernel", &["routing", "units"]),
    (
        "probe",
        &["engine::action", "engine::input", "routing", "units"],
    ),
    (
        "config",
        &["engine::budget", "engine::settings", "routing", "units"],
    ),
    ("allowances", &["engine::allowance", "state_file", "units"]),
    ("choices", &["engine::status", "state_file", "units"]),
    ("history", &["engine::event", "state_file", "units"]),
    (
        "memory",
        &["engine::input", "engine::loss", "state_file", "units"],
    ),
    ("state_file", &[]),
    ("recorder", &["engine::input", "engine::settings", "units"]),
    ("recording", &["engine", "recorder", "replay", "units"]),
    ("replay", &["engine", "routing", "units"]),
    (
        "report",
        &[
            "engine::event",
            "engine::settings",
            "engine::state",
            "engine::status",
            "routing",
            "samples",
            "units",
        ],
    ),
    (
        "samples",
        &[
            "engine::state",
            "engine::status",
            "metrics",
            "state_file",
            "units",
        ],
    ),
    ("engine", &["routing", "units"]),
    ("routing", &["units"]),
    ("units", &[]),
];

/// Built for tests alone: how many cases of a property there are.
const TEST_CASES: &str = "cases::cases";

/// What has no place in a part of the source: the part, what must not be there, why.
const BANISHED: &[(&str, &[&str], &str)] = &[
    ("src/engine", OUTSIDE_WORLD, "decisions are pure"),
    ("src/routing", OUTSIDE_WORLD, "decisions are pure"),
    (
        "src/metrics",
        &["tokio", "socket2", "std::fs", "std::io", "Instant"],
        "a text is made of values only",
    ),
    (
        "src/replay",
        &["tokio", "socket2", "std::net::"],
        "a recording replays in virtual time",
    ),
    (
        "src/config",
        &["tokio", "socket2", "netlink", "Instant"],
        "parsing needs a text only",
    ),
    (
        "src/units",
        &["tokio", "socket2", "netlink", "std::fs", "Instant"],
        "units are plain",
    ),
    ("src/probe", &["netlink"], "probes know nothing of routes"),
    (
        "src/control",
        &["netlink"],
        "the control socket knows nothing of the kernel",
    ),
    (
        "src/cli",
        &["netlink", "tokio"],
        "the command line speaks to the agent",
    ),
    (
        "src/daemon",
        &["netlink_", "socket2"],
        "the daemon speaks to the kernel's side",
    ),
];

const OUTSIDE_WORLD: &[&str] = &[
    "tokio",
    "socket2",
    "nix::",
    "libc",
    "netlink_",
    "surge_ping",
    "Instant",
    "SystemTime::now",
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixDatagram",
    "RandomState",
    "HashMap",
    "HashSet",
];

/// The only places that may name something: the name, the places, why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    (
        "netlink_packet_route",
        &["src/kernel/message", "src/lab/"],
        "one place knows the layout of netlink messages",
    ),
    (
        "rtnetlink",
        &["src/kernel/", "src/lab/"],
        "one part speaks to the kernel",
    ),
    ("surge_ping", &["src/probe/icmp.rs"], "one file pings"),
    (
        "unsafe_code",
        &[
            "src/alert/clock.rs",
            "src/alert/hook_run.rs",
            "src/cli/output/terminal.rs",
            "src/daemon/alarm.rs",
            "src/lab/sys.rs",
            "src/probe/icmp.rs",
        ],
        "each unsafe block is known by its file",
    ),
    (
        "clippy::disallowed_methods",
        &[
            "src/daemon/clock.rs",
            "src/alert/clock.rs",
            "src/cli/history.rs",
            "src/cli/status.rs",
            "src/probe/socket.rs",
            "src/lab/",
        ],
        "the clock is read in these places only",
    ),
];

#[test]
fn each_module_imports_only_what_the_table_allows() {
    let mut strangers = Vec::new();
    for source in sources() {
        let module = source.module();
        let allowed = IMPORTS.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("`{module}` has no line in the table"));
        for (line, import) in source.imports() {
            let is_own = import == module || import.starts_with(&format!("{module}::"));
            let is_allowed =
                |prefix: &&str| import == **prefix || import.starts_with(&format!("{prefix}::"));
            let is_for_tests = import == TEST_CASES;
            if !is_own && !is_for_tests && !allowed.iter().any(is_allowed) {
                strangers.push(format!("{}:{line}: {import}", source.path));
            }
        }
    }
    assert!(
        strangers.is_empty(),
        "not allowed:\n{}",
        strangers.join("\n")
    );
}

#[test]
fn every_module_of_the_table_exists() {
    let sources = sources();
    for (module, _) in IMPORTS {
        let is_there = sources.iter().any(|source| source.module() == *module);
        assert!(is_there, "there is no module `{module}`");
    }
}

#[test]
fn no_part_names_what_has_no_place_in_it() {
    let mut strangers = Vec::new();
    for source in sources() {
        for (part, names, why) in BANISHED {
            if !source.is_under(part) {
                continue;
            }
            for (line, code) in source.code() {
                for name in names.iter().filter(|name| code.contains(**name)) {
                    strangers.push(format!("{}:{line}: {name}: {why}", source.path));
                }
            }
        }
    }
    assert!(
        strangers.is_empty(),
        "out of place:\n{}",
        strangers.join("\n")
    );
}

#[test]
fn what_is_confined_stays_in_its_place() {
    let mut strangers = Vec::new();
    for source in sources() {
        for (name, places, why) in CONFINED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for (line, _) in source.code().filter(|(_, code)| code.contains(name)) {
                strangers.push(format!("{}:{line}: {name}: {why}", source.path));
            }
        }
    }
    assert!(
        strangers.is_empty(),
        "out of place:\n{}",
        strangers.join("\n")
    );
}

/// The same of what is shipped; tests may.
const CONFINED_OF_SHIPPED: &[(&str, &[&str], &str)] = &[
    (
        "serde_json::from_",
        &["src/units/json.rs", "src/lab/"],
        "each reader of JSON is a copy of what reads every type",
    ),
    (
        "serde_json::Deserializer",
        &[],
        "each reader of JSON is a copy of what reads every type",
    ),
    (
        "create_new(",
        &["src/state_file.rs", "src/lab/"],
        "one place replaces the files of the agent",
    ),
    (
        "O_NOFOLLOW",
        &["src/state_file.rs", "src/lab/"],
        "one place opens the files of the agent",
    ),
];

#[test]
fn json_is_read_and_files_are_replaced_in_one_place_each() {
    let mut strangers = Vec::new();
    for source in sources() {
        let shipped = source.shipped();
        for (name, places, why) in CONFINED_OF_SHIPPED {
            let is_tests = source.path.ends_with("/tests.rs");
            let is_place = is_tests || places.iter().any(|place| source.path.starts_with(place));
            if !is_place && shipped.contains(name) {
                strangers.push(format!("{}: {name}: {why}", source.path));
            }
        }
    }
    assert!(
        strangers.is_empty(),
        "out of place:\n{}",
        strangers.join("\n")
    );
}

#[test]
fn main_is_under_40_lines() {
    let main = fs::read_to_string(root().join("src/main.rs")).expect("src/main.rs");
    assert!(main.lines().count() < 40);
}

#[test]
fn no_file_is_named_for_everything() {
    const TOO_GENERAL: &[&str] = &[
        "manager", "utils", "util", "helpers", "common", "misc", "handlers",
    ];
    for source in sources() {
        let name = Path::new(&source.path)
            .file_stem()
            .and_then(|name| name.to_str());
        assert!(
            !TOO_GENERAL.contains(&name.expect("a name")),
            "{}",
            source.path
        );
    }
}

/// A file of the source.
pub(crate) struct Source {
    /// Relative to the root, such as `src/engine/input.rs`.
    pub(crate) path: String,
    text: String,
}

impl Source {
    /// The module of the crate that it belongs to: `engine` for `src/engine/input.rs`.
    fn module(&self) -> &str {
        let path = self.path.trim_start_matches("src/");
        path.split('/')
            .next()
            .unwrap_or(path)
            .trim_end_matches(".rs")
    }

    /// It is this module or below it.
    fn is_under(&self, part: &str) -> bool {
        self.path.starts_with(&format!("{part}/")) || self.path == format!("{part}.rs")
    }

    /// What is shipped of it: all before its tests.
    pub(crate) fn shipped(&self) -> &str {
        let tests = ["mod ", "pub(super) mod "].map(|module| format!("\n#[cfg(test)]\n{module}"));
        let start = tests.iter().filter_map(|tests| self.text.find(tests)).min();
        let shipped = Some(&self.text[..start.unwrap_or(self.text.len())]);
        shipped
            .filter(|_| !self.path.ends_with("/tests.rs"))
            .unwrap_or_default()
    }

    /// The lines with their numbers, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..);
        lines.map(|(line, number)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// Every path that begins at the root of the crate, as `engine::input`, with its line.
    fn imports(&self) -> Vec<(usize, String)> {
        let root = if self.module() == "main" {
            "uplinkd::"
        } else {
            "crate::"
        };
        let mut imports = Vec::new();
        for (number, line) in self.code() {
            for (at, _) in line.match_indices(root) {
                imports.extend(paths(&line[at + root.len()..]).map(|path| (number, path)));
            }
        }
        imports
    }
}

/// `engine::input` from `engine::input::{Event, Input};`, and each of `{config, control}`.
fn paths(text: &str) -> impl Iterator<Item = String> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let group = text
        .strip_prefix('{')
        .map_or(text, |group| group.split('}').next().unwrap_or(""));
    let has_group = text.starts_with('{');
    let items = group
        .split(", ")
        .take(if has_group { usize::MAX } else { 1 });
    let path = move |item: &str| {
        let path: String = item.chars().take_while(|c| is_of_path(*c)).collect();
        path.trim_end_matches(':').to_owned()
    };
    items.map(path).collect::<Vec<_>>().into_iter()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the source but the list of modules.
pub(crate) fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    collect(&root().join("src"), &mut sources);
    sources.retain(|source| source.path != "src/lib.rs");
    assert!(sources.len() > 20, "the source is elsewhere");
    sources
}

fn collect(directory: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(directory).expect("a directory of the source");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root()).expect("a path below the root");
            sources.push(Source {
                path: relative.to_str().expect("a path in UTF-8").to_owned(),
                text: fs::read_to_string(&path).expect("a file of the source"),
            });
        }
    }
}

#[test]
fn a_path_is_read_from_any_form_of_import() {
    let read = |text| paths(text).collect::<Vec<_>>();
    assert_eq!(read("engine::input::{Event, Input};"), ["engine::input"]);
    assert_eq!(read("config::Config) {"), ["config::Config"]);
    assert_eq!(
        read("{config, control::Call};"),
        ["config", "control::Call"]
    );
}
