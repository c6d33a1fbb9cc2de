//! Locks that sleep, and the lists that they sleep on.
//!
//! | what | waiting |
//! |---|---|
//! | [`RawMutex`] | spins a little, then sleeps |
//! | [`RawRwLock`] | the same; fair, readers on different CPUs share no cache line, or are few |
//! | [`Lists`] | where who sleeps is found by the address of what it waits for |
//!
//! The algorithms are here, without the machine: a CPU's number, how to put a task to sleep, and the short
//! lock around a list come through [`LockMachine`], [`Tasks`] and [`Short`]. The kernel has one
//! implementation of each, the tests on the host have others.

#![no_std]

mod atomic;
mod lists;
mod mutex;
mod rwlock;
mod wait;

use core::ops::DerefMut;

pub use lists::{Lists, Tasks};
pub use mutex::RawMutex;
pub use rwlock::{RawRwLock, SLOTS};

/// A lock that is held for a few instructions, under which nobody sleeps or faults.
pub trait Short<T>: Sized {
    /// A free one, around what `T` starts with: 0, or nothing.
    #[allow(clippy::declare_interior_mutable_const, reason = "it is copied into each new lock, never used")]
    const NEW: Self;

    /// Access to what the lock guards. Lets the lock go on drop.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    /// Waits for the lock.
    fn lock(&self) -> Self::Guard<'_>;
}

/// What the locks need of the machine they are on.
pub trait LockMachine: 'static {
    /// Guards the number of readers that queue.
    type Queued: Short<i64>;

    /// Returns the number of the CPU that runs. The task may run on another one by the time the number is
    /// used.
    fn cpu() -> usize;

    /// Returns how many CPUs take part. With one, spinning is in vain.
    fn cpus() -> usize;

    /// Takes one turn of a wait that spins; answers TLB shootdowns (docs/laws.md, law 7).
    fn relax();

    /// Waits while `still_waiting`, until woken for `key`; may return early. No wake-up is lost by who
    /// changes the condition first and wakes then.
    fn wait(key: usize, still_waiting: &mut dyn FnMut() -> bool);

    /// Wakes everybody who waits for `key`.
    fn wake(key: usize);

    /// Wakes the one who has waited for `key` for longest.
    fn wake_one(key: usize);
}
