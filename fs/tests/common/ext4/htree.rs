//! Hash trees over a directory's blocks: which leaf may hold which hashes.

use super::disk::{Inode, LARGEDIR, METADATA_CSUM, Oracle, half, word};
use super::sums::{Hashing, crc32c};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the tree says of a directory's blocks.
pub(super) struct Tree {
    pub(super) hashing: Hashing,
    /// The hashes that each leaf may hold.
    pub(super) leaves: BTreeMap<u64, Range<u64>>,
    /// Blocks that hold the tree: the root and nodes.
    pub(super) nodes: Vec<u64>,
}

impl Oracle<'_> {
    /// The tree of a directory with these blocks.
    pub(super) fn tree(&mut self, inode: Inode<'_>, blocks: &[u64]) -> Tree {
        let name = format!("htree root of inode {}", inode.ino);
        let root = self.bytes(blocks.first().copied().unwrap_or(u64::MAX));
        let (version, levels) = (root.get(0x1c).copied().unwrap_or(0), root.get(0x1e).copied().unwrap_or(0));
        let unsigned = word(self.super_bytes(), 0x160) & 2 != 0;
        let seed = std::array::from_fn(|at| word(self.super_bytes(), 0xec + at * 4));
        let mut tree =
            Tree { hashing: Hashing { version, unsigned, seed }, leaves: BTreeMap::new(), nodes: Vec::new() };
        self.expect(version <= 2, &name, format_args!("hash version {version}"));
        self.expect(root.get(0x1d) == Some(&8), &name, "info_length is not 8");
        self.expect(word(root, 0x18) == 0 && root.get(0x1f) == Some(&0), &name, "a reserved field is not 0");
        let most = if self.has(LARGEDIR) { 2 } else { 1 };
        self.expect(levels <= most, &name, format_args!("{levels} levels"));
        if version <= 2 && levels <= most {
            self.node_of(inode, &name, blocks, (0, 0x20, levels), 0..1 << 32, &mut tree);
        }
        for block in 0..blocks.len() as u64 {
            let met = tree.leaves.contains_key(&block) || tree.nodes.contains(&block);
            self.expect(met, &name, format_args!("block {block} is not in the tree"));
        }
        tree
    }

    /// A node (its block in the directory, where its list starts, how many levels are below) for these
    /// hashes.
    fn node_of(
        &mut self,
        inode: Inode<'_>,
        name: &str,
        blocks: &[u64],
        (block, list, levels): (u64, usize, u8),
        hashes: Range<u64>,
        tree: &mut Tree,
    ) {
        tree.nodes.push(block);
        let Some(&physical) = blocks.get(block as usize) else { return };
        let (place, bytes) = (self.place(physical).start, self.bytes(physical));
        let (limit, count) = (usize::from(half(bytes, list)), usize::from(half(bytes, list + 2)));
        let sums = self.has(METADATA_CSUM);
        let room = (self.sup.block - list - if sums { 8 } else { 0 }) / 8;
        self.expect(limit == room, name, format_args!("limit {limit}, should be {room}"));
        if limit != room || count == 0 || count > limit {
            return self.say(name, format_args!("{count} entries"));
        }
        if list == 8 {
            let sound = word(bytes, 0) == 0 && usize::from(half(bytes, 4)) == self.sup.block && bytes[6] == 0;
            self.expect(sound, name, "no node");
        }
        if sums {
            let (used, tail) = (list + count * 8, list + limit * 8);
            let sum = crc32c(self.seed_of(inode), &bytes[..used]);
            let sum = crc32c(crc32c(sum, &bytes[tail..tail + 4]), &[0; 4]);
            self.compare(name, place..place + used, word(bytes, tail + 4), sum);
        }
        let key = |entry: usize| if entry == 0 { hashes.start } else { word(bytes, list + entry * 8).into() };
        for entry in 0..count {
            let end = if entry + 1 < count { key(entry + 1) } else { hashes.end };
            let part = key(entry)..end;
            if part.start >= part.end || part.start < hashes.start || part.end > hashes.end {
                self.say(name, format_args!("keys {:x}..{:x} are out of order", part.start, part.end));
            }
            let child = u64::from(word(bytes, list + entry * 8 + 4) & 0x0fff_ffff);
            let twice = tree.leaves.contains_key(&child) || tree.nodes.contains(&child);
            if twice || child >= blocks.len() as u64 {
                self.say(name, format_args!("block {child} is not in the directory, or in the tree twice"));
            } else if levels == 0 {
                tree.leaves.insert(child, part);
            } else {
                let name = format!("htree node {child} of inode {}", inode.ino);
                self.node_of(inode, &name, blocks, (child, 8, levels - 1), part, tree);
            }
        }
    }

    /// Whether a name is in a leaf where it is looked for.
    pub(super) fn expect_hash(&mut self, what: &str, name: &[u8], hashing: Hashing, hashes: &Range<u64>) {
        let hash = u64::from(hashing.of(name).0);
        // The low bit of a key says that the leaf before may hold the same hash.
        let inside = (hashes.start & !1..hashes.end).contains(&hash);
        let text = String::from_utf8_lossy(name);
        let range = format!("{:x}..{:x}", hashes.start, hashes.end);
        self.expect(inside, what, format_args!("{text:?} has the hash {hash:x}, which is not in {range}"));
    }
}
