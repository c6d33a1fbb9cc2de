//! Locks for data that interrupt handlers or other CPUs may want.
//!
//! [`IrqLock`] is a spin lock that keeps interrupts off while it is held, so that a handler on the same CPU can't
//! spin on a lock its own CPU holds. Sections under it are short and never fault. Waiting runs
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

/// Access to what an [`IrqLock`] guards; gives the interrupt flag back when dropped.
pub(crate) struct IrqGuard<'a, T> {
    inner: Option<spin::mutex::SpinMutexGuard<'a, T>>,
    enable: bool,
}

impl<T> IrqLock<T> {
    /// A free lock.
    pub(crate) const fn new(value: T) -> Self {
        Self { inner: spin::mutex::SpinMutex::new(value) }
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> IrqGuard<'_, T> {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        IrqGuard { inner: Some(self.inner.lock()), enable }
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        let inner = self.inner.try_lock();
        if inner.is_none() && enable {
            interrupts::enable();
        }
        inner.map(|inner| IrqGuard { inner: Some(inner), enable })
    }
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match &self.inner {
            Some(inner) => inner,
            None => unreachable!("the guard is taken on drop only"),
        }
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.inner {
            Some(inner) => inner,
            None => unreachable!("the guard is taken on drop only"),
        }
    }
}

impl<T> Drop for IrqGuard<'_, T> {
    fn drop(&mut self) {
        self.inner = None;
        if self.enable {
            interrupts::enable();
        }
    }
}
