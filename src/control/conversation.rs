//! One client of the control socket, from its first line to its last.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tracing::debug;

use super::{Answer, Call, Request, Response};
use crate::engine::command::{Caller, Command};
use crate::units::json;

/// Answers a client's requests one after the other until it leaves, is silent for too long, or says
/// something that cannot be understood. Of `watches` each that only listens takes one.
pub(super) async fn hold(stream: UnixStream, calls: mpsc::Sender<Call>, watches: Arc<Semaphore>) {
    let by = caller(&stream);
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let request = match timeout(REQUEST_WITHIN, read_request(&mut reader)).await {
            Ok(Ok(request)) => request,
            Ok(Err(Unusable::Ended)) | Err(_) => return,
            Ok(Err(Unusable::Refused(why))) => {
                debug!(why, "control request refused");
                write(&mut writer, &Response::Refused(why).to_line()).await;
                return;
            }
        };
        let is_watch = request == Request::Watch;
        let is_drill = matches!(request, Request::Command(Command::Drill { .. }));
        let _place = if is_watch {
            let Ok(place) = watches.try_acquire() else {
                let refusal = Response::Refused("too many watch already".to_owned());
                write(&mut writer, &refusal.to_line()).await;
                return;
            };
            Some(place)
        } else {
            None
        };
        let (sender, answers) = mpsc::channel(if is_watch { WATCH_BACKLOG } else { 1 });
        let by = by.clone();
        if calls
            .send(Call {
                request,
                by,
                answers: sender,
            })
            .await
            .is_err()
        {
            return;
        }
        let is_content = if is_watch {
            relay_watch(answers, &mut reader, &mut writer).await
        } else if is_drill {
            relay_while_there(answers, &mut reader, &mut writer).await
        } else {
            relay(answers, &mut writer).await
        };
        if !is_content {
            return;
        }
    }
}

/// The names of users come from the file alone: other sources may keep the loop waiting.
fn caller(stream: &UnixStream) -> Caller {
    let Ok(peer) = stream.peer_cred() else {
        return Caller::named("unknown");
    };
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    Caller::user(peer.uid(), &String::from_utf8_lossy(&passwd))
}

/// Tells an unwelcome client why, if that is possible without waiting.
pub(super) fn refuse(stream: &UnixStream, why: &str) {
    let line = Response::Refused(why.to_owned()).to_line();
    if let Err(error) = stream.try_write(line.as_bytes()) {
        debug!(%error, why, "control client left before it was refused");
    }
}

/// Why a conversation has no next request.
enum Unusable {
    /// The client is done.
    Ended,
    /// What it sent is no request.
    Refused(String),
}

async fn read_request(reader: &mut BufReader<OwnedReadHalf>) -> Result<Request, Unusable> {
    let mut line = Vec::new();
    let read = reader
        .take(MAX_LINE as u64 + 1)
        .read_until(b'\n', &mut line)
        .await;
    match read {
        Err(_) | Ok(0) => return Err(Unusable::Ended),
        Ok(_) if line.len() > MAX_LINE => {
            let why = format!("a request has at most {MAX_LINE} bytes");
            return Err(Unusable::Refused(why));
        }
        Ok(_) if !line.ends_with(b"\n") => {
            let why = format!("the request ends within a line, after {} bytes", line.len());
            return Err(Unusable::Refused(why));
        }
        Ok(_) => {}
    }
    json::read(&line).map_err(|error| Unusable::Refused(format!("this is no request: {error}")))
}

/// Passes on the one answer to a request; false when the client is gone.
async fn relay(mut answers: mpsc::Receiver<Arc<Answer>>, writer: &mut OwnedWriteHalf) -> bool {
    match answers.recv().await {
        Some(answer) => write(writer, answer.line()).await,
        None => false,
    }
}

/// Passes on the one answer to a client that is there all the time; its end of input is its end.
async fn relay_while_there(
    mut answers: mpsc::Receiver<Arc<Answer>>,
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> bool {
    let has_left = async {
        match reader.fill_buf().await {
            // Its next request can wait.
            Ok(more) if !more.is_empty() => std::future::pending().await,
            Ok(_) | Err(_) => {}
        }
    };
    let answer = tokio::select! {
        answer = answers.recv() => answer,
        () = has_left => None,
    };
    match answer {
        Some(answer) => write(writer, answer.line()).await,
        None => false,
    }
}

/// Passes on events until either side has had enough. A watcher has nothing more to say.
async fn relay_watch(
    mut answers: mpsc::Receiver<Arc<Answer>>,
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> bool {
    loop {
        let answer = tokio::select! {
            answer = answers.recv() => answer,
            _ = reader.read_u8() => None,
        };
        let is_passed_on = match answer {
            Some(answer) => write(writer, answer.line()).await,
            None => false,
        };
        if !is_passed_on {
            return false;
        }
    }
}

/// False when the client is gone or does not read.
async fn write(writer: &mut OwnedWriteHalf, line: &str) -> bool {
    matches!(
        timeout(WRITE_WITHIN, writer.write_all(line.as_bytes())).await,
        Ok(Ok(()))
    )
}

/// The longest request, its end of line left out, has a few hundred bytes.
const MAX_LINE: usize = 64 * 1024;
/// A client in the middle of nothing holds a place that others may want.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// Lines that wait for a watcher: half a minute of the worst flapping.
pub(super) const WATCH_BACKLOG: usize = 128;
