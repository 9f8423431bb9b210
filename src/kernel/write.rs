//! Writing: one [`Operation`] becomes one acknowledged request.

use std::io;
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::Connection;
use netlink_sys::AsyncSocket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::KernelError;
use super::errno::{self, Meaning, Verb};
use super::exchange::Exchange;
use super::message::{self, Standing};
use crate::routing::plan::Operation;
use crate::units::Protocol;

/// The kernel answers within the system call, unless something holds its configuration lock for
/// long, as some drivers do while they reset a device.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A netlink connection for changes.
pub(super) struct Writer {
    handle: Handle,
    port: u32,
    connection: JoinHandle<()>,
    /// For nexthop objects, which the crates do not know.
    exchange: Exchange,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is as asked for.
    Done,
    /// The kernel would not.
    Refused {
        /// Its reason, and what that means.
        reason: String,
        /// Waiting for a link to change will not help.
        is_permanent: bool,
    },
}

impl Writer {
    /// Opens the connection; its task runs on the current runtime.
    pub(super) fn open() -> Result<Self, KernelError> {
        let (mut connection, handle, _) =
            rtnetlink::new_connection().map_err(KernelError::Socket)?;
        let port = prepare(&mut connection).map_err(KernelError::Socket)?;
        Ok(Self {
            handle,
            port,
            connection: tokio::spawn(connection),
            exchange: Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?,
        })
    }

    /// The ports that mark the events which this writer caused.
    pub(super) fn ports(&self) -> [u32; 2] {
        [self.port, self.exchange.port()]
    }

    /// Whether this kernel has resilient groups of nexthop objects: it lists their buckets then.
    pub(super) fn has_groups(&mut self) -> bool {
        has_groups(&mut self.exchange)
    }

    /// Returns when the connection has ended, which it never should.
    pub(super) async fn ended(&mut self) {
        if !self.connection.is_finished() {
            // How it ended does not matter: it can only be opened anew.
            let _ = (&mut self.connection).await;
        }
    }

    /// Does it, and waits for the kernel's answer.
    pub(super) async fn apply(
        &mut self,
        operation: &Operation,
        protocol: Protocol,
    ) -> Result<Outcome, KernelError> {
        let request = self.request(operation, protocol);
        match timeout(ANSWER_WITHIN, request).await {
            Err(_) => Err(KernelError::Silent),
            Ok(Ok(())) => Ok(Outcome::Done),
            Ok(Err(Failure::Refused { number, words })) => outcome(verb(operation), number, words),
            Ok(Err(Failure::Ended)) => Err(KernelError::Ended),
        }
    }

    async fn request(&mut self, operation: &Operation, protocol: Protocol) -> Result<(), Failure> {
        let handle = &self.handle;
        match operation {
            // With CREATE and EXCL, as the crate sets them.
            Operation::AddRoute(route) => {
                let message = message::route_message(route, protocol);
                handle.route().add(message).execute().await?;
            }
            Operation::ReplaceRoute(route) => {
                let message = message::route_message(route, protocol);
                handle.route().add(message).replace().execute().await?;
            }
            Operation::DeleteRoute(route) => {
                let message = message::route_message(route, protocol);
                handle.route().del(message).execute().await?;
            }
            // With EXCL: without it the kernel would add an equal rule a second time.
            Operation::AddRule(rule) => {
                let mut request = handle.rule().add();
                *request.message_mut() = message::rule_message(rule, protocol);
                request.execute().await?;
            }
            Operation::DeleteRule(rule) => {
                let message = message::rule_message(rule, protocol);
                handle.rule().del(message).execute().await?;
            }
            Operation::DeleteOddRule(odd) => {
                let message = message::odd_rule_message(odd);
                handle.rule().del(message).execute().await?;
            }
            Operation::AddNextHop(id, hop) => {
                self.change(|number| message::next_hop(*id, hop, Standing::New, protocol, number))?;
            }

            Operation::ReplaceNextHop(id, hop) => {
                self.change(|number| {
                    message::next_hop(*id, hop, Standing::InPlace, protocol, number)
                })?;
            }

            Operation::DeleteNextHop(id) => {
                self.change(|number| message::no_next_hop(*id, number))?;
            }
        }
        Ok(())
    }

    fn change(&mut self, request: impl Fn(u32) -> Vec<u8>) -> Result<(), Failure> {
        let changed = self.exchange.change(request, message::next_hops);
        changed.map_err(|error| match error.raw_os_error() {
            Some(number) => Failure::Refused {
                number,
                words: None,
            },
            None => Failure::Ended,
        })
    }
}

/// Why a request failed.
enum Failure {
    /// The kernel would not do it, and says why.
    Refused { number: i32, words: Option<String> },
    /// It was not heard.
    Ended,
}

impl From<rtnetlink::Error> for Failure {
    fn from(error: rtnetlink::Error) -> Self {
        if let rtnetlink::Error::NetlinkError(error) = error {
            Self::Refused {
                number: -error.raw_code(),
                words: message::words(&error.header),
            }
        } else {
            Self::Ended
        }
    }
}

/// Whether a kernel has resilient groups of nexthop objects: it lists their buckets then.
pub(super) fn has_groups(exchange: &mut Exchange) -> bool {
    exchange
        .list(message::all_buckets, message::next_hops)
        .is_ok()
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn prepare(connection: &mut Connection<RouteNetlinkMessage>) -> io::Result<u32> {
    let socket = connection.socket_mut().socket_mut();
    // The kernel's own words in errors, and not the request repeated in front of them. A kernel
    // before 4.12 has none, and the number alone must do.
    if let Err(error) = socket
        .set_ext_ack(true)
        .and_then(|()| socket.set_cap_ack(true))
    {
        tracing::debug!(%error, "the kernel does not explain its errors");
    }
    Ok(socket.bind_auto()?.port_number())
}

fn verb(operation: &Operation) -> Verb {
    match operation {
        Operation::AddRoute(_) => Verb::AddRoute,
        Operation::ReplaceRoute(_) => Verb::ReplaceRoute,
        Operation::DeleteRoute(_) => Verb::DeleteRoute,
        Operation::AddRule(_) => Verb::AddRule,
        Operation::DeleteRule(_) | Operation::DeleteOddRule(_) => Verb::DeleteRule,
        Operation::AddNextHop(..) => Verb::AddNextHop,
        Operation::ReplaceNextHop(..) => Verb::ReplaceNextHop,
        Operation::DeleteNextHop(_) => Verb::DeleteNextHop,
    }
}

fn outcome(verb: Verb, number: i32, words: Option<String>) -> Result<Outcome, KernelError> {
    let error = io::Error::from_raw_os_error(number);
    let (meaning, hint) = errno::meaning(verb, number);
    let is_permanent = match meaning {
        Meaning::Held => return Ok(Outcome::Done),
        Meaning::Forbidden => return Err(KernelError::Forbidden(error)),
        Meaning::Later => false,
        Meaning::Never => true,
    };
    let words = words.map_or_else(
        || error.to_string(),
        |text| {
            let text = text.trim_end_matches('.');
            format!("{text} ({error})")
        },
    );
    let reason = hint.map_or_else(|| words.clone(), |hint| format!("{words}: {hint}"));
    Ok(Outcome::Refused {
        reason,
        is_permanent,
    })
}
