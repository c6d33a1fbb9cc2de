//! ext4's superblock: what it shares with ext2, and what its checksums, directories and journal begin with.

use super::checksum::Seed;
use super::{FORMAT, READ_ONLY_INCOMPAT, RO_COMPAT_KNOWN};
use crate::error::{Corrupt, Result};
use crate::ext::features::*;
use crate::ext::geometry::Geometry;
use crate::ext::layout::*;
use crate::ext::superblock::{RawSuperBlock, corrupt};
use core::ops::Deref;

/// A superblock that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperBlock {
    geometry: Geometry,
    /// `s_r_blocks_count`, not more than all
    pub r_blocks_count: u64,
    /// Where structures' checksums start; `None` if they have none
    pub(crate) seed: Option<Seed>,
    /// `s_hash_seed`: where directories' hashes start
    pub hash_seed: [u32; 4],
    /// `s_def_hash_version`: the hash of new indexes
    pub hash_version: u8,
    /// Directories' hashes take the bytes of names for unsigned ones.
    pub hash_unsigned: bool,
    /// `s_journal_inum`, or 0
    pub journal_inum: u32,
    /// `s_orphan_file_inum`, or 0
    pub orphan_file_inum: u32,
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
    /// [`Unsupported`](crate::Unsupported) for none at all and for a sound one of something else, [`Corrupt`]
    /// for nonsense and for a checksum that is not right.
    pub fn decode(raw: &RawSuperBlock, region: u64) -> Result<Self> {
        let geometry = Geometry::decode(raw, region, &FORMAT)?;
        let has = |set: u32, feature: u32| set & feature != 0;
        let mut seed = None;
        if has(geometry.feature_ro_compat, RO_COMPAT_METADATA_CSUM) {
            let [kind] = raw.array::<1>(S_CHECKSUM_TYPE);
            if kind != CRC32C {
                return Err(corrupt("nobody knows this s_checksum_type", kind.into()));
            }
            let (told, real) = (raw.u32(S_CHECKSUM), raw.checksum());
            if told != real {
                let why = "wrong checksum";
                return Err(Corrupt::against("superblock", 0, why, told.into(), real.into()).into());
            }
            let own = has(geometry.feature_incompat, INCOMPAT_CSUM_SEED);
            seed = Some(Seed::new(own.then(|| raw.u32(S_CHECKSUM_SEED)), &geometry.uuid));
        }
        let high = |at| if geometry.feature_incompat & INCOMPAT_64BIT != 0 { raw.u32(at) } else { 0 };
        let r_blocks_count =
            u64::from(high(S_R_BLOCKS_COUNT_HI)) << 32 | u64::from(raw.u32(S_R_BLOCKS_COUNT));
        let has_journal = has(geometry.feature_compat, COMPAT_HAS_JOURNAL);
        let journal = |at| if has_journal { raw.u32(at) } else { 0 };
        Ok(Self {
            r_blocks_count: r_blocks_count.min(geometry.blocks_count),
            seed,
            hash_seed: core::array::from_fn(|word| raw.u32(S_HASH_SEED + 4 * word as u64)),
            hash_version: raw.array::<1>(S_DEF_HASH_VERSION)[0],
            hash_unsigned: raw.u32(S_FLAGS) & 2 != 0,
            journal_inum: journal(S_JOURNAL_INUM),
            orphan_file_inum: match has(geometry.feature_compat, COMPAT_ORPHAN_FILE) {
                true => raw.u32(S_ORPHAN_FILE_INUM),
                false => 0,
            },
            geometry,
        })
    }

    /// Tells whether the incompatible `feature` is there.
    #[inline]
    pub fn has(&self, feature: u32) -> bool {
        self.feature_incompat & feature != 0
    }

    /// Tells whether the bytes of `count` blocks from `start` on are inside the file system.
    #[inline]
    pub fn holds(&self, start: u64, count: u64) -> bool {
        start >= self.first_data_block.into()
            && start.checked_add(count).is_some_and(|end| end <= self.blocks_count)
    }

    /// Returns the byte offset of block `block`, which is one of the file system's.
    #[inline]
    pub fn byte(&self, block: u64) -> u64 {
        block << self.block_bits
    }

    /// Returns the group that `block`, which is one of the file system's, belongs to.
    #[inline]
    pub fn group_of_block(&self, block: u64) -> u32 {
        (block.saturating_sub(self.first_data_block.into()) / u64::from(self.blocks_per_group)) as u32
    }

    /// Returns the number of blocks of `group`.
    #[inline]
    pub fn group_blocks(&self, group: u32) -> u64 {
        u64::from(self.blocks_per_group).min(self.blocks_count - self.first_block(group))
    }

    /// Tells whether one of the `count` blocks from `start` on, which are inside, holds a superblock or
    /// descriptors, or is kept for them.
    pub(crate) fn meets_front(&self, start: u64, count: u64) -> bool {
        (self.group_of_block(start)..=self.group_of_block(start + count - 1)).any(|group| {
            let first = self.first_block(group);
            start < first + u64::from(self.front_blocks(group)) && first < start + count
        })
    }

    /// Returns why it can be read only, if it can.
    pub fn read_only_reason(&self) -> Option<ReadOnlyReason> {
        let incompat = self.feature_incompat & READ_ONLY_INCOMPAT;
        let ro_compat = self.feature_ro_compat & !RO_COMPAT_KNOWN;
        if incompat | ro_compat != 0 {
            return Some(ReadOnlyReason::Features { incompat, ro_compat });
        }
        if self.journal_inum == 0 {
            return Some(ReadOnlyReason::NoJournal);
        }
        (self.state & ERROR_FS != 0).then_some(ReadOnlyReason::Errors)
    }

    /// Returns the same, read from the copy at byte `at`: the descriptors after it are used, not those after
    /// the first.
    ///
    /// # Errors
    /// There can be no copy.
    pub fn read_from_copy_at(mut self, at: u64) -> Result<Self> {
        let block = at >> self.block_bits;
        let fits = at.is_multiple_of(self.block_size()) && block < self.blocks_count && {
            let group = self.group_of_block(block);
            block == self.first_block(group)
                && self.has_super(group)
                && self.group_blocks(group) > u64::from(self.gdt_blocks)
        };
        if !fits {
            return Err(corrupt("a file system like this has no copy of its superblock there", at / 1024));
        }
        self.geometry.gdt_start = block + 1;
        Ok(self)
    }
}
