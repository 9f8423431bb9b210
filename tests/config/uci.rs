//! UCI is another form of the same configuration.

use std::collections::{BTreeMap, BTreeSet};

use crate::cases::cases;
use crate::extent::extent;
use proptest::prelude::*;
use uplinkd::config::write::{ConfigDraft, DraftSection, Setting};
use uplinkd::config::{Config, ConfigError, schema};

const SHIPPED: &str = include_str!("../../openwrt/uplinkd/files/uplinkd.config");

/// Two uplinks and nothing else.
const TWO_UPLINKS: &str = "
config uplink 'fiber'
	option interface 'eth1'
	option tier '1'

config uplink 'lte'
	option interface 'wwan0'
	option tier '2'
";

const TWO_UPLINKS_IN_TOML: &str = r#"
[[uplink]]
name = "fiber"
interface = "eth1"
tier = 1

[[uplink]]
name = "lte"
interface = "wwan0"
tier = 2
"#;

fn uci(text: &str) -> Config {
    Config::parse(text, "uplinkd").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What is said about a file that must be refused.
fn refusal(text: &str) -> String {
    let error = Config::parse(text, "uplinkd").expect_err(text);
    error.to_string()
}

fn assert_refused(text: &str, lines: &[&str]) {
    assert_eq!(refusal(text).lines().collect::<Vec<_>>(), lines);
}

#[test]
fn the_same_configuration_in_both_forms_is_the_same() {
    let toml = Config::parse(TWO_UPLINKS_IN_TOML, "uplinkd.toml").expect("TOML");
    assert_eq!(uci(TWO_UPLINKS), toml);
}

#[test]
fn neither_a_remark_beside_the_first_section_nor_the_mark_of_an_editor_makes_it_toml() {
    let first = "config uplink 'fiber'";
    let remarked = TWO_UPLINKS.replace(first, &format!("{first} # tier=1"));
    assert_eq!(uci(&remarked), uci(TWO_UPLINKS));
    let marked = format!("\u{feff}{}", TWO_UPLINKS.trim_start());
    assert_eq!(uci(&marked), uci(TWO_UPLINKS));
    let marked = format!("\u{feff}{}", TWO_UPLINKS_IN_TOML.trim_start());
    assert_eq!(uci(&marked), uci(TWO_UPLINKS));
}

#[test]
fn the_shipped_file_is_two_uplinks_at_the_defaults() {
    let shipped = uci(SHIPPED);
    let toml = TWO_UPLINKS_IN_TOML
        .replace("fiber", "wan")
        .replace("eth1", "wan")
        .replace("\"lte\"", "\"wwan\"");
    assert_eq!(shipped, Config::parse(&toml, "uplinkd.toml").expect("TOML"));
}

#[test]
fn every_commented_option_of_the_shipped_file_stands_at_its_default() {
    let uncomment = |line: &str| match line.strip_prefix("#\t") {
        Some(option) => format!("\t{option}\n"),
        None => format!("{line}\n"),
    };
    let explicit: String = SHIPPED.lines().map(uncomment).collect();
    assert_ne!(explicit, SHIPPED);
    assert_eq!(uci(&explicit), uci(SHIPPED));
}

#[test]
fn syntax_is_read_as_libuci_reads_it() {
    let texts = [
        // Quotes of both kinds, and none.
        "config uplink fiber\noption interface \"eth1\"\noption tier 1\n",
        // Parts run together, escapes, a backslash at the end of a line.
        "config 'upl'\"in\"k fib\\er\n option inter\\\nface e'th'\"\\1\"\n\toption tier \"\\\n1\"",
        // Comments, the short keywords, several statements in a line, ends of lines of DOS.
        "p uplinkd # of ours\r\n#\r\nc uplink 'fiber'; o interface eth1# no\r\n\r\no tier '1';\r\n",
        // Names of their own for sections and uplinks.
        "package 'uplinkd'\nconfig uplink\n\toption name 'fiber'\n\toption interface 'eth1'\n\toption tier '0x1'",
        "config uplink 'other'\n\toption name 'fiber'\n\toption interface 'eth1'\n\toption tier '1'",
    ];
    let one = "[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n";
    let one = Config::parse(one, "uplinkd.toml").expect("TOML");
    for text in texts {
        assert_eq!(uci(text), one, "{text}");
    }
}

#[test]
fn a_word_is_what_the_option_asks_for() {
    let text = format!(
        "config globals
	option health_loss_enter '12.5'
	option health_loss_exit '4'
	option routing_mark '0x75700000'
	option probe_targets '192.0.2.1 198.51.100.1'
	option agent_record 'off'
{TWO_UPLINKS}
	option metered 'enabled'
	option prefixes 'none'
	list probe_targets '203.0.113.1'

config group 'voice'
	list uplinks 'lte'
	list uplinks 'fiber'

config rule
	option group 'voice'
	option from '192.0.2.0/24 198.51.100.7'
	option protocol '17'
	option dport '5060'
"
    );
    let toml = r#"
[probe]
targets = ["192.0.2.1", "198.51.100.1"]
[health.loss]
enter = 12.5
exit = 4
[routing]
mark = 0x75700000
[[uplink]]
name = "fiber"
interface = "eth1"
tier = 1
[[uplink]]
name = "lte"
interface = "wwan0"
tier = 2
metered = true
prefixes = []
[uplink.probe]
targets = ["203.0.113.1"]
[[group]]
name = "voice"
uplinks = ["lte", "fiber"]
[[rule]]
group = "voice"
from = ["192.0.2.0/24", "198.51.100.7"]
protocol = "udp"
dport = 5060
"#;
    let toml = Config::parse(toml, "uplinkd.toml").expect("TOML");
    assert_eq!(uci(&text), toml);
}

#[test]
fn yes_and_no_are_those_of_openwrt() {
    for (words, is_metered) in [
        (["1", "on", "yes", "true", "enabled"], true),
        (["0", "off", "no", "false", "disabled"], false),
    ] {
        for word in words {
            let config = uci(&format!("{TWO_UPLINKS}\toption metered '{word}'\n"));
            let budget = config.engine.uplinks[1].probe_budget;
            assert_eq!(budget.is_some(), is_metered, "{word}");
        }
    }
    assert_refused(
        &format!("{TWO_UPLINKS}\toption metered 'maybe'\n"),
        &["uplinkd:9: uplink lte: metered: \"maybe\": must be true or false"],
    );
}

#[test]
fn a_wrong_value_is_told_with_line_section_option_and_bound() {
    let text = format!("config globals\n\toption probe_interval '10ms'\n{TWO_UPLINKS}");
    assert_refused(
        &text,
        &["uplinkd:2: globals: probe_interval: \"10ms\": must be 50ms to 1h"],
    );
    let text = format!(
        "{TWO_UPLINKS}\toption health_latency_enter '100ms'\n\toption weight 'heavy'\n\
         \tlist probe_targets 'nonsense://'\n"
    );
    let told = refusal(&text);
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told.len(), 3, "{told:?}");
    let enter =
        "uplinkd:9: uplink lte: health_latency_enter: 100ms: must be more than `exit`, 300ms";
    assert_eq!(told[0], enter);
    assert_eq!(
        told[1],
        "uplinkd:10: uplink lte: weight: \"heavy\": must be a whole number"
    );
    assert!(
        told[2].starts_with("uplinkd:11: uplink lte: probe_targets: "),
        "{}",
        told[2]
    );
}

#[test]
fn an_unknown_option_is_told_with_the_nearest_one() {
    let text = format!(
        "config globals\n\toption probe_intervall '1s'\n\toption policy 'best'\n\toption agent_control_group 'x'\n\
         {TWO_UPLINKS}\toption teir '3'\n\toption interval '5s'\nconfig uplinks 'x'\nconfig wifi\n"
    );
    assert_refused(
        &text,
        &[
            "uplinkd:2: globals: probe_intervall: unknown key; did you mean `probe_interval`?",
            "uplinkd:3: globals: policy: unknown key; did you mean `failover_policy`?",
            "uplinkd:4: globals: agent_control_group: not supported by this version",
            "uplinkd:13: uplink lte: teir: unknown key; did you mean `tier`?",
            "uplinkd:14: uplink lte: interval: unknown key; did you mean `probe_interval`?",
            "uplinkd:15: uplinks: unknown section; did you mean `uplink`?",
            "uplinkd:16: wifi: unknown section",
        ],
    );
}

#[test]
fn what_libuci_would_merge_or_drop_is_refused() {
    let text = format!(
        "{TWO_UPLINKS}\toption tier '3'\n\tlist interface 'wwan1'\n\toption weight ''\n\toption gateway\n\
         \tlist probe_targets ''\nconfig group 'fiber'\n\tlist uplinks 'fiber'\n"
    );
    let told = refusal(&text);
    for line in [
        "uplinkd:9: uplink lte: tier: \"3\": already on line 8",
        "uplinkd:10: uplink lte: interface: \"wwan1\": already on line 7",
        "uplinkd:11: uplink lte: weight: \"\": must be a value, or not be there",
        "uplinkd:12: uplink lte: gateway: \"\": must be a value, or not be there",
        "uplinkd:13: uplink lte: probe_targets: \"\": must be a value, or not be there",
        "uplinkd:14: section `fiber`: already on line 2",
    ] {
        assert!(
            told.lines().any(|told| told == line),
            "{line}\nis not in\n{told}"
        );
    }
}

#[test]
fn what_is_no_utf_8_is_told_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, remark) in [("uplinkd", "# caf\u{e9}"), ("uplinkd.toml", "# caf\u{e9}")] {
        let path = directory.path().join(name);
        let text = if name == "uplinkd" {
            TWO_UPLINKS
        } else {
            TWO_UPLINKS_IN_TOML
        };
        // As an editor writes it in Latin-1.
        let latin: Vec<u8> = format!("{}\n{remark}\n{text}", text.trim())
            .chars()
            .map(|c| u8::try_from(u32::from(c)).expect("Latin-1"))
            .collect();
        std::fs::write(&path, latin).expect("a file");
        let line = text.trim().lines().count() + 1;
        let error = Config::load(&path).expect_err("no UTF-8").to_string();
        let told = format!("{}:{line}: not valid UTF-8: the byte 0xe9", path.display());
        assert!(error.starts_with(&told), "{error}");
    }
}

#[test]
fn sections_of_globals_are_one() {
    // A script of uci-defaults adds one of its own to that of the file, or names what had no name.
    for (first, second) in [
        ("globals", "globals 'globals'"),
        ("globals 'globals'", "globals"),
        ("globals 'globals'", "globals 'globals'"),
    ] {
        let text = format!(
            "config {first}\n\toption health_loss_enter '30'\n\tlist probe_targets '192.0.2.1'\n{TWO_UPLINKS}\
             config {second}\n\toption health_loss_exit '7'\n\tlist probe_targets '192.0.2.2'\n"
        );
        let config = uci(&text);
        let health = &config.engine.uplinks[0].health;
        assert_eq!(health.loss.enter.to_string(), "30.0 %");
        assert_eq!(health.loss.exit.to_string(), "7.0 %");
        assert_eq!(config.engine.uplinks[0].probe.targets.len(), 2);
    }
    assert_refused(
        &format!(
            "config globals\n\toption health_loss_enter '30'\n{TWO_UPLINKS}config globals\n\
             \toption health_loss_enter '31'\n"
        ),
        &["uplinkd:12: globals: health_loss_enter: \"31\": already on line 2"],
    );
}

#[test]
fn broken_syntax_is_told_with_its_line() {
    let cases = [
        (
            "config uplink 'a\n\n",
            "1: not valid UCI: the quote that opens on this line does not close on it",
        ),
        (
            "\nconfig uplink \"a\n",
            "2: not valid UCI: the quote that opens on this line does not close on it",
        ),
        ("config\n", "1: not valid UCI: a section without a type"),
        (
            "config uplink a-b\n",
            "1: not valid UCI: the name of a section is of up to 64 letters, digits and _; a name with `-` or \
             `.` stands below it, as `option name`",
        ),
        (
            "option tier 1\n",
            "1: not valid UCI: an option before the first config",
        ),
        (
            "config uplink\n\toption ti-er 1\n",
            "2: not valid UCI: the name of an option is of 1 to 64 letters, digits and _",
        ),
        (
            "config uplink\n\toption tier one two\n",
            "2: not valid UCI: more words than a line takes; is a quote missing?",
        ),
        (
            "confg uplink\n",
            "1: not valid UCI: a line that does not begin with config, option, list or package",
        ),
        (
            "'config' uplink\n",
            "1: not valid UCI: a line that does not begin with config, option, list or package",
        ),
        (
            "config globals globals; option agent_log 'stderr'\n",
            "1: not valid UCI: libuci drops what follows a `;` right after a word without quotes: begin a line",
        ),
        (
            "config uplink\n\toption interface eth1;option tier '1'\n",
            "2: not valid UCI: libuci drops what follows a `;` right after a word without quotes: begin a line",
        ),
        (
            "config uplink 'a';; option tier '1'\n",
            "1: not valid UCI: a line that does not begin with config, option, list or package",
        ),
        (
            "config uplink\npackage x\n",
            "2: not valid UCI: a package within a file, which is of one",
        ),
        (
            "config uplink\n\toption tier '1\0'\n",
            "2: not valid UCI: a NUL byte",
        ),
    ];
    for (text, told) in cases {
        assert_refused(text, &[&format!("uplinkd:{told}")]);
    }
    let text = format!("package network\n{TWO_UPLINKS}");
    assert_refused(
        &text,
        &["uplinkd:1: package \"network\": must be \"uplinkd\", or not be there"],
    );
}

#[test]
fn a_file_is_toml_by_its_name_or_by_how_it_begins() {
    let forms = [
        (TWO_UPLINKS_IN_TOML, "/dev/stdin"),
        (
            "agent.log = \"stderr\"\n[[uplink]]\nname = \"a\"\ninterface = \"b\"\ntier = 1",
            "a",
        ),
        (TWO_UPLINKS, "/etc/config/uplinkd"),
        (TWO_UPLINKS, "/dev/stdin"),
    ];
    for (text, name) in forms {
        drop(Config::parse(text, name).expect(text));
    }
    let refusal = Config::parse(TWO_UPLINKS, "uplinkd.toml").expect_err("UCI");
    assert!(refusal.to_string().contains("not valid TOML"), "{refusal}");
    assert_refused(
        "",
        &["uplinkd:1: uplink: missing: at least one uplink with name, interface and tier"],
    );
}

#[test]
fn a_file_of_ten_megabytes_or_with_other_bytes_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("uplinkd");
    std::fs::write(&path, TWO_UPLINKS.repeat(100_000)).expect("a file");
    let error = Config::load(&path).expect_err("10 MB");
    assert!(matches!(error, ConfigError::TooLarge(_)), "{error}");
    std::fs::write(&path, b"config uplink '\xff'\n").expect("a file");
    let error = Config::load(&path).expect_err("no UTF-8");
    assert!(matches!(error, ConfigError::Refused { .. }), "{error}");
}

/// A megabyte of the worst is judged within bounds of time, and said in as many lines.
#[test]
fn a_file_full_of_mistakes_is_told_in_a_hundred_lines() {
    for line in [
        "o x y\n",
        "c a\n",
        "c uplink a\n",
        "l tier 1\n",
        "c uplink\n",
        "\"\"\n",
    ] {
        let text = format!("c uplink\n{}", line.repeat((1 << 20) / line.len()));
        let told = refusal(&text);
        assert!(
            told.lines().count() <= 110,
            "{line}: {}",
            told.lines().count()
        );
    }
}

#[test]
fn every_key_has_an_option_of_its_own() {
    let schema = schema();
    let options = schema.keys().iter();
    let options = options.map(|key| (key.uci_section(), key.uci_option().1));
    let names: BTreeSet<_> = options.collect();
    assert_eq!(names.len(), schema.keys().len());
}

/// The value of a key in the sample, which is right whatever else is said.
fn of_sample(path: &str) -> Setting {
    const SAMPLE: &str = include_str!("../../config/uplinkd.toml");
    let key = path.rsplit('.').next().unwrap_or(path);
    let mut values = SAMPLE.lines().filter_map(|line| {
        let (name, value) = line.trim_start_matches('#').split_once(" = ")?;
        (name == key).then_some(value)
    });
    let value = values
        .next()
        .unwrap_or_else(|| panic!("no value for {path}"));
    let strip = |item: &str| item.trim().trim_matches('"').to_owned();
    match value
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
    {
        Some(items) => Setting::List(
            items
                .split(", ")
                .filter(|item| !item.is_empty())
                .map(strip)
                .collect(),
        ),
        None if value.starts_with('"') => Setting::Text(strip(value)),
        None => Setting::Plain(value.to_owned()),
    }
}

fn text(texts: &'static [&'static str]) -> BoxedStrategy<Setting> {
    let texts = prop::sample::select(texts);
    texts
        .prop_map(|text| Setting::Text(text.to_owned()))
        .boxed()
}

fn plain(numbers: &'static [&'static str]) -> BoxedStrategy<Setting> {
    let numbers = prop::sample::select(numbers);
    numbers
        .prop_map(|number| Setting::Plain(number.to_owned()))
        .boxed()
}

fn list(least: usize, items: &'static [&'static str]) -> BoxedStrategy<Setting> {
    let items = prop::sample::subsequence(items, least..=items.len());
    items
        .prop_map(|items| Setting::List(items.into_iter().map(str::to_owned).collect()))
        .boxed()
}

/// A value that a key may have, whatever else is said: of most keys, several; of a key that is not here,
/// that of the sample.
fn setting(option: &str, path: &str) -> BoxedStrategy<Setting> {
    match option {
        "agent_control" => text(&["/run/a b/it's.sock", "/x", "/tmp/#;\"$\\n"]),
        "agent_state_dir" | "agent_hooks" => text(&["/var/lib/x", "/a'b'", "/\u{e9}\u{20ac} \\"]),
        "agent_ubus" => text(&["auto", "/run/bus.sock"]),
        "agent_log" => text(&["auto", "syslog", "journald", "stderr"]),
        "agent_record" => text(&["off", "/tmp/x y", "/none"]),
        "agent_web" => text(&["off", "127.0.0.1:9465"]),
        "agent_web_allow" => list(0, &["192.168.1.0/24", "fd00::/8"]),
        "probe_targets" => list(
            1,
            &[
                "192.0.2.1",
                "2001:db8::1",
                "tcp://[2001:db8::2]:53",
                "http://example.com/a?b#status=200&text=It's%20%23",
                "dns://192.0.2.9/example.com?type=AAAA",
            ],
        ),
        "probe_resolvers" => list(0, &["192.0.2.53", "2001:db8::53"]),
        "probe_quorum" => plain(&["1"]),
        "probe_interval" => text(&["500ms", "1s", "2s"]),
        "probe_standby_interval" => text(&["2s", "2s 500ms", "10s"]),
        "probe_confirm_interval" => text(&["20ms", "500ms"]),
        "probe_timeout" | "failover_best_after" => text(&["10s", "1m"]),
        "health_sensitivity" => text(&["fast", "balanced", "patient"]),
        "health_outage_within" | "health_recover_after" | "health_dwell" => text(&["1s", "2min"]),
        "health_window" => text(&["30s", "1h"]),
        "health_loss_enter" => plain(&["10", "100", "99.5", "20.25"]),
        "health_loss_exit" => plain(&["0", "1", "0.5"]),
        "health_latency_enter" | "health_jitter_enter" => text(&["1s", "60s"]),
        "health_latency_exit" | "health_jitter_exit" => text(&["0s", "10ms"]),
        "health_score_enter" => plain(&["0", "10"]),
        "health_score_exit" => plain(&["50", "100"]),
        "failover_policy" | "policy" => text(&["failover", "best", "balance"]),
        "failover_best_margin" => plain(&["1", "100"]),
        "failover_failback" => text(&["auto", "manual"]),
        "failover_soft" => text(&["auto", "always", "off"]),
        "failover_failback_after" => text(&["0s", "1day"]),
        "failover_damping_half_life" | "failover_damping_longest" => text(&["1s", "1h 1m"]),
        "failover_damping_suppress" => plain(&["2", "3.5", "1000.0"]),
        "failover_damping_reuse" => plain(&["0.1", "1", "1.5"]),
        "routing_mode" => text(&["table"]),
        "routing_flows" => text(&["move", "keep"]),
        "routing_flows_on_failback" => text(&["auto", "move", "keep"]),
        "routing_flows_on_failback_limit" => text(&["auto", "1s", "2h", "7d"]),
        "routing_local_sockets" => text(&["keep", "end"]),
        "routing_on_stop" => text(&["remove", "keep"]),
        "routing_protocol" => plain(&["5", "255"]),
        "routing_table" => plain(&["300", "0x400"]),
        "routing_group_table" => plain(&["5000"]),
        "routing_rule" => plain(&["1", "1000"]),
        "routing_default_rule" => plain(&["32500", "32765"]),
        "routing_mark" => plain(&["1", "0xffffff00"]),
        "routing_metric" => plain(&["1", "1000000000"]),
        "routing_nexthop" => plain(&["1", "70000"]),
        "weight" => plain(&["1", "255"]),
        "gateway" => text(&["auto", "none", "192.0.2.254"]),
        "gateway6" => text(&["auto", "none", "fe80::1"]),
        "metered" => plain(&["true", "false"]),
        "probe_budget" => text(&["1GB", "50MB", "1TB"]),
        "allowance" => text(&["off", "1.5GB", "1000TB"]),
        "allowance_day" => plain(&["1", "31"]),
        "allowance_action" => text(&["warn", "last_resort", "off"]),
        "standby" => text(&["hot", "warm", "cold"]),
        "standby_linger" | "ready_within" => text(&["1s", "1h"]),
        "from" => list(1, &["192.0.2.0/24", "2001:db8::/32", "198.51.100.1"]),
        "iif" => text(&["br-lan", "lan.3"]),
        "protocol" => text(&["tcp", "udp", "sctp"]),
        "sport" | "dport" => text(&["1", "5060-5080"]),
        "fwmark" => text(&["0x10/0xff", "7"]),
        _ => Just(of_sample(path)).boxed(),
    }
}

/// What each section needs, what is chosen by hand because it must differ, and what goes with another.
const BY_HAND: [&str; 9] = [
    "network",
    "name",
    "interface",
    "tier",
    "prefixes",
    "exercise_every",
    "uplinks",
    "group",
    "to",
];

/// Some of the options of a section of UCI, each with the path of its key and a value.
fn some_of(section: &str) -> impl Strategy<Value = Vec<(String, Setting)>> + use<> {
    let schema = schema();
    let keys = schema.keys().iter();
    let keys = keys.filter(|key| key.uci_section() == section && key.is_supported);
    let entries: Vec<_> = keys
        .map(|key| {
            let (path, option) = key.uci_option();
            (path.join("."), option)
        })
        .filter(|(_, option)| !BY_HAND.contains(&option.as_str()))
        .map(|(path, option)| {
            let entry = setting(&option, &path).prop_map(move |setting| (path.clone(), setting));
            prop::option::weighted(0.3, entry)
        })
        .collect();
    entries.prop_map(|entries| entries.into_iter().flatten().collect())
}

const NAMES: [&str; 4] = ["wan", "lte-2", "Backup.3", "globals"];

fn drafts() -> impl Strategy<Value = ConfigDraft> {
    let uplinks = prop::collection::vec((some_of("uplink"), 1..1000_u32), 1..=4);
    let groups = prop::collection::vec(some_of("group"), 0..=3);
    let rules = prop::collection::vec(some_of("rule"), 0..=3);
    let remark = prop::option::of("[ -~\n]{0,200}");
    (some_of("globals"), uplinks, groups, rules, remark).prop_map(
        |(globals, uplinks, groups, rules, remark)| {
            let mut draft = ConfigDraft::default();
            draft.remarks.extend(remark);
            let section = |kind, name: Option<&str>, entries: Vec<(String, Setting)>| {
                let mut section = DraftSection::new(kind, name.map(str::to_owned));
                for (path, setting) in entries {
                    section.set(&path, setting, &format!("{path} and `{path}`"));
                }
                section
            };
            draft.sections.push(section("globals", None, globals));
            let is_grouped = !groups.is_empty();
            for (at, (entries, tier)) in uplinks.into_iter().enumerate() {
                let mut uplink = section("uplink", Some(NAMES[at]), entries);
                uplink.set("interface", Setting::Text(format!("eth{at}")), "");
                uplink.set("tier", Setting::Plain(tier.to_string()), "");
                if tier % 2 == 0 {
                    uplink.set("network", Setting::Text(format!("net{at}")), "");
                }
                draft.sections.push(uplink);
            }
            for (at, entries) in groups.into_iter().enumerate() {
                let mut group = section("group", Some(NAMES[at]), entries);
                group.set("uplinks", Setting::List(vec![NAMES[0].to_owned()]), "");
                draft.sections.push(group);
            }
            for (at, entries) in rules.into_iter().enumerate().filter(|_| is_grouped) {
                let mut rule = section("rule", None, entries);
                // Each goes elsewhere, so that none hides another.
                let to = vec![format!("10.{at}.0.0/16"), format!("2001:db8:{at}::/48")];
                rule.set("to", Setting::List(to), "");
                let has_ports = ["sport", "dport"]
                    .map(|key| rule.entries.iter().any(|entry| entry.path == key));
                let has_protocol = rule.entries.iter().any(|entry| entry.path == "protocol");
                if has_ports.contains(&true) && !has_protocol {
                    rule.set("protocol", Setting::Plain("132".to_owned()), "");
                }
                rule.set("group", Setting::Text(NAMES[0].to_owned()), "");
                draft.sections.push(rule);
            }
            draft
        },
    )
}

/// What a form is read as: the configuration, or what is wrong with it, places aside.
fn outcome(text: &str, name: &str) -> Result<Config, usize> {
    match Config::parse(text, name) {
        Ok(config) => Ok(config),
        Err(ConfigError::Refused { problems, .. }) => Err(problems.len()),
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(cases(500))]

    /// Those that cannot be (ports without a protocol that has some) are refused in both forms alike.
    #[test]
    fn any_configuration_is_the_same_in_toml_and_in_uci(draft in drafts()) {
        let (toml, uci) = (draft.to_toml(), draft.to_uci());
        let of_toml = outcome(&toml, "uplinkd.toml");
        let of_uci = outcome(&uci, "uplinkd");
        prop_assert_eq!(of_toml, of_uci, "{}\n\n{}", toml, uci);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        drop(Config::parse(&text, "uplinkd"));
        drop(Config::parse(&text, "uplinkd.toml"));
    }
}

#[test]
fn most_of_the_drafts_of_that_test_are_good() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = BTreeMap::new();
    for _ in 0..300 {
        let draft = drafts().new_tree(&mut runner).expect("a draft").current();
        let is_good = outcome(&draft.to_uci(), "uplinkd").is_ok();
        *counts.entry(is_good).or_insert(0) += 1;
    }
    assert!(counts[&true] > 250, "{counts:?}");
}

/// Pieces of UCI and of TOML, so that chance goes deep.
const PIECES: [&str; 48] = [
    "config",
    "option",
    "list",
    "package",
    "uplink",
    "globals",
    "group",
    "rule",
    " ",
    "\t",
    "\n",
    "'",
    "\"",
    "\\",
    "#",
    ";",
    "\r\n",
    "\0",
    "name",
    "interface",
    "tier",
    "probe_targets",
    "health_loss_enter",
    "prefixes",
    "from",
    "protocol",
    "none",
    "auto",
    "1",
    "-5",
    "0x",
    "1e999",
    "NaN",
    "192.0.2.1",
    "::/0",
    "2001:db8::/32",
    "1s",
    "5MB",
    "[[uplink]]",
    "=",
    "[",
    "]",
    "{",
    "}",
    "true",
    "\u{e9}",
    "x",
    "http://a/#text=",
];

/// Chance that is the same each time (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits") % bound
    }

    /// Random bytes, random pieces, or a good file with some bytes changed.
    fn file(&mut self) -> String {
        match self.below(4) {
            0 => {
                let bytes: Vec<_> = (0..self.below(120)).map(|_| self.below(256)).collect();
                bytes
                    .into_iter()
                    .filter_map(|byte| char::from_u32(u32::try_from(byte).ok()?))
                    .collect()
            }
            1 => (0..self.below(40))
                .map(|_| PIECES[self.below(PIECES.len())])
                .collect(),
            2 => self.torn(TWO_UPLINKS),
            _ => self.torn(TWO_UPLINKS_IN_TOML),
        }
    }

    fn torn(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..=self.below(4) {
            let at = self.below(text.len() + 1);
            if text.is_char_boundary(at) {
                text.insert_str(at, PIECES[self.below(PIECES.len())]);
            }
        }
        if text.is_char_boundary(text.len() / 2) && self.below(4) == 0 {
            text.truncate(text.len() / 2);
        }
        text
    }
}

#[test]
fn random_files_of_both_forms_make_nothing_panic() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut good = 0;
    for _ in 0..extent(20_000, 1_000_000) {
        let text = chance.file();
        good += usize::from(Config::parse(&text, "uplinkd").is_ok());
        good += usize::from(Config::parse(&text, "uplinkd.toml").is_ok());
    }
    assert!(good > 100, "chance does not reach the good ones: {good}");
}
