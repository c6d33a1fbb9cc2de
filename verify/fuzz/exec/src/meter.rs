//! What the running thread takes of the heap: an allocator that counts, for the binaries that want it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    static TIMES: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting. A binary makes it its `#[global_allocator]`; without it nothing is
/// counted.
pub struct Meter;

// A thread that ends may allocate and free after its counters are gone.
fn taken(size: usize) {
    let _ = TIMES.try_with(|times| times.set(times.get() + 1));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    change(size as isize);
}

fn change(change: isize) {
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: `System` keeps the contract; what is added are thread-local numbers, which allocate nothing.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc(layout) }
    }

    // An image of zeros takes no memory before it is stored to.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    // As if both were there at once, as where the old place cannot grow.
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        taken(size);
        change(-(layout.size() as isize));
        // SAFETY: the caller's promises are `System`'s.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        change(-(layout.size() as isize));
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
    /// Returns the most bytes that this thread had in use since the start, beyond those it had then.
    pub fn most(&self) -> usize {
        (MOST.get() - self.0).max(0) as usize
    }
}

/// Counts how often `work` allocates on this thread. Returns that, and what `work` returns.
pub fn allocations<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let before = TIMES.get();
    let result = work();
    (TIMES.get() - before, result)
}

/// Finds the most bytes that `work` allocates at once on this thread. Returns them, and what `work` returns.
pub fn largest_allocation<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = LARGEST.replace(0);
    let result = work();
    (LARGEST.replace(before.max(LARGEST.get())), result)
}
