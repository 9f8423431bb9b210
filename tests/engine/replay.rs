//! `uplinkd replay`: recordings are ground truth, and what is wrong with one is said by line.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::{at, name, probe, settings};
use serde_json::Value;
use uplinkd::engine::Engine;
use uplinkd::engine::action::{Action, ProbeOrder};
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::settings::{AllowanceAction, AllowanceSettings, Settings};
use uplinkd::recorder::{FORM, Header, Recorder, RecorderError};
use uplinkd::recording::{Recording, RecordingSource};
use uplinkd::replay::{Replay, World, attached};
use uplinkd::units::{
    BillingDay, BootId, Bytes, Counters, IfIndex, InterfaceReading, Moment, Timestamp,
};

const HEADER: &str = "time,uplink,target,rtt_ms\n";

/// The contract's object.
const KEYS: [&str; 7] = [
    "felt",
    "from",
    "soft_switches",
    "switches",
    "to",
    "uplinks",
    "verdicts",
];

fn uplinkd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uplinkd"))
        .arg("replay")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON of a replay that goes well.
fn replay(arguments: &[&str]) -> Value {
    let output = uplinkd(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn add(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }
}

/// Ten samples a second of two uplinks and two targets; fiber is dead between these seconds.
fn dense(seconds: u32, dead: std::ops::Range<u32>) -> String {
    let mut csv = HEADER.to_owned();
    for tenth in 0..seconds * 10 {
        for uplink in ["fiber", "lte"] {
            for target in ["192.0.2.1", "192.0.2.2"] {
                let is_dead = uplink == "fiber" && dead.contains(&(tenth / 10));
                let rtt = if is_dead { "lost" } else { "12.5" };
                let _ = writeln!(csv, "{}.{},{uplink},{target},{rtt}", tenth / 10, tenth % 10);
            }
        }
    }
    csv
}

fn verdicts(course: &Value) -> Vec<(f64, String)> {
    let verdicts = course["verdicts"].as_array().expect("verdicts");
    let line = |verdict: &Value| {
        let at = verdict["at"].as_f64().expect("a time");
        let words = [&verdict["uplink"], &verdict["to"]].map(|word| word.as_str().expect("a word"));
        (at, words.join(" "))
    };
    verdicts.iter().map(line).collect()
}

fn when(course: &Value, what: &str) -> f64 {
    let verdicts = verdicts(course);
    let found = verdicts.iter().find(|(_, verdict)| verdict == what);
    found
        .unwrap_or_else(|| panic!("no {what} in {verdicts:?}"))
        .0
}

#[test]
fn a_dense_recording_shows_the_outage_within_a_second_and_who_carried_the_traffic() {
    let files = Files::new();
    let csv = files.add("r.csv", dense(400, 100..150));
    let course = replay(&[text(&csv)]);
    let object = course.as_object().expect("an object");
    assert_eq!(object.keys().collect::<Vec<_>>(), KEYS);
    assert_eq!(
        (course["from"].as_f64(), course["to"].as_f64()),
        (Some(0.0), Some(399.9))
    );
    let down = when(&course, "fiber down");
    assert!((100.0..101.6).contains(&down), "{down}");
    let switches = course["switches"].as_array().expect("switches");
    let ways: Vec<_> = switches
        .iter()
        .map(|switch| switch["to"][0].as_str())
        .collect();
    assert_eq!(ways, [Some("fiber"), Some("lte"), Some("fiber")]);
    assert_eq!(switches[1]["from"][0], "fiber");
    assert!(
        switches[1]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("no answer"))
    );
    let carried: f64 = [0, 1]
        .map(|place| {
            course["uplinks"][place]["carried_seconds"]
                .as_f64()
                .expect("seconds")
        })
        .iter()
        .sum();
    assert!((399.0..399.9).contains(&carried), "{carried}");
    assert!(
        course["uplinks"][0]["probes"]
            .as_u64()
            .is_some_and(|probes| probes > 380)
    );
}

#[test]
fn one_late_answer_of_a_probe_a_second_is_no_silence_of_many_probes() {
    let files = Files::new();
    let mut csv = HEADER.to_owned();
    for second in 0..300 {
        let rtt = if second == 200 { 600 } else { 12 };
        let _ = writeln!(csv, "{second},fiber,192.0.2.1,{rtt}");
        let _ = writeln!(csv, "{second}.01,lte,192.0.2.1,35");
    }
    let course = replay(&[text(&files.add("late.csv", csv))]);
    let verdicts = verdicts(&course);
    let fallen = verdicts
        .iter()
        .find(|(_, verdict)| verdict.contains("down"));
    assert_eq!(fallen, None, "{verdicts:?}");
    assert_eq!(course["switches"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_a_move_costs_is_one_price_for_all_and_a_failback_that_keeps_flows_costs_nothing() {
    let files = Files::new();
    let csv = files.add("r.csv", dense(400, 100..150));
    let uplinks = "[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n\
                   [[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\n";
    let cost = |keys: &str| {
        let config = files.add("one.toml", format!("{keys}\n{uplinks}"));
        let course = replay(&[text(&csv), "--config", text(&config)]);
        assert_eq!(course["switches"].as_array().map(Vec::len), Some(3));
        let felt = course["felt"]["established_seconds"].as_f64();
        felt.expect("seconds") - (when(&course, "fiber down") - 100.0)
    };
    for (keys, moves) in [
        ("", 1.0),
        ("[health]\nsensitivity = \"patient\"", 1.0),
        ("[routing]\nflows_on_failback = \"move\"", 2.0),
        ("[routing]\nflow_memory = \"off\"", 2.0),
        ("[routing]\nflows = \"keep\"", 1.0),
    ] {
        let cost = cost(keys);
        assert!((cost - 2.0 * moves).abs() < 0.01, "{keys}: {cost}");
    }
}

#[test]
fn moves_of_new_connections_are_listed_and_what_these_feel_is_told_apart() {
    let files = Files::new();
    let csv = files.add("r.csv", dense(400, 100..150));
    let course = replay(&[text(&csv)]);
    let moves = course["soft_switches"].as_array().expect("moves");
    let [soft] = moves.as_slice() else {
        panic!("{course:#}");
    };
    assert_eq!(
        (&soft["from"][0], &soft["to"][0]),
        (&"fiber".into(), &"lte".into())
    );
    let at = soft["at"].as_f64().expect("a time");
    let down = when(&course, "fiber down");
    assert!((100.0..down - 0.1).contains(&at), "{at}, {down}");
    let felt = |whom: &str| course["felt"][whom].as_f64().expect("seconds");
    let (established, new) = (felt("established_seconds"), felt("new_seconds"));
    assert!(
        (established - (down - 100.0 + 2.0)).abs() < 0.01,
        "{established}, {down}"
    );
    assert!((new - (at - 100.0)).abs() < 0.01, "{new}, {at}");
    let shown = String::from_utf8(uplinkd(&[text(&csv)]).stdout).expect("a text");
    assert!(shown.contains("soft: fiber -> lte"), "{shown}");
    assert!(shown.contains("felt by established"), "{shown}");
    let off = "[failover]\nsoft = \"off\"\n[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n\
               [[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\n";
    let off = replay(&[text(&csv), "--config", text(&files.add("off.toml", off))]);
    assert_eq!(off["soft_switches"], serde_json::json!([]));
}

#[test]
fn times_are_those_of_the_recording_whatever_its_epoch_and_order() {
    let files = Files::new();
    let mut lines: Vec<_> = dense(60, 30..60)
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect();
    let (plain, reverse) = (lines.join("\n"), {
        // The order in which uplinks appear is their order of preference.
        let preferred = lines.remove(0);
        lines.reverse();
        lines.insert(0, preferred);
        lines.join("\n")
    });
    let plain = replay(&[text(&files.add("a.csv", HEADER.to_owned() + &plain))]);
    let reverse = replay(&[text(&files.add("b.csv", HEADER.to_owned() + &reverse))]);
    assert_eq!(verdicts(&plain), verdicts(&reverse));
    let lines = dense(160, 130..160);
    let later = lines.lines().skip(1).filter(|line| {
        line.split('.')
            .next()
            .is_some_and(|second| second.len() == 3)
    });
    let later: Vec<_> = later.map(|line| format!("1700000{line}")).collect();
    let later = replay(&[text(
        &files.add("c.csv", HEADER.to_owned() + &later.join("\n")),
    )]);
    assert_eq!(later["from"].as_f64(), Some(1_700_000_100.0));
    let down = when(&later, "fiber down") - 1_700_000_130.0;
    assert!((0.0..1.6).contains(&down), "{down}");
}

#[test]
fn a_configuration_is_tried_with_the_targets_that_were_recorded() {
    let files = Files::new();
    let csv = files.add("r.csv", dense(120, 60..120));
    let uplinks = "\n[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n\
                   \n[[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\n";
    let quick = files.add("quick.toml", uplinks);
    let slow = files.add(
        "slow.toml",
        format!("[probe]\ninterval = \"10s\"\n{uplinks}"),
    );
    let both = replay(&[
        text(&csv),
        "--config",
        text(&quick),
        "--config",
        text(&slow),
    ]);
    let runs = both["runs"].as_array().expect("runs");
    assert_eq!(runs[1]["config"].as_str(), Some(text(&slow)));
    let probes = |run: &Value| run["uplinks"][1]["probes"].as_u64().expect("a count");
    assert!(probes(&runs[0]) > 3 * probes(&runs[1]), "{runs:?}");
    let named = format!("[probe]\ntargets = [\"192.0.2.2\", \"192.0.2.9\"]\n{uplinks}");
    let named = files.add("named.toml", named);
    let output = uplinkd(&[text(&csv), "--config", text(&named)]);
    assert!(output.status.success());
    assert!(
        stderr(&output).contains("192.0.2.9 was not probed"),
        "{}",
        stderr(&output)
    );
    let reason = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(reason.contains("to the only target"), "{reason}");
}

#[test]
fn a_replay_fits_80_columns_with_long_names_and_wall_clock_times() {
    let files = Files::new();
    let uplinks = ["fiber", "a-name-of-thirty-two-letters-too"];
    let mut csv = HEADER.to_owned();
    for second in 0..300 {
        for uplink in uplinks {
            let is_dead = uplink == "fiber" && (100..150).contains(&second);
            let rtt = if is_dead { "lost" } else { "12.5" };
            let _ = writeln!(csv, "{},{uplink},192.0.2.1,{rtt}", 1_700_000_000 + second);
        }
    }
    csv += "truth,fiber,1700000100,1700000150\n";
    let path = files.add("r.csv", csv);
    let config = uplinks.map(|name| format!("[[uplink]]\nname = \"{name}\"\ntier = 1\n"));
    let config = (1..)
        .zip(config)
        .map(|(place, text)| format!("{text}interface = \"eth{place}\"\n"));
    let config = files.add("configuration.toml", config.collect::<String>());
    for arguments in [
        vec![text(&path)],
        vec![text(&path), "--config", text(&config)],
    ] {
        let output = uplinkd(&arguments);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            shown.contains("fiber is down"),
            "{shown}{}",
            stderr(&output)
        );
        for line in shown.lines() {
            let is_one_word = !line.trim().contains(' ');
            assert!(line.chars().count() <= 80 || is_one_word, "{line}");
        }
    }
}

#[test]
fn an_uplink_that_was_not_recorded_never_carries_the_traffic() {
    let files = Files::new();
    let csv = files.add("r.csv", dense(60, 60..60));
    let other = "[[uplink]]\nname = \"sat\"\ninterface = \"eth1\"\ntier = 1\n";
    let lte = "[[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\n";
    let output = uplinkd(&[
        text(&csv),
        "--config",
        text(&files.add("other.toml", other)),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("none of its uplinks"),
        "{}",
        stderr(&output)
    );
    let config = files.add("both.toml", format!("{other}{lte}"));
    let course = replay(&[text(&csv), "--config", text(&config)]);
    assert_eq!(course["uplinks"][0]["carried_seconds"], 0.0);
    assert_eq!(course["switches"][0]["to"][0], "lte");
}

#[test]
fn a_bad_configuration_ends_with_2_as_everywhere() {
    let files = Files::new();
    let csv = files.add("r.csv", dense(10, 10..10));
    let config = files.add("bad.toml", "[probe]\nintervall = \"1s\"\n");
    let output = uplinkd(&[text(&csv), "--config", text(&config)]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(uplinkd(&[]).status.code(), Some(2));
}

#[test]
fn marked_outages_tell_found_missed_and_false_verdicts_apart() {
    let files = Files::new();
    let mut csv = dense(300, 100..150);
    csv += "truth,fiber,100,150\ntruth,lte,200,220\n";
    let course = replay(&[text(&files.add("r.csv", &csv))]);
    let truth = &course["truth"];
    assert_eq!(
        (&truth["found"], &truth["missed"], &truth["false"]),
        (&1.into(), &1.into(), &0.into())
    );
    let delay = truth["delay_p50_seconds"].as_f64().expect("a delay");
    assert!((0.0..1.6).contains(&delay), "{delay}");
    let csv = files.add("plain.csv", dense(300, 100..150));
    let marks = files.add("truth.csv", "uplink,from,to\nlte,10,20\n");
    let course = replay(&[text(&csv), "--truth", text(&marks)]);
    let truth = &course["truth"];
    assert_eq!(
        (&truth["found"], &truth["missed"], &truth["false"]),
        (&0.into(), &1.into(), &1.into())
    );
}

#[test]
fn the_holes_in_what_ping_prints_are_losses_between_their_neighbours() {
    let files = Files::new();
    let mut ping = "PING one.one.one.one (1.1.1.1) 56(84) bytes of data.\n".to_owned();
    let mut reply = |sequence: u32, at: f64| {
        let sequence = sequence % 65_536;
        let _ = writeln!(
            ping,
            "[{at:.6}] 64 bytes from one.one.one.one (1.1.1.1): icmp_seq={sequence} ttl=57 time=20.0 ms"
        );
    };
    reply(65_534, 1000.02);
    reply(65_535, 1001.02);
    reply(65_540, 1006.02);
    reply(65_540, 1006.03);
    ping +=
        "[1008.500000] no answer yet for icmp_seq=5\n\n--- one.one.one.one ping statistics ---\n";
    let path = files.add("fiber.txt", ping);
    let sources = [RecordingSource { path, uplink: None }];
    let recording = Recording::load(&sources).expect("a recording");
    let track = &recording.tracks[0];
    assert_eq!(track.uplink, name("fiber"));
    assert_eq!(track.targets[0].0.to_string(), "1.1.1.1");
    let samples = &track.targets[0].1;
    // The first request is number 1, so all before the first reply are losses.
    assert_eq!(samples.len(), 65_541);
    let fate = |at: f64| samples.nearest(at, &mut 0).map(|rtt| rtt.as_millis());
    let fates = [999.9, 1000.9, 1002.0, 1003.1, 1005.0, 1006.0, 1007.0].map(fate);
    let answered = Some(20);
    assert_eq!(
        fates,
        [answered, answered, None, None, None, answered, None]
    );
}

/// What `ping -D` prints for an answer after 20 ms to a request that was sent `at`.
fn answer(sequence: u64, at: f64) -> String {
    let (sequence, at) = (sequence % 65_536, at + 0.02);
    format!("[{at:.6}] 64 bytes from 1.1.1.1: icmp_seq={sequence} ttl=57 time=20.0 ms\n")
}

const PING: &str = "PING 1.1.1.1 (1.1.1.1) 56(84) bytes of data.\n";

/// A file of ping as a recording, whose targets have so many requests and lost ones of them.
fn pinged(text: &str) -> (Recording, Vec<(String, usize, usize)>) {
    let files = Files::new();
    let path = files.add("fiber.txt", text);
    let sources = [RecordingSource { path, uplink: None }];
    let recording = Recording::load(&sources).unwrap_or_else(|error| panic!("{error}"));
    let targets = recording.tracks[0].targets.iter();
    let counts = targets.map(|(target, samples)| {
        let lost = samples.fates().filter(|(_, is_answered)| !is_answered);
        (target.to_string(), samples.len(), lost.count())
    });
    let counts = counts.collect();
    (recording, counts)
}

fn of_one(requests: usize, lost: usize) -> Vec<(String, usize, usize)> {
    vec![("1.1.1.1".to_owned(), requests, lost)]
}

#[test]
fn a_ping_that_is_recorded_from_its_middle_on_has_no_outage_before() {
    let lines: String = (0..10)
        .map(|n| answer(60_000 + n, 5000.0 + seconds(n)))
        .collect();
    let (recording, counts) = pinged(&lines);
    assert_eq!(counts, of_one(10, 0));
    assert!(recording.span().0 > 4999.0, "{:?}", recording.span());
    // Losses that were noticed there are some, and the number in the statistics has all turns of the sequence.
    let lines = format!(
        "[4998.1] no answer yet for icmp_seq=59998\n[4999.1] no answer yet for icmp_seq=59999\n{lines}\
         --- 1.1.1.1 ping statistics ---\n125548 packets transmitted, 9 received, 1% packet loss, time 9ms\n"
    );
    assert_eq!(pinged(&lines).1, of_one(15, 5));
    // A line that was cut, where the log was turned over.
    let lines = format!("57 time=20.0 ms\n{lines}");
    assert_eq!(pinged(&lines).1, of_one(15, 5));
}

fn seconds(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("few"))
}

#[test]
fn each_run_of_ping_in_a_file_is_one_of_its_own() {
    let run = |from: f64, dead: std::ops::Range<u64>| -> String {
        let numbers = (1..=60).filter(|n| !dead.contains(n));
        numbers.map(|n| answer(n, from + seconds(n))).collect()
    };
    let end =
        "--- 1.1.1.1 ping statistics ---\n60 packets transmitted, 50 received, 16% packet loss\n";
    let first = run(1000.0, 0..0);
    let second = run(2000.0, 20..30);
    let two = format!("{PING}{first}\n{end}{PING}{second}\n{end}");
    let (recording, counts) = pinged(&two);
    assert_eq!(counts, of_one(120, 10));
    assert_eq!(recording.tracks[0].silences(), [(2020.0, 2030.0)]);
    // Without what is around the answers as well.
    assert_eq!(pinged(&format!("{first}{second}")).1, of_one(120, 10));
    // Each has its own target.
    let other = format!("{PING}{second}").replace("1.1.1.1", "9.9.9.9");
    let (_, counts) = pinged(&format!("{PING}{first}{other}"));
    let expected = [
        ("1.1.1.1".to_owned(), 60, 0),
        ("9.9.9.9".to_owned(), 60, 10),
    ];
    assert_eq!(counts, expected);
    // A second run without any answer.
    let lost =
        [1, 2, 3, 4, 5].map(|n| format!("[{}.0] no answer yet for icmp_seq={n}\n", 2001 + n));
    let lost = lost.concat();
    assert_eq!(
        pinged(&format!("{PING}{first}{PING}{lost}")).1,
        of_one(65, 5)
    );
    // An answer that comes twice, or late, begins no run.
    let late = format!(
        "{first}{}{}",
        answer(60, 1060.0).replace(" ms", " ms (DUP!)"),
        "[1062.0] 64 bytes from 1.1.1.1: icmp_seq=58 ttl=57 time=4000 ms\n"
    );
    assert_eq!(
        pinged(&format!("{PING}{late}{}", answer(61, 1061.0))).1,
        of_one(61, 0)
    );
}

#[test]
fn a_silence_of_ping_is_as_long_as_its_times_say() {
    // Five requests a second, and hours without an answer: the sequence of 16 bits turns over.
    for missing in [20_000, 40_000, 65_535, 65_536, 70_000, 200_000] {
        let sent = |n: u64| 1000.0 + seconds(n) * 0.2;
        let numbers = (1..=100).chain(101 + missing..=200 + missing);
        let lines: String = numbers.map(|n| answer(n, sent(n))).collect();
        let (recording, counts) = pinged(&format!("{PING}{lines}"));
        let missing = usize::try_from(missing).expect("few");
        assert_eq!(counts, of_one(200 + missing, missing));
        let [(from, to)] = recording.tracks[0].silences()[..] else {
            panic!("one silence");
        };
        assert!((from - sent(101)).abs() < 0.01 && to > from, "{from} {to}");
    }
    // A machine that slept, or whose clock was set, goes on with the next number: nothing was sent.
    let lines: String = (1..=100)
        .map(|n| answer(n, seconds(n) + if n > 50 { 100_000.0 } else { 0.0 }))
        .collect();
    assert_eq!(pinged(&format!("{PING}{lines}")).1, of_one(100, 0));
}

#[test]
fn lines_of_ping_that_are_none_of_its_answers_are_skipped_and_said() {
    let strange = "user@router:~$ ping -D -R -v 1.1.1.1
ping: sock4.fd: 3 (socktype: SOCK_RAW), sock6.fd: 4 (socktype: SOCK_RAW), hints.ai_family: AF_UNSPEC

ai->ai_family: AF_INET, ai->ai_canonname: '1.1.1.1'
PING 1.1.1.1 (1.1.1.1) 56(124) bytes of data.
[1.020000] 64 bytes from 1.1.1.1: icmp_seq=1 ident=4711 ttl=57 time=20.0 ms
RR: \t192.0.2.1
\t198.51.100.1

[2.020000] 64 bytes from 1.1.1.1: icmp_seq=2 ident=4711 ttl=57 time=20.0 ms\t(same route)
ping: Warning: time of day goes back (-20us), taking countermeasures
[3.020000] 64 bytes from 1.1.1.1: icmp_req=3 ttl=57 time=20.0 ms
[4.020000] 64 bytes from 1.1.1.1: icmp_seq=4 ttl=57
[5.020000] 64 bytes from 1.1.1.1: icmp_seq=5 ttl=57 time=20.0 ms
[6.020000] 64 bytes from 1.1.1.1: icmp_seq=61 ttl";
    let (recording, counts) = pinged(strange);
    assert_eq!(counts, of_one(5, 0));
    let [skipped, timeless] = recording.remarks.as_slice() else {
        panic!("{:?}", recording.remarks);
    };
    let said =
        ":1: no line of `ping -D`: \"user@router:~$ ping -D -R -v 1.1.1.1\"; skipped: 5 lines";
    assert!(skipped.ends_with(said), "{skipped}");
    assert!(
        timeless.ends_with(": no `time=` in 1 answers: they count as immediate"),
        "{timeless}"
    );
    let files = Files::new();
    let output = uplinkd(&[text(&files.add("fiber.txt", strange))]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("skipped: 5 lines"),
        "{}",
        stderr(&output)
    );
    // Of the last line nothing counts where it is torn; where it is whole it counts.
    let whole = format!("{PING}{}", answer(1, 1.0) + answer(2, 2.0).trim_end());
    assert_eq!(pinged(&whole).1, of_one(2, 0));
    let second = whole.rfind('[').expect("a second line");
    for cut in second..whole.len() {
        assert_eq!(
            pinged(&whole[..cut]).1,
            of_one(1, 0),
            "{}",
            &whole[second..cut]
        );
    }
    // A power cut leaves zeroes, and the next run begins beside them.
    let zeroes = format!("{PING}{}{}\n{PING}", answer(1, 1.0), "\0".repeat(500));
    assert_eq!(
        pinged(&format!("{zeroes}{}", answer(1, 9.0))).1,
        of_one(2, 0)
    );
    // What `ts '[%.s]'` adds to another ping.
    let other = format!(
        "[1.0] {PING}{}[9.0] rtt min/avg/max = 1/2/3 ms\n",
        answer(0, 1.0)
    );
    let (recording, counts) = pinged(&other.replace("icmp_seq", "seq"));
    assert_eq!((counts, recording.remarks.len()), (of_one(1, 0), 0));
}

#[test]
fn a_ping_without_times_or_without_a_name_says_what_it_needs() {
    let files = Files::new();
    let reply = "64 bytes from 1.1.1.1: icmp_seq=1 ttl=57 time=20.0 ms\n";
    let head = "PING 1.1.1.1 (1.1.1.1) 56(84) bytes of data.\n";
    let timeless = files.add("fiber.txt", format!("{head}{reply}"));
    let output = uplinkd(&[text(&timeless)]);
    assert_eq!(output.status.code(), Some(1));
    let said = format!(
        "{}:2: no time in brackets: record with `ping -D`",
        text(&timeless)
    );
    assert!(stderr(&output).contains(&said), "{}", stderr(&output));
    let nameless = files.add(
        "no name",
        format!(
            "{head}[10.5] {reply}[11.5] {}",
            reply.replace("seq=1", "seq=2")
        ),
    );
    let output = uplinkd(&[text(&nameless)]);
    assert!(
        stderr(&output).contains("the uplink is not known"),
        "{}",
        stderr(&output)
    );
    let course = replay(&[&format!("wan={}", text(&nameless))]);
    assert_eq!(course["uplinks"][0]["name"], "wan");
}

#[test]
fn every_bad_line_is_named_with_its_file_its_number_and_what_is_wrong() {
    let files = Files::new();
    let lines = "1,a,1.1.1.1,x\n2,b b,1.1.1.1,3\nnan,a,1.1.1.1,3\n1,2\n0,a,1.1.1.1,-1\n\
                 inf,a,1.1.1.1,1\ntruth,a,9,3\n5,a,,1\n6,a,1.1.1.1,lost\n";
    let path = files.add("bad.csv", format!("{HEADER}{lines}"));
    let output = uplinkd(&[text(&path)]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    let said: Vec<_> = said.lines().collect();
    let path = text(&path);
    assert_eq!(
        said,
        [
            format!(
                "{path}:2: rtt_ms \"x\": must be a number of milliseconds from 0 to 3600000, or `lost`"
            ),
            format!(
                "{path}:3: `b b` is no uplink name: 1 to 32 letters, digits, `_`, `-` or `.`, beginning with a letter or a digit"
            ),
            format!("{path}:4: time \"nan\": must be a number of seconds"),
            format!(
                "{path}:5: 2 fields: must be time,uplink,target,rtt_ms or truth,uplink,from,to"
            ),
            format!(
                "{path}:6: rtt_ms \"-1\": must be a number of milliseconds from 0 to 3600000, or `lost`"
            ),
            format!("{path}:7: time \"inf\": must be a number of seconds"),
            format!("{path}:8: an outage from 9 to 3: must end after it began"),
            format!("{path}:9: target \"\": must be an address, a tcp:// target or a name"),
        ]
    );
}

#[test]
fn a_file_that_is_no_recording_is_refused_and_never_hangs() {
    let files = Files::new();
    let long = "x".repeat(3 << 20);
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("empty", Vec::new(), "the recording has no probe"),
        (
            "blank",
            b"\n  \n\r\n".to_vec(),
            "the recording has no probe",
        ),
        ("header", HEADER.into(), "the recording has no probe"),
        ("prose", b"hello\n".to_vec(), ":1: neither a recording"),
        ("zeroes", vec![0; 5 << 20], ":1: longer than 1 MiB"),
        (
            "nul",
            [HEADER.as_bytes(), b"1,a,1.1.1.1,\0\n"].concat(),
            ":2: holds a NUL byte",
        ),
        (
            "long",
            [HEADER, &long].concat().into(),
            ":2: longer than 1 MiB",
        ),
        (
            "latin",
            [HEADER.as_bytes(), b"1,a,caf\xe9,1\n"].concat(),
            ":2: not a text in UTF-8",
        ),
    ];
    for (name, bytes, expected) in cases {
        let output = uplinkd(&[text(&files.add(name, bytes))]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            stderr(&output).contains(expected),
            "{name}: {}",
            stderr(&output)
        );
        assert!(stderr(&output).len() < 500, "{name}");
    }
    let clock_was_set = files.add(
        "clock",
        format!("{HEADER}3,a,1.1.1.1,1\n1700000000,a,1.1.1.1,1\n"),
    );
    let output = uplinkd(&[text(&clock_was_set)]);
    let said = stderr(&output);
    assert!(said.contains("has no probe from 3 to 1700000000"), "{said}");
    for path in ["/dev/zero", "/nowhere", "/tmp"] {
        assert_eq!(uplinkd(&[path]).status.code(), Some(1), "{path}");
    }
}

#[test]
fn a_target_that_is_a_name_and_windows_line_ends_are_taken() {
    let files = Files::new();
    let lines = (0..50).map(|second| format!("{second},wan,example.com,12\r\n"));
    let lines = lines.collect::<Vec<_>>().concat();
    let path = files.add(
        "r.csv",
        format!("\u{feff}time, uplink, target, rtt_ms\r\n{lines}"),
    );
    let course = replay(&[text(&path)]);
    assert_eq!(verdicts(&course).len(), 1, "{course}");
}

/// An agent of its own, recorded: fiber dies at 20 s.
fn agent(path: &Path, seconds: u64) -> String {
    recorded(
        path,
        settings(&["fiber", "lte"]),
        seconds,
        Vec::new(),
        |order, now| {
            let rtt = Duration::from_micros(10_123 + order.id.0 % 7);
            let dies = Moment::after_start(Duration::from_secs(20));
            (order.uplink == name("lte") || now < dies).then_some((rtt, ProbeOutcome::Reply(rtt)))
        },
    )
}

/// An agent of its own, recorded in a world that answers like this, and told more.
fn recorded(
    path: &Path,
    settings: Settings,
    seconds: u64,
    more: Vec<(Moment, Input)>,
    answers: impl Fn(&ProbeOrder, Moment) -> Option<(Duration, ProbeOutcome)>,
) -> String {
    let header = Header {
        recording: FORM,
        version: "0".to_owned(),
        started: Timestamp(std::time::UNIX_EPOCH),
        at: Moment::START,
        settings: settings.clone(),
    };
    let file = File::create(path).expect("a file");
    let mut recorder = Recorder::new(file, &header, u64::MAX).expect("a recording");
    let mut engine = Engine::new(settings, Moment::START);
    let mut inputs: Vec<(Moment, Input)> = (1..)
        .zip(["fiber", "lte"])
        .map(|(place, uplink)| Input::Attachment {
            uplink: name(uplink),
            attachment: attached(place),
        })
        .map(|input| (Moment::START, input))
        .chain(more)
        .collect();
    let mut actions = Vec::new();
    let end = Moment::after_start(Duration::from_secs(seconds));
    loop {
        inputs.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let timeout = engine.poll_timeout().unwrap_or(end);
        let input = inputs.pop_if(|(at, _)| *at <= timeout);
        let now = input.as_ref().map_or(timeout, |(at, _)| *at);
        if now >= end {
            return serde_json::to_string(&actions).expect("JSON");
        }
        let input = input.map(|(_, input)| input);
        recorder.record(now, input.as_ref()).expect("a line");
        match input {
            Some(input) => engine.handle_input(now, input),
            None => engine.handle_timeout(now),
        }
        while let Some(action) = engine.poll_action() {
            if let Action::Probe(order) = &action
                && let Some((after, outcome)) = answers(order, now)
            {
                let (uplink, id) = (order.uplink.clone(), order.id);
                inputs.push((
                    now + after,
                    Input::Probe {
                        uplink,
                        id,
                        outcome,
                    },
                ));
            }
            actions.push(action);
        }
    }
}

#[test]
fn a_recording_of_the_agent_shows_what_it_did_and_what_another_configuration_would_have_done() {
    let files = Files::new();
    let path = files.0.path().join("agent.jsonl");
    agent(&path, 60);
    let course = replay(&[text(&path)]);
    let down = when(&course, "fiber down");
    assert!((20.0..22.0).contains(&down), "{down}");
    let slow = "[probe]\ninterval = \"10s\"\nconfirm_interval = \"5s\"\n\
                [[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\n\
                [[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\n";
    let slow = replay(&[text(&path), "--config", text(&files.add("slow.toml", slow))]);
    assert!(when(&slow, "fiber down") > down + 1.0, "{slow}");
    let probes = |course: &Value| course["uplinks"][1]["probes"].as_u64().expect("a count");
    assert!(probes(&course) > 2 * probes(&slow));
}

#[test]
fn a_recording_shows_again_what_a_used_allowance_has_moved_and_another_limit_moves_nothing() {
    let files = Files::new();
    let path = files.0.path().join("agent.jsonl");
    let mut of = settings(&["fiber", "lte"]);
    of.uplinks[0].allowance = Some(Box::new(AllowanceSettings {
        limit: Bytes(1_000_000_000),
        day: BillingDay(1),
        action: AllowanceAction::LastResort,
    }));
    let index = IfIndex::new(2).expect("an index");
    let spent = (0..60_u64).map(|second| {
        let counters = Counters {
            rx_packets: second * 50_000,
            rx_bytes: second * 50_000_000,
            ..Counters::default()
        };
        let reading = InterfaceReading {
            counters,
            index,
            newest: index,
            boot: BootId(1),
        };
        let uplink = name("fiber");
        let at = Moment::after_start(Duration::from_secs(second));
        (at, Input::Traffic { uplink, reading })
    });
    recorded(&path, of, 60, spent.collect(), |_, _| {
        let rtt = Duration::from_millis(10);
        Some((rtt, ProbeOutcome::Reply(rtt)))
    });
    let moved = |course: &Value| {
        let switches = course["switches"].as_array().expect("a list").iter();
        let to_lte = switches.filter(|switch| switch["to"][0] == "lte");
        let times = to_lte.map(|switch| switch["at"].as_f64().expect("a time"));
        times.collect::<Vec<_>>()
    };
    assert_eq!(moved(&replay(&[text(&path)])), [20.0], "as recorded");
    let with = |limit: &str| {
        let config = format!(
            "[[uplink]]\nname = \"fiber\"\ninterface = \"eth1\"\ntier = 1\nallowance = \"{limit}\"\n\
             allowance_action = \"off\"\n[[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\n"
        );
        let config = files.add(&format!("{limit}.toml"), &config);
        moved(&replay(&[text(&path), "--config", text(&config)]))
    };
    assert_eq!(with("1.5GB"), [30.0]);
    assert_eq!(with("10GB"), [0.0; 0]);
}

#[test]
fn a_reload_that_takes_the_carrier_away_or_renames_it_shows_in_the_seconds_that_each_carried() {
    let files = Files::new();
    let path = files.0.path().join("agent.jsonl");
    let at = |seconds| Moment::after_start(Duration::from_secs(seconds));
    let mut renamed = settings(&["fiber", "lte"]);
    renamed.uplinks[0].name = name("glass");
    let mut without = renamed.clone();
    without.uplinks.remove(0);
    let reloads = [(at(40), renamed), (at(60), without)];
    let reloads = reloads.map(|(at, settings)| (at, Input::Settings(Box::new(settings))));
    let answers = |_: &ProbeOrder, _: Moment| {
        let rtt = Duration::from_millis(10);
        Some((rtt, ProbeOutcome::Reply(rtt)))
    };
    let settings = settings(&["fiber", "lte"]);
    recorded(&path, settings, 100, reloads.into(), answers);
    let course = replay(&[text(&path)]);
    let carried = |uplink: &str| {
        let uplinks = course["uplinks"].as_array().expect("a list");
        let total = uplinks.iter().find(|total| total["name"] == uplink);
        total.and_then(|total| total["carried_seconds"].as_f64())
    };
    for (uplink, seconds) in [("fiber", 40.0), ("glass", 20.0), ("lte", 40.0)] {
        let found = carried(uplink).unwrap_or_default();
        assert!((found - seconds).abs() < 1.0, "{uplink}: {course}");
    }
}

#[test]
fn a_recording_of_a_captive_portal_shows_it_again() {
    const SAYS: &str =
        "captive portal: http://192.0.2.80/generate_204 answered 302 to http://login/";
    let files = Files::new();
    let path = files.0.path().join("agent.jsonl");
    let mut settings = settings(&["fiber", "lte"]);
    for uplink in &mut settings.uplinks {
        uplink.probe = probe(&["192.0.2.1", "http://192.0.2.80/generate_204"]);
    }
    recorded(&path, settings, 90, Vec::new(), |order, now| {
        let rtt = Duration::from_micros(10_123 + order.id.0 % 7);
        let seconds = now.since_start().as_secs();
        let is_page = order.target.to_string().starts_with("http");
        let is_caught = is_page && order.uplink == name("fiber") && (20..60).contains(&seconds);
        let outcome = if is_caught {
            ProbeOutcome::Captive(SAYS.to_owned())
        } else {
            ProbeOutcome::Reply(rtt)
        };
        Some((rtt, outcome))
    });
    let course = replay(&[text(&path)]);
    let down = when(&course, "fiber down");
    assert!((20.0..24.0).contains(&down), "{course}");
    let verdicts = course["verdicts"].as_array().expect("verdicts");
    assert!(
        verdicts.iter().any(|verdict| verdict["reason"] == SAYS),
        "{course}"
    );
    let back = when(&course, "fiber recovering");
    assert!((60.0..70.0).contains(&back), "{course}");
}

#[test]
fn a_recording_that_is_still_written_ends_at_its_last_whole_line() {
    let files = Files::new();
    let path = files.0.path().join("agent.jsonl");
    agent(&path, 30);
    let mut bytes = fs::read(&path).expect("the recording");
    bytes.truncate(bytes.len() - 7);
    fs::write(&path, &bytes).expect("a file");
    assert!((20.0..22.0).contains(&when(&replay(&[text(&path)]), "fiber down")));
    let lines = bytes[..bytes.len() / 2].iter();
    let inside = lines.rev().position(|byte| *byte == b'\n').expect("a line");
    let (before, after) = bytes.split_at(bytes.len() / 2 - inside + 5);
    let torn_inside = [before, b"\n", after].concat();
    let output = uplinkd(&[text(&files.add("torn.jsonl", torn_inside))]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no line of the agent"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_recorder_stops_at_its_limit_and_what_it_has_can_be_replayed() {
    let files = Files::new();
    let path = files.0.path().join("agent.jsonl");
    agent(&path, 30);
    let header = fs::read_to_string(&path).expect("the recording");
    let header: Header =
        serde_json::from_str(header.lines().next().expect("a line")).expect("a header");
    let short = files.0.path().join("short.jsonl");
    let file = File::create(&short).expect("a file");
    let mut recorder = Recorder::new(file, &header, 10_000).expect("a recording");
    let mut outcome = Ok(());
    for second in 0..10_000 {
        outcome = recorder.record(Moment::after_start(Duration::from_secs(second)), None);
        if outcome.is_err() {
            break;
        }
    }
    assert!(matches!(outcome, Err(RecorderError::Full)), "{outcome:?}");
    let length = fs::metadata(&short).expect("the recording").len();
    assert!((10_000..11_000).contains(&length), "{length}");
    replay(&[text(&short)]);
}

/// Promises an input and has none.
struct BrokenPromise;

impl World for BrokenPromise {
    fn answer(&mut self, _: &ProbeOrder, _: Moment) -> Option<Duration> {
        None
    }

    fn next_input_at(&self) -> Option<Moment> {
        Some(at(1.5))
    }
}

#[test]
fn a_deadline_that_nothing_meets_is_an_error_that_names_it() {
    let mut replay = Replay::new(settings(&["fiber"]), BrokenPromise);
    let standing = replay.try_run_until(at(10.0)).expect_err("it stands");
    assert_eq!(
        standing.to_string(),
        "the deadline of the world at 1.500 s is not met at 1.500 s, however often the engine is called"
    );
}

/// Each minute a sample of fiber, which is dead for the first 100 of them after ten, and of LTE; from a time on.
fn night(from: u64, minutes: u64) -> String {
    let mut csv = HEADER.to_owned();
    for minute in 0..minutes {
        for uplink in ["fiber", "lte"] {
            let is_dead = uplink == "fiber" && (10..110).contains(&minute);
            let rtt = if is_dead { "lost" } else { "12.5" };
            let _ = writeln!(csv, "{},{uplink},192.0.2.1,{rtt}", from + minute * 60);
        }
    }
    csv
}

/// With the zone of Berlin, as a router without zone files has it.
fn replay_in_berlin(recording: &Path, config: &Path) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_uplinkd"))
        .args([
            "replay",
            "--json",
            text(recording),
            "--config",
            text(config),
        ])
        .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        .output()
        .expect("the program");
    assert!(output.status.success(), "{}", stderr(&output));
    let course = serde_json::from_slice(&output.stdout).expect("JSON");
    (course, stderr(&output))
}

#[test]
fn a_replay_goes_by_the_hours_of_the_recordings_clock_in_summer_and_in_winter() {
    let files = Files::new();
    let config = "[failover]\nfailback_window = \"03:30-05:00\"\n[[uplink]]\nname = \"fiber\"\n\
                  interface = \"eth1\"\ntier = 1\n[[uplink]]\nname = \"lte\"\ninterface = \"eth2\"\ntier = 2\n";
    let config = files.add("configuration.toml", config);
    for (begins, opens) in [
        // 2026-01-15, 2026-07-15: at 22:00 UTC.
        ("2026-01-15T22:00:00Z", "2026-01-16T02:30:00Z"),
        ("2026-07-15T22:00:00Z", "2026-07-16T01:30:00Z"),
        // The nights in which the clock goes forward and back.
        ("2026-03-28T22:00:00Z", "2026-03-29T01:30:00Z"),
        ("2026-10-24T22:00:00Z", "2026-10-25T02:30:00Z"),
    ] {
        let unix = |time: &str| {
            let time = humantime::parse_rfc3339(time).expect("a time");
            let since = time.duration_since(std::time::UNIX_EPOCH);
            since.expect("after 1970").as_secs()
        };
        let recording = files.add("r.csv", night(unix(begins), 330));
        let (course, said) = replay_in_berlin(&recording, &config);
        let switches = course["switches"].as_array().expect("switches");
        let back = switches.last().expect("a failback");
        assert_eq!(back["to"][0], "fiber", "{course}");
        let at = back["at"].as_f64().expect("a time");
        let at = std::time::UNIX_EPOCH + Duration::from_secs_f64(at.round());
        assert_eq!(Timestamp(at).to_string(), opens, "{begins}: {back} {said}");
    }
    let recording = files.add("r.csv", night(0, 330));
    let (course, said) = replay_in_berlin(&recording, &config);
    let switches = course["switches"].as_array().expect("switches");
    assert_eq!(switches.last().expect("a switch")["to"][0], "lte");
    assert!(said.contains("`failback_window` is closed"), "{said}");
}
