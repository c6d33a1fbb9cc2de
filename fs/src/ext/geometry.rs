//! What follows from a superblock: where groups, their descriptors and their structures are.
//!
//! ```text
//! group 0 | superblock | descriptors | room for more | bitmaps, inode table | data
//! group 1 |   copies of both, in some groups         | bitmaps, inode table | data
//! ```
//!
//! With `flex_bg` the bitmaps and the inode tables of several groups lie together in the first of them.

use super::features;
use super::layout::*;
use super::superblock::{RawSuperBlock, corrupt};
use crate::PAGE_SIZE;
use crate::error::{Corrupt, Errno, Result, Unsupported};
use crate::pmem::Pmem;
use crate::vfs::{MountOptions, OnError};
use core::ops::RangeInclusive;

/// One of the formats, as far as it decides whether a superblock is one of its own.
pub(crate) struct DiskFormat {
    /// What the type is called.
    pub name: &'static str,
    /// The incompatible features that it understands.
    pub incompat: u32,
    /// What helps where others are needed, in a few words; or nothing.
    pub hint: fn(u32) -> &'static str,
}

/// A superblock that makes sense, with what follows from it. Counts that change are not in it: they are read
/// in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// `s_inodes_count`
    pub inodes_count: u32,
    /// `s_blocks_count`, with its upper half if the file system has 64-bit block numbers
    pub blocks_count: u64,
    /// `s_def_resuid`: the user who may take reserved blocks, beside root
    pub def_resuid: u16,
    /// `s_def_resgid`: the group whose members may, if it is not 0
    pub def_resgid: u16,
    /// A block has 2 to this power bytes.
    pub block_bits: u32,
    /// A cluster, the unit of allocation, has 2 to this power blocks: 0 without `bigalloc`.
    pub cluster_bits: u32,
    /// `s_first_data_block`: 1 with blocks of 1 KiB, otherwise 0
    pub first_data_block: u32,
    /// `s_blocks_per_group`
    pub blocks_per_group: u32,
    /// `s_inodes_per_group`
    pub inodes_per_group: u32,
    /// Number of groups; the last may be short of blocks.
    pub group_count: u32,
    /// A group's descriptor has 2 to this power bytes.
    pub desc_bits: u32,
    /// `s_state` as it was found
    pub state: u16,
    /// What `s_errors` tells
    pub on_error: OnError,
    /// `s_last_orphan` as it was found; 0 if there are none
    pub last_orphan: u32,
    /// `s_rev_level`
    pub rev_level: u32,
    /// `s_first_ino`: the first inode that is not reserved
    pub first_ino: u32,
    /// `s_inode_size`
    pub inode_size: u32,
    /// `s_feature_compat`
    pub feature_compat: u32,
    /// `s_feature_incompat`
    pub feature_incompat: u32,
    /// `s_feature_ro_compat` as it was found
    pub feature_ro_compat: u32,
    /// Blocks of the descriptor table in front of the groups that have a superblock: all descriptors, without
    /// `meta_bg`
    pub gdt_blocks: u32,
    /// The first meta group whose descriptors lie in itself; none without `meta_bg`
    pub first_meta_bg: u32,
    /// First block of the descriptor table that is used: after the superblock that is used
    pub(crate) gdt_start: u64,
    /// `s_reserved_gdt_blocks`, if the feature is there
    pub reserved_gdt_blocks: u32,
    /// Blocks of one group's inode table
    pub inode_table_blocks: u32,
    /// What a new inode's `i_extra_isize` is; 0 for inodes of 128 bytes
    pub extra_isize: u16,
    /// `s_uuid`
    pub uuid: [u8; 16],
    /// `s_volume_name`
    pub volume_name: [u8; 16],
    backup_bgs: [u32; 2],
}

/// Returns what `s_errors` tells; a number that nobody knows is taken for the careful one, as Linux does.
pub(crate) fn on_error_of(errors: u16) -> OnError {
    OnError::ALL.get(usize::from(errors).wrapping_sub(1)).copied().unwrap_or(OnError::ReadOnly)
}

/// Refuses with `why` and the offending value unless `ok`.
fn check(ok: bool, why: &'static str, value: u32) -> Result<()> {
    if ok { Ok(()) } else { Err(corrupt(why, value.into())) }
}

/// Returns where the superblock is that is to be used, in bytes.
///
/// # Errors
/// [`Errno::Invalid`](crate::Errno::Invalid) for a place that no region has.
pub(crate) fn superblock_at(options: &MountOptions) -> Result<u64> {
    match options.super_block {
        None => Ok(SUPERBLOCK),
        Some(kib) => Ok(kib.checked_mul(1024).ok_or(crate::Errno::Invalid)?),
    }
}

/// What a region has that has the magic number of ext2, ext3 and ext4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// A feature that only ext4 has; else it is an ext2 or ext3.
    pub is_ext4: bool,
}

/// Looks for the magic number that ext2, ext3 and ext4 share.
///
/// # Errors
/// Its place, or that of the features, cannot be read.
pub(crate) fn probe(pmem: &impl Pmem, options: &MountOptions) -> Result<Option<Probe>> {
    let at = superblock_at(options)?;
    RawSuperBlock::expect_at(pmem, at, S_MAGIC..S_FEATURE_RO_COMPAT + 4)?;
    if pmem.load_u16(at + S_MAGIC) != MAGIC {
        return Ok(None);
    }
    let is_ext4 = pmem.load_u32(at + S_REV_LEVEL) != 0
        && (pmem.load_u32(at + S_FEATURE_INCOMPAT) & features::INCOMPAT_EXT4 != 0
            || pmem.load_u32(at + S_FEATURE_RO_COMPAT) & features::RO_COMPAT_EXT4 != 0);
    Ok(Some(Probe { is_ext4 }))
}

impl Geometry {
    /// Decodes and checks `raw` as a file system of `format`, found in a region of `region` bytes.
    ///
    /// # Errors
    /// [`Unsupported`] for none at all and for a sound one of something else, [`Corrupt`] for nonsense.
    #[inline(always)] // what it returns is long: a mount does not copy it once more
    pub(crate) fn decode(raw: &RawSuperBlock, region: u64, format: &DiskFormat) -> Result<Self> {
        // 1. Is it one, and of a kind we know? Nothing else can be trusted before.
        let magic = raw.u16(S_MAGIC);
        if magic != MAGIC {
            return Err(Unsupported::Magic { of: format.name, found: magic.into() }.into());
        }
        let rev_level = raw.u32(S_REV_LEVEL);
        if rev_level > 1 {
            return Err(Unsupported::Revision { of: format.name, revision: rev_level }.into());
        }
        let dynamic = |at| if rev_level == 0 { 0 } else { raw.u32(at) };
        let feature_incompat = dynamic(S_FEATURE_INCOMPAT);
        let unknown = feature_incompat & !format.incompat;
        if unknown != 0 {
            return Err(Unsupported::Features(features::missing(unknown, (format.hint)(unknown))).into());
        }
        let feature_compat = dynamic(S_FEATURE_COMPAT);
        let feature_ro_compat = dynamic(S_FEATURE_RO_COMPAT);

        // 2. Sizes of blocks, clusters and inodes.
        let log_block_size = raw.u32(S_LOG_BLOCK_SIZE);
        check(log_block_size <= 6, "nonsensical s_log_block_size", log_block_size)?;
        let block_bits = 10 + log_block_size;
        let block_size = 1u64 << block_bits;
        if block_size > PAGE_SIZE {
            let supported = "blocks of 1024, 2048 or 4096 bytes are (mke2fs -b 4096)";
            return Err(Unsupported::BlockSize { bytes: block_size, supported }.into());
        }
        let cluster_bits = match feature_ro_compat & features::RO_COMPAT_BIGALLOC {
            0 => 0,
            _ => {
                let log = raw.u32(S_LOG_CLUSTER_SIZE);
                let usual = (log_block_size..=20).contains(&log);
                check(usual, "nonsensical s_log_cluster_size", log)?;
                log - log_block_size
            }
        };
        let bits = block_size as u32 * 8;
        let (inode_size, first_ino) = match rev_level {
            0 => (GOOD_OLD_INODE_SIZE, GOOD_OLD_FIRST_INO),
            _ => (raw.u16(S_INODE_SIZE).into(), raw.u32(S_FIRST_INO)),
        };
        let sizes = GOOD_OLD_INODE_SIZE..=block_size as u32;
        check(inode_size.is_power_of_two() && sizes.contains(&inode_size), "bad s_inode_size", inode_size)?;
        let is_64bit = feature_incompat & features::INCOMPAT_64BIT != 0;
        let desc_size = match is_64bit {
            true => u32::from(raw.u16(S_DESC_SIZE)),
            false => DESC_SIZE as u32,
        };
        let sizes: RangeInclusive<u32> = if is_64bit { 64..=1024 } else { 32..=32 };
        check(desc_size.is_power_of_two() && sizes.contains(&desc_size), "bad s_desc_size", desc_size)?;

        // 3. Groups.
        let first_data_block = raw.u32(S_FIRST_DATA_BLOCK);
        let why = "s_first_data_block does not agree with the block size";
        check(first_data_block == u32::from(block_bits == 10 && cluster_bits == 0), why, first_data_block)?;
        let blocks_per_group = raw.u32(S_BLOCKS_PER_GROUP);
        let most = u64::from(bits) << cluster_bits;
        let usual = blocks_per_group >= 256
            && u64::from(blocks_per_group) <= most
            && blocks_per_group.is_multiple_of(8 << cluster_bits);
        check(usual, "bad s_blocks_per_group", blocks_per_group)?;
        let inodes_per_group = raw.u32(S_INODES_PER_GROUP);
        check((1..=bits).contains(&inodes_per_group), "bad s_inodes_per_group", inodes_per_group)?;

        // 4. Counts, and whether all of it is there.
        let high = if is_64bit { raw.u32(S_BLOCKS_COUNT_HI) } else { 0 };
        let blocks_count = u64::from(high) << 32 | u64::from(raw.u32(S_BLOCKS_COUNT));
        if blocks_count <= u64::from(first_data_block) + 1 {
            return Err(corrupt("bad s_blocks_count", blocks_count));
        }
        if blocks_count > region >> block_bits {
            let (why, bytes) =
                ("the region is shorter than the file system", blocks_count.saturating_mul(block_size));
            return Err(Corrupt::against("superblock", 0, why, bytes, region).into());
        }
        let group_count = (blocks_count - u64::from(first_data_block)).div_ceil(blocks_per_group.into());
        let inodes_count = raw.u32(S_INODES_COUNT);
        let expected = group_count.saturating_mul(inodes_per_group.into());
        let why = "s_inodes_count does not agree with the groups";
        check(u64::from(inodes_count) == expected, why, inodes_count)?;
        // No more than there are inodes.
        let group_count = group_count as u32;
        let usual = (GOOD_OLD_FIRST_INO..=inodes_count).contains(&first_ino);
        check(usual, "bad s_first_ino", first_ino)?;

        // 5. What follows: the descriptor table, which must fit into the first group, and the inode tables.
        let descs_per_block = block_size / u64::from(desc_size);
        let desc_blocks = u64::from(group_count).div_ceil(descs_per_block) as u32;
        let first_meta_bg = match feature_incompat & features::INCOMPAT_META_BG {
            0 => desc_blocks,
            _ => raw.u32(S_FIRST_META_BG).min(desc_blocks),
        };
        let gdt_blocks = first_meta_bg;
        let reserved_gdt_blocks = match feature_compat & features::COMPAT_RESIZE_INODE {
            0 => 0,
            _ => u32::from(raw.u16(S_RESERVED_GDT_BLOCKS)),
        };
        let why = "bad s_reserved_gdt_blocks";
        check(u64::from(reserved_gdt_blocks) <= block_size / 4, why, reserved_gdt_blocks)?;
        let all = blocks_count - u64::from(first_data_block);
        let why = "the descriptor table does not fit into the first group";
        let front = 1 + u64::from(gdt_blocks) + u64::from(reserved_gdt_blocks);
        check(front < all.min(blocks_per_group.into()), why, gdt_blocks)?;
        // The last meta group's first group may be the last of all, and short.
        let last_meta = (u64::from(desc_blocks) - 1) * descs_per_block * u64::from(blocks_per_group);
        let room = all - last_meta;
        let why = "a group is too short for its descriptors";
        check(first_meta_bg == desc_blocks || room > 2, why, room as u32)?;
        let table = u64::from(inodes_per_group) * u64::from(inode_size);
        let room = inode_size - GOOD_OLD_INODE_SIZE;
        let want = u32::from(raw.u16(S_WANT_EXTRA_ISIZE));
        let extra_isize =
            if want >= 4 && want <= room && want.is_multiple_of(4) { want } else { 32.min(room) };
        Ok(Self {
            inodes_count,
            blocks_count,
            block_bits,
            cluster_bits,
            def_resuid: raw.u16(S_DEF_RESUID),
            def_resgid: raw.u16(S_DEF_RESGID),
            first_data_block,
            blocks_per_group,
            inodes_per_group,
            group_count,
            desc_bits: desc_size.trailing_zeros(),
            state: raw.u16(S_STATE),
            on_error: on_error_of(raw.u16(S_ERRORS)),
            last_orphan: if rev_level == 0 { 0 } else { raw.u32(S_LAST_ORPHAN) },
            rev_level,
            first_ino,
            inode_size,
            feature_compat,
            feature_incompat,
            feature_ro_compat,
            gdt_blocks,
            first_meta_bg,
            gdt_start: u64::from(first_data_block) + 1,
            reserved_gdt_blocks,
            inode_table_blocks: table.div_ceil(block_size) as u32,
            extra_isize: extra_isize as u16,
            uuid: raw.array(S_UUID),
            volume_name: raw.array(S_VOLUME_NAME),
            backup_bgs: [raw.u32(S_BACKUP_BGS), raw.u32(S_BACKUP_BGS + 4)],
        })
    }

    /// Returns the bytes in a block: 1, 2 or 4 KiB.
    #[inline]
    pub fn block_size(&self) -> u64 {
        1 << self.block_bits
    }

    /// Returns whether directory entries tell the kind of what they name.
    #[inline]
    pub fn has_filetype(&self) -> bool {
        self.feature_incompat & features::INCOMPAT_FILETYPE != 0
    }

    /// Tells whether a journal has to be replayed before anything else is read.
    pub fn needs_recovery(&self) -> bool {
        self.feature_incompat & features::INCOMPAT_RECOVER != 0
    }

    /// Returns the most blocks that a group starts with for copies of the superblock and of descriptors, and
    /// room for more.
    #[inline]
    pub fn backup_blocks(&self) -> u32 {
        1 + (self.gdt_blocks + self.reserved_gdt_blocks).max(1)
    }

    /// Returns the meta group (groups whose descriptors fill a block) of `group`, and its place in it.
    #[inline]
    fn meta_group(&self, group: u32) -> (u32, u32) {
        let bits = self.block_bits - self.desc_bits;
        (group >> bits, group & ((1 << bits) - 1))
    }

    /// Returns the number of blocks that `group` starts with for a copy of the superblock, of descriptors,
    /// and room for more.
    pub fn front_blocks(&self, group: u32) -> u32 {
        let (meta, within) = self.meta_group(group);
        if meta >= self.first_meta_bg {
            let has_descriptors = within <= 1 || self.meta_group(group + 1).1 == 0;
            return u32::from(self.has_super(group)) + u32::from(has_descriptors);
        }
        if self.has_super(group) { 1 + self.gdt_blocks + self.reserved_gdt_blocks } else { 0 }
    }

    /// Returns the byte offset of the descriptor of `group`.
    #[inline]
    pub(crate) fn desc(&self, group: u32) -> u64 {
        let (meta, within) = self.meta_group(group);
        let block = match meta < self.first_meta_bg {
            true => self.gdt_start + u64::from(meta),
            false => self.meta_bg_block(meta),
        };
        (block << self.block_bits) + (u64::from(within) << self.desc_bits)
    }

    /// Returns the block of descriptors that meta group `meta` has in its own first group.
    #[cold]
    fn meta_bg_block(&self, meta: u32) -> u64 {
        let group = meta << (self.block_bits - self.desc_bits);
        self.first_block(group) + u64::from(self.has_super(group))
    }

    /// Returns the first block of `group`.
    #[inline]
    pub(crate) fn first_block(&self, group: u32) -> u64 {
        u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// Returns whether `group` starts with a superblock and descriptors.
    pub fn has_super(&self, group: u32) -> bool {
        if self.feature_compat & features::COMPAT_SPARSE_SUPER2 != 0 {
            return group == 0 || self.backup_bgs.contains(&group);
        }
        if group <= 1 || self.feature_ro_compat & features::RO_COMPAT_SPARSE_SUPER == 0 {
            return true;
        }
        [3, 5, 7].iter().any(|&base| {
            let mut rest = group;
            while rest.is_multiple_of(base) {
                rest /= base;
            }
            rest == 1
        })
    }

    /// Returns whether the `relative`th block of `group` belongs to a copy of superblock and descriptors.
    #[inline]
    pub fn in_backup(&self, group: u32, relative: u32) -> bool {
        relative < self.backup_blocks() && relative < self.front_blocks(group)
    }

    /// Returns the number of blocks at the front of a group that hold all of its structures if they are
    /// packed there, as mke2fs does.
    #[inline]
    pub fn structure_blocks(&self) -> u32 {
        self.backup_blocks() + 2 + self.inode_table_blocks
    }

    /// Refuses what is no inode's number.
    ///
    /// # Errors
    /// [`Corrupt`]
    #[inline]
    pub(crate) fn expect_ino(&self, ino: u32) -> Result<()> {
        if (1..=self.inodes_count).contains(&ino) {
            return Ok(());
        }
        let (number, most) = (ino.into(), self.inodes_count.into());
        Err(Corrupt::against("inode", number, "no such inode", number, most).into())
    }

    /// Returns the inode number that somebody tells, of what may be named.
    ///
    /// # Errors
    /// [`Errno::NotFound`]: it is no such number.
    pub(crate) fn ino_of(&self, told: u64) -> Result<u32> {
        let ino = u32::try_from(told).map_err(|_| Errno::NotFound)?;
        match ino == ROOT_INO || (self.first_ino..=self.inodes_count).contains(&ino) {
            true => Ok(ino),
            false => Err(Errno::NotFound.into()),
        }
    }

    /// Returns whether inode `ino` is the file system's own: nobody names it.
    #[inline]
    pub(crate) fn is_reserved(&self, ino: u32) -> bool {
        ino != ROOT_INO && ino < self.first_ino
    }

    /// Returns the group of inode `ino`, which is in `1..=inodes_count`.
    #[inline]
    pub(crate) fn group_of_inode(&self, ino: u32) -> u32 {
        (ino - 1) / self.inodes_per_group
    }

    /// Returns the number of blocks that hold the file system's own structures.
    pub fn overhead(&self) -> u64 {
        let fronts: u64 = (0..self.group_count).map(|group| u64::from(self.front_blocks(group))).sum();
        fronts + u64::from(self.group_count) * (u64::from(self.inode_table_blocks) + 2)
    }

    /// Returns whether 512 blocks lie in one group and begin at a multiple of 512, counted from `phase`
    /// blocks before the first.
    pub fn has_run(&self, phase: u64) -> bool {
        const RUN: u64 = 512;
        (0..self.group_count).any(|group| {
            let start = self.first_block(group);
            let end = (start + u64::from(self.blocks_per_group)).min(self.blocks_count);
            let skew = (phase + start) % RUN;
            (RUN - skew) % RUN + RUN <= end - start
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{OnError, on_error_of};

    #[test]
    fn policies_have_the_numbers_that_linux_gives_them() {
        assert_eq!([1, 2, 3].map(on_error_of), OnError::ALL);
        assert_eq!([0, 4, u16::MAX].map(on_error_of), [OnError::ReadOnly; 3]);
    }
}
