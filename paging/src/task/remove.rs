//! Taking entries and rights away. Everything here holds the page-table lock until the shootdown is done,
//! and does the shootdown even for its last page only: whoever comes next finds nothing, in tables and TLBs
//! alike.

use core::sync::atomic::{Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use super::{LARGE, OutOfFrames, TableMistake, TaskMachine, TaskTables};
use crate::entry::{Flags, PageTableEntry};
use crate::tables::EntryWord;

/// What to do with a large leaf that is only partly in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// Split the leaf, and touch only what is in the range; without a frame for the table the leaf is taken
    /// out as a whole: its pages fault again.
    Split,
    /// Treat the leaf as if all of it were in the range.
    Whole,
}

/// What becomes of private copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Copies stay as they are.
    Keep,
    /// Copies are kept, but no CPU gets there any more.
    Hide,
    /// Copies are freed, once no TLB serves them.
    Free,
}

/// Which rights are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsLeft {
    /// Loads.
    Read,
    /// Nothing.
    Nothing,
}

/// Empties a slot if it holds a large leaf; under the page-table lock.
pub(super) fn take_leaf(slot: &impl EntryWord) -> bool {
    let leaf = |old: u64| (PageTableEntry(old).is_present() && PageTableEntry(old).is_leaf(2)).then_some(0);
    slot.fetch_update(AcqRel, Acquire, leaf).is_ok()
}

/// Takes the right to store from the leaf in `slot`, of a table of `level`; under the page-table lock.
fn weaken(slot: &impl EntryWord, level: u32) -> bool {
    let rights = (Flags::WRITE | Flags::DIRTY).bits();
    let change = |old: u64| {
        (PageTableEntry(old).is_leaf(level) && PageTableEntry(old).is_writable()).then_some(old & !rights)
    };
    PageTableEntry(slot.load(Relaxed)).is_writable() && slot.fetch_update(AcqRel, Acquire, change).is_ok()
}

impl<M: TaskMachine> TaskTables<M> {
    /// Takes out the entries of `pages` pages from `va` on; no TLB serves them when it returns. Returns how
    /// many there were.
    pub fn remove(&self, va: u64, pages: u64, partial: Partial, copies: Copies) -> u64 {
        let _locked = self.page_table_lock.lock();
        if self.tables.machine.makes(TableMistake::ShootdownFirst) {
            return self.shoot_and_remove(va, pages, partial, copies);
        }
        self.remove_locked::<false>(va, pages, partial, copies).0
    }

    /// Removes the entries after the shootdown: the wrong order. Under the page-table lock.
    #[cold]
    #[inline(never)]
    fn shoot_and_remove(&self, va: u64, pages: u64, partial: Partial, copies: Copies) -> u64 {
        self.tables.machine.invalidate(va, pages);
        self.remove_locked::<true>(va, pages, partial, copies).0
    }

    /// Removes entries like [`remove`](Self::remove), for the owner; then frees the tables in the range that
    /// are empty. No fault may work in these tables, in the range or not.
    pub fn remove_and_prune(&self, va: u64, pages: u64) -> u64 {
        let _locked = self.page_table_lock.lock();
        if self.tables.machine.makes(TableMistake::FreeBeforeShootdown) {
            self.free_and_shoot(va, pages);
        }
        let (gone, tables) = self.remove_locked::<false>(va, pages, Partial::Split, Copies::Free);
        if gone > 0 || tables {
            self.tables.prune(va, pages * 4096);
        }
        gone
    }

    /// Frees copies before the shootdown: the wrong order. Under the page-table lock.
    #[cold]
    #[inline(never)]
    fn free_and_shoot(&self, va: u64, pages: u64) {
        self.each_copy(va, pages, |slot, _| {
            self.tables.machine.release_copy(PageTableEntry(slot.swap(0, AcqRel)).address());
        });
        self.tables.machine.invalidate(va, pages);
    }

    /// Returns how many entries there were, and whether there are page tables. `SHOT`: TLBs were shot down
    /// already, by mistake.
    #[inline(always)]
    fn remove_locked<const SHOT: bool>(
        &self,
        va: u64,
        pages: u64,
        partial: Partial,
        copies: Copies,
    ) -> (u64, bool) {
        let (mut gone, mut hidden, mut tables) = (0, false, false);
        self.each_directory_slot(va, pages, |slot, start| {
            let Some(table) = self.table_below(slot, start, (va, pages), partial, &mut gone) else { return };
            tables = true;
            // In a register: what the closure shares is in memory.
            let mut taken = 0;
            for slot in self.clip(table, start, va, pages).0 {
                let old = PageTableEntry(slot.load(Relaxed));
                if old == PageTableEntry::EMPTY {
                    continue;
                }
                if !old.is_copy() {
                    slot.swap(0, AcqRel);
                } else if copies == Copies::Keep {
                    continue;
                } else {
                    slot.fetch_and(!Flags::PRESENT.bits(), AcqRel);
                    hidden = true;
                }
                taken += 1;
            }
            gone += taken;
        });
        if gone > 0 && !SHOT {
            self.tables.machine.invalidate(va, pages);
        }
        if hidden && copies == Copies::Free {
            self.free_hidden(va, pages);
        }
        (gone, tables)
    }

    #[cold]
    fn free_hidden(&self, va: u64, pages: u64) {
        self.each_directory_slot(va, pages, |slot, start| {
            let entry = PageTableEntry(slot.load(Acquire));
            if !entry.is_present() || entry.is_leaf(2) {
                return;
            }
            for slot in self.clip(entry.address(), start, va, pages).0 {
                let old = PageTableEntry(slot.load(Relaxed));
                if old.is_copy() && !old.is_present() {
                    slot.store(0, Relaxed);
                    self.tables.machine.release_copy(old.address());
                }
            }
        });
    }

    /// Makes the entries of `pages` pages from `va` on read-only, copies excepted, a large leaf as a whole:
    /// for the file, which is about to write back what was stored. Returns how many were writable.
    pub fn write_protect(&self, va: u64, pages: u64) -> u64 {
        let _locked = self.page_table_lock.lock();
        if self.tables.machine.makes(TableMistake::ShootdownFirst) {
            return self.shoot_and_write_protect(va, pages);
        }
        self.write_protect_locked::<false>(va, pages)
    }

    /// Write-protects after the shootdown: the wrong order. Under the page-table lock.
    #[cold]
    #[inline(never)]
    fn shoot_and_write_protect(&self, va: u64, pages: u64) -> u64 {
        self.tables.machine.invalidate(va, pages);
        self.write_protect_locked::<true>(va, pages)
    }

    #[inline(always)]
    fn write_protect_locked<const SHOT: bool>(&self, va: u64, pages: u64) -> u64 {
        let mut count = 0;
        self.each_directory_slot(va, pages, |slot, start| {
            let entry = PageTableEntry(slot.load(Acquire));
            if !entry.is_present() {
                return;
            }
            if entry.is_leaf(2) {
                count += u64::from(weaken(slot, 2));
                return;
            }
            for slot in self.clip(entry.address(), start, va, pages).0 {
                if !PageTableEntry(slot.load(Relaxed)).is_copy() {
                    count += u64::from(weaken(slot, 1));
                }
            }
        });
        if count > 0 && !SHOT {
            self.tables.machine.invalidate(va, pages);
        }
        count
    }

    /// Takes rights away for the owner, from copies too. Returns how many entries lost any.
    pub fn protect(&self, va: u64, pages: u64, leave: RightsLeft) -> u64 {
        if leave == RightsLeft::Nothing {
            return self.remove(va, pages, Partial::Split, Copies::Hide);
        }
        let _locked = self.page_table_lock.lock();
        let mut count = 0;
        self.each_directory_slot(va, pages, |slot, start| {
            let entry = PageTableEntry(slot.load(Acquire));
            if entry.is_present() && entry.is_leaf(2) {
                if !entry.is_writable() {
                    return;
                }
                if is_inside(start, va, pages) {
                    count += u64::from(weaken(slot, 2));
                    return;
                }
            }
            let range = (va, pages);
            let Some(table) = self.table_below(slot, start, range, Partial::Split, &mut count) else {
                return;
            };
            for slot in self.clip(table, start, va, pages).0 {
                count += u64::from(weaken(slot, 1));
            }
        });
        if count > 0 {
            self.tables.machine.invalidate(va, pages);
        }
        count
    }

    /// Returns the page table below a directory's slot, if there is one. A large leaf is taken out and
    /// counted, or split if some of it is outside and `partial` says so. Under the page-table lock.
    #[inline(always)]
    fn table_below(
        &self,
        slot: &M::Word,
        start: u64,
        range: (u64, u64),
        partial: Partial,
        gone: &mut u64,
    ) -> Option<u64> {
        let entry = PageTableEntry(slot.load(Acquire));
        if !entry.is_present() {
            return None;
        }
        if !entry.is_leaf(2) {
            return Some(entry.address());
        }
        if partial == Partial::Split
            && !is_inside(start, range.0, range.1)
            && let Ok(table) = self.split_locked(slot)
        {
            return Some(table);
        }
        *gone += u64::from(take_leaf(slot));
        None
    }

    /// Turns a large leaf into a table of the same rights, whose frame is returned. Under the page-table
    /// lock.
    ///
    /// The old translation may live on in TLBs: it says the same, and whoever changes a part of it
    /// invalidates that part, which drops all of it.
    pub(super) fn split_locked(&self, slot: &M::Word) -> Result<u64, OutOfFrames> {
        self.tables.split(slot, 2).map(|entry| entry.address()).map_err(|_| OutOfFrames)
    }
}

/// The 2 MiB from `start` on are in the pages as a whole.
const fn is_inside(start: u64, va: u64, pages: u64) -> bool {
    va <= start && start + LARGE <= va + pages * 4096
}
