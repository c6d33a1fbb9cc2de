//! Who has which block and which inode: bitmaps and counts of block groups, in place, and where the next had
//! best be.

pub(super) mod bitmap;
pub(super) mod blocks;
pub(super) mod goals;
pub(super) mod groups;
pub(super) mod inodes;
pub(super) mod place;
pub(super) mod runs;
pub(super) mod state;
pub(super) mod taken;
