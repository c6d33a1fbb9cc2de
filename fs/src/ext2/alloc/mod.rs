//! Who has which block and which inode: bitmaps and counts of block groups, in place.

pub(super) mod bitmap;
pub(super) mod blocks;
pub(super) mod goals;
pub(super) mod groups;
pub(super) mod inodes;
pub(super) mod runs;
pub(super) mod state;
pub(super) mod taken;
