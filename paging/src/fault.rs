//! What a page fault does to page tables: publish one leaf with compare-exchange, or take rights away.
//!
//! Many faults may run at once in one tree, with [`Tables::unmap_range`] beside them. The caller holds
//! whatever lock makes its frame the right one (DESIGN.md, law 2: look up after locking); here only the entry
//! is decided.

use core::sync::atomic::Ordering;

use crate::entry::{Entry, Flags, PageSize};
use crate::tables::{Machine, MapError, Partial, Tables, index, leaf};

/// How [`Tables::install`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The slot was empty.
    New,
    /// It mapped the same frame without the right to write, and has it now.
    Upgraded,
    /// Another fault had done all of it.
    Already,
    /// Something else is mapped here (a zero page, a larger or smaller page): left as it is.
    Occupied(Entry, PageSize),
}

impl<M: Machine> Tables<M> {
    /// Maps a page of `size` at `at` for a fault. `at` and `frame` are multiples of `size`, in the lower
    /// half.
    ///
    /// A present leaf is never weakened or moved: the same frame can gain [`Flags::WRITE`] (and the accessed,
    /// dirty and software bits of `flags`); anything else is reported as [`Installed::Occupied`]. No
    /// invalidation follows: a CPU that still caches fewer rights faults once more and finds the entry.
    ///
    /// # Errors
    /// [`MapError::NoFrames`]: no memory for a table on the way.
    #[inline]
    pub fn install(&self, at: u64, frame: u64, size: PageSize, flags: Flags) -> Result<Installed, MapError> {
        let slot = match self.slot(at, size) {
            Ok(slot) => slot,
            Err(MapError::AlreadyMapped { entry, size, .. }) => return Ok(Installed::Occupied(entry, size)),
            Err(error) => return Err(error),
        };
        let wanted = leaf(frame, size, flags);
        let mut old = match slot.compare_exchange(0, wanted.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Ok(Installed::New),
            Err(old) => Entry(old),
        };
        loop {
            let below = !old.is_leaf(size.level());
            if !old.is_present() || below || old.address() != wanted.address() {
                let found = if below { PageSize::of_level(size.level() - 1) } else { size };
                return Ok(Installed::Occupied(old, found));
            }
            let merged = Entry(old.0 | wanted.flags().without(Flags::NO_EXECUTE).bits());
            if merged == old {
                return Ok(Installed::Already);
            }
            match slot.compare_exchange(old.0, merged.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if old.is_writable() == merged.is_writable() => return Ok(Installed::Already),
                Ok(_) => return Ok(Installed::Upgraded),
                Err(now) => old = Entry(now),
            }
        }
    }

    /// Replaces the leaf of `size` at `at` if it is still `old` (accessed and dirty bits aside), without
    /// invalidating: the caller does that if `new` is weaker or another frame. Returns the entry found
    /// otherwise.
    ///
    /// # Errors
    /// The entry that is there instead ([`Entry::EMPTY`] where there is not even a table).
    pub fn replace(&self, at: u64, size: PageSize, old: Entry, new: Entry) -> Result<Entry, Entry> {
        let ignored = (Flags::ACCESSED | Flags::DIRTY).bits();
        let mut frame = self.root();
        for level in (size.level() + 1..=crate::tables::ROOT_LEVEL).rev() {
            let entry = Entry(self.machine.table(frame)[index(at, level)].load(Ordering::Acquire));
            if !entry.is_present() || entry.is_leaf(level) {
                return Err(entry);
            }
            frame = entry.address();
        }
        let slot = &self.machine.table(frame)[index(at, size.level())];
        slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now & !ignored == old.0 & !ignored).then_some(new.0)
        })
        .map(Entry)
        .map_err(Entry)
    }

    /// Takes [`Flags::WRITE`] (and the dirty bit) from every leaf in the range, so that the next store
    /// faults, and invalidates once. `was` hears of each leaf that was writable or dirty. A large leaf at the
    /// edge is split or taken as a whole, as `partial` says. Returns how many leaves changed.
    ///
    /// # Errors
    /// As [`Tables::unmap_range`]; `NoFrames` only with [`Partial::Split`].
    pub fn write_protect_range(
        &self,
        at: u64,
        bytes: u64,
        partial: Partial,
        mut was: impl FnMut(u64, Entry, PageSize),
    ) -> Result<u64, MapError> {
        let clear = (Flags::WRITE | Flags::DIRTY).bits();
        let mut count = 0;
        let result = self.for_each_leaf(at, bytes, partial, &mut |slot, at, size| {
            if slot.load(Ordering::Acquire) & clear == 0 {
                return;
            }
            let old = Entry(slot.fetch_and(!clear, Ordering::AcqRel));
            if old.is_present() && old.0 & clear != 0 {
                count += 1;
                was(at, old, size);
            }
        });
        if count > 0 {
            self.machine.invalidate(at, bytes / 4096);
        }
        result.map(|()| count)
    }
}
