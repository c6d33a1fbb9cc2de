//! `alloc`'s allocator: `linked_list_allocator`, which grows by mapping more frames at its end.
//!
//! When no frame is left, an allocation returns null, and fallible callers (`try_reserve`) get an error.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use linked_list_allocator::Heap;

use super::frames::{self, FRAME};
use super::layout::{HEAP, HEAP_BYTES};
use super::paging::{self, Flags, PageSize};
use crate::sync::IrqLock;

/// The heap grows by at least this much.
const STEP: u64 = 256 * 1024;

/// The kernel's heap.
pub(crate) struct KernelHeap(IrqLock<Growing>);

struct Growing {
    heap: Heap,
    mapped: u64,
}

#[global_allocator]
static KERNEL_HEAP: KernelHeap = KernelHeap(IrqLock::new(Growing { heap: Heap::empty(), mapped: 0 }));

impl Growing {
    /// Maps at least `bytes` more, or as much as there is. `false` if nothing could be mapped.
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
            if paging::kernel().map(at, frame, PageSize::Small, Flags::KERNEL_DATA).is_err() {
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
        let mut growing = self.0.lock();
        if growing.mapped > 0
            && let Ok(block) = growing.heap.allocate_first_fit(layout)
        {
            return block.as_ptr();
        }
        // Alignment and the list's own words can cost more than the size says.
        let Some(bytes) = layout.size().checked_add(layout.align() + 64) else {
            return core::ptr::null_mut();
        };
        if bytes as u64 > HEAP_BYTES || !growing.grow(bytes as u64) {
            return core::ptr::null_mut();
        }
        growing.heap.allocate_first_fit(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: by the caller, the block came from `alloc` with this layout.
            unsafe { self.0.lock().heap.deallocate(block, layout) };
        }
    }
}

/// Bytes in use and bytes mapped.
pub(crate) fn usage() -> (u64, u64) {
    let growing = KERNEL_HEAP.0.lock();
    (growing.heap.used() as u64, growing.mapped)
}
