//! Block groups: descriptors, read in place and checked on each use.
//!
//! # Locking
//! One short mutex a group guards its two bitmaps and its descriptor's counts: `block map or goal → group`;
//! two groups are never held at once. The addresses in a descriptor never change, so they are read without
//! it.

use super::Groups;
use super::runs::RUN;
use crate::error::{Corrupt, Result};
use crate::ext::layout::*;
use crate::ext2::disk::descriptor::Group;
use crate::platform::Platform;
use crate::pmem::Pmem;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

impl<P: Platform> Groups<'_, P> {
    /// Returns the descriptor of group `index`, checked.
    pub(in crate::ext2) fn group(self, index: u32) -> Result<Group> {
        self.sb.group(self.pmem(), index)
    }

    /// Refuses a block of `group` that holds the file system's own structures: it is nobody's to take or to
    /// free.
    #[inline]
    pub(in crate::ext2) fn check_not_own(self, group: &Group, block: u32) -> Result<()> {
        if group.is_own(block) || self.sb.in_backup(group.index, block - group.start) {
            let why = "a block of the file system's own was taken for a file's";
            return Err(Corrupt::with("group", group.index.into(), why, block.into()).into());
        }
        Ok(())
    }

    /// Returns whether `block`, which is below `blocks_count`, holds structures of the file system itself,
    /// going by its group's descriptor as it stands: no pointer of a file may lead there.
    ///
    /// Every pointer followed is asked about, so the usual answer is quick: mke2fs puts a group's structures
    /// in front, and once that is known of a group, a block further back needs no look at the descriptor.
    #[inline]
    pub(in crate::ext2) fn holds_structures(self, block: u32) -> bool {
        let index = self.sb.group_of_block(block);
        self.may_hold_structures(index, block) && self.is_among_structures(index, block)
    }

    /// Returns false if `block`, which is below `blocks_count`, is known to hold no structure, and its group
    /// to have no memory error.
    #[inline]
    pub(in crate::ext2) fn may_be_structures(self, block: u32) -> bool {
        self.may_hold_structures(self.sb.group_of_block(block), block)
    }

    /// As [`may_be_structures`](Self::may_be_structures), of group `index`.
    #[inline]
    fn may_hold_structures(self, index: u32, block: u32) -> bool {
        let end = self.structures_end.get(index as usize).map_or(u32::MAX, |end| end.load(Relaxed));
        block < end
    }

    /// Returns whether `block` holds structures, as [`holds_structures`](Self::holds_structures) says, or a
    /// memory error took a part of it: no pointer to metadata may lead there.
    #[inline]
    pub(in crate::ext2) fn bars_metadata(self, block: u32) -> bool {
        let index = self.sb.group_of_block(block);
        self.may_hold_structures(index, block) && self.is_no_metadata(index, block)
    }

    #[cold]
    fn is_no_metadata(self, index: u32, block: u32) -> bool {
        self.is_among_structures(index, block) || self.poisoned_block(block).is_some()
    }

    /// Returns the byte of `block` that a memory error took.
    #[inline(never)]
    pub(in crate::ext2) fn poisoned_block(self, block: u32) -> Option<u64> {
        self.pmem().poisoned(self.byte(block), self.block_size())
    }

    /// Returns whether `block`, which is not 0, can be a file's.
    #[inline(always)]
    pub(in crate::ext2) fn may_be_a_files(self, block: u32) -> bool {
        block < self.sb.blocks_count && !self.holds_structures(block)
    }

    /// Returns whether the run of 512 blocks from `first` on, which is not 0, can be a file's.
    pub(in crate::ext2) fn run_may_be_a_files(self, first: u32) -> bool {
        let last = match first.checked_add(RUN - 1) {
            Some(last) if last < self.sb.blocks_count => last,
            _ => return false,
        };
        let index = self.sb.group_of_block(first);
        let behind = first >= self.structures_end[index as usize].load(Relaxed);
        behind && self.sb.group_of_block(last) == index
            || (first..=last).all(|block| !self.holds_structures(block))
    }

    #[cold]
    fn is_among_structures(self, index: u32, block: u32) -> bool {
        let (sb, pmem) = (&self.sb, self.pmem());
        let (desc, start) = (self.sb.desc(index), sb.group_start(index));
        if pmem.poisoned(desc, DESC_SIZE).is_some() {
            // Where they are is lost: they are taken to be where mke2fs puts them.
            return block.wrapping_sub(start) < sb.structure_blocks() || sb.in_backup(index, block - start);
        }
        let table = pmem.load_u32(desc + BG_INODE_TABLE);
        let bitmaps = [BG_BLOCK_BITMAP, BG_INODE_BITMAP].map(|field| pmem.load_u32(desc + field));
        let in_front = |block: u32, count: u32| {
            block.wrapping_sub(start).checked_add(count).is_some_and(|end| end <= sb.structure_blocks())
        };
        if in_front(table, sb.inode_table_blocks) && bitmaps.iter().all(|&bitmap| in_front(bitmap, 1)) {
            let ends = [
                table + sb.inode_table_blocks,
                bitmaps[0] + 1,
                bitmaps[1] + 1,
                start + sb.front_blocks(index),
            ];
            let end = ends.into_iter().fold(start, u32::max);
            // In a group with a memory error each block is looked at.
            let known = &self.structures_end[index as usize];
            let len = u64::from(sb.group_blocks(index)) << sb.block_bits;
            let is_good = || pmem.poisoned(sb.byte(start), len).is_none();
            if is_good() {
                known.store(end, SeqCst);
                // One that came in between is known to the list before anybody is told of it.
                if !is_good() {
                    known.store(u32::MAX, SeqCst);
                }
            }
        }
        block.wrapping_sub(table) < sb.inode_table_blocks
            || bitmaps.contains(&block)
            || sb.in_backup(index, block - start)
    }

    /// Changes a 16-bit count of a descriptor by `change`, under the group's lock. Counts have no order among
    /// other stores: they can be recomputed from the bitmaps.
    #[inline]
    pub(in crate::ext2) fn add_to_count(self, group: &Group, field: u64, change: i32) {
        let pmem = self.pmem();
        let count = i32::from(pmem.load_u16(group.desc + field)) + change;
        pmem.store_u16(group.desc + field, count.clamp(0, u16::MAX.into()) as u16);
        pmem.flush(group.desc + field, 2);
    }

    /// Sums free blocks and free inodes over the descriptors: of each not more than a group can have,
    /// whatever its descriptor says.
    pub(in crate::ext2) fn sum_free(self) -> (u32, u32) {
        let pmem = self.pmem();
        (0..self.sb.group_count).fold((0u32, 0u32), |(blocks, inodes), group| {
            let desc = self.sb.desc(group);
            if pmem.poisoned(desc, DESC_SIZE).is_some() {
                return (blocks, inodes);
            }
            let more_blocks = u32::from(pmem.load_u16(desc + BG_FREE_BLOCKS_COUNT));
            let more_inodes = u32::from(pmem.load_u16(desc + BG_FREE_INODES_COUNT));
            let more_blocks = more_blocks.min(self.sb.group_room(group));
            let more_inodes = more_inodes.min(self.sb.inodes_per_group);
            (blocks.saturating_add(more_blocks), inodes.saturating_add(more_inodes))
        })
    }

    /// Forgets what is known of the groups in the `len` bytes at `place`, which a memory error took, so that
    /// what is bad is met when it is used. Tells `f` of each of the file system's own structures that lies
    /// there, and of its number.
    pub(in crate::ext2) fn forget_groups(self, place: u64, len: u64, f: &mut dyn FnMut(&'static str, u64)) {
        let (sb, end) = (&self.sb, place.saturating_add(len));
        let meets = |at: u64, len: u64| at < end && place < at + len;
        if meets(SUPERBLOCK, 1024) {
            f("superblock", 0);
        }
        for index in 0..sb.group_count {
            let start = sb.byte(sb.group_start(index));
            let in_group = meets(start, u64::from(sb.group_blocks(index)) << sb.block_bits);
            let in_desc = meets(self.sb.desc(index), DESC_SIZE);
            if !in_group && !in_desc {
                continue;
            }
            self.structures_end[index as usize].store(u32::MAX, SeqCst);
            let group = self.group(index);
            if in_desc {
                f("group descriptor", index.into());
            }
            let bitmap_of = |group: &Group| meets(self.byte(group.block_bitmap), self.block_size());
            let in_bitmap = group.as_ref().is_ok_and(bitmap_of);
            if in_desc || in_bitmap {
                self.groups[index as usize].lock().space = None;
            }
            let Ok(group) = group else { continue };
            if in_bitmap {
                f("block bitmap", index.into());
            }
            if meets(self.byte(group.inode_bitmap), self.block_size()) {
                f("inode bitmap", index.into());
            }
            let table = self.byte(group.inode_table);
            if meets(table, u64::from(group.table_blocks) << sb.block_bits) {
                let (size, per_group) = (u64::from(sb.inode_size), u64::from(sb.inodes_per_group));
                let last = (end - table).div_ceil(size).min(per_group);
                for slot in place.saturating_sub(table) / size..last {
                    let ino = (u64::from(index) * per_group + slot + 1) as u32;
                    self.cache.unkeep(ino);
                    // Of a free one nothing is lost: whoever takes it overwrites all of it. If nobody can
                    // tell, it is not.
                    if self.expect_inode_bitmap(&group).is_err() || self.is_inode_in_use(&group, ino) {
                        f("inode", ino.into());
                    }
                }
            }
        }
    }
}
