//! What code that edits metadata asks of its transaction and its file system. Such code (of extent trees, of
//! directories) knows neither: for a mounted file system a block is a buffer of the journal, in tests it is a
//! vector.
//!
//! ```text
//! read, create, change        may fail: damage, no space, no memory
//!        │
//! stores to what these gave,  cannot fail
//! free_data, forget
//! ```
//!
//! An edit first gets everything that it needs and then stores: one that fails has changed nothing, and has
//! given back what it created. It says beforehand how many blocks it changes at most, for a transaction is
//! opened with room for them. Whoever edits a structure holds the lock that keeps its readers out.
//!
//! A block's checksum is noted by each edit and computed once, when the transaction ends: in between nobody
//! reads the block but us, and what we read was checked before it changed.

#[cfg(test)]
pub(crate) mod tests;

use super::disk::checksum::{self, NAMES_TAIL_WORDS, Seed};
use super::disk::extent::tail_at;
use super::disk::htree;
use crate::error::Result;
use crate::ext::load::Load;
use core::ops::{Deref, Range};

/// Bytes of metadata that may be changed: of a block, or of an inode. Numbers are as in [`Load`].
///
/// # Panics
/// What is not inside is a bug of the caller.
pub(crate) trait Edit: Load {
    /// Stores one byte.
    fn store_u8(&self, at: u64, value: u8);
    /// Stores a number of two bytes.
    fn store_u16(&self, at: u64, value: u16);
    /// Stores a number of four bytes.
    fn store_u32(&self, at: u64, value: u32);
    /// Copies bytes in.
    fn write(&self, at: u64, from: &[u8]);
    /// Sees to the checksum of what is a block of `block_size` bytes: it is right at the latest when the
    /// transaction ends. Called after the last store of an edit.
    fn seal(&self, seal: BlockSeal, block_size: u64);

    /// Copies the bytes `range` of `source` to `to`.
    fn copy_from(&self, source: &dyn Load, range: Range<u64>, to: u64) {
        for start in range.clone().step_by(PIECE) {
            copy_piece(self, source, start..range.end.min(start + PIECE as u64), to + (start - range.start));
        }
    }

    /// Moves the bytes `range` to `to`, which may be among them.
    fn move_within(&self, range: Range<u64>, to: u64) {
        if to <= range.start {
            for start in range.clone().step_by(PIECE) {
                let piece = start..range.end.min(start + PIECE as u64);
                copy_piece(self, self, piece, to + (start - range.start));
            }
        } else {
            let mut end = range.end;
            while end > range.start {
                let start = range.start.max(end.saturating_sub(PIECE as u64));
                copy_piece(self, self, start..end, to + (start - range.start));
                end = start;
            }
        }
    }
}

/// So many bytes are moved at a time.
const PIECE: usize = 256;

fn copy_piece(target: &(impl Edit + ?Sized), source: &(impl Load + ?Sized), range: Range<u64>, to: u64) {
    let mut piece = [0; PIECE];
    let piece = &mut piece[..(range.end - range.start) as usize];
    source.read(range.start, piece);
    target.write(to, piece);
}

/// What an edit of an inode's metadata asks of its transaction and its file system. There is one such value
/// for an inode and a transaction.
pub(crate) trait Change {
    /// A block as it is now, with what this transaction has changed.
    type Read: Deref<Target: Load + Sized>;
    /// A block that this transaction may change.
    type Block: Deref<Target: Edit + Sized>;

    /// Returns the number of bytes in a block.
    fn block_size(&self) -> u64;

    /// Returns what the checksums of the inode's blocks start with; `None` if they have none.
    fn seed(&self) -> Option<Seed>;

    /// Returns block `block` of metadata, to read. `check` says what is wrong with it, its checksum for one;
    /// it is asked unless the block was checked for this inode before.
    ///
    /// # Errors
    /// What `check` answers. The block is outside of the file system, or cannot be read.
    fn read(
        &self,
        block: u64,
        check: impl FnOnce(&<Self::Read as Deref>::Target) -> Result<()>,
    ) -> Result<Self::Read>;

    /// Returns block `block`, which was read before, to change it. Who changes it [seals](Edit::seal) it
    /// after the last store.
    ///
    /// # Errors
    /// The block cannot be read; there is no memory; the journal is aborted.
    fn change(&self, block: u64) -> Result<Self::Block>;

    /// Takes a block for metadata, near `goal`, and returns its number and its bytes: zeros, to change.
    ///
    /// # Errors
    /// No space; as [`change`](Self::change).
    fn create(&self, goal: u64) -> Result<(u64, Self::Block)>;

    /// Frees a block of metadata that nothing leads to any more, or that was created for nothing. It is
    /// revoked, so that no replay stores to it. What fails is the file system's to note: blocks are lost to
    /// it, the structure is sound.
    fn forget(&self, block: u64);

    /// Frees `len` blocks of content from `block` on, to which nothing leads any more; as
    /// [`forget`](Self::forget), but no journal ever held them.
    fn free_data(&self, block: u64, len: u32);
}

/// How a block's checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealedBlock {
    /// A block of names.
    Names,
    /// The root of a directory's index.
    IndexRoot,
    /// Another node of it.
    IndexNode,
    /// A node of a tree of extents.
    Extents,
}

/// A checksum that is to be computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockSeal {
    pub block: SealedBlock,
    /// The inode's.
    pub seed: Seed,
}

impl BlockSeal {
    const KINDS: [SealedBlock; 4] =
        [SealedBlock::Names, SealedBlock::IndexRoot, SealedBlock::IndexNode, SealedBlock::Extents];

    /// Returns it as a buffer's note, which is not 0.
    pub(crate) fn to_note(self) -> u64 {
        (self.block as u64 + 1) << 32 | u64::from(self.seed.number())
    }

    /// Returns the one that a note is.
    pub(crate) fn of_note(note: u64) -> Option<Self> {
        let block = *Self::KINDS.get(((note >> 32) as usize).checked_sub(1)?)?;
        Some(Self { block, seed: Seed::of_number(note as u32) })
    }

    /// Stores the checksum, and what is around it, in `bytes`: a block of `block_size` bytes.
    pub(crate) fn store(self, bytes: &(impl Edit + ?Sized), block_size: u64) {
        let Self { block, seed } = self;
        match block {
            SealedBlock::Names => {
                let end = checksum::names_end(block_size, true);
                bytes.store_u32(end, NAMES_TAIL_WORDS[0]);
                bytes.store_u32(end + 4, NAMES_TAIL_WORDS[1]);
                bytes.store_u32(end + 8, checksum::names_block(seed, bytes, 0, block_size));
            }
            SealedBlock::IndexRoot | SealedBlock::IndexNode => {
                let is_root = block == SealedBlock::IndexRoot;
                let Some((used, tail)) = htree::ends(is_root, bytes, 0, block_size, true) else { return };
                bytes.store_u32(tail, 0);
                bytes.store_u32(tail + 4, checksum::index_block(seed, bytes, 0, used, tail));
            }
            SealedBlock::Extents => {
                bytes.store_u32(tail_at(block_size), checksum::extent_block(seed, bytes, 0, block_size));
            }
        }
    }
}
