//! What the engine holds in memory for each target.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use crate::support::settings;
use uplinkd::engine::Engine;
use uplinkd::engine::action::Action;
use uplinkd::engine::input::{Input, ProbeOutcome};
use uplinkd::engine::schedule::Spread;
use uplinkd::replay::attached;
use uplinkd::units::Moment;

const UPLINKS: [&str; 2] = ["fiber", "lte"];
const OUTCOMES: u32 = 3_000;
/// glibc's malloc keeps this beside each block, and gives blocks in multiples of twice that.
const MALLOC_WORD: usize = size_of::<usize>();

thread_local! {
    /// What this thread holds on the heap.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The allocator of the system, which counts for each thread.
struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn block(layout: Layout) -> usize {
    (layout.size() + MALLOC_WORD)
        .next_multiple_of(2 * MALLOC_WORD)
        .max(4 * MALLOC_WORD)
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe; this one passes all on to that of the system"
)]
// SAFETY: as that of the system, to which each call goes with its own arguments.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends frees what it holds after its counter is gone.
        let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(block(layout))));
        // SAFETY: as the caller holds to.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().wrapping_sub(block(layout))));
        // SAFETY: as the caller holds to.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Answers nineteen probes of twenty at once, until there were so many.
fn drive(engine: &mut Engine, seed: u64) {
    let mut random = Spread::new(seed);
    let mut now = Moment::START;
    let mut asked = 0;
    while asked < OUTCOMES {
        now = engine.poll_timeout().map_or(now, |at| now.max(at));
        engine.handle_timeout(now);
        while let Some(action) = engine.poll_action() {
            let Action::Probe(order) = action else {
                continue;
            };
            asked += 1;
            if random.unit() < 0.95 {
                let rtt = Duration::from_micros(10_000 + u64::from(asked % 4_000));
                let input = Input::Probe {
                    uplink: order.uplink,
                    id: order.id,
                    outcome: ProbeOutcome::Reply(rtt),
                };
                engine.handle_input(now, input);
            }
        }
    }
}

#[test]
fn a_target_takes_at_most_4_096_bytes_with_its_share_of_the_uplink() {
    let settings = settings(&UPLINKS);
    let targets: usize = (settings.uplinks.iter())
        .map(|uplink| uplink.probe.targets.len())
        .sum();
    let mut most = 0;
    for seed in 0..5 {
        let before = HELD.get();
        let mut engine = Engine::new(settings.clone(), Moment::START);
        for (place, uplink) in (1..).zip(UPLINKS) {
            let uplink = uplink.parse().expect("a name");
            let attachment = attached(place);
            engine.handle_input(Moment::START, Input::Attachment { uplink, attachment });
        }
        drive(&mut engine, seed);
        let held = HELD.get() - before + size_of::<Engine>();
        most = most.max(held / targets);
    }
    assert!(most <= 4_096, "{most} bytes");
}
