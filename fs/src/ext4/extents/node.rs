//! A node that is changed, and what is stored in it. [`crate::ext4::disk::extent`] draws it.

use super::super::disk::extent::*;
use super::super::edit::Edit;
use crate::ext::load::Load;
use core::ops::{Deref, Range};

/// An entry of a leaf or of an index, as it is stored: its key and two more words.
pub(super) type RawEntry = [u32; 3];

/// Returns the entry that leads to the node `block`, which begins with logical block `lblk`.
pub(super) fn index_entry(lblk: u32, block: u64) -> RawEntry {
    [lblk, block as u32, (block >> 32) as u32]
}

impl DiskExtent {
    /// Returns how many blocks one can have.
    pub(crate) const fn most(unwritten: bool) -> u32 {
        if unwritten { MAX_WRITTEN - 1 } else { MAX_WRITTEN }
    }

    /// Returns it as it is stored.
    pub(super) fn entry(&self) -> RawEntry {
        let len = if self.unwritten { MAX_WRITTEN + self.len } else { self.len };
        [self.lblk, len | ((self.block >> 32) as u32) << 16, self.block as u32]
    }

    /// Returns the part of it that lies in the logical blocks `range`, if there is one.
    pub(crate) fn part(&self, range: Range<u32>) -> Option<Self> {
        let (lblk, end) = (self.lblk.max(range.start), self.end().min(range.end));
        let block = self.block + u64::from(lblk - self.lblk);
        (lblk < end).then(|| Self { lblk, block, len: end - lblk, ..*self })
    }

    /// Returns it and `next` as one, if they are of the same kind, `next` follows it in the file and in the
    /// region, and they are not too long for that.
    pub(super) fn joined(&self, next: &Self) -> Option<Self> {
        let len = self.len + next.len;
        let follows = self.end() == next.lblk && self.block + u64::from(self.len) == next.block;
        let is_one = self.unwritten == next.unwritten && follows && len <= Self::most(self.unwritten);
        is_one.then_some(Self { len, ..*self })
    }
}

/// The bytes of a node, to read: the inode's, or a block's.
pub(super) enum NodeBytes<'a, B> {
    /// The root's.
    Inode(&'a dyn Edit),
    /// Those of any other.
    Block(B),
}

impl<'a, B: Deref<Target: Load + Sized + 'a>> Deref for NodeBytes<'a, B> {
    type Target = dyn Load + 'a;
    #[inline]
    fn deref(&self) -> &(dyn Load + 'a) {
        match self {
            Self::Inode(bytes) => *bytes,
            Self::Block(bytes) => &**bytes,
        }
    }
}

/// A node that is changed.
#[derive(Clone, Copy)]
pub(super) struct NodeEdit<'a> {
    pub bytes: &'a dyn Edit,
    /// Where it is in these.
    pub at: u64,
}

impl NodeEdit<'_> {
    fn place(self, slot: u16) -> u64 {
        self.at + ENTRY + ENTRY * u64::from(slot)
    }

    /// Stores entry `slot`.
    pub(super) fn put(self, slot: u16, entry: RawEntry) {
        for (at, word) in (self.place(slot)..).step_by(4).zip(entry) {
            self.bytes.store_u32(at, word);
        }
    }

    /// Moves the entries `slots` to `to`.
    pub(super) fn move_entries(self, slots: Range<u16>, to: u16) {
        self.bytes.move_within(self.place(slots.start)..self.place(slots.end), self.place(to));
    }

    /// Copies the entries `slots` of another node, at `at` of `source`, to `to`.
    pub(super) fn copy_entries(self, source: &dyn Load, at: u64, slots: Range<u16>, to: u16) {
        let place = |slot: u16| at + ENTRY + ENTRY * u64::from(slot);
        self.bytes.copy_from(source, place(slots.start)..place(slots.end), self.place(to));
    }

    /// Adds `by` to the keys of the entries `slots`, and what does not fit goes round.
    pub(super) fn shift_keys(self, slots: Range<u16>, by: u32) {
        for slot in slots {
            let at = self.place(slot);
            self.bytes.store_u32(at, self.bytes.load_u32(at).wrapping_add(by));
        }
    }

    /// Stores the header of one that has `entries`, room for `max`, and so many levels below.
    pub(super) fn set_header(self, entries: u16, max: u16, depth: u16) {
        self.bytes.store_u32(self.at + EH_MAGIC_ENTRIES, MAGIC | u32::from(entries) << 16);
        self.bytes.store_u32(self.at + EH_MAX_DEPTH, u32::from(max) | u32::from(depth) << 16);
    }
}
