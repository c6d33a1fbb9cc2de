//! What is on the disk, decoded and checked; the checksums of its structures. Nothing here knows a mounted
//! file system: bytes come through [`Load`](crate::ext::load::Load), of the region or of a copy.
//!
//! | file | what it holds |
//! |---|---|
//! | `extent` | the extent tree: which blocks are behind a file's |
//! | `hash`, `htree` | names' hashes; the tree of them that leads to a directory's blocks |
//! | `checksum` | the checksum of each structure, and how much of it is stored |
//!
//! A node of either tree comes in two steps. When it is *opened*, what all its uses rely on is looked at: that
//! it is one, how many entries it has, how far above the leaves it is. An entry is checked by itself and
//! against its neighbours each time it is followed; `check` does so with all of them, for who meets a node for
//! the first time.

pub(crate) mod checksum;
pub(crate) mod extent;
pub(crate) mod hash;
pub(crate) mod htree;
#[cfg(test)]
mod tests;
