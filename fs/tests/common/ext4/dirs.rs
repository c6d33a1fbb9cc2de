//! Directories: the chain of entries, checksums, where each name leads.

use super::disk::{FILETYPE, Inode, METADATA_CSUM, Oracle, half, word};
use super::sums::crc32c;
use std::collections::HashSet;

const INDEX: u32 = 0x1000;
const ENCRYPT: u32 = 0x800;
const CASEFOLD: u32 = 0x4000_0000;
const INLINE: u32 = 0x1000_0000;

/// An entry that leads somewhere.
struct Entry<'a> {
    ino: u32,
    kind: u8,
    name: &'a [u8],
}

impl Oracle<'_> {
    /// Every directory.
    pub(super) fn directories(&mut self) {
        let all: Vec<_> = self.inodes.values().copied().filter(|inode| inode.is_dir()).collect();
        for inode in all {
            if inode.flags() & INLINE != 0 {
                self.inline_directory(inode);
            } else {
                self.directory(inode);
            }
        }
        if !self.inodes.get(&2).is_some_and(|root| root.is_dir()) {
            self.say("inode 2", "is no directory");
        }
    }

    fn directory(&mut self, inode: Inode<'_>) {
        let blocks = self.whole(inode.ino, inode.size() / self.sup.block as u64);
        let hashed = inode.flags() & INDEX != 0;
        let tree = hashed.then(|| self.tree(inode, &blocks));
        // Hashes of names that are encrypted, or folded, are others.
        let plain = inode.flags() & (ENCRYPT | CASEFOLD) == 0;
        let mut names = HashSet::new();
        for (index, &block) in (0..).zip(&blocks) {
            let name = format!("directory block {index} of inode {}", inode.ino);
            let bytes = self.bytes(block);
            let inner = tree.as_ref().is_some_and(|tree| tree.nodes.contains(&index));
            let mut end = bytes.len();
            if !inner && self.has(METADATA_CSUM) && end > 12 {
                end -= 12;
                let tail = &bytes[end..];
                let sound = word(tail, 0) == 0 && half(tail, 4) == 12 && tail[6..8] == [0, 0xde];
                self.expect(sound, &name, "no tail for its checksum");
                let (place, sum) = (self.place(block).start, crc32c(self.seed_of(inode), &bytes[..end]));
                self.compare(&name, place..place + end, word(tail, 8), sum);
            }
            let entries = self.entries_of(&name, &bytes[..end]);
            if index == 0 {
                let first = entries.iter().take(2).map(|entry| entry.name).collect::<Vec<_>>();
                self.expect(first == [b".".as_slice(), b".."], &name, "does not start with . and ..");
                if inner {
                    self.expect(half(bytes, 4) == 12, &name, "`.` is not 12 bytes long");
                    self.expect(entries.len() == 2, &name, "names in the root of the tree");
                }
            }
            for entry in &entries {
                self.entry(inode, &name, entry);
                let text = String::from_utf8_lossy(entry.name);
                self.expect(names.insert(entry.name), &name, format_args!("{text:?} is there twice"));
                let leaf = tree.as_ref().and_then(|tree| Some((tree.hashing, tree.leaves.get(&index)?)));
                if let (Some((hashing, hashes)), true) = (leaf, plain) {
                    self.expect_hash(&name, entry.name, hashing, hashes);
                }
            }
        }
    }

    /// A directory in its inode: the number of its parent, and entries in what is left of the map.
    fn inline_directory(&mut self, inode: Inode<'_>) {
        let name = format!("directory in inode {}", inode.ino);
        let parent = word(inode.map(), 0);
        self.dotdot.insert(inode.ino, parent);
        *self.names.entry(inode.ino).or_insert(0) += 1;
        *self.names.entry(parent).or_insert(0) += 1;
        let rest = self.inline_rest(inode);
        for part in [&inode.map()[4..], &rest] {
            for entry in self.entries_of(&name, part) {
                self.entry(inode, &name, &entry);
            }
        }
    }

    /// The entries of a block, or of part of one.
    fn entries_of<'b>(&mut self, name: &str, bytes: &'b [u8]) -> Vec<Entry<'b>> {
        let (mut list, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (ino, len) = (word(bytes, at), usize::from(half(bytes, at + 4)));
            let name_len = usize::from(*bytes.get(at + 6).unwrap_or(&0));
            let fits = len >= 8 && len.is_multiple_of(4) && at + len <= bytes.len();
            if !fits || ino != 0 && 8 + name_len > len {
                self.say(name, format_args!("the entry at {at} is {len} bytes long"));
                break;
            }
            if ino != 0 {
                list.push(Entry { ino, kind: bytes[at + 7], name: &bytes[at + 8..at + 8 + name_len] });
            }
            at += len;
        }
        list
    }

    /// Where an entry leads.
    fn entry(&mut self, dir: Inode<'_>, what: &str, entry: &Entry<'_>) {
        let text = String::from_utf8_lossy(entry.name).into_owned();
        let proper = !entry.name.is_empty() && !entry.name.iter().any(|byte| matches!(byte, 0 | b'/'));
        self.expect(proper, what, format_args!("{text:?} is no name"));
        let Some(&target) = self.inodes.get(&entry.ino) else {
            return self
                .say(what, format_args!("{text:?} leads to inode {}, which is not in use", entry.ino));
        };
        *self.names.entry(entry.ino).or_insert(0) += 1;
        let kind = match (self.has(FILETYPE), target.kind()) {
            (false, _) => 0,
            (_, 0x8000) => 1,
            (_, 0x4000) => 2,
            (_, 0x2000) => 3,
            (_, 0x6000) => 4,
            (_, 0x1000) => 5,
            (_, 0xc000) => 6,
            _ => 7,
        };
        self.expect(
            entry.kind == kind,
            what,
            format_args!("{text:?} has the type {}, should be {kind}", entry.kind),
        );
        match entry.name {
            b"." => self.expect(entry.ino == dir.ino, what, "`.` leads elsewhere"),
            b".." => {
                self.dotdot.insert(dir.ino, entry.ino);
            }
            _ if target.is_dir() => {
                let before = self.parents.insert(entry.ino, dir.ino);
                self.expect(before.is_none(), what, format_args!("{text:?} is a second name of a directory"));
            }
            _ => {}
        }
    }
}
