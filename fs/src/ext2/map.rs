//! The block map: from a logical block of a file to its block.
//!
//! ```text
//! i_block[0..12]  → data                                        blocks 0..12
//! i_block[12]     → 1024 × data                                 blocks 12..1036
//! i_block[13]     → 1024 × 1024 × data                          blocks 1036..1049612
//! i_block[14]     → 1024 × 1024 × 1024 × data                   the rest
//! ```
//!
//! A pointer of 0 is a hole, of whatever hangs below it.

use super::inode::Inode;
use super::layout::*;
use crate::error::Result;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{Backing, FileKind};

/// Pointers to data in the inode itself.
pub(super) const DIRECT: u64 = 12;
/// Levels of indirection.
pub(super) const LEVELS: usize = 3;

/// How far each level reaches: what follows from the block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// An indirect block has 2 to this power pointers.
    pointer_bits: u32,
    /// The bits of a logical block's number that choose one of them.
    pointer_mask: u64,
    /// First logical block behind two levels, and behind three: a fault need not work them out.
    second: u64,
    third: u64,
    /// The most blocks a file may have.
    pub max_lblks: u64,
}

impl Reach {
    /// With blocks of 2 to the power `block_bits` bytes.
    pub(super) const fn new(block_bits: u32) -> Self {
        let pointer_bits = block_bits - 2;
        let (one, two) = (1 << pointer_bits, 1 << (2 * pointer_bits));
        let (second, third) = (DIRECT + one, DIRECT + one + two);
        let mut reach = Self { pointer_bits, pointer_mask: one - 1, second, third, max_lblks: 0 };
        // `i_blocks` (32 bits, in units of 512 bytes) counts so many blocks, indirect ones among them:
        //     limit = (2^32 - 1) / (block size / 512)
        // Three levels lead to so many blocks of data:
        //     tree = 12 + p + p^2 + p^3, with p pointers in a block
        // Where that is too many to count, as with blocks of 4 KiB, a file has `limit` less the indirect blocks that
        // `limit` blocks of data would need: a few less than could be counted, but what Linux keeps to. It opens no
        // file that is larger.
        let limit = (u32::MAX >> (block_bits - 9)) as u64;
        let tree = reach.first_lblk(LEVELS) + reach.span(LEVELS);
        reach.max_lblks = match tree + reach.indirect_blocks(tree) <= limit {
            true => tree,
            false => limit - reach.indirect_blocks(limit),
        };
        reach
    }

    /// Blocks below one pointer at `depth` levels above the data.
    #[inline]
    pub(super) const fn span(&self, depth: usize) -> u64 {
        1 << (self.pointer_bits * depth as u32)
    }

    /// First logical block below the pointer in the inode with `depth` levels of indirection.
    #[inline]
    pub(super) const fn first_lblk(&self, depth: usize) -> u64 {
        match depth {
            0 => 0,
            1 => DIRECT,
            2 => self.second,
            _ => self.third,
        }
    }

    /// Indirect blocks of a file of `lblks` blocks without holes.
    const fn indirect_blocks(&self, lblks: u64) -> u64 {
        let mut blocks = 0;
        let mut depth = 1;
        while depth <= LEVELS {
            let mut below = lblks.saturating_sub(self.first_lblk(depth));
            if depth < LEVELS && below > self.span(depth) {
                below = self.span(depth);
            }
            let mut level = 1;
            while level <= depth {
                blocks += below.div_ceil(self.span(level));
                level += 1;
            }
            depth += 1;
        }
        blocks
    }

    /// How many pointers there are from the end of `path` to the end of its table, that one included.
    #[inline]
    pub(super) fn left_in_table(&self, path: &Path) -> u64 {
        let len = if path.depth == 0 { DIRECT } else { self.span(1) };
        len - u64::from(path.slots[path.depth])
    }

    /// The way to `lblk` in numbers: the pointer in the inode, what is counted below it, and how many levels that has. `None`
    /// beyond what a file may have.
    #[inline(always)]
    fn way(&self, lblk: u64) -> Option<(u64, u64, u32)> {
        if lblk < DIRECT {
            Some((lblk, 0, 0))
        } else if lblk < self.first_lblk(2) {
            Some((DIRECT, lblk - DIRECT, 1))
        } else if lblk < self.first_lblk(3) {
            Some((DIRECT + 1, lblk - self.first_lblk(2), 2))
        } else if lblk < self.max_lblks {
            Some((DIRECT + 2, lblk - self.first_lblk(3), 3))
        } else {
            None
        }
    }

    /// The way to `lblk`; `None` beyond what a file may have.
    #[inline]
    pub(super) fn path(&self, lblk: u64) -> Option<Path> {
        if lblk < DIRECT {
            return Some(Path { depth: 0, slots: [lblk as u16, 0, 0, 0] });
        }
        if lblk >= self.max_lblks {
            return None;
        }
        let slot = |rest: u64, level: usize| (rest / self.span(level) % self.span(1)) as u16;
        Some(if lblk < self.first_lblk(2) {
            Path { depth: 1, slots: [12, (lblk - self.first_lblk(1)) as u16, 0, 0] }
        } else if lblk < self.first_lblk(3) {
            let rest = lblk - self.first_lblk(2);
            Path { depth: 2, slots: [13, slot(rest, 1), slot(rest, 0), 0] }
        } else {
            let rest = lblk - self.first_lblk(3);
            Path { depth: 3, slots: [14, slot(rest, 2), slot(rest, 1), slot(rest, 0)] }
        })
    }
}

/// The way to a logical block's pointer: an index into `i_block`, then into `depth` indirect blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub depth: usize,
    pub slots: [u16; LEVELS + 1],
}

/// What is behind a pointer.
#[derive(Clone, Copy)]
enum LeadsTo {
    /// A file's content, which may have lost some of its lines.
    Data,
    /// Pointers.
    Table,
    /// A directory's entries, or a symbolic link's target.
    Metadata,
}

/// Where a way ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    /// At a block.
    Block(u32),
    /// At an empty pointer.
    Hole {
        /// Byte offset of the pointer.
        slot: u64,
        /// How far along the way: 0 is in the inode.
        level: usize,
    },
}

impl<P: Platform> Inode<P> {
    /// Loads the pointer at byte offset `slot`: 0, or a block that can be a file's.
    #[inline(always)]
    pub(super) fn pointer(&self, slot: u64) -> Result<u32> {
        self.pointer_to(slot, || LeadsTo::Data)
    }

    /// As [`pointer`](Self::pointer), to an indirect block, which can be read as a whole.
    #[inline(always)]
    pub(super) fn table_pointer(&self, slot: u64) -> Result<u32> {
        self.pointer_to(slot, || LeadsTo::Table)
    }

    /// As [`pointer`](Self::pointer), with `depth` levels of indirect blocks below it.
    #[inline(always)]
    pub(super) fn pointer_at(&self, slot: u64, depth: usize) -> Result<u32> {
        self.pointer_to(slot, || if depth > 0 { LeadsTo::Table } else { LeadsTo::Data })
    }

    #[inline(always)]
    fn pointer_to(&self, slot: u64, what: impl FnOnce() -> LeadsTo) -> Result<u32> {
        let block = self.pmem().load_u32(slot);
        let good = block < self.fs.sb.blocks_count && (block == 0 || !self.fs.may_be_structures(block));
        if good { Ok(block) } else { self.look_at_pointer(block, what()) }
    }

    /// What is to be said of a pointer that is not known to be good.
    #[cold]
    fn look_at_pointer(&self, block: u32, what: LeadsTo) -> Result<u32> {
        if block >= self.fs.sb.blocks_count {
            return Err(self.corrupt("block pointer out of range", block.into()));
        }
        if self.fs.holds_structures(block) {
            return Err(self.corrupt("block pointer into the file system's own structures", block.into()));
        }
        let name = match (what, self.kind) {
            (LeadsTo::Data, _) => return Ok(block),
            (LeadsTo::Table, _) => "indirect block",
            (LeadsTo::Metadata, FileKind::Directory) => "directory block",
            (LeadsTo::Metadata, _) => "symbolic link's block",
        };
        match self.fs.poisoned_block(block) {
            None => Ok(block),
            Some(bad) => Err(super::unreadable(name, block.into(), bad)),
        }
    }

    /// Follows `path` as far as there are blocks.
    #[inline(always)]
    pub(super) fn locate(&self, path: &Path) -> Result<Spot> {
        Ok(self.locate_slot::<false>(path)?.0)
    }

    /// As [`locate`](Self::locate), and the byte offset of the last pointer on the way. What is at its end is metadata too, if
    /// `METADATA`.
    #[inline]
    fn locate_slot<const METADATA: bool>(&self, path: &Path) -> Result<(Spot, u64)> {
        let mut slot = self.raw + I_BLOCK + u64::from(path.slots[0]) * 4;
        let mut level = 0;
        loop {
            let what = || match level < path.depth {
                true => LeadsTo::Table,
                false if METADATA => LeadsTo::Metadata,
                false => LeadsTo::Data,
            };
            match self.pointer_to(slot, what)? {
                0 => return Ok((Spot::Hole { slot, level }, slot)),
                block if level == path.depth => return Ok((Spot::Block(block), slot)),
                block => {
                    level += 1;
                    slot = self.fs.byte(block) + u64::from(path.slots[level]) * 4;
                }
            }
        }
    }

    /// What is at `lblk`, and for how many logical blocks of the `most` from it on the same goes: neighbouring blocks, or
    /// a hole. Of one table of pointers at a time.
    #[inline]
    pub(super) fn look(&self, path: &Path, most: u64) -> Result<(Spot, u64)> {
        let (spot, slot) = self.locate_slot::<false>(path)?;
        let most = most.min(self.fs.sb.reach.left_in_table(path));
        if most == 1 {
            return Ok((spot, 1));
        }
        let mut count = 1;
        match spot {
            Spot::Block(block) => {
                while count < most && self.pointer(slot + count * 4)? == block + count as u32 {
                    count += 1;
                }
            }
            Spot::Hole { slot, level } if level == path.depth => {
                while count < most && self.pmem().load_u32(slot + count * 4) == 0 {
                    count += 1;
                }
            }
            Spot::Hole { .. } => count = most,
        }
        Ok((spot, count))
    }

    /// Where logical block `lblk` is, as a fault asks: the way is found while it is walked, and what is wrong with a pointer
    /// is for [`find`](Self::find) to say.
    #[inline]
    pub(super) fn peek_at(&self, lblk: u64) -> Option<Backing> {
        let reach = &self.fs.sb.reach;
        let Some((index, rest, levels)) = reach.way(lblk) else { return Some(Backing::HOLE) };
        let mut slot = self.raw + I_BLOCK + index * 4;
        for below in (0..LEVELS as u32).rev() {
            if below < levels {
                match self.next_slot(slot, rest, below) {
                    Ok(next) => slot = next,
                    Err(backing) => return backing,
                }
            }
        }
        match self.pmem().load_u32(slot) {
            0 => Some(Backing::HOLE),
            block if self.may_be_a_files(block) => Some(Backing::mapped(self.fs.byte(block))),
            _ => None,
        }
    }

    /// True if `block`, which is not 0, can be a file's.
    #[inline(always)]
    fn may_be_a_files(&self, block: u32) -> bool {
        block < self.fs.sb.blocks_count && !self.fs.holds_structures(block)
    }

    /// From the pointer at `slot` to a table to the pointer in that, which has `below` levels below it; or what is there
    /// instead. `rest` is what [`Reach::way`] said.
    #[inline(always)]
    fn next_slot(&self, slot: u64, rest: u64, below: u32) -> core::result::Result<u64, Option<Backing>> {
        let reach = &self.fs.sb.reach;
        match self.pmem().load_u32(slot) {
            0 => Err(Some(Backing::HOLE)),
            block if block < self.fs.sb.blocks_count && !self.fs.bars_metadata(block) => {
                let index = rest >> (reach.pointer_bits * below) & reach.pointer_mask;
                Ok(self.fs.byte(block) + index * 4)
            }
            _ => Err(None),
        }
    }

    /// Byte offset of the empty pointer of `lblk`, where nothing but that is missing on the way, nor wrong.
    #[inline]
    pub(super) fn empty_slot(&self, lblk: u64) -> Option<u64> {
        let reach = &self.fs.sb.reach;
        let (index, rest, levels) = reach.way(lblk)?;
        let mut slot = self.raw + I_BLOCK + index * 4;
        for below in (0..LEVELS as u32).rev() {
            if below < levels {
                slot = self.next_slot(slot, rest, below).ok()?;
            }
        }
        (self.pmem().load_u32(slot) == 0).then_some(slot)
    }

    /// Byte offset of the pointer at the end of `path`, whose tables are there.
    #[inline]
    pub(super) fn slot(&self, path: &Path) -> Result<u64> {
        let mut slot = self.raw + I_BLOCK + u64::from(path.slots[0]) * 4;
        for level in 1..=path.depth {
            slot = self.fs.byte(self.table_pointer(slot)?) + u64::from(path.slots[level]) * 4;
        }
        Ok(slot)
    }

    /// The block of `lblk`; `None` for a hole. A direct block is one load, one behind an indirect block two,
    /// and so on.
    #[inline(always)]
    pub(super) fn find(&self, lblk: u64) -> Result<Option<u32>> {
        self.find_block::<false>(lblk)
    }

    /// As [`find`](Self::find), a block of a directory, or of a symbolic link, which can be read as a whole.
    #[inline(always)]
    pub(super) fn find_metadata(&self, lblk: u64) -> Result<Option<u32>> {
        self.find_block::<true>(lblk)
    }

    #[inline(always)]
    fn find_block<const METADATA: bool>(&self, lblk: u64) -> Result<Option<u32>> {
        let Some(path) = self.fs.sb.reach.path(lblk) else { return Ok(None) };
        Ok(match self.locate_slot::<METADATA>(&path)?.0 {
            Spot::Block(block) => Some(block),
            Spot::Hole { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: [Reach; 3] = [Reach::new(10), Reach::new(11), Reach::new(12)];

    #[test]
    fn the_ways_to_the_edges_of_each_level() {
        let reach = REACH[2];
        let way = |lblk| reach.path(lblk).map(|path| (path.depth, path.slots));
        assert_eq!(way(11), Some((0, [11, 0, 0, 0])));
        assert_eq!(way(12), Some((1, [12, 0, 0, 0])));
        assert_eq!(way(1035), Some((1, [12, 1023, 0, 0])));
        assert_eq!(way(1036), Some((2, [13, 0, 0, 0])));
        assert_eq!(way(1_049_611), Some((2, [13, 1023, 1023, 0])));
        assert_eq!(way(1_049_612), Some((3, [14, 0, 0, 0])));
        assert_eq!(way(reach.max_lblks), None);
        let way = |lblk| REACH[0].path(lblk).map(|path| (path.depth, path.slots));
        assert_eq!(way(267), Some((1, [12, 255, 0, 0])));
        assert_eq!(way(268), Some((2, [13, 0, 0, 0])));
        assert_eq!(way(65_804), Some((3, [14, 0, 0, 0])));
        assert_eq!(way(16_843_019), Some((3, [14, 255, 255, 255])));
        assert_eq!(way(16_843_020), None);
    }

    #[test]
    fn the_largest_file_is_what_linux_opens_with_every_block_size() {
        let largest = REACH.map(|reach| reach.max_lblks << (reach.pointer_bits + 2));
        assert_eq!(largest, [17_247_252_480, 275_415_851_008, 2_196_873_666_560]);
        for (reach, bits) in REACH.into_iter().zip(10..) {
            let (max, limit) = (reach.max_lblks, u64::from(u32::MAX >> (bits - 9)));
            assert!(max + reach.indirect_blocks(max) <= limit, "i_blocks counts it");
            assert_eq!(max == reach.first_lblk(3) + reach.span(3), bits < 12);
            assert!(bits < 12 || max < crate::vfs::index::MAX_PAGES);
        }
        assert_eq!(REACH[2].indirect_blocks(12), 0);
        assert_eq!(REACH[2].indirect_blocks(1036), 1);
        assert_eq!(REACH[2].indirect_blocks(1037), 3);
        assert_eq!(REACH[2].indirect_blocks(1_049_613), 1 + 1025 + 3);
    }
}
