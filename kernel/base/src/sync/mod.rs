//! Locks.
//!
//! | lock | waiting | for |
//! |---|---|---|
//! | [`IrqLock`] | spins, interrupts off | data that interrupt handlers or other CPUs may want, shortly |
//! | [`RawMutex`] | spins a little, then sleeps | the file system's |
//! | [`RawRwLock`] | the same; fair, readers on different CPUs share no cache line | `dax_sem`, VMAs |
//! | [`RawInodeLock`] | the same, short: readers share a line | inodes |
//!
//! The algorithms of the two that sleep are in crate `locks`, where they are tested on the host.
//!
//! Waiting runs `relax` of [`Answering`], where a waiting CPU answers shootdowns (docs/laws.md, law 7).

mod sleeping;
mod spinning;

pub use crate::arch::interrupts::InterruptsOff;
pub use sleeping::{RawInodeLock, RawMutex, RawRwLock, Sleep, sleep_by, wait, wake};
pub use spinning::{Answering, IrqGuard, IrqLock};

/// A sleeping reader-writer lock around what it guards.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
/// A sleeping mutex around what it guards.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
