//! The locks that sleep, of crate `locks`, on this machine.
//!
//! Tasks stand above locks and tell here, once there are any, how one sleeps ([`sleep_by`]). It is called
//! only by who has to wait, or has kept somebody waiting.

use spin::Once;
use spin::relax::RelaxStrategy;

use super::spinning::{Answering, IrqGuard, IrqLock};
use crate::arch::percpu;

/// The mutex, as `lock_api` wants it.
pub type RawMutex = locks::RawMutex<KernelLocks>;
/// The reader-writer lock, as `lock_api` wants it.
pub type RawRwLock = locks::RawRwLock<KernelLocks>;
/// The same, short, for an inode: who reads the same file by a call copies for longer than it locks.
pub type RawInodeLock = locks::RawRwLock<KernelLocks, 1>;

/// How a task sleeps.
pub struct Sleep {
    /// Waits while the condition holds, until woken for the same key; may return early.
    pub wait: fn(usize, &mut dyn FnMut() -> bool),
    /// Wakes everybody who waits for a key.
    pub wake: fn(usize),
    /// Wakes the one who has waited for longest.
    pub wake_one: fn(usize),
}

static SLEEP: Once<&'static Sleep> = Once::new();

/// Sets how tasks sleep, once there are tasks.
pub fn sleep_by(sleep: &'static Sleep) {
    SLEEP.call_once(|| sleep);
}

/// Waits while `still_waiting`, until woken for `key`; may return early. Spins before there are tasks.
pub fn wait(key: usize, still_waiting: &mut dyn FnMut() -> bool) {
    match SLEEP.get() {
        Some(sleep) => (sleep.wait)(key, still_waiting),
        None => {
            while still_waiting() {
                Answering::relax();
            }
        }
    }
}

/// Wakes everybody who waits for `key`.
// Each unlocking calls it if somebody waits, and is better off without it inside.
#[inline(never)]
pub fn wake(key: usize) {
    if let Some(sleep) = SLEEP.get() {
        (sleep.wake)(key);
    }
}

/// Wakes the one who has waited for `key` for longest.
#[inline(never)]
fn wake_one(key: usize) {
    if let Some(sleep) = SLEEP.get() {
        (sleep.wake_one)(key);
    }
}

/// What the locks know of the machine.
pub struct KernelLocks;

impl locks::LockMachine for KernelLocks {
    type Queued = IrqLock<i64>;

    #[inline]
    fn cpu() -> usize {
        percpu::number()
    }

    #[inline]
    fn cpus() -> usize {
        percpu::online()
    }

    #[inline]
    fn relax() {
        Answering::relax();
    }

    #[inline]
    fn wait(key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        wait(key, still_waiting);
    }

    #[inline]
    fn wake(key: usize) {
        wake(key);
    }

    #[inline]
    fn wake_one(key: usize) {
        wake_one(key);
    }
}

impl locks::Short<i64> for IrqLock<i64> {
    const NEW: Self = Self::new(0);
    type Guard<'a> = IrqGuard<'a, i64>;

    #[inline]
    fn lock(&self) -> IrqGuard<'_, i64> {
        Self::lock(self)
    }
}
