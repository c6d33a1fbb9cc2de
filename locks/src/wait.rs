//! Waiting for a word in memory to change: first spinning, then asleep until somebody wakes this address.

use crate::LockMachine;

/// How often a wait looks before it sleeps.
const LOOKS: u32 = 200;

/// Spins a little, answering shootdowns, until `done`; `false` if it did not come true. With one CPU, nobody
/// could bring it about meanwhile.
pub(crate) fn spin_until<M: LockMachine>(mut done: impl FnMut() -> bool) -> bool {
    let looks = if M::cpus() > 1 { LOOKS } else { 1 };
    for _ in 0..looks {
        if done() {
            return true;
        }
        M::relax();
    }
    false
}

/// Waits while `still_waiting`; who makes it false wakes `key` afterwards.
pub(crate) fn wait_while<M: LockMachine>(key: usize, mut still_waiting: impl FnMut() -> bool) {
    while still_waiting() {
        M::wait(key, &mut still_waiting);
    }
}
