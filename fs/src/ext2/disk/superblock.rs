//! ext2's superblock: what it shares with ext4, and block numbers of 32 bits.

use super::{FORMAT, RO_COMPAT_KNOWN};
use crate::error::Result;
use crate::ext::features::ReadOnlyReason;
use crate::ext::geometry::Geometry;
use crate::ext::layout::*;
use crate::ext::superblock::{RawSuperBlock, corrupt};
use core::ops::Deref;

/// A superblock that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperBlock {
    geometry: Geometry,
    /// `s_blocks_count`
    pub blocks_count: u32,
    /// `s_r_blocks_count`, not more than all
    pub r_blocks_count: u32,
    /// `s_free_blocks_count` as it was found
    pub free_blocks_count: u32,
}

impl Deref for SuperBlock {
    type Target = Geometry;
    #[inline(always)]
    fn deref(&self) -> &Geometry {
        &self.geometry
    }
}

impl SuperBlock {
    /// Decodes and checks `raw`, found in a region of `region` bytes.
    ///
    /// # Errors
    /// [`Unsupported`](crate::Unsupported) for none at all and for a sound one of something else,
    /// [`Corrupt`](crate::Corrupt) for nonsense.
    pub fn decode(raw: &RawSuperBlock, region: u64) -> Result<Self> {
        let geometry = Geometry::decode(raw, region, &FORMAT)?;
        let blocks_count = raw.u32(S_BLOCKS_COUNT);
        Ok(Self {
            geometry,
            blocks_count,
            r_blocks_count: raw.u32(S_R_BLOCKS_COUNT).min(blocks_count),
            free_blocks_count: raw.u32(S_FREE_BLOCKS_COUNT),
        })
    }

    /// Returns the byte offset of block `block`.
    #[inline]
    pub(in crate::ext2) fn byte(&self, block: u32) -> u64 {
        u64::from(block) << self.block_bits
    }

    /// Returns the same superblock, as read from the copy at byte `at`: the descriptors after the copy are
    /// used, not those after the first.
    ///
    /// # Errors
    /// There can be no copy.
    pub(in crate::ext2) fn read_from_copy_at(mut self, at: u64) -> Result<Self> {
        let block = (at >> self.block_bits) as u32;
        let group = self.group_of_block(block);
        let fits = at.is_multiple_of(self.block_size())
            && group < self.group_count
            && block == self.group_start(group)
            && self.has_super(group);
        if !fits {
            return Err(corrupt("a file system like this has no copy of its superblock there", at / 1024));
        }
        if self.gdt_blocks > 0 && self.group_blocks(group) <= self.gdt_blocks {
            return Err(corrupt("the copy's group is too short for descriptors", block.into()));
        }
        self.geometry.gdt_start = u64::from(block) + 1;
        Ok(self)
    }

    /// Returns whether the image was unmounted cleanly, no errors were noted on it, and no inode waits on it
    /// for being freed.
    pub fn is_clean(&self) -> bool {
        self.state & (VALID_FS | ERROR_FS) == VALID_FS && self.last_orphan == 0
    }

    /// Returns why the file system's features allow reading only, if they do.
    pub fn read_only_reason(&self) -> Option<ReadOnlyReason> {
        let unknown = self.feature_ro_compat & !RO_COMPAT_KNOWN;
        (unknown != 0).then_some(ReadOnlyReason::Features { incompat: 0, ro_compat: unknown })
    }

    /// Returns the first block of `group`.
    #[inline]
    pub fn group_start(&self, group: u32) -> u32 {
        self.first_data_block + group * self.blocks_per_group
    }

    /// Returns the group that `block`, which is below `blocks_count`, belongs to.
    #[inline]
    pub(in crate::ext2) fn group_of_block(&self, block: u32) -> u32 {
        // A pointer below the first block belongs to the first group, in front of which it is nobody's.
        block.saturating_sub(self.first_data_block) / self.blocks_per_group
    }

    /// Returns the number of blocks of `group`.
    #[inline]
    pub fn group_blocks(&self, group: u32) -> u32 {
        self.blocks_per_group.min(self.blocks_count - self.group_start(group))
    }

    /// Returns the number of blocks of `group` that files can have: all but the structures that every group
    /// has.
    pub fn group_room(&self, group: u32) -> u32 {
        let own = self.front_blocks(group).saturating_add(self.inode_table_blocks).saturating_add(2);
        self.group_blocks(group).saturating_sub(own)
    }
}
