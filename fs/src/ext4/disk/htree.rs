//! The index of a directory: a tree of hashes that leads to the blocks with its names.
//!
//! ```text
//! root  0 `.`, rec_len 12 | c `..`, rec_len B - 12
//!       18 u32 0 | 1c hash_version u8 | 1d info_length u8 = 8 | 1e indirect_levels u8 | 1f u8 0
//!       20 limit u16 | count u16 | block u32       the first entry: its key is not stored
//!       28 hash u32 | block u32 | …                count - 1 others; limit entries have room
//! node  0 inode u32 0 | rec_len u16 B | 0 0        an entry without a name, which fills the block
//!       8 limit u16 | count u16 | block u32
//!       10 hash u32 | block u32 | …
//! tail  u32 0 | checksum u32                       of both, behind the room for entries
//!
//! [ → 3 | 6a001232 → 5 | 6a001233 → 4 | … ]        3 has hashes below 6a001232, 5 those from there on;
//!                                                  4 goes on with the last hash of 5, and those above it
//! ```
//!
//! A block with names has hashes from its key up to the next one's. Hashes are even: a key with the low bit
//! set tells that names of that hash are at the end of the block before, too.
//!
//! All blocks are logical blocks of the directory. To who reads it without the index, root and nodes are
//! blocks without names, `.` and `..` apart.
//!
//! Reference: the Linux kernel's `filesystems/ext4/directory.rst`, "Hash Tree Directories".

use super::hash::TEA;
use crate::error::{Corrupt, Error, Result};
use crate::ext::load::Load;
use core::ops::{ControlFlow, Deref, RangeInclusive};

// Root: offsets from the block's start.
const DOT_REC_LEN: u64 = 0x4;
pub(in crate::ext4) const DOTDOT_REC_LEN: u64 = 0x10;
pub(in crate::ext4) const RESERVED_ZERO: u64 = 0x18;
pub(in crate::ext4) const HASH_VERSION: u64 = 0x1c;
const INFO_LENGTH: u64 = 0x1d;
pub(in crate::ext4) const INDIRECT_LEVELS: u64 = 0x1e;
const UNUSED_FLAGS: u64 = 0x1f;
pub(in crate::ext4) const ROOT_ENTRIES: u64 = 0x20;
/// Bytes of `.`, and what `info_length` is.
pub(in crate::ext4) const DOT_LEN: u64 = 12;
pub(in crate::ext4) const INFO_BYTES: u8 = 8;
// Node: offsets from the block's start.
const FAKE_INODE: u64 = 0x0;
pub(in crate::ext4) const FAKE_REC_LEN: u64 = 0x4;
pub(in crate::ext4) const NODE_ENTRIES: u64 = 0x8;

// Entries: offsets from the first one's start, which has limit and count in its key's place.
pub(in crate::ext4) const LIMIT: u64 = 0;
pub(in crate::ext4) const COUNT: u64 = 2;
/// Bytes of an entry, and of a tail.
pub(in crate::ext4) const ENTRY: u64 = 8;
/// Where in an entry the block is.
pub(in crate::ext4) const BLOCK: u64 = 4;

/// A directory, as its index needs to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexedDirectory {
    /// Its inode.
    pub ino: u32,
    /// Number of its blocks.
    pub blocks: u32,
    /// Bytes in a block.
    pub block_size: u64,
    /// Nodes end in a tail (`metadata_csum`).
    pub has_tails: bool,
    /// The most `indirect_levels`: 1, with `largedir` 2.
    pub max_levels: u8,
}

impl IndexedDirectory {
    /// Opens the root, whose block is at `at` of `bytes`. Returns its `hash_version`, too, which is known.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: it is none.
    pub(crate) fn root<B: Deref<Target: Load>>(&self, bytes: B, at: u64) -> Result<(u8, HtreeNode<'_, B>)> {
        let version = bytes.load_u8(at + HASH_VERSION);
        let levels = bytes.load_u8(at + INDIRECT_LEVELS);
        let is = |ok: bool, why| if ok { Ok(()) } else { Err(self.corrupt(why, 0)) };
        let dots = [DOT_REC_LEN, DOTDOT_REC_LEN].map(|field| u64::from(bytes.load_u16(at + field)));
        is(dots == [DOT_LEN, self.block_size - DOT_LEN], "its root does not begin with `.` and `..`")?;
        is(bytes.load_u32(at + RESERVED_ZERO) == 0, "its root's reserved bytes are not zero")?;
        is(bytes.load_u8(at + INFO_LENGTH) == INFO_BYTES, "bad info_length")?;
        is(version <= TEA, "a hash_version that is not known")?;
        is(levels <= self.max_levels, "indirect_levels is too large")?;
        is(bytes.load_u8(at + UNUSED_FLAGS) == 0, "flags that are not known")?;
        let top = HtreeBlock { lblk: 0, levels, keys: 0..=u32::MAX };
        Ok((version, self.open(&top, bytes, at, ROOT_ENTRIES)?))
    }

    /// Opens another node, whose block is at `at` of `bytes`.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: it is none.
    pub(crate) fn node<B>(&self, block: &HtreeBlock, bytes: B, at: u64) -> Result<HtreeNode<'_, B>>
    where
        B: Deref<Target: Load>,
    {
        let is_empty = bytes.load_u32(at + FAKE_INODE) == 0;
        if !is_empty || u64::from(bytes.load_u16(at + FAKE_REC_LEN)) != self.block_size {
            return Err(self.corrupt("a node does not begin with an entry without a name", block.lblk));
        }
        self.open(block, bytes, at, NODE_ENTRIES)
    }

    fn open<B>(&self, block: &HtreeBlock, bytes: B, at: u64, entries: u64) -> Result<HtreeNode<'_, B>>
    where
        B: Deref<Target: Load>,
    {
        let limit = bytes.load_u16(at + entries + LIMIT);
        let count = bytes.load_u16(at + entries + COUNT);
        if limit != self.limit(entries) {
            return Err(self.corrupt("a node's limit is not what there is room for", block.lblk));
        }
        if count == 0 || count > limit {
            return Err(self.corrupt("a node's count is zero, or larger than its limit", block.lblk));
        }
        Ok(HtreeNode { directory: self, bytes, at, entries, count, block: block.clone() })
    }

    /// Returns how many entries there is room for in a node that has them from byte `entries` on.
    pub(crate) fn limit(&self, entries: u64) -> u16 {
        limit(entries, self.block_size, self.has_tails)
    }

    /// Returns a contradiction in the node at `lblk`.
    #[cold]
    pub(crate) fn corrupt(&self, why: &'static str, lblk: u32) -> Error {
        Corrupt::with("index of directory", self.ino.into(), why, lblk.into()).into()
    }
}

fn limit(entries: u64, block_size: u64, has_tails: bool) -> u16 {
    let tail = if has_tails { ENTRY } else { 0 };
    ((block_size - entries - tail) / ENTRY) as u16
}

/// Returns where the last entry of a node ends that is used, and where its tail is: of the node whose block,
/// of `block_size` bytes, is at `at` of `bytes`, the root or another. `None` if that cannot be.
pub(crate) fn ends(
    is_root: bool,
    bytes: &(impl Load + ?Sized),
    at: u64,
    block_size: u64,
    has_tails: bool,
) -> Option<(u64, u64)> {
    let entries = if is_root { ROOT_ENTRIES } else { NODE_ENTRIES };
    let (told, count) = (bytes.load_u16(at + entries + LIMIT), bytes.load_u16(at + entries + COUNT));
    let after = |count| entries + ENTRY * u64::from(count);
    let is_one = told == limit(entries, block_size, has_tails) && count <= told;
    is_one.then(|| (after(count), after(told)))
}

/// A block of the directory, as the entry that leads to it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HtreeBlock {
    /// Its logical block.
    pub lblk: u32,
    /// Levels of nodes that are below it, if it is a node.
    levels: u8,
    /// From its key to the next one's.
    keys: RangeInclusive<u32>,
}

impl HtreeBlock {
    /// Returns the lowest major hash that a name there has, and the highest; and whether names of that one go
    /// on in the next block.
    pub(crate) fn hashes(&self) -> (RangeInclusive<u32>, bool) {
        let (start, end) = (*self.keys.start(), *self.keys.end());
        let last = end.saturating_sub(1) & !1;
        (start & !1..=last, end & 1 != 0 && end != u32::MAX)
    }

    /// Tells whether a name may be there that has this major hash.
    pub(crate) fn may_have(&self, hash: u32) -> bool {
        *self.keys.start() <= hash | 1 && hash < *self.keys.end()
    }
}

/// Whether a key may come behind another: it is larger, or both go on with the same hash.
fn is_in_order(key: u32, next: u32) -> bool {
    key < next || (key == next && key & 1 != 0)
}

/// The root or another node, of which all but the entries is as it must be.
pub(crate) struct HtreeNode<'a, B> {
    directory: &'a IndexedDirectory,
    bytes: B,
    /// Where the block is in these.
    at: u64,
    /// Where the entries are in the block.
    entries: u64,
    count: u16,
    block: HtreeBlock,
}

impl<B: Deref<Target: Load>> HtreeNode<'_, B> {
    /// Returns its logical block.
    pub(crate) fn lblk(&self) -> u32 {
        self.block.lblk
    }

    /// Tells whether there is no room for another entry.
    pub(crate) fn is_full(&self) -> bool {
        self.count == self.directory.limit(self.entries)
    }

    /// Tells whether its entries lead to blocks of names.
    pub(crate) fn is_lowest(&self) -> bool {
        self.block.levels == 0
    }

    /// Checks every entry.
    ///
    /// # Errors
    /// [`Error::Corrupt`], which names the directory and the node's logical block: an entry is not in order,
    /// or leads out of the directory.
    pub(crate) fn check(&self) -> Result<()> {
        (0..self.count).try_for_each(|i| self.child(i).map(drop))
    }

    /// Where entry `i` is in the bytes.
    fn entry(&self, i: u16) -> u64 {
        self.at + self.entries + ENTRY * u64::from(i)
    }

    /// The key of entry `i`; where there is none, that of what comes behind the node.
    fn key(&self, i: u16) -> u32 {
        match i {
            0 => *self.block.keys.start(),
            i if i < self.count => self.bytes.load_u32(self.entry(i)),
            _ => *self.block.keys.end(),
        }
    }

    /// Returns the last entry whose key is not above `hash`, or the first.
    pub(crate) fn last_up_to(&self, hash: u32) -> u16 {
        let (mut low, mut high) = (1, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) <= hash { low = middle + 1 } else { high = middle }
        }
        low - 1
    }

    /// Returns what entry `i` leads to, checked.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(crate) fn child(&self, i: u16) -> Result<HtreeBlock> {
        let (key, next) = (self.key(i), self.key(i + 1));
        let lblk = self.bytes.load_u32(self.entry(i) + BLOCK);
        if !is_in_order(key, next) {
            return Err(self.directory.corrupt("a node's hashes are not in order", self.block.lblk));
        }
        // The first block is the root.
        if lblk == 0 || lblk >= self.directory.blocks {
            return Err(self.directory.corrupt("a node leads out of the directory", self.block.lblk));
        }
        Ok(HtreeBlock { lblk, levels: self.block.levels.saturating_sub(1), keys: key..=next })
    }
}

/// Calls `leaf` with each logical block that names with the major hash `hash` may be in, in order, until it
/// answers something, and returns that. `get` opens a node.
///
/// # Errors
/// [`Error::Corrupt`]: an entry on the way is wrong, or there are more blocks on it than the directory has.
/// What `get` and `leaf` answer.
pub(crate) fn look_up<'a, B: Deref<Target: Load>, C: Deref<Target: Load>, T>(
    root: &HtreeNode<'_, B>,
    hash: u32,
    get: &mut impl FnMut(&HtreeBlock) -> Result<HtreeNode<'a, C>>,
    leaf: &mut impl FnMut(u32) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let mut way = HashWay { hash, goes_on: |key| key == hash | 1, left: root.directory.blocks };
    let end = way.follow(root, get, &mut |block| {
        Ok(leaf(block.lblk)?.map_or(ControlFlow::Continue(()), |found| ControlFlow::Break(Some(found))))
    });
    Ok(end?.break_value().flatten())
}

/// Calls `leaf` with each block of names that may have major hashes from `hash` on, in order, until it
/// breaks. `get` opens a node.
///
/// # Errors
/// As of [`look_up`].
pub(crate) fn walk<'a, B: Deref<Target: Load>, C: Deref<Target: Load>>(
    root: &HtreeNode<'_, B>,
    hash: u32,
    get: &mut impl FnMut(&HtreeBlock) -> Result<HtreeNode<'a, C>>,
    leaf: &mut impl FnMut(&HtreeBlock) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let mut way = HashWay { hash, goes_on: |_| true, left: root.directory.blocks };
    let end = way.follow(root, get, &mut |block| Ok(leaf(block)?.map_break(|()| None::<()>)))?;
    Ok(end.map_break(|_| ()))
}

/// Which blocks of names are wanted.
struct HashWay<F> {
    /// The lowest hash.
    hash: u32,
    /// Whether blocks from this key on are wanted, too.
    goes_on: F,
    /// Blocks of names that there may still be.
    left: u32,
}

impl<F: Fn(u32) -> bool> HashWay<F> {
    /// Goes through what is below `node`. Breaks with an answer, or without one where nothing else is wanted;
    /// goes on where the node ends before that.
    fn follow<'a, B: Deref<Target: Load>, C: Deref<Target: Load>, T>(
        &mut self,
        node: &HtreeNode<'_, B>,
        get: &mut impl FnMut(&HtreeBlock) -> Result<HtreeNode<'a, C>>,
        leaf: &mut impl FnMut(&HtreeBlock) -> Result<ControlFlow<Option<T>>>,
    ) -> Result<ControlFlow<Option<T>>> {
        let first = node.last_up_to(self.hash);
        for i in first..node.count {
            if i > first && !(self.goes_on)(node.key(i)) {
                return Ok(ControlFlow::Break(None));
            }
            let child = node.child(i)?;
            // The levels fall with each step.
            let end = if node.block.levels > 0 {
                self.follow(&get(&child)?, get, leaf)?
            } else {
                self.left = self.left.checked_sub(1).ok_or_else(|| {
                    node.directory.corrupt("more blocks with names than the directory has", child.lblk)
                })?;
                leaf(&child)?
            };
            if end.is_break() {
                return Ok(end);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
