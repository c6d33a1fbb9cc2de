//! A group's descriptor: where its bitmaps and its inode table are, and how much is free.
//!
//! ```text
//! 00 block bitmap │ 04 inode bitmap │ 08 inode table │ 0c free blocks, inodes │ 10 directories, flags
//! 18 checksums of both bitmaps │ 1c unused inodes │ 1e checksum │ 20 … upper halves, if it has 64 bytes
//! ```

use super::checksum;
use super::superblock::SuperBlock;
use crate::error::{Corrupt, Error, Result};
use crate::ext::features::{INCOMPAT_FLEX_BG, RO_COMPAT_GDT_CSUM};
use crate::ext::layout::*;
use crate::ext::load::Load;
use core::ops::Range;

/// A checked descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Its number.
    pub index: u32,
    /// The block of the block bitmap.
    pub block_bitmap: u64,
    /// The block of the inode bitmap.
    pub inode_bitmap: u64,
    /// The first block of the inode table.
    pub inode_table: u64,
    /// `BG_INODE_UNINIT`, `BG_BLOCK_UNINIT`, …
    pub flags: u16,
    /// Free blocks (clusters, with `bigalloc`).
    pub free_blocks: u32,
    /// Free inodes.
    pub free_inodes: u32,
    /// Inodes at the end of the table that were never in use.
    pub unused_inodes: u32,
    /// The checksum that the inode bitmap should have; 16 bits of it in a descriptor of 32 bytes.
    pub inode_bitmap_csum: u32,
}

/// A contradiction in the descriptor of group `index`.
fn bad(index: u32, why: &'static str, value: u64) -> Error {
    Corrupt::with("group descriptor", index.into(), why, value).into()
}

impl Group {
    /// Decodes and checks the descriptor of group `index`, which is at `at` in `bytes`.
    ///
    /// # Errors
    /// [`Corrupt`]: its checksum is wrong, or what it leads to is not in the file system.
    pub(crate) fn decode(sb: &SuperBlock, bytes: &(impl Load + ?Sized), at: u64, index: u32) -> Result<Self> {
        let is_wide = sb.desc_bits >= 6;
        let u16_at = |field| u32::from(bytes.load_u16(at + field));
        let two = |low, high| if is_wide { u16_at(high) << 16 | u16_at(low) } else { u16_at(low) };
        let has_own = sb.feature_ro_compat & RO_COMPAT_GDT_CSUM != 0;
        let told = bytes.load_u16(at + BG_CHECKSUM);
        let real = match sb.seed {
            Some(seed) => checksum::descriptor(seed, index, bytes, at, 1 << sb.desc_bits),
            None if has_own => checksum::old_descriptor(&sb.uuid, index, bytes, at, 1 << sb.desc_bits),
            None => told,
        };
        if told != real {
            let (what, why) = ("group descriptor", "wrong checksum");
            return Err(Corrupt::against(what, index.into(), why, told.into(), real.into()).into());
        }
        let group = Self {
            // Without checksums nobody keeps these two.
            flags: if has_own || sb.seed.is_some() { bytes.load_u16(at + BG_FLAGS) } else { 0 },
            free_blocks: two(BG_FREE_BLOCKS_COUNT, BG_FREE_BLOCKS_COUNT_HI),
            free_inodes: two(BG_FREE_INODES_COUNT, BG_FREE_INODES_COUNT_HI),
            unused_inodes: match has_own || sb.seed.is_some() {
                true => two(BG_ITABLE_UNUSED, BG_ITABLE_UNUSED_HI),
                false => 0,
            },
            inode_bitmap_csum: two(BG_INODE_BITMAP_CSUM, BG_INODE_BITMAP_CSUM_HI),
            ..Self::places(sb, bytes, at, index)
        };
        group.check(sb)?;
        Ok(group)
    }

    /// Decodes what of it never changes, where its structures are, and checks that. A crash may have torn the
    /// rest, which the journal has.
    ///
    /// # Errors
    /// [`Corrupt`]: what it leads to is not in the file system.
    pub(crate) fn decode_places(
        sb: &SuperBlock,
        bytes: &(impl Load + ?Sized),
        at: u64,
        index: u32,
    ) -> Result<Self> {
        let group = Self::places(sb, bytes, at, index);
        group.check(sb)?;
        Ok(group)
    }

    fn places(sb: &SuperBlock, bytes: &(impl Load + ?Sized), at: u64, index: u32) -> Self {
        let block = |low, high| {
            let above = if sb.desc_bits >= 6 { bytes.load_u32(at + high) } else { 0 };
            u64::from(above) << 32 | u64::from(bytes.load_u32(at + low))
        };
        Self {
            index,
            block_bitmap: block(BG_BLOCK_BITMAP, BG_BLOCK_BITMAP_HI),
            inode_bitmap: block(BG_INODE_BITMAP, BG_INODE_BITMAP_HI),
            inode_table: block(BG_INODE_TABLE, BG_INODE_TABLE_HI),
            flags: 0,
            free_blocks: 0,
            free_inodes: 0,
            unused_inodes: 0,
            inode_bitmap_csum: 0,
        }
    }

    fn check(&self, sb: &SuperBlock) -> Result<()> {
        let own = sb.first_block(self.index)..sb.first_block(self.index) + sb.group_blocks(self.index);
        let flexible = sb.has(INCOMPAT_FLEX_BG);
        let table = u64::from(sb.inode_table_blocks);
        let places = [
            (self.block_bitmap, 1, "the block bitmap is not where one can be"),
            (self.inode_bitmap, 1, "the inode bitmap is not where one can be"),
            (self.inode_table, table, "the inode table is not where one can be"),
        ];
        for (start, count, why) in places {
            let is_inside = sb.holds(start, count);
            let is_own = own.contains(&start) && own.contains(&(start + count - 1));
            if !is_inside || !(flexible || is_own) || sb.meets_front(start, count) {
                return Err(bad(self.index, why, start));
            }
        }
        let in_table = |block: u64| self.table(sb).contains(&block);
        if self.block_bitmap == self.inode_bitmap
            || in_table(self.block_bitmap)
            || in_table(self.inode_bitmap)
        {
            return Err(bad(self.index, "bitmaps and inode table overlap", self.block_bitmap));
        }
        let counts = [
            (u64::from(self.free_blocks) << sb.cluster_bits, sb.group_blocks(self.index)),
            (self.free_inodes.into(), sb.inodes_per_group.into()),
            (self.unused_inodes.into(), sb.inodes_per_group.into()),
        ];
        match counts.into_iter().find(|(count, all)| count > all) {
            None => Ok(()),
            Some((count, all)) => {
                let why = "it counts more than a group has";
                let index = self.index.into();
                Err(Corrupt::against("group descriptor", index, why, count, all).into())
            }
        }
    }

    /// Returns the blocks of the inode table.
    pub(crate) fn table(&self, sb: &SuperBlock) -> Range<u64> {
        self.inode_table..self.inode_table + u64::from(sb.inode_table_blocks)
    }

    /// Tells whether the `flag` is set.
    #[inline]
    pub(crate) fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}
