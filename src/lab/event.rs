//! What the threads of the lab tell the one that directs the play.

use crate::control::Response;
use crate::lab::family::LabFamily;
use crate::lab::long_flow::{FlowNews, LongFlow};
use crate::lab::stream::PacketEvent;
use crate::units::Moment;

/// What the threads of the lab tell the one that directs the play.
#[derive(Debug)]
pub(super) enum LabEvent {
    /// Of the client's stream.
    Packet(LabFamily, PacketEvent),
    /// Of one of the client's long flows.
    LongFlow(LongFlow, Moment, FlowNews),
    /// The router's kernel forwards the client's traffic another way now.
    Exit(LabFamily, Moment, TrafficExit),
    /// The agent said something.
    Agent(Moment, Box<Response>),
    /// The agent hung up.
    Silence(Moment),
}

/// The router's interface through which the client's traffic leaves; none without a route.
pub(super) type TrafficExit = Option<String>;
