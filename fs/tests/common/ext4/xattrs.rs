//! Extended attributes: in the inode, in a block that inodes may share, values in inodes of their own.

use super::disk::{Inode, METADATA_CSUM, Oracle, half, without, word};
use super::sums::crc32c;

const MAGIC: u32 = 0xea02_0000;
const VALUE: u32 = 0x20_0000;

/// An attribute's entry.
struct Entry<'a> {
    index: u8,
    name: &'a [u8],
    /// Where its value starts and how long it is.
    value: (usize, usize),
    /// The inode that holds the value, or 0.
    inode: u32,
    hash: u32,
}

/// Bytes that count as positive, or not: Linux changed it in 6.2, and both are right.
fn name_hash(name: &[u8], unsigned: bool) -> u32 {
    name.iter().fold(0, |hash: u32, &byte| {
        hash << 5 ^ hash >> 27 ^ if unsigned { byte.into() } else { byte as i8 as u32 }
    })
}

fn value_hash(start: u32, value: &[u8]) -> u32 {
    value.chunks(4).fold(start, |hash, word| {
        let word = word.iter().rev().fold(0u32, |value, &byte| value << 8 | u32::from(byte));
        hash.rotate_left(16) ^ word
    })
}

impl Oracle<'_> {
    /// The attributes in an inode. Returns how long `system.data` is, if it is there, and how many clusters
    /// the inodes of its values have.
    pub(super) fn attributes_in_inode(&mut self, inode: Inode<'_>) -> (Option<u64>, u64) {
        let start = 128 + inode.extra();
        let bytes = inode.bytes.get(start..).unwrap_or_default();
        if self.sup.inode_size == 128 || word(bytes, 0) != MAGIC {
            return (None, 0);
        }
        let name = format!("attributes in inode {}", inode.ino);
        let region = &bytes[4..];
        let entries = self.entries(&name, region, 0);
        let mut clusters = 0;
        for entry in &entries {
            clusters += self.value(&name, region, entry, true);
        }
        let data = entries.iter().find(|entry| entry.index == 7 && entry.name == b"data");
        (data.map(|entry| entry.value.1 as u64), clusters)
    }

    /// What of an inline directory's entries is in the attribute `system.data`.
    pub(super) fn inline_rest(&self, inode: Inode<'_>) -> Vec<u8> {
        let region = inode.bytes.get(132 + inode.extra()..).unwrap_or_default();
        let data = quietly(region, 0).into_iter().find(|entry| entry.index == 7 && entry.name == b"data");
        let value = data.and_then(|entry| region.get(entry.value.0..entry.value.0 + entry.value.1));
        value.unwrap_or_default().to_vec()
    }

    /// The attributes in a block. Returns how many clusters they have.
    pub(super) fn attributes_in_block(&mut self, inode: Inode<'_>) -> u64 {
        let block = inode.xattr_block();
        if block == 0 {
            return 0;
        }
        let mut clusters = self.claim_shared(block);
        let name = format!("xattr block {block}");
        let (place, bytes) = (self.place(block), self.bytes(block));
        if bytes.is_empty() {
            self.say(&name, "is not in the file system");
            return clusters;
        }
        let first = self.shared.get(&block) == Some(&1);
        if first {
            self.expect(word(bytes, 0) == MAGIC, &name, "no magic number");
            self.expect(word(bytes, 8) == 1, &name, "more than one block");
            if self.has(METADATA_CSUM) {
                let sum = crc32c(crc32c(self.sup.seed, &block.to_le_bytes()), &without(bytes, 16..20));
                self.compare(&name, place, word(bytes, 16), sum);
            }
        }
        let entries = if first { self.entries(&name, bytes, 32) } else { quietly(bytes, 32) };
        for entry in &entries {
            clusters += self.value(&name, bytes, entry, false);
        }
        if first {
            let order = |entry: &Entry<'_>| (entry.index, entry.name.len(), entry.name.to_vec());
            self.expect(entries.is_sorted_by_key(order), &name, "the entries are not in order");
            // One attribute without a hash keeps the block from being shared, and so does no hash of all:
            // libext2fs writes none.
            let hash = |hash: u32, entry: &Entry<'_>| hash.rotate_left(16) ^ entry.hash;
            let of =
                if entries.iter().any(|entry| entry.hash == 0) { 0 } else { entries.iter().fold(0, hash) };
            let said = word(bytes, 12);
            self.expect(said == of || said == 0, &name, format_args!("hash {said:08x}, should be {of:08x}"));
        }
        clusters
    }

    /// The entries from `start` on; complains of what is wrong with them.
    fn entries<'b>(&mut self, name: &str, region: &'b [u8], start: usize) -> Vec<Entry<'b>> {
        let list = quietly(region, start);
        let end = list.iter().fold(start, |at, entry| at + 16 + entry.name.len().next_multiple_of(4));
        self.expect(end + 4 <= region.len() && word(region, end) == 0, name, "the entries have no end");
        let mut values = Vec::new();
        for entry in list.iter().filter(|entry| entry.inode == 0 && entry.value.1 > 0) {
            let (from, len) = entry.value;
            let inside = from >= end + 4 && from + len <= region.len() && from % 4 == 0;
            self.expect(inside, name, format_args!("a value at {from}+{len} is not in its place"));
            values.push((from, from + len));
        }
        values.sort_unstable();
        let apart = values.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        self.expect(apart, name, "values lie in each other");
        let mut names: Vec<_> = list.iter().map(|entry| (entry.index, entry.name)).collect();
        names.sort_unstable();
        self.expect(names.windows(2).all(|pair| pair[0] != pair[1]), name, "a name is there twice");
        list
    }

    /// An entry's hash and value. Returns how many clusters the value's inode has.
    fn value(&mut self, name: &str, region: &[u8], entry: &Entry<'_>, in_inode: bool) -> u64 {
        let text = format!("{} {:?}", entry.index, String::from_utf8_lossy(entry.name));
        let (start, len) = entry.value;
        let mut clusters = 0;
        let mut words = region.get(start..start + len).unwrap_or_default().to_vec();
        if entry.inode != 0 {
            let Some(&holder) = self.inodes.get(&entry.inode) else {
                self.say(name, format_args!("{text}: inode {} is not in use", entry.inode));
                return 0;
            };
            *self.values.entry(entry.inode).or_insert(0) += 1;
            self.expect(holder.flags() & VALUE != 0, name, format_args!("{text}: in a common inode"));
            let size = holder.size();
            self.expect(size == len as u64, name, format_args!("{text}: {len} bytes in an inode of {size}"));
            clusters = (len as u64).div_ceil(self.sup.block as u64 * self.sup.ratio);
            words = holder.bytes[8..12].to_vec();
            let sum = crc32c(self.sup.seed, &self.content(entry.inode));
            let holder = format!("inode {}", entry.inode);
            self.expect(word(&words, 0) == sum, holder, format_args!("not the hash of the value, {sum:08x}"));
        }
        let signs = [false, true].map(|unsigned| value_hash(name_hash(entry.name, unsigned), &words));
        let sound = signs.contains(&entry.hash) || in_inode && entry.hash == 0;
        self.expect(sound, name, format_args!("{text}: hash {:08x}, should be {:08x}", entry.hash, signs[1]));
        clusters
    }

    /// How many inodes refer to each block, when all of them are known.
    pub(super) fn shared_attributes(&mut self) {
        for (block, found) in self.shared.clone() {
            let said = word(self.bytes(block), 4);
            let name = format!("xattr block {block}");
            self.expect(said == found, name, format_args!("{said} references, found {found}"));
        }
    }
}

/// The entries from `start` on, as far as they can be read.
fn quietly(region: &[u8], start: usize) -> Vec<Entry<'_>> {
    let (mut list, mut at) = (Vec::new(), start);
    while at + 16 <= region.len() && word(region, at) != 0 {
        let Some(name) = region.get(at + 16..at + 16 + usize::from(region[at])) else { break };
        list.push(Entry {
            index: region[at + 1],
            name,
            value: (half(region, at + 2).into(), word(region, at + 8) as usize),
            inode: word(region, at + 4),
            hash: word(region, at + 12),
        });
        at += 16 + name.len().next_multiple_of(4);
    }
    list
}
