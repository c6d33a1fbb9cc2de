//! The locks that sleep, of crate `locks`, on this machine.

use spin::relax::RelaxStrategy;

use super::{Answering, IrqGuard, IrqLock};
use crate::arch::percpu;
use crate::task;

/// The mutex, as `lock_api` wants it.
pub type RawMutex = locks::RawMutex<Machine>;
/// The reader-writer lock, as `lock_api` wants it.
pub type RawRwLock = locks::RawRwLock<Machine>;

/// What the locks know of the machine.
pub struct Machine;

impl locks::Machine for Machine {
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
        task::wait(key, still_waiting);
    }

    #[inline]
    fn wake(key: usize) {
        task::wake(key);
    }

    #[inline]
    fn wake_one(key: usize) {
        task::wake_one(key);
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
