//! Why the kernel cannot be reached or written to.

use std::io;

/// Why the kernel cannot be reached or written to.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// There is no netlink socket.
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    /// Links, addresses, routes or rules cannot be listed.
    #[error("cannot list the kernel's links, addresses, routes and rules")]
    Look(#[source] io::Error),
    /// Counters of interfaces cannot be read.
    #[error("cannot read the counters of the interfaces (/proc/net/dev; is /proc mounted?)")]
    Counters(#[source] io::Error),
    /// Flows cannot be listed or ended.
    #[error(
        "cannot reach the kernel's connection tracking (`nf_conntrack_netlink`; OpenWrt: \
         kmod-nf-conntrack-netlink)"
    )]
    Flows(#[source] io::Error),
    /// Connections of this machine cannot be ended.
    #[error("cannot end connections of this machine (the kernel needs `CONFIG_INET_DIAG_DESTROY`)")]
    Sockets(#[source] io::Error),
    /// Events cannot be received.
    #[error("cannot listen to the kernel's events")]
    Listen(#[source] io::Error),
    /// A request for a change was not answered.
    #[error("the kernel did not answer a request to change a route or a rule")]
    Change(#[source] io::Error),
    /// This process lacks the capability.
    #[error(
        "may not change routes and rules: the capability CAP_NET_ADMIN is missing (run as root, or \
         grant it, as with `AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW` in a systemd unit)"
    )]
    Forbidden(#[source] io::Error),
}

impl KernelError {
    /// Whether another attempt is useless.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Forbidden(_) => true,
            Self::Socket(_)
            | Self::Look(_)
            | Self::Counters(_)
            | Self::Flows(_)
            | Self::Sockets(_)
            | Self::Listen(_)
            | Self::Change(_) => false,
        }
    }
}
