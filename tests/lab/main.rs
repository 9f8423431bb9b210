//! The embedded network: the real agent in it, and its wires.

#![cfg(feature = "lab")]

#[path = "../support/extent.rs"]
mod extent;
mod lanes;
#[expect(dead_code, reason = "the lab needs no program of the machine")]
#[path = "../support/machine.rs"]
mod machine;
mod scenarios;
mod wires;

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Networks that may run at one time. Two cores have room for more, and the tests for no more need.
const SLOTS: usize = 6;

static TAKEN: Mutex<usize> = Mutex::new(0);
static RELEASED: Condvar = Condvar::new();

/// Room for networks; given back when this is dropped.
struct Slots(usize);

/// Waits for room beside other networks.
fn beside_others() -> Slots {
    take(1)
}

/// Waits until no other network runs.
fn alone() -> Slots {
    take(SLOTS)
}

fn take(slots: usize) -> Slots {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_full = |taken: &mut usize| *taken + slots > SLOTS;
    let taken = RELEASED.wait_while(taken, is_full);
    *taken.unwrap_or_else(PoisonError::into_inner) += slots;
    Slots(slots)
}

impl Drop for Slots {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        *taken -= self.0;
        RELEASED.notify_all();
    }
}

fn run_test_isolated(test: &str, body: impl FnOnce()) {
    let _slot = beside_others();
    uplinkd::lab::run_test_isolated(&format!("wires::{test}"), body);
}

/// The time that this share of the times stays below, in milliseconds.
fn quantile(times: impl Iterator<Item = Duration>, share: f64) -> f64 {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a small length is an index"
    )]
    let index = ((times.len() - 1) as f64 * share) as usize;
    times[index].as_secs_f64() * 1000.0
}
