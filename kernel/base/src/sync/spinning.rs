//! A spin lock that keeps interrupts off while it is held, so that a handler on the same CPU can't spin on a
//! lock its own CPU holds. Sections under it are short and never fault.

use core::ops::{Deref, DerefMut};

use spin::relax::RelaxStrategy;

use crate::arch::interrupts::InterruptsOff;
use crate::arch::tlb;

/// What a CPU does while it waits for a lock.
pub struct Answering;

impl RelaxStrategy for Answering {
    fn relax() {
        tlb::answer();
        core::hint::spin_loop();
    }
}

/// A spin lock held with interrupts off.
pub struct IrqLock<T> {
    inner: spin::mutex::SpinMutex<T, Answering>,
}

/// Access to what an [`IrqLock`] guards. Fields drop in this order: the lock first, then the interrupt flag.
pub struct IrqGuard<'a, T> {
    inner: spin::mutex::SpinMutexGuard<'a, T, Answering>,
    _flag: InterruptsOff,
}

impl<T> IrqLock<T> {
    /// Returns a free lock.
    pub const fn new(value: T) -> Self {
        Self { inner: spin::mutex::SpinMutex::new(value) }
    }

    /// Returns the lock, if nobody holds it.
    pub fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let flag = InterruptsOff::new();
        self.inner.try_lock().map(|inner| IrqGuard { inner, _flag: flag })
    }

    /// Waits for the lock.
    pub fn lock(&self) -> IrqGuard<'_, T> {
        let flag = InterruptsOff::new();
        IrqGuard { inner: self.inner.lock(), _flag: flag }
    }
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
