//! Where a file's blocks are: extent trees, and the block maps of older files.

use super::disk::{Inode, METADATA_CSUM, Oracle, Owner, Run, half, number, word};
use super::sums::crc32c;
use std::ops::Range;

const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;
/// The most levels of an extent tree below its root.
const DEEPEST: u16 = 5;
/// Beyond the last block that a file may have.
const END: u64 = 0xffff_ffff;

impl Oracle<'_> {
    /// Looks at every inode's map, and gives it its blocks.
    pub(super) fn map_inodes(&mut self) {
        for inode in self.inodes.values().copied().collect::<Vec<_>>() {
            let clusters = self.map(inode);
            self.clusters.insert(inode.ino, clusters);
        }
    }

    /// Looks at an inode's map. Returns how many clusters it owns.
    fn map(&mut self, inode: Inode<'_>) -> u64 {
        let (map, ino) = (inode.map(), inode.ino);
        let mut runs = Vec::new();
        let fast = inode.kind() == 0xa000 && inode.size() < 60;
        let special = !matches!(inode.kind(), 0x4000 | 0x8000 | 0xa000 | 0);
        let clusters = if inode.flags() & INLINE != 0 {
            0
        } else if inode.flags() & EXTENTS != 0 {
            let name = format!("extent root of inode {ino}");
            self.expect(!fast && !special, &name, "an inode of this kind has no extents");
            let depth = half(map, 6);
            if depth > DEEPEST {
                self.say(&name, format_args!("depth {depth}"));
                return 0;
            }
            self.node(inode, &name, map, 4, (depth, 0..END), &mut runs)
        } else if fast || special {
            0
        } else if ino == 7 {
            return self.resize_inode(map);
        } else {
            let mut clusters = 0;
            for slot in 0..15 {
                let level = (slot as u32).saturating_sub(11);
                let per = (self.sup.block / 4) as u64;
                let first = (1..level).fold(if slot < 12 { slot } else { 12 }, |sum, of| sum + per.pow(of));
                let block = u64::from(word(map, slot as usize * 4));
                clusters += self.pointer(ino, block, level, first, &mut runs);
            }
            clusters
        };
        self.runs.insert(ino, runs);
        clusters
    }

    /// A node of an extent tree, whose keys lie in `keys`.
    fn node(
        &mut self,
        inode: Inode<'_>,
        name: &str,
        bytes: &[u8],
        most: u16,
        (depth, keys): (u16, Range<u64>),
        runs: &mut Vec<Run>,
    ) -> u64 {
        let (magic, entries, max) = (half(bytes, 0), half(bytes, 2), half(bytes, 4));
        self.expect(magic == 0xf30a, name, "no magic number");
        self.expect(max == most, name, format_args!("room for {max} entries, should be {most}"));
        let said = half(bytes, 6);
        self.expect(said == depth, name, format_args!("depth {said}, should be {depth}"));
        if magic != 0xf30a || entries > most || said != depth {
            self.expect(entries <= most, name, format_args!("{entries} entries"));
            return 0;
        }
        let is_root = bytes.len() == 60;
        self.expect(entries > 0 || is_root && depth == 0, name, "no entries");
        let (mut clusters, mut next) = (0, keys.start);
        for index in 0..usize::from(entries) {
            let entry = &bytes[12 + index * 12..][..12];
            let key = u64::from(word(entry, 0));
            if key < next || key >= keys.end {
                self.say(name, format_args!("key {key} is not in {next}..{}", keys.end));
            }
            if depth == 0 {
                let (len, written) = match u64::from(half(entry, 4)) {
                    len @ 0..=0x8000 => (len, true),
                    len => (len - 0x8000, false),
                };
                let physical = number(entry, 8, 4) | number(entry, 6, 2) << 32;
                next = key + len;
                self.expect(len > 0, name, format_args!("the extent at {key} has no length"));
                self.expect(next <= keys.end, name, format_args!("{key}+{len} reaches beyond {}", keys.end));
                clusters += self.claim(physical, len, Owner::Inode(inode.ino));
                runs.push(Run { logical: key, physical, len, written });
            } else {
                let block = number(entry, 4, 4) | number(entry, 8, 2) << 32;
                // The next entry's key ends this one's part.
                let after = u64::from(word(bytes, 24 + index * 12));
                let end = if index + 1 < entries.into() && after > key { after } else { keys.end };
                next = key + 1;
                clusters += self.child(inode, block, (depth - 1, key..end), runs);
            }
        }
        clusters
    }

    fn child(&mut self, inode: Inode<'_>, block: u64, at: (u16, Range<u64>), runs: &mut Vec<Run>) -> u64 {
        let name = format!("extent block {block} of inode {}", inode.ino);
        let clusters = self.claim(block, 1, Owner::Inode(inode.ino));
        let (place, bytes) = (self.place(block).start, self.bytes(block));
        if bytes.is_empty() {
            return 0;
        }
        let most = ((self.sup.block - 12) / 12) as u16;
        if self.has(METADATA_CSUM) {
            let covered = 12 + 12 * usize::from(most);
            let sum = crc32c(self.seed_of(inode), &bytes[..covered]);
            self.compare(&name, place..place + covered, word(bytes, covered), sum);
        }
        let first = u64::from(word(bytes, 12));
        let key = at.1.start;
        self.expect(first == key, &name, format_args!("starts at {first}, its parent says {key}"));
        // A block that was met before has been complained of, and is not gone into again.
        if clusters == 0 && self.sup.ratio == 1 {
            return 0;
        }
        clusters + self.node(inode, &name, bytes, most, at, runs)
    }

    /// A pointer of a block map, `level` tables above the content.
    fn pointer(&mut self, ino: u32, block: u64, level: u32, logical: u64, runs: &mut Vec<Run>) -> u64 {
        if block == 0 {
            return 0;
        }
        let clusters = self.claim(block, 1, Owner::Inode(ino));
        if level == 0 {
            match runs.last_mut() {
                Some(run) if run.logical + run.len == logical && run.physical + run.len == block => {
                    run.len += 1
                }
                _ => runs.push(Run { logical, physical: block, len: 1, written: true }),
            }
            return clusters;
        }
        let per = (self.sup.block / 4) as u64;
        let bytes = if clusters == 0 { &[] } else { self.bytes(block) };
        let below = |slot: u64| logical + slot * per.pow(level - 1);
        (0..bytes.len() as u64 / 4).fold(clusters, |sum, slot| {
            let pointer = word(bytes, slot as usize * 4).into();
            sum + self.pointer(ino, pointer, level - 1, below(slot), runs)
        })
    }

    /// The inode that holds the blocks into which the descriptors may grow: each of them in group 0 points to
    /// its copies in the other groups. They are the groups'.
    fn resize_inode(&mut self, map: &[u8]) -> u64 {
        let name = "inode 7";
        let double = u64::from(word(map, 13 * 4));
        let others = (0..15).filter(|&slot| slot != 13).any(|slot| word(map, slot * 4) != 0);
        self.expect(!others, name, "more than the double indirect block");
        if double == 0 {
            return 0;
        }
        let mut clusters = self.claim(double, 1, Owner::Inode(7));
        let pointers = |bytes: &[u8]| -> Vec<u64> {
            bytes.chunks_exact(4).map(|chunk| word(chunk, 0).into()).filter(|&block| block != 0).collect()
        };
        for table in pointers(self.bytes(double)) {
            for block in std::iter::once(table).chain(pointers(self.bytes(table))) {
                let cluster = block.saturating_sub(self.sup.first_data) / self.sup.ratio;
                let owner = self.owners.get(cluster as usize).copied().flatten();
                // With clusters, other structures of the groups may lie in the same.
                let reserved = matches!(owner, Some(Owner::Group(what, _))
                    if self.sup.ratio > 1 || what == "reserved descriptor blocks");
                self.expect(reserved, name, format_args!("block {block} is not reserved for descriptors"));
                clusters += 1;
            }
        }
        clusters
    }

    /// All blocks of a directory or an orphan file, in order; complains if there are holes.
    pub(super) fn whole(&mut self, ino: u32, blocks: u64) -> Vec<u64> {
        let mut list = Vec::new();
        for run in self.runs.get(&ino).cloned().unwrap_or_default() {
            if run.logical != list.len() as u64 || !run.written {
                self.say(format_args!("inode {ino}"), format_args!("a hole at block {}", list.len()));
                return list;
            }
            list.extend(run.physical..run.physical + run.len.min(self.sup.blocks));
        }
        let len = list.len() as u64;
        self.expect(len == blocks, format_args!("inode {ino}"), format_args!("{len} blocks for {blocks}"));
        list
    }
}
