//! Routes and rules as they should be, as the kernel holds them, and the operations in between. Pure.
//!
//! Routes, rules and nexthop objects with our route protocol number are ours; all others belong to
//! other programs and are only read.
//!
//! ```text
//!  options ──> route, rule, nexthop ──> numbering ──> observed ──> attach ──> objects ──> desired
//!                     └──> traffic ──────────┘│          │          dead_end, connected ┘
//!                                flow_memory ─┴──────────┴──────────> plan
//! ```

pub mod attach;
mod connected;
mod dead_end;
pub mod desired;
mod flow_memory;
pub mod flows;
pub mod nexthop;
mod numbering;
mod objects;
mod observed;
mod operation;
mod options;
pub mod plan;
mod route;
mod rule;
pub mod traffic;

pub use attach::{Attachment, Gateway, Hints, Prefixes, Trouble};
pub use flow_memory::FlowMemory;
pub use numbering::{Numbering, RoutingMode, RuleStage};
pub use objects::Desired;
pub use observed::{DeadEnd, LearnedDefault, Link, LinkAddress, Observed, Preference};
pub use options::{Encapsulation, RouteOptions};
pub use route::{Family, Path, Route, RoutePlace};
pub use rule::{OddRule, Rule};
