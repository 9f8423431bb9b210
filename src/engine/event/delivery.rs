//! How an event is delivered.

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The name in the log, the history, hooks and ubus.
    pub name: &'static str,
    /// Its level in the log.
    pub severity: Severity,
    /// When the history writes it.
    pub urgency: Urgency,
    /// Which queue of the hooks it takes.
    pub lane: Lane,
    /// What the log does when it repeats.
    pub repeats: Repetition,
}

/// The level of an event in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// An operator must act now.
    Error,
    /// An operator should look today.
    Warning,
    /// A change of state.
    Info,
}

/// When the history writes an event. Flash wears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// At once: most worth knowing after the power cut that may follow.
    AtOnce,
    /// With the next that is written at once, when many wait, or hourly.
    Batched,
}

/// The queues of the hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What happened.
    News,
    /// What is to be done with the interface of a cold uplink, by hooks or netifd: the traffic waits
    /// for it, so it does not queue behind the news.
    Standby(StandbyOrder),
}

/// What is to be done with the interface of a cold uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandbyOrder {
    /// Bring it up.
    Up,
    /// Take it down.
    Down,
}

/// What the log does with events that repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repetition {
    /// Each has its line.
    Each,
    /// Those of one uplink's state are counted together.
    CountedPerUplink,
    /// Those of one uplink's targets are counted together.
    CountedPerTargets,
}
