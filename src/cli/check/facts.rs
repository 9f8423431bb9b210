//! The facts about a machine that matter before an agent runs on it.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::alert::{HookFiles, utc_offset};
use crate::cli::history::now;
use crate::config::Config;
use crate::config::wireguard::with_host_routes;
use crate::engine::settings::UplinkSettings;
use crate::kernel::{
    self, FlowMemoryState, ForeignObjects, ReversePathFilter, looks_at_marks, reverse_path_filter,
};
use crate::routing::{Family, FlowMemory, Observed};
use crate::units::sorted::{SortedMap, SortedSet};
use crate::units::{InterfaceName, Target, Timestamp, UplinkName, ZonedTime};

/// The machine as it is now.
///
/// Large: it has a field for each thing that `check` looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Interfaces, addresses, default routes, and what carries the agent's protocol number.
    pub(super) observed: Observed,
    /// Foreign objects that may clash with the agent's.
    pub(super) foreign: ForeignObjects,
    /// The reverse-path filter in force on each uplink's interface.
    pub(super) reverse_path_filter: SortedMap<InterfaceName, ReversePathFilter>,
    /// The uplinks' interfaces on which that filter looks at marks.
    pub(super) looks_at_marks: SortedSet<InterfaceName>,
    /// Whether flows would be remembered.
    pub(super) flow_memory: FlowMemoryState,
    /// The uplinks' interfaces that ignore router advertisements, because IPv6 is forwarded there and
    /// `accept_ra` is 1.
    pub(super) deaf_to_routers: SortedSet<InterfaceName>,
    /// What systemd-networkd, if it runs, removes when it starts or reconfigures a link.
    pub(super) networkd: Networkd,
    /// NetworkManager runs.
    pub(super) has_network_manager: bool,
    /// What is where hooks are looked for.
    pub(super) hooks: HookFiles,
    /// This machine forwards packets between its interfaces.
    pub(super) is_forwarding: bool,
    /// Tunnels whose endpoints netifd gives a route by one uplink.
    pub(super) pinned_tunnels: Vec<String>,
    /// What the wall clock shows.
    pub(super) clock: Option<ZonedTime>,
    /// What this process may do.
    pub(super) capabilities: Capabilities,
    /// This kernel has resilient groups of nexthop objects (Linux 5.13).
    pub(super) has_resilient_groups: bool,
    /// The families of which a kernel that shares traffic takes all of two hosts for one flow
    /// (`fib_multipath_hash_policy` is 0).
    pub(super) hosts_are_flows: Vec<Family>,
    /// Why a raw socket for ICMP cannot be opened, if so.
    pub(super) no_raw_socket: Option<String>,
    /// The uplinks by which this machine refuses to send a ping to their targets, and why.
    pub(super) refused_pings: SortedMap<UplinkName, String>,
}

/// What systemd-networkd regards as its own (networkd.conf(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Networkd {
    /// `ManageForeignRoutes`
    pub(super) removes_routes: bool,
    /// `ManageForeignRoutingPolicyRules`
    pub(super) removes_rules: bool,
}

impl Networkd {
    fn look() -> Self {
        if Path::new("/run/systemd/netif/state").exists() {
            Self::by(&networkd_conf())
        } else {
            Self::default()
        }
    }

    /// By its configuration, all files of it in the order in which they count. Both are on unless
    /// said otherwise.
    fn by(configuration: &str) -> Self {
        let is_on = |key: &str| {
            let mut values = configuration.lines().filter_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim().to_ascii_lowercase())
            });
            let is_no = |value: &str| matches!(value, "no" | "n" | "false" | "f" | "off" | "0");
            !values.next_back().is_some_and(|value| is_no(&value))
        };
        Self {
            removes_routes: is_on("ManageForeignRoutes"),
            removes_rules: is_on("ManageForeignRoutingPolicyRules"),
        }
    }
}

/// `networkd.conf` and its drop-ins, the latter by name, of which one in /etc stands for its
/// namesakes elsewhere (systemd.syntax(7)).
fn networkd_conf() -> String {
    const PLACES: [&str; 3] = ["/usr/lib/systemd", "/run/systemd", "/etc/systemd"];
    let main = PLACES.iter().rev().find_map(|place| {
        // Where there is none, the next place counts.
        fs::read_to_string(format!("{place}/networkd.conf")).ok()
    });
    let mut drop_ins = SortedMap::new();
    for place in PLACES {
        let entries = fs::read_dir(format!("{place}/networkd.conf.d"));
        for entry in entries.into_iter().flatten().flatten() {
            drop_ins.insert(entry.file_name(), entry.path());
        }
    }
    let drop_ins = drop_ins.into_values();
    let drop_ins = drop_ins.filter(|path| path.extension().is_some_and(|ending| ending == "conf"));
    let texts = main.into_iter();
    let texts = texts.chain(drop_ins.filter_map(|path| fs::read_to_string(path).ok()));
    texts.collect::<Vec<_>>().join("\n")
}

/// The capabilities that the agent needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// `CAP_NET_ADMIN`, to change routes and rules.
    pub(super) net_admin: bool,
    /// `CAP_NET_RAW`, to send probes.
    pub(super) net_raw: bool,
}

impl Facts {
    /// Looks at this machine; changes nothing. By each uplink a ping leaves for a target of each family.
    pub(super) fn gather(config: &Config) -> Result<Self> {
        let uplinks = &config.engine.uplinks;
        let numbering = &config.engine.numbering;
        let interfaces = uplinks.iter().map(|uplink| uplink.interface.clone());
        let interfaces = interfaces.collect();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let status = fs::read_to_string("/proc/self/status").context("cannot read /proc")?;
        Ok(Self {
            observed: kernel::look(numbering, &interfaces)?,
            foreign: kernel::foreign_objects(
                numbering,
                count(uplinks.len()),
                count(config.engine.groups.len()),
            )?,
            reverse_path_filter: interfaces
                .iter()
                .map(|interface| (interface.clone(), reverse_path_filter(interface)))
                .collect(),
            looks_at_marks: { interfaces.iter() }
                .filter(|interface| looks_at_marks(interface))
                .cloned()
                .collect(),
            flow_memory: flow_memory(config),
            deaf_to_routers: interfaces
                .iter()
                .filter(|interface| is_deaf_to_routers(interface))
                .cloned()
                .collect(),
            networkd: Networkd::look(),
            has_network_manager: Path::new("/run/NetworkManager").exists(),
            hooks: HookFiles::of(&config.agent.hooks),
            is_forwarding: number("net/ipv4/ip_forward").is_ok_and(|number| number != 0),
            pinned_tunnels: fs::read_to_string("/etc/config/network")
                .map(|network| with_host_routes(&network))
                .unwrap_or_default(),
            clock: Some(clock()),
            capabilities: Capabilities::of(&status),
            has_resilient_groups: kernel::has_resilient_groups()?,
            hosts_are_flows: Family::ROUTED
                .into_iter()
                .filter(|family| is_a_flow_by_hosts(*family))
                .collect(),
            no_raw_socket: raw_socket(Family::Ipv4)
                .err()
                .map(|error| error.to_string()),
            refused_pings: { uplinks.iter() }
                .filter_map(|uplink| Some((uplink.name.clone(), refusal(uplink)?)))
                .collect(),
        })
    }
}

fn clock() -> ZonedTime {
    let utc = Timestamp(now()).as_written();
    let offset = utc_offset(utc.0);
    ZonedTime { utc, offset }
}

fn flow_memory(config: &Config) -> FlowMemoryState {
    let uplinks = config.engine.uplinks.iter();
    let interfaces: Vec<_> = uplinks.map(|uplink| &uplink.interface).collect();
    let memory = FlowMemory::new(&config.engine.numbering, &interfaces);
    memory.map_or(FlowMemoryState::Off, |memory| {
        kernel::try_flow_memory(&memory)
    })
}

fn is_a_flow_by_hosts(family: Family) -> bool {
    number(hash_policy(family)).is_ok_and(|policy| policy == 0)
}

/// Of a family, what makes a flow where several uplinks share the traffic, under `/proc/sys`.
pub(super) fn hash_policy(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "net/ipv4/fib_multipath_hash_policy",
        Family::Ipv6 => "net/ipv6/fib_multipath_hash_policy",
    }
}

/// The kernel's `ip-sysctl.rst`, `accept_ra`: 1, the default, means only where nothing is forwarded.
/// With 0 another program may listen to routers, as systemd-networkd and netifd do.
fn is_deaf_to_routers(interface: &InterfaceName) -> bool {
    let setting = |key| number(&format!("net/ipv6/conf/{interface}/{key}")).ok();
    setting("forwarding").is_some_and(|forwarding| forwarding != 0)
        && setting("accept_ra") == Some(1)
}

/// A number under `/proc/sys`.
fn number(key: &str) -> io::Result<u32> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(key))?;
    text.trim().parse().map_err(io::Error::other)
}

fn raw_socket(family: Family) -> io::Result<Socket> {
    let (domain, protocol) = match family {
        Family::Ipv4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::Ipv6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    Socket::new(domain, Type::RAW, Some(protocol))
}

/// Why this machine refuses to send a ping to a target by the interface of an uplink: its packet filter does. What else
/// may hinder it is found otherwise.
fn refusal(uplink: &UplinkSettings) -> Option<String> {
    let targets = uplink.probe.targets.iter();
    let pinged: Vec<_> = targets
        .filter_map(|target| match target {
            Target::Icmp(address) => Some(*address),
            Target::Tcp(_) | Target::Http(_) | Target::Dns(_) => None,
        })
        .collect();
    Family::ROUTED.into_iter().find_map(|family| {
        let address = pinged
            .iter()
            .find(|address| Family::of(**address) == family)?;
        let error = ping(*address, &uplink.interface).err()?;
        (error.raw_os_error() == Some(libc::EPERM)).then(|| format!("{address}: {error}"))
    })
}

/// Sends an echo request (RFC 792, RFC 4443); the kernel fills in the checksum of IPv6.
fn ping(address: IpAddr, interface: &InterfaceName) -> io::Result<()> {
    let request = match address {
        IpAddr::V4(_) => [8, 0, 0xf7, 0xff, 0, 0, 0, 0],
        IpAddr::V6(_) => [128, 0, 0, 0, 0, 0, 0, 0],
    };
    let Ok(socket) = raw_socket(Family::of(address)) else {
        return Ok(());
    };
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    socket.send_to(&request, &SocketAddr::new(address, 0).into())?;
    Ok(())
}

impl Capabilities {
    /// From the text of `/proc/self/status` (proc(5)); the numbers are those of
    /// `include/uapi/linux/capability.h`.
    fn of(status: &str) -> Self {
        const NET_ADMIN: u32 = 12;
        const NET_RAW: u32 = 13;
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0);
        Self {
            net_admin: effective & (1 << NET_ADMIN) != 0,
            net_raw: effective & (1 << NET_RAW) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networkd_takes_everything_away_unless_the_last_word_is_no() {
        let removes = |routes, rules| Networkd {
            removes_routes: routes,
            removes_rules: rules,
        };
        assert_eq!(Networkd::by(""), removes(true, true));
        let commented = "[Network]\n#ManageForeignRoutes=no\n";
        assert_eq!(Networkd::by(commented), removes(true, true));
        let one = "ManageForeignRoutes=yes\n[Network]\nManageForeignRoutes = No\n";
        assert_eq!(Networkd::by(one), removes(false, true));
        let both = "ManageForeignRoutes=0\nManageForeignRoutingPolicyRules=false\n";
        assert_eq!(Networkd::by(both), removes(false, false));
    }

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        let status = "Name:\tuplinkd\nCapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n";
        let both = Capabilities {
            net_admin: true,
            net_raw: true,
        };
        assert_eq!(Capabilities::of(status), both);
        assert_eq!(Capabilities::of("CapEff:\t1\n"), Capabilities::default());
    }
}
