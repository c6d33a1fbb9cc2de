//! Locks whose waiting the scheduler does.

use crate::sched::engine;
use lock_api::{GuardSend, RawMutex, RawRwLock};
use std::cell::Cell;

/// A mutex. (A byte, for its address is its name.)
pub struct Mutex(#[allow(dead_code)] u8);

/// A reader-writer lock.
pub struct RwLock(#[allow(dead_code)] u8);

thread_local! {
    static LAST_SHARED: Cell<usize> = const { Cell::new(0) };
}

/// Returns the address of the lock that was taken shared last, on this thread: to find out which one a
/// function takes.
pub(crate) fn last_shared() -> usize {
    LAST_SHARED.get()
}

fn address<T>(lock: &T) -> usize {
    std::ptr::from_ref(lock).addr()
}

// SAFETY: the scheduler lets a CPU take a lock only while nobody has it; outside of a run there is one CPU.
unsafe impl RawMutex for Mutex {
    // The constant is how lock_api makes a lock: each use is a new one, none is shared through it.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self(0);
    type GuardMarker = GuardSend;

    fn lock(&self) {
        engine::lock(address(self), false, "mutex");
    }
    fn try_lock(&self) -> bool {
        engine::try_lock(address(self), false, "try mutex")
    }
    unsafe fn unlock(&self) {
        engine::unlock(address(self), false, "mutex");
    }
}

// SAFETY: as above; shared holders are counted.
unsafe impl RawRwLock for RwLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self(0);
    type GuardMarker = GuardSend;

    fn lock_shared(&self) {
        LAST_SHARED.set(address(self));
        if engine::is_running() && engine::holds_shared(address(self)) {
            engine::fail(|| {
                "a CPU takes a lock shared that it holds shared: it waits for ever if somebody waits for it alone".into()
            });
        }
        engine::lock(address(self), true, "shared");
    }
    fn try_lock_shared(&self) -> bool {
        engine::try_lock(address(self), true, "try shared")
    }
    unsafe fn unlock_shared(&self) {
        engine::unlock(address(self), true, "shared");
    }
    fn lock_exclusive(&self) {
        engine::lock(address(self), false, "exclusive");
    }
    fn try_lock_exclusive(&self) -> bool {
        engine::try_lock(address(self), false, "try exclusive")
    }
    unsafe fn unlock_exclusive(&self) {
        engine::unlock(address(self), false, "exclusive");
    }
}
