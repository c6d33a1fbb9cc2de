//! Filling holes: fresh blocks, and their publication in the block map.
//!
//! A hole may need indirect blocks too. They and the data block are filled while nothing points to them; one
//! fence makes all of it durable; then one pointer, in the inode or in an indirect block that is there,
//! publishes the whole chain:
//!
//! ```text
//! slot (published last) → indirect → indirect → data
//! ```
//!
//! # Locking
//! Under the inode's block-map mutex, which takes part as `&mut Goal`; takes group mutexes.

use super::alloc::Taken;
use super::inode::Inode;
use super::layout::*;
use super::map::{LEVELS, Path, Spot};
use crate::error::{Errno, Result};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged, fence_all};
use crate::vfs::AllocOk;

/// Where to look for the next block: what the block-map mutex guards.
#[derive(Debug, Default)]
pub(super) struct Goal {
    lblk: u64,
    /// The block that `lblk` got last; 0 if there was none yet.
    block: u32,
}

/// What a fresh data block holds.
#[derive(Clone, Copy)]
pub(super) enum Fill<'a> {
    /// Zeros.
    Zeros,
    /// These bytes from byte `.0` on, zeros around them.
    Bytes(usize, &'a [u8]),
}

/// The fact that a data block and the indirect blocks above it are filled and taken; nothing points to them
/// yet.
#[derive(Debug)]
pub(super) struct Chain {
    /// Where the pointer to it belongs.
    slot: u64,
    /// What the pointer will be.
    root: u32,
    /// The data block.
    pub data: u32,
    /// Its logical block.
    pub lblk: u64,
    /// How many blocks they are.
    blocks: u32,
}

/// The fact that the pointer to a chain is stored.
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
        let chain = self.fresh(&mut goal, lblk, &path, slot, level, Fill::Zeros)?.fence(self.pmem());
        // 3. Publish, durably: whoever finds the pointer from here on may sync on another CPU, whose fence would
        //    not wait for it.
        let block = chain.fact().data;
        self.publish(&mut goal, chain).fence(self.pmem()).into_fact();
        Ok((block, true))
    }

    /// Where the block of `lblk` had best be, whose pointer at `slot` is empty.
    #[inline]
    fn goal(&self, goal: &Goal, lblk: u64, path: &Path, slot: u64, level: usize) -> u32 {
        if goal.block != 0 && lblk == goal.lblk + 1 {
            return goal.block + 1;
        }
        // After the block of the logical block before; else after the indirect block; else in the inode's group.
        if level == path.depth && path.slots[level] > 0 {
            let before = self.pmem().load_u32(slot - 4);
            if before != 0 && before < self.fs.sb.blocks_count {
                return before + 1;
            }
        }
        if level > 0 {
            return (slot / self.fs.block_size()) as u32 + 1;
        }
        self.fs.sb.group_start(self.fs.group_of_inode(self.ino))
    }

    /// Takes and fills the blocks that the hole at `slot`, `level` steps along `path`, needs. On an error
    /// everything is as it was.
    pub(super) fn fresh(
        &self,
        goal: &mut Goal,
        lblk: u64,
        path: &Path,
        slot: u64,
        level: usize,
        fill: Fill<'_>,
    ) -> Result<Staged<Chain, InFlight>> {
        let (pmem, fs) = (self.pmem(), &self.fs);
        let above = path.depth - level;
        let units = (above as u32 + 1) * (self.fs.block_size() / 512) as u32;
        if pmem.load_u32(self.raw + I_BLOCKS).checked_add(units).is_none() {
            return Err(Errno::FileTooBig.into());
        }
        // 1. Take all that is needed, the indirect blocks first, or nothing.
        let mut next = self.goal(goal, lblk, path, slot, level);
        let mut tables: [Option<Staged<Taken, InFlight>>; LEVELS] = [const { None }; LEVELS];
        let mut take = || -> Result<_> {
            for table in &mut tables[..above] {
                let taken = fs.take_block(next)?;
                next = taken.fact().block() + 1;
                *table = Some(taken);
            }
            fs.take_block(next)
        };
        let data = match take() {
            Ok(data) => data,
            Err(error) => {
                tables.into_iter().flatten().for_each(|taken| fs.give_back(taken));
                pmem.fence();
                return Err(error);
            }
        };
        *goal = Goal { lblk, block: data.fact().block() };
        // 2. Fill the data block past the cache, then hang it below the indirect blocks from the bottom up.
        let place = self.fs.byte(data.fact().block());
        let filled = match fill {
            Fill::Zeros => {
                pmem.zero_nt(place, self.fs.block_size());
                Staged::streamed((), place, self.fs.block_size())
            }
            Fill::Bytes(at, bytes) => {
                let (at, end) = (at as u64, (at + bytes.len()) as u64);
                pmem.write_nt(place + at, bytes);
                if at > 0 {
                    pmem.zero_nt(place, at);
                }
                if end < self.fs.block_size() {
                    pmem.zero_nt(place + end, self.fs.block_size() - end);
                }
                Staged::streamed((), place, self.fs.block_size())
            }
        };
        let mut chain = data.join(filled, |taken, ()| Chain {
            slot,
            root: taken.block(),
            data: taken.block(),
            lblk,
            blocks: 1,
        });
        for (index, table) in tables.into_iter().enumerate().rev() {
            let Some(table) = table else { continue };
            let place = self.fs.byte(table.fact().block());
            let entry = place + u64::from(path.slots[level + index + 1]) * 4;
            pmem.zero_nt(place, self.fs.block_size());
            pmem.store_u32(entry, chain.fact().root);
            pmem.flush(entry, 4);
            let filled = Staged::streamed((), place, self.fs.block_size());
            chain = chain.join(table.join(filled, |taken, ()| taken), |chain, table| Chain {
                root: table.block(),
                blocks: chain.blocks + 1,
                ..chain
            });
        }
        Ok(chain)
    }

    /// Stores the pointer to a chain that is durable, flushed; and counts its blocks.
    #[inline]
    pub(super) fn publish(
        &self,
        _goal: &mut Goal,
        chain: Staged<Chain, Clean>,
    ) -> Staged<Published, InFlight> {
        let (pmem, chain) = (self.pmem(), chain.into_fact());
        pmem.store_u32(chain.slot, chain.root);
        let units = pmem
            .load_u32(self.raw + I_BLOCKS)
            .saturating_add(chain.blocks * (self.fs.block_size() / 512) as u32);
        pmem.store_u32(self.raw + I_BLOCKS, units);
        pmem.flush(self.raw + I_BLOCKS, 4);
        Staged::stored(Published, chain.slot, 4).flush(pmem)
    }
}

/// How many chains one fence serves.
const BATCH: usize = 16;

/// Chains waiting for the fence that they share. Each is for another pointer.
pub(super) struct Batch {
    chains: [Option<Staged<Chain, InFlight>>; BATCH],
    len: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { chains: [const { None }; BATCH], len: 0 }
    }

    /// Fills the hole at `lblk`, or tells which block is there already.
    pub(super) fn add<P: Platform>(
        &mut self,
        inode: &Inode<P>,
        ok: AllocOk<'_>,
        lblk: u64,
        fill: Fill<'_>,
    ) -> Result<Option<u32>> {
        let path = inode.fs.sb.reach.path(lblk).ok_or(Errno::FileTooBig)?;
        let level = {
            let mut goal = inode.map_lock.lock();
            let (slot, level) = match inode.locate(&path)? {
                Spot::Block(block) => return Ok(Some(block)),
                Spot::Hole { slot, level } => (slot, level),
            };
            self.chains[self.len] = Some(inode.fresh(&mut goal, lblk, &path, slot, level, fill)?);
            level
        };
        self.len += 1;
        // New indirect blocks must be found by the next logical block's look-up.
        if self.len == BATCH || level < path.depth {
            self.publish(inode, ok);
        }
        Ok(None)
    }

    /// One fence, then every pointer, flushed: the caller fences before it lets go of the inode lock. No address
    /// space shows the zero page any more where there is a block now.
    pub(super) fn publish<P: Platform>(&mut self, inode: &Inode<P>, ok: AllocOk<'_>) {
        if self.len == 0 {
            return;
        }
        self.len = 0;
        let chains = core::mem::replace(&mut self.chains, [const { None }; BATCH]);
        let chains = fence_all(inode.pmem(), chains);
        let mut lblks = [None; BATCH];
        {
            let mut goal = inode.map_lock.lock();
            for (chain, lblk) in chains.into_iter().zip(&mut lblks) {
                if let Some(chain) = chain {
                    *lblk = Some(chain.fact().lblk);
                    inode.publish(&mut goal, chain).unfenced();
                }
            }
        }
        let unmapped = lblks.into_iter().flatten().map(|lblk| inode.mapping.unmap_zero(ok, lblk)).sum();
        inode.fs.platform.stats().zero_page_unmapped.add(unmapped);
    }
}
