//! Superblocks, descriptors, and what they say of each group: where its tables are, what is free.

use super::disk::{GDT_CSUM, LARGE_FILE, META_BG, METADATA_CSUM, MMP, Oracle, Owner};
use super::disk::{SPARSE_SUPER, SPARSE_SUPER2, bit, half, number, without, word};
use super::sums::{crc16, crc32c};

const INODE_UNINIT: u16 = 1;
const BLOCK_UNINIT: u16 = 2;

/// A group's descriptor.
pub(super) struct Group {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) table: u64,
    free_blocks: u64,
    free_inodes: u64,
    directories: u64,
    flags: u16,
    /// Inodes at the table's end that were never used.
    unused: u64,
    sums: [u32; 2],
}

impl Group {
    /// How many inodes of the table may be looked at.
    pub(super) fn inodes(&self, per_group: u64) -> u64 {
        if self.flags & INODE_UNINIT != 0 { 0 } else { per_group.saturating_sub(self.unused) }
    }
}

impl Oracle<'_> {
    /// Whether a group has a copy of the superblock.
    fn has_super(&self, group: u64) -> bool {
        let power = |of: u64| {
            let mut value = of;
            while value < group {
                value *= of;
            }
            value == group
        };
        if self.has(SPARSE_SUPER2) {
            let copies = [0x24c, 0x250].map(|at| u64::from(word(self.super_bytes(), at)));
            group == 0 || copies.contains(&group)
        } else {
            !self.has(SPARSE_SUPER) || group <= 1 || power(3) || power(5) || power(7)
        }
    }

    /// The block of a group's superblock, or where it would be. With clusters, block 0 is in group 0.
    fn super_place(&self, group: u64) -> u64 {
        let boot = self.sup.block == 1024 && self.sup.first_data == 0 && group == 0;
        self.sup.start(group) + u64::from(boot)
    }

    /// The superblock and its copies.
    pub(super) fn super_blocks(&mut self) {
        let first = self.super_bytes();
        for group in 0..self.sup.groups {
            if group != 0 && !self.has_super(group) {
                continue;
            }
            let place = self.place(self.super_place(group)).start;
            let (name, place) = match group {
                0 => ("superblock".to_owned(), 1024),
                _ => (format!("superblock of group {group}"), place),
            };
            let bytes = &self.image[place..place + 1024];
            self.expect(half(bytes, 0x38) == 0xef53, &name, "no magic number");
            self.expect(u64::from(half(bytes, 0x5a)) == group & 0xffff, &name, "another group's");
            self.expect(bytes[0x68..0x78] == first[0x68..0x78], &name, "another UUID");
            if self.has(METADATA_CSUM) {
                self.expect(bytes[0x175] == 1, &name, "another kind of checksum");
                let sum = crc32c(!0, &bytes[..0x3fc]);
                self.compare(&name, place..place + 0x400, word(bytes, 0x3fc), sum);
            }
        }
    }

    /// Where a descriptor is.
    fn descriptor_place(&self, group: u64) -> usize {
        let per_block = (self.sup.block / self.sup.desc_size) as u64;
        let block = group / per_block;
        let table = if self.in_table(block) {
            self.super_place(0) + 1 + block
        } else {
            let first = block * per_block;
            self.super_place(first) + u64::from(self.has_super(first))
        };
        self.place(table).start + (group % per_block) as usize * self.sup.desc_size
    }

    /// Whether a block of descriptors is in the one table, rather than in its meta group.
    fn in_table(&self, block: u64) -> bool {
        !self.has(META_BG) || block < u64::from(word(self.super_bytes(), 0x104))
    }

    /// All descriptors.
    pub(super) fn descriptors(&mut self) -> Vec<Group> {
        (0..self.sup.groups).map(|group| self.descriptor(group)).collect()
    }

    fn descriptor(&mut self, group: u64) -> Group {
        let (start, size) = (self.descriptor_place(group), self.sup.desc_size);
        let bytes = &self.image[start..start + size];
        let name = format!("descriptor of group {group}");
        let le = (group as u32).to_le_bytes();
        let stored = half(bytes, 0x1e).into();
        if self.has(METADATA_CSUM) {
            let sum = crc32c(crc32c(self.sup.seed, &le), &without(bytes, 0x1e..0x20));
            self.compare(&name, start..start + size, stored, sum & 0xffff);
        } else if self.has(GDT_CSUM) {
            let uuid = &self.super_bytes()[0x68..0x78];
            let before = crc16(crc16(crc16(!0, uuid), &le), &bytes[..0x1e]);
            let sum = crc16(before, &bytes[0x20..]);
            self.compare(&name, start..start + size, stored, sum.into());
        }
        let wide = size >= 64;
        let both = |low: usize, high: usize, len: usize| {
            number(bytes, low, len) | if wide { number(bytes, high, len) << (8 * len) } else { 0 }
        };
        let sums = self.has(METADATA_CSUM) || self.has(GDT_CSUM);
        let flags = if sums { half(bytes, 0x12) } else { 0 };
        let unused = if sums { both(0x1c, 0x32, 2) } else { 0 };
        self.expect(unused <= self.sup.inodes_per_group, &name, "more unused inodes than it has");
        self.expect(flags & !7 == 0, &name, format_args!("flags {flags:x}"));
        if group + 1 == self.sup.groups {
            self.expect(flags & BLOCK_UNINIT == 0, &name, "the last one's block bitmap is uninitialised");
        }
        Group {
            block_bitmap: both(0, 0x20, 4),
            inode_bitmap: both(4, 0x24, 4),
            table: both(8, 0x28, 4),
            free_blocks: both(0xc, 0x2c, 2),
            free_inodes: both(0xe, 0x2e, 2),
            directories: both(0x10, 0x30, 2),
            flags,
            unused,
            sums: [both(0x18, 0x38, 2) as u32, both(0x1a, 0x3a, 2) as u32],
        }
    }

    /// What the groups own themselves.
    pub(super) fn claim_metadata(&mut self, groups: &[Group]) {
        let per_block = (self.sup.block / self.sup.desc_size) as u64;
        let blocks = self.sup.groups.div_ceil(per_block);
        let table = (0..blocks).take_while(|&block| self.in_table(block)).count() as u64;
        let reserved = u64::from(half(self.super_bytes(), 0xce));
        for (number, group) in (0..).zip(groups) {
            let place = self.super_place(number);
            if place != self.sup.start(number) {
                self.claim(0, 1, Owner::Group("boot block", number));
            }
            let copy = self.has_super(number);
            if copy {
                self.claim(place, 1, Owner::Group("superblock", number));
                self.claim(place + 1, table, Owner::Group("descriptor table", number));
                if !self.has(META_BG) {
                    let kept = Owner::Group("reserved descriptor blocks", number);
                    self.claim(place + 1 + table, reserved, kept);
                }
            }
            let (meta, within) = (number / per_block, number % per_block);
            if !self.in_table(meta) && [0, 1, per_block - 1].contains(&within) {
                self.claim(place + u64::from(copy), 1, Owner::Group("descriptor block", number));
            }
            self.claim(group.block_bitmap, 1, Owner::Group("block bitmap", number));
            self.claim(group.inode_bitmap, 1, Owner::Group("inode bitmap", number));
            let bytes = self.sup.inodes_per_group as usize * self.sup.inode_size;
            let len = bytes.div_ceil(self.sup.block) as u64;
            self.claim(group.table, len, Owner::Group("inode table", number));
        }
        if self.has(MMP) {
            let block = number(self.super_bytes(), 0x168, 8);
            self.claim(block, 1, Owner::Group("mmp block", 0));
            let (place, bytes) = (self.place(block).start, self.bytes(block));
            if self.has(METADATA_CSUM) && !bytes.is_empty() {
                let sum = crc32c(self.sup.seed, &bytes[..0x3fc]);
                self.compare("mmp block", place..place + 0x400, word(bytes, 0x3fc), sum);
            }
        }
    }

    /// Bit `index` of the group's inode bitmap.
    pub(super) fn inode_used(&self, group: &Group, index: u64) -> bool {
        group.flags & INODE_UNINIT == 0 && bit(self.bytes(group.inode_bitmap), index)
    }

    /// Both bitmaps, and the counts.
    pub(super) fn bitmaps(&mut self, groups: &[Group]) {
        let (mut free_blocks, mut free_inodes) = (0, 0);
        for (number, group) in (0..).zip(groups) {
            free_blocks += self.block_bitmap(number, group);
            free_inodes += self.inode_bitmap(number, group);
        }
        let bytes = self.super_bytes();
        let high = if self.sup.incompat & 0x80 != 0 { number(bytes, 0x158, 4) << 32 } else { 0 };
        let (said, of) = (number(bytes, 0xc, 4) | high, free_blocks * self.sup.ratio);
        self.expect(said == of, "superblock", format_args!("{said} free blocks, should be {of}"));
        let said = u64::from(word(bytes, 0x10));
        self.expect(
            said == free_inodes,
            "superblock",
            format_args!("{said} free inodes, should be {free_inodes}"),
        );
        let large = self.inodes.values().any(|inode| inode.kind() == 0x8000 && inode.size() >> 31 != 0);
        self.expect(!large || self.has(LARGE_FILE), "superblock", "a file is large, large_file is not set");
    }

    /// The checksum and the padding of a bitmap of which `bits` mean something and `summed` are covered.
    fn bitmap(&mut self, name: &str, group: u64, block: u64, bits: u64, summed: u64, stored: u32) {
        let (place, bytes) = (self.place(block).start, self.bytes(block));
        if bytes.is_empty() {
            return self.say(name, "is not in the file system");
        }
        if self.has(METADATA_CSUM) {
            let covered = summed as usize / 8;
            let sum = crc32c(self.sup.seed, &bytes[..covered]);
            let sum = if self.sup.desc_size >= 64 { sum } else { sum & 0xffff };
            self.compare(name, place..place + covered, stored, sum);
        }
        if let Some(clear) = (bits..bytes.len() as u64 * 8).find(|&at| !bit(bytes, at)) {
            self.say(name, format_args!("bit {clear} of the padding is clear (group {group})"));
        }
    }

    fn block_bitmap(&mut self, number: u64, group: &Group) -> u64 {
        let name = format!("block bitmap of group {number}");
        let (all, per_group) = (self.sup.clusters(number), self.sup.clusters_per_group);
        let bytes = self.bytes(group.block_bitmap);
        let uninit = group.flags & BLOCK_UNINIT != 0;
        if !uninit {
            self.bitmap(&name, number, group.block_bitmap, all, per_group, group.sums[0]);
        }
        let (mut free, mut wrong) = (0, Vec::new());
        for cluster in 0..all {
            let owner = self.owners[(number * per_group + cluster) as usize];
            let used = if uninit { owner.is_some() } else { bit(bytes, cluster) };
            free += u64::from(!used);
            let block = self.sup.start(number) + cluster * self.sup.ratio;
            match owner {
                Some(Owner::Group(..)) if uninit => {}
                Some(owner) if uninit || !used => wrong.push(format!("block {block} of {owner} is free")),
                None if used => wrong.push(format!("block {block} is nobody's, and marked as used")),
                _ => {}
            }
        }
        if let Some(first) = wrong.first() {
            self.say(&name, format_args!("{first} ({} like that)", wrong.len()));
        }
        let said = group.free_blocks;
        let name = format!("descriptor of group {number}");
        self.expect(said == free, name, format_args!("{said} free blocks, should be {free}"));
        free
    }

    fn inode_bitmap(&mut self, number: u64, group: &Group) -> u64 {
        let name = format!("inode bitmap of group {number}");
        let per_group = self.sup.inodes_per_group;
        if group.flags & INODE_UNINIT == 0 {
            self.bitmap(&name, number, group.inode_bitmap, per_group, per_group, group.sums[1]);
        }
        let (mut free, mut directories) = (0, 0);
        for index in 0..per_group {
            let ino = (number * per_group + index + 1) as u32;
            let used = self.inode_used(group, index);
            free += u64::from(!used);
            directories += u64::from(self.inodes.get(&ino).is_some_and(|inode| inode.is_dir()));
            if used && index >= group.inodes(per_group) {
                self.say(&name, format_args!("inode {ino} is used, and among those never used"));
            }
            let reserved = ino < self.sup.first_ino;
            self.expect(used || !reserved, &name, format_args!("the reserved inode {ino} is free"));
        }
        let name = format!("descriptor of group {number}");
        let said = group.free_inodes;
        self.expect(said == free, &name, format_args!("{said} free inodes, should be {free}"));
        let said = group.directories;
        self.expect(said == directories, &name, format_args!("{said} directories, should be {directories}"));
        free
    }
}
