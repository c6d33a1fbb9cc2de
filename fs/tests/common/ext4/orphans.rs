//! Orphans, in the list and in the file, and the journal's superblock.

use super::disk::{JOURNAL, METADATA_CSUM, ORPHAN_FILE, ORPHAN_PRESENT, Oracle, number, word};
use super::sums::crc32c;

impl Oracle<'_> {
    /// Walks the list that starts in the superblock.
    pub(super) fn orphan_list(&mut self) {
        let mut ino = word(self.super_bytes(), 0xe8);
        while ino != 0 {
            let name = format!("orphan {ino}");
            let Some(inode) = self.inodes.get(&ino).copied() else {
                return self.say(name, "is not in use");
            };
            if !self.orphans.insert(ino) {
                return self.say(name, "is in the list twice");
            }
            ino = inode.dtime();
        }
    }

    /// The orphan file, and who is in it.
    pub(super) fn orphan_file(&mut self) {
        if !self.has(ORPHAN_FILE) {
            return;
        }
        let file = word(self.super_bytes(), 0x280);
        let Some(inode) = self.inodes.get(&file).copied() else {
            return self.say("orphan file", format_args!("inode {file} is not in use"));
        };
        let (blocks, end) = (inode.size() / self.sup.block as u64, self.sup.block - 8);
        for (index, block) in self.whole(file, blocks).into_iter().enumerate() {
            let name = format!("orphan block {index} of inode {file}");
            let (place, bytes) = (self.place(block).start, self.bytes(block));
            if bytes.is_empty() {
                continue;
            }
            self.expect(word(bytes, end) == 0x0b10_ca04, &name, "no magic number");
            if self.has(METADATA_CSUM) {
                let seed = crc32c(self.seed_of(inode), &block.to_le_bytes());
                self.compare(&name, place..place + end, word(bytes, end + 4), crc32c(seed, &bytes[..end]));
            }
            for ino in bytes[..end].chunks_exact(4).map(|slot| word(slot, 0)).filter(|&slot| slot != 0) {
                self.expect(self.has(ORPHAN_PRESENT), &name, "has entries, orphan_present is not set");
                let known = self.inodes.contains_key(&ino) && self.orphans.insert(ino);
                self.expect(known, &name, format_args!("inode {ino} is not in use, or there twice"));
            }
        }
    }

    /// The journal's superblock, and the copy of its inode's map in ours.
    pub(super) fn journal(&mut self) {
        let bytes = self.super_bytes();
        let ino = word(bytes, 0xe0);
        if !self.has(JOURNAL) || ino == 0 {
            return;
        }
        let Some(inode) = self.inodes.get(&ino).copied() else {
            return self.say("journal", format_args!("inode {ino} is not in use"));
        };
        if bytes[0xfd] == 1 {
            let (size, copy) = (inode.size(), number(bytes, 0x148, 4) << 32 | number(bytes, 0x14c, 4));
            self.expect(
                &bytes[0x10c..0x148] == inode.map(),
                "superblock",
                "s_jnl_blocks is not the journal's map",
            );
            self.expect(size == copy, "superblock", format_args!("a journal of {copy} bytes, it has {size}"));
        }
        let name = "journal superblock";
        let blocks = self.whole(ino, inode.size() / self.sup.block as u64);
        let Some(&block) = blocks.first() else { return };
        let (place, bytes) = (self.place(block).start, self.bytes(block));
        let big = |at: usize| word(bytes, at).swap_bytes();
        self.expect(big(0) == 0xc03b_3998 && matches!(big(4), 3 | 4), name, "no magic number");
        self.expect(big(0x1c) == 0, name, "holds transactions, recover is not set");
        self.expect(big(0xc) as usize == self.sup.block, name, "another block size");
        self.expect(u64::from(big(0x10)) <= blocks.len() as u64, name, "longer than its inode");
        // Only with checksums of the journal's own.
        if big(0x28) & 0x18 != 0 && bytes.len() >= 1024 {
            let sum = crc32c(!0, &super::disk::without(&bytes[..1024], 0xfc..0x100));
            self.compare(name, place..place + 1024, big(0xfc), sum);
        }
    }
}
