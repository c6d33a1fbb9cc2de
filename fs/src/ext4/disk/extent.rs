//! The extent tree, as it is on the disk: which blocks of the region are behind a file's logical blocks.
//!
//! ```text
//! node    | header | entry | entry | … max of them | tail: checksum |
//!
//! header  0 eh_magic u16 | 2 eh_entries u16 | 4 eh_max u16  | 6 eh_depth u16 | 8 eh_generation u32
//! leaf    0 ee_block u32                    | 4 ee_len u16  | 6 start hi u16 | 8 start lo u32
//! index   0 ei_block u32                    | 4 child lo u32                 | 8 child hi u16 | a unused
//!
//! depth 1, the root   [ 0 → A | 100 → B ]              A is asked for 0..100, B for 100..2^32 - 1
//! depth 0   A [ 0+8 | 20+30 ]   B [ 100+1 ]            8..20 and 50..100 are a hole, and 101..
//! ```
//!
//! The root is the inode's `i_block`: it has four entries and no tail. Every other node is a block. Its first
//! key is that of the entry that leads to it. The length tells what an extent's blocks are: up to 0x8000 it
//! counts written blocks; what is above that counts blocks that were never written, which read as zeros.
//!
//! Reference: the Linux kernel's `filesystems/ext4/ifork.rst`.

use crate::error::{Corrupt, Errno, Error, Result};
use crate::ext::load::Load;
use core::ops::{Deref, Range};

// Header: offsets from its start, two fields in four bytes.
pub(crate) const EH_MAGIC_ENTRIES: u64 = 0;
pub(crate) const EH_MAX_DEPTH: u64 = 4;
/// What `eh_magic` holds.
pub(crate) const MAGIC: u32 = 0xf30a;
/// Bytes of the header, and of each entry.
pub(crate) const ENTRY: u64 = 12;

// Entry: offsets from its start. `E_BLOCK` is `ee_block` or `ei_block`.
const E_BLOCK: u64 = 0;
const EE_LEN_START_HI: u64 = 4;
const EE_START_LO: u64 = 8;
const EI_LEAF_LO: u64 = 4;
const EI_LEAF_HI: u64 = 8;

/// The most blocks of a written extent; an unwritten one says so much more than it has.
pub(crate) const MAX_WRITTEN: u32 = 0x8000;
/// Entries of a root.
pub(crate) const ROOT_MAX: u64 = 4;
/// The most levels above the leaves.
pub(crate) const MAX_DEPTH: u16 = 5;
/// The logical blocks that there can be.
pub(crate) const ALL: Range<u32> = 0..u32::MAX;

/// Returns how many entries a node that is a block of `block_size` bytes has room for.
pub(crate) const fn capacity(block_size: u64) -> u64 {
    (block_size - ENTRY) / ENTRY
}

/// Returns where the tail of such a node is, which holds its checksum.
pub(crate) const fn tail_at(block_size: u64) -> u64 {
    ENTRY + ENTRY * capacity(block_size)
}

/// A run of a file's blocks that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskExtent {
    /// First logical block.
    pub lblk: u32,
    /// Its block of the region.
    pub block: u64,
    /// Number of blocks: at least 1.
    pub len: u32,
    /// They were never written: they read as zeros.
    pub unwritten: bool,
}

impl DiskExtent {
    /// Returns the logical block after it.
    pub(crate) fn end(&self) -> u32 {
        self.lblk + self.len
    }
}

/// What is behind a logical block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtentOrHole {
    /// The extent that it lies in.
    Extent(DiskExtent),
    /// Nothing, from it on, for at least so many blocks.
    Hole {
        /// How many: at least 1.
        len: u32,
        /// Its block, were it to follow the extent in front of it at the distance that it has in the file;
        /// `None` if its leaf has none there.
        near: Option<u64>,
    },
}

/// Where a file's blocks may be.
pub(crate) struct AllowedBlocks<F> {
    /// Those of the file system: from `s_first_data_block` to `s_blocks_count`.
    pub blocks: Range<u64>,
    /// Tells whether so many of them from one on hold none of the file system's own structures.
    pub may_be_a_files: F,
}

impl<F: Fn(u64, u32) -> bool> AllowedBlocks<F> {
    /// Why `len` blocks from `block` on cannot be a file's, if so. A block's number has 48 bits.
    fn objection(&self, block: u64, len: u32) -> Option<&'static str> {
        if block < self.blocks.start || block + u64::from(len) > self.blocks.end {
            Some("blocks outside of the file system")
        } else if !(self.may_be_a_files)(block, len) {
            Some("blocks that belong to the file system itself")
        } else {
            None
        }
    }
}

/// A block of a tree, as the entry that leads to it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtentBlock {
    /// Its number.
    pub block: u64,
    depth: u16,
    lblks: Range<u32>,
}

impl ExtentBlock {
    /// Opens the node, whose bytes are at `at`.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: it is no node of this size and depth, or begins elsewhere.
    pub(crate) fn open<B>(&self, bytes: B, at: u64, block_size: u64) -> Result<ExtentNode<B>>
    where
        B: Deref<Target: Load>,
    {
        let name = ("extent block", self.block);
        let node = ExtentNode::open(bytes, at, name, capacity(block_size), self.lblks.clone())?;
        if node.depth != self.depth {
            return Err(node.corrupt("eh_depth does not agree with the node above", node.depth.into()));
        }
        if node.begin(0) != self.lblks.start || node.entries == 0 {
            return Err(node.corrupt("it does not begin where the node above says", self.lblks.start));
        }
        Ok(node)
    }
}

/// A node of a tree, of which the header is as it must be.
pub(crate) struct ExtentNode<B> {
    bytes: B,
    /// Where it is in these.
    at: u64,
    /// What it is called, and its number: the inode's or the block's.
    name: (&'static str, u64),
    /// The logical blocks that it is asked for.
    lblks: Range<u32>,
    entries: u16,
    /// How many levels are below.
    depth: u16,
}

impl<B: Deref<Target: Load>> ExtentNode<B> {
    /// Opens the root in inode `ino`, whose `i_block` is at `at` of `bytes`.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: it is none.
    pub(crate) fn root(bytes: B, at: u64, ino: u32) -> Result<Self> {
        let node = Self::open(bytes, at, ("extent root of inode", ino.into()), ROOT_MAX, ALL)?;
        if node.depth > MAX_DEPTH {
            return Err(node.corrupt("eh_depth is too large", node.depth.into()));
        }
        if node.depth > 0 && node.entries == 0 {
            return Err(node.corrupt("levels below and no entries", node.depth.into()));
        }
        Ok(node)
    }

    fn open(bytes: B, at: u64, name: (&'static str, u64), max: u64, lblks: Range<u32>) -> Result<Self> {
        let first = bytes.load_u32(at + EH_MAGIC_ENTRIES);
        let second = bytes.load_u32(at + EH_MAX_DEPTH);
        let (entries, depth) = ((first >> 16) as u16, (second >> 16) as u16);
        let node = Self { bytes, at, name, lblks, entries, depth };
        let (magic, found) = (first & 0xffff, second & 0xffff);
        if magic != MAGIC {
            return Err(node.corrupt("bad eh_magic", magic));
        }
        if u64::from(found) != max {
            return Err(node.corrupt("eh_max is not what there is room for", found));
        }
        if entries > found as u16 {
            return Err(node.corrupt("eh_entries is larger than eh_max", entries.into()));
        }
        Ok(node)
    }

    #[cold]
    fn corrupt(&self, why: &'static str, value: u32) -> Error {
        Corrupt::with(self.name.0, self.name.1, why, value.into()).into()
    }

    /// Returns how many entries it has.
    #[inline]
    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Returns how many levels are below: a leaf has none.
    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    /// Checks every entry.
    ///
    /// # Errors
    /// [`Error::Corrupt`], which names the node and the key of the first entry that is wrong: it has no
    /// blocks or those of others, or does not end before the next one begins.
    pub(crate) fn check(&self, allowed: &AllowedBlocks<impl Fn(u64, u32) -> bool>) -> Result<()> {
        (0..self.entries).try_for_each(|i| match self.depth {
            0 => self.extent(i, allowed).map(drop),
            _ => self.child(i, allowed).map(drop),
        })
    }

    /// Where entry `i` is in the bytes.
    #[inline]
    fn entry(&self, i: u16) -> u64 {
        self.at + ENTRY + ENTRY * u64::from(i)
    }

    /// Returns the logical block with which entry `i` begins; where there is none, that with which the next
    /// node does.
    #[inline]
    pub(crate) fn begin(&self, i: u16) -> u32 {
        if i < self.entries { self.bytes.load_u32(self.entry(i) + E_BLOCK) } else { self.lblks.end }
    }

    /// Returns how many entries begin at `lblk` or in front of it.
    #[inline]
    pub(crate) fn entries_up_to(&self, lblk: u32) -> u16 {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.begin(middle) <= lblk { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Returns the extent of entry `i` of a leaf.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: as [`check`](Self::check).
    #[inline]
    pub(crate) fn extent(
        &self,
        i: u16,
        allowed: &AllowedBlocks<impl Fn(u64, u32) -> bool>,
    ) -> Result<DiskExtent> {
        let entry = self.entry(i);
        let lblk = self.bytes.load_u32(entry + E_BLOCK);
        let word = self.bytes.load_u32(entry + EE_LEN_START_HI);
        let low = self.bytes.load_u32(entry + EE_START_LO);
        let block = u64::from(word >> 16) << 32 | u64::from(low);
        let len = word & 0xffff;
        let unwritten = len > MAX_WRITTEN;
        let len = if unwritten { len - MAX_WRITTEN } else { len };
        if len == 0 {
            return Err(self.corrupt("an extent of no blocks", lblk));
        }
        if lblk.checked_add(len).is_none_or(|end| end > self.begin(i + 1)) {
            return Err(self.corrupt("an extent reaches beyond where the next one begins", lblk));
        }
        match allowed.objection(block, len) {
            Some(why) => Err(self.corrupt(why, lblk)),
            None => Ok(DiskExtent { lblk, block, len, unwritten }),
        }
    }

    /// Returns the node that entry `i` of one with levels below leads to.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: as [`check`](Self::check).
    #[inline]
    pub(crate) fn child(
        &self,
        i: u16,
        allowed: &AllowedBlocks<impl Fn(u64, u32) -> bool>,
    ) -> Result<ExtentBlock> {
        let entry = self.entry(i);
        let lblks = self.begin(i)..self.begin(i + 1);
        let low = self.bytes.load_u32(entry + EI_LEAF_LO);
        let high = self.bytes.load_u16(entry + EI_LEAF_HI);
        let block = u64::from(high) << 32 | u64::from(low);
        if lblks.is_empty() {
            return Err(self.corrupt("an entry begins where the next one does, or behind it", lblks.start));
        }
        match allowed.objection(block, 1) {
            Some(why) => Err(self.corrupt(why, lblks.start)),
            None => Ok(ExtentBlock { block, depth: self.depth - 1, lblks }),
        }
    }
}

/// Returns what is behind logical block `lblk` of the tree below `node`. `get` opens a block of it.
///
/// # Errors
/// [`Errno::FileTooBig`]: there can be no such block. [`Error::Corrupt`]: an entry on the way is wrong. What
/// `get` answers.
pub(crate) fn look_up<B: Deref<Target: Load>, C: Deref<Target: Load>>(
    node: &ExtentNode<B>,
    lblk: u32,
    allowed: &AllowedBlocks<impl Fn(u64, u32) -> bool>,
    get: &mut impl FnMut(&ExtentBlock) -> Result<ExtentNode<C>>,
) -> Result<ExtentOrHole> {
    if lblk == ALL.end {
        return Err(Errno::FileTooBig.into());
    }
    let (next, mut near) = (node.entries_up_to(lblk), None);
    if let Some(i) = next.checked_sub(1) {
        // The depth falls with each step: opening a block sees to that.
        if node.depth > 0 {
            return look_up(&get(&node.child(i, allowed)?)?, lblk, allowed, get);
        }
        let extent = node.extent(i, allowed)?;
        if lblk < extent.end() {
            return Ok(ExtentOrHole::Extent(extent));
        }
        near = Some(extent.block + u64::from(lblk - extent.lblk));
    }
    Ok(ExtentOrHole::Hole { len: node.begin(next).saturating_sub(lblk), near })
}

/// Calls `f` with every extent of the tree below `node` that has blocks in `range`, which is not empty, in
/// order, each as a whole. `get` opens a block of it, and meets every one on the way.
///
/// # Errors
/// [`Error::Corrupt`]: an entry is wrong; `f` was called with those in front of it. What `get` and `f`
/// answer.
pub(crate) fn walk<B: Deref<Target: Load>, C: Deref<Target: Load>>(
    node: &ExtentNode<B>,
    range: &Range<u32>,
    allowed: &AllowedBlocks<impl Fn(u64, u32) -> bool>,
    get: &mut impl FnMut(&ExtentBlock) -> Result<ExtentNode<C>>,
    f: &mut impl FnMut(DiskExtent) -> Result<()>,
) -> Result<()> {
    for i in node.entries_up_to(range.start).saturating_sub(1)..node.entries {
        if node.begin(i) >= range.end {
            break;
        }
        if node.depth > 0 {
            walk(&get(&node.child(i, allowed)?)?, range, allowed, get, f)?;
        } else {
            let extent = node.extent(i, allowed)?;
            if extent.end() > range.start {
                f(extent)?;
            }
        }
    }
    Ok(())
}
