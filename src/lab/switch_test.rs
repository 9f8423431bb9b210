//! The switch itself: many in a row, while a thread looks up the route all the time.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::control::client::Client;
use crate::control::{Request, Response};
use crate::engine::command::{Command, DrainLimit};
use crate::lab::clock::{self, pause};
use crate::lab::error::{Doing, LabError};
use crate::lab::family::LabFamily;
use crate::lab::files::CONTROL;
use crate::lab::namespace::Namespace;
use crate::lab::netlink::Netlink;
use crate::lab::network::UPLINKS;
use crate::lab::report::LookupCounts;
use crate::lab::route_watch;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::lab::testbed::Testbed;

/// How long the kernel may take to follow a command.
const SWITCH_WITHIN: Duration = Duration::from_secs(2);

/// After how many switches the status is requested once.
const STATUS_EVERY: u32 = 10;

/// How often a client of the crowd reads.
const READ_EVERY: Duration = Duration::from_millis(20);

/// Sends the traffic to and fro between the first two uplinks by command, `times` in all, and
/// leaves the choice to the agent again. What happens meanwhile is not put on the timeline.
/// `clients` others hold on to the control socket until then.
pub(super) fn switch_to_and_fro(
    testbed: &mut Testbed<'_>,
    times: u32,
    clients: u32,
) -> Result<LookupCounts, LabError> {
    let heading = testbed.seen.phase.take();
    let search = RouteLookups::start(testbed.network.router())?;
    let mut agent = connect()?;
    let crowd = ControlClients::gather(clients)?;
    let (mut spans, mut answers) = (Vec::new(), Vec::new());
    for number in 0..times {
        let uplink = if number % 2 == 0 {
            UPLINKS[1]
        } else {
            UPLINKS[0]
        };
        let asked = clock::now();
        command(&mut agent, Command::switch(name(uplink)?))?;
        let limit = clock::now() + SWITCH_WITHIN;
        let has_moved =
            testbed.listen_until(limit, |heard| heard.exits.v4.as_deref() == Some(uplink));
        if !has_moved {
            return Err(LabError::vain(
                &format!("the kernel had moved the traffic to {uplink}"),
                SWITCH_WITHIN,
            ));
        }
        spans.push(clock::now().since(asked));
        if number % STATUS_EVERY == 0 {
            let asked = clock::now();
            request(&mut agent, &Request::Status)?;
            answers.push(clock::now().since(asked));
        }
    }
    drop(crowd);
    spans.sort_unstable();
    answers.sort_unstable();
    command(&mut agent, Command::Auto)?;
    let (lookups, without_a_route) = search.end()?;
    testbed.seen.phase = heading;
    Ok(LookupCounts {
        switches: times,
        lookups,
        without_a_route,
        median_us: micros(spans.get(spans.len() / 2)),
        worst_us: micros(spans.last()),
        status_us: micros(answers.get(answers.len() / 2)),
    })
}

fn micros(span: Option<&Duration>) -> u64 {
    let micros = span.map_or(0, Duration::as_micros);
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// Clients that watch the agent. All but the first read their events.
struct ControlClients {
    _shutdown: ShutdownHandle,
}

impl ControlClients {
    fn gather(clients: u32) -> Result<Self, LabError> {
        let gather = || {
            let mut streams = Vec::new();
            for _ in 0..clients {
                let mut stream = UnixStream::connect(CONTROL)?;
                stream.set_nonblocking(true)?;
                // Beyond its limit the agent says so, and hangs up.
                drop(stream.write_all(b"\"watch\"\n"));
                streams.push(stream);
            }
            let (handle, shutdown) = shutdown::pair()?;
            thread::Builder::new()
                .name("crowd".to_owned())
                .spawn(move || read_all(&mut streams, &shutdown))?;
            Ok::<_, io::Error>(Self { _shutdown: handle })
        };
        gather().doing(|| format!("connect {clients} clients to the agent"))
    }
}

fn read_all(streams: &mut [UnixStream], shutdown: &Shutdown) {
    let mut said = [0; 4096];
    while !shutdown.is_requested() {
        for stream in streams.iter_mut().skip(1) {
            // What is read does not matter, and a client that was refused has it already.
            while stream.read(&mut said).is_ok_and(|read| read > 0) {}
        }
        pause(READ_EVERY);
    }
}

fn connect() -> Result<Client, LabError> {
    let agent = Client::connect(Path::new(CONTROL)).map_err(io::Error::other);
    agent.doing(|| "command the agent".to_owned())
}

/// Takes an uplink out of service, and lets its flows go on for so long.
pub(super) fn drain(uplink: &str, limit: Duration) -> Result<(), LabError> {
    let uplink = name(uplink)?;
    let drain = DrainLimit::try_from(limit).map_err(io::Error::other);
    let drain = Some(drain.doing(|| "drain".to_owned())?);
    let force = false;
    let disable = Command::Disable {
        uplink,
        drain,
        force,
    };
    command(&mut connect()?, disable)
}

fn command(agent: &mut Client, command: Command) -> Result<(), LabError> {
    request(agent, &Request::from(command))
}

fn request(agent: &mut Client, request: &Request) -> Result<(), LabError> {
    let answer = match agent.request(request) {
        Ok(Response::Refused(why) | Response::NotFound(why)) => Err(io::Error::other(why)),
        Ok(
            Response::Done(_)
            | Response::Status(_)
            | Response::Event(_)
            | Response::History(_)
            | Response::Samples(_)
            | Response::Mwan3(_),
        ) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    };
    answer.doing(|| "command the agent".to_owned())
}

/// The name of an uplink of the lab.
pub(super) fn name(uplink: &str) -> Result<crate::units::UplinkName, LabError> {
    let name = uplink.parse().map_err(io::Error::other);
    name.doing(|| format!("name the uplink {uplink}"))
}

/// A thread that looks up the route as fast as it can.
struct RouteLookups {
    handle: ShutdownHandle,
    result: Receiver<(u64, u64)>,
}

impl RouteLookups {
    fn start(router: &Namespace) -> Result<Self, LabError> {
        let start = || {
            let (handle, shutdown) = shutdown::pair()?;
            let (found, result) = channel();
            let mut kernel = router.run(Netlink::open)?;
            let packet = router.run(|| route_watch::traffic(LabFamily::Ipv4))?;
            let ask = move || kernel.exit_for(packet);
            router.spawn("search", move || {
                // Its owner waits for the result.
                found.send(count(ask, &shutdown)).unwrap_or(());
            })?;
            Ok::<_, io::Error>(Self { handle, result })
        };
        start().doing(|| "look up routes in the router".to_owned())
    }

    /// The number of lookups, and of those without a route.
    fn end(self) -> Result<(u64, u64), LabError> {
        drop(self.handle);
        let result = self.result.recv().map_err(io::Error::other);
        result.doing(|| "look up routes in the router".to_owned())
    }
}

fn count<W>(mut ask: impl FnMut() -> io::Result<Option<W>>, shutdown: &Shutdown) -> (u64, u64) {
    let (mut lookups, mut without) = (0, 0);
    while !shutdown.is_requested() {
        let is_found = matches!(ask(), Ok(Some(_)));
        lookups += 1;
        without += u64::from(!is_found);
    }
    (lookups, without)
}
