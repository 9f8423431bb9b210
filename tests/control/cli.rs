//! The command line as people, scripts and supervisors meet it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::agent::{Agent, event};
use nix::pty::{OpenptyResult, openpty};
use serde_json::{Value, json};
use uplinkd::engine::event::{EventKind, Side};
use uplinkd::engine::state::State;
use uplinkd::history::History;
use uplinkd::units::Timestamp;

/// The program with these arguments, far from any real configuration.
fn uplinkd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
    command.args(arguments).env_remove("NO_COLOR");
    command
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("a text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("a text")
}

fn file(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("uplinkd.toml");
    fs::write(&path, text).expect("a file");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn ago(seconds: u64) -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test shows ages"
    )]
    let now = SystemTime::now();
    Timestamp(now - Duration::from_secs(seconds))
}

/// A status in the form of the contract, of an agent that has just left its fibre.
pub(crate) fn status() -> Value {
    // In the middle of what is shown, so that it does not depend on how long a test takes.
    let since = ago((2 * 24 + 7) * 3600 + 1800).to_string();
    let switched = ago(3 * 3600 + 5 * 60 + 30).to_string();
    let outage = ago(5 * 3600 + 90).0;
    let began = Timestamp(outage - Duration::from_secs(12));
    let outage = json!({ "began": began.to_string(), "ended": Timestamp(outage).to_string() });
    let targets = json!([
        { "target": "1.1.1.1", "state": "down", "rtt_ms": null, "loss_percent": 100.0,
          "set_aside": "does not answer while others do" },
        { "target": "tcp://9.9.9.9:443", "state": "up", "rtt_ms": 12.14, "loss_percent": 0.0 },
    ]);
    json!({
        "version": "0.1.0", "mode": "auto", "policy": "failover", "active": ["lte"], "since": switched,
        "uplinks": [
            {
                "name": "fiber", "interface": "eth1", "tier": 1, "weight": 1, "state": "down",
                "active": false, "score": null, "loss_percent": 100.0, "rtt_ms": null,
                "rtt_p95_ms": null, "jitter_ms": null, "since": switched,
                "reason": "no answer from 2 of 2 targets for 1.1 s", "last_outage": outage,
                "in_doubt": false, "penalty": 0.0, "suppressed_until": null, "waits": null, "flows_on_failback": "keep",
                "families": ["ipv4"], "broken": [], "carries": [], "targets": targets,
                "learnt": { "loss_percent": 1.2, "probes": 3400.0, "burst_ms": 40.0, "dead_in_ms": 912.4, "patience_ms": 450.0,
                    "silences": 3.0 },
            },
            {
                "name": "lte", "interface": "wwan0", "tier": 2, "weight": 1, "state": "up",
                "active": true, "score": 81, "loss_percent": 0.4, "rtt_ms": 48.26,
                "rtt_p95_ms": 71.3, "jitter_ms": 7.0, "since": since, "reason": "answers", "last_outage": null,
                "in_doubt": false, "penalty": 0.0, "suppressed_until": null, "waits": null, "flows_on_failback": "keep",
                "families": ["ipv4"], "broken": [], "carries": ["ipv4"], "targets": [],
                "learnt": null,
            },
        ],
        "choices": { "switch": null, "disabled": {} },
        "groups": [],
        "routes": "in_place",
        "flow_memory": { "state": "on", "reason": null },
        "last_switch": {
            "at": switched, "from": ["fiber"], "to": ["lte"], "reason": "fiber is down",
        },
        "drill": { "running": null, "schedule": null, "next": null },
    })
}

fn start() -> Agent {
    start_with(&status())
}

pub(crate) fn start_with(status: &Value) -> Agent {
    let status = serde::Deserialize::deserialize(status).expect("the contract's schema");
    Agent::start(status, None)
}

#[test]
fn the_status_says_whose_choice_it_is_and_that_a_pin_keeps_the_traffic_where_it_is_of_no_use() {
    let mut status = status();
    status["mode"] = json!("manual");
    status["active"] = json!(["fiber"]);
    status["choices"]["switch"] = json!({
        "uplink": "fiber", "pinned": true, "by": "anna", "at": ago(7_350).to_string(),
    });
    status["choices"]["disabled"]["lte"] = json!({
        "by": null, "at": null, "draining": { "flows": 3, "until": ago(0).to_string() },
    });
    let shown = |status: &Value| {
        let agent = start_with(status);
        let told = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
        stdout(&told).to_owned()
    };
    let told = shown(&status);
    let line =
        "\npinned to fiber by anna, 2h 2m ago, which is down, and stays there until `auto`\n";
    assert!(told.contains(line), "{told}");
    let line = "disabled by hand; 3 established flows left, for 0s at most\n";
    assert!(told.contains(line), "{told}");
    status["active"] = json!(["lte"]);
    status["choices"]["switch"]["pinned"] = json!(false);
    let told = shown(&status);
    let line = "\nsent to fiber by anna, 2h 2m ago, which is down, so it goes elsewhere for now\n";
    assert!(told.contains(line), "{told}");
}

#[test]
fn help_names_every_command_and_succeeds() {
    let help = output(&mut uplinkd(&["--help"]));
    assert_eq!(code(&help), Some(0));
    for command in [
        "run",
        "check",
        "status",
        "history",
        "report",
        "switch",
        "auto",
        "disable",
        "enable",
        "drill",
        "forget",
        "allowance",
        "reload",
    ] {
        assert!(
            stdout(&help).contains(&format!("\n  {command} ")),
            "{command}"
        );
        let help = output(&mut uplinkd(&[command, "--help"]));
        assert_eq!(code(&help), Some(0), "{command}");
    }
    assert_eq!(stderr(&help), "");
}

#[test]
fn help_fits_80_columns_and_says_what_each_command_does() {
    let help = output(&mut uplinkd(&["--help"]));
    let listed = stdout(&help).lines().map(str::trim);
    let listed = listed.skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = listed.take_while(|line| !line.is_empty()).collect();
    assert!(commands.len() > 8, "{commands:?}");
    assert_eq!(commands.first().map(|line| &line[..4]), Some("run "));
    let mut abouts: Vec<_> = commands
        .iter()
        .filter_map(|line| line.split_once("  "))
        .map(|(_, about)| about.trim())
        .collect();
    abouts.sort_unstable();
    abouts.dedup();
    assert_eq!(abouts.len(), commands.len(), "{commands:?}");
    for command in commands.iter().filter_map(|line| line.split(' ').next()) {
        let own = output(&mut uplinkd(&[command, "--help"]));
        for line in stdout(&own).lines().chain(stdout(&help).lines()) {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}

#[test]
fn what_goes_wrong_is_folded_between_words_on_a_terminal_and_is_one_line_in_a_pipe() {
    let directory = tempfile::tempdir().expect("a directory");
    let lines = "[probe]\ntargets = [\"www.example.com\"]\n[[uplink]]\nname = \"a\"\ninterface = \"lo\"\ntier = 1\n";
    let path = file(directory.path(), lines);
    for arguments in [
        &["check", "--config", text(&path)][..],
        &["check", "--config", "/nowhere/uplinkd.toml"],
        &["disable", "fiber", "--drain=soon"],
        // Without a socket: that message names the agents that run on the machine, other tests' too.
        &["status", "--config", "/nowhere/uplinkd.toml"],
        &["history", "--config", "/nowhere/uplinkd.toml"],
    ] {
        let told = output(&mut uplinkd(arguments));
        let piped = stderr(&told).replace("/nowhere", "");
        assert!(piped.lines().any(|line| line.len() > 60), "{piped}");
        for columns in [60, 400] {
            let mut command = uplinkd(arguments);
            let shown = refused_on_a_terminal(command.env("COLUMNS", columns.to_string()));
            let is_short = |line: &str| line.chars().count() <= columns || !line.contains(' ');
            assert!(shown.lines().all(is_short), "{shown}");
            assert!(!shown.lines().any(|line| line.ends_with(' ')), "{shown:?}");
            let words = |text: &str| {
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(words(&shown), words(stderr(&told)));
            let are_alike = shown.lines().count() == stderr(&told).lines().count();
            assert_eq!(are_alike, columns == 400, "{shown}");
        }
    }
}

#[test]
fn a_span_that_is_none_is_answered_with_how_to_write_one() {
    for since in ["1", "-1h", "yesterday", ""] {
        let told = output(&mut uplinkd(&["history", "--since", since]));
        assert_eq!(code(&told), Some(2), "{since}");
        let expected = "write a span such as 24h or 7d";
        assert!(stderr(&told).contains(expected), "{}", stderr(&told));
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["statsu"],
        &["status", "--jsn"],
        &["switch"],
        &["switch", "-x/y"],
    ] {
        assert_eq!(
            code(&output(&mut uplinkd(arguments))),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = file(directory.path(), "[agent]\ncontrl = 1\n");
    let expected = format!(
        "{0}:1: uplink: missing: at least one uplink with name, interface and tier\n\
         {0}:2: [agent]: contrl: unknown key; did you mean `control`?\n",
        path.display()
    );
    for command in ["run", "check"] {
        let output = output(&mut uplinkd(&[command, "--config", text(&path)]));
        assert_eq!(code(&output), Some(2), "{command}");
        assert_eq!(stderr(&output), expected, "{command}");
        assert_eq!(stdout(&output), "", "{command}");
    }
}

#[test]
fn a_missing_configuration_ends_with_2_and_one_chain_of_causes() {
    let output = output(&mut uplinkd(&["run", "--config", "/nowhere/uplinkd.toml"]));
    assert_eq!(code(&output), Some(2));
    let said = stderr(&output);
    let what = "uplinkd: there is no configuration /nowhere/uplinkd.toml: copy the sample there";
    assert!(said.starts_with(what), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_level_of_the_log_that_is_none_ends_with_2() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = file(directory.path(), include_str!("../../config/uplinkd.toml"));
    let mut run = uplinkd(&["run", "--config", text(&path)]);
    let output = output(run.env("UPLINKD_LOG", "loud"));
    assert_eq!(code(&output), Some(2));
    let expected = "uplinkd: UPLINKD_LOG=loud: must be error, warn, info, debug or trace\n";
    assert_eq!(stderr(&output), expected);
}

#[test]
fn without_an_agent_each_question_ends_with_3() {
    let questions = [
        &["status"][..],
        &["switch", "lte"],
        &["auto"],
        &["disable", "lte"],
        &["enable", "lte"],
        &["forget", "lte"],
        &["allowance", "lte", "--used", "1GB"],
        &["reload"],
    ];
    for question in questions {
        let mut command = uplinkd(question);
        let output = output(command.args(["--socket", "/nowhere/control.sock"]));
        assert_eq!(code(&output), Some(3), "{question:?}");
        assert_eq!(stdout(&output), "");
        // In the brackets stands where others run, those of other tests among them.
        let said = stderr(&output);
        let what = "uplinkd: cannot reach the agent at /nowhere/control.sock (";
        assert!(said.starts_with(what), "{said}");
        let why = "): No such file or directory (os error 2)\n";
        assert!(said.ends_with(why), "{said}");
    }
}

#[test]
fn an_agent_at_another_socket_than_the_configured_one_is_named() {
    let agent = start();
    let told = output(&mut uplinkd(&["auto", "--socket", "/nowhere/control.sock"]));
    assert_eq!(code(&told), Some(3));
    let said = stderr(&told);
    assert!(said.contains("an agent is running at "), "{said}");
    assert!(said.contains(text(&agent.path())), "{said}");
    assert!(said.contains("name it by --socket"), "{said}");
}

#[test]
#[ignore = "needs root, to be two users: tests/vm/run tests"]
fn an_agent_that_may_not_make_its_socket_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("our own");
    let lines = "[agent]\ncontrol = \"/root/uplinkd-none/control.sock\"\n[[uplink]]\nname = \"a\"\ninterface = \"lo\"\ntier = 1\n";
    let path = file(directory.path(), lines);
    let copy = directory.path().join("uplinkd");
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_uplinkd"))
        .arg(&copy)
        .status();
    assert!(copied.expect("cp").success());
    let mut command = Command::new(copy);
    command
        .args(["run", "--observe", "--config", text(&path)])
        .uid(STRANGER)
        .gid(STRANGER)
        .current_dir("/");
    let told = output(&mut command);
    assert_eq!(code(&told), Some(1), "{}", stderr(&told));
    let said = stderr(&told);
    assert!(
        said.contains("start the agent as root, or set `agent.control`"),
        "{said}"
    );
}

#[test]
fn the_socket_is_found_through_the_configuration() {
    let agent = start();
    let directory = tempfile::tempdir().expect("a directory");
    let sample = include_str!("../../config/uplinkd.toml");
    let control = format!("control = \"{}\"", agent.path().display());
    let path = file(
        directory.path(),
        &sample.replace("#control = \"/run/uplinkd/control.sock\"", &control),
    );
    let output = output(&mut uplinkd(&["status", "--json", "--config", text(&path)]));
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

#[test]
fn a_second_agent_says_so_and_ends_with_2() {
    let agent = start();
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!(
        "[agent]\ncontrol = \"{}\"\n[[uplink]]\nname = \"a\"\ninterface = \"nosuch0\"\ntier = 1\n",
        agent.path().display()
    );
    let path = file(directory.path(), &config);
    let output = output(&mut uplinkd(&["run", "--config", text(&path)]));
    assert_eq!(code(&output), Some(2));
    let expected = format!(
        "another agent is running: it answers at {}\n",
        agent.path().display()
    );
    assert!(stderr(&output).ends_with(&expected), "{}", stderr(&output));
}

#[test]
fn the_status_is_a_table_without_colour_in_a_pipe() {
    let agent = start();
    let output = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
    assert_eq!(code(&output), Some(0));
    let expected = "\
active: lte for 3h 5m (automatic, policy failover)

   UPLINK  INTERFACE  TIER  STATE  SCORE     LOSS      RTT  JITTER    FOR
   fiber   eth1       1     down       -  100.0 %        -       -  3h 5m
           no answer from 2 of 2 targets for 1.1 s
*  lte     wwan0      2     up        81    0.4 %  48.3 ms  7.0 ms  2d 7h
           answers

last switch 3h 5m ago: fiber -> lte, fiber is down
";
    let said = stdout(&output);
    assert_eq!(said, expected);
    assert!(said.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn the_status_names_the_family_that_moved_last_where_the_other_stayed() {
    let mut status = status();
    status["last_switch"]["family"] = json!("ipv6");
    let agent = start_with(&status);
    let output = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
    let said = stdout(&output);
    let expected = "last switch 3h 5m ago: IPv6: fiber -> lte, fiber is down\n";
    assert!(said.ends_with(expected), "{said}");
}

#[test]
fn the_status_says_how_long_an_uplink_that_keeps_falling_has_to_wait() {
    let mut status = status();
    status["uplinks"][0]["penalty"] = json!(3.24);
    // Half a minute more than is looked for, so that it does not depend on how long a test takes.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test shows how long it is until then"
    )]
    let until = SystemTime::now() + Duration::from_secs(2 * 3600 + 17 * 60 + 30);
    status["uplinks"][0]["suppressed_until"] = json!(Timestamp(until).to_string());
    let agent = start_with(&status);
    let output = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
    let expected = "
           no answer from 2 of 2 targets for 1.1 s
           keeps falling (penalty 3.2): no failback for 2h 17m
*  lte ";
    let said = stdout(&output);
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_status_says_of_each_rule_with_hours_whether_it_applies_and_for_how_long() {
    let mut status = status();
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test shows how long it is until then"
    )]
    let until = Timestamp(SystemTime::now() + Duration::from_secs(7_200 + 30)).to_string();
    let rule = |number, applies, until| json!({ "rule": number, "group": "voice", "when": ["mon-fri 08:00-18:00", "sat"], "applies": applies, "until": until });
    status["rules"] = json!([
        rule(1, true, json!(until)),
        rule(3, false, json!(until)),
        rule(4, false, json!(null)),
    ]);
    let agent = start_with(&status);
    let mut status = uplinkd(&["status", "--socket", text(&agent.path())]);
    let output = output(status.env("COLUMNS", "200"));
    let said = stdout(&output);
    for line in [
        "rule 1 for voice: applies for another 2h 0m (`mon-fri 08:00-18:00, sat`)",
        "rule 3 for voice: does not apply for another 2h 0m (`mon-fri 08:00-18:00, sat`)",
        "rule 4 for voice: does not apply: the clock is not set (`mon-fri 08:00-18:00, sat`)",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn the_status_says_what_a_preferred_uplink_that_is_well_waits_for() {
    let mut status = status();
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test shows how long it is until then"
    )]
    let until = Timestamp(SystemTime::now() + Duration::from_secs(600 + 30)).to_string();
    for (waits, expected) in [
        (
            json!({ "for": "failback_after", "until": until }),
            "carries the traffic again in 10m",
        ),
        (
            json!({ "for": "failback_manual", "until": null }),
            "`uplinkd auto` sends the traffic back",
        ),
        (
            json!({ "for": "choice", "until": null }),
            "the traffic was sent to lte by hand",
        ),
        (
            json!({ "for": "doubt", "until": null }),
            "waits for an answer",
        ),
        (
            json!({ "for": "failback_window", "until": until }),
            "ready; `failback_window` opens in 10m",
        ),
        (
            json!({ "for": "failback_window", "until": null }),
            "is closed while the clock is not set",
        ),
    ] {
        status["uplinks"][0]["waits"] = waits;
        let agent = start_with(&status);
        let output = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
        let said = stdout(&output);
        let note = said.lines().find(|line| line.contains(expected));
        let note = note.unwrap_or_else(|| panic!("{expected} in {said}"));
        assert!(note.chars().count() <= 80, "{note}");
    }
}

#[test]
fn the_status_says_how_long_flows_stay_where_the_traffic_left_them() {
    let mut status = status();
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test shows how long it is until then"
    )]
    let until = SystemTime::now() + Duration::from_secs(3600 + 17 * 60 + 30);
    status["uplinks"][1]["flows_until"] = json!(Timestamp(until).to_string());
    let agent = start_with(&status);
    let output = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
    let expected = "answers\n           flows that began here stay for 1h 17m at most\n";
    let said = stdout(&output);
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_status_says_what_is_used_of_an_allowance_from_three_quarters_on_or_where_it_is_asked_for() {
    for (action, tenths, shown, of_one) in [
        (
            "warn",
            300_u32,
            None,
            "30 GB of 100 GB (30 %); since 2026-11-01, until 2026-12-01",
        ),
        (
            "warn",
            765,
            Some("(76.5 %);"),
            "76.5 GB of 100 GB (76.5 %);",
        ),
        (
            "last_resort",
            1_000,
            Some("(100 %): used up, the last"),
            "used up, the last resort",
        ),
        (
            "off",
            1_010,
            Some("(101 %): used up, carries no traffic"),
            "carries no traffic",
        ),
    ] {
        let mut status = status();
        status["uplinks"][1]["allowance"] = json!({
            "limit_bytes": 100_000_000_000_u64, "used_bytes": u64::from(tenths) * 100_000_000, "used_percent": f64::from(tenths) / 10.0, "action": action,
            "begins": "2026-11-01", "ends": "2026-12-01",
        });
        let agent = start_with(&status);
        let said = |words: &[&str]| {
            let socket = agent.path();
            let words = [words, &["--socket", text(&socket)]].concat();
            let said = output(uplinkd(&words).env("COLUMNS", "200"));
            stdout(&said).to_owned()
        };
        let all = said(&["status"]);
        match shown {
            Some(shown) => assert!(all.contains(shown), "{all}"),
            None => assert!(!all.contains("allowance"), "{all}"),
        }
        let one = said(&["status", "lte"]);
        assert!(one.contains(of_one), "{one}");
    }
}

#[test]
fn how_much_of_an_allowance_is_used_must_be_said() {
    let agent = start();
    let socket = agent.path();
    let said = |words: &[&str]| {
        output(&mut uplinkd(
            &[words, &["--socket", text(&socket)]].concat(),
        ))
    };
    let done = said(&["allowance", "lte", "--used", "1.5GB"]);
    assert_eq!(stdout(&done), "allowance lte --used 1.5GB\n");
    let missing = said(&["allowance", "lte"]);
    assert_eq!(code(&missing), Some(2));
    assert!(
        stderr(&missing).contains("--used <BYTES> is missing"),
        "{}",
        stderr(&missing)
    );
    let wrong = said(&["allowance", "lte", "--used", "12"]);
    assert_eq!(code(&wrong), Some(2));
    assert!(
        stderr(&wrong).contains("such as 12GB"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
fn the_status_of_one_uplink_has_its_targets() {
    let agent = start();
    let output = output(&mut uplinkd(&[
        "status",
        "fiber",
        "--socket",
        text(&agent.path()),
    ]));
    assert_eq!(code(&output), Some(0));
    let said = stdout(&output);
    assert!(
        said.contains("tcp://9.9.9.9:443  up         12.1 ms    0.0 % loss"),
        "{said}"
    );
    for line in [
        "lost 1.2 % of 3400 probes while healthy, in bursts of 40 ms\n",
        "last outage: 12.0 s, ended 5h 1m ago\n",
        "learnt from 3 silences of 0.45 s or more that ended\n",
        "a silence is waited for 0.45 s, an outage is declared after 0.9 s\n",
        "set aside: does not answer while others do",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("wwan0"));
}

#[test]
fn the_status_in_json_is_what_the_contract_says() {
    let expected = status();
    let agent = start_with(&expected);
    let output = output(&mut uplinkd(&[
        "status",
        "--json",
        "--socket",
        text(&agent.path()),
    ]));
    let said: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    let said = said.as_object().expect("an object");
    let keys: Vec<_> = said.keys().collect();
    let expected_keys: Vec<_> = expected.as_object().expect("an object").keys().collect();
    assert_eq!(keys, expected_keys);
    assert_eq!(said["uplinks"], expected["uplinks"]);
}

#[test]
fn the_agent_answers_its_history_and_without_an_agent_its_files_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut history, _) = History::open(directory.path());
    for number in [1, 2] {
        history.note(&event(number)).expect("written");
    }
    let agent = start();
    let lines = format!(
        "[agent]\ncontrol = {:?}\nstate_dir = {:?}\n[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n",
        agent.path(),
        directory.path()
    );
    let path = file(directory.path(), &lines);
    let ask = |more: &[&str]| {
        let arguments = [&["history", "--config", text(&path)], more].concat();
        output(&mut uplinkd(&arguments))
    };
    let reasons = |output: &Output| {
        let events: Vec<Value> = serde_json::from_str(stdout(output)).expect("a list");
        let reasons = events.iter().map(|event| event["reason"].to_string());
        reasons.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(reasons(&ask(&["--json"])), "\"0\" \"1\"");
    let three_seconds = ask(&["--json", "--since", "3s"]);
    assert_eq!(reasons(&three_seconds), "\"0\" \"1\" \"2\"");
    assert_eq!(stdout(&ask(&[])).lines().count(), 2);
    drop(agent);
    let alone = ask(&["--json"]);
    assert_eq!(code(&alone), Some(0), "{}", stderr(&alone));
    assert_eq!(reasons(&alone), "\"1\" \"2\"");
    assert!(stderr(&alone).contains("the latest events may be missing"));
    // All of it is from 1970.
    assert_eq!(reasons(&ask(&["--json", "--since", "7d"])), "");
    let newer = directory.path().join("history.jsonl");
    let torn = fs::read_to_string(&newer)
        .expect("there")
        .replacen('{', "", 1);
    fs::write(&newer, torn).expect("our own file");
    let told = ask(&["--json"]);
    assert_eq!(reasons(&told), "\"2\"");
    let said = stderr(&told).matches("history.jsonl is damaged").count();
    assert_eq!(said, 1, "{}", stderr(&told));
    assert!(stderr(&told).contains("line 1 of "), "{}", stderr(&told));
}

#[test]
fn the_report_comes_from_the_history_in_three_forms() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut history, _) = History::open(directory.path());
    // As good as the whole of a hundred years.
    let year = 31_557_600;
    let down = UNIX_EPOCH + Duration::from_secs(55 * year);
    for (kind, state, second) in [
        (EventKind::UplinkUp, State::Up, 0),
        (EventKind::UplinkDown, State::Down, 1_000),
        (EventKind::UplinkRecovering, State::Recovering, 1_090),
        (EventKind::UplinkUp, State::Up, 2_000),
    ] {
        let mut event = event(1);
        event.at = Timestamp(down + Duration::from_secs(second));
        event.event = kind;
        event.uplink = Some("fiber".parse().expect("a name"));
        event.to = Some(Side::State(state));
        history.note(&event).expect("it waits");
    }
    history.write().expect("written");
    let lines = format!(
        "[agent]\ncontrol = \"/nowhere/a.sock\"\nstate_dir = {:?}\n[[uplink]]\nname = \"fiber\"\ninterface = \"lo\"\ntier = 1\n",
        directory.path()
    );
    let path = file(directory.path(), &lines);
    let ask = |more: &[&str]| {
        let arguments = ["report", "--since", "36500d", "--config", text(&path)];
        output(&mut uplinkd(&[&arguments, more].concat()))
    };
    let told = ask(&["--json"]);
    assert_eq!(code(&told), Some(0), "{}", stderr(&told));
    let report: Value = serde_json::from_str(stdout(&told)).expect("one object");
    let fiber = &report["uplinks"][0];
    assert_eq!(fiber["name"], "fiber");
    assert_eq!(fiber["outages"], 1);
    assert_eq!(fiber["outage_s"], 90);
    assert_eq!(fiber["available_percent"], json!(95.5));
    assert_eq!(report["outages"][0]["begin"], "2024-12-31T18:16:40Z");
    let table = ask(&["--csv"]);
    assert!(
        stdout(&table).contains("\r\nfiber,2024-12-31T18:16:40Z,2024-12-31T18:18:10Z,90,,"),
        "{}",
        stdout(&table)
    );
    assert!(
        stdout(&ask(&[])).contains("95.500 %"),
        "{}",
        stdout(&ask(&[]))
    );
    assert_eq!(code(&ask(&["--json", "--csv"])), Some(2));
}

#[test]
fn an_event_is_one_line_in_a_pipe_whatever_its_reason_holds() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut history, _) = History::open(directory.path());
    let mut refused = event(1);
    refused.reason = "a.toml:1: wrong\na.toml:2: wrong as well".to_owned();
    history.note(&refused).expect("written");
    let lines = format!(
        "[agent]\ncontrol = \"/nowhere/a.sock\"\nstate_dir = {:?}\n[[uplink]]\nname = \"a\"\ninterface = \"lo\"\ntier = 1\n",
        directory.path()
    );
    let path = file(directory.path(), &lines);
    let told = output(&mut uplinkd(&["history", "--config", text(&path)]));
    assert!(
        stdout(&told).ends_with(": a.toml:1: wrong; a.toml:2: wrong as well\n"),
        "{}",
        stdout(&told)
    );
    assert_eq!(stdout(&told).lines().count(), 1);
}

#[test]
fn an_unknown_uplink_is_told_with_those_that_there_are() {
    let agent = start();
    let output = output(&mut uplinkd(&[
        "status",
        "fibre",
        "--socket",
        text(&agent.path()),
    ]));
    assert_eq!(code(&output), Some(2));
    assert_eq!(
        stderr(&output),
        "uplinkd: no uplink `fibre`; there are fiber, lte\n"
    );
}

#[test]
fn a_command_for_an_unknown_uplink_names_those_that_there_are_and_ends_with_2() {
    let agent = start();
    let socket = agent.path();
    for command in ["switch", "disable", "enable", "forget"] {
        let told = output(&mut uplinkd(&[command, "lt", "--socket", text(&socket)]));
        assert_eq!(code(&told), Some(2), "{command}");
        assert_eq!(
            stderr(&told),
            "uplinkd: no uplink `lt`; there are fiber, lte\n"
        );
    }
}

#[test]
fn the_status_says_that_a_drill_goes_on_or_when_the_next_one_begins() {
    let mut status = status();
    let shown = |status: &Value| {
        let agent = start_with(status);
        let told = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
        stdout(&told).to_owned()
    };
    let soon = ago(0).0 + Duration::from_secs(3 * 3_600 + 330);
    status["drill"]["schedule"] = json!("sun 03:30");
    for (next, line) in [
        (json!(null), "once the clock is set"),
        (json!(Timestamp(soon).to_string()), "in 3h 5m"),
    ] {
        status["drill"]["next"] = next;
        let told = shown(&status);
        let line = format!("\nnext drill {line} (`sun 03:30`)\n");
        assert!(told.contains(&line), "{told}");
    }
    status["drill"]["running"] = json!("fiber");
    let told = shown(&status);
    let line = "\na drill: the path of fiber fails on purpose\n";
    assert!(told.contains(line), "{told}");
}

#[test]
fn a_drill_without_a_terminal_needs_yes_and_a_length_that_it_may_have() {
    let agent = start();
    let socket = agent.path();
    let drill = |arguments: &[&str]| {
        let arguments = [&["drill"], arguments, &["--socket", text(&socket)]].concat();
        output(uplinkd(&arguments).stdin(std::process::Stdio::null()))
    };
    let silent = drill(&["fiber"]);
    assert_eq!(code(&silent), Some(2));
    assert!(stderr(&silent).contains("--yes"), "{}", stderr(&silent));
    let unknown = drill(&["lt", "--yes"]);
    assert_eq!(code(&unknown), Some(2), "{}", stderr(&unknown));
    for wrong in ["0s", "11m", "soon"] {
        let told = drill(&["fiber", "--yes", "--for", wrong]);
        assert_eq!(code(&told), Some(2), "{wrong}");
        assert!(stderr(&told).contains("1s to 10m"), "{}", stderr(&told));
    }
}

#[test]
fn a_limit_of_a_drain_is_taken_or_said_how_to_write() {
    let agent = start();
    let socket = agent.path();
    let drain = |arguments: &[&str]| {
        let arguments = [&["disable"], arguments, &["--socket", text(&socket)]].concat();
        output(&mut uplinkd(&arguments))
    };
    let taken = [
        ("--drain", "disable lte --drain=10m\n"),
        ("--drain=2h", "disable lte --drain=2h\n"),
    ];
    for (limit, command) in taken {
        assert_eq!(stdout(&drain(&["lte", limit])), command);
    }
    for wrong in ["--drain=-2h", "--drain=0s", "--drain=8d", "--drain=soon"] {
        let told = drain(&["lte", wrong]);
        assert_eq!(code(&told), Some(2), "{wrong}");
        let said = stderr(&told);
        assert!(
            said.contains("from 1s to 7days, such as --drain=2h"),
            "{said}"
        );
    }
    for apart in [["lte", "--drain", "2h"], ["--drain", "2h", "lte"]] {
        let told = drain(&apart);
        assert_eq!(code(&told), Some(2));
        let said = stderr(&told);
        assert!(
            said.contains("follows an equals sign: --drain=2h"),
            "{said}"
        );
    }
}

#[test]
fn a_granted_wish_ends_with_0_and_a_refused_one_with_1_and_the_reason() {
    let agent = start();
    let socket = agent.path();
    let granted = output(&mut uplinkd(&["switch", "lte", "--socket", text(&socket)]));
    assert_eq!(code(&granted), Some(0));
    assert!(stdout(&granted).contains("lte"));
    let refused = output(&mut uplinkd(&["reload", "--socket", text(&socket)]));
    assert_eq!(code(&refused), Some(1));
    assert_eq!(stderr(&refused), "uplinkd: not now\n");
}

#[test]
fn a_watch_for_machines_is_one_status_a_line() {
    let agent = start();
    let mut watch = Watch::start(&[
        "status",
        "--watch",
        "--json",
        "--socket",
        text(&agent.path()),
    ]);
    let first = watch.line();
    agent.happen(2);
    for line in [first, watch.line(), watch.line()] {
        let status: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!(status["active"], json!(["lte"]));
    }
}

#[test]
fn where_two_uplinks_carry_a_family_each_the_table_says_which() {
    let mut status = status();
    status["active"] = json!(["fiber", "lte"]);
    status["uplinks"][0]["carries"] = json!(["ipv4"]);
    status["uplinks"][1]["carries"] = json!(["ipv6"]);
    let agent = start_with(&status);
    let output = output(&mut uplinkd(&["status", "--socket", text(&agent.path())]));
    let shown = stdout(&output);
    assert!(shown.contains("answers (carries IPv6)"), "{shown}");
    assert!(shown.contains(" s (carries IPv4)"), "{shown}");
}

#[test]
fn a_watch_in_a_pipe_is_the_table_and_then_one_event_a_line() {
    let agent = start();
    let mut watch = Watch::start(&["status", "--watch", "--socket", text(&agent.path())]);
    while !watch.line().starts_with("last switch") {}
    agent.happen(1);
    let event = event(0);
    assert_eq!(
        watch.line(),
        format!("{}  {}: {}\n", event.at, event.event, event.reason)
    );
}

#[test]
fn a_watch_goes_on_with_the_next_agent_and_ends_with_its_reader_while_there_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("socket");
    let agent = start();
    symlink(agent.path(), &socket).expect("a link");
    let mut watch = Watch::start(&["status", "--watch", "--json", "--socket", text(&socket)]);
    assert!(watch.line().contains("\"active\":[\"lte\"]"));
    drop(agent);
    fs::remove_file(&socket).expect("the link");
    let mut other = status();
    other["active"] = json!(["fiber"]);
    let agent = start_with(&other);
    symlink(agent.path(), &socket).expect("a link");
    assert!(watch.line().contains("\"active\":[\"fiber\"]"));
    drop(agent);
    watch.close();
    assert_eq!(watch.child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_watch_of_no_agent_ends_with_3() {
    let mut watch = Watch::start(&["status", "--watch", "--socket", "/nonexistent/socket"]);
    assert_eq!(watch.child.wait().expect("an end").code(), Some(3));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let agent = start();
    let mut watch = Watch::start(&[
        "status",
        "--watch",
        "--json",
        "--socket",
        text(&agent.path()),
    ]);
    watch.line();
    watch.close();
    // A program that another test is just starting may hold the pipe open until its `exec`.
    let status = loop {
        agent.happen(1);
        if let Some(status) = watch.child.try_wait().expect("our child") {
            break status;
        }
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn colour_is_for_terminals_and_never_with_no_color() {
    const ESCAPE: &str = "\x1b[";
    let agent = start();
    let path = agent.path();
    let arguments = ["status", "--socket", text(&path)];
    assert!(on_a_terminal(&mut uplinkd(&arguments)).contains(ESCAPE));
    assert!(!on_a_terminal(uplinkd(&arguments).env("NO_COLOR", "1")).contains(ESCAPE));
    assert!(!stdout(&output(&mut uplinkd(&arguments))).contains(ESCAPE));
}

#[test]
#[ignore = "needs root, to be two users: tests/vm/run tests"]
fn a_stranger_is_refused_even_where_the_file_lets_him_in() {
    let agent = start();
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    };
    open(&agent.path(), 0o666);
    open(agent.path().parent().expect("a directory"), 0o755);
    let program = tempfile::tempdir().expect("a directory");
    open(program.path(), 0o755);
    let copy = program.path().join("uplinkd");
    // Were it written by this program, whatever another test is just starting would hold it open for
    // writing, and it could not be run.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_uplinkd"))
        .arg(&copy)
        .status();
    assert!(copied.expect("cp").success());
    let path = agent.path();
    let mut command = Command::new(copy);
    command
        .args(["status", "--socket", text(&path)])
        .uid(STRANGER)
        .gid(STRANGER)
        .current_dir("/");
    let output = output(&mut command);
    assert_eq!(
        stderr(&output),
        "uplinkd: only root and the socket's group may talk to the agent\n"
    );
    assert_eq!(code(&output), Some(1));
}

#[test]
fn check_ends_with_1_for_an_interface_that_is_not_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = "[[uplink]]\nname = \"a\"\ninterface = \"nosuch0\"\ntier = 1\n";
    let path = file(directory.path(), config);
    let told = output(&mut uplinkd(&["check", "--config", text(&path)]));
    assert_eq!(code(&told), Some(1));
    assert!(stdout(&told).contains("error    uplink a: interface nosuch0 does not exist\n"));
    let told = output(&mut uplinkd(&["check", "--json", "--config", text(&path)]));
    assert_eq!(code(&told), Some(1));
    let report: Value = serde_json::from_str(stdout(&told)).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let missing = findings
        .iter()
        .find(|finding| finding["object"] == "uplink a");
    assert_eq!(missing.expect("a finding")["severity"], "error");
}

#[test]
fn check_tells_machines_of_a_wrong_configuration_as_well() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = file(directory.path(), "[probe]\nquorum = 0\n");
    let told = output(&mut uplinkd(&["check", "--json", "--config", text(&path)]));
    assert_eq!(code(&told), Some(2));
    let report: Value = serde_json::from_str(stdout(&told)).expect("JSON");
    assert_eq!(report["errors"], 2);
    assert_eq!(
        report["findings"][1]["object"],
        format!("{}:2", path.display())
    );
    assert_eq!(
        report["findings"][1]["what"],
        "[probe]: quorum: 0: must be 1 to 16"
    );
}

#[cfg(feature = "packaging")]
#[test]
fn packagers_get_completions_for_each_shell_and_a_page_that_names_every_command() {
    let help = output(&mut uplinkd(&["--help"]));
    let commands = stdout(&help).lines().filter_map(|line| {
        let word = line.strip_prefix("  ")?.split(' ').next()?;
        word.starts_with(char::is_alphabetic).then_some(word)
    });
    let commands: Vec<_> = commands.collect();
    assert!(commands.contains(&"switch"), "{commands:?}");
    let page = output(&mut uplinkd(&["man"]));
    assert!(stdout(&page).contains(".TH uplinkd 8"));
    for command in &commands {
        assert!(
            stdout(&page).contains(&format!(".TP\n\\fB{command}")),
            "{command}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let told = output(&mut uplinkd(&["completions", shell]));
        for command in &commands {
            assert!(stdout(&told).contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(
        code(&output(&mut uplinkd(&["completions", "csh"]))),
        Some(2)
    );
}

/// What bash offers for the last of these words, with this program as `uplinkd`.
#[cfg(feature = "packaging")]
fn offered(directory: &Path, more: &str, words: &[&str]) -> Vec<String> {
    let program = directory.join("uplinkd");
    let script = format!(
        "#!/bin/sh\nexec {} \"$@\" {more}\n",
        env!("CARGO_BIN_EXE_uplinkd")
    );
    fs::write(&program, script).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let completions = output(&mut uplinkd(&["completions", "bash"]));
    let last = words.len() - 1;
    let asked = format!(
        "{}\nCOMP_WORDS=(\"$@\") COMP_CWORD={last}\n\
         eval \"$(complete -p uplinkd | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\" uplinkd '{}' '{}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        stdout(&completions),
        words[last],
        words[last - 1],
    );
    let search = format!("{}:/usr/bin:/bin", directory.display());
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", &asked, "bash"]).args(words);
    let shown = output(bash.env("PATH", search));
    stdout(&shown).lines().map(str::to_owned).collect()
}

#[cfg(feature = "packaging")]
#[test]
fn bash_completes_the_uplinks_of_the_agent_else_of_the_configuration_and_scenarios() {
    let agent = start();
    let directory = tempfile::tempdir().expect("a directory");
    let config = file(
        directory.path(),
        "[[uplink]]\nname = \"dsl\"\ninterface = \"eth1\"\ntier = 1\n[[uplink]]\nname = \"lte-2\"\ninterface = \"wwan0\"\ntier = 2\n",
    );
    let running = format!("--socket {}", text(&agent.path()));
    let absent = format!("--socket {0}.gone --config {0}", text(&config));
    let offers = |more: &str, words: &[&str]| offered(directory.path(), more, words);
    assert_eq!(
        offers(&running, &["uplinkd", "switch", ""]),
        ["fiber", "lte"]
    );
    assert_eq!(offers(&running, &["uplinkd", "status", "l"]), ["lte"]);
    assert_eq!(
        offers(&absent, &["uplinkd", "drill", "--yes", ""]),
        ["dsl", "lte-2"]
    );
    assert_eq!(offers("", &["uplinkd", "lab", "black"]), ["blackhole"]);
    let options = offers(&running, &["uplinkd", "switch", "--p"]);
    assert_eq!(options, ["--pin"]);
    assert!(!offers(&running, &["uplinkd", "drill", "--for", ""]).contains(&"lte".to_owned()));
}

#[test]
fn the_limit_of_a_drain_is_written_behind_an_equals_sign() {
    let told = output(&mut uplinkd(&[
        "disable",
        "--drain",
        "fiber",
        "--socket",
        "/nonexistent",
    ]));
    assert_eq!(code(&told), Some(3), "{}", stderr(&told));
    let told = output(&mut uplinkd(&["disable", "fiber", "--drain=soon"]));
    assert_eq!(code(&told), Some(2), "{}", stderr(&told));
}

const STRANGER: u32 = 65_534;

/// A program that goes on printing.
struct Watch {
    child: Child,
    lines: Option<BufReader<std::process::ChildStdout>>,
}

impl Watch {
    fn start(arguments: &[&str]) -> Self {
        let mut command = uplinkd(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the program");
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let lines = self.lines.as_mut().expect("an open pipe");
        lines.read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "the program has ended");
        line
    }

    fn close(&mut self) {
        self.lines = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the program prints when its standard output is a terminal.
fn on_a_terminal(command: &mut Command) -> String {
    on(openpty(None, None).expect("a terminal"), command)
}

fn on(terminal: OpenptyResult, command: &mut Command) -> String {
    command.stdin(Stdio::null()).stdout(terminal.slave);
    let mut child = command.spawn().expect("the program");
    child.wait().expect("an end");
    // Until the command goes, it holds the terminal open, and the reading would not end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut said = Vec::new();
    // A terminal whose other side is closed reads as an error.
    drop(fs::File::from(terminal.master).read_to_end(&mut said));
    String::from_utf8(said).expect("a text")
}

/// What the program prints when all it prints goes to a terminal.
fn refused_on_a_terminal(command: &mut Command) -> String {
    let terminal = openpty(None, None).expect("a terminal");
    let errors = terminal.slave.try_clone().expect("a terminal");
    command.stderr(errors);
    let shown = on(terminal, command);
    shown.replace('\r', "")
}

#[test]
fn the_status_and_the_history_fit_the_columns_there_are_without_breaking_a_word() {
    let mut status = status();
    let reason =
        "answers again, but not for long enough: its failback waits for sixty seconds of health";
    status["uplinks"][0]["reason"] = json!(reason);
    status["uplinks"][0]["state"] = json!("recovering");
    status["uplinks"][0]["name"] = json!("a-rather-long-name-of-an-uplink");
    let agent = start_with(&status);
    for (columns, is_on_one_line) in [("60", false), ("80", false), ("200", true)] {
        let path = agent.path();
        let mut command = uplinkd(&["status", "--socket", text(&path)]);
        let told = output(command.env("COLUMNS", columns));
        let width = columns.parse().expect("a number");
        let shown = stdout(&told);
        assert!(
            shown.lines().all(|line| line.chars().count() <= width),
            "{shown}"
        );
        let words: Vec<_> = shown.split_whitespace().collect();
        let whole: Vec<_> = reason.split(' ').collect();
        assert!(
            words.windows(whole.len()).any(|part| part == whole),
            "{shown}"
        );
        assert_eq!(shown.contains(reason), is_on_one_line, "{shown}");
        let mut command = uplinkd(&["history", "--since", "9s", "--socket", text(&path)]);
        let told = output(command.env("COLUMNS", columns));
        assert!(
            stdout(&told)
                .lines()
                .all(|line| line.chars().count() <= width)
        );
    }
}
