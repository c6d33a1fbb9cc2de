//! Locks.
//!
//! | lock | waiting | for |
//! |---|---|---|
//! | [`IrqLock`] | spins, interrupts off | data that interrupt handlers or other CPUs may want, shortly |
//! | [`RawMutex`] | spins a little, then sleeps | the file system's |
//! | [`RawRwLock`] | the same; fair, readers on different CPUs share no cache line | `dax_sem`, areas |
//!
//! The algorithms of the two that sleep are in crate `locks`, where they are tested on the host.
//!
//! [`IrqLock`] is a spin lock that keeps interrupts off while it is held, so that a handler on the same CPU
//! can't spin on a lock its own CPU holds. Sections under it are short and never fault. Waiting runs
//! [`Answering::relax`], the one place where a waiting CPU answers shootdowns (docs/laws.md, law 7).

mod sleeping;

use core::ops::{Deref, DerefMut};

use spin::relax::RelaxStrategy;
use x86_64::instructions::interrupts;

use crate::arch::tlb;
pub use sleeping::{RawMutex, RawRwLock};

/// A sleeping reader-writer lock around what it guards.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
/// A sleeping mutex around what it guards.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;

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

/// Interrupts are off until this is dropped; then they are as before.
pub struct InterruptsOff {
    were_on: bool,
}

impl InterruptsOff {
    /// Turns them off on this CPU.
    pub fn new() -> Self {
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
    pub const fn new(value: T) -> Self {
        Self { inner: spin::mutex::SpinMutex::new(value) }
    }

    /// The lock, if nobody holds it.
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
