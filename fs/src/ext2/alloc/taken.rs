//! What the allocator hands out: evidence that bits are set.

/// The fact that the bits of neighbouring blocks were set: they belong to whoever holds this. Published or
/// given back.
#[derive(Debug)]
pub(in crate::ext2) struct Taken {
    pub(super) first: u32,
    pub(super) count: u32,
}

impl Taken {
    /// Returns the block; of several, the first.
    #[inline]
    pub(in crate::ext2) fn block(&self) -> u32 {
        self.first
    }

    /// Returns how many blocks were taken.
    #[inline]
    pub(in crate::ext2) fn count(&self) -> u32 {
        self.count
    }
}

/// The fact that an inode's bit is set: it belongs to whoever holds this.
#[derive(Debug)]
pub(in crate::ext2) struct TakenInode {
    pub ino: u32,
    /// Byte offset of the raw inode, which holds anything yet.
    pub at: u64,
}
