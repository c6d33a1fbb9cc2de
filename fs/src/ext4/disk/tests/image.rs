//! Every structure of images that mke2fs and e2fsck made: what is stored is what is computed, the trees are
//! as they are checked to be, and each name is where its hash leads.

use crate::ext::features::{INCOMPAT_64BIT, INCOMPAT_CSUM_SEED};
use crate::ext::layout::*;
use crate::ext::superblock::RawSuperBlock;
use crate::ext4::disk::checksum::{self, Seed};
use crate::ext4::disk::extent::{AllowedBlocks, ExtentBlock, ExtentNode, tail_at, walk};
use crate::ext4::disk::hash::hash;
use crate::ext4::disk::htree::{HtreeBlock, IndexedDirectory, ends, look_up};
use core::cell::RefCell;
use std::collections::BTreeSet;
use std::vec::Vec;
use std::{format, fs};
use tests::image::{Image, tool};

/// An image's bytes, and what its superblock says.
struct Bytes {
    all: Vec<u8>,
    block_size: u64,
    desc_size: u32,
    inode_size: u32,
    seed: Seed,
}

/// How many structures of each kind agreed.
#[derive(Default)]
struct Seen {
    inodes: usize,
    extent_blocks: usize,
    names_blocks: usize,
    index_blocks: usize,
    attribute_blocks: usize,
    orphan_blocks: usize,
}

impl Bytes {
    fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.all[at as usize..][..2].try_into().unwrap())
    }

    fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.all[at as usize..][..4].try_into().unwrap())
    }

    fn new(all: Vec<u8>) -> Self {
        let mut image =
            Self { all, block_size: 0, desc_size: 0, inode_size: 0, seed: Seed::new(Some(0), &[0; 16]) };
        let incompat = image.u32(SUPERBLOCK + S_FEATURE_INCOMPAT);
        let has = |feature| incompat & feature != 0;
        image.block_size = 1024 << image.u32(SUPERBLOCK + S_LOG_BLOCK_SIZE);
        image.desc_size = if has(INCOMPAT_64BIT) { image.u16(SUPERBLOCK + S_DESC_SIZE).into() } else { 32 };
        image.inode_size = image.u16(SUPERBLOCK + S_INODE_SIZE).into();
        let uuid = image.all[(SUPERBLOCK + S_UUID) as usize..][..16].try_into().unwrap();
        image.seed =
            Seed::new(has(INCOMPAT_CSUM_SEED).then(|| image.u32(SUPERBLOCK + S_CHECKSUM_SEED)), &uuid);
        image
    }

    /// Checks all of it.
    fn verify(&self) -> Seen {
        let sb = |field: u64| self.u32(SUPERBLOCK + field);
        let (all, is_wide) = (&self.all[..], self.desc_size >= 64);
        let raw = RawSuperBlock::from_bytes(all[SUPERBLOCK as usize..][..1024].try_into().unwrap());
        assert_eq!(raw.checksum(), sb(S_CHECKSUM));
        let (blocks_per_group, inodes_per_group) = (sb(S_BLOCKS_PER_GROUP), sb(S_INODES_PER_GROUP));
        let table = (u64::from(sb(S_FIRST_DATA_BLOCK)) + 1) * self.block_size;
        let mut seen = Seen::default();
        for group in 0..(sb(S_BLOCKS_COUNT) - sb(S_FIRST_DATA_BLOCK)).div_ceil(blocks_per_group) {
            let desc = table + u64::from(group) * u64::from(self.desc_size);
            assert_eq!(
                checksum::descriptor(self.seed, group, all, desc, self.desc_size),
                self.u16(desc + BG_CHECKSUM)
            );
            let flags = self.u16(desc + BG_FLAGS);
            for (field, low, high, bits, uninit) in [
                (
                    BG_BLOCK_BITMAP,
                    BG_BLOCK_BITMAP_CSUM,
                    BG_BLOCK_BITMAP_CSUM_HI,
                    blocks_per_group,
                    BG_BLOCK_UNINIT,
                ),
                (
                    BG_INODE_BITMAP,
                    BG_INODE_BITMAP_CSUM,
                    BG_INODE_BITMAP_CSUM_HI,
                    inodes_per_group,
                    BG_INODE_UNINIT,
                ),
            ] {
                let at = u64::from(self.u32(desc + field)) * self.block_size;
                let high = if is_wide { self.u16(desc + high) } else { 0 };
                let stored = u32::from(high) << 16 | u32::from(self.u16(desc + low));
                let computed = checksum::bitmap(self.seed, all, at, bits, self.desc_size);
                assert!(flags & uninit != 0 || computed == stored, "bitmap of group {group}");
            }
            let used = if flags & BG_INODE_UNINIT != 0 {
                0
            } else {
                inodes_per_group - u32::from(self.u16(desc + BG_ITABLE_UNUSED))
            };
            for slot in 0..used {
                let at = u64::from(self.u32(desc + BG_INODE_TABLE)) * self.block_size
                    + u64::from(slot) * u64::from(self.inode_size);
                if self.u16(at + I_LINKS_COUNT) > 0 {
                    self.verify_inode(group * inodes_per_group + slot + 1, at, &mut seen);
                }
            }
        }
        seen
    }

    fn verify_inode(&self, ino: u32, at: u64, seen: &mut Seen) {
        let all = &self.all[..];
        let seed = self.seed.of_inode(ino, self.u32(at + I_GENERATION));
        let has_high = checksum::has_checksum_hi(all, at, self.inode_size);
        let high = if has_high { self.u16(at + I_CHECKSUM_HI) } else { 0 };
        let stored = u32::from(high) << 16 | u32::from(self.u16(at + I_CHECKSUM_LO));
        assert_eq!(checksum::inode(seed, all, at, self.inode_size), stored, "inode {ino}");
        seen.inodes += 1;
        let attributes = u64::from(self.u32(at + I_FILE_ACL));
        if attributes != 0 {
            let block = attributes * self.block_size;
            let computed = checksum::attribute_block(self.seed, attributes, all, block, self.block_size);
            assert_eq!(computed, self.u32(block + 0x10));
            seen.attribute_blocks += 1;
        }
        let flags = self.u32(at + I_FLAGS);
        if flags & EXTENTS_FL == 0 {
            return;
        }
        let blocks = self.blocks(ino, at, seed, seen);
        let is_directory = self.u16(at + I_MODE) >> 12 == 4;
        if is_directory {
            let index = match flags & INDEX_FL {
                0 => BTreeSet::new(),
                _ => self.verify_index(ino, seed, &blocks),
            };
            seen.index_blocks += index.len();
            for (_, block) in (0u32..).zip(&blocks).filter(|(lblk, _)| !index.contains(lblk)) {
                let at = block * self.block_size;
                let computed = checksum::names_block(seed, all, at, self.block_size);
                assert_eq!(computed, self.u32(at + self.block_size - 4), "block of directory {ino}");
                seen.names_blocks += 1;
            }
        } else if ino == self.u32(SUPERBLOCK + S_ORPHAN_FILE_INUM) {
            for &block in &blocks {
                let at = block * self.block_size;
                let computed = checksum::orphan_block(seed, block, all, at, self.block_size);
                assert_eq!(computed, self.u32(at + self.block_size - 4), "orphan block {block}");
                seen.orphan_blocks += 1;
            }
        }
    }

    /// The blocks of an inode, without holes, by its extents.
    fn blocks(&self, ino: u32, at: u64, seed: Seed, seen: &mut Seen) -> Vec<u64> {
        let (all, mut blocks) = (&self.all[..], Vec::new());
        let allowed =
            AllowedBlocks { blocks: 1..all.len() as u64 / self.block_size, may_be_a_files: |_, _| true };
        let root = ExtentNode::root(all, at + I_BLOCK, ino).unwrap();
        root.check(&allowed).unwrap();
        let mut get = |child: &ExtentBlock| {
            let at = child.block * self.block_size;
            let tail = self.u32(at + tail_at(self.block_size));
            assert_eq!(checksum::extent_block(seed, all, at, self.block_size), tail);
            let node = child.open(all, at, self.block_size)?;
            node.check(&allowed)?;
            seen.extent_blocks += 1;
            Ok(node)
        };
        walk(&root, &(0..u32::MAX), &allowed, &mut get, &mut |extent| {
            blocks.extend(extent.block..extent.block + u64::from(extent.len));
            Ok(())
        })
        .unwrap();
        blocks
    }

    /// Looks up every name of an indexed directory. Returns the blocks of the index.
    fn verify_index(&self, ino: u32, seed: Seed, blocks: &[u64]) -> BTreeSet<u32> {
        let (all, count) = (&self.all[..], blocks.len() as u32);
        let at = |lblk: u32| blocks[lblk as usize] * self.block_size;
        let block_size = self.block_size;
        let directory = IndexedDirectory { ino, blocks: count, block_size, has_tails: true, max_levels: 1 };
        let (version, root) = directory.root(all, at(0)).unwrap();
        root.check().unwrap();
        let nodes = RefCell::new(BTreeSet::new());
        let verify = |lblk: u32| {
            let (used, tail) = ends(lblk == 0, all, at(lblk), directory.block_size, true).unwrap();
            let computed = checksum::index_block(seed, all, at(lblk), used, tail);
            assert_eq!(computed, self.u32(at(lblk) + tail + 4), "index of directory {ino}, block {lblk}");
            nodes.borrow_mut().insert(lblk);
        };
        verify(0);
        let mut get = |block: &HtreeBlock| {
            let node = directory.node(block, all, at(block.lblk))?;
            node.check()?;
            verify(block.lblk);
            Ok(node)
        };
        let seed = [0, 1, 2, 3].map(|i| self.u32(SUPERBLOCK + S_HASH_SEED + 4 * i));
        let unsigned = self.u32(SUPERBLOCK + S_FLAGS) & 2 != 0;
        for lblk in 1..count {
            let mut within = 0;
            while within < block_size {
                let entry = at(lblk) + within;
                let name = &all[entry as usize + 8..][..all[entry as usize + 6].into()];
                if self.u32(entry) != 0 {
                    let hash = hash(version, unsigned, &seed, name).unwrap().major;
                    let mut leaf = |found| Ok((found == lblk).then_some(()));
                    let found = look_up(&root, hash, &mut get, &mut leaf).unwrap();
                    assert_eq!(found, Some(()), "{}", std::string::String::from_utf8_lossy(name));
                }
                within += u64::from(self.u16(entry + 4));
            }
        }
        nodes.into_inner()
    }
}

/// An image with directories of many names, files in pieces, and attributes that need a block.
fn image(args: &[&str], names: usize) -> Bytes {
    let tree = Image::zeros(0);
    let folder = tree.folder().join("tree");
    fs::create_dir_all(folder.join("many")).unwrap();
    for name in 0..names {
        fs::write(folder.join(format!("many/a name that takes room in its block {name}")), "").unwrap();
    }
    let file = fs::File::create(folder.join("pieces")).unwrap();
    for piece in 0..500 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[1], piece * 8192).unwrap();
    }
    let args = [&["-t", "ext4", "-d", folder.to_str().unwrap()], args].concat();
    let image = Image::mke2fs(64 << 20, &args);
    let value = "v".repeat(700);
    image.debugfs_write(&format!("ea_set /pieces user.large {value}"));
    // 1 means that it changed something: the directories are indexed now.
    let status = tool("e2fsck").args(["-fyD"]).arg(image.path()).output().unwrap().status;
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    Bytes::new(fs::read(image.path()).unwrap())
}

#[test]
fn every_structure_of_an_image_verifies() {
    for (args, names) in [
        (&["-b", "4096"][..], 300),
        (&["-b", "4096", "-O", "orphan_file,metadata_csum_seed"], 10),
        (&["-b", "2048", "-O", "^64bit"], 300),
        (&["-b", "1024", "-I", "128"], 3000),
    ] {
        let seen = image(args, names).verify();
        let least = [seen.inodes, seen.extent_blocks, seen.names_blocks, seen.attribute_blocks];
        assert!(least.iter().all(|count| *count > 0), "{args:?}: {least:?}");
        assert!(seen.inodes > names);
        assert_eq!(seen.index_blocks > 0, names > 10, "{args:?}");
        assert_eq!(seen.index_blocks > 2, names > 300, "{args:?}: a level of nodes below the root");
        assert_eq!(seen.orphan_blocks > 0, args.contains(&"orphan_file,metadata_csum_seed"));
    }
}
