//! What uplinks say of targets, and are asked about them: the words of
//! [`crate::engine::fault_isolation`].

use crate::engine::outage::Silence;
use crate::units::{Moment, Target, UplinkName};

/// What an uplink has to say to all of them.
#[derive(Clone, Debug)]
pub enum TargetNotice {
    /// Either the uplink or the target is at fault.
    Suspected(Suspicion),
    /// A target that was set aside for all answers again.
    AnswersAgain(Target),
}

/// A fault that one uplink cannot isolate.
#[derive(Clone, Debug)]
pub struct Suspicion {
    /// The uplink.
    pub uplink: UplinkName,
    /// The target.
    pub target: Target,
    /// The fault.
    pub fault: SuspectedFault,
    /// Only probes that were sent from then on show anything.
    pub since: Moment,
}

/// A fault, and what becomes of the uplink if it is the uplink's.
#[derive(Clone, Debug)]
pub enum SuspectedFault {
    /// The target was set aside, for this reason.
    SetAside(String),
    /// Too few targets answer: the uplink is down.
    Outage(Silence),
    /// Another server answers in the target's place: the uplink is down.
    Captive(String),
}

/// What an uplink sees of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It answers.
    Answers,
    /// Something else answers.
    Wrong,
    /// It does not answer, while others do.
    Silent,
    /// That will be known soon.
    Open,
}
