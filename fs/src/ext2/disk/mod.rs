//! What is on the disk: where fields are, and their raw values, decoded and checked. Nothing here knows a
//! mounted file system. ext4 has most of it too.

pub(super) mod descriptor;
pub(super) mod dirent;
pub mod features;
pub(super) mod inode;
pub mod layout;
pub mod superblock;

use crate::error::{Corrupt, Error};

/// What the type is called.
pub(super) const NAME: &str = "ext2";

/// A memory error took byte `bad` of the region, which belongs to structure `what` number `index`.
#[cold]
pub(super) fn unreadable(what: &'static str, index: u64, bad: u64) -> Error {
    Corrupt::with(what, index, "an uncorrectable memory error at this byte of the region", bad).into()
}
