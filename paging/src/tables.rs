//! The tree of tables: mapping, unmapping, changing rights, splitting, pruning.
//!
//! # Locking
//! No lock is taken here. Growing the tree and setting leaves is by compare-exchange. Who takes entries or
//! rights away, and finds them gone already, does not know whether somebody else's invalidation is done:
//! owners of a range see to it that they are alone there; a task's half has a lock for it
//! ([`TaskTables`](crate::TaskTables)). [`TableTree::prune`] frees tables: its caller must know that nobody
//! else works in that range.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::entry::{Flags, LeafSize, PageTableEntry};

/// A table as the CPU sees it: 512 entries in one frame.
pub type PageTable<W = AtomicU64> = [W; 512];

/// The word that an entry is in. The processor's own, or one of a machine that owns every step
/// (docs/exploration.md).
pub trait EntryWord {
    /// Loads the word, like [`AtomicU64::load`].
    fn load(&self, order: Ordering) -> u64;
    /// Stores `value`, like [`AtomicU64::store`].
    fn store(&self, value: u64, order: Ordering);
    /// Stores `value` and returns the word before, like [`AtomicU64::swap`].
    fn swap(&self, value: u64, order: Ordering) -> u64;
    /// Stores `new` if the word is `old`, and returns the word before, like [`AtomicU64::compare_exchange`].
    ///
    /// # Errors
    /// What is there instead.
    fn compare_exchange(&self, old: u64, new: u64, done: Ordering, not: Ordering) -> Result<u64, u64>;
    /// Clears the bits that are not in `value` and returns the word before, like [`AtomicU64::fetch_and`].
    fn fetch_and(&self, value: u64, order: Ordering) -> u64;
    /// Stores what `change` makes of the word and returns the word before, like [`AtomicU64::fetch_update`].
    ///
    /// # Errors
    /// What is there, if `change` leaves it.
    fn fetch_update(
        &self,
        done: Ordering,
        not: Ordering,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64>;
}

impl EntryWord for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    #[inline(always)]
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.swap(value, order)
    }
    #[inline(always)]
    fn compare_exchange(&self, old: u64, new: u64, done: Ordering, not: Ordering) -> Result<u64, u64> {
        self.compare_exchange(old, new, done, not)
    }
    #[inline(always)]
    fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
        self.fetch_and(value, order)
    }
    #[inline(always)]
    fn fetch_update(
        &self,
        done: Ordering,
        not: Ordering,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        self.fetch_update(done, not, change)
    }
}

/// Level of the root (PML4).
pub(crate) const ROOT_LEVEL: u32 = 4;

/// What page tables need of the machine they are on.
pub trait TableMachine {
    /// What entries are in.
    type Word: EntryWord;
    /// Returns a zeroed frame for a table, by physical address; `None` when memory is out.
    fn allocate_table(&self) -> Option<u64>;
    /// Gives a table's frame back. No CPU can reach it any more.
    fn free_table(&self, frame: u64);
    /// Returns the table in `frame`, which came from [`TableMachine::allocate_table`].
    fn table(&self, frame: u64) -> &PageTable<Self::Word>;
    /// Makes every CPU forget its translations for `pages` pages of 4 KiB from `start`, large ones and
    /// paging-structure caches included, before it returns.
    fn invalidate(&self, start: u64, pages: u64);
}

/// Which half of the address space a tree may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// A task's: below 2⁴⁷. The other half is shared with the kernel's tree.
    Lower,
    /// The kernel's: from 0xffff_8000_0000_0000.
    Upper,
}

/// Why a mapping could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Something is there already: at this address, this entry of this size.
    AlreadyMapped {
        /// The address at which the obstacle was met.
        at: u64,
        /// The entry found; for a table in the place of a large leaf, the entry that points to it.
        entry: PageTableEntry,
        /// The size of the leaf found, or that was to be placed over a table.
        size: LeafSize,
    },
    /// Nothing is mapped at this address.
    NotMapped {
        /// The address.
        at: u64,
    },
    /// An address or length is not a multiple of the page size.
    Misaligned {
        /// The address or length.
        at: u64,
        /// The size that the address should be a multiple of.
        size: LeafSize,
    },
    /// The range is not in the half these tables may change.
    OutOfRange {
        /// The first address.
        at: u64,
    },
    /// No frame is left for a table.
    NoFrames,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyMapped { at, entry, size } => {
                write!(f, "{at:#x}: already mapped ({size}: {entry:?})")
            }
            Self::NotMapped { at } => write!(f, "{at:#x}: not mapped"),
            Self::Misaligned { at, size } => write!(f, "{at:#x}: not a multiple of {size}"),
            Self::OutOfRange { at } => write!(f, "{at:#x}: outside this half of the address space"),
            Self::NoFrames => write!(f, "no memory for a page table"),
        }
    }
}

impl core::error::Error for MapError {}

/// A tree of page tables.
pub struct TableTree<M> {
    root: u64,
    half: Half,
    pub(crate) machine: M,
}

impl<M: TableMachine> TableTree<M> {
    /// Returns the tree whose root table is in `root`, restricted to `half`.
    pub const fn from_root(root: u64, half: Half, machine: M) -> Self {
        Self { root, half, machine }
    }

    /// Returns a new, empty tree.
    ///
    /// # Errors
    /// [`MapError::NoFrames`].
    pub fn new(half: Half, machine: M) -> Result<Self, MapError> {
        let root = machine.allocate_table().ok_or(MapError::NoFrames)?;
        Ok(Self { root, half, machine })
    }

    /// Returns the root table's physical address, for CR3.
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// Returns the machine that the tables are on.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Lets this tree use the other half of `kernel`: its 256 top root entries are copied. Tables below them
    /// are shared from then on; root entries the kernel's tree gets later are not, hence
    /// [`TableTree::reserve_slots`].
    pub fn share_upper_half(&self, kernel: &Self) {
        let from = self.machine.table(kernel.root);
        let to = self.machine.table(self.root);
        for (from, to) in from.iter().zip(to).skip(256) {
            to.store(from.load(Ordering::Acquire), Ordering::Release);
        }
    }

    /// Makes sure that each root entry for `bytes` from `start` has its table.
    ///
    /// # Errors
    /// [`MapError::NoFrames`], [`MapError::OutOfRange`].
    pub fn reserve_slots(&self, start: u64, bytes: u64) -> Result<(), MapError> {
        self.check(start, bytes, LeafSize::Small)?;
        for slot in index(start, ROOT_LEVEL)..=index(start + (bytes - 1), ROOT_LEVEL) {
            self.next_table(&self.machine.table(self.root)[slot], ROOT_LEVEL, start)?;
        }
        Ok(())
    }

    /// Maps one page of `size` at `at` to the frame at `frame`. `flags` are the leaf's, without
    /// [`Flags::LARGE`].
    ///
    /// # Errors
    /// [`MapError::AlreadyMapped`] (nothing is changed), `Misaligned`, `OutOfRange`, `NoFrames`.
    pub fn map(&self, at: u64, frame: u64, size: LeafSize, flags: Flags) -> Result<(), MapError> {
        self.check(at, size.bytes(), size)?;
        if !size.divides(frame) {
            return Err(MapError::Misaligned { at: frame, size });
        }
        let slot = self.slot(at, size)?;
        let entry = leaf(frame, size, flags);
        match slot.compare_exchange(0, entry.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(old) => Err(MapError::AlreadyMapped { at, entry: PageTableEntry(old), size }),
        }
    }

    /// Maps `bytes` from `at` to `frame` and on, with the largest pages that fit and are at most `largest`.
    /// What was mapped before an error stays mapped.
    ///
    /// # Errors
    /// Those of [`TableTree::map`].
    pub fn map_range(
        &self,
        at: u64,
        frame: u64,
        bytes: u64,
        flags: Flags,
        largest: LeafSize,
    ) -> Result<(), MapError> {
        self.check(at, bytes, LeafSize::Small)?;
        let mut done = 0;
        while done < bytes {
            let fits = |size: LeafSize| {
                size <= largest
                    && size.divides(at + done)
                    && size.divides(frame + done)
                    && size.bytes() <= bytes - done
            };
            let sizes = [LeafSize::Giant, LeafSize::Large];
            let size = sizes.into_iter().find(|size| fits(*size)).unwrap_or(LeafSize::Small);
            self.map(at + done, frame + done, size, flags)?;
            done += size.bytes();
        }
        Ok(())
    }

    /// Unmaps every leaf in the range, splitting large ones at its edges, and tells `gone` of each: address,
    /// entry as the CPU left it, size. Invalidates before it returns; `gone` runs before that, so it must not
    /// free the frame for others to use. Empty tables stay: see [`TableTree::prune`]. Returns the leaves
    /// unmapped.
    ///
    /// # Errors
    /// `Misaligned`, `OutOfRange`; `NoFrames` if a leaf could not be split (what came before it is unmapped).
    pub fn unmap_range(
        &self,
        at: u64,
        bytes: u64,
        mut gone: impl FnMut(u64, PageTableEntry, LeafSize),
    ) -> Result<u64, MapError> {
        let mut count = 0;
        let result = self.for_each_leaf(at, bytes, &mut |slot, at, size| {
            // Only what still is a leaf: somebody may have split it since it was found.
            let leaf = |old: u64| {
                (PageTableEntry(old).is_present() && PageTableEntry(old).is_leaf(size.level()))
                    .then_some(PageTableEntry::EMPTY.0)
            };
            if let Ok(old) = slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, leaf) {
                count += 1;
                gone(at, PageTableEntry(old), size);
            }
        });
        if count > 0 {
            self.machine.invalidate(at, bytes / 4096);
        }
        result.map(|()| count)
    }

    /// Unmaps exactly one page of `size` at `at`, and returns its entry.
    ///
    /// # Errors
    /// [`MapError::NotMapped`] if there is none; as [`TableTree::unmap_range`].
    pub fn unmap(&self, at: u64, size: LeafSize) -> Result<PageTableEntry, MapError> {
        self.check(at, size.bytes(), size)?;
        match self.leaf(at) {
            Some((_, found)) if found == size => {}
            Some((entry, size)) => return Err(MapError::AlreadyMapped { at, entry, size }),
            None => return Err(MapError::NotMapped { at }),
        }
        let mut old = PageTableEntry::EMPTY;
        self.unmap_range(at, size.bytes(), |_, entry, _| old = entry)?;
        if old.is_present() { Ok(old) } else { Err(MapError::NotMapped { at }) }
    }

    /// Gives every leaf in the range the rights in `flags` (address, accessed, dirty and page size stay),
    /// splitting large ones at its edges, and invalidates. Returns the leaves changed.
    ///
    /// # Errors
    /// Those of [`TableTree::unmap_range`].
    pub fn protect_range(&self, at: u64, bytes: u64, flags: Flags) -> Result<u64, MapError> {
        let keep = Flags::ACCESSED | Flags::DIRTY | Flags::LARGE;
        let mut count = 0;
        let result = self.for_each_leaf(at, bytes, &mut |slot, _, size| {
            let change = |old: u64| {
                let old = PageTableEntry(old);
                let kept = old.flags().bits() & keep.bits();
                let leaf = old.is_present() && old.is_leaf(size.level());
                leaf.then(|| PageTableEntry::new(old.address(), flags).0 | kept)
            };
            count += u64::from(slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok());
        });
        if count > 0 {
            self.machine.invalidate(at, bytes / 4096);
        }
        result.map(|()| count)
    }

    /// Returns the leaf that translates `at`, if any.
    pub fn leaf(&self, at: u64) -> Option<(PageTableEntry, LeafSize)> {
        let mut frame = self.root;
        for level in (1..=ROOT_LEVEL).rev() {
            let entry = PageTableEntry(self.machine.table(frame)[index(at, level)].load(Ordering::Acquire));
            if !entry.is_present() {
                return None;
            }
            if entry.is_leaf(level) {
                return Some((entry, LeafSize::of_level(level)));
            }
            frame = entry.address();
        }
        None
    }

    /// Returns the physical address that `at` translates to.
    pub fn translate(&self, at: u64) -> Option<u64> {
        self.leaf(at).map(|(entry, size)| {
            let within = size.bytes() - 1;
            (entry.address() & !within) + (at & within)
        })
    }

    /// Frees the tables in the range that have become empty, the root's own entries of the kernel half
    /// excepted (other roots share them). Nobody else may be changing or faulting in this range.
    pub fn prune(&self, at: u64, bytes: u64) {
        if self.check(at, bytes, LeafSize::Small).is_err() {
            return;
        }
        let mut freed = 0;
        self.prune_table(self.root, ROOT_LEVEL, at, at + (bytes - 1), &mut freed);
        self.release(freed, at, bytes / 4096);
    }

    /// Frees every table of the lower half, whatever is mapped. The root stays.
    pub fn clear(&mut self) {
        let mut freed = 0;
        for slot in &self.machine.table(self.root)[..256] {
            let entry = PageTableEntry(slot.swap(0, Ordering::AcqRel));
            if entry.is_present() {
                self.unlink_tree(entry.address(), ROOT_LEVEL - 1, &mut freed);
            }
        }
        self.release(freed, 0, 1 << 35);
    }

    /// Calls `leaf` with every present leaf in the range; large ones at its edges are split.
    fn for_each_leaf(
        &self,
        at: u64,
        bytes: u64,
        leaf: &mut dyn FnMut(&M::Word, u64, LeafSize),
    ) -> Result<(), MapError> {
        self.check(at, bytes, LeafSize::Small)?;
        self.leaves_of(self.root, ROOT_LEVEL, at, at + (bytes - 1), leaf)
    }

    fn leaves_of(
        &self,
        frame: u64,
        level: u32,
        first: u64,
        last: u64,
        leaf: &mut dyn FnMut(&M::Word, u64, LeafSize),
    ) -> Result<(), MapError> {
        let span = 1u64 << (12 + 9 * (level - 1));
        let table = self.machine.table(frame);
        for (i, slot) in table.iter().enumerate().take(index(last, level) + 1).skip(index(first, level)) {
            let start = slot_start(first, level, i);
            let end = start + (span - 1);
            let mut entry = PageTableEntry(slot.load(Ordering::Acquire));
            if !entry.is_present() {
                continue;
            }
            let covered = first <= start && end <= last;
            if entry.is_leaf(level) && !covered && level > 1 {
                entry = self.split(slot, level)?;
            }
            if entry.is_leaf(level) {
                leaf(slot, start, LeafSize::of_level(level));
            } else if entry.is_present() {
                let (from, to) = (first.max(start), last.min(end));
                self.leaves_of(entry.address(), level - 1, from, to, leaf)?;
            }
        }
        Ok(())
    }

    /// Replaces a large leaf by a table of 512 smaller ones with the same rights. Returns the entry that is
    /// there afterwards, whoever put it there. The old translation may live on in TLBs: it says the same, and
    /// whoever changes a part of it invalidates that part, which drops all of it (SDM "Large Page Size
    /// Considerations").
    pub(crate) fn split(&self, slot: &M::Word, level: u32) -> Result<PageTableEntry, MapError> {
        let new = self.machine.allocate_table().ok_or(MapError::NoFrames)?;
        let size = LeafSize::of_level(level - 1);
        let mut old = PageTableEntry(slot.load(Ordering::Acquire));
        while old.is_present() && old.is_leaf(level) {
            let flags = if level == 2 { old.flags().without(Flags::LARGE) } else { old.flags() };
            for (i, part) in self.machine.table(new).iter().enumerate() {
                part.store(
                    PageTableEntry::new(old.address() + i as u64 * size.bytes(), flags).0,
                    Ordering::Relaxed,
                );
            }
            let table = PageTableEntry::new(new, Flags::PRESENT | Flags::WRITE);
            match slot.compare_exchange(old.0, table.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(table),
                // The CPU set A or D meanwhile, or someone else was here: look again.
                Err(now) => old = PageTableEntry(now),
            }
        }
        self.machine.free_table(new);
        Ok(old)
    }

    /// Returns the slot for a leaf of `size` at `at`; tables on the way are made.
    pub(crate) fn slot(&self, at: u64, size: LeafSize) -> Result<&M::Word, MapError> {
        let mut frame = self.root;
        for level in (size.level() + 1..=ROOT_LEVEL).rev() {
            frame = self.next_table(&self.machine.table(frame)[index(at, level)], level, at)?;
        }
        Ok(&self.machine.table(frame)[index(at, size.level())])
    }

    /// Returns the table below `slot`, made if there is none.
    fn next_table(&self, slot: &M::Word, level: u32, at: u64) -> Result<u64, MapError> {
        let mut entry = PageTableEntry(slot.load(Ordering::Acquire));
        if !entry.is_present() {
            let new = self.machine.allocate_table().ok_or(MapError::NoFrames)?;
            let table = PageTableEntry::new(new, Flags::PRESENT | Flags::WRITE);
            match slot.compare_exchange(entry.0, table.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(new),
                Err(now) => {
                    self.machine.free_table(new);
                    entry = PageTableEntry(now);
                }
            }
        }
        if entry.is_leaf(level) {
            return Err(MapError::AlreadyMapped { at, entry, size: LeafSize::of_level(level) });
        }
        Ok(entry.address())
    }

    fn prune_table(&self, frame: u64, level: u32, first: u64, last: u64, freed: &mut u64) {
        let span = 1u64 << (12 + 9 * (level - 1));
        let table = self.machine.table(frame);
        for (i, slot) in table.iter().enumerate().take(index(last, level) + 1).skip(index(first, level)) {
            let entry = PageTableEntry(slot.load(Ordering::Acquire));
            if !entry.is_present() || entry.is_leaf(level) {
                continue;
            }
            let start = slot_start(first, level, i);
            let below = entry.address();
            if level > 2 {
                let (from, to) = (first.max(start), last.min(start + (span - 1)));
                self.prune_table(below, level - 1, from, to, freed);
            }
            let keep = level == ROOT_LEVEL && self.half == Half::Upper;
            if !keep && self.machine.table(below).iter().all(|slot| slot.load(Ordering::Acquire) == 0) {
                slot.store(0, Ordering::Release);
                self.chain(below, freed);
            }
        }
    }

    fn unlink_tree(&self, frame: u64, level: u32, freed: &mut u64) {
        for slot in self.machine.table(frame) {
            let entry = PageTableEntry(slot.load(Ordering::Acquire));
            if entry.is_present() && !entry.is_leaf(level) {
                self.unlink_tree(entry.address(), level - 1, freed);
            }
        }
        self.chain(frame, freed);
    }

    /// Puts an unlinked table on the list of those to free. The link lies in the table itself: a frame
    /// address has its present bit clear, so a CPU that still walks here finds nothing.
    fn chain(&self, frame: u64, freed: &mut u64) {
        self.machine.table(frame)[0].store(*freed, Ordering::Release);
        *freed = frame;
    }

    fn release(&self, mut freed: u64, at: u64, pages: u64) {
        if freed != 0 {
            self.machine.invalidate(at, pages);
        }
        while freed != 0 {
            let next = self.machine.table(freed)[0].load(Ordering::Acquire);
            self.machine.free_table(freed);
            freed = next;
        }
    }

    /// Checks that the range is aligned, not empty, and in this tree's half.
    fn check(&self, at: u64, bytes: u64, size: LeafSize) -> Result<(), MapError> {
        for value in [at, bytes] {
            if !size.divides(value) {
                return Err(MapError::Misaligned { at: value, size });
            }
        }
        let (low, high) = match self.half {
            Half::Lower => (0, (1 << 47) - 1),
            Half::Upper => (0xffff_8000_0000_0000, u64::MAX),
        };
        let last = bytes.checked_sub(1).and_then(|more| at.checked_add(more));
        match last {
            Some(last) if at >= low && last <= high => Ok(()),
            _ => Err(MapError::OutOfRange { at }),
        }
    }
}

impl<M> fmt::Debug for TableTree<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tables({:#x}, {:?})", self.root, self.half)
    }
}

/// Returns a leaf entry of `size`.
pub(crate) const fn leaf(frame: u64, size: LeafSize, flags: Flags) -> PageTableEntry {
    match size {
        LeafSize::Small => PageTableEntry::new(frame, flags),
        LeafSize::Large | LeafSize::Giant => PageTableEntry::new(frame, flags.with(Flags::LARGE)),
    }
}

/// Returns the index into a table of `level` for an address.
pub(crate) const fn index(at: u64, level: u32) -> usize {
    (at >> (12 + 9 * (level - 1))) as usize & 511
}

/// First address that slot `i` of the table of `level` around `at` translates.
fn slot_start(at: u64, level: u32, i: usize) -> u64 {
    let shift = 12 + 9 * (level - 1);
    let table_base = (at as i64 >> (shift + 9) << (shift + 9)) as u64;
    let start = table_base | (i as u64) << shift;
    // The root's upper slots: addresses are sign-extended from bit 47.
    ((start << 16) as i64 >> 16) as u64
}
