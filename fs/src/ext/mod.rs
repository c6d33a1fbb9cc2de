//! What ext2, ext3 and ext4 have in common: what is on the disk, decoded and checked, and which inodes are in
//! memory. Nothing here knows a mounted file system.
//!
//! | file | what it holds |
//! |---|---|
//! | `load` | bytes that a structure is decoded from: of the region, or a copy of some of it |
//! | [`layout`], [`features`] | where fields are; feature bits and their names |
//! | [`superblock`], [`geometry`] | the superblock, raw; what follows from it |
//! | `inode`, `dirent`, `xattr` | a raw inode; a directory entry; extended attributes as bytes |
//! | `names` | rules about names that do not depend on what is on the disk |
//! | `bits` | the words of a bitmap |
//! | `indirect` | the way to a block through tables of pointers |
//! | `info` | what the superblock says, in the words of the tools |
//! | `view` | how a file system is seen as its block groups, an inode as its block map, ... |
//! | [`journal`] | the journal that a crash left |
//! | `cache` | which inodes are in memory |

#[macro_use]
mod view;

pub(crate) mod bits;
pub(crate) mod cache;
pub(crate) mod dirent;
pub mod features;
pub mod geometry;
pub(crate) mod indirect;
pub(crate) mod info;
pub(crate) mod inode;
pub mod journal;
pub mod layout;
pub(crate) mod load;
pub(crate) mod names;
pub mod superblock;
pub(crate) mod xattr;

use crate::error::{Corrupt, Error};

/// Makes the contradiction that a memory error took byte `bad` of the region, which belongs to structure
/// `what` number `index`.
#[cold]
pub(crate) fn unreadable(what: &'static str, index: u64, bad: u64) -> Error {
    Corrupt::with(what, index, "an uncorrectable memory error at this byte of the region", bad).into()
}
