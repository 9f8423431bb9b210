//! Writing: each [`Operation`] becomes one acknowledged request.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::errno::{self, Meaning, Verb};
use super::error::KernelError;
use super::exchange::Exchange;
use super::message::{self, Acknowledgement, WriteMode};
use crate::routing::plan::Operation;
use crate::units::Protocol;

/// A netlink socket for changes. The kernel makes each change within the system call.
pub(super) struct RouteWriter {
    exchange: Exchange,
}

/// The result of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// The kernel holds what it says.
    Done,
    /// The kernel refused it.
    Refused {
        /// The kernel's reason, and what it means.
        reason: String,
        /// A change of a link will not help.
        is_permanent: bool,
    },
}

impl RouteWriter {
    /// Opens the socket.
    pub(super) fn open() -> Result<Self, KernelError> {
        let exchange = Exchange::open(NETLINK_ROUTE).map_err(KernelError::Socket)?;
        Ok(Self { exchange })
    }

    /// The port that marks the events of this writer's changes.
    pub(super) fn port(&self) -> u32 {
        self.exchange.port()
    }

    /// See [`has_groups`].
    pub(super) fn has_groups(&mut self) -> bool {
        has_groups(&mut self.exchange)
    }

    /// Does an operation.
    pub(super) fn apply(
        &mut self,
        operation: &Operation,
        protocol: Protocol,
    ) -> Result<WriteOutcome, KernelError> {
        let answer = self
            .exchange
            .change(|number| request(operation, protocol, number))
            .map_err(KernelError::Change)?;
        match answer {
            Acknowledgement::Done => Ok(WriteOutcome::Done),
            Acknowledgement::Refused { number, text } => outcome(verb(operation), number, text),
        }
    }
}

fn request(operation: &Operation, protocol: Protocol, number: u32) -> Vec<u8> {
    match operation {
        Operation::AddRoute(route) => {
            message::add_route(route, WriteMode::Create, protocol, number)
        }
        Operation::ReplaceRoute(route) => {
            message::add_route(route, WriteMode::Replace, protocol, number)
        }
        Operation::DeleteRoute(route) => message::delete_route(route, protocol, number),
        Operation::AddRule(rule) => message::add_rule(rule, protocol, number),
        Operation::DeleteRule(rule) => message::delete_rule(rule, protocol, number),
        Operation::DeleteOddRule(odd) => message::delete_odd_rule(odd, number),
        Operation::AddNextHop(id, hop) => {
            message::next_hop(*id, hop, WriteMode::Create, protocol, number)
        }
        Operation::ReplaceNextHop(id, hop) => {
            message::next_hop(*id, hop, WriteMode::Replace, protocol, number)
        }
        Operation::DeleteNextHop(id) => message::no_next_hop(*id, number),
    }
}

/// Whether the kernel has resilient groups of nexthop objects: then it lists their buckets.
pub(super) fn has_groups(exchange: &mut Exchange) -> bool {
    exchange
        .list(message::all_buckets, message::next_hops)
        .is_ok()
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

fn outcome(verb: Verb, number: i32, text: Option<String>) -> Result<WriteOutcome, KernelError> {
    let error = io::Error::from_raw_os_error(number);
    let (meaning, hint) = errno::meaning(verb, number);
    let is_permanent = match meaning {
        Meaning::Held => return Ok(WriteOutcome::Done),
        Meaning::Forbidden => return Err(KernelError::Forbidden(error)),
        Meaning::Later => false,
        Meaning::Never => true,
    };
    let mut reason = match text {
        Some(text) => format!("{} ({error})", text.trim_end_matches('.')),
        None => error.to_string(),
    };
    if let Some(hint) = hint {
        reason = format!("{reason}: {hint}");
    }
    Ok(WriteOutcome::Refused {
        reason,
        is_permanent,
    })
}
