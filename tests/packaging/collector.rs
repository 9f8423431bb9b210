//! The collector for prometheus-node-exporter-ucode, run by OpenWrt's `ucode` as the exporter runs it.
//!
//! No Debian has `ucode`, so these tests are ignored. It builds with CMake, with its modules `fs` and `socket`;
//! where it is installed `cargo test --test packaging collector -- --ignored` runs them. So they were run with
//! ucode 81205a2 of July 2026; neither the exporter nor its jail was beside it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::metrics::root;

/// Calls the collector as the exporter does, with its place in the exporter's options, if there is one.
const EXPORTER: &str = r#"
import * as fs from "fs";
const collector = loadfile(ARGV[0], { strict_declarations: true, raw_mode: true });
const config = ARGV[1] ? { metrics: ARGV[1] } : {};
print(call(collector, null, { config, fs }) != false ? "ok" : "failed");
"#;

/// In place of the module for UCI, which then has this place.
fn uci(place: &str) -> String {
    format!(
        "return {{ cursor: () => ({{ foreach: (config, type, each) => {{\n\
         if (config == \"uplinkd\" && type == \"globals\") each({{ agent_metrics: \"{place}\" }}); }} }}) }};\n"
    )
}

const METRICS: &str = "# TYPE m gauge\nm{uplink=\"fiber\"} 1\n";

/// A directory for what the collector reads.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a directory"));
        desk.write("exporter.uc", EXPORTER);
        desk
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it is written");
    }

    /// What the collector sends, and whether it succeeded.
    fn collect(&self, place: &str) -> String {
        let mut ucode = Command::new("ucode");
        ucode.current_dir(self.0.path()).arg("exporter.uc");
        let ran = ucode
            .arg(root("openwrt/uplinkd/files/uplinkd.uc"))
            .arg(place)
            .output();
        let ran = ran.expect("ucode");
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        String::from_utf8(ran.stdout).expect("a text")
    }
}

/// Answers one client as the agent does, in two parts.
fn answer(mut client: impl Read + Write, status: &str) {
    let mut request = [0; 512];
    let length = client.read(&mut request).expect("a request");
    assert!(request[..length].starts_with(b"GET /metrics HTTP/1."));
    let (first, second) = METRICS.split_at(METRICS.len() / 2);
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{first}");
    client.write_all(head.as_bytes()).expect("it is sent");
    client.write_all(second.as_bytes()).expect("it is sent");
}

/// What the collector makes of an agent at an address that answers with this status.
fn by_address(desk: &Desk, host: &str, status: &'static str) -> String {
    let listener = TcpListener::bind((host.trim_matches(['[', ']']), 0)).expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let agent = thread::spawn(move || answer(listener.accept().expect("a client").0, status));
    let told = desk.collect(&format!("{host}:{port}"));
    agent.join().expect("it has answered");
    told
}

#[test]
#[ignore = "no Debian has ucode"]
fn it_hands_on_the_text_from_an_address_a_socket_and_a_file() {
    let desk = Desk::new();
    let expected = format!("{METRICS}ok");
    assert_eq!(by_address(&desk, "127.0.0.1", "200 OK"), expected);
    assert_eq!(by_address(&desk, "[::1]", "200 OK"), expected);
    let listener = UnixListener::bind(desk.path("metrics.sock")).expect("a listener");
    let agent = thread::spawn(move || answer(listener.accept().expect("a client").0, "200 OK"));
    assert_eq!(
        desk.collect(&format!("unix:{}", desk.path("metrics.sock"))),
        expected
    );
    agent.join().expect("it has answered");
    desk.write("uplinkd.prom", METRICS);
    let file = format!("file:{}", desk.path("uplinkd.prom"));
    assert_eq!(desk.collect(&file), expected);
    desk.write("uci.uc", &uci(&file));
    assert_eq!(desk.collect(""), expected);
}

#[test]
#[ignore = "no Debian has ucode"]
fn metrics_that_are_off_are_no_failure_and_an_agent_that_is_silent_is_one() {
    let desk = Desk::new();
    for place in ["off", ""] {
        desk.write("uci.uc", &uci(place));
        assert_eq!(desk.collect(""), "ok");
    }
    assert_eq!(
        by_address(&desk, "127.0.0.1", "503 Service Unavailable"),
        "failed"
    );
    let free = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    assert_eq!(desk.collect(&format!("127.0.0.1:{port}")), "failed");
    assert_eq!(
        desk.collect(&format!("unix:{}", desk.path("none"))),
        "failed"
    );
    assert_eq!(desk.collect("nonsense"), "failed");
    desk.write("uplinkd.prom", METRICS);
    let file = fs::File::options()
        .append(true)
        .open(desk.path("uplinkd.prom"))
        .expect("the file");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(old).expect("its time");
    assert_eq!(
        desk.collect(&format!("file:{}", desk.path("uplinkd.prom"))),
        "failed"
    );
}

/// In place of the module for ubus: the agent has two uplinks, of which one is down.
const UBUS: &str = r#"
const uplinks = [
	{ name: "fiber", rtt_ms: 12.5, loss_percent: 1.0, score: 92, active: true },
	{ name: "lte-2", rtt_ms: null, loss_percent: null, score: null, active: false },
];
export function connect() { return { call: (object, method) => ({ uplinks }) }; };
"#;

#[test]
#[ignore = "no Debian has ucode"]
fn collectd_is_told_each_figure_and_that_one_is_not_known_and_the_script_ends_with_it() {
    let desk = Desk::new();
    desk.write("ubus.uc", UBUS);
    // Of coreutils, to end what does not end by itself.
    let mut ucode = Command::new("timeout");
    ucode
        .args(["-k", "1", "20", "ucode"])
        .current_dir(desk.0.path())
        .arg("-L")
        .arg(desk.0.path());
    ucode.arg(root("openwrt/uplinkd/files/collectd"));
    ucode
        .env("COLLECTD_HOSTNAME", "router")
        .env("COLLECTD_INTERVAL", "1")
        .stdout(Stdio::piped());
    let mut running = ucode.spawn().expect("ucode");
    let lines = BufReader::new(running.stdout.take().expect("a pipe")).lines();
    let told: Vec<_> = lines.take(8).map(|line| line.expect("a line")).collect();
    // The reader is gone, as collectd is when it has ended.
    let ended = running.wait().expect("it has ended");
    assert_eq!(ended.code(), Some(0));
    let expected = [
        "fiber/ping\" interval=1 N:12.5",
        "fiber/ping_droprate\" interval=1 N:0.01",
        "fiber/gauge-score\" interval=1 N:92",
        "fiber/gauge-carries\" interval=1 N:1",
        "lte-2/ping\" interval=1 N:U",
        "lte-2/ping_droprate\" interval=1 N:U",
        "lte-2/gauge-score\" interval=1 N:U",
        "lte-2/gauge-carries\" interval=1 N:0",
    ];
    assert_eq!(
        told,
        expected.map(|rest| format!("PUTVAL \"router/uplinkd-{rest}"))
    );
}
