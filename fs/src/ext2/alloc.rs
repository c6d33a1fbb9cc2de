//! Taking blocks from the bitmaps and giving them back.
//!
//! # Locking
//! Takes one group's mutex at a time; called under an inode's block-map mutex or its inode lock.

use super::Ext2;
use super::bitmap::Bitmap;
use super::group::Group;
use super::layout::*;
use super::truncate::Cut;
use crate::error::{Corrupt, Errno, Result};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};

/// The fact that a block's bit was set: it belongs to whoever holds this. Published or given back.
#[derive(Debug)]
pub(super) struct Taken(u32);

impl Taken {
    pub(super) fn block(&self) -> u32 {
        self.0
    }
}

impl<P: Platform> Ext2<P> {
    fn block_bitmap(&self, group: &Group) -> Bitmap {
        Bitmap::new(self.byte(group.block_bitmap), group.blocks)
    }

    /// Takes a free block: `goal` or the next one in its group, else one of the group, else one of the groups
    /// after it.
    ///
    /// # Errors
    /// [`Errno::NoSpace`]; [`Error::Corrupt`](crate::Error::Corrupt) where a bitmap or descriptor contradicts
    /// itself.
    pub(super) fn take_block(&self, goal: u32) -> Result<Staged<Taken, InFlight>> {
        let first = self.sb.first_data_block;
        let goal = if (first..self.sb.blocks_count).contains(&goal) { goal } else { first };
        let (first, count) = (self.group_of_block(goal), self.sb.group_count);
        for step in 0..count {
            let index = (first + step) % count;
            if self.pmem().load_u16(self.desc(index) + BG_FREE_BLOCKS_COUNT) == 0 {
                continue;
            }
            let from = if step == 0 { goal - self.sb.group_start(index) } else { 0 };
            if let Some(taken) = self.take_in_group(index, from)? {
                self.platform.stats().block_allocated.inc();
                return Ok(taken);
            }
        }
        Err(Errno::NoSpace.into())
    }

    #[inline]
    fn take_in_group(&self, index: u32, from: u32) -> Result<Option<Staged<Taken, InFlight>>> {
        let pmem = self.pmem();
        let group = self.group(index)?;
        let bitmap = self.block_bitmap(&group);
        let mut state = self.groups[index as usize].lock();
        // The count is what e2fsck and we believe: a bit that is clear although it is 0 is left alone.
        if pmem.load_u16(group.desc + BG_FREE_BLOCKS_COUNT) == 0 {
            return Ok(None);
        }
        let from = from.max(state.first_free_block);
        let ahead = bitmap.find_clear(pmem, from, group.blocks);
        let Some(bit) = ahead.or_else(|| bitmap.find_clear(pmem, state.first_free_block, from)) else {
            return Ok(None);
        };
        self.check_not_own(&group, group.start + bit)?;
        if from == state.first_free_block {
            state.first_free_block = bit + 1;
        }
        self.add_to_count(&group, BG_FREE_BLOCKS_COUNT, -1);
        Ok(Some(bitmap.set(pmem, bit, Taken(group.start + bit)).flush(pmem)))
    }

    /// Gives back a block that was never published.
    pub(super) fn give_back(&self, taken: Staged<Taken, InFlight>) {
        let block = taken.unfenced().0;
        // It was taken a moment ago, so nothing about it can be wrong.
        let result = self.clear_bits(block, 1);
        let _ = self.noted(result);
    }

    /// Frees `count` neighbouring blocks, to which no pointer is left. Their bits become durable with a later
    /// fence: a crash before it leaks them.
    ///
    /// # Errors
    /// Some of them are free already, or the file system's own.
    pub(super) fn free_run(&self, _gone: &Staged<Cut, Clean>, first: u32, count: u32) -> Result<()> {
        let (mut block, mut left) = (first, count);
        while left > 0 {
            let index = self.group_of_block(block);
            let end = self.sb.group_start(index) + self.sb.group_blocks(index);
            let step = left.min(end.saturating_sub(block)).max(1);
            self.clear_bits(block, step)?;
            block += step;
            left -= step;
        }
        Ok(())
    }

    /// Clears the bits of blocks that lie in one group.
    fn clear_bits(&self, first: u32, count: u32) -> Result<()> {
        let pmem = self.pmem();
        let group = self.group(self.group_of_block(first))?;
        for block in first..first + count {
            self.check_not_own(&group, block)?;
        }
        let bit = first - group.start;
        let mut state = self.groups[group.index as usize].lock();
        let Some(cleared) = self.block_bitmap(&group).clear(pmem, bit, count) else {
            let why = "a block was freed that is free";
            return Err(Corrupt::with("block bitmap", group.index.into(), why, first.into()).into());
        };
        cleared.flush(pmem).unfenced();
        state.first_free_block = state.first_free_block.min(bit);
        self.add_to_count(&group, BG_FREE_BLOCKS_COUNT, count as i32);
        self.platform.stats().block_freed.add(count.into());
        Ok(())
    }

    /// True if the bitmap says that `block`, which is below `blocks_count`, is in use.
    pub(super) fn block_in_use(&self, block: u32) -> Result<bool> {
        let group = self.group(self.group_of_block(block))?;
        Ok(self.block_bitmap(&group).is_set(self.pmem(), block - group.start))
    }
}
