//! Edits of trees made by hand, and at random against a model; with blocks of six entries, so that trees are
//! deep, and with real ones.

mod hand;
mod random;

use super::*;
use crate::error::Errno;
use crate::ext::layout::I_BLOCK;
use crate::ext4::disk::extent::{ALL, DiskExtent, ExtentNode, walk};
use crate::ext4::edit::BlockSeal;
use crate::ext4::edit::tests::TestBytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Bytes of a block with six entries, and of a real one.
const SMALL: u64 = 88;
const REAL: u64 = 4096;
/// Blocks of the tree are taken from here on; the file's are below.
const FIRST: u64 = 1 << 36;

/// What an edit may forget, or do wrong. Each is made where the edit meets what it works on, and found by
/// what [`random`] checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The key in a parent stays what it was, where its child begins elsewhere now.
    ParentKey,
    /// A changed block keeps its checksum.
    Checksum,
    /// A node keeps its number of entries.
    Entries,
    /// The root keeps its depth.
    Depth,
    /// What is unwritten is stored as written.
    Unwritten,
    /// Of a block's number, the low 32 bits are stored.
    HighBits,
    /// What follows in a node stays where it is.
    Moved,
    /// What belongs into a new block is not copied there.
    Copied,
    /// Keys are not shifted.
    Shift,
    /// An empty block is not freed.
    Forget,
    /// A block that was created for nothing is not given back.
    GiveBack,
    /// Content is not freed; or the block behind it, too.
    Keep,
    FreeMore,
}

/// A block of a test, or its inode, which may keep some of what is stored.
struct TestBlock {
    bytes: Rc<TestBytes>,
    /// Where the node is, and its tail.
    at: u64,
    tail: Option<u64>,
    mistake: Option<Mistake>,
    /// The last key that was stored: where, what was there before, and it.
    key: Cell<Option<(u64, u32, u32)>>,
}

impl Load for TestBlock {
    fn load_u8(&self, at: u64) -> u8 {
        self.bytes.load_u8(at)
    }
    fn load_u16(&self, at: u64) -> u16 {
        self.bytes.load_u16(at)
    }
    fn load_u32(&self, at: u64) -> u32 {
        self.bytes.load_u32(at)
    }
    fn read(&self, at: u64, to: &mut [u8]) {
        self.bytes.read(at, to);
    }
}

impl TestBlock {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn is_leaf(&self) -> bool {
        self.load_u16(self.at + 6) == 0
    }

    /// What is stored instead of `value` in a word of an entry.
    fn in_entry(&self, at: u64, value: u32) -> u32 {
        let (word, is_leaf) = ((at - self.at) % 12 / 4, self.is_leaf());
        match word {
            0 => {
                self.key.set(Some((at, self.load_u32(at), value)));
                // Its entry's other words do not follow if it is shifted.
                return if self.makes(Mistake::Shift) { self.load_u32(at) } else { value };
            }
            1 => {
                let of_this = self.key.take().filter(|(key_at, ..)| key_at + 4 == at);
                if let Some((key_at, old, new)) = of_this {
                    // It leads where it did: the key is all that changes.
                    let leads_there = !is_leaf && self.load_u32(at) == value;
                    let keeps = leads_there && self.makes(Mistake::ParentKey);
                    self.bytes.store_u32(key_at, if keeps { old } else { new });
                }
            }
            _ => {}
        }
        match word {
            1 if is_leaf && self.makes(Mistake::Unwritten) && value & 0xffff > 0x8000 => {
                return value - 0x8000;
            }
            1 if is_leaf && self.makes(Mistake::HighBits) => return value & 0xffff,
            2 if !is_leaf && self.makes(Mistake::HighBits) => return 0,
            _ => {}
        }
        value
    }
}

impl Edit for TestBlock {
    fn seal(&self, seal: BlockSeal, block_size: u64) {
        seal.store(self, block_size);
    }
    fn store_u8(&self, at: u64, value: u8) {
        self.bytes.store_u8(at, value);
    }
    fn store_u16(&self, at: u64, value: u16) {
        self.bytes.store_u16(at, value);
    }
    fn store_u32(&self, at: u64, value: u32) {
        let old = self.load_u32(at);
        let value = match at - self.at {
            _ if self.tail == Some(at) && self.makes(Mistake::Checksum) => old,
            _ if self.tail == Some(at) => value,
            0 if self.makes(Mistake::Entries) && old != 0 => old,
            4 if self.makes(Mistake::Depth) && self.tail.is_none() => old,
            0..12 => value,
            _ => self.in_entry(at, value),
        };
        self.bytes.store_u32(at, value);
    }
    fn write(&self, at: u64, from: &[u8]) {
        self.bytes.write(at, from);
    }
    fn copy_from(&self, source: &dyn Load, range: core::ops::Range<u64>, to: u64) {
        if !self.makes(Mistake::Copied) {
            self.bytes.copy_from(source, range, to);
        }
    }
    fn move_within(&self, range: core::ops::Range<u64>, to: u64) {
        if !self.makes(Mistake::Moved) {
            self.bytes.move_within(range, to);
        }
    }
}

/// What an edit asked for.
#[derive(Default)]
struct Asked {
    changed: BTreeSet<u64>,
    created: BTreeSet<u64>,
    forgotten: BTreeSet<u64>,
    /// Each block of content that was freed.
    freed: Vec<u64>,
}

/// The transaction and the file system of a test.
struct TestChange {
    block_size: u64,
    seed: Option<Seed>,
    blocks: RefCell<BTreeMap<u64, Rc<TestBytes>>>,
    next: Cell<u64>,
    checked: RefCell<BTreeSet<u64>>,
    asked: RefCell<Asked>,
    /// After so many more successes something fails.
    fails_after: Cell<Option<u32>>,
    has_failed: Cell<bool>,
    mistake: Option<Mistake>,
}

impl TestChange {
    /// Fails if it is time.
    fn may_fail(&self, with: Errno) -> Result<()> {
        match self.fails_after.get() {
            Some(0) => {
                self.has_failed.set(true);
                Err(with.into())
            }
            after => {
                self.fails_after.set(after.map(|after| after - 1));
                Ok(())
            }
        }
    }

    fn open(&self, bytes: &Rc<TestBytes>) -> Rc<TestBlock> {
        let tail = Some(tail_at(self.block_size));
        let (bytes, mistake) = (bytes.clone(), self.mistake);
        Rc::new(TestBlock { bytes, at: 0, tail, mistake, key: Cell::new(None) })
    }

    fn get(&self, block: u64) -> Result<Rc<TestBytes>> {
        let blocks = self.blocks.borrow();
        blocks.get(&block).cloned().ok_or_else(|| Corrupt::new("block", block, "it is free").into())
    }
}

impl Change for TestChange {
    type Read = Rc<TestBytes>;
    type Block = Rc<TestBlock>;

    fn block_size(&self) -> u64 {
        self.block_size
    }

    fn seed(&self) -> Option<Seed> {
        self.seed
    }

    fn read(&self, block: u64, check: impl FnOnce(&TestBytes) -> Result<()>) -> Result<Rc<TestBytes>> {
        self.may_fail(Errno::NoMemory)?;
        let bytes = self.get(block)?;
        if !self.checked.borrow().contains(&block) {
            check(&bytes)?;
            self.checked.borrow_mut().insert(block);
        }
        Ok(bytes)
    }

    fn change(&self, block: u64) -> Result<Rc<TestBlock>> {
        self.may_fail(Errno::NoMemory)?;
        self.asked.borrow_mut().changed.insert(block);
        Ok(self.open(&self.get(block)?))
    }

    fn create(&self, _goal: u64) -> Result<(u64, Rc<TestBlock>)> {
        self.may_fail(Errno::NoSpace)?;
        let block = self.next.replace(self.next.get() + 1);
        let bytes = Rc::new(TestBytes(vec![0; self.block_size as usize].into()));
        self.blocks.borrow_mut().insert(block, bytes.clone());
        self.asked.borrow_mut().created.insert(block);
        Ok((block, self.open(&bytes)))
    }

    fn forget(&self, block: u64) {
        let mut asked = self.asked.borrow_mut();
        let given_back = asked.created.contains(&block);
        let keeps = if given_back { Mistake::GiveBack } else { Mistake::Forget };
        if self.mistake != Some(keeps) {
            self.blocks.borrow_mut().remove(&block).expect("a block that is freed is in use");
            self.checked.borrow_mut().remove(&block);
        }
        asked.forgotten.insert(block);
    }

    fn free_data(&self, block: u64, len: u32) {
        let len = u64::from(len) + u64::from(self.mistake == Some(Mistake::FreeMore));
        if self.mistake != Some(Mistake::Keep) {
            self.asked.borrow_mut().freed.extend(block..block + len);
        }
    }
}

/// The bytes of an inode, and of the blocks of its tree by their numbers.
type Image = (Vec<u8>, BTreeMap<u64, Vec<u8>>);

/// A tree of a test.
struct TestTree {
    change: TestChange,
    inode: TestBlock,
    allowed: AllowedBlocks<fn(u64, u32) -> bool>,
}

impl TestTree {
    /// One without extents.
    fn new(block_size: u64, seed: Option<Seed>, mistake: Option<Mistake>) -> Self {
        let change = TestChange {
            block_size,
            seed,
            blocks: RefCell::default(),
            next: Cell::new(FIRST),
            checked: RefCell::default(),
            asked: RefCell::default(),
            fails_after: Cell::new(None),
            has_failed: Cell::new(false),
            mistake,
        };
        let bytes = Rc::new(TestBytes(vec![0x5a; 256].into()));
        bytes.write(I_BLOCK, &[0x0a, 0xf3, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        let inode = TestBlock { bytes, at: I_BLOCK, tail: None, mistake, key: Cell::new(None) };
        Self { change, inode, allowed: AllowedBlocks { blocks: 1..1 << 40, may_be_a_files: |_, _| true } }
    }

    /// The edits of it.
    fn edit(&self) -> ExtentTree<'_, TestChange, fn(u64, u32) -> bool> {
        let (change, inode, allowed) = (&self.change, &self.inode, &self.allowed);
        ExtentTree { change, inode, at: I_BLOCK, ino: 12, allowed, goal: FIRST }
    }

    fn depth(&self) -> u16 {
        self.inode.load_u16(I_BLOCK + 6)
    }

    /// All its extents, after a look at everything: each node and its checksum, and that each block that is
    /// in use is in the tree.
    fn extents(&self) -> Result<Vec<DiskExtent>> {
        let (mut found, mut blocks) = (Vec::new(), BTreeSet::new());
        let root = ExtentNode::root(&self.inode, I_BLOCK, 12)?;
        root.check(&self.allowed)?;
        let mut get = |child: &ExtentBlock| {
            let (bytes, size) = (self.change.get(child.block)?, self.change.block_size);
            check_block(child, &*bytes, size, self.change.seed, &self.allowed)?;
            assert!(blocks.insert(child.block), "a block is in the tree twice");
            child.open(bytes, 0, size)
        };
        walk(&root, &ALL, &self.allowed, &mut get, &mut |extent| {
            found.push(extent);
            Ok(())
        })?;
        let taken: BTreeSet<_> = self.change.blocks.borrow().keys().copied().collect();
        assert_eq!(taken, blocks, "blocks in use, and blocks of the tree");
        Ok(found)
    }

    /// How many entries the nodes of each level have, from the leaves up.
    fn levels(&self) -> Vec<Vec<u16>> {
        let mut levels = vec![Vec::new(); usize::from(self.depth()) + 1];
        levels[usize::from(self.depth())].push(self.inode.load_u16(I_BLOCK + 2));
        let root = ExtentNode::root(&self.inode, I_BLOCK, 12).unwrap();
        let mut get = |child: &ExtentBlock| {
            let node = child.open(self.change.get(child.block)?, 0, self.change.block_size)?;
            levels[usize::from(node.depth())].push(node.entries());
            Ok(node)
        };
        walk(&root, &ALL, &self.allowed, &mut get, &mut |_| Ok(())).unwrap();
        levels
    }

    /// Every byte of it.
    fn image(&self) -> Image {
        let bytes = |bytes: &TestBytes| bytes.0.borrow().clone();
        let blocks = self.change.blocks.borrow();
        (bytes(&self.inode.bytes), blocks.iter().map(|(block, of)| (*block, bytes(of))).collect())
    }
}

fn written(lblk: u32, block: u64, len: u32) -> DiskExtent {
    DiskExtent { lblk, block, len, unwritten: false }
}

fn unwritten(lblk: u32, block: u64, len: u32) -> DiskExtent {
    DiskExtent { unwritten: true, ..written(lblk, block, len) }
}
