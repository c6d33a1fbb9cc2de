//! Where ways through the indirect tree end.

use crate::ext::indirect::Path;

/// Where a way ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::ext2) enum Spot {
    /// At a block.
    Block(u32),
    /// At an empty pointer.
    Hole(Hole),
}

/// A hole, and the way to it.
#[derive(Clone, Copy, Debug)]
pub(in crate::ext2) struct Hole {
    pub lblk: u64,
    pub path: Path,
    /// Byte offset of the empty pointer.
    pub slot: u64,
    /// How far along the way it is: 0 is in the inode.
    pub level: usize,
}

impl Hole {
    /// Returns how many tables are missing on the way.
    #[inline]
    pub(in crate::ext2) fn missing(&self) -> usize {
        self.path.depth - self.level
    }
}
