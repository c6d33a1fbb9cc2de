//! The checksums of blocks of a directory and of a tree of extents: noted by each edit, computed once, when
//! the transaction ends. In between nobody reads them but us, and what we read was checked before it changed.

use super::disk::checksum::{self, Seed};
use super::disk::extent::tail_at;
use super::disk::htree;
use super::edit::Edit;
use super::names::{TAIL_WORDS, names_end};

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
                let end = names_end(block_size, true);
                bytes.store_u32(end, TAIL_WORDS[0]);
                bytes.store_u32(end + 4, TAIL_WORDS[1]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_tells_what_it_was_made_of() {
        for block in BlockSeal::KINDS {
            for number in [0, 7, u32::MAX] {
                let seal = BlockSeal { block, seed: Seed::of_number(number) };
                let again = BlockSeal::of_note(seal.to_note()).expect("a note");
                assert_eq!((again.block, again.seed), (block, seal.seed));
                assert_ne!(seal.to_note(), 0);
            }
        }
        assert!(BlockSeal::of_note(0).is_none() && BlockSeal::of_note(5 << 32).is_none());
    }
}
