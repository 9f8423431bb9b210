//! What the threads of the lab send to the one that runs the scenario.

use crate::control::Response;
use crate::lab::family::LabFamily;
use crate::lab::long_flow::{FlowNews, LongFlow};
use crate::lab::stream::{PacketEvent, TimeRange};
use crate::units::Moment;

/// What the threads of the lab send to the one that runs the scenario.
#[derive(Debug)]
pub(super) enum LabEvent {
    /// Of the client's stream.
    Packet(LabFamily, PacketEvent),
    /// Of the client's new connections.
    NewFlow(PacketEvent),
    /// A new connection that began then was answered by this uplink.
    NewFlowBy(Moment, &'static str),
    /// The client's download: so much came, or its connection ended.
    Download(Moment, Option<usize>),
    /// Of one of the client's long flows.
    LongFlow(LongFlow, Moment, FlowNews),
    /// The router's kernel forwards the client's traffic another way now.
    Exit(LabFamily, Moment, TrafficExit),
    /// The agent said something.
    Agent(Moment, Box<Response>),
    /// The agent hung up.
    Silence(Moment),
    /// The machine woke a thread late: when it was due, and when it ran.
    Delay(TimeRange),
}

/// The router's interface through which the client's traffic leaves; none without a route.
pub(super) type TrafficExit = Option<String>;
