//! Locks for data that interrupt handlers or other CPUs may want.
//!
//! [`IrqLock`] is a spin lock that keeps interrupts off while it is held, so that a handler on the same CPU
//! can't spin on a lock its own CPU holds. Sections under it are short and never fault. Waiting runs
//! [`Answering::relax`], the one place where a waiting CPU will answer shootdowns (DESIGN.md, law 7).

use core::ops::{Deref, DerefMut};

use spin::relax::RelaxStrategy;
use x86_64::instructions::interrupts;

/// What a CPU does while it waits for a lock.
pub(crate) struct Answering;

impl RelaxStrategy for Answering {
    fn relax() {
        crate::arch::answer_while_waiting();
        core::hint::spin_loop();
    }
}

/// A spin lock held with interrupts off.
pub(crate) struct IrqLock<T> {
    inner: spin::mutex::SpinMutex<T, Answering>,
}

/// Access to what an [`IrqLock`] guards. Fields drop in this order: the lock first, then the interrupt flag.
pub(crate) struct IrqGuard<'a, T> {
    inner: spin::mutex::SpinMutexGuard<'a, T, Answering>,
    _flag: InterruptsOff,
}

/// Interrupts are off until this is dropped; then they are as before.
pub(crate) struct InterruptsOff {
    were_on: bool,
}

impl InterruptsOff {
    /// Turns them off on this CPU.
    pub(crate) fn new() -> Self {
        let were_on = interrupts::are_enabled();
        interrupts::disable();
        Self { were_on }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        if self.were_on {
            interrupts::enable();
        }
    }
}

impl<T> IrqLock<T> {
    /// A free lock.
    pub(crate) const fn new(value: T) -> Self {
        Self { inner: spin::mutex::SpinMutex::new(value) }
    }

    /// The lock, if nobody holds it.
    pub(crate) fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let flag = InterruptsOff::new();
        self.inner.try_lock().map(|inner| IrqGuard { inner, _flag: flag })
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> IrqGuard<'_, T> {
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
