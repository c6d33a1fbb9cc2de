//! The entries of one block of names, stored.

use super::NewEntry;
use crate::ext::dirent::Dirent;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::ext4::edit::Edit;

/// Stores `new` at `at`, as long as `rec_len`.
fn store(bytes: &(impl Edit + ?Sized), at: u64, rec_len: u16, new: &NewEntry<'_>) {
    let mut entry = [0; Dirent::need(NAME_MAX) as usize];
    let need = usize::from(Dirent::need(new.name.len()));
    entry[..4].copy_from_slice(&new.ino.to_le_bytes());
    entry[4..6].copy_from_slice(&rec_len.to_le_bytes());
    entry[6] = new.name.len() as u8;
    entry[7] = new.file_type;
    entry[8..8 + new.name.len()].copy_from_slice(new.name);
    bytes.write(at, &entry[..need]);
}

/// Stores `new` into the free space of `room`, which is long enough.
pub(super) fn add(bytes: &(impl Edit + ?Sized), room: &Dirent, new: &NewEntry<'_>) {
    let used = room.used();
    store(bytes, room.at + u64::from(used), room.rec_len - used, new);
    if used > 0 {
        bytes.store_u16(room.at + D_REC_LEN, used);
    }
}

/// An entry that is to be packed: where it is in its block, and how long.
#[derive(Clone, Copy)]
pub(super) struct PackedEntry {
    pub hash: u32,
    pub at: u16,
    pub need: u16,
}

/// Fills a block with entries, one behind the other. The last one has what is left.
pub(super) struct Packer<'a, E: ?Sized> {
    bytes: &'a E,
    /// Where the last entry begins, and where it ends.
    last: u64,
    end: u64,
}

impl<'a, E: Edit + ?Sized> Packer<'a, E> {
    pub(super) fn new(bytes: &'a E) -> Self {
        Self { bytes, last: 0, end: 0 }
    }

    fn next(&mut self, need: u16) -> u64 {
        self.last = self.end;
        self.end += u64::from(need);
        self.last
    }

    /// Adds a new entry.
    pub(super) fn add(&mut self, new: &NewEntry<'_>) {
        let need = Dirent::need(new.name.len());
        store(self.bytes, self.next(need), need, new);
    }

    /// Adds an entry of `source`, which may be the same block: then it is not in front of this place.
    pub(super) fn copy(&mut self, source: &dyn Load, entry: PackedEntry) {
        let (from, to) = (u64::from(entry.at), self.next(entry.need));
        // Piece by piece, from the front.
        self.bytes.copy_from(source, from..from + u64::from(entry.need), to);
        self.bytes.store_u16(to + D_REC_LEN, entry.need);
    }

    /// Lets the last entry reach to byte `end` of the block, where entries end.
    pub(super) fn finish(self, end: u64) {
        self.bytes.store_u16(self.last + D_REC_LEN, (end - self.last) as u16);
    }
}
