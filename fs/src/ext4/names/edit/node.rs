//! The entries of a node of the index, or of its root, stored. What they look like, [`htree`] says.
//!
//! [`htree`]: crate::ext4::disk::htree

use crate::ext4::disk::htree::*;
use crate::ext4::edit::Edit;
use core::ops::Range;

/// A node that is being changed: it was checked, or is being made.
pub(super) struct IndexNodeEdit<'a, E: ?Sized> {
    bytes: &'a E,
    /// Where its entries are.
    entries: u64,
}

impl<'a, E: Edit> IndexNodeEdit<'a, E> {
    /// Returns the node in logical block `lblk`: the root is in the first.
    pub(super) fn of(lblk: u32, bytes: &'a E) -> Self {
        Self { bytes, entries: if lblk == 0 { ROOT_ENTRIES } else { NODE_ENTRIES } }
    }

    /// Makes a node of zeros. It has no entries.
    pub(super) fn make(bytes: &'a E, index: &IndexedDirectory) -> Self {
        bytes.store_u16(FAKE_REC_LEN, index.block_size as u16);
        Self { bytes, entries: NODE_ENTRIES }.with_limit(index)
    }

    /// Makes the root of a block that begins with `.` and `..`. It has no levels, and no entries.
    pub(super) fn make_root(bytes: &'a E, index: &IndexedDirectory, hash_version: u8) -> Self {
        bytes.store_u16(DOTDOT_REC_LEN, (index.block_size - DOT_LEN) as u16);
        bytes.store_u32(RESERVED_ZERO, 0);
        bytes.write(HASH_VERSION, &[hash_version, INFO_BYTES, 0, 0]);
        Self { bytes, entries: ROOT_ENTRIES }.with_limit(index)
    }

    fn with_limit(self, index: &IndexedDirectory) -> Self {
        self.bytes.store_u16(self.entries + LIMIT, index.limit(self.entries));
        self.set_count(0);
        self
    }

    pub(super) fn count(&self) -> u16 {
        self.bytes.load_u16(self.entries + COUNT)
    }

    fn set_count(&self, count: u16) {
        self.bytes.store_u16(self.entries + COUNT, count);
    }

    /// Where entry `i` is.
    fn entry(&self, i: u16) -> u64 {
        self.entries + ENTRY * u64::from(i)
    }

    /// Returns the key of entry `i`, which is not the first.
    pub(super) fn key(&self, i: u16) -> u32 {
        self.bytes.load_u32(self.entry(i))
    }

    /// Makes the first entry, which leads to `lblk`, the only one.
    pub(super) fn set_only(&self, lblk: u32) {
        self.bytes.store_u32(self.entry(0) + BLOCK, lblk);
        self.set_count(1);
    }

    /// Inserts entry `i`, which is not the first: from `key` on, `lblk` has the hashes.
    pub(super) fn insert(&self, i: u16, key: u32, lblk: u32) {
        let count = self.count();
        self.bytes.move_within(self.entry(i)..self.entry(count), self.entry(i + 1));
        self.bytes.store_u32(self.entry(i), key);
        self.bytes.store_u32(self.entry(i) + BLOCK, lblk);
        self.set_count(count + 1);
    }

    /// Moves the entries `range` of `source`, its last ones, to this node, which has none. The key of the
    /// first one goes.
    pub(super) fn take(&self, source: &IndexNodeEdit<'_, E>, range: Range<u16>) {
        let bytes = source.entry(range.start) + BLOCK..source.entry(range.end);
        self.bytes.copy_from(source.bytes, bytes, self.entry(0) + BLOCK);
        self.set_count(range.end - range.start);
        source.set_count(range.start);
    }

    /// Makes it the root of a tree that has a level more.
    pub(super) fn add_level(&self) {
        self.bytes.store_u8(INDIRECT_LEVELS, self.bytes.load_u8(INDIRECT_LEVELS) + 1);
    }
}
