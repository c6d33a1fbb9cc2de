//! What is on the disk, decoded and checked. Nothing here knows a mounted
//! file system: bytes come through [`Load`](crate::ext::load::Load), of the region or of a copy.
//!
//! | file | what it holds |
//! |---|---|
//! | `extent` | the extent tree: which blocks are behind a file's |
//! | `hash` | the hashes of names that order an indexed directory |
//!
//! A node of a tree comes in two steps. When it is *opened*, what all its uses rely on is looked at: that
//! it is one, how many entries it has, how far above the leaves it is. An entry is checked by itself and
//! against its neighbours each time it is followed; `check` does so with all of them, for who meets a node for
//! the first time.

pub(crate) mod extent;
pub(crate) mod hash;
#[cfg(test)]
mod tests;
