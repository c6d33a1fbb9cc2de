//! Inodes: their checksums, and whether what they say of themselves is so.

use super::disk::{DIR_NLINK, HUGE_FILE, Inode, JOURNAL, LARGEDIR, METADATA_CSUM, ORPHAN_FILE, Oracle};
use super::disk::{Owner, half, number, without, word};
use super::groups::Group;
use super::sums::crc32c;

const HUGE: u32 = 0x4_0000;
const EXTENTS: u32 = 0x8_0000;
const VALUE: u32 = 0x20_0000;
const INLINE: u32 = 0x1000_0000;

impl Oracle<'_> {
    /// Reads every inode that may be looked at, and keeps those in use.
    pub(super) fn read_inodes(&mut self, groups: &[Group]) {
        let (image, size, per_group) = (self.image, self.sup.inode_size, self.sup.inodes_per_group);
        for (number, group) in (0..).zip(groups) {
            let table = group.table.saturating_mul(self.sup.block as u64) as usize;
            for index in 0..group.inodes(per_group) {
                let ino = (number * per_group + index + 1) as u32;
                let start = table.saturating_add(index as usize * size);
                let Some(bytes) = image.get(start..start.saturating_add(size)) else {
                    self.say(format_args!("inode {ino}"), "its table is not in the image");
                    break;
                };
                let inode = Inode { ino, bytes };
                // An inode that was never used has no checksum.
                if bytes.iter().any(|&byte| byte != 0) {
                    self.inode_checksum(inode, start);
                }
                let reserved = ino < self.sup.first_ino && ino != 2;
                if !self.inode_used(group, index) {
                    let used = inode.links() != 0 && inode.dtime() == 0;
                    self.expect(
                        !used,
                        format_args!("inode {ino}"),
                        "is used, and the bitmap says it is free",
                    );
                } else if !reserved || inode.map().iter().any(|&byte| byte != 0) {
                    self.inodes.insert(ino, inode);
                }
            }
        }
    }

    fn inode_checksum(&mut self, inode: Inode<'_>, place: usize) {
        if !self.has(METADATA_CSUM) {
            return;
        }
        let bytes = inode.bytes;
        let wide = bytes.len() > 128 && inode.extra() >= 4;
        let copy = without(&without(bytes, 0x7c..0x7e), 0x82..if wide { 0x84 } else { 0x82 });
        let sum = crc32c(self.seed_of(inode), &copy);
        let high = if wide { u32::from(half(bytes, 0x82)) << 16 } else { 0 };
        let sum = if wide { sum } else { sum & 0xffff };
        let name = format!("inode {}", inode.ino);
        self.compare(&name, place..place + bytes.len(), u32::from(half(bytes, 0x7c)) | high, sum);
    }

    /// Looks at every inode in use, and its attributes.
    pub(super) fn check_inodes(&mut self) {
        let all: Vec<_> = self.inodes.values().copied().collect();
        for &inode in &all {
            self.check_inode(inode);
        }
    }

    fn check_inode(&mut self, inode: Inode<'_>) {
        let name = format!("inode {}", inode.ino);
        let (size, flags, kind) = (inode.size(), inode.flags(), inode.kind());
        let known = matches!(kind, 0x1000 | 0x2000 | 0x4000 | 0x6000 | 0x8000 | 0xa000 | 0xc000);
        let reserved = inode.ino < self.sup.first_ino && inode.ino != 2;
        self.expect(known || reserved, &name, format_args!("mode {kind:x}"));
        if self.sup.inode_size > 128 {
            let extra = inode.extra();
            let sound =
                extra == 0 || (4..=self.sup.inode_size - 128).contains(&extra) && extra.is_multiple_of(4);
            self.expect(sound, &name, format_args!("i_extra_isize {extra}"));
        }
        let orphan = self.orphans.contains(&inode.ino);
        self.expect(inode.dtime() == 0 || orphan, &name, format_args!("dtime {}", inode.dtime()));
        let kept = inode.links() != 0 || orphan || reserved;
        self.expect(kept, &name, "has no links, and is no orphan");
        self.expect(
            matches!(kind, 0x4000 | 0x8000 | 0xa000 | 0) || size == 0,
            &name,
            "a special file has a size",
        );
        let large = kind == 0x8000 || self.has(LARGEDIR) || size >> 32 == 0;
        self.expect(large, &name, format_args!("size {size:x} for its kind"));
        let (inline, inode_values) = self.attributes_in_inode(inode);
        let content = self.clusters.get(&inode.ino).copied().unwrap_or(0);
        let clusters = content + self.attributes_in_block(inode) + inode_values;
        self.expect_blocks(inode, clusters);
        if flags & INLINE != 0 {
            let room = 60 + inline.unwrap_or(0);
            self.expect(inline.is_some(), &name, "inline, without an attribute system.data");
            let sound = if inode.is_dir() { size == room } else { size <= room };
            self.expect(sound, &name, format_args!("size {size}, and room inline for {room}"));
        } else if kind == 0xa000 && size < 60 {
            let text = &inode.map()[..size as usize];
            self.expect(size > 0 && !text.contains(&0), &name, "a symbolic link with no proper target");
        } else {
            self.expect_size(inode);
        }
        if kind == 0xa000 && flags & EXTENTS != 0 {
            self.expect(size < self.sup.block as u64, &name, "a target longer than a block");
        }
        let value = flags & VALUE == 0 || self.sup.incompat & 0x400 != 0;
        self.expect(value, &name, "holds an attribute's value, ea_inode is not set");
    }

    /// i_blocks, in units of 512 bytes or of blocks.
    fn expect_blocks(&mut self, inode: Inode<'_>, clusters: u64) {
        let unit = if self.has(HUGE_FILE) && inode.flags() & HUGE != 0 { self.sup.block as u64 } else { 512 };
        let said = number(inode.bytes, 0x1c, 4) | number(inode.bytes, 0x74, 2) << 32;
        let of = clusters * self.sup.ratio * self.sup.block as u64 / unit;
        self.expect(
            said == of,
            format_args!("inode {}", inode.ino),
            format_args!("i_blocks {said}, should be {of}"),
        );
    }

    /// Nothing written lies behind the end; a directory's size is its blocks'.
    fn expect_size(&mut self, inode: Inode<'_>) {
        let (name, size) = (format!("inode {}", inode.ino), inode.size());
        let blocks = size.div_ceil(self.sup.block as u64);
        let runs = self.runs.get(&inode.ino).map_or(&[][..], |runs| runs);
        let written =
            runs.iter().filter(|run| run.written).map(|run| run.logical + run.len).max().unwrap_or(0);
        self.expect(
            written <= blocks,
            &name,
            format_args!("{written} blocks written, its size {size} is less"),
        );
        if inode.is_dir() {
            let whole = size > 0 && size.is_multiple_of(self.sup.block as u64);
            self.expect(whole, &name, format_args!("a directory of {size} bytes"));
        }
    }

    /// Compares each inode's links with the entries that lead to it.
    pub(super) fn links(&mut self) {
        let bytes = self.super_bytes();
        // Inodes without a name: the orphan file and the quotas of projects are not among the reserved.
        let file = if self.has(ORPHAN_FILE) { word(bytes, 0x280) } else { 0 };
        let nameless = [file, word(bytes, 0x26c), if self.has(JOURNAL) { word(bytes, 0xe0) } else { 0 }];
        let all: Vec<_> = self.inodes.values().copied().collect();
        for inode in all {
            let (ino, said) = (inode.ino, u64::from(inode.links()));
            if nameless.contains(&ino) || (ino < self.sup.first_ino && ino != 2) {
                continue;
            }
            let name = format!("inode {ino}");
            if inode.flags() & VALUE != 0 {
                let count = number(inode.bytes, 0xc, 4) << 32 | number(inode.bytes, 0x24, 4);
                let found = self.values.get(&ino).copied().unwrap_or(0);
                self.expect(count == found, name, format_args!("{count} attributes, found {found}"));
                continue;
            }
            let found = self.names.get(&ino).copied().unwrap_or(0);
            let many = inode.is_dir() && said == 1 && self.has(DIR_NLINK) && found > 2;
            self.expect(said == found || many, &name, format_args!("{said} links, found {found}"));
            if inode.is_dir() {
                let parent = if ino == 2 { Some(2) } else { self.parents.get(&ino).copied() };
                let dotdot = self.dotdot.get(&ino).copied();
                if parent.is_some() && dotdot.is_some() && parent != dotdot {
                    self.say(&name, format_args!("`..` is {dotdot:?}, it lies in {parent:?}"));
                }
            }
        }
    }

    /// The bytes of an inode's content, block by block, as far as they are there.
    pub(super) fn content(&self, ino: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for run in self.runs.get(&ino).into_iter().flatten() {
            for block in run.physical..run.physical.saturating_add(run.len) {
                bytes.extend_from_slice(self.bytes(block));
            }
        }
        let size = self.inodes.get(&ino).map_or(0, |inode| inode.size());
        bytes.truncate(size as usize);
        bytes
    }

    /// Who owns the first block of something that an inode may share.
    pub(super) fn claim_shared(&mut self, block: u64) -> u64 {
        let references = self.shared.entry(block).or_insert(0);
        *references += 1;
        if *references == 1 {
            self.claim(block, 1, Owner::Xattrs);
        }
        1
    }
}
