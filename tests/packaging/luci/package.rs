//! The package: what it installs, what its users may do, and what can be translated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io;
use std::process::Command;

use serde_json::{Value, json};

use super::{APP, files, has_node, node, sources};
use crate::machine;
use crate::metrics::root;

/// The most that the package may take, with gzip.
const MOST_BYTES: u64 = 40_000;

fn json_in(path: &str) -> Value {
    let text = fs::read_to_string(root(APP).join(path)).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_package_is_small() {
    if !machine::has("tar", &["--version"]) {
        return;
    }
    let desk = tempfile::tempdir().expect("a directory");
    let archive = desk.path().join("app.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("czf").arg(&archive).arg("-C").arg(root(APP));
    let done = tar.args(["htdocs", "root"]).status().expect("tar");
    assert!(done.success());
    let size = fs::metadata(archive).expect("the archive").len();
    let figure = format!("luci-app-uplinkd: {size} bytes with gzip\n");
    io::Write::write_all(&mut io::stderr(), figure.as_bytes()).unwrap_or(());
    assert!(size > 1_000 && size < MOST_BYTES, "{size}");
}

#[test]
fn a_login_that_may_only_read_gets_no_command_and_no_login_gets_a_program_or_a_file() {
    let acl = json_in("root/usr/share/rpcd/acl.d/luci-app-uplinkd.json");
    let own = &acl["luci-app-uplinkd"];
    let expected = json!({
        "description": own["description"],
        "read": { "ubus": { "uplinkd": ["status", "history", "day"] }, "uci": ["uplinkd"] },
        "write": { "ubus": { "uplinkd": ["switch", "auto", "disable", "enable", "drill"] }, "uci": ["uplinkd"] },
    });
    assert_eq!(acl, json!({ "luci-app-uplinkd": expected }));
    // What a script calls is what it may.
    let all: String = sources().values().filter_map(Value::as_str).collect();
    let called: BTreeSet<_> = all
        .split("object: 'uplinkd', method: '")
        .skip(1)
        .filter_map(|rest| rest.split('\'').next())
        .collect();
    let methods = |access: &str| {
        own[access]["ubus"]["uplinkd"]
            .as_array()
            .expect("a list")
            .clone()
    };
    let granted: Vec<_> = [methods("read"), methods("write")].concat();
    let granted: BTreeSet<_> = granted.iter().filter_map(Value::as_str).collect();
    assert_eq!(called, granted);
    assert_eq!(all.matches("rpc.declare(").count(), granted.len());
}

#[test]
fn every_page_of_the_menu_is_there_and_asks_for_the_acl() {
    let menu = json_in("root/usr/share/luci/menu.d/luci-app-uplinkd.json");
    let modules = sources();
    let mut pages = 0;
    for (path, entry) in menu.as_object().expect("entries") {
        if entry["action"]["type"] == "view" {
            let page = entry["action"]["path"].as_str().expect("a path");
            assert!(
                modules.contains_key(&format!("view.{}", page.replace('/', "."))),
                "{page}"
            );
            pages += 1;
        }
        let is_below = menu
            .as_object()
            .expect("entries")
            .keys()
            .any(|other| path.starts_with(&format!("{other}/")));
        assert!(
            is_below || entry["depends"]["acl"] == json!(["luci-app-uplinkd"]),
            "{path}"
        );
    }
    let views = modules
        .keys()
        .filter(|name| name.starts_with("view.uplinkd."))
        .count();
    assert_eq!(pages, views);
}

/// Is told by node what each module is: an error of its syntax, and the names that it uses without declaring them.
const LINT: &str = r"
const { sources } = JSON.parse(require('fs').readFileSync(0));
const told = {};
for (const [ name, text ] of Object.entries(sources)) {
	const as = [ ...text.matchAll(/^'require ([^ ']+)(?: as ([^']+))?';$/gm) ].map(([ , path, as ]) => as ?? path);
	const unused = as.filter(one => text.split(new RegExp(`\\b${one}\\b`)).length < 3);
	try {
		new Function(...as, text);
		told[name] = unused.map(one => `${one} is not used`);
	}
	catch (error) {
		told[name] = [ String(error) ];
	}
}
console.log(JSON.stringify(told));
";

#[test]
fn the_scripts_are_strict_parse_and_hold_nothing_that_turns_text_into_html_or_code() {
    const BANNED: [&str; 9] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "'require fs'",
        "\tvar ",
        " == ",
    ];
    let modules = sources();
    assert!(modules.len() > 8, "{}", modules.len());
    for (name, text) in &modules {
        let text = text.as_str().expect("a text");
        assert!(text.starts_with("'use strict';\n"), "{name}");
        for word in BANNED {
            assert!(!text.contains(word), "{name}: {word}");
        }
        let mut lines = text.lines().filter(|line| {
            line.starts_with(' ') || line.ends_with([' ', '\t']) || line.len() > 170
        });
        assert!(lines.all(|line| line.starts_with(" *")), "{name}: its form");
    }
    if has_node() {
        for (name, told) in node(LINT, &json!({ "sources": modules }))
            .as_object()
            .expect("modules")
        {
            assert_eq!(*told, json!([]), "{name}");
        }
    }
}

/// The texts in `_('…')` of a script.
fn texts(script: &str) -> impl Iterator<Item = String> {
    script.split("_('").skip(1).map(|rest| {
        let mut text = String::new();
        let mut letters = rest.chars();
        while let Some(letter) = letters.next().filter(|letter| *letter != '\'') {
            let is_escape = letter == '\\';
            text.extend(if is_escape {
                letters.next()
            } else {
                Some(letter)
            });
        }
        text
    })
}

/// `GOLDEN=write` writes it anew.
#[test]
fn every_text_is_in_the_template_for_translators() {
    let mut places = BTreeMap::<String, BTreeSet<String>>::new();
    let app = root(APP);
    for path in files(&app) {
        let name = path
            .strip_prefix(&app)
            .expect("below it")
            .display()
            .to_string();
        let content = fs::read_to_string(&path).expect("a text");
        let is_script = path.extension().is_some_and(|extension| extension == "js");
        let found: Vec<String> = if is_script {
            texts(&content).collect()
        } else if name.starts_with("root/") {
            let value: Value = serde_json::from_str(&content).expect("JSON");
            let entries = value.as_object().expect("entries").values();
            let named = entries.flat_map(|entry| [&entry["title"], &entry["description"]]);
            named.filter_map(Value::as_str).map(str::to_owned).collect()
        } else {
            continue;
        };
        for text in found {
            places
                .entry(text)
                .or_default()
                .insert(format!("{APP}/{name}"));
        }
    }
    assert!(places.len() > 150, "{}", places.len());
    let mut template =
        "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\"\n".to_owned();
    for (text, files) in &places {
        template.push('\n');
        for file in files {
            let _ = writeln!(template, "#: {file}");
        }
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(template, "msgid \"{text}\"\nmsgstr \"\"");
    }
    let kept = app.join("po/templates/uplinkd.pot");
    if std::env::var_os("GOLDEN").is_some() {
        fs::write(&kept, &template).expect("it is written");
    }
    assert_eq!(fs::read_to_string(kept).expect("the template"), template);
}

#[test]
fn the_pages_are_of_the_version_of_the_program() {
    let makefile = fs::read_to_string(root(APP).join("Makefile")).expect("the Makefile");
    assert!(makefile.contains(concat!("PKG_VERSION:=", env!("CARGO_PKG_VERSION"), "\n")));
}
