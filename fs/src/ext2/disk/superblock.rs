//! The superblock: raw as it is on disk, and decoded, which holds only what passed every check.

use super::features::ReadOnlyReason;
use super::layout::*;
use super::{NAME, features, unreadable};
use crate::PAGE_SIZE;
use crate::error::{Corrupt, Error, Result, Unsupported};
use crate::pmem::Pmem;
use crate::vfs::OnError;
use core::ops::Range;

/// The 1,024 bytes as they are on disk.
pub struct RawSuperBlock([u8; 1024]);

const _: () = assert!(size_of::<RawSuperBlock>() == 1024);

impl RawSuperBlock {
    /// Copies it out of a region.
    ///
    /// # Errors
    /// The region is too small to hold one.
    pub fn load(pmem: &impl Pmem) -> Result<Self> {
        Self::load_at(pmem, SUPERBLOCK)
    }

    /// Copies the one at byte `at` out of a region.
    ///
    /// # Errors
    /// The region ends before it does.
    pub fn load_at(pmem: &impl Pmem, at: u64) -> Result<Self> {
        Self::expect_at(pmem, at, 0..1024)?;
        let mut bytes = [0; 1024];
        pmem.read(at, &mut bytes);
        Ok(Self(bytes))
    }

    /// Refuses byte `at` as the place of one of which `bytes` are to be read.
    ///
    /// # Errors
    /// The region ends before it does, or a memory error took some of the bytes.
    pub(in crate::ext2) fn expect_at(pmem: &impl Pmem, at: u64, bytes: Range<u64>) -> Result<()> {
        if at.checked_add(1024).is_none_or(|end| end > pmem.len()) {
            let why = if at == SUPERBLOCK {
                "the region is too small for a file system"
            } else {
                "the region ends before this copy of it"
            };
            return Err(corrupt(why, pmem.len()));
        }
        if let Some(bad) = pmem.poisoned(at + bytes.start, bytes.end - bytes.start) {
            return Err(unreadable("superblock", at / 1024, bad));
        }
        Ok(())
    }

    /// The bytes.
    pub(in crate::ext2) fn bytes(&self) -> &[u8; 1024] {
        &self.0
    }

    /// The time of which these fields hold the low 32 bits and the 8 above, in seconds since 1970.
    pub(in crate::ext2) fn time(&self, (low, high): (u64, u64)) -> u64 {
        let above = if self.u32(S_REV_LEVEL) == 0 { 0 } else { self.array::<1>(high)[0] };
        u64::from(above) << 32 | u64::from(self.u32(low))
    }

    /// One from bytes, for tests and fuzzers.
    pub fn from_bytes(bytes: [u8; 1024]) -> Self {
        Self(bytes)
    }

    pub(in crate::ext2) fn array<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut out = [0; N];
        if let Some(from) = self.0.get(at as usize..at as usize + N) {
            out.copy_from_slice(from);
        }
        out
    }

    pub(in crate::ext2) fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub(in crate::ext2) fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.array(at))
    }
}

/// A superblock that makes sense, with what follows from it. Counts that change are not in it: they are read
/// in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperBlock {
    /// `s_inodes_count`
    pub inodes_count: u32,
    /// `s_blocks_count`
    pub blocks_count: u32,
    /// `s_r_blocks_count`, not more than all
    pub r_blocks_count: u32,
    /// `s_def_resuid`: the user who may take reserved blocks, beside root
    pub def_resuid: u16,
    /// `s_def_resgid`: the group whose members may, if it is not 0
    pub def_resgid: u16,
    /// `s_free_blocks_count` as it was found
    pub free_blocks_count: u32,
    /// A block has 2 to this power bytes.
    pub block_bits: u32,
    /// `s_first_data_block`: 1 with blocks of 1 KiB, otherwise 0
    pub first_data_block: u32,
    /// `s_blocks_per_group`
    pub blocks_per_group: u32,
    /// `s_inodes_per_group`
    pub inodes_per_group: u32,
    /// Number of groups; the last may be short of blocks.
    pub group_count: u32,
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
    pub(in crate::ext2) gdt_start: u32,
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

/// What `s_errors` tells; a number that nobody knows is taken for the careful one, as Linux does.
pub(in crate::ext2) fn on_error_of(errors: u16) -> OnError {
    OnError::ALL.get(usize::from(errors).wrapping_sub(1)).copied().unwrap_or(OnError::ReadOnly)
}

fn corrupt(why: &'static str, value: u64) -> Error {
    Corrupt::with("superblock", 0, why, value).into()
}

/// Refuses with `why` and the offending value unless `ok`.
fn check(ok: bool, why: &'static str, value: u32) -> Result<()> {
    if ok { Ok(()) } else { Err(corrupt(why, value.into())) }
}

impl SuperBlock {
    /// Decodes and checks `raw`, found in a region of `region` bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for none at all and for a sound one of something else, [`Error::Corrupt`] for
    /// nonsense.
    pub fn decode(raw: &RawSuperBlock, region: u64) -> Result<Self> {
        // 1. Is it one, and of a kind we know? Nothing else can be trusted before.
        let magic = raw.u16(S_MAGIC);
        if magic != MAGIC {
            return Err(Unsupported::Magic { of: NAME, found: magic.into() }.into());
        }
        let rev_level = raw.u32(S_REV_LEVEL);
        if rev_level > 1 {
            return Err(Unsupported::Revision { of: NAME, revision: rev_level }.into());
        }
        let dynamic = |at| if rev_level == 0 { 0 } else { raw.u32(at) };
        let feature_incompat = dynamic(S_FEATURE_INCOMPAT);
        if feature_incompat & !features::INCOMPAT_KNOWN != 0 {
            let missing = features::missing(feature_incompat & !features::INCOMPAT_KNOWN);
            return Err(Unsupported::Features(missing).into());
        }
        let feature_compat = dynamic(S_FEATURE_COMPAT);
        let feature_ro_compat = dynamic(S_FEATURE_RO_COMPAT);

        // 2. Sizes of blocks and inodes.
        let log_block_size = raw.u32(S_LOG_BLOCK_SIZE);
        check(log_block_size <= 6, "nonsensical s_log_block_size", log_block_size)?;
        let block_bits = 10 + log_block_size;
        let block_size = 1u64 << block_bits;
        if block_size > PAGE_SIZE {
            let supported = "blocks of 1024, 2048 or 4096 bytes are (mke2fs -b 4096)";
            return Err(Unsupported::BlockSize { bytes: block_size, supported }.into());
        }
        let bits = block_size as u32 * 8;
        let (inode_size, first_ino) = match rev_level {
            0 => (GOOD_OLD_INODE_SIZE, GOOD_OLD_FIRST_INO),
            _ => (raw.u16(S_INODE_SIZE).into(), raw.u32(S_FIRST_INO)),
        };
        let sizes = GOOD_OLD_INODE_SIZE..=block_size as u32;
        check(inode_size.is_power_of_two() && sizes.contains(&inode_size), "bad s_inode_size", inode_size)?;

        // 3. Groups.
        let first_data_block = raw.u32(S_FIRST_DATA_BLOCK);
        let why = "s_first_data_block does not agree with the block size";
        check(first_data_block == u32::from(block_bits == 10), why, first_data_block)?;
        let blocks_per_group = raw.u32(S_BLOCKS_PER_GROUP);
        let usual = (256..=bits).contains(&blocks_per_group) && blocks_per_group.is_multiple_of(8);
        check(usual, "bad s_blocks_per_group", blocks_per_group)?;
        let inodes_per_group = raw.u32(S_INODES_PER_GROUP);
        check((1..=bits).contains(&inodes_per_group), "bad s_inodes_per_group", inodes_per_group)?;

        // 4. Counts, and whether all of it is there.
        let blocks_count = raw.u32(S_BLOCKS_COUNT);
        check(blocks_count > first_data_block + 1, "bad s_blocks_count", blocks_count)?;
        let bytes = u64::from(blocks_count) << block_bits;
        if bytes > region {
            let why = "the region is shorter than the file system";
            return Err(Corrupt::against("superblock", 0, why, bytes, region).into());
        }
        let group_count = (blocks_count - first_data_block).div_ceil(blocks_per_group);
        let inodes_count = raw.u32(S_INODES_COUNT);
        let expected = u64::from(group_count) * u64::from(inodes_per_group);
        let why = "s_inodes_count does not agree with the groups";
        check(u64::from(inodes_count) == expected, why, inodes_count)?;
        let usual = (GOOD_OLD_FIRST_INO..=inodes_count).contains(&first_ino);
        check(usual, "bad s_first_ino", first_ino)?;

        // 5. What follows: the descriptor table, which must fit into the first group, and the inode tables.
        let desc_blocks = u64::from(group_count).div_ceil(block_size / DESC_SIZE) as u32;
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
        let first_group = (blocks_count - first_data_block).min(blocks_per_group);
        let why = "the descriptor table does not fit into the first group";
        check(1 + gdt_blocks + reserved_gdt_blocks < first_group, why, gdt_blocks)?;
        // The last meta group's first group may be the last of all, and short.
        let meta_groups = block_size / DESC_SIZE;
        let last_meta = (u64::from(desc_blocks) - 1) * meta_groups * u64::from(blocks_per_group);
        let room = u64::from(blocks_count - first_data_block) - last_meta;
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
            r_blocks_count: raw.u32(S_R_BLOCKS_COUNT).min(blocks_count),
            def_resuid: raw.u16(S_DEF_RESUID),
            def_resgid: raw.u16(S_DEF_RESGID),
            free_blocks_count: raw.u32(S_FREE_BLOCKS_COUNT),
            first_data_block,
            blocks_per_group,
            inodes_per_group,
            group_count,
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
            gdt_start: first_data_block + 1,
            reserved_gdt_blocks,
            inode_table_blocks: table.div_ceil(block_size) as u32,
            extra_isize: extra_isize as u16,
            uuid: raw.array(S_UUID),
            volume_name: raw.array(S_VOLUME_NAME),
            backup_bgs: [raw.u32(S_BACKUP_BGS), raw.u32(S_BACKUP_BGS + 4)],
        })
    }

    /// Bytes in a block: 1, 2 or 4 KiB.
    #[inline]
    pub fn block_size(&self) -> u64 {
        1 << self.block_bits
    }

    /// Byte offset of block `block`.
    #[inline]
    pub(in crate::ext2) fn byte(&self, block: u32) -> u64 {
        u64::from(block) << self.block_bits
    }

    /// The same, read from the copy at byte `at`: the descriptors after it are used, not those after the
    /// first.
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
        self.gdt_start = block + 1;
        Ok(self)
    }

    /// True if the image was unmounted cleanly, no errors were noted on it, and no inode waits on it for
    /// being freed.
    pub fn is_clean(&self) -> bool {
        self.state & (VALID_FS | ERROR_FS) == VALID_FS && self.last_orphan == 0
    }

    /// True if directory entries tell the kind of what they name.
    pub fn has_filetype(&self) -> bool {
        self.feature_incompat & features::INCOMPAT_FILETYPE != 0
    }

    /// Why its features allow reading only, if they do.
    pub fn read_only_reason(&self) -> Option<ReadOnlyReason> {
        let unknown = self.feature_ro_compat & !features::RO_COMPAT_KNOWN;
        (unknown != 0).then_some(ReadOnlyReason::Features(unknown))
    }

    /// The most blocks that a group starts with for copies of the superblock and of descriptors, and room for
    /// more.
    #[inline]
    pub fn backup_blocks(&self) -> u32 {
        1 + (self.gdt_blocks + self.reserved_gdt_blocks).max(1)
    }

    /// The meta group (groups whose descriptors fill a block) of `group`, and its place in it.
    #[inline]
    fn meta_group(&self, group: u32) -> (u32, u32) {
        let bits = self.block_bits - DESC_SIZE.trailing_zeros();
        (group >> bits, group & ((1 << bits) - 1))
    }

    /// Blocks that `group` starts with for a copy of the superblock, of descriptors, and room for more.
    pub fn front_blocks(&self, group: u32) -> u32 {
        let (meta, within) = self.meta_group(group);
        if meta >= self.first_meta_bg {
            let has_descriptors = within <= 1 || self.meta_group(group + 1).1 == 0;
            return u32::from(self.has_super(group)) + u32::from(has_descriptors);
        }
        if self.has_super(group) { 1 + self.gdt_blocks + self.reserved_gdt_blocks } else { 0 }
    }

    /// Byte offset of the descriptor of `group`.
    #[inline]
    pub(in crate::ext2) fn desc(&self, group: u32) -> u64 {
        let (meta, within) = self.meta_group(group);
        let block = if meta < self.first_meta_bg { self.gdt_start + meta } else { self.meta_bg_block(meta) };
        self.byte(block) + u64::from(within) * DESC_SIZE
    }

    /// The block of descriptors that meta group `meta` has in its own first group.
    #[cold]
    fn meta_bg_block(&self, meta: u32) -> u32 {
        let group = meta << (self.block_bits - DESC_SIZE.trailing_zeros());
        self.group_start(group) + u32::from(self.has_super(group))
    }

    /// True if `group` starts with a superblock and descriptors.
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

    /// True if the `relative`th block of `group` belongs to a copy of superblock and descriptors.
    #[inline]
    pub fn in_backup(&self, group: u32, relative: u32) -> bool {
        relative < self.backup_blocks() && relative < self.front_blocks(group)
    }

    /// Blocks at the front of a group that hold all of its structures if they are packed there, as mke2fs
    /// does.
    #[inline]
    pub fn structure_blocks(&self) -> u32 {
        self.backup_blocks() + 2 + self.inode_table_blocks
    }

    /// First block of `group`.
    #[inline]
    pub fn group_start(&self, group: u32) -> u32 {
        self.first_data_block + group * self.blocks_per_group
    }

    /// Refuses what is no inode's number.
    #[inline]
    pub(in crate::ext2) fn expect_ino(&self, ino: u32) -> Result<()> {
        if (1..=self.inodes_count).contains(&ino) {
            return Ok(());
        }
        let (number, most) = (ino.into(), self.inodes_count.into());
        Err(Corrupt::against("inode", number, "no such inode", number, most).into())
    }

    /// True if `ino` is the file system's own: nobody names it.
    #[inline]
    pub(in crate::ext2) fn is_reserved(&self, ino: u32) -> bool {
        ino != ROOT_INO && ino < self.first_ino
    }

    /// The group that `block`, which is below `blocks_count`, belongs to.
    #[inline]
    pub(in crate::ext2) fn group_of_block(&self, block: u32) -> u32 {
        // A pointer below the first block belongs to the first group, in front of which it is nobody's.
        block.saturating_sub(self.first_data_block) / self.blocks_per_group
    }

    /// The group of inode `ino`, which is in `1..=inodes_count`.
    #[inline]
    pub(in crate::ext2) fn group_of_inode(&self, ino: u32) -> u32 {
        (ino - 1) / self.inodes_per_group
    }

    /// Number of blocks of `group`.
    #[inline]
    pub fn group_blocks(&self, group: u32) -> u32 {
        self.blocks_per_group.min(self.blocks_count - self.group_start(group))
    }

    /// Whether 512 blocks lie in one group and begin at a multiple of 512, counted from `phase` blocks before
    /// the first.
    pub fn has_run(&self, phase: u64) -> bool {
        const RUN: u64 = 512;
        (0..self.group_count).any(|group| {
            let skew = (phase + u64::from(self.group_start(group))) % RUN;
            (RUN - skew) % RUN + RUN <= u64::from(self.group_blocks(group))
        })
    }

    /// Blocks of `group` that files can have: all but the structures that every group has.
    pub fn group_room(&self, group: u32) -> u32 {
        let own = self.front_blocks(group).saturating_add(self.inode_table_blocks).saturating_add(2);
        self.group_blocks(group).saturating_sub(own)
    }

    /// Blocks that hold the file system's own structures.
    pub fn overhead(&self) -> u64 {
        let fronts: u64 = (0..self.group_count).map(|group| u64::from(self.front_blocks(group))).sum();
        fronts + u64::from(self.group_count) * (u64::from(self.inode_table_blocks) + 2)
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
