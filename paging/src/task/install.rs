//! A fault puts an entry there. The usual ways are inlined and short: the loads of the walk, one
//! compare-exchange.

use core::sync::atomic::{Ordering::AcqRel, Ordering::Acquire};

use super::{LARGE, Mistake, Place, TaskMachine, TaskTables};
use crate::entry::{Entry, Flags, PageSize};
use crate::tables::{Word, index, leaf};

/// What mapping a page found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
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
pub struct NoFrames;

/// Data is never executed. Accessed is set beforehand: nobody asks for it, and the CPU need not.
const READ: Flags = Flags::PRESENT.with(Flags::NO_EXECUTE).with(Flags::ACCESSED);
/// What the right to store adds; dirty for the same reason.
const STORE: Flags = Flags::WRITE.with(Flags::DIRTY);
const COPY: Flags = READ.with(STORE).with(Flags::SOFT_0);

const fn rights(writable: bool) -> Flags {
    if writable { READ.with(STORE) } else { READ }
}

impl Entry {
    /// It leads to a private copy, hidden or not.
    pub(super) const fn is_copy(self) -> bool {
        self.flags().contains(Flags::SOFT_0)
    }

    const fn and(self, flags: Flags) -> Self {
        Self(self.0 | flags.bits())
    }
}

/// Adds the right to store to a leaf for the same frame; `None` if it is not that (any more).
#[inline]
fn upgrade(slot: &impl Word, mut old: Entry, wanted: Entry, level: u32) -> Option<Mapped> {
    loop {
        let same = old.is_present() && old.is_leaf(level) && old.address() == wanted.address();
        if !same || old.is_copy() {
            return None;
        }
        if old.is_writable() || !wanted.is_writable() {
            return Some(Mapped::Already);
        }
        // No shootdown: a CPU that still holds the weaker entry faults once more and finds this one.
        match slot.compare_exchange(old.0, old.and(STORE).0, AcqRel, Acquire) {
            Ok(_) => return Some(Mapped::Upgraded),
            Err(now) => old = Entry(now),
        }
    }
}

impl<M: TaskMachine> TaskTables<M> {
    /// Maps the 4 KiB at `va` to `frame`. An entry for another frame is replaced, a private copy stays. Under
    /// a large leaf: it serves if it leads to the same frame and allows as much; allows it less, it is split,
    /// for only this page is known to be stored to; leads it elsewhere, it goes.
    ///
    /// # Errors
    /// [`NoFrames`]: nothing changed.
    #[inline]
    pub fn map_small(&self, va: u64, frame: u64, writable: bool) -> Result<Mapped, NoFrames> {
        let wanted = leaf(frame, PageSize::Small, rights(writable));
        if let Some(table) = self.table_at(va, 1) {
            let slot = &table[index(va, 1)];
            let old = slot.load(Acquire);
            if old == 0 && slot.compare_exchange(0, wanted.0, AcqRel, Acquire).is_ok() {
                return Ok(Mapped::New);
            }
            if let Some(mapped) = upgrade(slot, Entry(old), wanted, 1) {
                return Ok(mapped);
            }
        }
        self.map_small_slowly(va, wanted)
    }

    #[cold]
    fn map_small_slowly(&self, va: u64, wanted: Entry) -> Result<Mapped, NoFrames> {
        let mut made = Mapped::New;
        loop {
            let slot = match self.place(va)? {
                Place::Slot(slot) => slot,
                Place::Large(slot, entry) => {
                    if entry.address() + va % LARGE != wanted.address() {
                        self.take_out_large(slot, va);
                        made = Mapped::Replaced;
                    } else if entry.is_writable() || !wanted.is_writable() {
                        return Ok(Mapped::Already);
                    } else {
                        self.split(slot)?;
                    }
                    continue;
                }
            };
            let old = Entry(slot.load(Acquire));
            if old == Entry::EMPTY {
                if slot.compare_exchange(0, wanted.0, AcqRel, Acquire).is_ok() {
                    return Ok(made);
                }
            } else if let Some(mapped) = upgrade(slot, old, wanted, 1) {
                return Ok(mapped);
            } else if old.is_copy() {
                return Ok(self.show(slot));
            } else if self.replace(slot, old, wanted, va) {
                return Ok(Mapped::Replaced);
            }
        }
    }

    /// Maps the 2 MiB at `va` to `frame`. An entry for another frame is replaced; a table stays.
    ///
    /// # Errors
    /// [`NoFrames`]: nothing changed.
    #[inline]
    pub fn map_large(&self, va: u64, frame: u64, writable: bool) -> Result<Mapped, NoFrames> {
        let wanted = leaf(frame, PageSize::Large, rights(writable));
        let slot = self.large_slot(va)?;
        loop {
            let old = Entry(slot.load(Acquire));
            if old == Entry::EMPTY {
                if slot.compare_exchange(0, wanted.0, AcqRel, Acquire).is_ok() {
                    return Ok(Mapped::New);
                }
            } else if !old.is_leaf(2) {
                let overrides = self.tables.machine.makes(Mistake::LargeOverTable);
                if !overrides || slot.compare_exchange(old.0, wanted.0, AcqRel, Acquire).is_err() {
                    return Ok(Mapped::Table);
                }
                return Ok(Mapped::New);
            } else if let Some(mapped) = upgrade(slot, old, wanted, 2) {
                return Ok(mapped);
            } else if self.replace(slot, old, wanted, va) {
                return Ok(Mapped::Replaced);
            }
        }
    }

    /// Maps the 4 KiB at `va` to `frame`, read-only, if nothing is mapped there.
    ///
    /// # Errors
    /// [`NoFrames`]: nothing changed.
    #[inline]
    pub fn keep_small(&self, va: u64, frame: u64) -> Result<Mapped, NoFrames> {
        let slot = match self.table_at(va, 1) {
            Some(table) => &table[index(va, 1)],
            None => match self.place(va)? {
                Place::Slot(slot) => slot,
                Place::Large(..) => return Ok(Mapped::Already),
            },
        };
        match slot.compare_exchange(0, leaf(frame, PageSize::Small, READ).0, AcqRel, Acquire) {
            Ok(_) => Ok(Mapped::New),
            Err(old) if Entry(old).is_present() => Ok(Mapped::Already),
            Err(_) => Ok(self.show(slot)),
        }
    }

    /// Maps the 2 MiB at `va` to `frame`, read-only, if nothing is mapped there.
    ///
    /// # Errors
    /// [`NoFrames`]: nothing changed.
    #[inline]
    pub fn keep_large(&self, va: u64, frame: u64) -> Result<Mapped, NoFrames> {
        let slot = self.large_slot(va)?;
        match slot.compare_exchange(0, leaf(frame, PageSize::Large, READ).0, AcqRel, Acquire) {
            Ok(_) => Ok(Mapped::New),
            Err(old) if Entry(old).is_leaf(2) => Ok(Mapped::Already),
            Err(_) => Ok(Mapped::Table),
        }
    }

    /// Maps the 4 KiB at `va` to a copy of its own of what is at `from`, or of zeros, writable. A copy that
    /// is there stays; one that is shared is copied again.
    ///
    /// # Errors
    /// [`NoFrames`]: nothing changed, but a large leaf may have been split.
    pub fn map_copy(&self, va: u64, from: Option<u64>) -> Result<Mapped, NoFrames> {
        loop {
            let slot = match self.place(va)? {
                Place::Slot(slot) => slot,
                Place::Large(slot, _) => {
                    self.split(slot)?;
                    continue;
                }
            };
            let old = Entry(slot.load(Acquire));
            let from = if old.is_copy() {
                if old.is_present() && old.is_writable() {
                    return Ok(Mapped::Already);
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
            let copy = machine.new_copy(from).ok_or(NoFrames)?;
            let new = Entry::new(copy, COPY);
            if old == Entry::EMPTY {
                if slot.compare_exchange(0, new.0, AcqRel, Acquire).is_ok() {
                    return Ok(Mapped::New);
                }
            } else if self.replace(slot, old, new, va) {
                if old.is_copy() {
                    machine.release_copy(old.address());
                }
                return Ok(Mapped::Replaced);
            }
            machine.release_copy(copy);
        }
    }

    /// The slot for the 2 MiB at `va`.
    #[inline]
    fn large_slot(&self, va: u64) -> Result<&M::Word, NoFrames> {
        match self.table_at(va, 2) {
            Some(directory) => Ok(&directory[index(va, 2)]),
            None => self.directory_slot(va),
        }
    }

    /// Puts `new` in the place of `old`, which then no TLB serves; `false` if that is not there any more.
    #[cold]
    fn replace(&self, slot: &M::Word, old: Entry, new: Entry, va: u64) -> bool {
        let _removal = self.removal.lock();
        let done = slot.compare_exchange(old.0, new.0, AcqRel, Acquire).is_ok();
        if done {
            self.tables.machine.invalidate(va, 1);
        }
        done
    }

    /// Takes a large leaf out, if it still is one.
    #[cold]
    fn take_out_large(&self, slot: &M::Word, va: u64) {
        let _removal = self.removal.lock();
        if super::remove::take_leaf(slot) {
            self.tables.machine.invalidate(va, 1);
        }
    }

    /// Turns a large leaf into a table, if it still is one.
    #[cold]
    fn split(&self, slot: &M::Word) -> Result<(), NoFrames> {
        let _removal = self.removal.lock();
        self.split_locked(slot).map(|_| ())
    }

    /// A load came to a copy: it is there, at the latest now.
    #[cold]
    fn show(&self, slot: &M::Word) -> Mapped {
        let _removal = self.removal.lock();
        let old = Entry(slot.load(Acquire));
        if !old.is_copy() || old.is_present() {
            // Gone means: the access comes again.
            return Mapped::Already;
        }
        slot.store(old.and(Flags::PRESENT).0, core::sync::atomic::Ordering::Release);
        Mapped::New
    }

    /// Makes a copy that nobody else has writable; `None` if it is shared, or gone.
    #[cold]
    fn keep_copy(&self, slot: &M::Word) -> Option<Mapped> {
        let _removal = self.removal.lock();
        let old = Entry(slot.load(Acquire));
        if !old.is_copy() || self.tables.machine.is_shared(old.address()) {
            return None;
        }
        // The CPU changes nothing in an entry that does not allow stores and is marked as accessed.
        slot.store(old.and(COPY).0, core::sync::atomic::Ordering::Release);
        Some(Mapped::Upgraded)
    }
}
