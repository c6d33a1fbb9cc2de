//! A mutex that sleeps: one compare-exchange to take it, one exchange to let it go.
//!
//! Whoever finds it taken spins a little, answering shootdowns, and then waits on the queue keyed by the
//! lock's address.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use crate::atomic::AtomicU32;
use crate::{LockMachine, wait};

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may be asleep.
const WANTED: u32 = 2;

/// A mutex that sleeps, as `lock_api` wants it.
pub struct RawMutex<M>(AtomicU32, PhantomData<fn(M)>);

// SAFETY: only one compare-exchange or exchange can find it free until it is let go.
unsafe impl<M: LockMachine> lock_api::RawMutex for RawMutex<M> {
    const INIT: Self = Self(AtomicU32::new(FREE), PhantomData);
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_slowly();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.0.swap(FREE, Ordering::Release) == WANTED {
            M::wake_one(self.key());
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != FREE
    }
}

impl<M: LockMachine> RawMutex<M> {
    /// Makes its word known to loom, before there are threads.
    #[cfg(loom)]
    pub fn prepare(&self) {
        self.0.prepare();
    }

    fn key(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    #[cold]
    fn lock_slowly(&self) {
        if wait::spin_until::<M>(|| self.0.load(Ordering::Relaxed) == FREE)
            && lock_api::RawMutex::try_lock(self)
        {
            return;
        }
        // Others may be asleep as well: who comes this way leaves the mark.
        while self.0.swap(WANTED, Ordering::Acquire) != FREE {
            M::wait(self.key(), &mut || self.0.load(Ordering::SeqCst) == WANTED);
        }
    }
}
