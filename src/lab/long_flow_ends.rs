//! The two ends of the client's long flows: see [`LongFlow`].

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};

use crate::lab::call::PACE;
use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::event::LabEvent;
use crate::lab::internet::ECHO;
use crate::lab::long_flow::{FlowNews, LongFlow};
use crate::lab::namespace::Namespace;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::units::Moment;
use crate::units::sorted::SortedMap;

/// Echo over TCP (RFC 862).
const TCP_PORT: u16 = 7;
/// Where QUIC would be.
const QUIC_PORT: u16 = 443;
/// How long a connection may take to be opened before another one is tried.
const OPENS_WITHIN: Duration = Duration::from_secs(1);
/// The name that the QUIC-like flow goes by, whatever its address.
const CONNECTION_ID: u64 = 0x7570_6c69_6e6b;

/// Opens all long flows, which live until the handles are dropped. What the clients hear goes to
/// `sink`.
pub(super) fn start(
    client: &Namespace,
    internet: &Namespace,
    sink: &Sender<LabEvent>,
) -> Result<Vec<ShutdownHandle>, LabError> {
    let start = || -> io::Result<Vec<ShutdownHandle>> {
        let echo = internet.run(|| TcpListener::bind((ECHO, TCP_PORT)))?;
        let quic = internet.run(|| UdpSocket::bind((ECHO, QUIC_PORT)))?;
        let speaker = client.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        speaker.connect((ECHO, QUIC_PORT))?;
        echo.set_nonblocking(true)?;
        for socket in [&quic, &speaker] {
            socket.set_nonblocking(true)?;
        }
        let mut lines = Vec::new();
        let mut shutdown = || -> io::Result<Shutdown> {
            let (line, shutdown) = shutdown::pair()?;
            lines.push(line);
            Ok(shutdown)
        };
        let (here, there) = (shutdown()?, shutdown()?);
        let (teller, ear) = (sink.clone(), sink.clone());
        internet.spawn("echo", move || echo_tcp(&echo, &here))?;
        internet.spawn("quic", move || serve_quic(&quic, &there))?;
        let (here, there) = (shutdown()?, shutdown()?);
        client.spawn("tcp", move || speak_tcp(&teller, &here))?;
        client.spawn("quic", move || speak_quic(&speaker, &ear, &there))?;
        Ok(lines)
    };
    start().doing(|| "open the long flows of the client".to_owned())
}

/// A moment as it travels.
const STAMP: usize = 8;

fn stamp(moment: Moment) -> [u8; STAMP] {
    let nanoseconds = moment.since_start().as_nanos();
    u64::try_from(nanoseconds).unwrap_or(u64::MAX).to_be_bytes()
}

fn moment(stamp: [u8; STAMP]) -> Moment {
    Moment::after_start(Duration::from_nanos(u64::from_be_bytes(stamp)))
}

/// Waits for one of these, for the owner, or for the time.
pub(super) fn wait(sockets: &[BorrowedFd<'_>], shutdown: &Shutdown, at_most: Option<Duration>) {
    let watched = sockets.iter().copied().chain([shutdown.as_fd()]);
    let mut watched: Vec<_> = watched
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    // Whatever it says, everything is looked at.
    let _ = ppoll(&mut watched, at_most.map(Into::into), None);
}

fn is_empty(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Takes in what has come; none when the other end has gone.
pub(super) fn receive(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut taken = Vec::new();
    let mut buffer = [0; 1500];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => taken.extend(&buffer[..length]),
            Err(error) if is_empty(&error) => return Some(taken),
            Err(_) => return None,
        }
    }
}

pub(super) fn echo_tcp(listener: &TcpListener, shutdown: &Shutdown) {
    let mut clients: Vec<TcpStream> = Vec::new();
    while !shutdown.is_requested() {
        while let Ok((client, _)) = listener.accept() {
            let is_set = client.set_nonblocking(true).and(client.set_nodelay(true));
            clients.extend(is_set.ok().map(|()| client));
        }
        clients.retain(|client| {
            let taken = receive(client);
            // What does not fit is lost, as is a request for more than fits.
            taken.is_some_and(|taken| { client }.write_all(&taken).is_ok())
        });
        let sockets = clients.iter().map(AsFd::as_fd);
        let sockets: Vec<_> = sockets.chain([listener.as_fd()]).collect();
        wait(&sockets, shutdown, None);
    }
}

/// Sends the time and hears it back, and opens the connection again whenever it is over.
fn speak_tcp(sink: &Sender<LabEvent>, shutdown: &Shutdown) {
    let echo = SocketAddr::new(ECHO.into(), TCP_PORT);
    while !shutdown.is_requested() {
        let opened = TcpStream::connect_timeout(&echo, OPENS_WITHIN);
        let Ok(stream) = opened.and_then(|stream| {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }) else {
            wait(&[], shutdown, Some(PACE));
            continue;
        };
        if converse(&stream, sink, shutdown).is_err() {
            return;
        }
        if tell(sink, LongFlow::Tcp, FlowNews::Reset).is_err() {
            return;
        }
    }
}

/// Until the connection is over; fails when the receiver is gone.
fn converse(
    mut stream: &TcpStream,
    sink: &Sender<LabEvent>,
    shutdown: &Shutdown,
) -> Result<(), ()> {
    let mut due = clock::now();
    let mut taken = Vec::new();
    while !shutdown.is_requested() {
        if clock::now() >= due {
            let sent = stream.write(&stamp(clock::now()));
            due = clock::now() + PACE;
            if sent.is_err_and(|error| !is_empty(&error)) {
                return Ok(());
            }
        }
        let Some(more) = receive(stream) else {
            return Ok(());
        };
        taken.extend(more);
        let (stamps, rest) = taken.as_chunks::<STAMP>();
        for stamp in stamps {
            let sent = moment(*stamp);
            tell(sink, LongFlow::Tcp, FlowNews::Answer { sent })?;
        }
        taken = rest.to_vec();
        wait(&[stream.as_fd()], shutdown, Some(due.since(clock::now())));
    }
    Err(())
}

/// Sends to each connection, unasked, the last that was heard of it, to where that came from.
fn serve_quic(socket: &UdpSocket, shutdown: &Shutdown) {
    let mut connections: SortedMap<[u8; 8], (SocketAddr, [u8; STAMP])> = SortedMap::new();
    let mut due = clock::now();
    let mut packet = [0; 8 + STAMP];
    while !shutdown.is_requested() {
        while let Ok((_, from)) = socket.recv_from(&mut packet) {
            if let ([id, stamp], []) = packet.as_chunks::<8>() {
                connections.insert(*id, (from, *stamp));
            }
        }
        if clock::now() >= due {
            // However late it is woken, it sends as many.
            due = due + PACE;
            for (id, (to, stamp)) in &connections {
                // A packet that cannot be sent is a lost one.
                drop(socket.send_to(&[*id, *stamp].concat(), to));
            }
        }
        wait(&[socket.as_fd()], shutdown, Some(due.since(clock::now())));
    }
}

fn speak_quic(socket: &UdpSocket, sink: &Sender<LabEvent>, shutdown: &Shutdown) {
    let id = CONNECTION_ID.to_be_bytes();
    let mut due = clock::now();
    let mut packet = [0; 8 + STAMP];
    while !shutdown.is_requested() {
        if clock::now() >= due {
            due = clock::now() + PACE;
            // A packet that cannot be sent is a lost one.
            drop(socket.send(&[id, stamp(clock::now())].concat()));
        }
        loop {
            match socket.recv(&mut packet) {
                Ok(_) => {
                    let ([_, stamp], []) = packet.as_chunks::<8>() else {
                        return;
                    };
                    let sent = moment(*stamp);
                    if tell(sink, LongFlow::Quic, FlowNews::Answer { sent }).is_err() {
                        return;
                    }
                }
                Err(error) if is_empty(&error) => break,
                // An ICMP error that came back for an earlier packet: taken off the socket by this.
                Err(_) => {}
            }
        }
        wait(&[socket.as_fd()], shutdown, Some(due.since(clock::now())));
    }
}

fn tell(sink: &Sender<LabEvent>, flow: LongFlow, word: FlowNews) -> Result<(), ()> {
    let event = LabEvent::LongFlow(flow, clock::now(), word);
    sink.send(event).map_err(drop)
}
