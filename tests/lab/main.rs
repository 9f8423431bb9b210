//! The embedded network: the real agent in it, and its wires.

#![cfg(feature = "lab")]

mod scenarios;
mod wires;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two networks at a time would spoil each other's times.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_test_isolated(test: &str, body: impl FnOnce()) {
    let _turn = turn();
    uplinkd::lab::run_test_isolated(&format!("wires::{test}"), body);
}
