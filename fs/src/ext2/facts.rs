//! Facts that steps of different files need evidence of, as [`Staged`](crate::pmem::state::Staged) carries
//! it: what one file makes durable, another relies on.

use super::alloc::taken::Taken;
use super::disk::geometry::LEVELS;

/// The fact that an inode may be named: it is initialised, or it counts the new name already.
#[derive(Debug)]
pub(super) struct Nameable {
    pub ino: u32,
    /// What a directory entry says of it.
    pub file_type: u8,
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

/// The fact that data blocks and the indirect blocks above them are filled and taken; nothing points to them
/// yet.
#[derive(Debug)]
pub(super) struct Chain {
    /// Where the pointers to it belong: `pointers` neighbouring ones.
    pub slot: u64,
    pub pointers: u32,
    /// What the first pointer will be; the others follow.
    pub root: u32,
    /// The first data block.
    pub data: u32,
    /// Its logical block.
    pub lblk: u64,
    /// How many data blocks there are.
    pub count: u32,
    /// The indirect blocks, as far as it has any.
    pub tables: [u32; LEVELS],
    /// How many blocks they all are.
    pub blocks: u32,
}

impl Chain {
    /// Data blocks without tables above them.
    #[inline]
    pub(super) fn of(taken: Taken, lblk: u64, slot: u64) -> Self {
        let (data, count) = (taken.block(), taken.count());
        Self { slot, pointers: count, root: data, data, lblk, count, tables: [0; LEVELS], blocks: count }
    }
}
