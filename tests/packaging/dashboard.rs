//! The dashboard for Grafana: what can be said of it without Prometheus. tests/kernel runs its queries.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use uplinkd::engine::state::State;

use crate::metrics::{eventful, kinds, root};

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// The colours of Okabe and Ito, which the colour-blind tell apart, and a grey.
const COLOURS: [&str; 9] = [
    "#009E73",
    "#0072B2",
    "#56B4E9",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#F0E442",
    "#999999",
    "transparent",
];

fn dashboard() -> Value {
    let text = fs::read_to_string(root("config/grafana/uplinkd.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every value of this key, wherever it stands.
fn all<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(fields) => {
            let inner = fields.values().flat_map(|inner| all(inner, key));
            fields.get(key).into_iter().chain(inner).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| all(item, key)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The names of metrics in all queries.
fn named(dashboard: &Value) -> BTreeSet<String> {
    let queries = all(dashboard, "expr").into_iter();
    let queries = queries.chain(all(dashboard, "query"));
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = queries
        .filter_map(Value::as_str)
        .flat_map(|query| query.split(move |c: char| !is_of_name(c)));
    let names = words.filter(|word| word.starts_with("uplinkd_"));
    names
        .map(|name| name.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn it_can_be_imported_beside_others_and_asks_the_chosen_data_source_only() {
    let dashboard = dashboard();
    assert_eq!(dashboard["id"], Value::Null);
    assert_eq!(dashboard["uid"], "uplinkd");
    let variables = list(&dashboard["templating"]["list"]).iter();
    let variables: Vec<_> = variables.map(|variable| &variable["name"]).collect();
    assert_eq!(variables, ["datasource", "instance", "uplink"]);
    let chosen = json!({ "type": "prometheus", "uid": "${datasource}" });
    for source in all(&dashboard, "datasource") {
        assert_eq!(*source, chosen);
    }
    for panel in list(&dashboard["panels"]) {
        let asks = panel["type"] != "row";
        assert_eq!(panel["datasource"] == chosen, asks, "{panel}");
        assert_eq!(!list(&panel["targets"]).is_empty(), asks, "{panel}");
    }
}

#[test]
fn no_panel_overlaps_another_or_leaves_the_grid_and_no_row_has_a_gap() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        assert!(
            ids.insert(panel["id"].as_u64().expect("a number")),
            "{panel}"
        );
        let side = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        let (columns, rows) = (
            side("x")..side("x") + side("w"),
            side("y")..side("y") + side("h"),
        );
        assert!(!columns.is_empty() && !rows.is_empty(), "{panel}");
        assert!(columns.end <= COLUMNS, "{panel}");
        for row in rows {
            for column in columns.clone() {
                assert!(cells.insert((row, column)), "{panel}");
            }
        }
    }
    let (last, _) = *cells.last().expect("panels");
    let area = usize::try_from((last + 1) * COLUMNS).expect("a small number");
    assert_eq!(cells.len(), area);
}

#[test]
fn queries_name_metrics_that_there_are_and_nearly_all_of_them() {
    let known: BTreeSet<_> = kinds(&eventful())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let named = named(&dashboard());
    let unknown: Vec<_> = named.difference(&known).collect();
    assert_eq!(unknown, Vec::<&String>::new());
    // Alerts are on these.
    let unseen: Vec<_> = known.difference(&named).map(String::as_str).collect();
    let expected = [
        "uplinkd_config_last_reload_success_timestamp_seconds",
        "uplinkd_config_last_reload_successful",
        "uplinkd_netlink_overruns_total",
        "uplinkd_uplink_suppressed",
    ];
    assert_eq!(unseen, expected);
}

#[test]
fn each_state_has_a_number_a_word_and_a_colour_of_its_own() {
    let dashboard = dashboard();
    let mut panels = list(&dashboard["panels"]).iter();
    let panel = panels.find(|panel| panel["title"] == "State of each uplink");
    let panel = panel.expect("the panel");
    let query = panel["targets"][0]["expr"].as_str().expect("a query");
    let mapping = &panel["fieldConfig"]["defaults"]["mappings"][0]["options"];
    let mapping = mapping.as_object().expect("a mapping");
    let states = State::ALL;
    assert_eq!(mapping.len(), states.len());
    for state in states {
        let mut numbers = mapping.iter();
        let number = numbers.find(|(_, shown)| shown["text"] == state.as_str());
        let (number, _) = number.expect("a number");
        let term = format!("state=\"{}\"}} * {number}", state.as_str());
        assert!(query.contains(&term), "{term}");
    }
    let colours: BTreeSet<_> = mapping
        .values()
        .map(|shown| shown["color"].as_str())
        .collect();
    assert_eq!(colours.len(), states.len());
}

#[test]
fn every_colour_is_one_that_the_colour_blind_tell_from_the_others() {
    let dashboard = dashboard();
    let keys = ["color", "fixedColor", "iconColor"];
    let values = keys.into_iter().flat_map(|key| all(&dashboard, key));
    let strange: Vec<_> = values
        .filter_map(Value::as_str)
        .filter(|colour| !COLOURS.contains(colour))
        .collect();
    assert_eq!(strange, [""; 0]);
}
