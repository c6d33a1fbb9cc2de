//! Edits of a tree of extents: runs put into holes, converted, removed, shifted. Nothing here knows a journal
//! or a mounted file system: both are behind [`Change`].
//!
//! ```text
//! an edit ──► TreePath ──► Splice ──► carry: from the leaf up to the root    then down again
//!             the way       slots 1..2  leaf   [0+8 |20+30|60+9]  full: make ──► store, checksum
//!             to a leaf     of a leaf     ▲     split: a block is created
//!                           become 3      └─ index [0→|20→|50→]   one more ───► store, checksum
//!                                         ▲
//!                                         └─ root [0→|70→]        the same ───► nothing to do
//! ```
//!
//! Each edit looks up one leaf, decides what becomes of its entries, and splices that in; what it comes to
//! for the node above is a splice again. On the way up everything is got that may fail: blocks that change,
//! new ones. On the way back down it is stored, and each block that changed gets its checksum once. So an
//! edit that fails has changed nothing. What leads nowhere any more is freed last.
//!
//! | file | what it holds |
//! |---|---|
//! | `node` | a node that is changed: entries, header, checksum; extents cut and joined |
//! | `path` | the way from the root to the leaf of a logical block |
//! | `splice` | entries of a leaf replaced by others: splits, growth, what becomes of emptied nodes |
//! | `fill` | a run put into a hole; what is unwritten becomes written, or the reverse |
//! | `remove` | a range taken out |
//! | `shift` | a range collapsed or inserted: what is behind moves down or up |
//!
//! # Steps
//!
//! An edit may be large: a truncation meets every leaf. So each function here does one *step*, which changes
//! one leaf and what is above it, leaves a sound tree, and returns what is left to do. Its caller gives the
//! transaction room for the next step ([`TreeCredits`]), or ends it and begins another.
//!
//! # Invariants
//!
//! After each step: entries are sorted and do not overlap; no node but the root is empty; a node's first key
//! is that of the entry that leads to it; every block of the tree that changed has the right checksum. The
//! checksum of the inode, whose `i_block` is the root, is its owner's to keep, as is `i_blocks`.
//!
//! # Locking
//!
//! None is taken. The caller holds the lock of the inode's block map: an entry changes in several stores, and
//! who looks up beside them would see half of it. The same lock keeps the depth, on which credits depend.

mod fill;
mod node;
mod path;
mod remove;
mod shift;
mod splice;

#[cfg(test)]
mod tests;

use super::disk::checksum::{self, Seed};
use super::disk::extent::{AllowedBlocks, ExtentBlock, tail_at};
use super::edit::{Change, Edit};
use crate::error::{Corrupt, Result};
use crate::ext::load::Load;

/// The extent tree of an inode, to be changed in one transaction.
pub(crate) struct ExtentTree<'a, C, F> {
    /// The transaction.
    pub change: &'a C,
    /// The inode's raw bytes.
    pub inode: &'a dyn Edit,
    /// Where `i_block` is among them.
    pub at: u64,
    /// The inode's number.
    pub ino: u32,
    /// Where its blocks may be.
    pub allowed: &'a AllowedBlocks<F>,
    /// Near which block those of the tree are taken.
    pub goal: u64,
}

/// How many blocks of the tree a step touches at most. The inode's own block is not counted, nor what it
/// takes to free content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreeCredits {
    /// Those that are changed.
    pub changed: u32,
    /// Those that are taken, each with its bit and its group's counts.
    pub created: u32,
    /// Those that are freed, each with its bit, its group's counts and its revocation.
    pub forgotten: u32,
}

impl TreeCredits {
    /// Returns how many blocks of the journal these are: what is taken or freed changes a bitmap and a
    /// descriptor, too.
    pub(crate) const fn blocks(self) -> u32 {
        self.changed + 3 * self.created + 2 * self.forgotten
    }

    /// Returns those of [`insert`](ExtentTree::insert), [`convert`](ExtentTree::convert) and
    /// [`make_room`](ExtentTree::make_room) in a tree of this depth: each node on the way is split, and the
    /// root grows.
    pub(crate) const fn of_filling(depth: u16) -> Self {
        Self { changed: depth as u32, created: depth as u32 + 1, forgotten: 0 }
    }

    /// Returns those of [`remove`](ExtentTree::remove): as of filling, where a hole is made in the middle of
    /// an extent; else all nodes of the way may be empty then, and those that are left fit into the root.
    pub(crate) const fn of_removal(depth: u16) -> Self {
        Self { forgotten: 2 * depth as u32, ..Self::of_filling(depth) }
    }
}

/// Checks all of the block `bytes`, to which `child` leads: checksum, header, and every entry.
///
/// # Errors
/// [`Corrupt`]: what is wrong.
pub(in crate::ext4) fn check_block(
    child: &ExtentBlock,
    bytes: &impl Load,
    block_size: u64,
    seed: Option<Seed>,
    allowed: &AllowedBlocks<impl Fn(u64, u32) -> bool>,
) -> Result<()> {
    if let Some(seed) = seed {
        let told = bytes.load_u32(tail_at(block_size));
        let real = checksum::extent_block(seed, bytes, 0, block_size);
        if told != real {
            let why = "wrong checksum";
            return Err(Corrupt::against("extent block", child.block, why, told.into(), real.into()).into());
        }
    }
    child.open(bytes, 0, block_size)?.check(allowed)
}

impl<C: Change, F: Fn(u64, u32) -> bool> ExtentTree<'_, C, F> {
    /// Returns block `child` of the tree, which was checked when it was first met.
    fn read(&self, child: &ExtentBlock) -> Result<C::Read> {
        let (block_size, seed) = (self.change.block_size(), self.change.seed());
        self.change.read(child.block, |bytes| check_block(child, bytes, block_size, seed, self.allowed))
    }
}
