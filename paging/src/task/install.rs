//! A fault puts an entry there. The usual ways are inlined and short: the loads of the walk, one
//! compare-exchange.

use core::sync::atomic::{Ordering::AcqRel, Ordering::Acquire};

use super::{LARGE, SmallEntry, TableMistake, TaskMachine, TaskTables};
use crate::entry::{Flags, LeafSize, PageTableEntry};
use crate::tables::{EntryWord, index, leaf};

/// What mapping a page found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallResult {
    /// No entry: it was made.
    New,
    /// A read-only entry for this frame: it was made writable.
    Upgraded,
    /// An entry that serves already: it was left alone.
    Already,
    /// An entry for another frame: it was replaced, and no TLB holds it.
    Replaced,
    /// A table of small pages, where a large one was wanted: it was left alone.
    Table,
}

/// There was no memory for a table, or for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrames;

/// Data is never executed. Accessed is set beforehand: nobody asks for it, and the CPU need not.
const READ: Flags = Flags::PRESENT.with(Flags::NO_EXECUTE).with(Flags::ACCESSED);
/// What the right to store adds; dirty for the same reason.
const STORE: Flags = Flags::WRITE.with(Flags::DIRTY);
const COPY: Flags = READ.with(STORE).with(Flags::SOFT_0);

const fn rights(writable: bool) -> Flags {
    if writable { READ.with(STORE) } else { READ }
}

impl PageTableEntry {
    /// Returns whether the entry leads to a private copy, hidden or not.
    pub(super) const fn is_copy(self) -> bool {
        self.flags().contains(Flags::SOFT_0)
    }

    const fn and(self, flags: Flags) -> Self {
        Self(self.0 | flags.bits())
    }
}

/// Adds the right to store to a leaf for `frame`; `None` if the entry is no such leaf (any more).
#[inline]
fn upgrade(
    slot: &impl EntryWord,
    mut old: PageTableEntry,
    wanted: PageTableEntry,
    level: u32,
) -> Option<InstallResult> {
    loop {
        let same = old.is_present() && old.is_leaf(level) && old.address() == wanted.address();
        if !same || old.is_copy() {
            return None;
        }
        if old.is_writable() || !wanted.is_writable() {
            return Some(InstallResult::Already);
        }
        // No shootdown: a CPU that still holds the weaker entry faults once more and finds this one.
        match slot.compare_exchange(old.0, old.and(STORE).0, AcqRel, Acquire) {
            Ok(_) => return Some(InstallResult::Upgraded),
            Err(now) => old = PageTableEntry(now),
        }
    }
}

impl<M: TaskMachine> TaskTables<M> {
    /// Maps the 4 KiB at `va` to `frame`. An entry for another frame is replaced, a private copy stays. Under
    /// a large leaf: it serves if it leads to the same frame and allows as much; allows it less, it is split,
    /// for only this page is known to be stored to; leads it elsewhere, it goes.
    ///
    /// # Errors
    /// [`OutOfFrames`]: nothing changed.
    #[inline]
    pub fn map_small(&self, va: u64, frame: u64, writable: bool) -> Result<InstallResult, OutOfFrames> {
        let wanted = leaf(frame, LeafSize::Small, rights(writable));
        if let Some(table) = self.table_at(va, 1) {
            let slot = &table[index(va, 1)];
            let old = slot.load(Acquire);
            if old == 0 && slot.compare_exchange(0, wanted.0, AcqRel, Acquire).is_ok() {
                return Ok(InstallResult::New);
            }
            if let Some(mapped) = upgrade(slot, PageTableEntry(old), wanted, 1) {
                return Ok(mapped);
            }
        }
        self.map_small_slowly(va, wanted)
    }

    #[cold]
    fn map_small_slowly(&self, va: u64, wanted: PageTableEntry) -> Result<InstallResult, OutOfFrames> {
        let mut made = InstallResult::New;
        loop {
            let slot = match self.place(va)? {
                SmallEntry::Slot(slot) => slot,
                SmallEntry::Large(slot, entry) => {
                    if entry.address() + va % LARGE != wanted.address() {
                        self.take_out_large(slot, va);
                        made = InstallResult::Replaced;
                    } else if entry.is_writable() || !wanted.is_writable() {
                        return Ok(InstallResult::Already);
                    } else {
                        self.split(slot)?;
                    }
                    continue;
                }
            };
            let old = PageTableEntry(slot.load(Acquire));
            if old == PageTableEntry::EMPTY {
                if slot.compare_exchange(0, wanted.0, AcqRel, Acquire).is_ok() {
                    return Ok(made);
                }
            } else if let Some(mapped) = upgrade(slot, old, wanted, 1) {
                return Ok(mapped);
            } else if old.is_copy() {
                return Ok(self.show(slot));
            } else if self.replace(slot, old, wanted, va) {
                return Ok(InstallResult::Replaced);
            }
        }
    }

    /// Maps the 2 MiB at `va` to `frame`. An entry for another frame is replaced; a table stays.
    ///
    /// # Errors
    /// [`OutOfFrames`]: nothing changed.
    #[inline]
    pub fn map_large(&self, va: u64, frame: u64, writable: bool) -> Result<InstallResult, OutOfFrames> {
        let wanted = leaf(frame, LeafSize::Large, rights(writable));
        let slot = self.large_slot(va)?;
        loop {
            let old = PageTableEntry(slot.load(Acquire));
            if old == PageTableEntry::EMPTY {
                if slot.compare_exchange(0, wanted.0, AcqRel, Acquire).is_ok() {
                    return Ok(InstallResult::New);
                }
            } else if !old.is_leaf(2) {
                let overrides = self.tables.machine.makes(TableMistake::LargeOverTable);
                if !overrides || slot.compare_exchange(old.0, wanted.0, AcqRel, Acquire).is_err() {
                    return Ok(InstallResult::Table);
                }
                return Ok(InstallResult::New);
            } else if let Some(mapped) = upgrade(slot, old, wanted, 2) {
                return Ok(mapped);
            } else if self.replace(slot, old, wanted, va) {
                return Ok(InstallResult::Replaced);
            }
        }
    }

    /// Maps the 4 KiB at `va` to `frame`, read-only, if nothing is mapped there.
    ///
    /// # Errors
    /// [`OutOfFrames`]: nothing changed.
    #[inline]
    pub fn keep_small(&self, va: u64, frame: u64) -> Result<InstallResult, OutOfFrames> {
        let slot = match self.table_at(va, 1) {
            Some(table) => &table[index(va, 1)],
            None => match self.place(va)? {
                SmallEntry::Slot(slot) => slot,
                SmallEntry::Large(..) => return Ok(InstallResult::Already),
            },
        };
        match slot.compare_exchange(0, leaf(frame, LeafSize::Small, READ).0, AcqRel, Acquire) {
            Ok(_) => Ok(InstallResult::New),
            Err(old) if PageTableEntry(old).is_present() => Ok(InstallResult::Already),
            Err(_) => Ok(self.show(slot)),
        }
    }

    /// Maps the 2 MiB at `va` to `frame`, read-only, if nothing is mapped there.
    ///
    /// # Errors
    /// [`OutOfFrames`]: nothing changed.
    #[inline]
    pub fn keep_large(&self, va: u64, frame: u64) -> Result<InstallResult, OutOfFrames> {
        let slot = self.large_slot(va)?;
        match slot.compare_exchange(0, leaf(frame, LeafSize::Large, READ).0, AcqRel, Acquire) {
            Ok(_) => Ok(InstallResult::New),
            Err(old) if PageTableEntry(old).is_leaf(2) => Ok(InstallResult::Already),
            Err(_) => Ok(InstallResult::Table),
        }
    }

    /// Maps the 4 KiB at `va` to a copy, writable, of what is at `from`, or of zeros. A copy that is there
    /// already stays; one that is shared is copied again.
    ///
    /// # Errors
    /// [`OutOfFrames`]: nothing changed, but a large leaf may have been split.
    pub fn map_copy(&self, va: u64, from: Option<u64>) -> Result<InstallResult, OutOfFrames> {
        loop {
            let slot = match self.place(va)? {
                SmallEntry::Slot(slot) => slot,
                SmallEntry::Large(slot, _) => {
                    self.split(slot)?;
                    continue;
                }
            };
            let old = PageTableEntry(slot.load(Acquire));
            let from = if old.is_copy() {
                if old.is_present() && old.is_writable() {
                    return Ok(InstallResult::Already);
                }
                if let Some(mapped) = self.keep_copy(slot) {
                    return Ok(mapped);
                }
                Some(old.address())
            } else {
                from
            };
            // If the shared frame we read goes to somebody else meanwhile, this entry has changed: the copy
            // is dropped.
            let machine = &self.tables.machine;
            let copy = machine.new_copy(from).ok_or(OutOfFrames)?;
            let new = PageTableEntry::new(copy, COPY);
            if old == PageTableEntry::EMPTY {
                if slot.compare_exchange(0, new.0, AcqRel, Acquire).is_ok() {
                    return Ok(InstallResult::New);
                }
            } else if self.replace(slot, old, new, va) {
                if old.is_copy() {
                    machine.release_copy(old.address());
                }
                return Ok(InstallResult::Replaced);
            }
            machine.release_copy(copy);
        }
    }

    /// Returns the slot for the 2 MiB at `va`.
    #[inline]
    fn large_slot(&self, va: u64) -> Result<&M::Word, OutOfFrames> {
        match self.table_at(va, 2) {
            Some(directory) => Ok(&directory[index(va, 2)]),
            None => self.directory_slot(va),
        }
    }

    /// Puts `new` in the place of `old`, which then no TLB serves; `false` if that is not there any more.
    #[cold]
    fn replace(&self, slot: &M::Word, old: PageTableEntry, new: PageTableEntry, va: u64) -> bool {
        let _locked = self.page_table_lock.lock();
        let done = slot.compare_exchange(old.0, new.0, AcqRel, Acquire).is_ok();
        if done {
            self.tables.machine.invalidate(va, 1);
        }
        done
    }

    /// Takes a large leaf out, if it still is one.
    #[cold]
    fn take_out_large(&self, slot: &M::Word, va: u64) {
        let _locked = self.page_table_lock.lock();
        if super::remove::take_leaf(slot) {
            self.tables.machine.invalidate(va, 1);
        }
    }

    /// Turns a large leaf into a table, if the entry still is a large leaf.
    #[cold]
    fn split(&self, slot: &M::Word) -> Result<(), OutOfFrames> {
        let _locked = self.page_table_lock.lock();
        self.split_locked(slot).map(|_| ())
    }

    /// Shows a copy that a load came to: its entry is there at the latest now.
    #[cold]
    fn show(&self, slot: &M::Word) -> InstallResult {
        let _locked = self.page_table_lock.lock();
        let old = PageTableEntry(slot.load(Acquire));
        if !old.is_copy() || old.is_present() {
            // Gone means: the access comes again.
            return InstallResult::Already;
        }
        slot.store(old.and(Flags::PRESENT).0, core::sync::atomic::Ordering::Release);
        InstallResult::New
    }

    /// Makes a copy that nobody else has writable; `None` if it is shared, or gone.
    #[cold]
    fn keep_copy(&self, slot: &M::Word) -> Option<InstallResult> {
        let _locked = self.page_table_lock.lock();
        let old = PageTableEntry(slot.load(Acquire));
        if !old.is_copy() || self.tables.machine.is_shared(old.address()) {
            return None;
        }
        // The CPU changes nothing in an entry that does not allow stores and is marked as accessed.
        slot.store(old.and(COPY).0, core::sync::atomic::Ordering::Release);
        Some(InstallResult::Upgraded)
    }
}
