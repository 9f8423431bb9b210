//! The client downloads by TCP, and asks again when it hears nothing for a second.

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::time::Duration;

use serde::Serialize;

use crate::lab::clock;
use crate::lab::error::{Doing, LabError};
use crate::lab::event::LabEvent;
use crate::lab::internet::ECHO;
use crate::lab::long_flow_ends::{receive, wait};
use crate::lab::namespace::Namespace;
use crate::lab::shutdown::{self, Shutdown, ShutdownHandle};
use crate::lab::stream::TimeRange;
use crate::units::Moment;

const PORT: u16 = 8_080;
/// What the server sends at once, and how often: 1.6 MB/s.
const BLOCK: [u8; 16_384] = [0; 16_384];
const EVERY: Duration = Duration::from_millis(10);
/// Then the client asks again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The download in a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DownloadTraffic {
    /// What came.
    pub kilobytes: usize,
    /// How often a connection ended before its time.
    pub broken: usize,
    /// The longest time in which nothing came.
    #[serde(
        rename = "longest_pause_ms",
        serialize_with = "crate::lab::span::milliseconds"
    )]
    pub pause: Duration,
}

/// What the client has heard so far: so many bytes, or that the connection is over.
#[derive(Clone, Debug, Default)]
pub(super) struct DownloadLog(Vec<(Moment, Option<usize>)>);

impl DownloadLog {
    /// Takes in what the client heard.
    pub(super) fn handle(&mut self, at: Moment, bytes: Option<usize>) {
        self.0.push((at, bytes));
    }

    /// What came of it meanwhile.
    pub(super) fn traffic(&self, TimeRange { from, to }: TimeRange) -> DownloadTraffic {
        let inside = self.0.iter().filter(|(at, _)| (from..to).contains(at));
        let came = inside
            .clone()
            .filter_map(|(at, bytes)| Some((*at, (*bytes)?)));
        let mut last = from;
        let mut pause = Duration::ZERO;
        for at in came.clone().map(|(at, _)| at).chain([to]) {
            pause = pause.max(at.since(last));
            last = at;
        }
        DownloadTraffic {
            kilobytes: came.map(|(_, bytes)| bytes).sum::<usize>() / 1_000,
            broken: inside.filter(|(_, bytes)| bytes.is_none()).count(),
            pause,
        }
    }
}

impl fmt::Display for DownloadTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kilobytes,
            broken,
            pause,
        } = self;
        let pause = pause.as_millis();
        write!(
            f,
            "{kilobytes} kB came, {broken} connections ended before their time, longest pause {pause} ms"
        )
    }
}

/// Downloads until the handles are dropped.
pub(super) fn start(
    client: &Namespace,
    internet: &Namespace,
    sink: Sender<LabEvent>,
) -> Result<[ShutdownHandle; 2], LabError> {
    let start = || -> io::Result<_> {
        let listener = internet.run(|| TcpListener::bind((ECHO, PORT)))?;
        listener.set_nonblocking(true)?;
        let (server, server_shutdown) = shutdown::pair()?;
        let (reader, reader_shutdown) = shutdown::pair()?;
        internet.spawn("download", move || serve(&listener, &server_shutdown))?;
        client.spawn("download", move || read(&sink, &reader_shutdown))?;
        Ok([server, reader])
    };
    start().doing(|| "start the download of the client".to_owned())
}

fn serve(listener: &TcpListener, shutdown: &Shutdown) {
    let mut clients: Vec<TcpStream> = Vec::new();
    while !shutdown.is_requested() {
        while let Ok((client, _)) = listener.accept() {
            clients.extend(client.set_nonblocking(true).ok().map(|()| client));
        }
        clients.retain(|mut client| match client.write(&BLOCK) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        wait(&[], shutdown, Some(EVERY));
    }
}

fn read(sink: &Sender<LabEvent>, shutdown: &Shutdown) {
    let server = SocketAddr::new(ECHO.into(), PORT);
    let tell = |bytes| sink.send(LabEvent::Download(clock::now(), bytes)).is_ok();
    while !shutdown.is_requested() {
        let opened = TcpStream::connect_timeout(&server, PATIENCE);
        let opened = opened.and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
        let Ok(stream) = opened else {
            wait(&[], shutdown, Some(EVERY));
            continue;
        };
        let mut heard_at = clock::now();
        while clock::now().since(heard_at) < PATIENCE && !shutdown.is_requested() {
            wait(&[stream.as_fd()], shutdown, Some(PATIENCE));
            match receive(&stream) {
                None => break,
                Some(taken) if taken.is_empty() => {}
                Some(taken) => {
                    heard_at = clock::now();
                    if !tell(Some(taken.len())) {
                        return;
                    }
                }
            }
        }
        if !tell(None) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::after_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_pause_reaches_from_one_arrival_to_the_next_or_to_the_edges() {
        let mut log = DownloadLog::default();
        for (when, bytes) in [
            (900, Some(1_000)),
            (1_100, Some(4_000)),
            (1_200, Some(5_000)),
            (1_700, None),
            (1_750, Some(1_000)),
        ] {
            log.handle(at(when), bytes);
        }
        let traffic = |from, to| {
            let (from, to) = (at(from), at(to));
            log.traffic(TimeRange { from, to })
        };
        let whole = traffic(1_000, 2_000);
        assert_eq!((whole.kilobytes, whole.broken), (10, 1));
        assert_eq!(whole.pause, Duration::from_millis(550));
        assert_eq!(traffic(1_300, 1_700).pause, Duration::from_millis(400));
    }
}
