//! Waiting for a word in memory to change: first spinning, then asleep until somebody wakes this address.

use spin::relax::RelaxStrategy;

use super::Answering;
use crate::arch::percpu;
use crate::task::wait;
pub(super) use crate::task::{wake, wake_one};

/// Looks so many times before it sleeps.
const LOOKS: u32 = 200;

/// Spins a little, answering shootdowns, until `done`; `false` if it did not come true. With one CPU, nobody could bring
/// it about meanwhile.
pub(super) fn spin_until(mut done: impl FnMut() -> bool) -> bool {
    let looks = if percpu::online() > 1 { LOOKS } else { 1 };
    for _ in 0..looks {
        if done() {
            return true;
        }
        Answering::relax();
    }
    false
}

/// Waits while `still_waiting`; who makes it false wakes `key` afterwards.
pub(super) fn wait_while(key: usize, mut still_waiting: impl FnMut() -> bool) {
    while still_waiting() {
        wait(key, &mut still_waiting);
    }
}
