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
pub(super) mod fallocate;
pub(super) mod geometry;
pub(super) mod grow;
pub(super) mod large;
pub(super) mod lookup;
pub(super) mod place;
pub(super) mod shift;
pub(super) mod truncate;

use super::inode::Inode;
use crate::platform::Platform;
use core::ops::Deref;

/// The block map of an inode: which logical blocks have which blocks.
pub(super) struct BlockMap<'a, P: Platform>(&'a Inode<P>);

impl<P: Platform> Clone for BlockMap<'_, P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Platform> Copy for BlockMap<'_, P> {}

impl<P: Platform> Deref for BlockMap<'_, P> {
    type Target = Inode<P>;
    #[inline(always)]
    fn deref(&self) -> &Inode<P> {
        self.0
    }
}

impl<P: Platform> Inode<P> {
    /// Its block map. What may be done with it, and under which lock, its functions say.
    #[inline(always)]
    pub(super) fn map(&self) -> BlockMap<'_, P> {
        BlockMap(self)
    }
}
