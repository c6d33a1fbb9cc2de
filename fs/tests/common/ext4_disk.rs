//! An ext4 with everything in it, in several formats, and where its structures are: read straight from the
//! bytes, by the layout document.

use super::pattern;
use std::ops::Range;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use tests::image::{Image, tool};

const SUPERBLOCK: u64 = 1024;
const UUID: &str = "6461786d-0000-4000-8000-000000000002";

/// A format, as mke2fs is asked for it.
pub(crate) struct Format {
    /// Bytes in a block.
    pub(crate) block: u64,
    /// Features.
    features: &'static str,
    /// Bytes of the image.
    size: u64,
}

/// Checksums or none, blocks of both sizes; the last has tables of pointers instead of extents.
pub(crate) const FORMATS: [Format; 4] = [
    Format { block: 4096, features: "inline_data,metadata_csum,64bit", size: 16 << 20 },
    Format { block: 4096, features: "inline_data,^metadata_csum,^64bit", size: 16 << 20 },
    Format { block: 1024, features: "inline_data,ea_inode,metadata_csum,64bit", size: 8 << 20 },
    Format {
        block: 1024,
        features: "ea_inode,^metadata_csum,^64bit,^extent,^flex_bg,^resize_inode,meta_bg",
        size: 8 << 20,
    },
];

/// Pieces of the file `pieces`: with blocks of 1 KiB they need two levels of extents.
pub(crate) const PIECES: u64 = 380;
/// Bytes from one piece to the next.
pub(crate) const STEP: u64 = 8192;

fn fill(tree: &Path) {
    let make = |name: &str, bytes: &[u8]| std::fs::write(tree.join(name), bytes).expect("a file");
    for dir in ["dir/sub", "inline", "many", "deep"] {
        std::fs::create_dir_all(tree.join(dir)).expect("a directory");
    }
    make("dir/file", &pattern(1, 3000));
    make("long", &pattern(2, 50_000));
    make("tiny", &pattern(3, 40));
    make("inlined", &pattern(4, 110));
    for name in ["inline/first name", "inline/another", "inline/third"] {
        make(name, b"");
    }
    for (dir, names) in [("many", 60), ("deep", 560)] {
        let first = tree.join(format!("{dir}/{:0200}", 0));
        std::fs::write(&first, b"x").expect("a file");
        for number in 1..names {
            std::fs::hard_link(&first, tree.join(format!("{dir}/{number:0200}"))).expect("a link");
        }
    }
    let pieces = std::fs::File::create(tree.join("pieces")).expect("a file");
    for piece in 0..PIECES {
        pieces.write_all_at(&pattern(piece, 100), piece * STEP).expect("a piece");
    }
    for (name, len) in [("fast", 20), ("middle", 100), ("slow", 300)] {
        symlink("l".repeat(len), tree.join(name)).expect("a link");
    }
}

impl Format {
    /// Makes the image: directories of many names are indexed, files have attributes of each kind.
    pub(crate) fn image(&self) -> Vec<u8> {
        let other = Image::zeros(0);
        let tree = other.folder().join("tree");
        fill(&tree);
        let (block, seed) = (self.block.to_string(), format!("hash_seed={UUID}"));
        let tree = tree.to_str().expect("a plain path");
        let args = ["-t", "ext4", "-b", &block, "-O", self.features, "-d", tree, "-N", "128", "-U", UUID];
        // Several groups with blocks of 1 KiB.
        let groups = if self.block == 1024 { &["-g", "2048"][..] } else { &[] };
        // 1,024 blocks, the least.
        let journal = format!("size={}", self.block / 1024);
        let image = Image::mke2fs(self.size, &[&args[..], &["-E", &seed, "-J", &journal], groups].concat());
        let large = other.folder().join("value");
        for (file, name, len) in
            [("/dir/file", "small", 20), ("/long", "large", 600), ("/long", "huge", 3000)]
        {
            if len == 3000 && !self.features.contains("ea_inode") {
                continue;
            }
            std::fs::write(&large, pattern(len, len as usize)).expect("a value");
            image.debugfs_write(&format!("ea_set -f {} {file} user.{name}", large.display()));
        }
        // 1 means that it changed something: directories are indexed now.
        let status = tool("e2fsck").arg("-fyD").arg(image.path()).output().expect("e2fsck").status;
        assert!(matches!(status.code(), Some(0 | 1)), "{status}");
        std::fs::read(image.path()).expect("the image")
    }

    pub(crate) fn has_checksums(&self) -> bool {
        !self.features.contains("^metadata_csum")
    }
}

/// A structure, and what may be said when it is damaged.
pub(crate) struct Structure {
    pub(crate) name: String,
    /// Its bytes in the image.
    pub(crate) bytes: Range<u64>,
    /// How errors may name it: the structure, and its number.
    pub(crate) named: Vec<(&'static str, u64)>,
    /// Its bytes that nobody reads, or that no checksum covers.
    pub(crate) silent: Vec<Range<u64>>,
    /// The inodes that need it.
    pub(crate) inos: Vec<u64>,
}

/// An image's bytes, and what its superblock says.
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) block: u64,
    desc_size: u64,
    inode_size: u64,
    inodes_per_group: u64,
    groups: u64,
}

impl Disk {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let mut it = Self { bytes, block: 0, desc_size: 32, inode_size: 0, inodes_per_group: 0, groups: 0 };
        it.block = 1024 << it.u32(SUPERBLOCK + 0x18);
        if it.u32(SUPERBLOCK + 0x60) & 0x80 != 0 {
            it.desc_size = it.u16(SUPERBLOCK + 0xfe);
        }
        it.inode_size = it.u16(SUPERBLOCK + 0x58);
        it.inodes_per_group = it.u32(SUPERBLOCK + 0x28);
        let blocks = it.u32(SUPERBLOCK + 4) - it.u32(SUPERBLOCK + 0x14);
        it.groups = blocks.div_ceil(it.u32(SUPERBLOCK + 0x20));
        it
    }

    pub(crate) fn u16(&self, at: u64) -> u64 {
        u64::from(self.bytes[at as usize]) | u64::from(self.bytes[at as usize + 1]) << 8
    }

    pub(crate) fn u32(&self, at: u64) -> u64 {
        self.u16(at) | self.u16(at + 2) << 16
    }

    /// Where the descriptor of `group` is.
    pub(crate) fn descriptor(&self, group: u64) -> u64 {
        (self.u32(SUPERBLOCK + 0x14) + 1) * self.block + group * self.desc_size
    }

    /// Where inode `ino` is.
    pub(crate) fn inode(&self, ino: u64) -> u64 {
        let (group, slot) = ((ino - 1) / self.inodes_per_group, (ino - 1) % self.inodes_per_group);
        self.u32(self.descriptor(group) + 8) * self.block + slot * self.inode_size
    }

    fn bytes_of(&self, block: u64) -> Range<u64> {
        block * self.block..(block + 1) * self.block
    }

    /// The blocks of inode `ino` with content, in order, and those of its map.
    pub(crate) fn blocks(&self, ino: u64) -> (Vec<u64>, Vec<u64>) {
        let (at, mut content, mut map) = (self.inode(ino), Vec::new(), Vec::new());
        let flags = self.u32(at + 0x20);
        if flags & 0x8_0000 != 0 {
            self.extents(at + 0x28, &mut content, &mut map);
        } else if flags & 0x1000_0000 == 0 && (self.u16(at) >> 12 != 10 || self.u32(at + 4) >= 60) {
            for slot in 0..15u64 {
                self.table(self.u32(at + 0x28 + 4 * slot), slot.saturating_sub(11), &mut content, &mut map);
            }
        }
        (content, map)
    }

    fn extents(&self, node: u64, content: &mut Vec<u64>, map: &mut Vec<u64>) {
        for entry in (1..=self.u16(node + 2)).map(|i| node + 12 * i) {
            if self.u16(node + 6) == 0 {
                let start = self.u32(entry + 8);
                content.extend(start..start + self.u16(entry + 4));
            } else {
                map.push(self.u32(entry + 4));
                self.extents(self.u32(entry + 4) * self.block, content, map);
            }
        }
    }

    fn table(&self, pointer: u64, levels: u64, content: &mut Vec<u64>, map: &mut Vec<u64>) {
        if pointer == 0 {
            return;
        }
        if levels == 0 {
            return content.push(pointer);
        }
        map.push(pointer);
        for word in 0..self.block / 4 {
            self.table(self.u32(pointer * self.block + 4 * word), levels - 1, content, map);
        }
    }

    /// All structures that lead to the inodes `inos`, which have names, and to what is in them.
    pub(crate) fn structures(&self, inos: &[u64]) -> Vec<Structure> {
        let mut all = vec![Structure {
            name: "superblock".into(),
            bytes: SUPERBLOCK..SUPERBLOCK + 1024,
            named: vec![("superblock", 0)],
            silent: Vec::new(),
            inos: inos.to_vec(),
        }];
        for group in 0..self.groups {
            let at = self.descriptor(group);
            let of_group = |ino: &u64| (ino - 1) / self.inodes_per_group == group;
            let of_group: Vec<u64> = inos.iter().copied().filter(of_group).collect();
            all.push(Structure {
                name: format!("descriptor {group}"),
                bytes: at..at + self.desc_size,
                named: vec![("group descriptor", group)],
                silent: Vec::new(),
                inos: of_group.clone(),
            });
            let (block_bitmap, inode_bitmap) = (self.u32(at), self.u32(at + 4));
            let bytes = self.bytes_of(block_bitmap);
            // Who only reads needs no free blocks.
            let silent = vec![bytes.clone()];
            let name = format!("block bitmap {group}");
            all.push(Structure { name, bytes, named: vec![], silent, inos: vec![] });
            let bytes = self.bytes_of(inode_bitmap);
            let used = bytes.start + if of_group.is_empty() { 0 } else { self.inodes_per_group / 8 };
            let (silent, named) =
                (core::iter::once(used..bytes.end).collect(), vec![("inode bitmap", group)]);
            let name = format!("inode bitmap {group}");
            all.push(Structure { name, bytes, named, silent, inos: vec![] });
        }
        inos.iter().for_each(|&ino| self.inode_structures(ino, inos, &mut all));
        all
    }

    fn inode_structures(&self, ino: u64, inos: &[u64], all: &mut Vec<Structure>) {
        let (at, (content, map)) = (self.inode(ino), self.blocks(ino));
        let (mode, flags, acl) = (self.u16(at) >> 12, self.u32(at + 0x20), self.u32(at + 0x68));
        let bytes = at..at + self.inode_size;
        // Whose attribute's value an inode holds, it does not say.
        let is_value = flags & 0x20_0000 != 0;
        let inos = if is_value { inos.to_vec() } else { vec![ino] };
        let mut add = |name: String, bytes: Range<u64>, named, silent| {
            all.push(Structure { name, bytes, named, silent, inos: inos.clone() });
        };
        add(format!("inode {ino}"), bytes, vec![("inode", ino)], vec![]);
        for block in map {
            let named = vec![("extent block", block), ("inode", ino)];
            add(format!("map of {ino}, block {block}"), self.bytes_of(block), named, vec![]);
        }
        if acl != 0 {
            add(format!("attributes of {ino}"), self.bytes_of(acl), vec![("attribute block", acl)], vec![]);
        }
        if is_value {
            let named = vec![("attribute value in inode", ino), ("inode", ino)];
            let last = (self.u32(at + 4) - 1) % self.block + 1;
            for (block, rest) in content.iter().rev().zip([last].into_iter().chain([self.block].repeat(64))) {
                let start = block * self.block;
                add(format!("value in {ino}"), start..start + rest, named.clone(), vec![]);
            }
        } else if mode == 4 {
            let blocks = content.len();
            for (lblk, block) in content.into_iter().enumerate() {
                let (bytes, start) = (self.bytes_of(block), block * self.block);
                let is_node = flags & 0x1000 != 0
                    && (lblk == 0 || self.u32(start) == 0 && self.u16(start + 4) == self.block);
                let (mut named, mut silent) = (vec![("directory", ino)], vec![]);
                if is_node {
                    let entries = start + if lblk == 0 { 0x20 } else { 8 };
                    let [used, tail] = [2, 0].map(|field| entries + 8 * self.u16(entries + field));
                    silent.push(used..tail);
                    named.extend([("index block", block), ("index of directory", ino)]);
                } else if blocks > 16 && lblk % 16 != 1 {
                    // One of many that are alike.
                    continue;
                } else {
                    named.push(("directory block", block));
                }
                add(format!("directory {ino}, block {lblk}"), bytes, named, silent);
            }
        } else if mode == 10 && !content.is_empty() {
            let bytes = self.bytes_of(content[0]);
            let silent = vec![bytes.clone()];
            add(format!("target of {ino}"), bytes, vec![("inode", ino)], silent);
        }
    }
}
