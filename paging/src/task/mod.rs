//! A task's half of the address space: what page faults, files and the owner do to it, all at the same time.
//!
//! | file | what |
//! |---|---|
//! | this one | the tables, finding a slot |
//! | `install.rs` | a fault puts an entry there: [`TaskTables::map_small`], [`TaskTables::map_large`], … |
//! | `remove.rs` | taking entries or rights away: [`TaskTables::remove`], [`TaskTables::protect`], … |
//! | `copies.rs` | private copies: shared by a fork, moved, counted |
//!
//! # Private copies
//! An entry with [`Flags::SOFT_0`] leads to a frame that the address space owns, alone or with others since a
//! fork: the machine counts them ([`TaskMachine`]). Without [`Flags::PRESENT`] it is *hidden*: kept, but no
//! CPU gets there. Copies are always pages of 4 KiB.
//!
//! # Locking
//! Putting an entry where there is none, and adding the right to write, take no lock: compare-exchange. The
//! page-table lock is held from the first entry taken out, weakened, replaced or split to the end of the
//! shootdown. So whoever holds it and finds an entry gone knows that no TLB serves it any more; and a leaf
//! seen under it never turns into a table. Freeing tables ([`TaskTables::remove_and_prune`]) also needs that
//! no fault works anywhere in the tables: the owner sees to that.

mod copies;
mod install;
mod remove;

use core::sync::atomic::Ordering;

use crate::entry::{Flags, LeafSize, PageTableEntry};
use crate::tables::{EntryWord, Half, MapError, PageTable, ROOT_LEVEL, TableMachine, TableTree, index};
pub use copies::MappedCount;
pub use install::{InstallResult, OutOfFrames};
pub use remove::{Copies, Partial, RightsLeft};

/// Bytes of a huge page.
const LARGE: u64 = LeafSize::Large.bytes();

/// What a task's tables need besides: a lock, and frames for private copies.
pub trait TaskMachine: TableMachine {
    /// The page-table lock; whoever waits for one answers shootdowns.
    type Lock: lock_api::RawMutex;

    /// Returns a frame for one address space, with a copy of the 4 KiB at physical address `from`, or zeros;
    /// `None` when memory is out.
    fn new_copy(&self, from: Option<u64>) -> Option<u64>;
    /// Counts one more address space that has the copy.
    fn share_copy(&self, frame: u64);
    /// Returns whether more than one address space has the copy.
    fn is_shared(&self, frame: u64) -> bool;
    /// Counts one address space less that has the copy; the last one frees it.
    fn release_copy(&self, frame: u64);

    /// Returns whether a mistake is to be made on purpose, so that what guards against it can be shown to
    /// fail.
    #[inline]
    fn makes(&self, _mistake: TableMistake) -> bool {
        false
    }
}

/// Mistakes that can be made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableMistake {
    /// TLBs are shot down before the entries are taken out or weakened: they are filled again in between.
    ShootdownFirst,
    /// A 2 MiB entry takes the place of a table of 4 KiB entries, which leaks.
    LargeOverTable,
    /// Whoever takes out entries and empty tables frees private copies before TLBs are shot down.
    FreeBeforeShootdown,
    /// Copies that a new address space shares stay writable in the old one.
    ForkKeepsWritable,
}

/// The tables of one address space's own half.
pub struct TaskTables<M: TaskMachine> {
    tables: TableTree<M>,
    page_table_lock: lock_api::Mutex<M::Lock, ()>,
}

/// Where a small page's entry is.
enum SmallEntry<'a, W> {
    /// The entry's slot in a page table.
    Slot(&'a W),
    /// A large leaf is in the way: its slot, and what it holds.
    Large(&'a W, PageTableEntry),
}

impl<M: TaskMachine> TaskTables<M> {
    /// Returns a new, empty half.
    ///
    /// # Errors
    /// [`MapError::NoFrames`].
    pub fn new(machine: M) -> Result<Self, MapError> {
        let tables = TableTree::new(Half::Lower, machine)?;
        Ok(Self { tables, page_table_lock: lock_api::Mutex::new(()) })
    }

    /// Returns the tree of tables, to look at.
    pub const fn tables(&self) -> &TableTree<M> {
        &self.tables
    }

    /// Frees every table. Nobody uses them any more, and there are no copies left.
    pub fn clear(&mut self) {
        self.tables.clear();
    }

    /// Returns whether there is a table of small entries for the 2 MiB around `va`. A hint: no lock is
    /// taken.
    #[inline]
    pub fn has_small(&self, va: u64) -> bool {
        self.table_at(va, 2).is_some_and(|directory| {
            let entry = PageTableEntry(directory[index(va, 2)].load(Ordering::Acquire));
            entry.is_present() && !entry.is_leaf(2)
        })
    }

    /// Returns the table of `level` that translates `va`, if there is one.
    #[inline(always)]
    fn table_at(&self, va: u64, level: u32) -> Option<&PageTable<M::Word>> {
        let mut table = self.tables.machine.table(self.tables.root());
        let mut above = ROOT_LEVEL;
        while above > level {
            let entry = PageTableEntry(table[index(va, above)].load(Ordering::Acquire));
            if entry.0 & (Flags::PRESENT | Flags::LARGE).bits() != Flags::PRESENT.bits() {
                return None;
            }
            table = self.tables.machine.table(entry.address());
            above -= 1;
        }
        Some(table)
    }

    /// Returns the place of `va`'s small entry; tables on the way are made.
    fn place(&self, va: u64) -> Result<SmallEntry<'_, M::Word>, OutOfFrames> {
        if let Some(table) = self.table_at(va, 1) {
            return Ok(SmallEntry::Slot(&table[index(va, 1)]));
        }
        loop {
            match self.tables.slot(va, LeafSize::Small) {
                Ok(slot) => return Ok(SmallEntry::Slot(slot)),
                Err(MapError::NoFrames) => return Err(OutOfFrames),
                // A large leaf. It may go or be split before we look for its slot.
                Err(_) => {
                    let slot = self.directory_slot(va)?;
                    let entry = PageTableEntry(slot.load(Ordering::Acquire));
                    if entry.is_present() && entry.is_leaf(2) {
                        return Ok(SmallEntry::Large(slot, entry));
                    }
                }
            }
        }
    }

    /// Returns the slot for the 2 MiB around `va` in its page directory; tables on the way are made.
    fn directory_slot(&self, va: u64) -> Result<&M::Word, OutOfFrames> {
        // Nothing larger than 2 MiB is ever mapped in a task's half.
        self.tables.slot(va & !(LARGE - 1), LeafSize::Large).map_err(|_| OutOfFrames)
    }

    /// Calls `f` with each slot of a page directory whose 2 MiB overlap the pages, and the first address of
    /// those.
    #[inline(always)]
    fn each_directory_slot(&self, va: u64, pages: u64, mut f: impl FnMut(&M::Word, u64)) {
        let Some(last) = pages.checked_mul(4096).and_then(|bytes| bytes.checked_sub(1)) else { return };
        let last = va.saturating_add(last).min((1 << 47) - 1);
        let mut at = va & !(LARGE - 1);
        while at <= last {
            if let Some(directory) = self.table_at(at, 2) {
                let end = if last >> 30 == at >> 30 { index(last, 2) } else { 511 };
                for slot in &directory[index(at, 2)..=end] {
                    f(slot, at);
                    at += LARGE;
                }
            } else if self.table_at(at, 3).is_some() {
                at = (at | ((1 << 30) - 1)) + 1;
            } else {
                at = (at | ((1 << 39) - 1)) + 1;
            }
        }
    }

    /// Returns the slots of a page table around `start` that lie in the pages, and the first one's address.
    #[inline(always)]
    fn clip(&self, table: u64, start: u64, va: u64, pages: u64) -> (&[M::Word], u64) {
        let (first, end) = (start.max(va), (start + LARGE).min(va + pages * 4096));
        let slots = (first - start) as usize / 4096..(end - start) as usize / 4096;
        (&self.tables.machine.table(table)[slots], first)
    }
}

impl<M: TaskMachine> core::fmt::Debug for TaskTables<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.tables.fmt(f)
    }
}
