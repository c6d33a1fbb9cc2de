//! Directories of vectors, edited: each block is checked each time it is read, so that whoever forgets to
//! seal one is found out. What is there afterwards is judged by the decoders that read.

mod crafted;
mod image;
mod model;

use super::node::IndexNodeEdit;
use super::*;
use crate::ext::features::*;
use crate::ext::load::Load;
use crate::ext::superblock::RawSuperBlock;
use crate::ext4::disk::checksum::Seed;
use crate::ext4::disk::hash::{HALF_MD4, hash};
use crate::ext4::disk::htree::{HtreeBlock, HtreeNode, INDIRECT_LEVELS, look_up};
use crate::ext4::edit::tests::TestBytes;
use core::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// Returns a superblock with `dir_index` and these features, bytes of names taken as `unsigned` says.
pub(in crate::ext4) fn superblock(block_size: u32, incompat: u32, unsigned: bool) -> SuperBlock {
    superblock_with(block_size, COMPAT_DIR_INDEX, incompat, unsigned)
}

fn superblock_with(block_size: u32, compat: u32, incompat: u32, unsigned: bool) -> SuperBlock {
    let mut raw = [0; 1024];
    let log = block_size.trailing_zeros() - 10;
    let blocks = 8 * block_size;
    for (at, value) in [
        (S_INODES_COUNT, 4096),
        (S_BLOCKS_COUNT, blocks),
        (S_FIRST_DATA_BLOCK, u32::from(log == 0)),
        (S_LOG_BLOCK_SIZE, log),
        (S_LOG_CLUSTER_SIZE, log),
        (S_BLOCKS_PER_GROUP, blocks),
        (S_INODES_PER_GROUP, 4096),
        (S_REV_LEVEL, 1),
        (S_FIRST_INO, 11),
        (S_FEATURE_COMPAT, compat),
        (S_FEATURE_INCOMPAT, INCOMPAT_FILETYPE | incompat),
        (S_FLAGS, if unsigned { 2 } else { 1 }),
        (S_HASH_SEED, 0x3322_1100),
    ] {
        raw[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }
    raw[S_MAGIC as usize..][..2].copy_from_slice(&MAGIC.to_le_bytes());
    raw[S_INODE_SIZE as usize..][..2].copy_from_slice(&256_u16.to_le_bytes());
    raw[S_DEF_HASH_VERSION as usize] = HALF_MD4;
    SuperBlock::decode(&RawSuperBlock::from_bytes(raw), 1 << 40).unwrap()
}

/// Blocks of a directory, or of another file.
pub(in crate::ext4) struct TestBlocks {
    pub sb: SuperBlock,
    pub ino: u32,
    pub seed: Option<Seed>,
    pub numbers: RefCell<Vec<u64>>,
    pub bytes: RefCell<BTreeMap<u64, Rc<TestBytes>>>,
    pub is_indexed: Cell<bool>,
    /// The blocks that it gets; then some others.
    pub pool: Vec<u64>,
    /// So many can be appended.
    pub left: Cell<usize>,
    /// Hashes have these bits only.
    pub mask: u32,
    /// What is read is checked each time.
    pub is_strict: bool,
    /// Blocks that were changed, and appended, since it was last looked.
    pub changed: RefCell<BTreeSet<u64>>,
    pub appended: Cell<u32>,
}

impl Change for TestBlocks {
    type Read = Rc<TestBytes>;
    type Block = Rc<TestBytes>;

    fn block_size(&self) -> u64 {
        self.sb.block_size()
    }

    fn seed(&self) -> Option<Seed> {
        self.seed
    }

    fn read(&self, block: u64, check: impl FnOnce(&TestBytes) -> Result<()>) -> Result<Rc<TestBytes>> {
        let bytes = self.bytes.borrow()[&block].clone();
        if self.is_strict {
            check(&bytes)?;
        }
        Ok(bytes)
    }

    fn change(&self, block: u64) -> Result<Rc<TestBytes>> {
        self.changed.borrow_mut().insert(block);
        Ok(self.bytes.borrow()[&block].clone())
    }

    fn create(&self, _goal: u64) -> Result<(u64, Rc<TestBytes>)> {
        unreachable!("a directory's blocks are appended")
    }

    fn forget(&self, _block: u64) {
        unreachable!("a directory keeps its blocks")
    }

    fn free_data(&self, _block: u64, _len: u32) {
        unreachable!("a directory has no data")
    }
}

impl DirectoryBlocks for TestBlocks {
    fn blocks(&self) -> u32 {
        self.numbers.borrow().len() as u32
    }

    fn block(&self, lblk: u32) -> Result<u64> {
        Ok(self.numbers.borrow()[lblk as usize])
    }

    fn append(&self) -> Result<(u32, Rc<TestBytes>)> {
        let left = self.left.get().checked_sub(1).ok_or(crate::Errno::NoSpace)?;
        self.left.set(left);
        let lblk = self.blocks();
        let number = self.pool.get(lblk as usize).copied().unwrap_or(1000 + u64::from(lblk ^ 5));
        let bytes = Rc::new(TestBytes(vec![0; self.block_size() as usize].into()));
        self.numbers.borrow_mut().push(number);
        self.bytes.borrow_mut().insert(number, bytes.clone());
        self.appended.set(self.appended.get() + 1);
        Ok((lblk, bytes))
    }

    fn is_indexed(&self) -> bool {
        self.is_indexed.get()
    }

    fn set_indexed(&self) {
        self.is_indexed.set(true);
    }

    fn hash(&self, version: u8, name: &[u8]) -> Option<u32> {
        Some(hash(version, self.sb.hash_unsigned, &self.sb.hash_seed, name)?.major & self.mask)
    }
}

/// What a directory is to hold: names, and the inodes and file types that they have.
type Model = BTreeMap<Vec<u8>, (u32, u8)>;

/// The directory's inode, and its parent's.
const INO: u32 = 13;
const PARENT: u32 = 2;

impl TestBlocks {
    pub(in crate::ext4) fn new(sb: SuperBlock, has_sums: bool) -> Self {
        Self {
            sb,
            ino: INO,
            seed: has_sums.then(|| Seed::new(None, &[7; 16]).of_inode(INO, 77)),
            numbers: RefCell::default(),
            bytes: RefCell::default(),
            is_indexed: Cell::new(false),
            pool: Vec::new(),
            left: Cell::new(usize::MAX),
            mask: u32::MAX,
            is_strict: true,
            changed: RefCell::default(),
            appended: Cell::new(0),
        }
    }

    /// Returns a directory without names.
    fn started(self) -> Self {
        self.edit().start(PARENT).unwrap();
        self
    }

    fn edit(&self) -> DirectoryEdit<'_, Self> {
        DirectoryEdit { blocks: self, sb: &self.sb, ino: self.ino }
    }

    fn add(&self, name: &[u8], ino: u32) -> Result<()> {
        self.edit().add(&NewEntry { name, ino, file_type: 1 })
    }

    fn bytes(&self, lblk: u32) -> Rc<TestBytes> {
        self.edit().read(lblk).unwrap()
    }

    /// Calls `f` with the index and its root, or not if there is none.
    fn with_root<T>(&self, f: impl FnOnce(u8, &HtreeNode<'_, Rc<TestBytes>>) -> T) -> Option<T> {
        let (edit, is_indexed) = (self.edit(), self.is_indexed());
        is_indexed.then(|| {
            let index = edit.form().index(self.blocks().into());
            let (version, root) = index.root(self.bytes(0), 0).unwrap();
            f(version, &root)
        })
    }

    /// Returns the entry called `name`, as it is found by a reader.
    fn find(&self, name: &[u8]) -> Option<Dirent> {
        let edit = self.edit();
        let scan = |lblk: u32| {
            let bytes = edit.read(lblk)?;
            edit.form().each(lblk.into(), &*bytes, &mut |entry| match entry.is_called(&*bytes, name) {
                true => ControlFlow::Break(*entry),
                false => ControlFlow::Continue(()),
            })
        };
        if name == b"." || name == b".." {
            return scan(0).unwrap();
        }
        let by_index = self.with_root(|version, root| {
            let index = edit.form().index(self.blocks().into());
            let hash = self.hash(version, name).unwrap();
            let mut get = |child: &HtreeBlock| index.node(child, self.bytes(child.lblk), 0);
            look_up(root, hash, &mut get, &mut |lblk| scan(lblk)).unwrap()
        });
        by_index.unwrap_or_else(|| (0..self.blocks()).find_map(|lblk| scan(lblk).unwrap()))
    }

    /// Returns the number of keys of `node`, and of all below it, that go on with a hash; checks that the
    /// blocks of names have it and their names are in range.
    fn check_node(&self, version: u8, node: &HtreeNode<'_, Rc<TestBytes>>, met: &mut BTreeSet<u32>) -> usize {
        let edit = self.edit();
        let index = edit.form().index(self.blocks().into());
        node.check().unwrap();
        assert!(met.insert(node.lblk()), "block {} is led to twice", node.lblk());
        let (bytes, mut collisions) = (self.bytes(node.lblk()), 0);
        let entries = IndexNodeEdit::of(node.lblk(), &*bytes);
        for i in 0..entries.count() {
            let child = node.child(i).unwrap();
            collisions += usize::from(i > 0 && entries.key(i) & 1 != 0);
            if !node.is_lowest() {
                let below = index.node(&child, self.bytes(child.lblk), 0).unwrap();
                collisions += self.check_node(version, &below, met);
                continue;
            }
            assert!(met.insert(child.lblk), "block {} is led to twice", child.lblk);
            let packed = edit.packed(child.lblk, &self.bytes(child.lblk), &mut |_, name| {
                let hash = self.hash(version, name).unwrap();
                assert!(child.may_have(hash), "{name:?} is not in the range of its block");
                Ok(true)
            });
            packed.unwrap();
        }
        collisions
    }

    /// Checks that the directory is sound and has the names of `model` and no others. Returns its levels of
    /// nodes, the root included, and how many keys go on with a hash.
    fn verify(&self, model: &Model) -> (usize, usize) {
        let (edit, mut names) = (self.edit(), Model::new());
        for lblk in 0..self.blocks() {
            let bytes = self.bytes(lblk);
            edit.form()
                .each(lblk.into(), &*bytes, &mut |entry| {
                    if entry.ino != 0 {
                        let mut name = vec![0; entry.name_len.into()];
                        bytes.read(entry.at + D_NAME, &mut name);
                        assert_eq!(names.insert(name, (entry.ino, entry.file_type)), None);
                    }
                    ControlFlow::<()>::Continue(())
                })
                .unwrap();
        }
        for (dots, ino) in [(&b"."[..], self.ino), (b"..", PARENT)] {
            assert_eq!(names.remove(dots), Some((ino, 2)));
        }
        assert!(names == *model, "{} names, not {}", names.len(), model.len());
        assert_eq!(edit.is_empty(PARENT), Ok(model.is_empty()));
        self.with_root(|version, root| {
            let mut met = BTreeSet::new();
            let collisions = self.check_node(version, root, &mut met);
            assert!(met.iter().copied().eq(0..self.blocks()), "a block that nothing leads to");
            (usize::from(self.bytes(0).load_u8(INDIRECT_LEVELS)) + 1, collisions)
        })
        .unwrap_or_default()
    }

    /// Checks that each name of `model` is found where it is.
    fn verify_found<'a>(&self, names: impl Iterator<Item = (&'a Vec<u8>, &'a (u32, u8))>) {
        for (name, expected) in names {
            let found = self.find(name).map(|entry| (entry.ino, entry.file_type));
            assert_eq!(found, Some(*expected), "{name:?}");
        }
    }

    /// Checks that no more blocks were changed since this was last asked than `most`.
    fn expect_credits(&self, most: AddedNameCredits) {
        let changed = core::mem::take(&mut *self.changed.borrow_mut()).len() as u32;
        let appended = self.appended.take();
        assert!(
            appended <= most.appended && changed <= most.changed + most.appended,
            "{changed}, {appended}"
        );
    }
}

/// Random numbers that are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }
}
