//! A query to a resolver, as a probe and for the names of other targets.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::dns_message::{DnsAnswer, DnsQuestion, MAX_ANSWER, ResponseCode};
use super::job::ProbeExit;
use super::socket::{self, now};
use crate::engine::input::ProbeOutcome;
use crate::units::{DnsTarget, HostName, RecordType};

/// Queries through the interface; none if there is no answer in time.
///
/// The target tells whether the resolver resolves through this uplink, so only NOERROR is a reply.
pub(super) async fn probe(
    target: &DnsTarget,
    exit: &ProbeExit,
    listen_for: Duration,
) -> Option<ProbeOutcome> {
    let begun = now();
    let query = query(target.server, &target.name, target.record, exit);
    Some(match timeout(listen_for, query).await.ok()? {
        Ok(answer) if answer.code == ResponseCode::NO_ERROR => ProbeOutcome::Reply(begun.elapsed()),
        Ok(answer) => ProbeOutcome::Wrong(format!("{target} answered {}", answer.code)),
        Err(error) => socket::read(target, &error),
    })
}

/// Queries a server once, and waits for its answer without a limit.
pub(super) async fn query(
    server: SocketAddr,
    name: &HostName,
    record: RecordType,
    exit: &ProbeExit,
) -> io::Result<DnsAnswer> {
    let socket = socket::udp(server, exit).await?;
    let question = DnsQuestion::new(random_id(), name, record);
    socket.send(question.as_bytes()).await?;
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let length = socket
            .recv(&mut buffer)
            .await
            .map_err(socket::of_the_path)?;
        // Other datagrams are noise, or forged.
        if let Some(answer) = question.read(&buffer[..length]) {
            return Ok(answer);
        }
    }
}

/// The keys of a `RandomState` come from the operating system.
fn random_id() -> u16 {
    let random = RandomState::new().hash_one(());
    (random & 0xffff) as u16
}
