//! The control socket against clients of every kind.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::agent::{Agent, event};
use crate::bare_exchange::{MOST, times_bare_exchange};
use uplinkd::control::client::{Client, ClientError};
use uplinkd::control::socket::{BindError, Server};
use uplinkd::control::{Request, Response};
use uplinkd::engine::settings::Policy;
use uplinkd::engine::status::{Choices, FlowMemoryStatus, RoutesState, SelectionMode, Status};

fn start() -> Agent {
    Agent::start(status(), None)
}

fn client(agent: &Agent) -> Client {
    Client::connect(&agent.path()).expect("a connection")
}

fn raw(agent: &Agent) -> UnixStream {
    let stream = UnixStream::connect(agent.path()).expect("a connection");
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).expect("a time limit");
    stream
}

fn is_well(agent: &Agent) -> bool {
    let answer = client(agent).request(&Request::Status);
    matches!(answer, Ok(Response::Status(_)))
}

fn status() -> Status {
    Status {
        version: "0".to_owned(),
        mode: SelectionMode::Auto,
        choices: Choices::default(),
        policy: Policy::Failover,
        new_connections: Vec::new(),
        active: Vec::new(),
        since: None,
        uplinks: Vec::new(),
        groups: Vec::new(),
        routes: RoutesState::InPlace,
        flow_memory: FlowMemoryStatus::default(),
        last_switch: None,
        drill: uplinkd::engine::status::DrillStatus::default(),
        rules: Vec::new(),
    }
}

/// Everything that is said until the other end closes.
fn rest(stream: UnixStream) -> String {
    let mut said = Vec::new();
    let mut stream = BufReader::new(stream);
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1) => said.push(byte[0]),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&said)),
        }
    }
    String::from_utf8(said).expect("a text")
}

#[test]
fn one_connection_carries_several_requests() {
    let agent = start();
    let mut client = client(&agent);
    for _ in 0..3 {
        let answer = client.request(&Request::Status).expect("an answer");
        assert_eq!(answer, Response::Status(Box::new(status())));
    }
    let answer = client.request(&Request::Reload).expect("an answer");
    assert_eq!(answer, Response::Refused("not now".to_owned()));
}

#[test]
fn a_watcher_hears_the_status_then_each_event_with_the_status_after_it() {
    let agent = start();
    let mut client = client(&agent);
    let first = client.watch().expect("a status");
    assert_eq!(first, Response::Status(Box::new(status())));
    agent.happen(2);
    for number in 0..2 {
        let happened = client.next_event().expect("an event");
        assert_eq!(happened, Response::Event(Box::new(event(number))));
        let after = client.next_event().expect("a status");
        assert_eq!(after, Response::Status(Box::new(status())));
    }
}

#[test]
fn garbage_is_refused_by_its_name() {
    let agent = start();
    for garbage in [
        &b"hello\n"[..],
        b"\xff\xfe\n",
        b"{\"command\":{\"explode\":1}}\n",
        b"\n",
    ] {
        let mut stream = raw(&agent);
        stream.write_all(garbage).expect("a running agent");
        let said = rest(stream);
        assert!(
            said.starts_with("{\"refused\":\"this is no request: "),
            "{said}"
        );
    }
    assert!(is_well(&agent));
}

#[test]
#[expect(clippy::print_stdout, reason = "a figure")]
fn a_status_is_answered_at_once() {
    let agent = start();
    let mut client = client(&agent);
    let times = times_bare_exchange(|| {
        client.request(&Request::Status).expect("an answer");
    });
    println!("a status by the socket takes {times:.1} bare exchanges");
    assert!(times < MOST, "{times} bare exchanges");
}

#[test]
fn however_many_watch_others_can_still_ask() {
    let agent = start();
    let watch = || {
        let mut stream = raw(&agent);
        stream.write_all(b"\"watch\"\n").expect("a request");
        let mut first = String::new();
        let mut reader = BufReader::new(stream.try_clone().expect("the same stream"));
        reader.read_line(&mut first).expect("a line");
        (stream, first)
    };
    let watchers: Vec<_> = (0..60).map(|_| watch()).collect();
    let refused = |(_, first): &&(UnixStream, String)| first.contains("too many watch already");
    assert_eq!(watchers.iter().filter(refused).count(), 60 - 32);
    assert!(is_well(&agent));
}

#[test]
fn half_a_line_is_refused() {
    let agent = start();
    let mut stream = raw(&agent);
    stream.write_all(b"\"sta").expect("a running agent");
    stream.shutdown(Shutdown::Write).expect("a running agent");
    let expected = "{\"refused\":\"the request ends within a line, after 4 bytes\"}\n";
    assert_eq!(rest(stream), expected);
}

#[test]
fn a_hundred_megabytes_are_refused_after_the_first_64_kib() {
    let agent = start();
    let mut stream = raw(&agent);
    let megabyte = vec![b'x'; 1 << 20];
    let written = (0..100)
        .take_while(|_| stream.write_all(&megabyte).is_ok())
        .count();
    assert!(written < 2, "{written} MiB were taken");
    assert_eq!(
        rest(stream),
        "{\"refused\":\"a request has at most 65536 bytes\"}\n"
    );
    assert!(is_well(&agent));
}

#[test]
fn a_watcher_that_never_reads_loses_its_place_and_delays_no_other() {
    let agent = start();
    let mut sleeper = raw(&agent);
    sleeper.write_all(b"\"watch\"\n").expect("a running agent");
    let mut first = String::new();
    let mut reader = BufReader::new(sleeper.try_clone().expect("a second handle"));
    reader.read_line(&mut first).expect("a status");
    agent.happen(100_000);
    assert!(is_well(&agent));
    let said = rest(sleeper);
    let last = said.lines().last().expect("a farewell");
    assert_eq!(
        last,
        "{\"refused\":\"no longer watching: this client reads too slowly\"}"
    );
}

#[test]
fn a_client_that_asks_and_never_reads_delays_no_other() {
    let agent = start();
    let mut stream = raw(&agent);
    stream.set_nonblocking(true).expect("a socket");
    let requests = b"\"status\"\n".repeat(10_000);
    let mut sent = 0;
    while let Ok(count) = stream.write(&requests[sent % 9..]) {
        sent += count;
    }
    assert!(is_well(&agent));
}

#[test]
fn too_many_clients_are_told_so_and_places_become_free_again() {
    let agent = start();
    let mut streams: Vec<_> = (0..64).map(|_| raw(&agent)).collect();
    let said = rest(raw(&agent));
    assert_eq!(said, "{\"refused\":\"too many clients\"}\n");
    for stream in &mut streams {
        stream
            .write_all(b"\"nonsense\"\n")
            .expect("a running agent");
    }
    for stream in streams {
        rest(stream);
    }
    assert!(is_well(&agent));
}

#[test]
fn a_second_agent_is_told_that_another_is_running() {
    let agent = start();
    let error = bind(&agent.path()).expect_err("the place is taken");
    assert_eq!(
        error.to_string(),
        format!(
            "another agent is running: it answers at {}",
            agent.path().display()
        )
    );
    assert!(is_well(&agent));
}

#[test]
fn a_stranger_that_answers_at_the_path_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    let _stranger = UnixListener::bind(&path).expect("a socket");
    assert!(matches!(bind(&path), Err(BindError::AlreadyRunning(_))));
    UnixStream::connect(&path).expect("the stranger");
}

#[test]
fn a_stale_socket_is_replaced_and_a_plain_file_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    let dead = UnixListener::bind(&path).expect("a socket");
    // A child of another test may hold it for a moment longer.
    socket2::SockRef::from(&dead)
        .shutdown(Shutdown::Both)
        .expect("it stops listening");
    drop(dead);
    bind(&path).expect("the dead agent's place");
    assert!(!path.exists(), "the socket goes with its server");

    fs::write(&path, "precious").expect("a file");
    assert!(matches!(bind(&path), Err(BindError::InTheWay(_))));
    assert_eq!(fs::read_to_string(&path).expect("the file"), "precious");
}

#[test]
fn the_socket_is_for_its_owner_and_group() {
    let agent = start();
    let mode = fs::metadata(agent.path())
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_client_says_which_agent_does_not_answer() {
    let error = Client::connect(Path::new("/nowhere/control.sock")).expect_err("no agent is there");
    assert!(matches!(error, ClientError::Connect { .. }));
    // Agents of other tests may run: then it names these.
    let told = error.to_string();
    let hints = ["(is it running?)", "(an agent is running at /"];
    let is_told = |hint| {
        told.starts_with(&format!(
            "cannot reach the agent at /nowhere/control.sock {hint}"
        ))
    };
    assert!(hints.into_iter().any(is_told), "{told}");
}

/// A server that lives only for a moment.
fn bind(path: &Path) -> Result<(), BindError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { Server::bind(path).map(drop) })
}
