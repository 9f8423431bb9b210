//! The cost of the kernel side: a switch, routes of other programs, flows that are ended, and lookups
//! without a route. On the real kernel, in a network namespace of its own.
//!
//! `cargo bench --bench routing`
//!
//! Needs no `ip`; where there is one, a fork of `ip route replace` is measured as well. `uplinkd lab
//! carrier` measures how long a client is without traffic when a cable is unplugged.
#![expect(clippy::disallowed_methods, reason = "figures")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the netlink crates' enums are open"
)]

#[path = "../tests/support/host.rs"]
mod host;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../tests/support/machine.rs"]
mod machine;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../tests/support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../tests/support/tracked.rs"]
mod tracked;

#[path = "routing/bare.rs"]
mod bare;
#[path = "routing/carrier.rs"]
mod carrier;
#[path = "routing/forwarding.rs"]
mod forwarding;
#[path = "routing/side.rs"]
mod side;
#[path = "routing/spans.rs"]
mod spans;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ipnet::{Ipv4Net, Ipv6Net};
use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uplinkd::kernel;
use uplinkd::routing::flows::TrafficOf;
use uplinkd::units::sorted::SortedSet;

use netns::{ForeignDefault, World};
use side::{Families, Side};
use spans::Spans;
use tracked::{Tracked, Tracking};

const FIBER: &str = "fiber";
const LTE: &str = "lte";
const OTHER: &str = "other";
const SWITCHES: usize = 2_000;
const SWITCHES_WITH_LOOKUPS: usize = 10_000;
/// A fork takes milliseconds.
const FORKS: usize = 200;

fn main() {
    say(&format!(
        "{:66} {:>22}  {}",
        "", "median / p99 / worst", "must be"
    ));
    netns::run(async |world| {
        let indices = two_uplinks(&world).await;
        switches(indices).await;
        lookups().await;
        routes_of_others(&world).await;
        crowd(&world).await;
        flows();
    });
    netns::run(async |world| forwarding::forwarding(&world).await);
}

/// Prints a line; ends the program when the reader has closed the pipe.
fn say(line: &str) {
    if writeln!(io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

fn row(what: &str, found: &str, must: &str) {
    say(&format!("{what:66} {found:>22}  {must}"));
}

/// Two uplinks with addresses of both families; returns their indices. The IPv4 default route is that of
/// a DHCP client, the IPv6 one is configured.
async fn two_uplinks(world: &World) -> [u32; 2] {
    world.speak_ipv6();
    let mut indices = [0; 2];
    for ((number, name), index) in (1..).zip([FIBER, LTE]).zip(&mut indices) {
        *index = world.wire(name).await;
        let address = Ipv4Net::new(Ipv4Addr::new(10, number, 0, 2), 24);
        world.add_address(name, address.expect("a net")).await;
        let address = Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, 2);
        let address = Ipv6Net::new(address, 64);
        world.take_address6(name, address.expect("a net")).await;
        let via = Ipv4Addr::new(10, number, 0, 1);
        let metric = 100 * u32::from(number);
        world
            .add_default(name, ForeignDefault { via, metric })
            .await;
    }
    indices
}

/// From the decision to the kernel's acknowledgement.
async fn switches(indices: [u32; 2]) {
    for (families, what, must) in [
        (Families::Ipv4, "IPv4", "50 us / 1 ms"),
        (Families::Both, "both families", ""),
    ] {
        let mut side = Side::start([FIBER, LTE]).await;
        side.carry(0, families).await;
        let (mut acknowledged, mut read_back) = (Spans::default(), Spans::default());
        for number in 1..=SWITCHES {
            let switch = side.carry(number % 2, families).await;
            acknowledged.push(switch.acknowledged);
            read_back.push(switch.read_back);
        }
        side.stop().await;
        let name = format!("a switch of {what}: decision to the kernel's acknowledgement");
        row(&name, &acknowledged.to_string(), must);
        row("    and until it is read back", &read_back.to_string(), "");
    }
    let bare = bare::replacements(indices, SWITCHES);
    row(
        "    the kernel's part: the same request, waited for",
        &bare.to_string(),
        "",
    );
    match forks() {
        Some(forks) => row("    a fork of `ip route replace`", &forks.to_string(), ""),
        None => row("    a fork of `ip route replace`", "no `ip` here", ""),
    }
}

fn forks() -> Option<Spans> {
    let mut spans = Spans::default();
    for number in 0..FORKS {
        let (via, device) = [("10.1.0.1", FIBER), ("10.2.0.1", LTE)][number % 2];
        let words = ["route", "replace", "default", "via", via, "dev", device];
        let start = Instant::now();
        let mut ip = Command::new("ip");
        let ip = ip.args(words).args(["table", "999"]).stdin(Stdio::null());
        let status = ip.status().ok()?;
        spans.push(start.elapsed());
        assert!(status.success(), "{status}");
    }
    Some(spans)
}

/// Lookups as fast as possible while both families switch to and fro. IPv6 has no default route in main,
/// so that only the agent's table answers.
async fn lookups() {
    let mut side = Side::start([FIBER, LTE]).await;
    side.carry(0, Families::Both).await;
    let searches = [V4, V6].map(Search::start);
    let start = Instant::now();
    for number in 1..=SWITCHES_WITH_LOOKUPS {
        side.carry(number % 2, Families::Both).await;
    }
    let took = start.elapsed().as_secs_f64();
    for (search, family) in searches.into_iter().zip(["IPv4", "IPv6"]) {
        let (asked, in_vain) = search.end();
        let what = format!(
            "{SWITCHES_WITH_LOOKUPS} switches in {took:.1} s: of {asked} {family} lookups without a route"
        );
        row(&what, &in_vain.to_string(), "0");
    }
    side.stop().await;
}

/// From any address to one in the internet.
type Anywhere = (SocketAddr, SocketAddr);
const V4: Anywhere = (
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
);
const V6: Anywhere = (
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    SocketAddr::new(
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1)),
        9,
    ),
);

/// A thread that looks up a route as fast as it can.
struct Search {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<(u64, u64)>,
}

impl Search {
    fn start((from, to): Anywhere) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = ends.clone();
        let thread = thread::spawn(move || {
            let (mut asked, mut in_vain) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let socket = UdpSocket::bind(from).expect("a socket");
                asked += 1;
                in_vain += u64::from(socket.connect(to).is_err());
            }
            (asked, in_vain)
        });
        Self { ends, thread }
    }

    /// The number of lookups, and of those without a route.
    fn end(self) -> (u64, u64) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("the lookups end")
    }
}

/// The share of a core that the agent's thread uses while others change a hundred routes a second.
async fn routes_of_others(world: &World) {
    let hosts = (0..40).flat_map(|c| (0..250).map(move |d| Ipv4Addr::new(172, 16, c, d)));
    world.add_hosts(LTE, hosts).await;
    world.wire(OTHER).await;
    let address = "10.9.0.2/24".parse().expect("a network");
    world.add_address(OTHER, address).await;
    let mut side = Side::start([FIBER, LTE]).await;
    side.carry(0, Families::Both).await;
    let look = Instant::now();
    kernel::look(side.numbering(), &side.interfaces()).expect("a look");
    let look = look.elapsed();
    let kinds = [
        ("routes", Change::Host, "2 %"),
        ("defaults", Change::Default, ""),
    ];
    for (what, change, must) in kinds {
        let (share, a_second) = share_under(&mut side, change).await;
        let what =
            format!("10,000 routes of others, {a_second:.0} {what} a second change: a core's");
        row(&what, &format!("{share:.2} %"), must);
    }
    side.stop().await;
    let what = "    a look at everything, which only the latter cause";
    row(what, &format!("{:.1} ms", look.as_secs_f64() * 1e3), "");
}

/// A lost carrier beside a long main table, and what a link that flaps costs there.
async fn crowd(world: &World) {
    const ROUTES: u32 = 300_000;
    const TURNS: usize = 20;
    const FLAPS: &str = "flaps";
    let first = u32::from(Ipv4Addr::new(20, 0, 0, 0));
    let hosts = (first..first + ROUTES).map(Ipv4Addr::from);
    world.add_hosts(OTHER, hosts).await;
    world.wire(FLAPS).await;
    let mut side = Side::start([FIBER, LTE]).await;
    side.carry(0, Families::Both).await;
    let look = Instant::now();
    kernel::look(side.numbering(), &side.interfaces()).expect("a look");
    let look = format!("{:.0} ms", look.elapsed().as_secs_f64() * 1e3);
    row(
        &format!("{ROUTES} routes of others: a look at everything"),
        &look,
        "",
    );
    let listener = carrier::Listener::start();
    for flaps in [false, true] {
        let ends = Arc::new(AtomicBool::new(!flaps));
        let (start, before) = (Instant::now(), cpu_time_of_all());
        let flapping = flap(FLAPS, &ends);
        let mut spans = Spans::default();
        for turn in 1..=TURNS {
            let has_carrier = turn % 2 == 0;
            world.set_carrier(FIBER, has_carrier).await;
            let reported = side.carrier_reported(FIBER, has_carrier).await;
            spans.push(reported.saturating_duration_since(listener.heard(FIBER, has_carrier)));
        }
        // Looks at everything are so far apart that a share of less would be chance.
        sleep(Duration::from_secs(10)).await;
        let (spent, elapsed) = (cpu_time_of_all().saturating_sub(before), start.elapsed());
        ends.store(true, Ordering::Relaxed);
        let own = flapping.join().expect("the flapping ends");
        let what = if flaps {
            ", while a link flaps five times a second"
        } else {
            ""
        };
        row(
            &format!("    a lost carrier to its report{what}"),
            &spans.to_string(),
            "20 ms",
        );
        let share = spent.saturating_sub(own).as_secs_f64() / elapsed.as_secs_f64() * 100.0;
        row("    a core's share", &format!("{share:.1} %"), "10 %");
    }
    side.stop().await;
}

/// Takes a link down and up; returns the CPU time that it took.
fn flap(name: &'static str, ends: &Arc<AtomicBool>) -> JoinHandle<Duration> {
    let ends = ends.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::here();
            let mut ticks = interval(Duration::from_millis(100));
            let mut is_up = true;
            while !ends.load(Ordering::Relaxed) {
                ticks.tick().await;
                is_up = !is_up;
                world.set_up(name, is_up).await;
            }
        });
        cpu_time()
    })
}

/// The CPU time of this process.
fn cpu_time_of_all() -> Duration {
    let spent = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    spent.expect("the clock").into()
}

/// What others change.
#[derive(Clone, Copy)]
enum Change {
    /// A route to a host.
    Host,
    /// A default route through an interface that is no uplink.
    Default,
}

/// The share of a core in percent, and how many changes there were in a second.
async fn share_under(side: &mut Side, change: Change) -> (f64, f64) {
    const LASTS: Duration = Duration::from_secs(5);
    let ends = Arc::new(AtomicBool::new(false));
    let others = others(change, &ends);
    let (start, before) = (Instant::now(), cpu_time());
    let report = timeout(LASTS, side.report()).await;
    let (spent, elapsed) = (cpu_time().saturating_sub(before), start.elapsed());
    ends.store(true, Ordering::Relaxed);
    let changes = others.join().expect("the others end");
    assert!(
        report.is_err(),
        "a change of others was reported: {report:?}"
    );
    let share = spent.as_secs_f64() / elapsed.as_secs_f64() * 100.0;
    (share, f64::from(changes) / elapsed.as_secs_f64())
}

fn others(change: Change, ends: &Arc<AtomicBool>) -> JoinHandle<u32> {
    let ends = ends.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::here();
            let via = Ipv4Addr::new(10, 9, 0, 1);
            let mut ticks = interval(Duration::from_millis(10));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut count = 0;
            while !ends.load(Ordering::Relaxed) {
                ticks.tick().await;
                match change {
                    Change::Host => {
                        let host = Ipv4Addr::from(0xac11_0000 + count);
                        world.change_host(LTE, host).await;
                    }
                    Change::Default => {
                        let metric = 50_000 + count;
                        world
                            .add_default(OTHER, ForeignDefault { via, metric })
                            .await;
                    }
                }
                count += 1;
            }
            count
        })
    })
}

/// The CPU time of this thread, which is the agent's.
fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    spent.expect("the clock").into()
}

/// The flows of one uplink are ended among many others.
fn flows() {
    const ROUNDS: usize = 5;
    let left = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
    let other = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
    let flow = |block: u8, port: u16| Tracked {
        from: Ipv4Addr::new(10, 0, 0, 7).into(),
        to: Ipv4Addr::new(203, 0, 113, block).into(),
        translated_to: if block == 0 { left } else { other },
        port,
        mark: 0,
    };
    let flows = |blocks: std::ops::Range<u8>| -> Vec<Tracked> {
        let each = |block| (0..1_000).map(move |port| flow(block, port));
        blocks.flat_map(each).collect()
    };
    let mut tracking = Tracking::open();
    tracking.add_all(&flows(1..50));
    let mut spans = Spans::default();
    for _ in 0..ROUNDS {
        tracking.add_all(&flows(0..1));
        let start = Instant::now();
        let ended = kernel::end_flows(&SortedSet::from([left]), &TrafficOf::all())
            .expect("connections are tracked");
        spans.push(start.elapsed());
        assert_eq!(ended, 1_000);
    }
    let what = "1,000 flows of 50,000 are ended, which takes";
    row(what, &spans.to_string(), "200 ms");
    let gone = 49_000 - tracking.answered_to(other);
    row("    of the others", &gone.to_string(), "0");
}
