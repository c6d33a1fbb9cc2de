//! Where ext2 keeps things, read straight from an image's bytes: for damage in chosen places, and for
//! watching stores.

use super::BLOCK;

/// An image's geometry.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) blocks: u64,
    pub(crate) inode_size: u64,
    pub(crate) inodes_per_group: u64,
    pub(crate) blocks_per_group: u64,
}

/// A little-endian number.
pub(crate) fn u32_at(bytes: &[u8], at: u64) -> u32 {
    let at = at as usize;
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// What free blocks are filled with to see that they are zeroed when they are used.
pub(crate) const SOIL: u8 = 0xDB;
/// Byte offset of the superblock.
pub(crate) const SUPERBLOCK: u64 = 1024;
/// Byte offset of the group descriptors.
pub(crate) const DESCRIPTORS: u64 = BLOCK;
/// Bytes in a group descriptor.
pub(crate) const DESCRIPTOR: u64 = 32;
/// Byte offset of `i_block` in an inode.
pub(crate) const I_BLOCK: u64 = 40;

impl Layout {
    /// The geometry that the superblock of `image` tells.
    pub(crate) fn of(image: &[u8]) -> Self {
        let field = |at| u64::from(u32_at(image, SUPERBLOCK + at));
        Self {
            blocks: field(4),
            inode_size: field(88) & 0xFFFF,
            inodes_per_group: field(40),
            blocks_per_group: field(32),
        }
    }

    /// Byte offset of what comes after the inode table of an image's only group.
    pub(crate) fn first_data(&self, image: &[u8]) -> u64 {
        (self.inode(image, self.inodes_per_group) + self.inode_size).next_multiple_of(BLOCK)
    }

    /// Byte offset of inode `ino`.
    pub(crate) fn inode(&self, image: &[u8], ino: u64) -> u64 {
        let (group, index) = ((ino - 1) / self.inodes_per_group, (ino - 1) % self.inodes_per_group);
        let table = u32_at(image, DESCRIPTORS + group * DESCRIPTOR + 8);
        u64::from(table) * BLOCK + index * self.inode_size
    }

    /// Byte offset of the pointer in slot `slot` (0 to 14) of inode `ino`.
    pub(crate) fn pointer(&self, image: &[u8], ino: u64, slot: u64) -> u64 {
        self.inode(image, ino) + I_BLOCK + 4 * slot
    }

    /// Byte offset, and mask, of block `block`'s bit in its group's bitmap.
    pub(crate) fn block_bit(&self, image: &[u8], block: u64) -> (u64, u8) {
        let (group, index) = (block / self.blocks_per_group, block % self.blocks_per_group);
        let bitmap = u32_at(image, DESCRIPTORS + group * DESCRIPTOR);
        (u64::from(bitmap) * BLOCK + index / 8, 1 << (index % 8))
    }

    /// True if block `block` is in use. (4 KiB blocks: block 0 holds boot record and superblock.)
    pub(crate) fn in_use(&self, image: &[u8], block: u64) -> bool {
        let (byte, mask) = self.block_bit(image, block);
        image[byte as usize] & mask != 0
    }

    /// Fills every free block with a byte that is no zero: what a fresh block shows if nobody zeroed it.
    pub(crate) fn soil_free_blocks(&self, image: &mut [u8]) {
        let free: Vec<u64> = (0..self.blocks).filter(|&block| !self.in_use(image, block)).collect();
        for block in free {
            let start = (block * BLOCK) as usize;
            image[start..start + BLOCK as usize].fill(SOIL);
        }
    }
}
