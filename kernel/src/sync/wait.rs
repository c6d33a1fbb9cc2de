//! Waiting for a word in memory to change: first spinning, then asleep until somebody wakes this address.

use spin::relax::RelaxStrategy;

use super::Answering;

/// Looks so many times before it sleeps.
const LOOKS: u32 = 200;

/// Spins a little, answering shootdowns, until `done`; `false` if it did not come true.
pub(super) fn spin_until(mut done: impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if done() {
            return true;
        }
        Answering::relax();
    }
    false
}

/// Waits while `still_waiting`, until woken by [`wake`] for the same key; may return early.
pub(crate) fn wait(_key: usize, still_waiting: &mut dyn FnMut() -> bool) {
    while still_waiting() {
        Answering::relax();
    }
}

/// Waits while `still_waiting`; who makes it false wakes `key` afterwards.
pub(super) fn wait_while(key: usize, mut still_waiting: impl FnMut() -> bool) {
    while still_waiting() {
        wait(key, &mut still_waiting);
    }
}

/// Wakes everybody who waits for `key`.
pub(crate) fn wake(_key: usize) {}

/// Wakes one of those who wait for `key`.
pub(crate) fn wake_one(_key: usize) {}
