//! Room for a new entry among those of a block.

use crate::ext::dirent::Dirent;

/// Where a new entry fits.
#[derive(Clone, Copy, Debug)]
pub(in crate::ext2) enum Room {
    /// Into this entry, which is free, or behind what it needs itself. Free entries after it, up to where it
    /// is told to end here, belong to the room: `rec_len` is what it will have to be.
    At { entry: Dirent, rec_len: u16 },
    /// Into a new block.
    NewBlock,
}

/// Free space in a row, while entries are walked.
#[derive(Default)]
pub(in crate::ext2) struct FreeRow {
    /// The entry it starts in, and the bytes from that entry's start to the end of the row.
    first: Option<(Dirent, u16)>,
    /// The most bytes that any row had.
    pub most: u16,
}

impl FreeRow {
    /// Adds `entry`, where the walk is. Returns the room for `need` bytes in the row that ends with `entry`,
    /// if it has that.
    pub(in crate::ext2) fn add(&mut self, entry: &Dirent, need: u16) -> Option<Room> {
        if entry.ino == 0 && entry.rec_len >= need {
            // Alone it needs no merging, and no fence for it.
            return Some(Room::At { entry: *entry, rec_len: entry.rec_len });
        }
        let (first, len) = match self.first {
            // A row ends with its block.
            Some((first, len)) if entry.ino == 0 && entry.within != 0 => (first, len + entry.rec_len),
            _ => (*entry, entry.rec_len),
        };
        self.first = Some((first, len));
        self.most = self.most.max(len - first.used());
        (len - first.used() >= need).then_some(Room::At { entry: first, rec_len: len })
    }
}
