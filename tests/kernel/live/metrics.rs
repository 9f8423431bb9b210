//! The metrics of a real agent: by a page, a Unix socket and a file, against scrapers of every kind.
#![expect(clippy::disallowed_methods, reason = "figures")]
#![expect(clippy::print_stderr, reason = "figures")]

mod page;
mod prometheus;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path as FilePath;
use std::process::Command;
use std::time::Instant;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use uplinkd::control::Response;
use uplinkd::control::client::Client;
use uplinkd::engine::command::Command as OperatorCommand;
use uplinkd::engine::event::EventKind;

use super::by_hand::Site;
use super::netns::{self, World};
use super::*;
use crate::extent::extent;
use crate::host::Host;

/// Answers beyond both uplinks.
pub(super) const TARGET: &str = "192.0.2.1";
const AT: &str = "127.0.0.1:9464";

/// Two uplinks beyond each of which the target answers, and what is beyond them.
pub(super) async fn answered(world: &World) -> [Host; 2] {
    [
        beyond(world, FIBER, ["10.1.0.2/24", "10.1.0.1/24"], VIA_FIBER).await,
        beyond(world, LTE, ["10.2.0.2/24", "10.2.0.1/24"], VIA_LTE).await,
    ]
}

/// An uplink with its own address and that of its next hop, behind which the target is.
async fn beyond(
    world: &World,
    uplink: &str,
    [own, next_hop]: [&str; 2],
    via: ForeignDefault,
) -> Host {
    let host = Host::new();
    world.wire_to(uplink, "near", host.descriptor()).await;
    world.add_address(uplink, net(own)).await;
    let target = format!("{TARGET}/32");
    host.set_up(|world| async move {
        world.set_up("near", true).await;
        for address in [next_hop, &target] {
            world.add_address("near", net(address)).await;
        }
    });
    world.add_default(uplink, via).await;
    host
}

pub(super) fn probes() -> String {
    format!(
        "[probe]\ntargets = [\"{TARGET}\"]\ninterval = \"200ms\"\nstandby_interval = \"200ms\"\n"
    )
}

/// An agent whose metrics are here.
fn site(metrics: &str) -> Site {
    Site::with("state", &format!("metrics = \"{metrics}\"\n"), &probes())
}

/// Everything that comes until the other end closes.
fn rest(stream: &mut impl Read) -> String {
    let mut said = Vec::new();
    // A reset after the answer takes nothing of it away.
    drop(stream.read_to_end(&mut said));
    String::from_utf8(said).expect("a text")
}

fn connect(at: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    Some(stream)
}

/// The answer to what is sent; none if no program listens.
fn exchange(at: &str, request: &[u8]) -> Option<String> {
    let mut stream = connect(at)?;
    drop(stream.write_all(request));
    Some(rest(&mut stream))
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: router\r\n\r\n";

fn body(answer: &str) -> Option<&str> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 OK\r\n").then_some(body)
}

/// The value of a sample.
fn value(text: &str, sample: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// What `read` reads, as soon as `is_so`.
async fn soon(
    site: &Site,
    read: impl Fn() -> Option<String>,
    is_so: impl Fn(&str) -> bool,
) -> String {
    let mut last = None;
    let wait = async {
        loop {
            last = read();
            if let Some(text) = last.take_if(|text| is_so(text)) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let text = timeout(2 * PATIENCE, wait).await;
    text.unwrap_or_else(|_| panic!("{last:?}\n{}", site.log()))
}

/// The text at an address.
fn scrape(at: &str) -> Option<String> {
    body(&exchange(at, GET)?).map(str::to_owned)
}

/// The text at a Unix socket.
fn scrape_unix(path: &FilePath) -> Option<String> {
    let mut stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.write_all(GET).ok()?;
    body(&rest(&mut stream)).map(str::to_owned)
}

/// The TCP sockets that listen in this namespace.
fn listening() -> Vec<String> {
    const LISTENS: &str = "0A";
    let tables =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")));
    let tables = tables.into_iter().flatten();
    let lines = tables.flat_map(|table| table.lines().map(str::to_owned).collect::<Vec<_>>());
    let sockets = lines.filter(|line| line.split_whitespace().nth(3) == Some(LISTENS));
    sockets.collect()
}

fn change(site: &Site, from: &str, to: &str) -> std::process::Output {
    let path = site.path("uplinkd.toml");
    let config = fs::read_to_string(&path).expect("a configuration");
    assert!(config.contains(from), "{config}");
    fs::write(path, config.replace(from, to)).expect("a configuration");
    site.say(&["reload"])
}

#[test]
fn a_scrape_tells_of_probes_their_answers_traffic_states_and_switches() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let site = site(AT);
        let reply = |uplink| {
            format!(
                "uplinkd_probes_total{{uplink=\"{uplink}\",target=\"{TARGET}\",result=\"reply\"}}"
            )
        };
        let text = soon(
            &site,
            || scrape(AT),
            |text| {
                let is_up =
                    |uplink| value(text, &format!("uplinkd_uplink_up{{uplink=\"{uplink}\"}}"));
                let is_probed =
                    |uplink| value(text, &reply(uplink)).is_some_and(|count| count > 2.0);
                let is_ready = |uplink| is_up(uplink) == Some(1.0) && is_probed(uplink);
                is_ready(FIBER) && is_ready(LTE)
            },
        )
        .await;
        let of_fiber = |name: &str| value(&text, &format!("{name}{{uplink=\"fiber\"}}"));
        assert_eq!(of_fiber("uplinkd_uplink_active"), Some(1.0), "{text}");
        let replies = value(&text, &reply(FIBER)).expect("replies");
        assert_eq!(of_fiber("uplinkd_uplink_rtt_seconds_count"), Some(replies));
        assert!(
            of_fiber("uplinkd_uplink_receive_bytes_total") > Some(0.0),
            "{text}"
        );
        assert!(of_fiber("uplinkd_probe_bytes_total") > Some(0.0), "{text}");
        let start = "uplinkd_switches_total{from=\"none\",to=\"fiber\",reason=\"start\"}";
        assert_eq!(value(&text, start), Some(1.0), "{text}");
        assert!(!text.contains("NaN"), "{text}");

        world.set_up(FIBER, false).await;
        let switch = "uplinkd_switches_total{from=\"fiber\",to=\"lte\",reason=\"down\"}";
        let text = soon(
            &site,
            || scrape(AT),
            |text| value(text, switch) == Some(1.0),
        )
        .await;
        let state = "uplinkd_uplink_state{uplink=\"fiber\",state=\"down\"}";
        assert_eq!(value(&text, state), Some(1.0), "{text}");
        assert!(
            value(&text, "uplinkd_switch_duration_seconds_count") >= Some(2.0),
            "{text}"
        );
        let before = Instant::now();
        let scrapes = 20;
        for _ in 0..scrapes {
            assert!(scrape(AT).is_some());
        }
        eprintln!(
            "a scrape of two uplinks takes {:?}",
            before.elapsed() / scrapes
        );
    });
}

#[test]
fn the_stream_of_a_drill_counts_for_the_uplink_that_carried_it() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let drilled = format!("{}[drill]\nafter_start = \"0s\"\n", probes());
        let site = Site::with("state", &format!("metrics = \"{AT}\"\n"), &drilled);
        let bytes = |text: &str, uplink: &str| {
            let probed = value(
                text,
                &format!("uplinkd_probe_bytes_total{{uplink=\"{uplink}\"}}"),
            );
            probed.unwrap_or_default()
        };
        let is_ready = |text: &str| bytes(text, FIBER) > 0.0 && bytes(text, LTE) > 0.0;
        let before = soon(&site, || scrape(AT), is_ready).await;
        let drill = site.say(&["drill", FIBER, "--for", "4s", "--yes"]);
        assert!(drill.status.success(), "{drill:?}\n{}", site.log());
        let after = scrape(AT).expect("a page");
        let of_probes = |uplink: &str| {
            let results = ["reply", "lost"].map(|result| {
                let name = "uplinkd_probes_total";
                let labels = format!("uplink=\"{uplink}\",target=\"{TARGET}\",result=\"{result}\"");
                value(&after, &format!("{name}{{{labels}}}")).unwrap_or_default()
            });
            results.iter().sum::<f64>() * 172.0
        };
        // A packet each 10 ms, for a second before the cut and until one was answered, and for a second after that.
        for uplink in [FIBER, LTE] {
            let streamed = bytes(&after, uplink) - of_probes(uplink);
            assert!(
                (50.0 * 172.0..400.0 * 172.0).contains(&streamed),
                "{uplink}: {streamed} of {} after {}\n{}",
                bytes(&after, uplink),
                bytes(&before, uplink),
                site.log()
            );
        }
    });
}

#[test]
fn each_request_is_answered_by_what_it_is() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = site(AT);
        soon(&site, || scrape(AT), |_| true).await;
        let line = |request: &[u8]| {
            let answer = exchange(AT, request).expect("an answer");
            answer.lines().next().map(str::to_owned).unwrap_or_default()
        };
        assert_eq!(line(b"GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK");
        assert_eq!(line(b"GET /metrics?x HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK");
        assert_eq!(
            line(b"GET /etc/passwd HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 404 Not Found"
        );
        assert_eq!(
            line(b"POST /metrics HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 405 Method Not Allowed"
        );
        assert_eq!(line(b"\x16\x03\x01\x00\xff"), "HTTP/1.1 400 Bad Request");
        let mut half = connect(AT).expect("a connection");
        half.write_all(GET).expect("sent");
        half.shutdown(Shutdown::Write).expect("half closed");
        assert!(body(&rest(&mut half)).is_some());
    });
}

#[test]
fn hostile_clients_delay_neither_the_agent_nor_an_honest_scraper() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let site = site(AT);
        site.status(|status| {
            status["active"][0] == "fiber" && status["uplinks"][1]["state"] == "up"
        })
        .await;
        let answer = exchange(AT, &vec![b'x'; 1 << 20]).expect("an answer");
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        let head = [
            b"GET /metrics HTTP/1.1\r\nX: ".to_vec(),
            vec![b'x'; 1 << 20],
        ]
        .concat();
        let answer = exchange(AT, &head).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        let mut clients = Vec::new();
        for number in 0..1_000 {
            let mut client = connect(AT).expect("a connection");
            let says: &[u8] = match number % 4 {
                0 => b"",
                1 => b"GET /metr",
                // It never reads its answer.
                2 => GET,
                _ => b"\0\xff\r\n\r\n",
            };
            drop(client.write_all(says));
            clients.push(client);
        }
        let honest = scrape(AT).expect("an answer beside all of them");
        assert!(honest.contains("uplinkd_build_info"), "{honest}");
        let before = Instant::now();
        site.status(|_| true).await;
        eprintln!("a status beside 1,000 clients takes {:?}", before.elapsed());
        world.set_up(FIBER, false).await;
        site.status(|status| status["active"][0] == "lte").await;
        let switch = "uplinkd_switches_total{from=\"fiber\",to=\"lte\",reason=\"down\"}";
        soon(
            &site,
            || scrape(AT),
            |text| value(text, switch) == Some(1.0),
        )
        .await;
        drop(clients);
    });
}

#[test]
fn at_a_unix_socket_they_are_for_its_owner_and_group_and_a_dead_one_is_replaced() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let files = tempfile::tempdir().expect("a directory");
        let path = files.path().join("run/metrics.sock");
        let mut site = site(&format!("unix:{}", path.display()));
        soon(
            &site,
            || scrape_unix(&path),
            |text| text.contains("uplinkd_build_info"),
        )
        .await;
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(listening(), Vec::<String>::new());
        site.kill();
        assert!(path.exists());
        site.start();
        soon(&site, || scrape_unix(&path), |_| true).await;
        site.end(Signal::SIGTERM);
        assert!(!path.exists(), "it goes with the agent");
    });
}

#[test]
fn in_a_file_they_are_always_whole_and_go_with_the_agent() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let files = tempfile::tempdir().expect("a directory");
        let path = files.path().join("prometheus/uplinkd.prom");
        let mut site = site(&format!("file:{}", path.display()));
        let read = || fs::read_to_string(&path).ok();
        let text = soon(&site, read, |_| true).await;
        assert!(text.starts_with("# HELP uplinkd_build_info "), "{text}");
        let is_whole = text.contains("\nuplinkd_switch_duration_seconds_count ");
        assert!(is_whole && text.ends_with('\n'), "{text}");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let beside = fs::read_dir(path.parent().expect("a directory")).expect("a directory");
        assert_eq!(beside.count(), 1);
        assert_eq!(listening(), Vec::<String>::new());
        site.end(Signal::SIGTERM);
        assert!(!path.exists(), "it goes with the agent");
    });
}

#[test]
fn a_reload_moves_them_keeps_what_was_counted_and_is_refused_where_they_cannot_go() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let other = "127.0.0.1:9465";
        let site = site(AT);
        let sent = format!("uplinkd_probes_sent_total{{uplink=\"fiber\",target=\"{TARGET}\"}}");
        let text = soon(&site, || scrape(AT), |text| value(text, &sent) > Some(2.0)).await;
        let before = value(&text, &sent);
        assert!(change(&site, AT, other).status.success(), "{}", site.log());
        let text = soon(&site, || scrape(other), |_| true).await;
        assert!(value(&text, &sent) >= before, "{text}");
        soon(&site, || Some(String::new()), |_| scrape(AT).is_none()).await;

        let taken = TcpListener::bind(AT).expect("it is free");
        let refused = change(&site, other, AT);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{words}");
        assert!(words.contains("cannot listen at 127.0.0.1:9464"), "{words}");
        let refused = "uplinkd_config_last_reload_successful";
        soon(
            &site,
            || scrape(other),
            |text| value(text, refused) == Some(0.0),
        )
        .await;
        drop(taken);

        let off = change(&site, &format!("metrics = \"{AT}\""), "metrics = \"off\"");
        assert!(off.status.success(), "{}", site.log());
        soon(&site, || Some(String::new()), |_| listening().is_empty()).await;
        site.status(|_| true).await;
    });
}

#[test]
fn without_the_key_nothing_listens() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = Site::new("state");
        site.status(|status| status["routes"] == "in_place").await;
        assert_eq!(listening(), Vec::<String>::new());
    });
}

#[test]
fn an_agent_that_cannot_listen_does_not_start_and_names_the_address() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let _taken = TcpListener::bind(AT).expect("it is free");
        let agent = format!("metrics = \"{AT}\"\n");
        let site = Site::prepared("state", &agent, &probes());
        let mut command = Command::new(env!("CARGO_BIN_EXE_uplinkd"));
        let command = command
            .args(["run", "--config"])
            .arg(site.path("uplinkd.toml"));
        let ended = command.output().expect("it ends");
        let words = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{words}");
        assert!(words.contains("cannot listen at 127.0.0.1:9464"), "{words}");
        assert_eq!(world.of_protocol(117).await, Vec::<String>::new());
    });
}

/// From the commands of an operator until their switches are announced, in order of length.
fn switch_times(site: &Site, count: usize) -> Vec<Duration> {
    let connect = || Client::connect(&site.path("control.sock")).expect("the agent");
    let (mut watcher, mut operator) = (connect(), connect());
    watcher.watch().expect("a status");
    let mut times = Vec::new();
    for uplink in [LTE, FIBER].into_iter().cycle().take(count) {
        let begun = Instant::now();
        let command = OperatorCommand::switch(uplink.parse().expect("a name"));
        let told = operator.request(&command.into()).expect("an answer");
        assert!(matches!(told, Response::Done(_)), "{told:?}");
        loop {
            let next = watcher.next_event().expect("an event");
            if matches!(&next, Response::Event(event) if event.event == EventKind::Switch) {
                break;
            }
        }
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}

/// Does something while clients come as fast as they can, each with the next of these requests, and never read; and
/// tells how many came.
fn in_a_flood<T>(
    at: &'static str,
    requests: &'static [&'static [u8]],
    work: impl FnOnce() -> T,
) -> (T, usize) {
    let ends = Arc::new(AtomicBool::new(false));
    let namespace = fs::File::open("/proc/thread-self/ns/net").expect("our namespace");
    let is_over = ends.clone();
    let flood = std::thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("our namespace");
        let mut clients = std::collections::VecDeque::new();
        let mut made = 0;
        while !is_over.load(Ordering::Relaxed) {
            if let Some(mut client) = connect(at) {
                drop(client.write_all(requests[made % requests.len()]));
                clients.push_back(client);
                made += 1;
            }
            if clients.len() > 100 {
                clients.pop_front();
            }
        }
        made
    });
    let done = work();
    ends.store(true, Ordering::Relaxed);
    (done, flood.join().expect("the flood ends"))
}

/// Switches by hand come to their end in a flood; prints what it costs them.
fn assert_switches_in_a_flood(site: &Site, at: &'static str, requests: &'static [&'static [u8]]) {
    let count = extent(10, 100);
    let alone = switch_times(site, count);
    let (beside, made) = in_a_flood(at, requests, || switch_times(site, count));
    eprintln!(
        "a switch by hand takes {:?} (at most {:?}), beside {made} clients {:?} (at most {:?})",
        alone[count / 2],
        alone[count - 1],
        beside[count / 2],
        beside[count - 1]
    );
    assert!(made > 0);
}

#[test]
fn each_switch_comes_to_its_end_in_a_flood_of_clients() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let site = site(AT);
        let are_up = |status: &serde_json::Value| {
            let state = |place: usize| status["uplinks"][place]["state"] == "up";
            status["active"][0] == "fiber" && state(0) && state(1)
        };
        site.status(are_up).await;
        assert_switches_in_a_flood(&site, AT, &[GET, b"GET /"]);
    });
}
