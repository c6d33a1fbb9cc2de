//! Kernel stacks with guard pages.
//!
//! Each stack lies at the top of a slot of 256 KiB; the rest of the slot, at least one page, is never mapped.
//! So an overflow faults, the fault can't push its frame, and the double fault (on its own stack) says so.

use super::frames;
use super::layout::STACKS;
use super::paging::{self, Flags, LeafSize, MapError, PageTableEntry};
use crate::sync::IrqLock;

/// Bytes from one stack's top to the next one's.
pub const SLOT: u64 = 256 * 1024;
/// As many stacks as there can be.
const COUNT: usize = 1024;

static SLOTS: IrqLock<[u64; COUNT / 64]> = IrqLock::new([0; COUNT / 64]);

/// A stack; unmapped and freed on drop.
#[derive(Debug)]
pub struct KernelStack {
    slot: u64,
    bytes: u64,
}

impl KernelStack {
    /// Returns a stack of `pages` pages, at most 63.
    ///
    /// # Errors
    /// [`MapError::NoFrames`]: no memory, or no slot; [`MapError::OutOfRange`]: too large.
    pub fn new(pages: u64) -> Result<Self, MapError> {
        let bytes = pages * 4096;
        if bytes == 0 || bytes >= SLOT {
            return Err(MapError::OutOfRange { at: bytes });
        }
        let slot = take_slot().ok_or(MapError::NoFrames)?;
        // From here on, dropping the stack undoes what has been done.
        let stack = Self { slot, bytes };
        for page in 0..pages {
            let frame = frames::allocate().ok_or(MapError::NoFrames)?;
            let at = stack.bottom() + page * 4096;
            if let Err(error) = paging::kernel().map(at, frame, LeafSize::Small, Flags::KERNEL_DATA) {
                frames::free(frame);
                return Err(error);
            }
        }
        Ok(stack)
    }

    /// Returns the stack's lowest address.
    pub fn bottom(&self) -> u64 {
        self.top() - self.bytes
    }

    /// Returns the address that the stack pointer starts at: a multiple of 4096.
    pub fn top(&self) -> u64 {
        STACKS + (self.slot + 1) * SLOT
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let mut frames = [0; (SLOT / 4096) as usize];
        let mut count = 0;
        // What is not mapped was never: the stack was not complete. Every CPU forgets all of it at once.
        let gone = |_, entry: PageTableEntry, _| {
            frames[count] = entry.address();
            count += 1;
        };
        if paging::kernel().unmap_range(self.bottom(), self.bytes, gone).is_ok() {
            frames[..count].iter().for_each(|frame| frames::free(*frame));
        }
        let mut slots = SLOTS.lock();
        slots[self.slot as usize / 64] &= !(1 << (self.slot % 64));
    }
}

fn take_slot() -> Option<u64> {
    let mut slots = SLOTS.lock();
    let (i, word) = slots.iter_mut().enumerate().find(|(_, word)| **word != u64::MAX)?;
    let bit = word.trailing_ones();
    *word |= 1 << bit;
    Some(i as u64 * 64 + u64::from(bit))
}

/// Returns how many stacks there are.
pub fn in_use() -> u32 {
    SLOTS.lock().iter().map(|word| word.count_ones()).sum()
}

/// Returns whether an address lies in a slot, but not in its stack.
pub fn is_guard(address: u64) -> bool {
    let inside = (STACKS..STACKS + COUNT as u64 * SLOT).contains(&address);
    inside && paging::try_kernel().is_some_and(|tables| tables.leaf(address).is_none())
}
