//! The indirect tree: from a logical block of a file to its block, and everything that changes that.
//!
//! ```text
//! i_block[0..12]  → data                                        blocks 0..12
//! i_block[12]     → 1024 × data                                 blocks 12..1036
//! i_block[13]     → 1024 × 1024 × data                          blocks 1036..1049612
//! i_block[14]     → 1024 × 1024 × 1024 × data                   the rest
//! ```
//!
//! A pointer of 0 is a hole, of whatever hangs below it.

pub(super) mod cursor;
pub(super) mod cut;
pub(super) mod extents;
pub(super) mod geometry;
pub(super) mod grow;
pub(super) mod large;
pub(super) mod lookup;
pub(super) mod place;
pub(super) mod shift;

use super::inode::Ext2Inode;
use crate::platform::Platform;

/// The block map of an inode: which logical blocks have which blocks.
pub(super) struct BlockMap<'a, P: Platform>(&'a Ext2Inode<P>);

view!(BlockMap of Ext2Inode);

impl<P: Platform> Ext2Inode<P> {
    /// Returns the inode's block map. What may be done with the map, and under which lock, its functions say.
    #[inline(always)]
    pub(super) fn map(&self) -> BlockMap<'_, P> {
        BlockMap(self)
    }
}
