//! What is on the disk and ext4's own, decoded and checked; the checksums of its structures. Nothing here
//! knows a mounted file system: bytes come through [`Load`](crate::ext::load::Load), of the region or of a
//! copy. What is as in ext2 is in [`crate::ext`].
//!
//! | file | what it holds |
//! |---|---|
//! | `superblock`, `descriptor` | the superblock; a group's descriptor |
//! | `extent` | the extent tree: which blocks are behind a file's |
//! | `hash`, `htree` | names' hashes; the tree of them that leads to a directory's blocks |
//! | `checksum` | the checksum of each structure, and how much of it is stored |
//!
//! A node of either tree is checked in two steps. When it is *opened*, what all its uses rely on is looked
//! at: that it is one, how many entries it has, how far above the leaves it is. An entry is checked by itself
//! and against its neighbours each time it is followed; `check` does so with all of them, for who meets a
//! node for the first time.

pub(crate) mod checksum;
pub(crate) mod descriptor;
pub(crate) mod extent;
pub(crate) mod hash;
pub(crate) mod htree;
pub(crate) mod superblock;

#[cfg(test)]
mod tests;

use crate::ext::features::*;
use crate::ext::geometry::DiskFormat;

/// What the type is called.
pub(super) const NAME: &str = "ext4";

/// What can be read.
const INCOMPAT_KNOWN: u32 = INCOMPAT_FILETYPE
    | INCOMPAT_RECOVER
    | INCOMPAT_META_BG
    | INCOMPAT_EXTENTS
    | INCOMPAT_64BIT
    | INCOMPAT_FLEX_BG
    | INCOMPAT_CSUM_SEED
    | INCOMPAT_LARGEDIR
    | INCOMPAT_INLINE_DATA
    | READ_ONLY_INCOMPAT;
/// What can be read, but could not be kept right.
const READ_ONLY_INCOMPAT: u32 = INCOMPAT_MMP | INCOMPAT_EA_INODE | INCOMPAT_ENCRYPT;
/// What could be kept right. `btree_dir` was never used.
const RO_COMPAT_KNOWN: u32 = RO_COMPAT_SPARSE_SUPER
    | RO_COMPAT_LARGE_FILE
    | 0x4
    | RO_COMPAT_HUGE_FILE
    | RO_COMPAT_DIR_NLINK
    | RO_COMPAT_EXTRA_ISIZE
    | RO_COMPAT_METADATA_CSUM
    | RO_COMPAT_ORPHAN_PRESENT;

/// ext4, among those whose superblocks look like its own.
const FORMAT: DiskFormat = DiskFormat { name: NAME, incompat: INCOMPAT_KNOWN, hint };

/// Returns what is to be done about an image that needs what this implementation does not do.
fn hint(incompat: u32) -> &'static str {
    if incompat & 0x8 != 0 { "the journal of another file system" } else { "" }
}
