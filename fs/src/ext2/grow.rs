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
//! Under the inode's block-map mutex, which takes part as `&mut Goal`; takes group mutexes.

use super::alloc::Taken;
use super::inode::Inode;
use super::layout::*;
use super::map::{LEVELS, Path, Spot};
pub(super) use super::place::Goal;
use super::place::Hole;
use crate::error::{Errno, Result};
use crate::lab::{Mutant, Point};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use crate::vfs::AllocOk;
use core::ops::Range;

/// What fresh data blocks hold.
#[derive(Clone, Copy)]
pub(super) enum Fill<'a> {
    /// Zeros.
    Zeros,
    /// These bytes, as far as there is room, from byte `.0` on, zeros around them.
    Bytes(usize, &'a [u8]),
}

/// The fact that data blocks and the indirect blocks above them are filled and taken; nothing points to them
/// yet.
#[derive(Debug)]
pub(super) struct Chain {
    /// Where the pointers to it belong: `pointers` neighbouring ones.
    slot: u64,
    pointers: u32,
    /// What the first pointer will be; the others follow.
    root: u32,
    /// The first data block.
    pub data: u32,
    /// Its logical block.
    pub lblk: u64,
    /// How many data blocks there are.
    pub count: u32,
    /// How many blocks they all are.
    blocks: u32,
}

/// The fact that the pointers to a chain are stored.
#[derive(Debug)]
pub(super) struct Published;

impl<P: Platform> Inode<P> {
    /// The block of `lblk`, and whether it was allocated just now: the pointer is durable then. Under the inode
    /// lock.
    pub(super) fn fill_hole(&self, lblk: u64) -> Result<(u32, bool)> {
        self.fs.check_writable()?;
        let path = self.fs.sb.reach.path(lblk).ok_or(Errno::FileTooBig)?;
        let mut goal = self.map_lock.lock();
        // 1. Look, under the lock that nobody fills a hole without.
        let (slot, level) = match self.locate(&path)? {
            Spot::Block(block) => return Ok((block, false)),
            Spot::Hole { slot, level } => (slot, level),
        };
        // 2. Take and fill; durable.
        let end = self.load_size().div_ceil(self.fs.block_size());
        let hole = Hole { lblk, path: &path, slot, level };
        let chain = self.fresh_run(&mut goal, hole, 1, end, Fill::Zeros)?.fence(self.pmem());
        // 3. Publish, durably: whoever finds the pointer from here on may sync on another CPU, whose fence would
        //    not wait for it.
        let block = chain.fact().data;
        self.publish(&mut goal, chain).fence(self.pmem()).into_fact();
        Ok((block, true))
    }

    /// Fills the holes among logical blocks `range` with blocks of zeros, in pieces: each is durable, but for its
    /// pointers, which the caller fences. The file has, or is about to have, `end` blocks.
    ///
    /// # Errors
    /// Those before the one that met it are filled.
    pub(super) fn fill_holes(&self, ok: AllocOk<'_>, range: Range<u64>, end: u64) -> Result<()> {
        let mut lblk = range.start;
        while lblk < range.end {
            let path = self.fs.sb.reach.path(lblk).ok_or(Errno::FileTooBig)?;
            lblk += match self.look(&path, range.end - lblk)? {
                (Spot::Block(_), count) => count,
                (Spot::Hole { slot, level }, count) => {
                    self.fill(ok, Hole { lblk, path: &path, slot, level }, count, end, Fill::Zeros)?
                }
            };
        }
        Ok(())
    }

    /// Fills `hole` and up to `want` logical blocks in all after it, which are holes too, in the same table. Durable, but
    /// for the pointers, which the caller fences before it lets go of the inode lock. No address space shows the zero
    /// page any more where there is a block now. Returns how many were filled.
    #[inline]
    pub(super) fn fill(
        &self,
        ok: AllocOk<'_>,
        hole: Hole<'_>,
        want: u64,
        end: u64,
        fill: Fill<'_>,
    ) -> Result<u64> {
        let count = {
            let mut goal = self.map_lock.lock();
            let chain = self.fresh_run(&mut goal, hole, want, end, fill)?.fence(self.pmem());
            let count = u64::from(chain.fact().count);
            self.publish(&mut goal, chain).unfenced();
            count
        };
        let platform = &self.fs.platform;
        platform.at(Point::WriteAllocated, self.ino.into(), hole.lblk, count);
        if !platform.lab().has(Mutant::WriteKeepsZeroPage) {
            self.mapping.unmap_zero(platform, ok, hole.lblk..hole.lblk + count);
        }
        Ok(count)
    }

    /// Takes and fills the block and the indirect blocks that the hole at `slot`, `level` steps along `path`, needs, packed
    /// among other small data. On an error everything is as it was.
    pub(super) fn fresh(
        &self,
        goal: &mut Goal,
        lblk: u64,
        path: &Path,
        slot: u64,
        level: usize,
        fill: Fill<'_>,
    ) -> Result<Staged<Chain, InFlight>> {
        self.fresh_run(goal, Hole { lblk, path, slot, level }, 1, 0, fill)
    }

    /// As [`fresh`](Self::fresh), for up to `want` holes in the same table of a file that has, or is about to have, `end`
    /// blocks.
    #[inline]
    fn fresh_run(
        &self,
        goal: &mut Goal,
        hole: Hole<'_>,
        want: u64,
        end: u64,
        fill: Fill<'_>,
    ) -> Result<Staged<Chain, InFlight>> {
        let above = hole.path.depth - hole.level;
        // `i_blocks` has room for all, or at least for one.
        let room = self.pmem().load_u32(self.raw + I_BLOCKS).leading_zeros() > 0;
        let want = if room { want.min(u64::from(u32::MAX)) as u32 } else { 1 };
        let units = (above as u64 + 1) << (self.fs.sb.block_bits - 9);
        if !room && u64::from(self.pmem().load_u32(self.raw + I_BLOCKS)) + units > u64::from(u32::MAX) {
            return Err(Errno::FileTooBig.into());
        }
        if above == 0 {
            let data = self.take_data(goal, hole, want, end)?;
            let filled = self.fill_data(data.fact(), fill);
            return Ok(data.join(filled, |taken, ()| Chain {
                slot: hole.slot,
                pointers: taken.count(),
                root: taken.block(),
                data: taken.block(),
                lblk: hole.lblk,
                count: taken.count(),
                blocks: taken.count(),
            }));
        }
        self.fresh_below(goal, hole, want, end, fill)
    }

    /// [`fresh_run`](Self::fresh_run) where indirect blocks are needed too.
    #[inline(never)]
    fn fresh_below(
        &self,
        goal: &mut Goal,
        hole: Hole<'_>,
        want: u32,
        end: u64,
        fill: Fill<'_>,
    ) -> Result<Staged<Chain, InFlight>> {
        let (pmem, fs) = (self.pmem(), &self.fs);
        let Hole { lblk, path, slot, level } = hole;
        let above = path.depth - level;
        // 1. Take all that is needed, the indirect blocks first, or nothing.
        let mut tables: [Option<Staged<Taken, InFlight>>; LEVELS] = [const { None }; LEVELS];
        let mut take = || -> Result<_> {
            for table in &mut tables[..above] {
                *table = Some(self.take_table(goal)?);
            }
            self.take_data(goal, hole, want, end)
        };
        let data = match take() {
            Ok(data) => data,
            Err(error) => {
                tables.into_iter().flatten().for_each(|taken| fs.give_back(taken));
                pmem.fence();
                return Err(error);
            }
        };
        // 2. Fill the data blocks past the cache, then hang them below the indirect blocks from the bottom up.
        let filled = self.fill_data(data.fact(), fill);
        let mut chain = data.join(filled, |taken, ()| Chain {
            slot,
            pointers: taken.count(),
            root: taken.block(),
            data: taken.block(),
            lblk,
            count: taken.count(),
            blocks: taken.count(),
        });
        for (index, table) in tables.into_iter().enumerate().rev() {
            let Some(table) = table else { continue };
            let place = fs.byte(table.fact().block());
            let entry = place + u64::from(path.slots[level + index + 1]) * 4;
            pmem.zero_nt(place, fs.block_size());
            let &Chain { root, pointers, .. } = chain.fact();
            self.store_pointers(entry, root, pointers);
            let filled = Staged::streamed((), place, fs.block_size());
            chain = chain.join(table.join(filled, |taken, ()| taken), |chain, table| Chain {
                root: table.block(),
                pointers: 1,
                blocks: chain.blocks + 1,
                ..chain
            });
        }
        Ok(chain)
    }

    /// Fills fresh data blocks, past the cache.
    #[inline]
    fn fill_data(&self, taken: &Taken, fill: Fill<'_>) -> Staged<(), InFlight> {
        let pmem = self.pmem();
        let (place, len) = (self.fs.byte(taken.block()), u64::from(taken.count()) << self.fs.sb.block_bits);
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
        }
        Staged::streamed((), place, len)
    }

    /// Stores `count` pointers from byte offset `slot` on, to `first` and the blocks after it; flushed.
    #[inline]
    fn store_pointers(&self, slot: u64, first: u32, count: u32) {
        let pmem = self.pmem();
        for index in 0..count {
            pmem.store_u32(slot + u64::from(index) * 4, first + index);
        }
        pmem.flush(slot, u64::from(count) * 4);
    }

    /// Stores the pointers to a chain that is durable, flushed; and counts its blocks.
    #[inline]
    pub(super) fn publish(
        &self,
        _goal: &mut Goal,
        chain: Staged<Chain, Clean>,
    ) -> Staged<Published, InFlight> {
        let (pmem, chain) = (self.pmem(), chain.into_fact());
        self.store_pointers(chain.slot, chain.root, chain.pointers);
        let units = chain.blocks << (self.fs.sb.block_bits - 9);
        let units = pmem.load_u32(self.raw + I_BLOCKS).saturating_add(units);
        pmem.store_u32(self.raw + I_BLOCKS, units);
        pmem.flush(self.raw + I_BLOCKS, 4);
        Staged::streamed(Published, chain.slot, u64::from(chain.pointers) * 4)
    }
}
