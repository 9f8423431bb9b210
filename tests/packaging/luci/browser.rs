//! The pages in Chromium, on the loader: what they show, ask and call.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{LOADER, ask_forms, has_node, sources, text};
use crate::machine;

const SCENES: &str = include_str!("browser.js");

/// What came of every scene, run once; none where there is no browser.
fn told() -> Option<&'static Value> {
    static TOLD: OnceLock<Value> = OnceLock::new();
    machine::has("chromium", &["--version"]).then(|| TOLD.get_or_init(run))
}

fn run() -> Value {
    let desk = tempfile::tempdir().expect("a directory");
    let page = desk.path().join("page.html");
    // No tag of a module ends the script.
    let modules = Value::from(sources()).to_string().replace("</", "<\\/");
    let html = format!(
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"></head><body><div id=\"view\"></div><pre id=\"told\"></pre>\n\
         <script>{LOADER}</script><script>const sources = {modules};</script><script>{SCENES}</script></body></html>"
    );
    fs::write(&page, html).expect("it is written");
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=20000",
    ]);
    chromium.arg(format!(
        "--user-data-dir={}",
        desk.path().join("profile").display()
    ));
    let shown = chromium
        .arg("--dump-dom")
        .arg(page)
        .output()
        .expect("chromium");
    let shown = String::from_utf8(shown.stdout).expect("a text");
    let (_, told) = shown.split_once("<pre id=\"told\">").expect("the page");
    let (told, _) = told.split_once("</pre>").expect("its end");
    let told = told
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&nbsp;", "\u{a0}")
        .replace("&amp;", "&");
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert!(told["error"].is_null(), "{}", text(&told, "error"));
    told
}

#[test]
fn the_overview_box_has_the_state_of_each_uplink_in_colour_and_word_and_what_it_is_about() {
    let Some(told) = told() else { return };
    let overview = &told["overview"];
    assert_eq!(overview["headline"], "Carrying: fiber");
    let heads = json!([
        "Uplink",
        "State",
        "Carries",
        "Round trip",
        "Loss",
        "Since",
        "Reason"
    ]);
    assert_eq!(overview["rows"][0], heads);
    let row = |place: usize| {
        let mut row = overview["rows"][place].as_array().expect("cells").clone();
        assert!(text_of(&row.remove(5)).contains("2026"), "since when");
        Value::from(row)
    };
    assert_eq!(
        row(1),
        json!(["fiber", "up", "carries", "12.1 ms", "0.0 %", "answers"])
    );
    assert_eq!(
        row(2),
        json!(["lte", "down", "–", "–", "100.0 %", "does not answer"])
    );
    let badges = &overview["badges"];
    assert_ne!(badges[0][1], badges[1][1], "the colours");
    assert_eq!(overview["absent"], true, "no box where no agent answers");
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn a_button_asks_first_and_acts_when_that_is_confirmed() {
    let Some(told) = told() else { return };
    let commanded = &told["commanded"];
    let question = "Send the traffic through lte until \"Automatic\" is chosen?";
    assert!(
        text(commanded, "question").starts_with(question),
        "{commanded}"
    );
    assert_eq!(commanded["confirm"], "Switch");
    assert_eq!(commanded["before"], 0);
    assert_eq!(commanded["cancelled"], json!([null, 0]));
    let commands = json!([
        ["uplinkd", "switch", {"uplink": "lte"}],
        ["uplinkd", "auto", {}],
        ["uplinkd", "drill", {"uplink": "lte", "for": "10s"}],
        ["uplinkd", "drill", {"uplink": "lte", "for": "10s"}],
        ["uplinkd", "drill", {"uplink": "lte", "for": "10s"}],
    ]);
    assert_eq!(commanded["commands"], commands);
    let notes = json!([
        ["lte is down", "warning"],
        ["the agent chooses", "info"],
        ["failed: 3 s", "warning"],
        ["passed: 1 s", "info"],
        ["Object not found", "warning"]
    ]);
    assert_eq!(commanded["notes"], notes);
}

#[test]
fn who_may_only_read_sees_and_cannot_act() {
    let Some(told) = told() else { return };
    let read_only = &told["readOnly"];
    assert!(text(read_only, "shown").contains("Carrying: fiber"));
    assert_eq!(read_only["buttons"], 7);
    assert_eq!(read_only["disabled"], read_only["buttons"]);
    assert_eq!(
        (&read_only["commands"], &read_only["modal"]),
        (&json!([]), &Value::Null)
    );
}

#[test]
fn no_name_reason_or_value_of_the_file_is_taken_for_html() {
    let Some(told) = told() else { return };
    let hostile = told["hostile"].as_object().expect("pages");
    assert_eq!(hostile.len(), 6);
    for (page, seen) in hostile {
        let is_form =
            page.ends_with("general") || page.ends_with("uplinks") || page.ends_with("groups");
        assert_eq!(
            (&seen["hit"], &seen["images"]),
            (&json!(false), &json!(0)),
            "{page}"
        );
        assert!(is_form || seen["shown"] == true, "{page} shows it as text");
    }
}

#[test]
fn a_day_is_drawn_with_its_outages_and_with_a_gap_where_nothing_was_measured() {
    let Some(told) = told() else { return };
    let pictures = &told["pictures"];
    let fiber = &pictures["fiber"];
    assert_eq!(
        fiber["title"],
        "fiber: round trips up to 40.0 ms, loss up to 100.0 %"
    );
    let boxes = json!([
        ["3", "14", "#3f9d63"],
        ["0", "20", "#c43c1c"],
        ["6", "8", "#d69a1f"],
        ["22", "3", "currentColor"],
        ["22", "3", "currentColor"],
        ["90", "22", "#c43c1c"],
        ["111", "1", "#c43c1c"],
    ]);
    assert_eq!(fiber["boxes"], boxes);
    assert_eq!(fiber["paths"], json!(["MM", "MM"]));
    assert_eq!(pictures["lte"]["boxes"], json!([["9", "2", "#9a9a9a"]]));
    assert_eq!(
        pictures["past"],
        json!([
            "switch fiber → lte last",
            "uplink.down fiber up → down first"
        ])
    );
    assert_eq!(pictures["lte"]["title"], "lte: nothing was measured");
    assert_eq!(pictures["polled"], 1);
}

#[test]
fn the_forms_are_on_the_pages_and_say_what_is_wrong_beside_other_fields() {
    let Some(told) = told() else { return };
    if !has_node() {
        return;
    }
    let forms = &told["forms"];
    let known = ask_forms(&[]);
    let names = |kind: &str| {
        let of_kind = known["forms"].as_array().expect("a list").iter();
        let mut names: Vec<_> = of_kind
            .filter(|form| text(form, "type") == kind)
            .map(|form| text(form, "name"))
            .collect();
        names.sort_unstable();
        json!(names)
    };
    assert_eq!(
        forms["begun"],
        json!([{".type": "globals", ".name": "globals"}])
    );
    let general = &forms["general"];
    assert_eq!(general["names"], json!({"globals": names("globals")}));
    assert_eq!(general["tabs"].as_array().map(Vec::len), Some(6));
    assert_eq!(general["bad"], "Must be less than \"Loss: degraded from\".");
    assert_eq!(general["good"], true);
    assert_eq!(general["word"], "Must be 50ms to 1h.");
    let target = "Must be an address, or a target with a scheme such as tcp://HOST:PORT.";
    assert_eq!(general["target"], target);
    assert_eq!(general["none"], "none");
    let uplinks = &forms["uplinks"];
    assert_eq!(uplinks["names"], json!({"uplink": names("uplink")}));
    assert_eq!(uplinks["networks"], json!(["lan", "wan"]));
    assert_eq!(uplinks["placeholder"], "3s", "what holds for all uplinks");
    assert_eq!(
        uplinks["columns"], "wan–111hot",
        "the default where nothing is set"
    );
    assert_eq!(uplinks["metered"], json!(["1", null]));
    assert_eq!(uplinks["none"][1], "Choose a network or a device.");
    assert_eq!(uplinks["taken"], "There is another of this name.");
    assert_eq!(uplinks["empty"], "Must not be empty.");
    let groups = &forms["groups"];
    assert_eq!(
        groups["names"],
        json!({"group": names("group"), "rule": names("rule")})
    );
    assert_eq!(
        (&groups["uplinks"], &groups["group"]),
        (&json!(["fiber", "lte"]), &json!(["voice"]))
    );
    assert_eq!(groups["stranger"], "There is none of this name.");
    assert_eq!(
        groups["port"],
        "Needs a protocol that has ports: tcp, udp, sctp or dccp."
    );
    assert_eq!(
        (&groups["protocol"], &groups["portAfter"]),
        (&json!(true), &json!(true))
    );
}
