//! How much memory the running thread has in use: an allocator that counts, for the binaries that want it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting. A binary makes it its `#[global_allocator]`; without it nothing is counted.
pub struct Meter;

fn count(change: isize) {
    // A thread that ends may free after its counters are gone.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: `System` keeps the contract; what is added are thread-local numbers, which allocate nothing.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.dealloc(place, layout) }
    }
}

/// A measurement that has begun.
pub struct Measurement(isize);

/// Measures from now on.
pub fn start() -> Measurement {
    let now = NOW.get();
    MOST.set(now);
    Measurement(now)
}

impl Measurement {
    /// The most bytes that this thread had in use since the start, beyond those it had then.
    pub fn most(&self) -> usize {
        (MOST.get() - self.0).max(0) as usize
    }
}
