//! Private copies: shared with a new address space, moved within one; and what is mapped, counted.

use core::sync::atomic::{Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use super::{OutOfFrames, SmallEntry, TableMistake, TaskMachine, TaskTables};
use crate::entry::{Flags, PageTableEntry};
use crate::tables::EntryWord;

/// How a range is mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappedCount {
    /// Entries of 4 KiB, copies included.
    pub small: u64,
    /// Entries of 2 MiB.
    pub large: u64,
    /// Private copies, hidden ones included.
    pub copies: u64,
}

impl<M: TaskMachine> TaskTables<M> {
    /// Shares the copies in `pages` pages from `va` on with `child`, a new address space that nobody runs in
    /// yet: read-only in both from now on, until one stores.
    ///
    /// # Errors
    /// [`OutOfFrames`]: only some are shared.
    pub fn share_copies(&self, child: &Self, va: u64, pages: u64) -> Result<(), OutOfFrames> {
        let _locked = self.page_table_lock.lock();
        let (mut weakened, mut result) = (false, Ok(()));
        self.each_copy(va, pages, |slot, at| {
            if result.is_err() {
                return;
            }
            match child.place(at) {
                Ok(SmallEntry::Slot(to)) => {
                    let rights = (Flags::WRITE | Flags::DIRTY).bits();
                    let kept = self.tables.machine.makes(TableMistake::ForkKeepsWritable);
                    let old = PageTableEntry(slot.fetch_and(if kept { !0 } else { !rights }, AcqRel));
                    weakened |= old.is_writable();
                    self.tables.machine.share_copy(old.address());
                    to.store(old.0 & !rights, Release);
                }
                // Nothing large is in a new address space.
                Ok(SmallEntry::Large(..)) | Err(OutOfFrames) => result = Err(OutOfFrames),
            }
        });
        if weakened {
            self.tables.machine.invalidate(va, pages);
        }
        result
    }

    /// Moves the copies in `pages` pages from `from` on to `to`, where nothing is mapped and no fault works.
    /// Returns how many there were.
    ///
    /// # Errors
    /// [`OutOfFrames`]: nothing moved.
    pub fn move_copies(&self, from: u64, to: u64, pages: u64) -> Result<u64, OutOfFrames> {
        let _locked = self.page_table_lock.lock();
        // 1. Every table that is needed.
        let mut result = Ok(());
        self.each_copy(from, pages, |_, at| {
            if result.is_ok() && !matches!(self.place(at - from + to), Ok(SmallEntry::Slot(_))) {
                result = Err(OutOfFrames);
            }
        });
        result?;
        // 2. The entries. A store through the old address's TLB entry still reaches the same frame.
        let mut moved = 0;
        self.each_copy(from, pages, |slot, at| {
            if let Ok(SmallEntry::Slot(new)) = self.place(at - from + to) {
                new.store(slot.swap(0, AcqRel), Release);
                moved += 1;
            }
        });
        // 3. Nobody gets there by the old address.
        if moved > 0 {
            self.tables.machine.invalidate(from, pages);
        }
        Ok(moved)
    }

    /// Returns how `pages` pages from `va` on are mapped; a large entry counts if any of it is. No table may
    /// be freed meanwhile.
    pub fn count(&self, va: u64, pages: u64) -> MappedCount {
        let mut count = MappedCount::default();
        self.each_directory_slot(va, pages, |slot, start| {
            let entry = PageTableEntry(slot.load(Acquire));
            if !entry.is_present() {
                return;
            }
            if entry.is_leaf(2) {
                count.large += 1;
                return;
            }
            for slot in self.clip(entry.address(), start, va, pages).0 {
                let entry = PageTableEntry(slot.load(Relaxed));
                count.small += u64::from(entry.is_present());
                count.copies += u64::from(entry.is_copy());
            }
        });
        count
    }

    /// Calls `f` with each copy's slot and address.
    pub(super) fn each_copy(&self, va: u64, pages: u64, mut f: impl FnMut(&M::Word, u64)) {
        self.each_directory_slot(va, pages, |slot, start| {
            let entry = PageTableEntry(slot.load(Acquire));
            if !entry.is_present() || entry.is_leaf(2) {
                return;
            }
            let (slots, first) = self.clip(entry.address(), start, va, pages);
            for (slot, at) in slots.iter().zip((first..).step_by(4096)) {
                if PageTableEntry(slot.load(Relaxed)).is_copy() {
                    f(slot, at);
                }
            }
        });
    }
}
