//! A path that fails on purpose: what arrives by one interface is dropped, for as long as that is asked for again.
//!
//! ```text
//!  prerouting, raw   a reply of a DHCP server: left alone
//!                    IPv6 from a link-local address: left alone
//!                    came in by an interface in the set `cut`: dropped
//! ```
//! The interface is an element of the set that ends by itself after [`LASTS`], so that the kernel undoes the failure
//! when the agent is killed. What stands after that drops nothing; a clean end and the next start remove it.
//!
//! Only IP comes to these rules. ARP goes on, and by the second rule so do the discovery of neighbours and routers and
//! DHCPv6: the link and the next hop stay, and nothing beyond them answers. Packets are dropped on arrival, not on the
//! way out, where this machine would refuse to send (EPERM), which is no fault of a path. Flows that a flow table
//! carries past these hooks (offloading) are cut once the agent has ended them.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::exchange::Exchange;
use super::netfilter::{
    NetfilterBatch, NetfilterChain, NetfilterFamily, NetfilterStep, NetfilterTable, PacketField,
    PacketHook, families_of, submit,
};
use crate::units::InterfaceName;

/// How long the failure outlives the last time that it was asked for.
pub const LASTS: Duration = Duration::from_millis(1200);

/// The name of its table.
const NAME: &str = "uplinkd-drill";
const SET: &str = "cut";
const PREROUTING: NetfilterChain = NetfilterChain {
    name: "prerouting",
    kind: "filter",
    hook: PacketHook::PreRouting,
    // `raw`: before connection tracking.
    priority: -300,
};
/// What is tried, in this order: kernels without `inet` have one table for each family.
const FORMS: [&[NetfilterFamily]; 3] = [
    &[NetfilterFamily::Inet],
    &[NetfilterFamily::Ipv4, NetfilterFamily::Ipv6],
    &[NetfilterFamily::Ipv4],
];

/// The failure of the path by one interface. It ends when this is dropped, and by itself when [`Self::prolong`] is not
/// called within [`LASTS`].
pub struct PathCut {
    exchange: Exchange,
    interface: InterfaceName,
    families: &'static [NetfilterFamily],
}

impl PathCut {
    /// Cuts the path, in the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel has no such rules.
    pub fn begin(interface: &InterfaceName) -> io::Result<Self> {
        let mut exchange = Exchange::open(NETLINK_NETFILTER)?;
        let mut refused = None;
        for families in FORMS {
            let mut batch = NetfilterBatch::default();
            for table in families.iter().copied().map(table) {
                // It is added before it is deleted: the kernel refuses to delete what is not there.
                batch.add_table(table);
                batch.delete_table(table);
                batch.add_table(table);
                batch.add_interface_set(table, SET);
                batch.add_chain(table, &PREROUTING);
                for (comment, steps) in rules() {
                    batch.add_rule(table, &PREROUTING, comment, &steps);
                }
                batch.add_interface(table, SET, interface, lasts());
            }
            match submit(&mut exchange, &batch.to_commit()) {
                Ok(()) => {
                    return Ok(Self {
                        exchange,
                        interface: interface.clone(),
                        families,
                    });
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
    }

    /// The path stays cut for [`LASTS`] from now on.
    ///
    /// # Errors
    /// If that has ended by itself meanwhile, or other software has removed the rules.
    pub fn prolong(&mut self) -> io::Result<()> {
        let mut batch = NetfilterBatch::default();
        for table in self.families.iter().copied().map(table) {
            // It is refused where it has ended by itself.
            batch.remove_interface(table, SET, &self.interface);
            batch.add_interface(table, SET, &self.interface, lasts());
        }
        submit(&mut self.exchange, &batch.to_commit())
    }
}

impl Drop for PathCut {
    fn drop(&mut self) {
        if let Err(error) = remove(&mut self.exchange) {
            tracing::debug!(%error, "the rules of a drill stay, and drop nothing");
        }
    }
}

/// Removes what a killed agent has left.
///
/// # Errors
/// If the kernel does not let go of it.
pub fn remove_path_cut() -> io::Result<()> {
    remove(&mut Exchange::open(NETLINK_NETFILTER)?)
}

fn remove(exchange: &mut Exchange) -> io::Result<()> {
    let mut batch = NetfilterBatch::default();
    let held = families_of(NAME, exchange);
    if held.is_empty() {
        return Ok(());
    }
    for table in held.into_iter().map(table) {
        batch.add_table(table);
        batch.delete_table(table);
    }
    submit(exchange, &batch.to_commit())
}

fn table(family: NetfilterFamily) -> NetfilterTable {
    NetfilterTable { family, name: NAME }
}

fn lasts() -> u64 {
    u64::try_from(LASTS.as_millis()).unwrap_or(u64::MAX)
}

fn rules() -> [(&'static str, Vec<NetfilterStep>); 3] {
    use NetfilterStep::{Accept, Bits, Drop, InSet, Is, Load};
    const UDP: u8 = 17;
    const DHCP_CLIENT: u16 = 68;
    /// Where the source begins in an IPv6 header, and the destination port in that of UDP.
    const SOURCE6: u32 = 8;
    const PORT: u32 = 2;
    let is_dhcp = vec![
        Load(PacketField::Protocol),
        Is(vec![UDP]),
        Load(PacketField::Transport(PORT)),
        Is(DHCP_CLIENT.to_be_bytes().to_vec()),
        Accept,
    ];
    let is_of_the_link = vec![
        Load(PacketField::Family),
        Is(vec![NetfilterFamily::Ipv6.number()]),
        Load(PacketField::Network(SOURCE6)),
        Bits {
            keep: u32::from_ne_bytes([0xff, 0xc0, 0, 0]),
            flip: 0,
        },
        Is(vec![0xfe, 0x80]),
        Accept,
    ];
    let is_cut = vec![Load(PacketField::InputName), InSet(SET), Drop];
    [
        ("a reply of a DHCP server", is_dhcp),
        ("from the link itself", is_of_the_link),
        ("a drill cuts this path", is_cut),
    ]
}
