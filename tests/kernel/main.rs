//! Routes, rules, flows and probes: the plans alone, and all of it on a real kernel.

#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/extent.rs"]
mod extent;
#[path = "../support/host.rs"]
mod host;
#[path = "../support/machine.rs"]
mod machine;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the netlink crates' enums are open"
)]
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/router.rs"]
mod router;
#[cfg(feature = "replay")]
#[expect(dead_code, reason = "times and events are the business of other tests")]
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tracked.rs"]
mod tracked;
#[path = "../support/tun.rs"]
mod tun;

mod live;
mod routes;
mod targets;
