//! What a real agent counts of an allowance, against the counters of the kernel, over its kills and stops, reboots and
//! interfaces that are made anew.

#![expect(clippy::print_stderr, reason = "a figure")]

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use socket2::SockRef;
use uplinkd::engine::schedule::Spread;
use uplinkd::kernel::CounterReader;

use super::by_hand::Site;
use super::metrics::{TARGET, answered, probes};
use super::netns::{self, World};
use super::*;

const PACKET: usize = 1_000;
/// What the machine itself sends by an interface while it is removed, at most.
const SLACK: u64 = 2_000;

/// The interface of lte, and what has gone through all those that had its place before.
struct Interface {
    before: u64,
}

impl Interface {
    /// What has gone through in all, both ways, as the kernel counts.
    fn total(&self) -> u64 {
        let mut reader = CounterReader::open().expect("the counters");
        let counters = reader.read(&name(LTE)).expect("an interface");
        self.before + counters.rx_bytes + counters.tx_bytes
    }

    /// It is removed, and made anew.
    async fn renew(&mut self, world: &World) {
        self.before = self.total();
        world.remove(LTE).await;
        world.wire(LTE).await;
        world.add_address(LTE, net("10.2.0.2/24")).await;
        world.add_default(LTE, VIA_LTE).await;
    }
}

/// So many packets go out, and half as many come in.
fn carry(packets: u32) {
    for (interface, packets) in [(LTE.to_owned(), packets), (netns::far(LTE), packets / 2)] {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.set_broadcast(true).expect("it may");
        let bound = SockRef::from(&socket).bind_device(Some(interface.as_bytes()));
        bound.expect("it is bound");
        for _ in 0..packets {
            let sent = socket.send_to(&[0; PACKET], "255.255.255.255:9");
            sent.expect("it is sent");
        }
    }
}

fn used(status: &Value) -> Option<u64> {
    status["uplinks"][1]["allowance"]["used_bytes"].as_u64()
}

fn file(site: &Site) -> Value {
    let text = fs::read(site.path("state/allowance.json")).expect("a file");
    serde_json::from_slice(&text).expect("JSON")
}

/// The machine was started again: the file is of another start.
fn boot(site: &Site) {
    let mut kept = file(site);
    let boot = &mut kept["lte"]["read"]["boot"];
    *boot = json!(boot.as_u64().expect("a number") ^ 1);
    fs::write(site.path("state/allowance.json"), kept.to_string()).expect("written");
}

/// What is used now. For a report the agent reads the counters.
async fn counted(site: &Site) -> u64 {
    assert!(site.say(&["report", "--json"]).status.success());
    let status = site.status(|status| used(status).is_some()).await;
    used(&status).expect("it is counted")
}

#[test]
fn kills_stops_reboots_and_interfaces_made_anew_cost_no_byte_that_was_written_down() {
    const STEPS: u32 = 50;
    netns::run(async |world| {
        two_uplinks(&world).await;
        let site = Site::prepared("state", "", "");
        let mut site = site.with_keys_of_lte("allowance = \"50GB\"\n");
        let zero = json!({"rx_packets": 0, "tx_packets": 0, "rx_bytes": 0, "tx_bytes": 0});
        let read = json!({"counters": zero, "index": 1, "newest": 1, "boot": 0});
        let kept = json!({"lte": {"used": 0, "read": read, "period": null, "announced": 0}});
        fs::create_dir(site.path("state")).expect("a directory");
        fs::write(site.path("state/allowance.json"), kept.to_string()).expect("written");
        let mut interface = Interface { before: 0 };
        let mut random = Spread::new(7);
        // What may be missing of all that has gone through, and since the file was written the interface was made anew.
        let (mut may_miss, mut is_other) = (0, false);
        site.start();
        for step in 0..STEPS {
            let least = interface.total();
            let seen = counted(&site).await;
            let most = interface.total();
            assert!(seen <= most, "step {step}: {seen} of {most}");
            assert!(
                seen + may_miss >= least,
                "step {step}: {seen} and {may_miss} of {least}"
            );
            // What is missing by now stays so, and no more is after an orderly end or a kill.
            may_miss = most - seen;
            carry(100 + step * 10);
            let mishap = random.unit();
            if mishap < 0.4 {
                site.kill();
                if is_other {
                    let on_disk = file(&site)["lte"]["used"].as_u64().expect("a number");
                    may_miss = interface.total() - on_disk;
                }
            } else if mishap < 0.6 {
                site.end(Signal::SIGTERM);
                is_other = false;
            } else if mishap < 0.7 {
                // Started again in order.
                site.end(Signal::SIGUSR2);
                is_other = false;
                boot(&site);
                interface.renew(&world).await;
            } else if mishap < 0.8 {
                // The power is cut.
                site.kill();
                let on_disk = file(&site)["lte"]["used"].as_u64().expect("a number");
                may_miss = interface.total() - on_disk + SLACK;
                boot(&site);
                interface.renew(&world).await;
            } else {
                let seen = counted(&site).await;
                may_miss = interface.total() + SLACK - seen;
                interface.renew(&world).await;
                is_other = true;
                continue;
            }
            carry(50);
            site.start();
        }
        let seen = counted(&site).await;
        let total = interface.total();
        eprintln!("after {STEPS} mishaps {seen} of {total} bytes are counted");
        assert!(seen > u64::from(STEPS) * 100_000, "{seen}");
    });
}

#[test]
fn a_used_allowance_takes_the_route_away_at_once_until_it_is_set_right_also_over_a_kill() {
    netns::run(async |world| {
        let _beyond = answered(&world).await;
        let site = Site::prepared("state", "", &probes());
        let keys = "allowance = \"1GB\"\nallowance_action = \"off\"\n";
        let mut site = site.with_keys_of_lte(keys);
        site.start();
        site.status(|status| status["uplinks"][1]["state"] == "up")
            .await;
        world.set_up(FIBER, false).await;
        site.status(|status| status["active"][0] == "lte").await;
        let table = Numbering::default().table.0;
        let held = async |is_there: bool| {
            let wait = async {
                while world.default_in(table).await.is_some() != is_there {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(PATIENCE, wait)
                .await
                .expect("the route comes or goes");
        };
        held(true).await;
        let told = site.say(&["allowance", "lte", "--used", "1GB"]);
        let said = String::from_utf8_lossy(&told.stdout);
        assert_eq!(said, "1 GB of the allowance of lte are used\n");
        held(false).await;
        // The default route that a DHCP client has in the main table leads nowhere now, and probes go on.
        let is_refused = || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
            let error = socket.connect((TARGET, 9)).err();
            error.is_some_and(|error| error.kind() == ErrorKind::HostUnreachable)
        };
        let wait = async {
            while !is_refused() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("traffic is refused");
        let report = site.say(&["report", "--html", "-"]);
        let report = String::from_utf8_lossy(&report.stdout);
        assert!(
            report.contains("Allowance of lte: 1 GB of 1 GB (100 %): used up"),
            "{report}"
        );
        let table = site.say(&["report", "--csv-uplinks"]);
        let table = String::from_utf8_lossy(&table.stdout);
        assert!(table.contains(",1000000000,1000"), "{table}");
        site.kill();
        site.start();
        let is_back = |status: &Value| {
            let is_up = status["uplinks"][1]["state"] == "up";
            is_up && used(status) >= Some(1_000_000_000)
        };
        site.status(is_back).await;
        held(false).await;
        let history = site.say(&["history", "--json"]);
        let history = String::from_utf8_lossy(&history.stdout);
        assert!(history.contains("allowance.reached"), "{history}");
        assert!(is_refused());
        site.say(&["allowance", "lte", "--used", "0B"]);
        held(true).await;
        assert!(!is_refused());
        let refused = site.say(&["allowance", "fiber", "--used", "1GB"]);
        assert_eq!(refused.status.code(), Some(1));
    });
}
