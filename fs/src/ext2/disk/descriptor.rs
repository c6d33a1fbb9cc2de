//! A group's descriptor, checked on each use: where its bitmaps and its inode table are.

use super::superblock::SuperBlock;
use crate::error::{Corrupt, Result};
use crate::ext::layout::*;
use crate::ext::unreadable;
use crate::pmem::Pmem;

/// A descriptor whose addresses lie inside their group.
#[derive(Clone, Copy, Debug)]
pub(in crate::ext2) struct Group {
    pub index: u32,
    /// Byte offset of the descriptor.
    pub desc: u64,
    /// First block.
    pub start: u32,
    /// Number of blocks.
    pub blocks: u32,
    pub block_bitmap: u32,
    pub inode_bitmap: u32,
    pub inode_table: u32,
    pub table_blocks: u32,
}

impl Group {
    /// Makes a group without structures.
    #[cfg(test)]
    pub(in crate::ext2) fn for_tests(start: u32, blocks: u32) -> Self {
        let nowhere = u32::MAX;
        let [block_bitmap, inode_bitmap, inode_table] = [nowhere; 3];
        Self { index: 0, desc: 0, start, blocks, block_bitmap, inode_bitmap, inode_table, table_blocks: 0 }
    }

    /// Returns the block (counted in the group) from which on no structure of the group lies, those at the
    /// group's front apart.
    pub(in crate::ext2) fn structures_end(&self) -> u32 {
        let ends = [self.block_bitmap + 1, self.inode_bitmap + 1, self.inode_table + self.table_blocks];
        ends.into_iter().map(|end| end - self.start).max().unwrap_or(self.blocks)
    }

    /// Returns the byte offset of the raw inode in `slot` of the group's table.
    #[inline]
    pub(in crate::ext2) fn inode(&self, sb: &SuperBlock, slot: u32) -> u64 {
        sb.byte(self.inode_table) + u64::from(slot) * u64::from(sb.inode_size)
    }

    /// Returns whether `block`, one of the group's, belongs to the group's bitmaps or inode table.
    #[inline]
    pub(in crate::ext2) fn is_own(&self, block: u32) -> bool {
        block == self.block_bitmap
            || block == self.inode_bitmap
            || block.wrapping_sub(self.inode_table) < self.table_blocks
    }
}

impl SuperBlock {
    /// Returns the descriptor of group `index`, checked.
    pub(in crate::ext2) fn group(&self, pmem: &impl Pmem, index: u32) -> Result<Group> {
        let sb = self;
        if index >= sb.group_count {
            return Err(Corrupt::new("group descriptor", index.into(), "no such group").into());
        }
        let desc = self.desc(index);
        if let Some(bad) = pmem.poisoned(desc, DESC_SIZE) {
            return Err(unreadable("group descriptor", index.into(), bad));
        }
        let group = Group {
            index,
            desc,
            start: sb.group_start(index),
            blocks: sb.group_blocks(index),
            block_bitmap: pmem.load_u32(desc + BG_BLOCK_BITMAP),
            inode_bitmap: pmem.load_u32(desc + BG_INODE_BITMAP),
            inode_table: pmem.load_u32(desc + BG_INODE_TABLE),
            table_blocks: sb.inode_table_blocks,
        };
        let bad = |why, block: u32| Corrupt::with("group descriptor", index.into(), why, block.into());
        // Where copies of superblock and descriptors end, if something lies where there may be some. What is
        // in front of the group wraps around, and is beyond it.
        let [first, second, third] = [group.block_bitmap, group.inode_bitmap, group.inode_table]
            .map(|block| block.wrapping_sub(group.start));
        let may_be_in_front = first.min(second).min(third) < sb.backup_blocks();
        let front = if may_be_in_front { sb.front_blocks(index) } else { 0 };
        let fits = |relative: u32, count: u32| {
            relative >= front && relative < group.blocks && count <= group.blocks - relative
        };
        if !fits(first, 1) {
            return Err(bad("the block bitmap is not in the group", group.block_bitmap).into());
        }
        if !fits(second, 1) {
            return Err(bad("the inode bitmap is not in the group", group.inode_bitmap).into());
        }
        if !fits(third, sb.inode_table_blocks) {
            return Err(bad("the inode table is not in the group", group.inode_table).into());
        }
        let in_table = |block: u32| block.wrapping_sub(group.inode_table) < sb.inode_table_blocks;
        if group.block_bitmap == group.inode_bitmap
            || in_table(group.block_bitmap)
            || in_table(group.inode_bitmap)
        {
            return Err(bad("bitmaps and inode table overlap", group.block_bitmap).into());
        }
        Ok(group)
    }
}
