//! Facts that steps of different files need evidence of, as [`Staged`](crate::pmem::state::Staged) carries
//! it: what one file makes durable, another relies on.

use super::disk::superblock::SuperBlock;
use crate::ext::dirent::entry_type;
use crate::vfs::FileKind;

/// The fact that an inode may be named: it is initialised, or it counts the new name already.
#[derive(Debug)]
pub(super) struct Nameable {
    pub ino: u32,
    /// What a directory entry says of it.
    pub file_type: u8,
}

impl Nameable {
    /// Returns what a name says of inode `ino`.
    pub(super) fn new(sb: &SuperBlock, ino: u32, kind: FileKind) -> Self {
        Self { ino, file_type: entry_type(sb, kind) }
    }
}

/// The fact that the number of links was stored.
#[derive(Debug)]
pub(super) struct LinksStored(pub u16);

/// The fact that an inode has no name: it may be freed when nobody holds it.
#[derive(Debug)]
pub(super) struct Nameless;

/// The fact that an entry is gone or names another inode: the one it named has lost that name.
#[derive(Debug)]
pub(super) struct NameGone;

/// The fact that pointers were cleared: what they led to can be freed.
#[derive(Debug)]
pub(super) struct Cut;
