//! What each mistake is answered with, word for word.

use std::path::Path;

use uplinkd::config::Config;

const TWO_UPLINKS: &str = r#"
[[uplink]]
name = "fiber"
interface = "eth1"
tier = 1

[[uplink]]
name = "lte"
interface = "wwan0"
tier = 2
"#;

/// What is said of a file of this name with this text.
fn refusal_of(text: &str, name: &str) -> String {
    Config::parse(text, name)
        .expect_err("it should be refused")
        .to_string()
}

fn refusal(text: &str) -> String {
    refusal_of(text, "uplinkd.toml")
}

/// The same for two good uplinks and `text` before them.
fn refusal_beside_uplinks(text: &str) -> String {
    refusal(&format!("{text}{TWO_UPLINKS}"))
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_lines() {
    let text = r#"
[probe]
interval = "10ms"
intervall = "1s"

[[uplink]]
name = "fiber"
interface = "eth1"
teir = 1

[failover]
policy = "bst"
"#;
    assert_eq!(
        refusal(text),
        "uplinkd.toml:3: [probe]: interval: \"10ms\": must be 50ms to 1h\n\
         uplinkd.toml:4: [probe]: intervall: unknown key; did you mean `interval`?\n\
         uplinkd.toml:9: [[uplink]] fiber: teir: unknown key; did you mean `tier`?\n\
         uplinkd.toml:12: [failover]: policy: \"bst\": must be \"failover\" or \"best\" or \"balance\"; did you mean \
         `best`?"
    );
}

#[test]
fn each_mistake_has_its_answer() {
    for (text, expected) in MISTAKES {
        let said = refusal_beside_uplinks(text);
        assert_eq!(said, format!("uplinkd.toml:{expected}"), "for {text:?}");
    }
}

#[test]
fn each_mistake_in_an_uplink_has_its_answer() {
    for (text, expected) in MISTAKES_IN_AN_UPLINK {
        let said = refusal(&format!("{TWO_UPLINKS}[[uplink]]\n{text}\n"));
        assert_eq!(said, format!("uplinkd.toml:{expected}"), "for {text:?}");
    }
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let said = refusal("[agent]\nlog = \n[probe\n");
    assert!(
        said.starts_with("uplinkd.toml:2: not valid TOML: "),
        "{said}"
    );
    assert!(
        said.contains("\nuplinkd.toml:3: not valid TOML: "),
        "{said}"
    );
    let said = refusal("[probe]\nquorum = 1\nquorum = 2\n");
    assert!(
        said.starts_with("uplinkd.toml:3: not valid TOML: `quorum` is on line 2 already"),
        "{said}"
    );
}

#[test]
fn single_brackets_of_an_uplink_are_reported_once_and_the_rest_is_read() {
    for (list, keys) in [
        ("uplink", "interface = \"eth1\"\ntier = 1\n"),
        ("group", "uplinks = [\"fiber\"]\n"),
        ("rule", "group = \"voice\"\niif = \"lan\"\n"),
    ] {
        let name = |name| {
            if list == "rule" {
                String::new()
            } else {
                format!("name = \"{name}\"\n")
            }
        };
        let text = format!(
            "[{list}]\n{}{keys}[ {list} ] # again\n{}{keys}",
            name("a"),
            name("b")
        );
        let expected = format!(
            "uplinkd.toml:1: not valid TOML: [{list}] in single brackets: write [[{list}]] above each {list}"
        );
        let said = refusal(&text);
        assert_eq!(said.matches("brackets").count(), 1, "{said}");
        assert!(said.starts_with(&expected), "{said}");
        assert!(!said.contains("duplicate"), "{said}");
    }
    let one = "[uplink]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 0\n";
    assert_eq!(
        refusal(one),
        "uplinkd.toml:1: not valid TOML: [uplink] in single brackets: write [[uplink]] above each uplink\n\
         uplinkd.toml:4: [[uplink]] fiber: tier: 0: must be 1 to 1000"
    );
}

#[test]
fn uci_in_a_toml_file_and_toml_in_a_uci_file_are_reported_once() {
    let shipped = include_str!("../../openwrt/uplinkd/files/uplinkd.config");
    let first = shipped
        .lines()
        .take_while(|line| !line.starts_with("config"));
    assert_eq!(
        refusal(shipped),
        format!(
            "uplinkd.toml:{}: not valid TOML: this looks like UCI, and the file is TOML by its name or by \
             how it begins: let its name not end in .toml, or write [[uplink]] and `tier = 1`",
            first.count() + 1
        )
    );
    let begun = "config uplink 'a'\n[[uplink]]\nname = \"b\"\ninterface = \"eth1\"\ntargets = [\"1.1.1.1\", \"9.9.9.9\"]\n";
    assert_eq!(
        refusal_of(begun, "uplinkd"),
        "uplinkd:2: not valid UCI: from here on this looks like TOML, and the file begins as UCI: write \
         `config uplink 'NAME'` and `option tier '1'`, or let all of it be TOML"
    );
}

#[test]
fn what_makes_all_below_it_wrong_is_reported_alone() {
    let form = |name: &str| format!("this looks like {name}: write [[uplink]] and `tier = 1`");
    let open = "`targets`: the list that begins on this line does not end: add a `]`".to_owned();
    for (text, line, expected) in [
        (
            "# x\n{ \"uplink\": [ { \"name\": \"fiber\" } ] }\n",
            2,
            form("JSON"),
        ),
        ("uplink:\n  - name: fiber\n    tier: 1\n", 2, form("YAML")),
        (
            "[probe]\ntargets = [\"1.1.1.1\",\n  \"9.9.9.9\"\n[[uplink]]\nname = \"a\"\n",
            2,
            open.clone(),
        ),
        (
            "[probe]\ntargets = [\"1.1.1.1\", # ]\nquorum = 1\n",
            2,
            open,
        ),
    ] {
        let expected = format!("uplinkd.toml:{line}: not valid TOML: {expected}");
        assert_eq!(refusal(text), expected, "{text}");
    }
    let said = refusal("[probe]\ntargets = [\n  \"1.1.1.1\",\n]\ninterval = 1s\n");
    assert!(said.contains("write `interval = \"1s\"`"), "{said}");
}

#[test]
fn a_name_is_reported_as_taken_whatever_else_is_wrong_with_its_uplink() {
    let said = refusal(&format!(
        "{TWO_UPLINKS}[[uplink]]\nname = \"fiber\"\ninterface = \"eth2\"\ntier = 0\n"
    ));
    assert_eq!(
        said,
        "uplinkd.toml:12: [[uplink]] fiber: name: \"fiber\": already on line 3\n\
         uplinkd.toml:14: [[uplink]] fiber: tier: 0: must be 1 to 1000"
    );
}

#[test]
fn what_uci_has_elsewhere_or_writes_otherwise_is_reported_with_what_to_write() {
    let uplinks = "config uplink 'a'\n\toption interface 'eth1'\n\toption tier '1'\n";
    assert_eq!(
        refusal_of(
            &format!("{uplinks}config probe\n\toption interval '1s'\n"),
            "uplinkd"
        ),
        "uplinkd:4: probe: unknown section; its options stand in `config globals`, such as `probe_targets`"
    );
    assert_eq!(
        refusal_of("config uplink 'a'\n\toption tier = 1\n", "uplinkd"),
        "uplinkd:2: not valid UCI: no `=` stands between a name and its value: write option NAME 'VALUE'"
    );
}

#[test]
fn a_value_that_toml_does_not_know_is_reported_with_what_to_write() {
    for (line, expected) in UNKNOWN_VALUES {
        let said = refusal_beside_uplinks(&format!("{line}\n"));
        assert_eq!(
            said,
            format!(
                "uplinkd.toml:{}: not valid TOML: {expected}",
                line.lines().count().div_ceil(2)
            ),
            "{line}"
        );
    }
}

#[test]
fn a_title_with_other_brackets_or_more_than_a_name_is_reported_with_what_to_write() {
    for (title, expected) in [
        (
            "[uplink fiber]",
            "write `[[uplink]]` and `name = \"fiber\"` below it",
        ),
        (
            "[[uplink \"fiber\"]]",
            "write `[[uplink]]` and `name = \"fiber\"` below it",
        ),
        ("[[uplink]", "write `[[uplink]]` above each uplink"),
        ("[rule]]", "write `[[rule]]` above each rule"),
        ("[probe # x", "write `[probe]` as the title of a section"),
        (
            "[health loss]",
            "write `[health]` as the title of a section",
        ),
    ] {
        let said = refusal_beside_uplinks(&format!("{title}\n"));
        assert_eq!(
            said,
            format!("uplinkd.toml:1: not valid TOML: {expected}"),
            "{title}"
        );
    }
}

#[test]
fn what_stands_in_a_file_twice_is_reported_with_its_first_line() {
    for (text, expected) in [
        (
            "[probe]\n\n[ probe ] # x\n",
            "3: not valid TOML: [probe] is on line 1 already: write its keys there",
        ),
        (
            "probe.interval = \"1s\"\n[probe]\ntimeout = \"1s\"\n",
            "2: not valid TOML: `probe.interval` above makes [probe] already: write its keys in one place",
        ),
        (
            "[health.loss]\n[health.loss]\n",
            "2: not valid TOML: [health.loss] is on line 1 already: write its keys there",
        ),
        (
            "[health.loss]\nexit = 1.0\n[health.latency]\n[agent]\nlog = \"auto\"\n\nlog = \"stderr\"\n",
            "7: not valid TOML: `log` is on line 5 already",
        ),
        (
            "[uplink.probe]\ninterval = \"1s\"\n",
            "4: not valid TOML: [uplink.probe] on line 1 is above the first [[uplink]]: move it below the [[uplink]] \
             that it is of",
        ),
    ] {
        assert_eq!(
            refusal_beside_uplinks(text),
            format!("uplinkd.toml:{expected}"),
            "{text}"
        );
    }
}

#[test]
fn a_misspelt_key_or_section_is_not_reported_as_missing_too() {
    for title in ["[[uplinks]]", "[uplnk]", "[[Uplink]]"] {
        let said = refusal(&format!("{title}\nname = \"a\"\n"));
        let name = title.trim_matches(['[', ']']);
        assert_eq!(
            said,
            format!("uplinkd.toml:1: {name}: unknown key; did you mean `uplink`?")
        );
    }
    assert_eq!(
        refusal_of("config uplnk 'a'\n", "uplinkd"),
        "uplinkd:1: uplnk: unknown section; did you mean `uplink`?"
    );
    let said = refusal(&format!(
        "{TWO_UPLINKS}[[uplink]]\nname = \"a\"\ninterface = \"b\"\nteir = 1\n"
    ));
    assert_eq!(
        said,
        "uplinkd.toml:14: [[uplink]] a: teir: unknown key; did you mean `tier`?"
    );
    let other = refusal("[[uplink]]\nname = \"a\"\ninterface = \"b\"\n[[group]]\nteir = 1\n");
    assert!(other.contains("[[uplink]] a: tier: missing"), "{other}");
}

#[test]
fn a_name_that_uci_cannot_hold_and_a_file_of_mwan3_are_answered_with_what_to_do() {
    let said = refusal_of(
        "config uplink 'my-fiber'\n\toption interface 'eth1'\n\toption tier '1'\n",
        "uplinkd",
    );
    assert_eq!(
        said,
        "uplinkd:1: not valid UCI: the name of a section is of up to 64 letters, digits and _; a name with `-` or `.` \
         stands below it, as `option name`"
    );
    let said = refusal_of("config interface 'wan'\n\toption enabled '1'\n", "uplinkd");
    assert!(said.contains("`uplinkd import mwan3 FILE`"), "{said}");
    let fiber = "config uplink 'fiber'\n\toption interface 'eth1'\n\toption tier '1'\n";
    for written in ["20%", "20,0"] {
        let said = refusal_of(
            &format!("{fiber}\toption health_loss_enter '{written}'\n"),
            "uplinkd",
        );
        let meant = written.replace(',', ".").replace('%', "");
        assert_eq!(
            said,
            format!(
                "uplinkd:4: uplink fiber: health_loss_enter: \"{written}\": must be a number of percent; write {meant}"
            )
        );
    }
}

#[test]
fn hours_in_another_form_are_answered_with_ours() {
    for (written, meant) in [
        ("8:00-18:00", "; write \"08:00-18:00\""),
        ("Monday - Friday 8-18", "; write \"mon-fri 08:00-18:00\""),
        ("mon–fri 8.30 – 18.00", "; write \"mon-fri 08:30-18:00\""),
        ("mon-fri 08:00 to 18:00", "; write \"mon-fri 08:00-18:00\""),
        ("thr-fri 08:00-18:00", "; write \"thu,fri 08:00-18:00\""),
        ("saturday, sunday", "; write \"sat, sun\""),
        ("08:00", ""),
        ("08:00-08:00", ""),
        ("mo-fr 08:00-25:00", ""),
        ("now and then", ""),
    ] {
        let takes = "must be \"always\", local hours such as \"mon-fri 08:00-18:00\", \"22:00-06:00\" or \
                     \"sat,sun\", or a list of them";
        let expected = format!("failback_window: \"{written}\": {takes}{meant}");
        let text = format!("[failover]\nfailback_window = \"{written}\"\n");
        assert_eq!(
            refusal_beside_uplinks(&text),
            format!("uplinkd.toml:2: [failover]: {expected}")
        );
        let text = format!("[failover]\nfailback_window = [\"sat\", \"{written}\"]\n");
        let said = refusal_beside_uplinks(&text);
        assert!(said.ends_with(&expected), "{said}");
    }
}

#[test]
fn hours_of_a_failback_that_has_none_are_refused() {
    let text = "[failover]\nfailback = \"manual\"\nfailback_window = \"sat\"\n";
    assert_eq!(
        refusal_beside_uplinks(text),
        "uplinkd.toml:3: [failover]: failback_window: sat: must be left out with `failback` \"manual\", which has no \
         hours"
    );
}

#[test]
fn a_key_of_another_section_is_reported_with_that_section() {
    for (place, key, expected) in [
        (
            "[[uplink]]\n",
            "interval",
            "it belongs under [uplink.probe]",
        ),
        (
            "[[uplink]]\n",
            "enter",
            "it belongs under [uplink.health.loss] or [uplink.health.latency] or \
          [uplink.health.jitter] or [uplink.health.score]",
        ),
        (
            "[[uplink]]\n",
            "failback_after",
            "it belongs under [failover]",
        ),
        (
            "[[uplink]]\n",
            "timout",
            "did you mean `timeout` under [uplink.probe]?",
        ),
        (
            "[[uplink]]\n",
            "probe_interval",
            "write `interval` under [uplink.probe]",
        ),
        ("", "targets", "it belongs under [probe] or [uplink.probe]"),
        ("", "loss", "it belongs under [health] or [uplink.health]"),
        ("", "health_loss_enter", "write `enter` under [health.loss]"),
        ("[probe]\n", "tier", "it belongs under [[uplink]]"),
        (
            "[agent]\n",
            "name",
            "it belongs under [[uplink]] or [[group]]",
        ),
        (
            "[[rule]]\n",
            "policy",
            "it belongs under [failover] or [[group]]",
        ),
        (
            "[failover]\n",
            "half_life",
            "it belongs under [failover.damping]",
        ),
    ] {
        let said = refusal(&format!("{place}{key} = 1\n"));
        let expected = format!("{key}: unknown key; {expected}");
        assert!(
            said.lines().any(|line| line.ends_with(&expected)),
            "{said}\n{expected}"
        );
    }
    let said = refusal_beside_uplinks("[[probe]]\ninterval = \"1s\"\n");
    assert_eq!(
        said,
        "uplinkd.toml:1: [probe]: a list: must be one section, under [probe]"
    );
}

#[test]
fn a_missing_file_is_reported_with_the_sample_to_copy() {
    let error = Config::load(Path::new("/nonexistent/uplinkd.toml")).expect_err("no file");
    assert_eq!(
        error.to_string(),
        "there is no configuration /nonexistent/uplinkd.toml: copy the sample there, \
         /usr/share/doc/uplinkd/examples/uplinkd.toml (config/uplinkd.toml in the source), and name the \
         uplinks in it"
    );
}

#[test]
fn an_unclosed_quote_is_reported_where_it_opened() {
    let rest = "config uplink 'lte'\n\toption interface 'wwan0'\n\toption tier '2'\n";
    for (first, line) in [
        ("config uplink 'fiber\n\toption interface 'eth1'\n", 1),
        (
            "config uplink 'fiber'\n\toption interface 'eth1\n\toption tier '1'\n",
            2,
        ),
        (
            "config uplink 'fiber'\n\toption interface \"eth1\n\toption tier '1'\n",
            2,
        ),
        ("config uplink 'fiber'\n\n\toption tier '1\n", 3),
    ] {
        assert_eq!(
            refusal_of(&format!("{first}{rest}"), "uplinkd"),
            format!(
                "uplinkd:{line}: not valid UCI: the quote that opens on this line does not close on it"
            )
        );
    }
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    for text in [
        "\"a\\u001b[31m\" = 1\n",
        "[\"a\\u001b[31m\"]\n",
        "[[uplink]]\nname = \"a\\u001b[31m\\u202eb\"\n",
        "[[uplink]]\nname = \"a\"\ninterface = \"a\\u0007\\u001b[31m/\"\n",
        "[probe]\ntargets = [\"tcp://a\\u001b[31m\", { \"\\u001b[31m\" = 1 }]\n",
        "x = \u{1b}[31m\n",
        "name = a\u{9b}31m\n",
        "config uplink '\u{1b}[31m'\n",
        "config \u{1b}[31m\n",
        "config uplink\n\toption tier '\u{1b}[31m'\n",
        "config uplink\n\toption \u{1b}[31m '1'\n",
        "package \u{1b}[31m\n",
    ] {
        for name in ["uplinkd.toml", "uplinkd", "\u{1b}[31m"] {
            let said = refusal_of(text, name);
            let is_raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!said.contains(is_raw), "{said:?}");
        }
    }
}

/// Lines with a value that TOML does not know.
const UNKNOWN_VALUES: &[(&str, &str)] = &[
    (
        "interval = \"1s\" seconds",
        "write `interval = \"1s\"`: a line is a key, a `=` and one value",
    ),
    (
        "name = fiber",
        "write `name = \"fiber\"`: a text stands in quotes",
    ),
    (
        "name = true1 # x",
        "write `name = \"true1\"`: a text stands in quotes",
    ),
    (
        "interface = eth1.7",
        "write `interface = \"eth1.7\"`: a text stands in quotes",
    ),
    (
        "interval = 1s",
        "write `interval = \"1s\"`: a text stands in quotes",
    ),
    (
        "control = /run/x",
        "write `control = \"/run/x\"`: a text stands in quotes",
    ),
    (
        "gateway = 192.0.2.1",
        "write `gateway = \"192.0.2.1\"`: a text stands in quotes",
    ),
    (
        "metered = yes",
        "write `metered = true`: yes and no are `true` and `false`",
    ),
    (
        "metered = Off",
        "write `metered = false`: yes and no are `true` and `false`",
    ),
    (
        "metered = True",
        "write `metered = true`: yes and no are `true` and `false`",
    ),
    (
        "enter = 20,0",
        "write `enter = 20.0`: a number has a point and no unit",
    ),
    (
        "enter = 20 %",
        "write `enter = 20`: a number has a point and no unit",
    ),
    (
        "enter = .2",
        "write `enter = 0.2`: a number has a point and no unit",
    ),
    (
        "enter = 20.",
        "write `enter = 20.0`: a number has a point and no unit",
    ),
    (
        "weight = 007",
        "write `weight = 7`: a number has a point and no unit",
    ),
    (
        "standby = 'warm",
        "write `standby = \"warm\"`: a text stands in quotes",
    ),
    (
        "standby = “warm”",
        "write `standby = \"warm\"`: a text stands in quotes",
    ),
    (
        "standby: warm",
        "write `standby = \"warm\"`: a text stands in quotes",
    ),
    (
        "gateway fe80::1",
        "write `gateway = \"fe80::1\"`: a text stands in quotes",
    ),
    (
        "targets = [1.1.1.1, one.one]",
        "write `targets = [\"1.1.1.1\", \"one.one\"]`: a text stands in quotes",
    ),
    (
        "targets = [\n1.1.1.1,\n]",
        "write `\"1.1.1.1\"`: a text stands in quotes",
    ),
    (
        "metered = true, # x",
        "write `metered = true`: a line is a key, a `=` and one value",
    ),
    (
        "standby =",
        "`standby`: a value is missing, such as a text in quotes, a number, true or false",
    ),
];

/// Beside two good uplinks.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[probe]\ntargets = [\"1.1.1.1/32\"]\n",
        "2: [probe]: targets: target `1.1.1.1/32` is no address: write 1.1.1.1",
    ),
    (
        "[probe]\ntargets = [\"icmp://2606:4700::1\"]\n",
        "2: [probe]: targets: target `icmp://2606:4700::1` is no address: write 2606:4700::1",
    ),
    (
        "[probe]\ntargets = [\"\"]\n",
        "2: [probe]: targets: target `` is empty: write an address such as 1.1.1.1",
    ),
    (
        "[probe]\ntargets = [\"localhost\"]\n",
        "2: [probe]: targets: target `localhost` is this machine itself",
    ),
    (
        "[probe]\ntargets = [\"tcp://localhost:80\"]\n",
        "2: [probe]: targets: target `tcp://localhost:80` is this machine itself",
    ),
    (
        "[probe]\ntargets = [\"http://router.LocalHost/\"]\n",
        "2: [probe]: targets: target `http://router.localhost/` is this machine itself",
    ),
    (
        "[probe]\ntargets = [\"1.1.1.1.\"]\n",
        "2: [probe]: targets: target `1.1.1.1.` is no address: write 1.1.1.1",
    ),
    (
        "[probe]\ntargets = [\"2606:4700::g\"]\n",
        "2: [probe]: targets: target `2606:4700::g` is no address: groups of up to four digits, 0 to 9 and a to f, \
             with `:` between",
    ),
    (
        "[probe]\ntargets = [\"http//192.0.2.1/x\"]\n",
        "2: [probe]: targets: target `http//192.0.2.1/x` has a slip in its scheme: write http://192.0.2.1/x",
    ),
    (
        "[probe]\ntargets = [\"TCP://1.1.1.1:53\"]\n",
        "2: [probe]: targets: target `TCP://1.1.1.1:53` has a slip in its scheme: write tcp://1.1.1.1:53",
    ),
    (
        "[probe]\ninterval = \"5\"\n",
        "2: [probe]: interval: \"5\": must be a duration with a unit, such as \"1s\" or \"250ms\"; write \"5s\"",
    ),
    (
        "[failover]\ntrigger = \"auto\"\n",
        "2: [failover]: trigger: unknown key",
    ),
    (
        "[probe]\ntargets = [\"[2606:4700::1]\"]\n",
        "2: [probe]: targets: target `[2606:4700::1]` is no address: write 2606:4700::1",
    ),
    (
        "[probe]\ntargets = [\"[2606:4700::1]:53\"]\n",
        "2: [probe]: targets: target `[2606:4700::1]:53` has no scheme: write tcp://[2606:4700::1]:53",
    ),
    (
        "[probe]\ntargets = \"1.1.1.1, 9.9.9.9\"\n",
        "2: [probe]: targets: \"1.1.1.1, 9.9.9.9\": must be a list; write [\"1.1.1.1\", \"9.9.9.9\"]",
    ),
    (
        "[probe]\nquorum = 2.0\n",
        "2: [probe]: quorum: 2.0: must be a whole number; write 2",
    ),
    (
        "[health.loss]\nenter = \"20 %\"\n",
        "2: [health.loss]: enter: \"20 %\": must be a number of percent; write 20, without quotes",
    ),
    (
        "[probe]\ntargets = [\"1.1.1.256\"]\n",
        "2: [probe]: targets: target `1.1.1.256` is no address: four numbers from 0 to 255",
    ),
    (
        "[probe]\ntargets = [\"1.1.1\"]\n",
        "2: [probe]: targets: target `1.1.1` is no address: four numbers from 0 to 255",
    ),
    (
        "[probe]\ntargets = [\"www.example.com\"]\n",
        "2: [probe]: targets: target `www.example.com` is a name, and a ping goes to an address: write an \
         address, tcp://www.example.com:443, http://www.example.com/ or dns://9.9.9.9/www.example.com",
    ),
    (
        "[probe]\ntargets = [\"9.9.9.9:53\"]\n",
        "2: [probe]: targets: target `9.9.9.9:53` has no scheme: write tcp://9.9.9.9:53",
    ),
    (
        "[health.loss]\nenter = 0.2\n",
        "2: [health.loss]: enter: 0.2: must be 1 to 100 percent; the unit is percent: write 20.0 for 20.0 %",
    ),
    (
        "[health.loss]\nenter = \"20\"\n",
        "2: [health.loss]: enter: \"20\": must be a number of percent; write 20, without quotes",
    ),
    ("[prob]\n", "1: prob: unknown key; did you mean `probe`?"),
    ("banana = 1\n", "1: banana: unknown key"),
    ("probe = 3\n", "1: [probe]: 3: must be a section"),
    (
        "[health]\nfailback_after = \"1s\"\n",
        "2: [health]: failback_after: unknown key; it belongs under [failover]",
    ),
    (
        "[agent]\ncontrol_group = \"netadmin\"\n",
        "2: [agent]: control_group: not supported by this version",
    ),
    (
        "[agent]\nweb = \"192.168.1.1:9465\"\n",
        "2: [agent]: web: 192.168.1.1:9465: must be an address of this machine itself, as long as `web_allow` names no \
         network",
    ),
    (
        "[agent]\nweb = \"9465\"\n",
        "2: [agent]: web: \"9465\": must be \"off\" or an address with a port, such as \"127.0.0.1:9465\"; \
         write \"127.0.0.1:9465\"",
    ),
    (
        "[agent]\nmetrics = \"0.0.0.0:9464\"\n",
        "2: [agent]: metrics: \"0.0.0.0:9464\": must be \"off\", an address of this machine itself such as \
         \"127.0.0.1:9464\", \"unix:PATH\" or \"file:PATH\"; they are not protected: offer them to other machines by \
         a proxy with access control",
    ),
    (
        "[agent]\nmetrics = \":9464\"\n",
        "2: [agent]: metrics: \":9464\": must be \"off\", an address of this machine itself such as \
         \"127.0.0.1:9464\", \"unix:PATH\" or \"file:PATH\"; write \"127.0.0.1:9464\"",
    ),
    (
        "[agent]\nmetrics = \"unix:metrics.sock\"\n",
        "2: [agent]: metrics: \"unix:metrics.sock\": must be \"off\", an address of this machine itself such as \
         \"127.0.0.1:9464\", \"unix:PATH\" or \"file:PATH\"",
    ),
    (
        "[failover]\nsoft = true\n",
        "2: [failover]: soft: true: must be \"auto\" or \"always\" or \"off\"",
    ),
    (
        "[failover]\npolicy = \"balanced\"\n",
        "2: [failover]: policy: \"balanced\": must be \"failover\" or \"best\" or \"balance\"; did you mean \
         `balance`?",
    ),
    (
        "[routing]\nmode = \"main\"\n[[group]]\nname = \"voice\"\nuplinks = [\"fiber\"]\n",
        "3: group: groups: must be left out with `routing.mode` \"main\": they need rules",
    ),
    (
        "[[group]]\nname = \"voice\"\nuplinks = [\"fibre\"]\n",
        "3: [[group]] voice: uplinks: \"fibre\": must be \"fiber\" or \"lte\"",
    ),
    (
        "[[group]]\nname = \"voice\"\nuplinks = []\n",
        "3: [[group]] voice: uplinks: missing: the uplinks that may carry it, as in [\"fiber\", \"lte\"]",
    ),
    (
        "[[rule]]\ngroup = \"voice\"\niif = \"lan\"\n",
        "2: [[rule]] number 1: group: \"voice\": must be the name of a group, and there is none",
    ),
    (
        "[failover]\nbest_margin = 0\n",
        "2: [failover]: best_margin: 0: must be 1 to 100",
    ),
    (
        "[failover]\nbest_after = \"1s\"\n",
        "2: [failover]: best_after: \"1s\": must be 10s to 1d",
    ),
    (
        "[failover.damping]\nhalf_life = \"0s\"\n",
        "2: [failover.damping]: half_life: \"0s\": must be 1s to 1d",
    ),
    (
        "[failover.damping]\nlongest = \"2d\"\n",
        "2: [failover.damping]: longest: \"2d\": must be 0s to 1d",
    ),
    (
        "[failover.damping]\nsuppress = 0\n",
        "2: [failover.damping]: suppress: 0: must be 0.1 to 1000",
    ),
    (
        "[failover.damping]\nreuse = \"one\"\n",
        "2: [failover.damping]: reuse: \"one\": must be a number",
    ),
    (
        "[failover.damping]\nreuse = 3\n",
        "2: [failover.damping]: reuse: 3: must be less than `suppress`, 3",
    ),
    (
        "[failover.damping]\nsuppress = 1.0\n",
        "2: [failover.damping]: suppress: 1: must be more than `reuse`, 1",
    ),
    (
        "[failover]\nhalf_life = \"5m\"\n",
        "2: [failover]: half_life: unknown key; it belongs under [failover.damping]",
    ),
    (
        "[routing]\nmode = \"mian\"\n",
        "2: [routing]: mode: \"mian\": must be \"table\" or \"main\"; did you mean `main`?",
    ),
    (
        "[routing]\nmetric = 0\n",
        "2: [routing]: metric: 0: must be 1 to 1000000000",
    ),
    (
        "[routing]\nflows = \"drop\"\n",
        "2: [routing]: flows: \"drop\": must be \"move\" or \"keep\"",
    ),
    (
        "[agent]\ncontrol = \"run/uplinkd.sock\"\n",
        "2: [agent]: control: \"run/uplinkd.sock\": must be an absolute path of at most 107 bytes",
    ),
    (
        "[agent]\nlog = \"jurnald\"\n",
        "2: [agent]: log: \"jurnald\": must be \"auto\" or \"syslog\" or \"journald\" or \"stderr\"; \
             did you mean `journald`?",
    ),
    (
        "[probe]\ninterval = 1\n",
        "2: [probe]: interval: 1: must be a duration with a unit, such as \"1s\" or \"250ms\"; write \"1s\"",
    ),
    (
        "[probe]\ntimeout = \"1 fortnight\"\n",
        "2: [probe]: timeout: \"1 fortnight\": must be a duration with a unit, such as \"1s\" or \
             \"250ms\"",
    ),
    (
        "[probe]\ntimeout = \"2m\"\n",
        "2: [probe]: timeout: \"2m\": must be 10ms to 1m",
    ),
    (
        "[probe]\nstandby_interval = \"500ms\"\n",
        "2: [probe]: standby_interval: 500ms: must be at least `interval`, 1s",
    ),
    (
        "[probe]\nconfirm_interval = \"2s\"\n",
        "2: [probe]: confirm_interval: 2s: must be at most `interval`, 1s",
    ),
    (
        "[probe]\nquorum = 4\n",
        "2: [probe]: quorum: 4: must be 1 to the number of targets, 3",
    ),
    (
        "[probe]\nquorum = 0\n",
        "2: [probe]: quorum: 0: must be 1 to 16",
    ),
    (
        "[probe]\ntargets = []\n",
        "2: [probe]: targets: 0 targets: must be 1 to 16",
    ),
    (
        "[probe]\ntargets = \"1.1.1.1\"\n",
        "2: [probe]: targets: \"1.1.1.1\": must be a list; write [\"1.1.1.1\"]",
    ),
    (
        "[probe]\ntargets = [\n\"1.1.1.1\",\n\"example\"]\n",
        "4: [probe]: targets: target `example` is no address and has no scheme such as tcp://",
    ),
    (
        "[probe]\ntargets = [\"gopher://1.1.1.1\"]\n",
        "2: [probe]: targets: target `gopher://1.1.1.1`: unknown scheme `gopher`; known are a bare \
             address (ICMP), tcp://, http://, https:// and dns://",
    ),
    (
        "[probe]\ntargets = [\"htp://192.0.2.1/\"]\n",
        "2: [probe]: targets: target `htp://192.0.2.1/`: unknown scheme `htp`; known are a bare \
             address (ICMP), tcp://, http://, https:// and dns://; did you mean `http://`?",
    ),
    (
        "[probe]\ntargets = [{ url = \"http://192.0.2.1/\", stauts = 200 }]\n",
        "2: [probe]: targets: unknown key `stauts` of a target; known are `url`, `status` and \
             `text`; did you mean `status`?",
    ),
    (
        "[probe]\ntargets = [{ status = 200 }]\n",
        "2: [probe]: targets: missing: the `url` of the target, as in { url = \
             \"http://example.com/\", status = 200 }",
    ),
    (
        "[probe]\ntargets = [{ url = \"tcp://192.0.2.1:80\", status = 200 }]\n",
        "2: [probe]: targets: target `tcp://192.0.2.1:80` is no web page: only http:// and \
             https:// stand in a table",
    ),
    (
        "[probe]\ntargets = [{ url = \"http://192.0.2.1/\", status = 99 }]\n",
        "2: [probe]: targets: target `http://192.0.2.1/`: status `99`: must be 200 to 599",
    ),
    (
        "[probe]\ntargets = [{ url = \"http://192.0.2.1/#text=a\", text = \"b\" }]\n",
        "2: [probe]: targets: target `http://192.0.2.1/#text=a`: `text` is there twice",
    ),
    (
        "[probe]\nresolvers = [\"127.0.0.53\"]\n",
        "2: [probe]: resolvers: \"127.0.0.53\": must be the address of a name server beyond this \
             machine",
    ),
    (
        "[probe]\ntargets = [\"1.1.1.1\",\n\"9.9.9.9\", \"1.1.1.1\"]\n",
        "3: [probe]: targets: \"1.1.1.1\": already on line 2",
    ),
    (
        "[probe]\ntargets = [\"fe80::1\"]\n",
        "2: [probe]: targets: target `fe80::1` is not the address of one host on the internet",
    ),
    (
        "[probe]\ntargets = [\"127.0.0.1\"]\n",
        "2: [probe]: targets: target `127.0.0.1` is this machine itself",
    ),
    (
        "[probe]\ntargets = [\"224.0.0.1\"]\n",
        "2: [probe]: targets: target `224.0.0.1` is not the address of one host on the internet",
    ),
    (
        "[health.loss]\nenter = 101\n",
        "2: [health.loss]: enter: 101: must be 1 to 100 percent",
    ),
    (
        "[health.loss]\nenter = nan\n",
        "2: [health.loss]: enter: NaN: must be 1 to 100 percent",
    ),
    (
        "[health.loss]\nexit = 20.0\n",
        "2: [health.loss]: exit: 20: must be less than `enter`, 20",
    ),
    (
        "[health.latency]\nenter = \"200ms\"\n",
        "2: [health.latency]: enter: 200ms: must be more than `exit`, 300ms",
    ),
    (
        "[health.score]\nenter = 50\n",
        "2: [health.score]: enter: 50: must be less than `exit`, 50",
    ),
    (
        "[health.score]\nexit = 30\n",
        "2: [health.score]: exit: 30: must be more than `enter`, 30",
    ),
    (
        "[health.score]\nenter = 101\n",
        "2: [health.score]: enter: 101: must be 0 to 100",
    ),
    (
        "[health]\ndwell = \"2h\"\n",
        "2: [health]: dwell: \"2h\": must be 0s to 1h",
    ),
    (
        "[health]\nsensitivity = \"calm\"\n",
        "2: [health]: sensitivity: \"calm\": must be \"fast\" or \"balanced\" or \"patient\"",
    ),
    (
        "[routing]\nprotocol = 4\n",
        "2: [routing]: protocol: 4: must be 5 to 255",
    ),
    (
        "[routing]\ntable = 254\n",
        "2: [routing]: table: 254: must be 1 to 252 or 256 to 4294967294",
    ),
    (
        "[routing]\ntable = 251\n",
        "2: [routing]: table: 251: must be at most 250: it is followed by one for each of 2 uplinks, \
             and the last of them may be 252",
    ),
    (
        "[routing]\nrule = 32764\n",
        "2: [routing]: rule: 32764: must be less than `default_rule` - 7, 32758",
    ),
    (
        "[routing]\ndefault_rule = 32003\n",
        "2: [routing]: default_rule: 32003: must be more than `rule` + 7, 32007",
    ),
    (
        "[routing]\ndefault_rule = 32766\n",
        "2: [routing]: default_rule: 32766: must be 1 to 32765",
    ),
    (
        "[routing]\nflow_mark = \"0xff00ff00\"\n",
        "2: [routing]: flow_mark: \"0xff00ff00\": must be two bits or more in a row, such as \
             \"0xff000000\"",
    ),
    (
        "[routing]\nflow_mark = \"0x80000000\"\n",
        "2: [routing]: flow_mark: \"0x80000000\": must be two bits or more in a row, such as \
             \"0xff000000\"",
    ),
    (
        "[routing]\nmark = 16777216\n",
        "1: [routing]: flow_mark: \"0xff000000\": must be bits whose values are no marks of probes, which \
             begin at `mark`, 0x1000000",
    ),
];

/// In a third uplink, whose section begins on line 11.
const MISTAKES_IN_AN_UPLINK: &[(&str, &str)] = &[
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = \"1\"",
        "14: [[uplink]] x: tier: \"1\": must be a whole number; write 1, without quotes",
    ),
    (
        "name = 5\ninterface = \"eth2\"\ntier = 1",
        "12: [[uplink]] number 3: name: 5: must be a text in quotes; write \"5\"",
    ),
    (
        "name = \"-x\"\ninterface = \"eth2\"\ntier = 1",
        "12: [[uplink]] -x: name: `-x` is no uplink name: 1 to 32 letters, digits, `_`, `-` or `.`, \
             beginning with a letter or a digit",
    ),
    (
        "name = \"x\"\ninterface = \"a/b\"\ntier = 1",
        "13: [[uplink]] x: interface: `a/b` is no interface name: 1 to 15 bytes without `/`, `:` or \
             white space",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 0",
        "14: [[uplink]] x: tier: 0: must be 1 to 1000",
    ),
    (
        "name = \"fiber\"\ninterface = \"eth2\"\ntier = 1",
        "12: [[uplink]] fiber: name: \"fiber\": already on line 3",
    ),
    (
        "name = \"x\"\ninterface = \"eth1\"\ntier = 1",
        "13: [[uplink]] x: interface: \"eth1\": also the interface of the uplink on line 4; two \
             uplinks on one interface need two different addresses as `gateway`",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nweight = 256",
        "15: [[uplink]] x: weight: 256: must be 1 to 255",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\ngateway = \"fe80::1\"",
        "15: [[uplink]] x: gateway: \"fe80::1\": must be \"auto\", \"none\" or the IPv4 address of a \
             router; an IPv6 next hop belongs in `gateway6`",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\ngateway6 = \"192.0.2.1\"",
        "15: [[uplink]] x: gateway6: \"192.0.2.1\": must be \"auto\", \"none\" or the IPv6 address of \
             a router; an IPv4 next hop belongs in `gateway`",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nprefixes = [\"2001:db8:1::1/48\"]",
        "15: [[uplink]] x: prefixes: \"2001:db8:1::1/48\": must be the prefix of a network, such as \
             \"2001:db8:1::/48\"",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nprefixes = \"all\"",
        "15: [[uplink]] x: prefixes: \"all\": must be \"auto\" or a list of IPv6 prefixes",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nstandby = \"cool\"",
        "15: [[uplink]] x: standby: \"cool\": must be \"hot\" or \"warm\" or \"cold\"; did you mean \
             `cold`?",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nexercise_every = \"1d\"",
        "15: [[uplink]] x: exercise_every: 1d: must be 0s, never, unless `standby` is \"cold\"",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nready_within = \"0s\"",
        "15: [[uplink]] x: ready_within: \"0s\": must be 1s to 1h",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nmetered = \"yes\"",
        "15: [[uplink]] x: metered: \"yes\": must be true or false; write true, without quotes",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nprobe_budget = 50",
        "15: [[uplink]] x: probe_budget: 50: must be an amount of data with a unit, such as \"50MB\"",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nallowance = \"1001TB\"",
        "15: [[uplink]] x: allowance: \"1001TB\": must be 1 MB to 1000 TB",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nallowance_day = 32",
        "15: [[uplink]] x: allowance_day: 32: must be 1 to 31",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nprobe_budget = \"900kB\"",
        "15: [[uplink]] x: probe_budget: \"900kB\": must be 1 MB to 1 TB",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\nmetered = true\nprobe_budget = \"1MB\"\n\
         [uplink.probe]\ntargets = [\"http://192.0.2.1/\"]",
        "16: [[uplink]] x: probe_budget: 1 MB: must be enough for a probe every 1h: a round to these \
             targets costs up to 19.4 kB, and a ping the least",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\n[uplink.probe]\nstandby_interval = \"40s\"",
        "16: [[uplink]] x: probe.standby_interval: 40s: must be at most `health.window`, 30s",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\n[uplink.probe]\ninterval = \"40s\"",
        "16: [[uplink]] x: probe.interval: 40s: must be at most `health.window`, 30s",
    ),
    (
        "name = \"x\"\ninterface = \"eth2\"\ntier = 1\n[uplink.health.jitter]\nexit = \"1s\"",
        "16: [[uplink]] x: health.jitter.exit: 1s: must be less than `enter`, 100ms",
    ),
];
