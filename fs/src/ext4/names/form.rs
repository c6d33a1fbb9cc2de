//! What a directory's blocks look like to whoever reads or changes them: where entries end, what checks a
//! block.
//!
//! ```text
//! a block of names   entry | entry | …                        | 0 12 0 0xde checksum
//! the index's root   `.` | `..`, which has the rest of the block in front of hashes and their blocks
//! a node of it       an entry without a name, with all of the block in the same way
//! ```

use crate::error::Result;
use crate::ext::dirent::{Dirent, bad_dir};
use crate::ext::features::INCOMPAT_LARGEDIR;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::ext4::disk::checksum::{self, NAMES_TAIL_WORDS, Seed};
use crate::ext4::disk::htree::{self, IndexedDirectory};
use crate::ext4::disk::superblock::SuperBlock;
use crate::ext4::inode::expect_checksum;
use core::ops::{ControlFlow, Range};

/// What is known of a directory before any of its blocks is.
#[derive(Clone, Copy)]
pub(super) struct DirectoryForm<'a> {
    pub sb: &'a SuperBlock,
    pub ino: u32,
    /// What the checksums of its blocks start with, if they have some.
    pub seed: Option<Seed>,
    /// It has an index ([`INDEX_FL`]).
    pub is_indexed: bool,
}

impl DirectoryForm<'_> {
    /// Returns it as its index needs to know it: a directory of `blocks` blocks.
    pub(super) fn index(self, blocks: u64) -> IndexedDirectory {
        IndexedDirectory {
            ino: self.ino,
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            block_size: self.sb.block_size(),
            has_tails: self.seed.is_some(),
            max_levels: max_levels(self.sb),
        }
    }

    /// Returns where the used entries end, and where the tail is, in `bytes`: a node of the index in logical
    /// block `lblk`. `None` if that cannot be.
    fn index_ends(self, lblk: u64, bytes: &(impl Load + ?Sized)) -> Option<(u64, u64)> {
        htree::ends(lblk == 0, bytes, 0, self.sb.block_size(), self.seed.is_some())
    }

    /// Tells whether `bytes`, which are logical block `lblk`, belong to the index.
    pub(super) fn is_index(self, lblk: u64, bytes: &(impl Load + ?Sized)) -> bool {
        self.is_indexed
            && (lblk == 0
                // An entry that was the only one of its block, and is free, still has its name's length.
                || bytes.load_u32(D_INODE) == 0
                    && u64::from(bytes.load_u32(D_REC_LEN)) == self.sb.block_size())
    }

    /// Returns where entries end in a block of names.
    pub(super) fn names_end(self) -> u64 {
        checksum::names_end(self.sb.block_size(), self.seed.is_some())
    }

    /// Checks what `bytes`, which are block `number` and logical block `lblk`, have for it: a tail with the
    /// checksum.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt): there is none, or it is wrong.
    pub(super) fn check(self, lblk: u64, number: u64, bytes: &(impl Load + ?Sized)) -> Result<()> {
        let Some(seed) = self.seed else { return Ok(()) };
        let (size, end) = (self.sb.block_size(), self.names_end());
        if self.is_index(lblk, bytes) {
            let (used, tail) = self
                .index_ends(lblk, bytes)
                .ok_or_else(|| bad_dir(self.ino, "a node of the index that is none", self.sb.byte(lblk)))?;
            let real = checksum::index_block(seed, bytes, 0, used, tail);
            return expect_checksum("index block", number, bytes.load_u32(tail + 4), real);
        }
        if [bytes.load_u32(end), bytes.load_u32(end + 4)] != NAMES_TAIL_WORDS {
            let why = "a block of names without a checksum";
            return Err(bad_dir(self.ino, why, self.sb.byte(lblk) + end));
        }
        let real = checksum::names_block(seed, bytes, 0, size);
        expect_checksum("directory block", number, bytes.load_u32(end + 8), real)
    }

    /// Calls `f` with the entries of `bytes`, which are logical block `lblk`, free ones too, in order.
    ///
    /// # Errors
    /// One of them is none.
    pub(super) fn each<B>(
        self,
        lblk: u64,
        bytes: &(impl Load + ?Sized),
        f: &mut dyn FnMut(&Dirent) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let is_index = self.is_index(lblk, bytes);
        let end = if is_index { self.sb.block_size() } else { self.names_end() };
        self.each_in(lblk, bytes, 0..end, f)
    }

    /// Calls `f` as [`each`](Self::each) does, with the entries that fill `range`.
    pub(super) fn each_in<B>(
        self,
        lblk: u64,
        bytes: &(impl Load + ?Sized),
        range: Range<u64>,
        f: &mut dyn FnMut(&Dirent) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let mut within = range.start;
        while within < range.end {
            let entry = Dirent::load(bytes, self.sb, self.ino, lblk, 0, within, range.end)?;
            if let ControlFlow::Break(found) = f(&entry) {
                return Ok(Some(found));
            }
            within += u64::from(entry.rec_len);
        }
        Ok(None)
    }
}

/// Returns how many levels of nodes an index has at most, below its root.
pub(super) fn max_levels(sb: &SuperBlock) -> u8 {
    if sb.has(INCOMPAT_LARGEDIR) { 2 } else { 1 }
}
