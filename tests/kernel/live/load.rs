//! Busy machines: changes of other programs neither hide ours nor cost much. The time until a change of
//! ours is followed is printed.
#![expect(clippy::disallowed_methods, reason = "figures")]
#![expect(clippy::print_stderr, reason = "figures")]

use std::sync::atomic::AtomicU32;
use std::thread::JoinHandle;
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Far longer than a change takes to be followed on any machine.
const LONG: Duration = Duration::from_secs(30);

use super::netns::{self, World};
use super::*;
use crate::extent::extent;

/// Another program: it changes this namespace from a thread of its own, a hundred times a second.
struct Others {
    ends: Arc<AtomicBool>,
    count: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Others {
    /// `each` is called with the number of the call.
    fn start(each: impl AsyncFn(&World, u32) + Send + 'static) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU32::new(0));
        let (is_over, counted) = (ends.clone(), count.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let world = World::here();
                let mut ticks = interval(Duration::from_millis(10));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                while !is_over.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    each(&world, counted.load(Ordering::Relaxed)).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        Self {
            ends,
            count,
            thread,
        }
    }

    /// The calls so far.
    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("the others end");
    }
}

#[test]
fn ten_thousand_events_elsewhere_hide_no_change_of_ours() {
    const TICKS: u32 = 1_000;
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.wire("noise").await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let start = Instant::now();
        let others = Others::start(async |world, tick| {
            for host in 0..5 {
                let address = Ipv4Addr::new(172, 20, host, 1);
                let address = Ipv4Net::new(address, 24).expect("a prefix");
                if tick % 2 == 0 {
                    world.add_address("noise", address).await;
                } else {
                    world.remove_address("noise", address).await;
                }
            }
        });
        let mut slowest = Duration::ZERO;
        let mut changes = 0;
        // Each address makes two events at least.
        while others.count() < TICKS {
            for is_there in [false, true] {
                let before = Instant::now();
                if is_there {
                    world.add_default(LTE, VIA_LTE).await;
                } else {
                    world.remove_default(LTE, VIA_LTE).await;
                }
                let seen = agent.observed(|observed| has_default(observed, LTE) == is_there);
                timeout(LONG, seen).await.expect("seen");
                slowest = slowest.max(before.elapsed());
                changes += 1;
                sleep(Duration::from_millis(100)).await;
            }
        }
        others.end();
        eprintln!(
            "{changes} changes of ours in {:?}: the slowest was followed after {slowest:?}, the \
             buffer overflowed {} times",
            start.elapsed(),
            agent.kernel.overruns()
        );
        assert!(agent.put_back.is_empty());
    });
}

#[test]
fn five_hundred_changes_among_ten_thousand_routes_of_others_cost_less_than_ten_looks() {
    const CHANGES: u32 = 500;
    netns::run(async |world| {
        two_uplinks(&world).await;
        let hosts = (0..40).flat_map(|c| (0..250).map(move |d| Ipv4Addr::new(172, 16, c, d)));
        world.add_hosts(LTE, hosts).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let look = look_time();
        let others = Others::start(async |world, tick| {
            let host = Ipv4Addr::from(0xac11_0000 + tick);
            world.change_host(LTE, host).await;
        });
        let before = cpu_time();
        while others.count() < CHANGES {
            let report = timeout(Duration::from_millis(500), agent.kernel.reports.recv()).await;
            assert!(report.is_err(), "{report:?}");
        }
        let spent = cpu_time().saturating_sub(before);
        others.end();
        eprintln!("{CHANGES} changes among 10,000 routes cost {spent:?}, a look {look:?}");
        assert!(spent < look * 10, "{spent:?}, and a look {look:?}");
    });
}

/// What a look at everything costs, the cheapest of some.
fn look_time() -> Duration {
    let interfaces = [name(FIBER), name(LTE)].into();
    let looks = (0..5).map(|_| {
        let before = cpu_time();
        kernel::look(&Numbering::default(), &interfaces).expect("a look");
        cpu_time().saturating_sub(before)
    });
    looks.min().expect("some looks")
}

/// The CPU time of this thread, which is the agent's.
fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    spent.expect("the clock").into()
}

#[test]
fn beside_hundreds_of_thousands_of_routes_of_others_a_lost_carrier_is_seen_without_reading_them() {
    const UPLINKS: u8 = 20;
    let routes = extent(30_000, 300_000);
    netns::run(async move |world| {
        two_uplinks(&world).await;
        let names: Vec<_> = (3..=UPLINKS).map(|place| format!("wan{place}")).collect();
        for (place, name) in (3..).zip(&names) {
            world.wire(name).await;
            let address = Ipv4Net::new(Ipv4Addr::new(10, place, 0, 2), 24);
            world.add_address(name, address.expect("a prefix")).await;
        }
        world.wire("noise").await;
        let first = u32::from(Ipv4Addr::new(20, 0, 0, 0));
        let hosts = (first..first + routes).map(Ipv4Addr::from);
        world.add_hosts("noise", hosts).await;
        let others = names.iter().map(|name| (name.as_str(), Hints::default()));
        let uplinks = [FIBER, LTE].map(|uplink| (uplink, Hints::default()));
        let uplinks: Vec<_> = uplinks.into_iter().chain(others).collect();
        let numbering = Numbering::default();
        let mut agent = Agent::start_with(KernelAccess::Write, numbering, &uplinks).await;
        agent.carry(FIBER).await;
        let whole = look_time();
        let before = cpu_time();
        let mut delays = Vec::new();
        for turn in 0..10 {
            let has_carrier = turn % 2 == 1;
            world.set_carrier(FIBER, has_carrier).await;
            let start = Instant::now();
            let seen = agent.observed(|observed| {
                let link = observed.link(&name(FIBER));
                link.is_some_and(|link| link.has_carrier == has_carrier)
            });
            timeout(LONG, seen).await.expect("seen");
            delays.push(start.elapsed());
        }
        let spent = cpu_time().saturating_sub(before) / 10;
        delays.sort_unstable();
        eprintln!(
            "beside {routes} routes a change of the carrier costs {spent:?} and is seen within {:?}, reading all \
             takes {whole:?}",
            delays[5]
        );
        assert!(spent < whole, "{spent:?}, and all takes {whole:?}");
    });
}
