//! The pages for LuCI: their forms against the parser, their texts, what they may do, and how they look to a browser.
//!
//! The scripts run in node and in Chromium on a small loader of ours (`luci/loader.js`), which stands in for LuCI. The
//! real LuCI, rpcd and uhttpd are not in any Debian.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::machine;
use crate::metrics::root;

mod browser;
mod forms;
mod package;

const APP: &str = "openwrt/luci-app-uplinkd";
const LOADER: &str = include_str!("luci/loader.js");
const VERDICTS: &str = include_str!("luci/verdicts.js");

/// Every file of the package below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The modules by the names by which they are required.
fn sources() -> Map<String, Value> {
    let resources = root(APP).join("htdocs/luci-static/resources");
    let module = |path: PathBuf| {
        let name = path.strip_prefix(&resources).expect("below it");
        let name = name
            .with_extension("")
            .display()
            .to_string()
            .replace('/', ".");
        let text = fs::read_to_string(path).expect("a script");
        (name, Value::from(text))
    };
    files(&resources).into_iter().map(module).collect()
}

/// What node makes of a program that gets `input` on its standard input.
fn node(program: &str, input: &Value) -> Value {
    let mut node = Command::new("node");
    let node = node
        .args(["-e", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut running = node.spawn().expect("node");
    let mut pipe = running.stdin.take().expect("a pipe");
    pipe.write_all(input.to_string().as_bytes())
        .expect("it reads");
    drop(pipe);
    let told = running.wait_with_output().expect("node");
    assert!(told.status.success());
    serde_json::from_slice(&told.stdout).expect("JSON")
}

/// What the forms have, and their verdict on each case: a type of section, its options, and those of `globals`.
fn ask_forms(cases: &[Value]) -> Value {
    let program = [LOADER, VERDICTS].concat();
    let names = json!({ "uplink": ["fiber", "lte"], "group": ["voice"] });
    node(
        &program,
        &json!({ "sources": sources(), "cases": cases, "names": names }),
    )
}

fn has_node() -> bool {
    machine::has("node", &["--version"])
}

fn text<'a>(form: &'a Value, key: &str) -> &'a str {
    form[key].as_str().unwrap_or_default()
}
