//! Busy machines: what others do all the time neither hides what concerns us nor costs much.
#![expect(clippy::disallowed_methods, reason = "figures")]
#![expect(clippy::print_stderr, reason = "figures")]

use std::thread::JoinHandle;
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::netns::{self, World};
use super::*;

/// Does something to this namespace from another thread, as others would: `each` is called a
/// hundred times a second, with the number of the call, until the end.
fn others(
    ends: &Arc<AtomicBool>,
    each: impl AsyncFn(&World, u32) + Send + 'static,
) -> JoinHandle<u32> {
    let ends = ends.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::here();
            let mut ticks = interval(Duration::from_millis(10));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut count = 0;
            while !ends.load(Ordering::Relaxed) {
                ticks.tick().await;
                each(&world, count).await;
                count += 1;
            }
            count
        })
    })
}

#[test]
fn a_thousand_events_a_second_elsewhere_hide_nothing_of_ours_for_ten_seconds() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        world.wire("noise").await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let ends = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let others = others(&ends, async |world, tick| {
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
        while start.elapsed() < Duration::from_secs(10) {
            for is_there in [false, true] {
                let before = Instant::now();
                if is_there {
                    world.add_default(LTE, VIA_LTE).await;
                } else {
                    world.remove_default(LTE, VIA_LTE).await;
                }
                let seen = agent.observed(|observed| has_default(observed, LTE) == is_there);
                timeout(Duration::from_secs(1), seen).await.expect("seen");
                slowest = slowest.max(before.elapsed());
                changes += 1;
                sleep(Duration::from_millis(100)).await;
            }
        }
        ends.store(true, Ordering::Relaxed);
        let ticks = others.join().expect("the others end");
        let events = ticks * 5 * 4;
        eprintln!(
            "{changes} changes of ours among {events} events of others in {:?}: the slowest was \
             followed after {slowest:?}, the buffer overflowed {} times",
            start.elapsed(),
            agent.kernel.overruns()
        );
        assert!(events >= 8_000, "only {events} events");
        assert!(agent.put_back.is_empty());
    });
}

#[test]
fn ten_thousand_routes_of_others_of_which_a_hundred_change_each_second_cost_two_percent_at_most() {
    netns::run(async |world| {
        two_uplinks(&world).await;
        let hosts = (0..40).flat_map(|c| (0..250).map(move |d| Ipv4Addr::new(172, 16, c, d)));
        world.add_hosts(LTE, hosts).await;
        let mut agent = Agent::start().await;
        agent.carry(FIBER).await;
        let look = Instant::now();
        let interfaces = [name(FIBER), name(LTE)].into();
        kernel::look(agent.numbering.protocol, &interfaces).expect("a look");
        let look = look.elapsed();
        let ends = Arc::new(AtomicBool::new(false));
        let others = others(&ends, async |world, tick| {
            let host = Ipv4Addr::from(0xac11_0000 + tick);
            world.change_host(LTE, host).await;
        });
        let (start, before) = (Instant::now(), cpu_time());
        let report = timeout(Duration::from_secs(5), agent.kernel.reports.recv()).await;
        let (spent, elapsed) = (cpu_time().saturating_sub(before), start.elapsed());
        ends.store(true, Ordering::Relaxed);
        let changes = others.join().expect("the others end");
        let percent = spent.as_secs_f64() / elapsed.as_secs_f64() * 100.0;
        eprintln!(
            "{changes} changes among 10,000 routes in {elapsed:?}: {percent:.2} % of a core; a full \
             look takes {look:?}"
        );
        assert!(report.is_err(), "{report:?}");
        assert!(changes > 200, "only {changes} changes");
        assert!(percent <= 2.0, "{percent} %");
    });
}

/// What this thread, which is the agent's, has spent on a processor.
fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    spent.expect("the clock").into()
}
