//! An uplink with an address and a next hop from a real DHCP client, as busybox writes them on OpenWrt.

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::netns::{self, Packet, World, far};
use super::*;
use crate::machine;
use uplinkd::units::sorted::SortedMap;

/// The lease script of OpenWrt, by busybox alone.
const SCRIPT: &str = "#!/bin/sh
case $1 in
deconfig) busybox ip addr flush dev $interface ;;
bound|renew)
    busybox ip addr flush dev $interface
    busybox ip addr add $ip/24 dev $interface
    busybox ip route add default via $router dev $interface metric 100
    ;;
esac
";

/// The provider's server and the router's client, in one directory.
struct Dhcp {
    directory: tempfile::TempDir,
    running: Vec<Child>,
}

impl Dhcp {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("script");
        fs::write(&script, SCRIPT).expect("a file");
        fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("it is ours");
        Self {
            directory,
            running: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Offers one address and a next hop from now on.
    fn serve(&mut self, address: &str, router: &str) {
        let [leases, pid, configuration] = ["leases", "pid", "conf"].map(|name| self.path(name));
        let text = format!(
            "start {address}\nend {address}\ninterface {}\nlease_file {}\npidfile {}\n\
             option subnet 255.255.255.0\noption router {router}\noption lease 3600\n",
            far(FIBER),
            leases.display(),
            pid.display()
        );
        let _ = fs::remove_file(&leases);
        fs::write(&leases, "").expect("a file");
        fs::write(&configuration, text).expect("a file");
        self.start(&["udhcpd", "-f"], &configuration);
    }

    fn ask(&mut self) {
        let script = self.path("script");
        let client = ["udhcpc", "-f", "-i", FIBER, "-t", "20", "-T", "1", "-s"];
        self.start(&client, &script);
    }

    fn start(&mut self, words: &[&str], last: &Path) {
        let mut command = Command::new("busybox");
        command.args(words).arg(last);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.running.push(command.spawn().expect("busybox"));
    }

    fn stop(&mut self) {
        for mut child in self.running.drain(..) {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for a next hop that came with a lease.
async fn leads_to(agent: &mut Agent, router: &str) {
    let router: IpAddr = ip(router).into();
    let is_there = |observed: &Observed| {
        let attachment = attach(
            observed.link(&name(FIBER)),
            &Hints::default(),
            &SortedMap::new(),
        );
        let path = attachment.paths.get(&Family::Ipv4);
        path.and_then(|path| path.gateway) == Some(router)
    };
    agent.observed(is_there).await;
}

#[test]
fn a_lease_is_followed_and_so_is_another_one_from_another_server() {
    // With a client and a server.
    if !machine::has("sh", &["-c", "busybox --list | grep -qx udhcpd"]) {
        return;
    }
    netns::run(async |world: World| {
        world.wire(FIBER).await;
        world.wire(LTE).await;
        world.add_address(LTE, net("10.2.0.2/24")).await;
        let mut dhcp = Dhcp::new();
        let mut agent = Agent::start().await;
        let servers = [
            ("10.1.0.1", "10.1.0.20", "10.1.0.1"),
            ("10.9.0.1", "10.9.0.30", "10.9.0.254"),
        ];
        for (server, address, router) in servers {
            let network = net(&format!("{server}/24"));
            world.add_address(&far(FIBER), network).await;
            dhcp.serve(address, router);
            dhcp.ask();
            leads_to(&mut agent, router).await;
            assert_eq!(agent.carry(FIBER).await, []);
            let from_it = Packet {
                from: Some(ip(address)),
                ..Packet::ANY
            };
            let way = Some((FIBER.to_owned(), Some(ip(router).into())));
            assert_eq!(world.way_of(Packet::ANY).await, way);
            assert_eq!(world.way_of(from_it).await, way);
            dhcp.stop();
            world.remove_address(&far(FIBER), network).await;
        }
    });
}
