//! `alloc`'s allocator: `linked_list_allocator`, which grows by mapping more frames at its end.
//!
//! When no frame is left, those who keep memory only to be faster are asked once to give some back
//! ([`on_pressure`]). If that does not help, an allocation returns null, and fallible callers (`try_reserve`)
//! get an error.
//!
//! # Locking
//! The heap's lock is a leaf, and not held while memory is given back. Whoever allocates may hold any lock,
//! so who gives memory back must wait for none.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use linked_list_allocator::Heap;
use spin::Once;

use super::frames::{self, FRAME};
use super::layout::{HEAP, HEAP_BYTES};
use super::paging::{self, Flags, LeafSize};
use crate::counters::stats;
use crate::sync::IrqLock;

/// The heap grows by at least this much.
const STEP: u64 = 256 * 1024;

/// The kernel's heap.
pub struct KernelHeap(IrqLock<Growing>);

struct Growing {
    heap: Heap,
    mapped: u64,
}

#[global_allocator]
static KERNEL_HEAP: KernelHeap = KernelHeap(IrqLock::new(Growing { heap: Heap::empty(), mapped: 0 }));

/// Gives memory back, waiting for no lock; returns about how many bytes.
type Shrink = fn() -> usize;

static SHRINKS: [Once<Shrink>; 4] = [const { Once::new() }; 4];
/// Somebody is giving memory back. What that allocates does not ask for more.
static SHRINKING: AtomicBool = AtomicBool::new(false);

/// Sets what is called when memory is short. `shrink` may be called under any lock but the heap's, with
/// interrupts on or off: it must wait for none.
pub fn on_pressure(shrink: Shrink) {
    for slot in &SHRINKS {
        let mut taken = false;
        let registered = *slot.call_once(|| {
            taken = true;
            shrink
        });
        if taken || core::ptr::fn_addr_eq(registered, shrink) {
            return;
        }
    }
    panic!("too many of those who give memory back");
}

/// Asks for memory. True if there may be some now.
fn shrink() -> bool {
    if SHRINKING.swap(true, Ordering::Acquire) {
        return false;
    }
    stats().heap_shrinks.inc();
    let freed =
        SHRINKS.iter().filter_map(Once::get).fold(0_usize, |sum, shrink| sum.saturating_add(shrink()));
    SHRINKING.store(false, Ordering::Release);
    freed > 0
}

impl Growing {
    /// Returns a block, from what is mapped or after mapping more. Null if there is none.
    fn allocate(&mut self, layout: Layout) -> *mut u8 {
        if self.mapped > 0
            && let Ok(block) = self.heap.allocate_first_fit(layout)
        {
            return block.as_ptr();
        }
        // Alignment and the list's own words can cost more than the size says.
        let bytes = layout.size().saturating_add(layout.align() + 64) as u64;
        if bytes > HEAP_BYTES || !self.grow(bytes) {
            return core::ptr::null_mut();
        }
        self.heap.allocate_first_fit(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    /// Maps at least `bytes` more, or as much as there is. `false` if nothing could be mapped.
    #[cold]
    #[inline(never)] // a block that is there is found without it
    fn grow(&mut self, bytes: u64) -> bool {
        let room = HEAP_BYTES - self.mapped;
        let wanted = bytes.max(STEP).checked_next_multiple_of(FRAME).map_or(room, |bytes| bytes.min(room));
        // Don't take the last frames for a request that can't be met anyway.
        let possible = frames::counts().free * FRAME;
        let wanted = if wanted < possible { wanted } else { bytes.next_multiple_of(FRAME) };
        if wanted > room || wanted >= possible {
            return false;
        }
        let mut added = 0;
        while added < wanted {
            let Some(frame) = frames::allocate() else { break };
            let at = HEAP + self.mapped + added;
            if paging::kernel().map(at, frame, LeafSize::Small, Flags::KERNEL_DATA).is_err() {
                frames::free(frame);
                break;
            }
            added += FRAME;
        }
        if added == 0 {
            return false;
        }
        // SAFETY: the pages were mapped just now, right behind the ones the heap has, and belong to it for
        // ever.
        unsafe {
            if self.mapped == 0 {
                self.heap.init(HEAP as *mut u8, added as usize);
            } else {
                self.heap.extend(added as usize);
            }
        }
        self.mapped += added;
        true
    }
}

// SAFETY: blocks come from `linked_list_allocator` under a lock; it honours layouts and never unwinds.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.0.lock().allocate(layout);
        if !block.is_null() {
            return block;
        }
        // What is larger than all RAM is not there, however much is given back.
        let possible = layout.size() as u64 <= frames::counts().total * FRAME;
        if !possible || !shrink() {
            return block;
        }
        self.0.lock().allocate(layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: by the caller, the block came from `alloc` with this layout.
            unsafe { self.0.lock().heap.deallocate(block, layout) };
        }
    }
}

/// Returns the bytes in use and bytes mapped.
pub fn usage() -> (u64, u64) {
    let growing = KERNEL_HEAP.0.lock();
    (growing.heap.used() as u64, growing.mapped)
}
