//! Filling holes: fresh blocks, and their publication in the block map.
//!
//! A hole may need indirect blocks too. They and the data blocks are filled while nothing points to them; one
//! fence makes all of it durable; then one pointer, in the inode or in an indirect block that is there,
//! publishes the whole chain:
//!
//! ```text
//! slot (published last) → indirect → indirect → data, data, data, …
//! ```
//!
//! Where all indirect blocks are there, each data block is published by its own pointer, side by side.
//!
//! # Locking
//! Under `dax_sem`: held exclusively, or shared by faults that hold the lock of their page's entry. (A
//! directory's holes are filled under its inode lock.)
//! Those fill holes of one file side by side, so nothing is held while blocks are filled:
//!
//! 1. the blocks are taken, under a [goal](crate::ext2::alloc::goals)'s mutex and a group's;
//! 2. they are filled, under none of these;
//! 3. the way is looked at again and the pointer stored, under the block-map mutex.
//!
//! A table of pointers that is there stays as long as the inode lock or `dax_sem` is held, shared or not; a
//! pointer is stored and loaded as one.

use super::BlockMap;
use super::geometry::{Hole, Spot};
use crate::error::{Errno, Result};
use crate::ext::indirect::LEVELS;
use crate::ext::layout::*;
use crate::ext2::alloc::goals::Goal;
use crate::ext2::alloc::taken::Taken;
use crate::ext2::inode::Changes;
use crate::lab::{Point, mistake};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use crate::vfs::{AllocOk, ChangeOk};
use core::ops::Range;

/// What fresh data blocks hold.
#[derive(Clone, Copy)]
pub(in crate::ext2) enum Fill<'a> {
    /// Zeros.
    Zeros,
    /// These bytes, as far as there is room, from byte `.0` on, zeros around them.
    Bytes(usize, &'a [u8]),
    /// What they happen to hold: a mistake of the lab's.
    Anything,
}

/// What a hole needs, taken; nothing points to it.
struct Fresh {
    data: Staged<Taken, InFlight>,
    /// Indirect blocks, if it needs any.
    tables: Option<ChainTables>,
}

/// Indirect blocks, the top one first.
type ChainTables = [Option<Staged<Taken, InFlight>>; LEVELS];

/// The fact that data blocks and the indirect blocks above them are filled and taken; nothing points to them
/// yet.
#[derive(Debug)]
pub(in crate::ext2) struct Chain {
    /// Where the pointers to it belong: `pointers` neighbouring ones.
    pub slot: u64,
    pub pointers: u32,
    /// What the first pointer will be; the others follow.
    pub root: u32,
    /// The first data block.
    pub data: u32,
    /// Its logical block.
    pub lblk: u64,
    /// How many data blocks there are.
    pub count: u32,
    /// The indirect blocks, as far as it has any.
    pub tables: [u32; LEVELS],
    /// How many blocks they all are.
    pub blocks: u32,
}

impl Chain {
    /// Returns a chain of data blocks without tables above them.
    #[inline]
    pub(in crate::ext2) fn of(taken: Taken, lblk: u64, slot: u64) -> Self {
        let (data, count) = (taken.block(), taken.count());
        Self { slot, pointers: count, root: data, data, lblk, count, tables: [0; LEVELS], blocks: count }
    }
}

/// The fact that the pointers to a chain are stored.
#[derive(Debug)]
pub(in crate::ext2) struct Published;

impl<P: Platform> BlockMap<'_, P> {
    /// Fills the hole at `lblk` where that takes one block of a run that is kept for it and nothing else:
    /// what most write faults on holes do. The block; the pointer is durable. `None`, and nothing changed, if
    /// there is more to it, or less: that is for [`fill_hole`](Self::fill_hole).
    #[inline]
    pub(in crate::ext2) fn fill_next(self, _ok: AllocOk<'_>, lblk: u64) -> Option<u32> {
        let (pmem, platform) = (self.pmem(), &self.fs.platform);
        let room = self.raw().units().leading_zeros() > 0;
        if !room || self.fs.check_writable().is_err() || mistake!(platform.lab(), PublishBeforeZero) {
            return None;
        }
        // As there, step by step.
        let slot = self.empty_slot(lblk)?;
        let data = self.take_in_run(lblk)?;
        let chain = self.fill_one(lblk, slot, data).fence(pmem);
        let block = chain.fact().data;
        let mut map = self.map_lock.lock();
        if pmem.load_u32(slot) != 0 {
            drop(map);
            self.fs.groups().give_back_blocks(block, 1);
            return None;
        }
        let published = self.publish(&mut map, chain);
        drop(map);
        published.fence(pmem).into_fact();
        Some(block)
    }

    /// Returns the block of `lblk`, and whether it was allocated now: the pointer is durable then.
    #[inline(never)]
    pub(in crate::ext2) fn fill_hole(self, _ok: AllocOk<'_>, lblk: u64) -> Result<(u32, bool)> {
        self.fs.check_writable()?;
        let (pmem, platform) = (self.pmem(), &self.fs.platform);
        let late = mistake!(platform.lab(), PublishBeforeZero);
        loop {
            // 1. Look.
            let hole = match self.locate(lblk)?.0 {
                Spot::Block(block) => return Ok((block, false)),
                Spot::Hole(hole) => hole,
            };
            // 2. Take, then fill; durable.
            let end = self.load_size().div_ceil(self.fs.block_size());
            let fresh = self.take(&hole, 1, end)?;
            let fill = if late { Fill::Anything } else { Fill::Zeros };
            let chain = self.fill_fresh(&hole, fresh, fill).fence(pmem);
            let block = chain.fact().data;
            // 3. Look again, where nobody else publishes: an indirect block may have come, for another page.
            let mut map = self.map_lock.lock();
            if pmem.load_u32(hole.slot) != 0 {
                drop(map);
                self.give_back(chain);
                continue;
            }
            // 4. Publish, durably: whoever finds the pointer from here on may sync on another CPU, whose
            //    fence would not wait for it. To an indirect block others add pointers as soon as they get
            //    the lock.
            let published = self.publish(&mut map, chain);
            if hole.missing() > 0 {
                published.fence(pmem).into_fact();
                drop(map);
            } else {
                drop(map);
                published.fence(pmem).into_fact();
            }
            if late {
                platform.at(Point::Allocated, self.ino.into(), lblk, self.fs.byte(block));
                pmem.zero_nt(self.fs.byte(block), self.fs.block_size());
            }
            return Ok((block, true));
        }
    }

    /// Fills the holes among logical blocks `range` with blocks of zeros, in pieces: each is durable, but for
    /// its pointers, which the caller fences. The file has, or is about to have, `end` blocks.
    ///
    /// # Errors
    /// Those before the one that met it are filled.
    pub(in crate::ext2) fn fill_holes(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: Range<u64>,
        end: u64,
    ) -> Result<()> {
        let mut lblk = range.start;
        while lblk < range.end {
            lblk += match self.look(lblk, range.end - lblk)? {
                (Spot::Block(_), count) => count,
                (Spot::Hole(hole), count) => self.fill(lock, ok, &hole, count, end, Fill::Zeros)?,
            };
        }
        Ok(())
    }

    /// Fills `hole` and up to `want` logical blocks in all after it, which are holes too, in the same table.
    /// Durable, but for the pointers, which the caller fences before it lets go of the inode lock. No address
    /// space shows the zero page any more where there is a block now. Returns how many were filled.
    #[inline]
    pub(in crate::ext2) fn fill(
        self,
        _lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        hole: &Hole,
        want: u64,
        end: u64,
        fill: Fill<'_>,
    ) -> Result<u64> {
        let fresh = self.take(hole, want, end)?;
        let chain = self.fill_fresh(hole, fresh, fill).fence(self.pmem());
        let count = u64::from(chain.fact().count);
        // Both locks are held exclusively: nobody else publishes, or looks whether somebody did.
        self.publish(&mut Changes::default(), chain).unfenced();
        let platform = &self.fs.platform;
        platform.at(Point::WriteAllocated, self.ino.into(), hole.lblk, count);
        if !mistake!(platform.lab(), WriteKeepsZeroPage) {
            self.mapping.unmap_zero(platform, ok, hole.lblk..hole.lblk + count);
        }
        Ok(count)
    }

    /// Takes a fresh block for `lblk`, which starts with `bytes`; `None` if `lblk` has one. Packed among
    /// other small data.
    pub(in crate::ext2) fn fresh_block(
        self,
        _lock: ChangeOk<'_>,
        lblk: u64,
        bytes: &[u8],
    ) -> Result<Option<Staged<Chain, InFlight>>> {
        let Spot::Hole(hole) = self.locate(lblk)?.0 else { return Ok(None) };
        let fresh = self.take(&hole, 1, 0)?;
        Ok(Some(self.fill_fresh(&hole, fresh, Fill::Bytes(0, bytes))))
    }

    /// Takes the block and the indirect blocks that `hole` needs, and up to `want` blocks in all for the
    /// holes after it in the same table. The file has, or is about to have, `end` blocks. On an error
    /// everything is as it was.
    #[inline]
    fn take(self, hole: &Hole, want: u64, end: u64) -> Result<Fresh> {
        let above = hole.missing();
        // `i_blocks` has room for all, or at least for one.
        let room = self.raw().units().leading_zeros() > 0;
        let want = if room { want.min(u64::from(u32::MAX)) as u32 } else { 1 };
        let units = (above as u64 + 1) << (self.fs.sb.block_bits - 9);
        if !room && u64::from(self.raw().units()) + units > u64::from(u32::MAX) {
            return Err(Errno::FileTooBig.into());
        }
        let mut goal = self.goals.lock(hole.lblk);
        if above == 0 {
            let data = self.take_data(&mut goal, hole, want, end)?;
            return Ok(Fresh { data, tables: None });
        }
        self.take_below(&mut goal, hole, want, end)
    }

    /// [`take`](Self::take) where indirect blocks are needed too.
    #[inline(never)]
    fn take_below(self, goal: &mut Goal, hole: &Hole, want: u32, end: u64) -> Result<Fresh> {
        let mut tables: ChainTables = [const { None }; LEVELS];
        let mut take = || -> Result<_> {
            for table in &mut tables[..hole.missing()] {
                *table = Some(self.take_table(goal)?);
            }
            self.take_data(goal, hole, want, end)
        };
        match take() {
            Ok(data) => Ok(Fresh { data, tables: Some(tables) }),
            Err(error) => {
                tables.into_iter().flatten().for_each(|taken| self.fs.groups().give_back(taken));
                self.pmem().fence();
                Err(error)
            }
        }
    }

    /// Fills what was taken for `hole`, where nobody looks.
    #[inline]
    fn fill_fresh(self, hole: &Hole, fresh: Fresh, fill: Fill<'_>) -> Staged<Chain, InFlight> {
        let filled = self.fill_data(fresh.data.fact(), fill);
        let chain = fresh.data.join(filled, |taken, ()| Chain::of(taken, hole.lblk, hole.slot));
        match fresh.tables {
            None => chain,
            Some(tables) => self.hang(hole, chain, tables),
        }
    }

    /// As [`fill_fresh`](Self::fill_fresh), with zeros, of one block whose pointer belongs at `slot`.
    #[inline]
    fn fill_one(self, lblk: u64, slot: u64, data: Staged<Taken, InFlight>) -> Staged<Chain, InFlight> {
        let filled = self.fill_data(data.fact(), Fill::Zeros);
        data.join(filled, |taken, ()| Chain {
            pointers: 1,
            count: 1,
            blocks: 1,
            ..Chain::of(taken, lblk, slot)
        })
    }

    /// Hangs data blocks below their indirect blocks, from the bottom up, past the cache.
    #[inline(never)]
    fn hang(
        self,
        Hole { path, level, .. }: &Hole,
        mut chain: Staged<Chain, InFlight>,
        tables: ChainTables,
    ) -> Staged<Chain, InFlight> {
        let (pmem, fs) = (self.pmem(), &self.fs);
        for (index, table) in tables.into_iter().enumerate().rev() {
            let Some(table) = table else { continue };
            let place = fs.byte(table.fact().block());
            let entry = place + u64::from(path.slots[level + index + 1]) * 4;
            pmem.clear_poison(place, fs.block_size());
            pmem.zero_nt(place, fs.block_size());
            let &Chain { root, pointers, .. } = chain.fact();
            self.store_pointers(entry, root, pointers);
            let filled = Staged::streamed((), place, fs.block_size());
            chain = chain.join(table.join(filled, |taken, ()| taken), |mut chain, table| {
                chain.tables[index] = table.block();
                (chain.root, chain.pointers, chain.blocks) = (table.block(), 1, chain.blocks + 1);
                chain
            });
        }
        chain
    }

    /// Gives back the blocks of a chain that is not published.
    #[cold]
    fn give_back<S>(self, chain: Staged<Chain, S>) {
        let &Chain { data, count, tables, .. } = chain.fact();
        self.fs.groups().give_back_blocks(data, count);
        tables
            .into_iter()
            .filter(|&table| table != 0)
            .for_each(|table| self.fs.groups().give_back_blocks(table, 1));
    }

    /// Fills fresh data blocks, past the cache.
    #[inline(always)]
    fn fill_data(self, taken: &Taken, fill: Fill<'_>) -> Staged<(), InFlight> {
        let pmem = self.pmem();
        let (place, len) = (self.fs.byte(taken.block()), u64::from(taken.count()) << self.fs.sb.block_bits);
        pmem.clear_poison(place, len);
        match fill {
            Fill::Zeros => pmem.zero_nt(place, len),
            Fill::Bytes(at, bytes) => {
                let bytes = &bytes[..bytes.len().min(len as usize - at)];
                let (at, end) = (at as u64, (at + bytes.len()) as u64);
                pmem.write_nt(place + at, bytes);
                if at > 0 {
                    pmem.zero_nt(place, at);
                }
                if end < len {
                    pmem.zero_nt(place + end, len - end);
                }
            }
            Fill::Anything => {}
        }
        Staged::streamed((), place, len)
    }

    /// Stores `count` pointers from byte offset `slot` on, to `first` and the blocks after it; flushed.
    #[inline(always)]
    pub(super) fn store_pointers(self, slot: u64, first: u32, count: u32) {
        if count != 1 {
            return self.store_many_pointers(slot, first, count);
        }
        self.pmem().put_u32(slot, first);
    }

    #[inline(never)]
    fn store_many_pointers(self, slot: u64, first: u32, count: u32) {
        let (pmem, mut index) = (self.pmem(), 0);
        if count > 2 && slot.is_multiple_of(8) {
            // Two at a time, as far as they go.
            let pair = u64::from(first) | u64::from(first + 1) << 32;
            pmem.store_series(slot, u64::from(count / 2), pair, 2 << 32 | 2);
            index = count & !1;
        }
        while index < count {
            pmem.store_u32(slot + u64::from(index) * 4, first + index);
            index += 1;
        }
        pmem.flush(slot, u64::from(count) * 4);
    }

    /// Stores the pointers to a chain that is durable, flushed; and counts its blocks.
    #[inline(always)]
    pub(in crate::ext2) fn publish(
        self,
        map: &mut Changes,
        chain: Staged<Chain, Clean>,
    ) -> Staged<Published, InFlight> {
        let (pmem, raw, chain) = (self.pmem(), self.raw(), chain.into_fact());
        map.count += 1;
        self.store_pointers(chain.slot, chain.root, chain.pointers);
        let units = chain.blocks << (self.fs.sb.block_bits - 9);
        pmem.put_u32(raw.at + I_BLOCKS, raw.units().saturating_add(units));
        Staged::streamed(Published, chain.slot, u64::from(chain.pointers) * 4)
    }
}
