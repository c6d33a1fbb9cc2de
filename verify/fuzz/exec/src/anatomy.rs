//! Where an undamaged base image keeps what: so that damage can be aimed.
//!
//! Written for images that are known to be sound; it shares no code with what is tested.

use std::collections::BTreeSet;

/// Byte offsets of an image's structures, and numbers that mean something in it.
pub struct Anatomy {
    /// Bytes in a block.
    pub block: u64,
    /// The first superblock, then its copies.
    pub supers: Vec<u64>,
    /// Group descriptors.
    pub descriptors: Vec<u64>,
    /// Both bitmaps of each group, block bitmap first.
    pub bitmaps: Vec<u64>,
    /// Inodes in use, and the first free one.
    pub inodes: Vec<u64>,
    /// Bytes in an inode.
    pub inode_size: u64,
    /// Indirect blocks of all levels.
    pub tables: Vec<u64>,
    /// Blocks of directories and of long symbolic links.
    pub contents: Vec<u64>,
    /// Directory entries.
    pub entries: Vec<u64>,
    /// Blocks of extended attributes.
    pub attributes: Vec<u64>,
    /// Numbers of inodes.
    pub inode_numbers: Vec<u32>,
    /// Numbers of blocks: of all of the above, of the journal's and of some free ones.
    pub block_numbers: Vec<u32>,
    /// Numbers at which something ends.
    pub edges: Vec<u32>,
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn u8(&self, at: u64) -> u8 {
        self.0[at as usize]
    }
    fn u16(&self, at: u64) -> u64 {
        u64::from(self.u8(at)) | u64::from(self.u8(at + 1)) << 8
    }
    fn u32(&self, at: u64) -> u64 {
        self.u16(at) | self.u16(at + 2) << 16
    }
}

const SUPER: u64 = 1024;
const META_BG: u64 = 0x10;
const SPARSE_SUPER: u64 = 1;

impl Anatomy {
    /// Reads that of `image`.
    pub fn of(image: &[u8]) -> Self {
        let image = Reader(image);
        let sb = |at| image.u32(SUPER + at);
        let block = 1024 << sb(0x18);
        let (inodes, blocks, first) = (sb(0), sb(4), sb(0x14));
        let (per_group, inodes_per_group) = (sb(0x20), sb(0x28));
        let groups = (blocks - first).div_ceil(per_group);
        let dynamic = sb(0x4c) > 0;
        let inode_size = if dynamic { image.u16(SUPER + 0x58) } else { 128 };
        let (incompat, ro_compat) = (sb(0x60), sb(0x64));
        let has_super = |group: u64| {
            let power = |of: u64| (1..20).any(|exponent| of.pow(exponent) == group);
            group < 2 || ro_compat & SPARSE_SUPER == 0 || power(3) || power(5) || power(7)
        };
        let mut it = Self {
            block,
            supers: vec![SUPER],
            descriptors: Vec::new(),
            bitmaps: Vec::new(),
            inodes: Vec::new(),
            inode_size,
            tables: Vec::new(),
            contents: Vec::new(),
            entries: Vec::new(),
            attributes: Vec::new(),
            inode_numbers: Vec::new(),
            block_numbers: Vec::new(),
            edges: vec![
                0,
                1,
                2,
                10,
                11,
                12,
                32_000,
                0x7FFF,
                0x8000,
                0xFFFF,
                0x1_0000,
                0x7FFF_FFFF,
                0x8000_0000,
            ],
        };
        let (blocks32, inodes32) = (blocks as u32, inodes as u32);
        it.edges.extend([
            blocks32 - 1,
            blocks32,
            blocks32 + 1,
            inodes32,
            inodes32 + 1,
            u32::MAX - 1,
            u32::MAX,
        ]);
        it.edges.extend([per_group, inodes_per_group, first, block, block - 1, block - 12].map(|n| n as u32));
        for group in 0..groups {
            let start = first + group * per_group;
            if group > 0 && has_super(group) {
                it.supers.push(start * block);
            }
            let per_block = block / 32;
            let at = if incompat & META_BG != 0 {
                let meta = group / per_block * per_block;
                let table = first + meta * per_group + u64::from(has_super(meta));
                table * block + group % per_block * 32
            } else {
                (first + 1) * block + group * 32
            };
            it.descriptors.push(at);
            for field in [0, 4] {
                it.note(image.u32(at + field));
                it.bitmaps.push(image.u32(at + field) * block);
            }
            it.note(image.u32(at + 8));
            it.note(start);
            it.note((start + per_group).min(blocks) - 1);
        }
        let mut seen = BTreeSet::new();
        for ino in 1..=inodes {
            let descriptor = it.descriptors[((ino - 1) / inodes_per_group) as usize];
            let at = image.u32(descriptor + 8) * block + (ino - 1) % inodes_per_group * inode_size;
            let (mode, links) = (image.u16(at), image.u16(at + 0x1a));
            let used = mode != 0 && links != 0;
            if used || (ino > 11 && it.inode_numbers.last().is_some_and(|&last| u64::from(last) + 1 == ino)) {
                it.inodes.push(at);
                it.inode_numbers.push(ino as u32);
            }
            if used {
                it.look_at_inode(&image, at, mode, &mut seen);
            }
        }
        it
    }

    fn note(&mut self, block: u64) {
        let block = block as u32;
        if block != 0 && !self.block_numbers.contains(&block) {
            self.block_numbers.push(block);
        }
    }

    fn look_at_inode(&mut self, image: &Reader<'_>, at: u64, mode: u64, seen: &mut BTreeSet<u64>) {
        let block = self.block;
        let (size, attributes) = (image.u32(at + 4), image.u32(at + 0x68));
        if attributes != 0 && seen.insert(attributes) {
            self.note(attributes);
            self.attributes.push(attributes * block);
        }
        let kind = mode >> 12;
        let mapped = matches!(kind, 4 | 8) || (kind == 10 && image.u32(at + 0x1c) > 0 && size >= 60);
        if !mapped {
            return;
        }
        let mut data = Vec::new();
        for slot in 0..15 {
            let pointer = image.u32(at + 0x28 + slot * 4);
            self.look_at_table(image, pointer, slot.saturating_sub(11), &mut data, seen);
        }
        // Of the reserved inodes' many blocks (a journal, room for descriptors) the first tell enough.
        for &number in data.iter().take(24) {
            self.note(number);
        }
        if kind != 8 {
            for number in data {
                self.contents.push(number * block);
                let (mut entry, end) = (number * block, (number + 1) * block);
                while kind == 4 && entry < end {
                    self.entries.push(entry);
                    entry += image.u16(entry + 4).max(8);
                }
            }
        }
    }

    fn look_at_table(
        &mut self,
        image: &Reader<'_>,
        number: u64,
        depth: u64,
        data: &mut Vec<u64>,
        seen: &mut BTreeSet<u64>,
    ) {
        if number == 0 || !seen.insert(number) {
            return;
        }
        if depth == 0 {
            return data.push(number);
        }
        self.note(number);
        self.tables.push(number * self.block);
        for word in 0..self.block / 4 {
            self.look_at_table(image, image.u32(number * self.block + word * 4), depth - 1, data, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images;

    #[test]
    fn every_image_has_all_kinds_of_structures() {
        for number in 0..images::COUNT {
            let (name, it) = (images::name(number), Anatomy::of(&images::unpack(number)));
            assert!(it.inodes.len() > 30, "{name}: {} inodes", it.inodes.len());
            assert!(it.entries.len() > 30 && it.contents.len() > 5, "{name}");
            assert!(it.tables.len() >= 7, "{name}: {} tables", it.tables.len());
            // Where inodes have room, attributes are in them.
            assert!(!it.attributes.is_empty() || it.inode_size > 128 || name == "rev0", "{name}");
            assert!(it.block_numbers.len() > 20, "{name}");
        }
    }
}
