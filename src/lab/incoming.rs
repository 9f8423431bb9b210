//! Connections from the internet, many by each uplink at once: to a port that the router forwards to the client, and
//! to a service of the router itself. A provider takes only the addresses of its customer, so that an answer by
//! another uplink than that of the question does not come back.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::lab::error::{Doing, LabError};
use crate::lab::long_flow_ends::echo_tcp;
use crate::lab::network::LabNetwork;
use crate::lab::shutdown;

/// The port that is forwarded, and that of the router itself.
const PORTS: [u16; 2] = [8_000, 8_001];
/// Far longer than an answer takes.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// How many connections were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct IncomingCounts {
    /// So many were opened to the forwarded port, and as many to the router.
    pub opened: usize,
    /// Those to the forwarded port that were answered.
    pub forwarded: usize,
    /// Those to the router that were.
    pub own: usize,
}

impl IncomingCounts {
    /// Those that were not answered.
    pub(super) fn unanswered(self) -> usize {
        2 * self.opened - self.forwarded - self.own
    }
}

impl fmt::Display for IncomingCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            opened,
            forwarded,
            own,
        } = self;
        write!(
            f,
            "connections from the internet by all uplinks at once: {forwarded} of {opened} to a forwarded port and {own} \
             of {opened} to the router are answered by the uplink that they came by"
        )
    }
}

/// Opens so many of each kind by each uplink, all at once, and asks by each of them.
pub(super) fn ask(network: &LabNetwork, each: usize) -> Result<IncomingCounts, LabError> {
    let [forwarded, own] = PORTS;
    network.forward(forwarded)?;
    let serve = || -> io::Result<_> {
        let any = Ipv4Addr::UNSPECIFIED;
        let mut lines = Vec::new();
        for (node, port) in [(network.client(), forwarded), (network.router(), own)] {
            let listener = node.run(|| TcpListener::bind((any, port)))?;
            listener.set_nonblocking(true)?;
            let (line, shutdown) = shutdown::pair()?;
            node.spawn("incoming", move || echo_tcp(&listener, &shutdown))?;
            lines.push(line);
        }
        Ok(lines)
    };
    let lines = serve().doing(|| "serve the internet".to_owned())?;
    let entries = LabNetwork::entries();
    let counts = network.internet().run(|| {
        // Threads stay in the namespace of the one that starts them.
        let ask = |port| entries.map(|to| thread::spawn(move || answered((to, port).into(), each)));
        let asked = PORTS.map(ask);
        Ok(asked.map(|asked| {
            let answered = asked.into_iter().map(|one| one.join().unwrap_or(0));
            answered.sum::<usize>()
        }))
    });
    let [forwarded, own] = counts.doing(|| "connect from the internet".to_owned())?;
    drop(lines);
    let opened = entries.len() * each;
    Ok(IncomingCounts {
        opened,
        forwarded,
        own,
    })
}

/// How many of so many connections are answered: all are open before one is asked by.
fn answered(to: SocketAddr, count: usize) -> usize {
    let open = |_| TcpStream::connect_timeout(&to, ANSWERS_WITHIN).ok();
    let mut connections: Vec<_> = (0..count).filter_map(open).collect();
    let is_answered = |connection: &mut TcpStream| -> io::Result<()> {
        connection.set_read_timeout(Some(ANSWERS_WITHIN))?;
        connection.write_all(b"?")?;
        connection.read_exact(&mut [0])
    };
    { connections.iter_mut() }
        .filter_map(|connection| is_answered(connection).ok())
        .count()
}
