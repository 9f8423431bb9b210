//! The forms against the parser: the same options, the same values.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use serde_json::{Map, Value, json};
use uplinkd::config::{Config, schema};

use super::{ask_forms, has_node, text};
use crate::metrics::root;

#[test]
fn the_forms_have_every_option_of_uci_and_say_of_its_values_what_the_parser_says() {
    if !has_node() {
        return;
    }
    let told = ask_forms(&[]);
    let forms = told["forms"].as_array().expect("a list").iter();
    let of_forms: BTreeSet<_> = forms
        .map(|form| {
            [text(form, "type"), text(form, "name"), text(form, "takes")].map(str::to_owned)
        })
        .collect();
    let keys = schema();
    let keys = keys.keys().iter().filter(|key| key.is_supported);
    let of_parser: BTreeSet<_> = keys
        .map(|key| {
            [
                key.uci_section().to_owned(),
                key.uci_option().1,
                key.takes.clone(),
            ]
        })
        .collect();
    let missing: Vec<_> = of_parser.difference(&of_forms).collect();
    let unknown: Vec<_> = of_forms.difference(&of_parser).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:#?}, unknown {unknown:#?}"
    );
}

#[test]
fn the_forms_show_the_defaults_of_the_documents() {
    if !has_node() {
        return;
    }
    let document = fs::read_to_string(root("docs/configuration.md")).expect("the document");
    let told = ask_forms(&[]);
    let mut seen = 0;
    for entry in document.split("\n### ").skip(1) {
        let of = |name: &str| {
            entry
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let (Some(title), Some(option), Some(default)) =
            (entry.lines().next(), of("- UCI: "), of("- Default: "))
        else {
            continue;
        };
        let list = title
            .split('.')
            .next()
            .filter(|list| ["uplink", "group", "rule"].contains(list));
        let default = default
            .trim_matches('`')
            .trim_start_matches('[')
            .trim_end_matches(']');
        let default = default.replace(['"', ','], "");
        let default = match default.as_str() {
            "true" => "1",
            "false" => "0",
            other => other,
        };
        for form in told["forms"].as_array().expect("a list") {
            let is_meant = text(form, "name") == option.trim_matches('`')
                && text(form, "type") == list.unwrap_or("globals");
            if !is_meant {
                continue;
            }
            seen += 1;
            let usual = form["usual"].as_str();
            assert_eq!(
                usual,
                Some(default).filter(|_| !default.starts_with("none")),
                "{title}"
            );
            let is_required = default == "none required";
            let has_name = text(form, "name") == "name";
            assert_eq!(form["isRequired"], is_required && !has_name, "{title}");
        }
    }
    assert!(seen > 80, "{seen}");
}

/// Words that a value may be, good and bad, of all kinds.
const WORDS: &str = "0 1 2 3 16 17 30 50 100 101 117 252 253 255 256 1000 1001 32765 32766 0x10 0X10 0x -1 +5 1.5 .5 1e1 abc \
    0s 1s 10ms 50ms 49ms 1m 1h 61m 1d 25h 1week 30d 31d 7d 8d 1month 1y 5 1.5s 1S 10us 1m30s 1h_1m \
    50MB 1MB 0MB 1kB 1TB 2TB 50mb 50M 50 1.5GB 1.GB .5GB 1.2.3GB 1000TB 1001TB 0.5MB last_resort warn \
    auto off none keep move end table main remove hot warm cold failover best balance fast balanced patient manual \
    syslog journald stderr true false yes enabled on \
    1.1.1.1 9.9.9.9 01.1.1.1 256.1.1.1 0.0.0.0 127.0.0.1 224.0.0.1 255.255.255.255 169.254.1.1 ::1 :: fe80::1 ff02::1 \
    2001:db8::1 2001:db8:0:0:0:0:0:1 2001:db8::1::2 ::ffff:1.2.3.4 2001:db8::1.2.3.4 1:2:3:4:5:6:7 12345::1 \
    192.168.1.0/24 192.168.1.1/24 10.0.0.0/8 0.0.0.0/0 1.1.1.1/32 1.1.1.1/33 2001:db8:1::/48 2001:db8:1::1/48 fe80::/10 \
    127.0.0.1:9464 0.0.0.0:9464 192.0.2.1:80 127.0.0.1:0 127.0.0.1:65536 [::1]:9464 [::1] :9464 localhost:80 \
    unix:/run/x unix:x unix: file:/var/x.prom file:/var/ file: /run/x.sock /run/x/ / relative \
    tcp://8.8.8.8:53 tcp://8.8.8.8 tcp://[2001:db8::1]:443 tcp://2001:db8::1:443 tcp://www.example.com:443 tcp://1.2.3:4 \
    tcp://127.0.0.1:80 tcp://www.example.com:0 tcp://:80 tcp:// http://192.0.2.80/generate_204 http://example.com \
    http://example.com?x=y http://example.com/#status=200&text=Success http://example.com/#status=99 http://e.com/#text= \
    http://e.com/#status=200&status=201 http://e.com/#text=%zz http://e.com/#foo=1 http://e.com:8080/a http://e.com:x/ \
    dns://9.9.9.9/example.com dns://9.9.9.9 dns://example.com/x dns://9.9.9.9/. dns://9.9.9.9:5353/x?type=AAAA \
    dns://9.9.9.9/x?type=ZZ dns://9.9.9.9/x?foo=A icmp://9.9.9.9 HTTP://example.com/ \
    eth0 wan fiber lte voice a.b-c_d .x -x a/b a:b averylonginterfacename0 abcdefghijklmno . .. \
    tcp udp icmp icmpv6 gre foo 6 80 443 5060-5080 5080-5060 1-65535 0-1 1-65536 80- -80 \
    0x10/0xff 0x100/0xff 16/255 0x10/ 0 0xff000000 0xff00ff 0x1 0x3 4278190080 0xffffffff 0x1ffffffff";

/// A file that has these options in a section of this type, in `globals` and beside two uplinks and a group.
fn file(case: &Value) -> String {
    let mut text = String::new();
    let mut section = |kind: &str, name: &str, options: &Map<String, Value>| {
        let _ = writeln!(text, "config {kind} {name}");
        for (option, value) in options {
            let items = value.as_array();
            for item in items.into_iter().flatten() {
                let _ = writeln!(text, "\tlist {option} '{}'", text_of(item));
            }
            if items.is_none() {
                let _ = writeln!(text, "\toption {option} '{}'", text_of(value));
            }
        }
    };
    let empty = Map::new();
    let of = |value: &Value| value.as_object().unwrap_or(&empty).clone();
    let (kind, own) = (text_of(&case[0]), of(&case[1]));
    section(
        "globals",
        "globals",
        &if kind == "globals" {
            own.clone()
        } else {
            of(&case[2])
        },
    );
    let plain = of(&json!({"interface": "eth8", "tier": "9"}));
    section("uplink", "fiber", &plain);
    section(
        "uplink",
        "lte",
        &of(&json!({"interface": "eth9", "tier": "9"})),
    );
    if kind == "rule" {
        section("group", "voice", &of(&json!({"uplinks": "lte"})));
    }
    if kind != "globals" {
        section(kind, if kind == "rule" { "" } else { "mine" }, &own);
    }
    text
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The least of a section beside which an option is looked at.
fn around(kind: &str, option: &str) -> Value {
    match (kind, option) {
        ("uplink", _) => json!({"interface": "eth7", "tier": "1"}),
        ("group", _) => json!({"uplinks": ["lte"]}),
        ("rule", "sport" | "dport") => json!({"group": "voice", "iif": "eth5", "protocol": "udp"}),
        ("rule", _) => json!({"group": "voice", "iif": "eth5"}),
        (_, _) => json!({}),
    }
}

fn with(mut section: Value, more: &Value) -> Value {
    for (option, value) in more.as_object().expect("options") {
        section[option.as_str()] = value.clone();
    }
    section
}

/// An uplink with these options, beside these of `globals`.
fn uplink(own: &Value, globals: &Value) -> Value {
    json!(["uplink", with(around("uplink", ""), own), globals])
}

fn globals(own: &Value) -> Value {
    json!(["globals", own, {}])
}

/// Sections that are right or wrong as a whole.
fn wholes() -> Vec<Value> {
    let rule = |own: &Value| json!(["rule", with(json!({"group": "voice"}), own), {}]);
    vec![
        json!(["uplink", {"tier": "1"}, {}]),
        json!(["uplink", {"interface": "eth7"}, {}]),
        json!(["uplink", {"network": "wan", "tier": "1"}, {}]),
        json!(["group", {"policy": "best"}, {}]),
        json!(["group", {"uplinks": ["lte", "fiber"]}, {}]),
        json!(["group", {"uplinks": ["lte", "lte"]}, {}]),
        json!(["rule", {"group": "voice"}, {}]),
        json!(["rule", {"from": "1.1.1.1"}, {}]),
        rule(&json!({"from": ["192.168.1.0/24", "10.0.0.1"]})),
        rule(&json!({"from": "none"})),
        rule(&json!({"dport": "53"})),
        rule(&json!({"dport": "53", "protocol": "17"})),
        rule(&json!({"dport": "53", "protocol": "gre"})),
        globals(&json!({"agent_web": "0.0.0.0:80"})),
        globals(&json!({"agent_web": "0.0.0.0:80", "agent_web_allow": ["10.0.0.0/8"]})),
        globals(&json!({"agent_web_allow": "none"})),
        globals(&json!({"probe_targets": ["1.1.1.1", "1.1.1.1"]})),
        globals(&json!({"probe_targets": "none"})),
        globals(&json!({"probe_targets": ["1.1.1.1"], "probe_quorum": "2"})),
        globals(&json!({"probe_quorum": "4"})),
        uplink(
            &json!({"probe_targets": ["1.1.1.1"]}),
            &json!({"probe_quorum": "2"}),
        ),
        uplink(
            &json!({"probe_quorum": "3"}),
            &json!({"probe_targets": ["1.1.1.1", "2.2.2.2"]}),
        ),
        uplink(&json!({"exercise_every": "1d"}), &json!({})),
        uplink(
            &json!({"exercise_every": "1d", "standby": "cold"}),
            &json!({}),
        ),
        uplink(
            &json!({"exercise_every": "0s", "standby": "hot"}),
            &json!({}),
        ),
        uplink(&json!({"prefixes": "auto"}), &json!({})),
        uplink(&json!({"prefixes": "none"}), &json!({})),
        uplink(
            &json!({"prefixes": "2001:db8:1::/48 2001:db8:2::/48"}),
            &json!({}),
        ),
        uplink(&json!({"prefixes": "auto 2001:db8:1::/48"}), &json!({})),
        uplink(
            &json!({"standby": "warm", "probe_standby_interval": "10m"}),
            &json!({}),
        ),
        uplink(&json!({"probe_standby_interval": "10m"}), &json!({})),
        uplink(
            &json!({"probe_interval": "5s"}),
            &json!({"health_window": "4s"}),
        ),
        globals(&json!({"health_loss_enter": "4"})),
        globals(&json!({"health_score_exit": "20"})),
        globals(&json!({"failover_damping_reuse": "4"})),
    ]
}

/// Pairs of options of which one bounds the other.
fn pairs() -> Vec<Value> {
    let mut cases = Vec::new();
    let spans = ["1s", "5s", "40s"];
    for (first, second) in spans
        .iter()
        .flat_map(|first| spans.map(|second| (*first, second)))
    {
        for [one, other] in [
            ["probe_interval", "probe_confirm_interval"],
            ["probe_interval", "probe_standby_interval"],
            ["probe_interval", "health_window"],
            ["health_latency_enter", "health_latency_exit"],
            ["health_jitter_enter", "health_jitter_exit"],
        ] {
            cases.push(globals(&json!({one: first, other: second})));
            cases.push(uplink(&json!({one: first, other: second}), &json!({})));
            cases.push(uplink(
                &json!({one: first}),
                &json!({other: second, one: "1s"}),
            ));
        }
    }
    for [one, other, first, second] in [
        ["health_loss_enter", "health_loss_exit", "5", "5"],
        ["health_loss_enter", "health_loss_exit", "6", "5.5"],
        ["health_score_enter", "health_score_exit", "40", "40"],
        ["health_score_enter", "health_score_exit", "40", "41"],
        [
            "failover_damping_suppress",
            "failover_damping_reuse",
            "1",
            "1",
        ],
        [
            "failover_damping_suppress",
            "failover_damping_reuse",
            "2.5",
            "1.5",
        ],
        ["routing_rule", "routing_default_rule", "100", "107"],
        ["routing_rule", "routing_default_rule", "100", "108"],
        ["routing_table", "routing_group_table", "250", "100"],
        ["routing_table", "routing_group_table", "251", "100"],
    ] {
        cases.push(globals(&json!({one: first, other: second})));
    }
    cases
}

#[test]
fn the_forms_accept_a_value_exactly_if_the_parser_does() {
    if !has_node() {
        return;
    }
    let mut cases = [wholes(), pairs()].concat();
    let keys = schema();
    let mut seen = BTreeSet::new();
    for key in keys.keys().iter().filter(|key| key.is_supported) {
        let (kind, option) = (key.uci_section(), key.uci_option().1);
        // Options that take the same are of one kind in the forms, as the first test holds.
        if !seen.insert((&key.takes, kind == "rule")) {
            continue;
        }
        let is_range = key.takes.starts_with(|c: char| c.is_ascii_digit());
        for word in WORDS.split_whitespace().chain([
            "1m 30s",
            "1 h",
            "0x10 / 0xff",
            "a b",
            "sun 03:30",
            " mon-fri  04:00 ",
            "Fri-mon,WED 23:59",
            "mon-tue-wed 04:00",
            "mon 4:00",
            "mon 24:00",
            "mon tue 04:00",
            "mon,, 04:00",
            "02:00-05:00",
            "2:00-05:00",
            "02:00-02:00",
            "22:00-24:00",
            "24:00-02:00",
            "02:00-25:00",
            "sat,sun",
            "Mon-FRI 08:00-18:00",
            "mon-fri 08:00-12:00, sat",
            "sat mon-fri 08:00-12:00 sun",
            "mon- 08:00-12:00",
            "02:00-03:00-04:00",
            "always sat",
        ]) {
            let is_far = is_range && word.contains([':', '/']);
            // The forms write the word for an empty list as it is.
            let is_list = key.takes.contains("list") && option != "prefixes" && word != "none";
            let value = if is_list { json!([word]) } else { json!(word) };
            let section = with(around(kind, &option), &json!({option.as_str(): value}));
            if !is_far {
                cases.push(json!([kind, section, {}]));
            }
        }
    }
    let told = ask_forms(&cases);
    let verdicts = told["verdicts"].as_array().expect("a list");
    assert_eq!(verdicts.len(), cases.len());
    let (mut good, mut differ) = (0, Vec::new());
    for (case, verdict) in cases.iter().zip(verdicts) {
        let parsed = Config::parse(&file(case), "uplinkd");
        good += usize::from(parsed.is_ok());
        if *verdict != parsed.is_ok() {
            let why = parsed.map_or_else(|error| error.to_string(), |_| "accepted".to_owned());
            differ.push(format!("{case}: {why}"));
        }
    }
    assert!(
        differ.is_empty(),
        "{} of {}:\n{}",
        differ.len(),
        cases.len(),
        differ.join("\n")
    );
    assert!(
        good > 300 && good < cases.len() / 2,
        "{good} of {}",
        cases.len()
    );
}
