//! What the threads of the lab tell the one that directs the play.

use crate::control::Response;
use crate::lab::family::Family;
use crate::lab::flow::{Flow, Word};
use crate::lab::stream::Pulse;
use crate::units::Moment;

/// What the threads of the lab tell the one that directs the play.
#[derive(Debug)]
pub(super) enum Happening {
    /// Of the client's stream.
    Pulse(Family, Pulse),
    /// Of one of the client's long flows.
    Flow(Flow, Moment, Word),
    /// The router's kernel forwards the client's traffic another way now.
    Way(Family, Moment, Way),
    /// The agent said something.
    Agent(Moment, Box<Response>),
    /// The agent hung up.
    Silence(Moment),
}

/// The router's interface through which the client's traffic leaves; none without a route.
pub(super) type Way = Option<String>;
