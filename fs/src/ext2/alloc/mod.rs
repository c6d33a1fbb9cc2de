//! Who has which block and which inode: bitmaps and counts of block groups, in place.

pub(super) mod bitmap;
pub(super) mod blocks;
pub(super) mod goals;
pub(super) mod groups;
pub(super) mod inodes;
pub(super) mod runs;
pub(super) mod state;
pub(super) mod taken;

use super::fs::Ext2;
use crate::platform::Platform;

/// The block groups of a mounted file system: who has which block and which inode.
pub(super) struct Groups<'a, P: Platform>(&'a Ext2<P>);

view!(Groups of Ext2);

impl<P: Platform> Ext2<P> {
    /// Returns the file system's block groups.
    #[inline(always)]
    pub(super) fn groups(&self) -> Groups<'_, P> {
        Groups(self)
    }
}
