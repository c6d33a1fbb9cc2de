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

use crate::error::Result;
use crate::ext2::disk::geometry::{LEVELS, Path, Spot};
use crate::ext2::disk::unreadable;
use crate::ext2::inode::Inode;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{Backing, FileKind};

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

impl<P: Platform> Inode<P> {
    /// Loads the pointer at byte offset `slot`: 0, or a block that can be a file's.
    #[inline(always)]
    pub(in crate::ext2) fn pointer(&self, slot: u64) -> Result<u32> {
        self.pointer_to(slot, || LeadsTo::Data)
    }

    /// As [`pointer`](Self::pointer), to an indirect block, which can be read as a whole.
    #[inline(always)]
    pub(in crate::ext2) fn table_pointer(&self, slot: u64) -> Result<u32> {
        self.pointer_to(slot, || LeadsTo::Table)
    }

    /// As [`pointer`](Self::pointer), with `depth` levels of indirect blocks below it.
    #[inline(always)]
    pub(in crate::ext2) fn pointer_at(&self, slot: u64, depth: usize) -> Result<u32> {
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
            Some(bad) => Err(unreadable(name, block.into(), bad)),
        }
    }

    /// Follows `path` as far as there are blocks.
    #[inline(always)]
    pub(in crate::ext2) fn locate(&self, path: &Path) -> Result<Spot> {
        Ok(self.locate_slot::<false>(path)?.0)
    }

    /// As [`locate`](Self::locate), and the byte offset of the last pointer on the way. What is at its end is
    /// metadata too, if `METADATA`.
    #[inline]
    fn locate_slot<const METADATA: bool>(&self, path: &Path) -> Result<(Spot, u64)> {
        let mut slot = self.raw().slot(u64::from(path.slots[0]));
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

    /// What is at `lblk`, and for how many logical blocks of the `most` from it on the same goes:
    /// neighbouring blocks, or a hole. Of one table of pointers at a time.
    #[inline]
    pub(in crate::ext2) fn look(&self, path: &Path, most: u64) -> Result<(Spot, u64)> {
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

    /// Where logical block `lblk` is, as a fault asks: the way is found while it is walked, and what is wrong
    /// with a pointer is for [`find`](Self::find) to say.
    #[inline]
    pub(in crate::ext2) fn peek_at(&self, lblk: u64) -> Option<Backing> {
        let reach = &self.fs.sb.reach;
        let Some((index, rest, levels)) = reach.way(lblk) else { return Some(Backing::HOLE) };
        let mut slot = self.raw().slot(index);
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

    /// From the pointer at `slot` to a table to the pointer in that, which has `below` levels below it; or
    /// what is there instead. `rest` is what [`Reach::way`] said.
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
    pub(in crate::ext2) fn empty_slot(&self, lblk: u64) -> Option<u64> {
        let reach = &self.fs.sb.reach;
        let (index, rest, levels) = reach.way(lblk)?;
        let mut slot = self.raw().slot(index);
        for below in (0..LEVELS as u32).rev() {
            if below < levels {
                slot = self.next_slot(slot, rest, below).ok()?;
            }
        }
        (self.pmem().load_u32(slot) == 0).then_some(slot)
    }

    /// Byte offset of the pointer at the end of `path`, whose tables are there.
    #[inline]
    pub(in crate::ext2) fn slot(&self, path: &Path) -> Result<u64> {
        let mut slot = self.raw().slot(u64::from(path.slots[0]));
        for level in 1..=path.depth {
            slot = self.fs.byte(self.table_pointer(slot)?) + u64::from(path.slots[level]) * 4;
        }
        Ok(slot)
    }

    /// The block of `lblk`; `None` for a hole. A direct block is one load, one behind an indirect block two,
    /// and so on.
    #[inline(always)]
    pub(in crate::ext2) fn find(&self, lblk: u64) -> Result<Option<u32>> {
        self.find_block::<false>(lblk)
    }

    /// As [`find`](Self::find), a block of a directory, or of a symbolic link, which can be read as a whole.
    #[inline(always)]
    pub(in crate::ext2) fn find_metadata(&self, lblk: u64) -> Result<Option<u32>> {
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
