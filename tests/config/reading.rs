//! What a configuration may say.

use std::path::Path;
use std::time::Duration;

use proptest::proptest;
use uplinkd::config::{Config, OnStop, UbusPlace, defaults};
use uplinkd::engine::settings::{
    AllowanceAction, AllowanceSettings, BestSettings, ColdSettings, DampingSettings, Failback,
    Policy, Standby,
};
use uplinkd::routing::traffic::Ports;
use uplinkd::routing::{Family, Gateway, Numbering, Prefixes, RoutingMode, Rule};
use uplinkd::units::{BillingDay, Bytes, Mark, Metric, RulePriority, Score, TableId};

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

/// What the agent says to a file whose text is `text`.
fn refusal(text: &str) -> String {
    Config::parse(text, "uplinkd.toml")
        .expect_err("it should be refused")
        .to_string()
}

#[test]
fn a_page_is_written_as_a_text_or_as_a_table() {
    let text = format!(
        "[probe]\ntargets = [\n\
         \"http://192.0.2.1/generate_204\",\n\
         {{ url = \"http://www.example.com/ncsi.txt\", status = 200, text = \"Test & go\" }},\n\
         {{ url = \"http://192.0.2.2/\" }},\n\
         \"dns://192.0.2.53/example.com\", \"2001:db8::1\",\n]\n{TWO_UPLINKS}"
    );
    let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
    let targets = &config.engine.uplinks[0].probe.targets;
    let shown: Vec<_> = targets.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "http://192.0.2.1/generate_204",
            "http://www.example.com/ncsi.txt#status=200&text=Test%20%26%20go",
            "http://192.0.2.2/",
            "dns://192.0.2.53/example.com",
            "2001:db8::1",
        ]
    );
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_without_tls_is_refused() {
    let text = format!("[probe]\ntargets = [\"https://192.0.2.1/\"]\n{TWO_UPLINKS}");
    let refusal = Config::parse(&text, "uplinkd.toml").expect_err("no TLS");
    let says = "target `https://192.0.2.1/` is https, which needs a build with the feature tls";
    assert!(refusal.to_string().ends_with(says), "{refusal}");
}

#[test]
fn the_smallest_file_is_two_uplinks() {
    let config = Config::parse(TWO_UPLINKS, "uplinkd.toml").expect("the smallest file");
    let names: Vec<_> = config
        .engine
        .uplinks
        .iter()
        .map(|u| u.name.as_str())
        .collect();
    assert_eq!(names, ["fiber", "lte"]);
    assert_eq!(config.engine.failover.failback, Failback::Auto);
    assert_eq!(config.on_stop, OnStop::Remove);
}

#[test]
fn an_uplink_takes_what_is_common_and_its_own_goes_before() {
    let config = Config::parse(
        r#"
        [probe]
        interval = "2s"
        timeout = "700ms"
        [health.loss]
        enter = 30
        exit = 10.5
        [[uplink]]
        name = "lte"
        interface = "wwan0"
        tier = 2
        gateway = "none"
        [uplink.probe]
        interval = "10s"
        targets = ["192.0.2.1", "tcp://192.0.2.2:443"]
        [uplink.health.loss]
        enter = 50.0
        "#,
        "uplinkd.toml",
    )
    .expect("a good file");
    let lte = &config.engine.uplinks[0];
    assert_eq!(lte.gateway, Gateway::None);
    assert_eq!(lte.probe.interval, Duration::from_secs(10));
    assert_eq!(lte.probe.timeout, Duration::from_millis(700));
    assert_eq!(lte.probe.targets.len(), 2);
    assert!((lte.health.loss.enter.percent() - 50.0).abs() < 1e-9);
    assert!((lte.health.loss.exit.percent() - 10.5).abs() < 1e-9);
}

#[test]
fn the_best_policy_and_damping_are_taken_as_they_are_said() {
    let text = format!(
        "[failover]\npolicy = \"best\"\nbest_margin = 20\nbest_after = \"2m\"\n\
         [failover.damping]\nhalf_life = \"15m\"\nsuppress = 2\nreuse = 0.75\nlongest = \"1h\"\n\
         {TWO_UPLINKS}"
    );
    let failover = Config::parse(&text, "uplinkd.toml")
        .expect("a good file")
        .engine
        .failover;
    assert_eq!(failover.policy, Policy::Best);
    let best = BestSettings {
        margin: Score(20),
        after: Duration::from_secs(120),
    };
    assert_eq!(failover.best, best);
    let damping = DampingSettings {
        half_life: Duration::from_secs(900),
        suppress: 2.0,
        reuse: 0.75,
        longest: Duration::from_secs(3_600),
    };
    assert_eq!(failover.damping, damping);
}

#[test]
fn only_what_is_metered_has_a_probe_budget() {
    let metered = format!("{TWO_UPLINKS}metered = true\nprobe_budget = \"120MB\"\n");
    let config = Config::parse(&metered, "uplinkd.toml").expect("a good file");
    let budgets = config.engine.uplinks.iter().map(|u| u.probe_budget);
    assert_eq!(
        budgets.collect::<Vec<_>>(),
        [None, Some(Bytes(120_000_000))]
    );
    let default = format!("{TWO_UPLINKS}metered = true\n");
    let config = Config::parse(&default, "uplinkd.toml").expect("a good file");
    assert_eq!(
        config.engine.uplinks[1].probe_budget,
        Some(Bytes(50_000_000))
    );
    let idle = format!("{TWO_UPLINKS}metered = false\nprobe_budget = \"120MB\"\n");
    let config = Config::parse(&idle, "uplinkd.toml").expect("a good file");
    assert_eq!(config.engine.uplinks[1].probe_budget, None);
}

#[test]
fn an_allowance_has_a_limit_a_day_and_an_action() {
    let of = |keys: &str| {
        let config = Config::parse(&format!("{TWO_UPLINKS}{keys}"), "uplinkd.toml");
        config.expect("a good file").engine.uplinks[1]
            .allowance
            .as_deref()
            .copied()
    };
    assert_eq!(of("allowance = \"off\"\nallowance_day = 7\n"), None);
    let usual = AllowanceSettings {
        limit: Bytes(1_500_000_000),
        day: BillingDay(1),
        action: AllowanceAction::Warn,
    };
    assert_eq!(of("allowance = \"1.5GB\"\n"), Some(usual));
    let all = "allowance = \"1.5GB\"\nallowance_day = 31\nallowance_action = \"last_resort\"\n";
    let expected = AllowanceSettings {
        day: BillingDay(31),
        action: AllowanceAction::LastResort,
        ..usual
    };
    assert_eq!(of(all), Some(expected));
}

#[test]
fn uplinks_on_one_interface_have_no_allowance() {
    let uplink = |name: &str, gateway: &str, more: &str| {
        format!(
            "[[uplink]]\nname = \"{name}\"\ninterface = \"eth1\"\ntier = 1\ngateway = \"{gateway}\"\n{more}"
        )
    };
    let limit = "allowance = \"5GB\"\n";
    for (first, second) in [(limit, ""), ("", limit)] {
        let text = uplink("a", "192.0.2.1", first) + &uplink("b", "192.0.2.2", second);
        let error = Config::parse(&text, "uplinkd.toml").expect_err("refused");
        let error = error.to_string();
        assert!(error.contains("counted by its interface"), "{error}");
    }
    let text = uplink("a", "192.0.2.1", "") + &uplink("b", "192.0.2.2", "");
    Config::parse(&text, "uplinkd.toml").expect("a good file");
}

#[test]
fn a_long_interval_lengthens_the_standby_interval_with_it_and_a_short_window_shortens_it() {
    for (section, seconds) in [
        ("[probe]\ninterval = \"10s\"", 10),
        ("[health]\nwindow = \"3s\"", 3),
    ] {
        let text = format!("{section}\n{TWO_UPLINKS}");
        let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
        let standby = config.engine.uplinks[1].probe.standby_interval;
        assert_eq!(standby, Duration::from_secs(seconds), "{section}");
    }
}

#[test]
fn a_warm_standby_is_probed_every_five_minutes_unless_it_says_otherwise_itself() {
    for (common, own, seconds) in [
        ("", "", 300),
        ("[probe]\nstandby_interval = \"10s\"", "", 300),
        ("", "[uplink.probe]\nstandby_interval = \"2m\"", 120),
    ] {
        let text = format!("{common}\n{TWO_UPLINKS}standby = \"warm\"\n{own}\n");
        let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
        let [hot, warm] = &*config.engine.uplinks else {
            panic!("two uplinks");
        };
        assert_eq!(warm.standby, Standby::Warm);
        assert_eq!(warm.probe.standby_interval, Duration::from_secs(seconds));
        assert!(hot.probe.standby_interval <= Duration::from_secs(10));
    }
}

#[test]
fn a_cold_standby_lingers_for_five_minutes_and_is_never_exercised_unless_it_is_said() {
    let text = format!("{TWO_UPLINKS}standby = \"cold\"\n");
    let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
    assert_eq!(
        config.engine.uplinks[1].standby,
        Standby::Cold(defaults::COLD)
    );
    let text = format!(
        "{TWO_UPLINKS}standby = \"cold\"\nstandby_linger = \"0s\"\nready_within = \"90s\"\n\
         exercise_every = \"1d\"\n"
    );
    let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
    let cold = ColdSettings {
        linger: Duration::ZERO,
        ready_within: Duration::from_secs(90),
        exercise_every: Some(Duration::from_secs(86_400)),
    };
    assert_eq!(config.engine.uplinks[1].standby, Standby::Cold(cold));
}

#[test]
fn a_short_interval_shortens_the_confirm_interval_with_it() {
    let text = format!("[probe]\ninterval = \"50ms\"\n{TWO_UPLINKS}");
    let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
    let probe = &config.engine.uplinks[0].probe;
    assert_eq!(probe.confirm_interval, Duration::from_millis(50));
}

#[test]
fn two_uplinks_share_an_interface_if_their_next_hops_differ() {
    let uplink = |name: &str, gateway: &str| {
        format!(
            "[[uplink]]\nname = \"{name}\"\ninterface = \"eth1\"\ntier = 1\ngateway = \"{gateway}\"\n"
        )
    };
    let text = uplink("one", "192.0.2.1") + &uplink("two", "192.0.2.2");
    Config::parse(&text, "uplinkd.toml").expect("distinct next hops");
    let by_metric = format!("[routing]\nmode = \"main\"\n{text}");
    assert_eq!(
        refusal(&by_metric),
        "uplinkd.toml:10: [[uplink]] two: interface: \"eth1\": also the interface of the uplink on line \
         5; two uplinks on one interface need `routing.mode` \"table\""
    );
}

#[test]
fn an_uplink_may_be_named_by_its_network_instead_of_its_interface() {
    let uplink = |name: &str, network: &str| {
        format!("[[uplink]]\nname = \"{name}\"\ntier = 1\nnetwork = \"{network}\"\n")
    };
    let text = uplink("fiber", "wan") + &uplink("lte", "wwan");
    let config = Config::parse(&text, "uplinkd.toml").expect("two networks");
    let networks = config.networks.into_iter();
    let networks: Vec<_> = networks
        .map(|(uplink, followed)| format!("{uplink} {}", followed.network))
        .collect();
    assert_eq!(networks, ["fiber wan", "lte wwan"]);
    let without_ubus = format!("[agent]\nubus = \"off\"\n{}", uplink("fiber", "wan"));
    assert_eq!(
        refusal(&without_ubus),
        "uplinkd.toml:6: [[uplink]] fiber: network: \"wan\": must be left out while [agent] `ubus` is \
         \"off\": netifd reports its networks there"
    );
    let twice = uplink("fiber", "wan") + "interface = \"eth1\"\n" + &uplink("lte", "wan");
    assert_eq!(
        refusal(&twice),
        "uplinkd.toml:9: [[uplink]] lte: network: \"wan\": must be another network than that of an \
         uplink above"
    );
    let none = uplink("fiber", "");
    assert_eq!(
        refusal(&none),
        "uplinkd.toml:1: [[uplink]] fiber: interface: missing: the network interface, such as \"eth1\""
    );
}

#[test]
fn ubus_is_looked_for_unless_it_is_somewhere_else_or_unwanted() {
    let place = |value: &str| {
        let text = format!("[agent]\nubus = \"{value}\"\n{TWO_UPLINKS}");
        Config::parse(&text, "uplinkd.toml").map(|config| config.agent.ubus)
    };
    assert_eq!(place("auto").expect("a place"), UbusPlace::Auto);
    assert_eq!(place("off").expect("none"), UbusPlace::Off);
    let path = "/tmp/ubus.sock";
    assert_eq!(place(path).expect("a path"), UbusPlace::At(path.into()));
    assert_eq!(
        refusal(&format!("[agent]\nubus = \"tmp/ubus\"\n{TWO_UPLINKS}")),
        "uplinkd.toml:2: [agent]: ubus: \"tmp/ubus\": must be \"auto\", \"off\" or the absolute path of a \
         socket"
    );
}

#[test]
fn routes_stand_in_the_main_table_if_that_is_wanted() {
    let text = format!("[routing]\nmode = \"main\"\nmetric = 7\n{TWO_UPLINKS}");
    let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
    let expected = Numbering {
        mode: RoutingMode::Main,
        metric: Metric(7),
        ..Numbering::default()
    };
    assert_eq!(config.engine.numbering, expected);
}

#[test]
fn an_uplink_says_where_its_ipv6_goes_and_comes_from() {
    let uplink = |name: &str, rest: &str| {
        format!("[[uplink]]\nname = \"{name}\"\ninterface = \"{name}\"\ntier = 1\n{rest}\n")
    };
    let by_hand = "gateway6 = \"fe80::1\"\nprefixes = [\"2001:db8:1::/48\"]";
    let text = uplink("fiber", by_hand) + &uplink("lte", "prefixes = []");
    let config = Config::parse(&text, "uplinkd.toml").expect("a good file");
    let [fiber, lte] = config.engine.uplinks.as_slice() else {
        panic!("two uplinks");
    };
    let address = "fe80::1".parse().expect("an address");
    assert_eq!(fiber.gateway6, Gateway::Address(address));
    let prefix = "2001:db8:1::/48".parse().expect("a prefix");
    assert_eq!(fiber.prefixes, Prefixes::Listed(vec![prefix]));
    assert_eq!(lte.gateway6, Gateway::Auto);
    assert_eq!(lte.prefixes, Prefixes::Listed(Vec::new()));
    let within = uplink("lte", "prefixes = [\"2001:db8:1:2::/64\"]");
    let told = refusal(&(uplink("fiber", by_hand) + &within));
    assert!(
        told.contains("\"2001:db8:1:2::/64\": already on line 6"),
        "{told}"
    );
}

#[test]
fn a_file_without_an_uplink_is_refused() {
    let expected =
        "uplinkd.toml:1: uplink: missing: at least one uplink with name, interface and tier";
    assert_eq!(refusal(""), expected);
    assert_eq!(refusal("# only a comment\n"), expected);
}

#[test]
fn nesting_without_end_is_refused() {
    let said = refusal(&format!("x = {}", "[".repeat(100_000)));
    assert!(
        said.starts_with("uplinkd.toml:1: not valid TOML: "),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_a_configuration_is_refused_by_its_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let load = |path: &Path| Config::load(path).expect_err("it should be refused");
    let error = load(directory.path());
    let path = directory.path().display();
    assert_eq!(
        error.to_string(),
        format!("cannot read the configuration {path}")
    );
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(cause.starts_with("Is a directory"), "{cause}");

    let path = directory.path().join("uplinkd.toml");
    std::fs::write(&path, b"name = \"\xff\xfe\"").expect("a file");
    let said = load(&path).to_string();
    let told = "1: not valid UTF-8: the byte 0xff; save the file as UTF-8";
    assert_eq!(said, format!("{}:{told}", path.display()));

    std::fs::write(&path, vec![b'#'; 2 << 20]).expect("a file");
    let said = load(&path).to_string();
    assert_eq!(
        said,
        format!(
            "{}: larger than 1 MiB, the most that a configuration may have",
            path.display()
        )
    );
    let said = load(Path::new("/dev/zero")).to_string();
    assert_eq!(
        said,
        "/dev/zero: larger than 1 MiB, the most that a configuration may have"
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        drop(Config::parse(&text, "uplinkd.toml"));
    }

    #[test]
    fn no_shuffle_of_good_lines_and_wild_values_makes_the_parser_panic(
        lines in proptest::collection::vec((0..LINES.len(), 0..VALUES.len()), 0..40)
    ) {
        let line = |(line, value): &(usize, usize)| LINES[*line].replace('?', VALUES[*value]);
        let text = lines.iter().map(line).collect::<Vec<_>>().join("\n");
        drop(Config::parse(&text, "uplinkd.toml"));
    }
}

const LINES: &[&str] = &[
    "[agent]",
    "[probe]",
    "[health]",
    "[health.loss]",
    "[failover]",
    "[routing]",
    "[[uplink]]",
    "[uplink.probe]",
    "[uplink.health.latency]",
    "control = ?",
    "log = ?",
    "targets = [?, ?]",
    "quorum = ?",
    "interval = ?",
    "confirm_interval = ?",
    "standby_interval = ?",
    "window = ?",
    "enter = ?",
    "exit = ?",
    "policy = ?",
    "failback_after = ?",
    "[failover.damping]",
    "best_margin = ?",
    "suppress = ?",
    "longest = ?",
    "protocol = ?",
    "table = ?",
    "rule = ?",
    "default_rule = ?",
    "mode = ?",
    "metric = ?",
    "name = ?",
    "interface = ?",
    "tier = ?",
    "weight = ?",
    "gateway = ?",
    "gateway6 = ?",
    "metered = ?",
    "probe_budget = ?",
    "allowance = ?",
    "allowance_day = ?",
    "allowance_action = ?",
    "prefixes = ?",
    "standby = ?",
    "standby_linger = ?",
    "exercise_every = ?",
    "uplink = ?",
    "[[group]]",
    "[[rule]]",
    "uplinks = [?, ?]",
    "group = ?",
    "from = ?",
    "to = [?, ?]",
    "iif = ?",
    "sport = ?",
    "dport = ?",
    "fwmark = ?",
    "group_table = ?",
    "nexthop = ?",
    "probe = { interval = ?, interval = ? }",
    "? = ?",
];

const VALUES: &[&str] = &[
    "1",
    "0",
    "-1",
    "255",
    "32765",
    "4294967295",
    "9223372036854775807",
    "0xffffffffffffffffff",
    "1.5",
    "nan",
    "-inf",
    "true",
    "2026-11-20",
    "[]",
    "[[]]",
    "{}",
    "\"\"",
    "\"auto\"",
    "\"1s\"",
    "\"584942417355y\"",
    "\"-1s\"",
    "\"eth1\"",
    "\"1.1.1.1\"",
    "\"10.0.0.0/8\"",
    "\"5060-5080\"",
    "\"0x10/0xff\"",
    "\"fiber\"",
    "\"\\u0000\"",
    "\"tcp://1.1.1.1:0\"",
];

/// Two good uplinks and a group, `voice`, of which these rules speak.
fn with_rules(rules: &str) -> String {
    format!(
        "[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n[[uplink]]\nname = \"lte\"\n\
         interface = \"wwan0\"\ntier = 2\n[[group]]\nname = \"voice\"\nuplinks = [\"lte\", \"fiber\"]\n{rules}"
    )
}

#[test]
fn a_group_takes_its_policy_from_failover_and_a_rule_says_all_that_the_kernel_can() {
    let text = with_rules(
        "[[rule]]\ngroup = \"voice\"\nfrom = [\"192.168.1.20\", \"2001:db8::/48\"]\nto = \"198.51.100.0/24\"\n\
         iif = \"br-lan\"\nprotocol = \"udp\"\nsport = 5060\ndport = \"5000-6000\"\nfwmark = \"0x10/0xf0\"\n\
         [failover]\npolicy = \"balance\"\n",
    );
    let engine = Config::parse(&text, "f").expect("a good file").engine;
    assert_eq!(engine.groups[0].policy, Policy::Balance);
    let traffic = &engine.rules[0].traffic;
    assert!(traffic.is_of(Family::Ipv4) && !traffic.is_of(Family::Ipv6));
    let lookup = Rule::lookup(RulePriority(32_004), Family::Ipv4, TableId(11_800));
    let rules = traffic.rules(&lookup);
    assert_eq!(rules.len(), 1);
    assert_eq!(
        rules[0].from.map(|net| net.to_string()).as_deref(),
        Some("192.168.1.20/32")
    );
    assert_eq!(
        rules[0].dport,
        Some(Ports {
            first: 5000,
            last: 6000
        })
    );
    assert_eq!(
        (rules[0].mark, rules[0].mask),
        (Some(Mark(0x10)), Some(Mark(0xf0)))
    );
}

#[test]
fn hours_are_read_alike_from_a_text_a_list_and_uci() {
    let rule = |when: &str| {
        let text = format!(
            "[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n[[group]]\nname = \"voice\"\n\
             uplinks = [\"fiber\"]\n[[rule]]\ngroup = \"voice\"\niif = \"lan\"\nwhen = {when}\n"
        );
        // At other hours the next rule of the same traffic counts.
        let next = "[[rule]]\ngroup = \"voice\"\niif = \"lan\"\n";
        let is_covered = Config::parse(&(text.clone() + next), "uplinkd.toml").is_err();
        assert_eq!(is_covered, when == "\"always\"");
        let config = Config::parse(&text, "uplinkd.toml").expect("a configuration");
        config.engine.rules[0].when.to_string()
    };
    let of_uci = |when: &str| {
        let text = format!(
            "config globals\n\toption failover_failback_window 'sat,sun 02:00-05:00'\nconfig uplink fiber\n\
             \toption interface eth1\n\toption tier 1\nconfig group voice\n\toption uplinks fiber\n\
             config rule\n\toption group voice\n\toption iif lan\n{when}"
        );
        let config = Config::parse(&text, "uplinkd").expect("a configuration");
        assert_eq!(
            config.engine.failback_window.to_string(),
            "sat,sun 02:00-05:00"
        );
        config.engine.rules[0].when.to_string()
    };
    let both = "mon-fri 08:00-12:00, sat";
    assert_eq!(rule(&format!("\"{both}\"")), both);
    assert_eq!(rule("[\"mon-fri 08:00-12:00\", \"sat\"]"), both);
    assert_eq!(of_uci(&format!("\toption when '{both}'\n")), both);
    assert_eq!(
        of_uci("\tlist when 'mon-fri 08:00-12:00'\n\tlist when sat\n"),
        both
    );
    assert_eq!(rule("\"always\""), "");
    assert_eq!(of_uci("\toption when always\n"), "");
}

#[test]
fn rules_that_can_never_match_are_refused_with_their_lines() {
    let cases = [
        (
            "[[rule]]\ngroup = \"voice\"\ndport = 5060\n",
            "14: [[rule]] number 1: dport: 5060: must be beside a `protocol` that has ports",
        ),
        (
            "[[rule]]\ngroup = \"voice\"\nfrom = \"10.0.0.0/8\"\nto = \"2001:db8::/32\"\n",
            "15: [[rule]] number 1: to: the prefixes: must be of the family of those in `from`",
        ),
        (
            "[[rule]]\ngroup = \"voice\"\n",
            "12: [[rule]] number 1: from: missing: at least one of",
        ),
        (
            "[[rule]]\ngroup = \"voice\"\nfrom = \"10.0.0.0/8\"\n[[rule]]\ngroup = \"voice\"\n\
             from = \"10.1.0.0/16\"\nprotocol = \"tcp\"\n",
            "16: [[rule]] number 2: group: this rule is never reached: must be before the rule on line 13",
        ),
        (
            "[[rule]]\ngroup = \"voice\"\nwhen = \"sat\"\n",
            "12: [[rule]] number 1: from: missing: at least one of",
        ),
        (
            "[[rule]]\ngroup = \"voice\"\niif = \"lan\"\nwhen = \"sat\"\n[[rule]]\ngroup = \"voice\"\n\
             iif = \"lan\"\nwhen = \"sat\"\n",
            "17: [[rule]] number 2: group: this rule is never reached: must be before the rule on line 13",
        ),
        (
            "[routing]\ngroup_table = 11701\n",
            "13: [routing]: group_table: 11701: must be the first of 1 tables in a row",
        ),
        (
            "[[rule]]\ngroup = \"voice\"\niif = \"lan\"\n[routing]\nrule = 32761\n",
            "16: [routing]: rule: 32761: must be less than `default_rule` - 8, 32757",
        ),
    ];
    for (rules, expected) in cases {
        let error = Config::parse(&with_rules(rules), "f").expect_err(expected);
        let said = error.to_string();
        assert!(said.contains(expected), "{said}\nis not\n{expected}");
    }
}
