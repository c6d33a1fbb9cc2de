//! What was found of each inode in use: 4 bytes each, in a table for each group that has any.
//!
//! An inode's place in its group's table is the number of bits before its own in the inode bitmap, which is
//! read in place; a running sum for each word of the bitmap makes that one look. So a node can be found as
//! long as the bitmap's word with its bit is as it was.

use super::claims::{words, zeros};
use crate::error::Result;
use crate::ext2::fs::Ext2;
use crate::platform::Platform;
use crate::pmem::Pmem;
use alloc::vec::Vec;

/// What was found of one inode: names counted (of a directory: names and `..` of others), and what is to be
/// done.
#[derive(Clone, Copy, Default)]
pub(super) struct InodeMarks(u32);

impl InodeMarks {
    /// It can be reached from the root.
    pub(super) const NAMED: u32 = 1 << 16;
    /// It is a directory.
    pub(super) const DIRECTORY: u32 = 1 << 17;
    /// There are pointers beyond its end.
    pub(super) const TRIM: u32 = 1 << 18;
    /// It counts its blocks wrongly.
    pub(super) const RECOUNT: u32 = 1 << 19;
    /// Its entries tell wrong kinds.
    pub(super) const RETYPE: u32 = 1 << 20;
    /// It is to get a name in `lost+found`.
    pub(super) const ADOPT: u32 = 1 << 21;
    /// It is on the list of orphans.
    pub(super) const ORPHAN: u32 = 1 << 22;
    /// It is to be as long as its blocks reach.
    pub(super) const GROW: u32 = 1 << 23;

    pub(super) fn is(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    pub(super) fn mark(&mut self, flag: u32) {
        self.0 |= flag;
    }

    /// Returns how many links were counted so far; more than a count can tell stay at the most.
    pub(super) fn links(self) -> u16 {
        self.0 as u16
    }

    pub(super) fn add_link(&mut self) {
        if self.links() != u16::MAX {
            self.0 += 1;
        }
    }
}

/// The inodes in use of one group.
#[derive(Clone, Default)]
struct GroupInodes {
    /// Byte offset of the inode bitmap.
    bitmap: u64,
    /// Inodes in use before each word of the bitmap.
    before: Vec<u16>,
    nodes: Vec<InodeMarks>,
}

/// All inodes in use.
pub(super) struct Nodes {
    tables: Vec<GroupInodes>,
    per_group: u32,
}

impl Nodes {
    /// Counts the inodes in use.
    pub(super) fn new<P: Platform>(fs: &Ext2<P>) -> Result<Self> {
        let mut tables: Vec<GroupInodes> = zeros(fs.sb.group_count as usize)?;
        for (index, table) in (0..).zip(&mut tables) {
            let group = fs.groups().group(index)?;
            fs.groups().expect_inode_bitmap(&group)?;
            table.bitmap = fs.byte(group.inode_bitmap);
            let used = |word| bitmap_word(fs, table.bitmap, word, fs.sb.inodes_per_group).count_ones();
            let words = words(fs.sb.inodes_per_group);
            if (0..words).all(|word| used(word) == 0) {
                continue;
            }
            let mut before = zeros(words)?;
            let mut sum = 0;
            for (word, before) in before.iter_mut().enumerate() {
                // At most 32,768 inodes are in a group.
                *before = sum as u16;
                sum += used(word);
            }
            table.before = before;
            table.nodes = zeros(sum as usize)?;
        }
        Ok(Self { tables, per_group: fs.sb.inodes_per_group })
    }

    /// Where the node of `ino` is: its table, and its place there. `None` if it is not in use, or no inode.
    fn place<P: Platform>(&self, fs: &Ext2<P>, ino: u32) -> Option<(usize, usize)> {
        let index = ino.checked_sub(1)?;
        let (group, slot) = ((index / self.per_group) as usize, index % self.per_group);
        let table = self.tables.get(group)?;
        let before = *table.before.get((slot / 64) as usize)?;
        let word = bitmap_word(fs, table.bitmap, (slot / 64) as usize, self.per_group);
        let below = word & !(u64::MAX << (slot % 64));
        (word & 1 << (slot % 64) != 0).then_some((group, usize::from(before) + below.count_ones() as usize))
    }

    /// Returns what was found of inode `ino`: nothing if it is not in use.
    pub(super) fn get<P: Platform>(&self, fs: &Ext2<P>, ino: u32) -> InodeMarks {
        self.node(fs, ino).copied().unwrap_or_default()
    }

    fn node<P: Platform>(&self, fs: &Ext2<P>, ino: u32) -> Option<&InodeMarks> {
        let (group, rank) = self.place(fs, ino)?;
        self.tables[group].nodes.get(rank)
    }

    /// Returns the node of inode `ino`, if it is in use.
    pub(super) fn get_mut<P: Platform>(&mut self, fs: &Ext2<P>, ino: u32) -> Option<&mut InodeMarks> {
        let (group, rank) = self.place(fs, ino)?;
        self.tables[group].nodes.get_mut(rank)
    }
}

/// Returns the numbers of the inodes in use in group `index`, in order.
pub(super) fn in_use<P: Platform>(fs: &Ext2<P>, index: u32) -> Result<impl Iterator<Item = u32>> {
    let (bitmap, limit) = (fs.byte(fs.groups().group(index)?.inode_bitmap), fs.sb.inodes_per_group);
    Ok((0..words(limit)).flat_map(move |at| {
        let first = index * limit + at as u32 * 64 + 1;
        bits(bitmap_word(fs, bitmap, at, limit)).map(move |bit| first + bit)
    }))
}

/// Returns the bits that are set in `word`.
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros());
        word &= word.wrapping_sub(1);
        bit
    })
}

/// Returns word `at` of the bitmap at byte offset `bitmap`, of which the first `limit` bits count.
pub(super) fn bitmap_word<P: Platform>(fs: &Ext2<P>, bitmap: u64, at: usize, limit: u32) -> u64 {
    let rest = limit.saturating_sub(at as u32 * 64);
    let mask = if rest >= 64 { u64::MAX } else { (1 << rest) - 1 };
    if mask == 0 { 0 } else { fs.pmem().load_u64(bitmap + at as u64 * 8) & mask }
}
