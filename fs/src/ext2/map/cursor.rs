//! The way through an indirect tree: every pointer of a file is followed here, and checked before it is.
//!
//! Who wants one logical block *seeks*: [`BlockMap::seek`] says what is wrong, [`BlockMap::seek_slot`] is
//! what faults ask, and leaves that to the former. Who wants more has a [`Cursor`], which goes from pointer
//! to pointer, in the order of logical blocks:
//!
//! ```text
//! i_block   0 … 11 │ 12          │ 13                    │ 14
//!                    ↓ enter  ↑ Up ↓              ↑ Up
//! table              0 … 1023      0        …   1023
//!                                  ↓ enter  ↑ Up ↓
//! table                            0 … 1023
//! ```
//!
//! Each pointer that is not empty is a step *down*: to data, or to a table, which is entered if the caller
//! says so. When all below a table is through, a step *up* comes back to the pointer that leads to it. A tree
//! has three levels, so there is an end, whatever the pointers say; and no more tables are entered than the
//! file system has blocks.

use super::BlockMap;
use crate::error::Result;
use crate::ext::indirect::{DIRECT, LEVELS, Path, Reach};
use crate::ext::inode::{RawInode, bad_inode};
use crate::ext::unreadable;
use crate::ext2::fs::Ext2;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::Backing;
use core::ops::Range;

/// What is behind a pointer.
#[derive(Clone, Copy)]
pub(in crate::ext2) enum LeadsTo {
    /// A file's content, which may have lost some of its lines.
    Data,
    /// Pointers.
    Table,
    /// A directory's entries.
    Entries,
    /// A symbolic link's target.
    Target,
}

/// Loads the pointer of inode `ino` at byte offset `slot`: 0, or a block that can be a file's, and can be
/// read as a whole unless it is data.
#[inline(always)]
pub(super) fn load<P: Platform>(
    fs: &Ext2<P>,
    ino: u32,
    slot: u64,
    what: impl FnOnce() -> LeadsTo,
) -> Result<u32> {
    checked(fs, ino, fs.pmem().load_u32(slot), what)
}

/// As [`load`], of a pointer that is loaded.
#[inline(always)]
fn checked<P: Platform>(fs: &Ext2<P>, ino: u32, block: u32, what: impl FnOnce() -> LeadsTo) -> Result<u32> {
    let good = block < fs.sb.blocks_count && (block == 0 || !fs.groups().may_be_structures(block));
    if good { Ok(block) } else { judge(fs, ino, block, what()) }
}

/// What is to be said of a pointer that is not known to be good.
#[cold]
fn judge<P: Platform>(fs: &Ext2<P>, ino: u32, block: u32, what: LeadsTo) -> Result<u32> {
    if block >= fs.sb.blocks_count {
        return Err(bad_inode(ino, "block pointer out of range", block.into()));
    }
    if fs.groups().holds_structures(block) {
        return Err(bad_inode(ino, "block pointer into the file system's own structures", block.into()));
    }
    let name = match what {
        LeadsTo::Data => return Ok(block),
        LeadsTo::Table => "indirect block",
        LeadsTo::Entries => "directory block",
        LeadsTo::Target => "symbolic link's block",
    };
    match fs.groups().poisoned_block(block) {
        None => Ok(block),
        Some(bad) => Err(unreadable(name, block.into(), bad)),
    }
}

/// Where a way ends, as far as there are tables.
#[derive(Clone, Copy)]
pub(super) enum PathEnd {
    /// In its last table: byte offset of the pointer.
    Slot(u64),
    /// At the empty pointer at byte offset `slot`, `level` steps along: the table behind it is missing.
    Missing { slot: u64, level: usize },
}

impl<'a, P: Platform> BlockMap<'a, P> {
    /// Follows `path` up to its last pointer.
    #[inline(always)]
    pub(super) fn seek(self, path: &Path) -> Result<PathEnd> {
        let mut slot = self.raw().slot(path.slots[0].into());
        for level in 0..path.depth {
            match load(&self.fs, self.ino, slot, || LeadsTo::Table)? {
                0 => return Ok(PathEnd::Missing { slot, level }),
                block => slot = self.fs.byte(block) + u64::from(path.slots[level + 1]) * 4,
            }
        }
        Ok(PathEnd::Slot(slot))
    }

    /// Seeks `lblk` as [`seek`](Self::seek) does, for a fault, which looks at one page: the way is found
    /// while it is walked. An error is what is there instead of the pointer: a hole, or `None` for what
    /// [`seek`](Self::seek) has to say.
    #[inline(always)]
    pub(super) fn seek_slot(self, lblk: u64) -> core::result::Result<u64, Option<Backing>> {
        let (index, rest, levels) = self.fs.reach.way(lblk).ok_or(Some(Backing::HOLE))?;
        let mut slot = self.raw().slot(index);
        for below in (0..LEVELS as u32).rev() {
            if below < levels {
                slot = self.next_slot(slot, rest, below)?;
            }
        }
        Ok(slot)
    }

    /// From the pointer at `slot` to a table to the pointer in that, which has `below` levels below it; or
    /// what is there instead. `rest` is what [`Reach::way`] said.
    #[inline(always)]
    fn next_slot(self, slot: u64, rest: u64, below: u32) -> core::result::Result<u64, Option<Backing>> {
        let reach = &self.fs.reach;
        match self.pmem().load_u32(slot) {
            0 => Err(Some(Backing::HOLE)),
            block if block < self.fs.sb.blocks_count && !self.fs.groups().bars_metadata(block) => {
                let index = rest >> (reach.pointer_bits * below) & reach.pointer_mask;
                Ok(self.fs.byte(block) + index * 4)
            }
            _ => Err(None),
        }
    }

    /// Returns a cursor before the first pointer that leads to one of the logical blocks `range`.
    #[inline]
    pub(in crate::ext2) fn cursor(self, range: Range<u64>) -> Cursor<'a, P> {
        Cursor::new(&self.0.fs, self.0.raw(), range)
    }
}

/// A pointer that is not empty.
#[derive(Clone, Copy)]
pub(in crate::ext2) struct Pointer {
    /// Its byte offset.
    pub slot: u64,
    /// Where it leads, not checked yet.
    pub block: u32,
    /// The first logical block behind it.
    pub lblk: u64,
    /// Tables between it and data: 0 if it leads to data.
    pub height: usize,
}

/// Where a cursor came to.
#[derive(Clone, Copy)]
pub(in crate::ext2) enum CursorStep {
    /// A pointer, before what is below it.
    Down(Pointer),
    /// A pointer to a table, after what is below it.
    Up(Pointer),
}

/// Neighbouring blocks of data at neighbouring logical blocks.
#[derive(Clone, Copy)]
pub(in crate::ext2) struct Run {
    pub lblk: u64,
    pub block: u32,
    pub count: u32,
}

/// Pointers side by side, those of interest.
#[derive(Clone, Copy, Default)]
struct PointerRow {
    /// The block that they are in; 0 for the inode.
    block: u32,
    /// Tables between each of them and data.
    height: usize,
    /// Byte offset of the first, and the first logical block behind it.
    start: u64,
    base: u64,
    /// Byte offset of the next to look at, and of the end.
    next: u64,
    end: u64,
}

impl PointerRow {
    /// `count` pointers from byte offset `start` on, of which those that lead to `range` are of interest.
    #[inline]
    fn new(
        reach: &Reach,
        block: u32,
        start: u64,
        count: u64,
        base: u64,
        height: usize,
        range: &Range<u64>,
    ) -> Self {
        let index = |lblks: u64| (lblks >> reach.span_bits(height)).min(count);
        let first = index(range.start.saturating_sub(base));
        let end = range.end.checked_sub(base + 1).map_or(first, |lblks| (index(lblks) + 1).min(count));
        Self { block, height, start, base, next: start + first * 4, end: start + end.max(first) * 4 }
    }

    /// The pointer at byte offset `slot`, which leads to `block`.
    #[inline]
    fn pointer(&self, reach: &Reach, slot: u64, block: u32) -> Pointer {
        let lblk = self.base + (((slot - self.start) / 4) << reach.span_bits(self.height));
        Pointer { slot, block, lblk, height: self.height }
    }
}

/// A place in an indirect tree, and the way to it.
pub(in crate::ext2) struct Cursor<'a, P: Platform> {
    fs: &'a Ext2<P>,
    ino: u32,
    range: Range<u64>,
    /// The tables on the way, from the top.
    way: [PointerRow; LEVELS + 1],
    level: usize,
    /// The pointer that it starts from, if it is one below an inode's.
    top: Option<Pointer>,
    /// Of an inode's pointers: byte offset of the first that leads to a table, and how many of those were
    /// met.
    tables: u64,
    met: usize,
    /// Tables, and blocks of data, that may still be met.
    left: u32,
}

impl<'a, P: Platform> Cursor<'a, P> {
    /// Returns a cursor over the pointers of an inode that lead to the logical blocks `range`.
    #[inline]
    pub(in crate::ext2) fn new(fs: &'a Ext2<P>, raw: RawInode<'a, P::Pmem>, range: Range<u64>) -> Self {
        let mut way = [PointerRow::default(); LEVELS + 1];
        way[0] = PointerRow::new(&fs.reach, 0, raw.slot(0), DIRECT, 0, 0, &range);
        let left = fs.sb.blocks_count;
        Self { fs, ino: raw.ino, range, way, level: 0, top: None, tables: raw.slot(DIRECT), met: 0, left }
    }

    /// Returns a cursor over `top`, a pointer of inode `ino` wherever that is by now, and what is below it of
    /// the logical blocks `range`.
    pub(in crate::ext2) fn below(fs: &'a Ext2<P>, ino: u32, top: Pointer, range: Range<u64>) -> Self {
        let mut way = [PointerRow::default(); LEVELS + 1];
        let Pointer { slot, lblk, height, .. } = top;
        way[0] = PointerRow { block: 0, height, start: slot, base: lblk, next: slot + 4, end: slot + 4 };
        let left = fs.sb.blocks_count;
        Self { fs, ino, range, way, level: 0, top: Some(top), tables: 0, met: LEVELS, left }
    }

    /// Goes to the next pointer that is not empty, or back up.
    #[inline]
    pub(in crate::ext2) fn next(&mut self) -> Option<CursorStep> {
        let (pmem, reach) = (self.fs.pmem(), &self.fs.reach);
        loop {
            let table = &mut self.way[self.level];
            while table.next < table.end {
                let slot = table.next;
                // Two at a time where there is nothing.
                if slot.is_multiple_of(8) && slot + 4 < table.end && pmem.load_u64(slot) == 0 {
                    table.next += 8;
                    continue;
                }
                table.next += 4;
                let block = pmem.load_u32(slot);
                if block != 0 {
                    return Some(CursorStep::Down(table.pointer(reach, slot, block)));
                }
            }
            if let Some(above) = self.level.checked_sub(1) {
                let block = table.block;
                self.level = above;
                let parent = &self.way[above];
                return Some(CursorStep::Up(parent.pointer(reach, parent.next - 4, block)));
            }
            if let Some(top) = self.top.take() {
                return Some(CursorStep::Down(top));
            }
            if self.met == LEVELS {
                return None;
            }
            let slot = self.tables + self.met as u64 * 4;
            self.met += 1;
            self.way[0] =
                PointerRow::new(reach, 0, slot, 1, reach.first_lblk(self.met), self.met, &self.range);
        }
    }

    /// Notes that `count` blocks were met, `block` among them.
    #[inline]
    fn spend(&mut self, count: u32, block: u32) -> Result<()> {
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => return Err(bad_inode(self.ino, "more blocks than the file system has", block.into())),
        }
        Ok(())
    }

    /// Goes on below `at`, the pointer that it is at, which leads to a table.
    ///
    /// # Errors
    /// No table can be there, a memory error took some of it, or more blocks were met than there are.
    #[inline]
    pub(in crate::ext2) fn enter(&mut self, at: Pointer) -> Result<()> {
        let (fs, reach) = (self.fs, &self.fs.reach);
        let block = checked(fs, self.ino, at.block, || LeadsTo::Table)?;
        self.spend(1, block)?;
        self.level += 1;
        self.way[self.level] =
            PointerRow::new(reach, block, fs.byte(block), reach.span(1), at.lblk, at.height - 1, &self.range);
        Ok(())
    }

    /// Counts the pointers of one table, from `at` on, where the cursor is, that lead to logical blocks of
    /// its range and to no others.
    #[inline]
    pub(in crate::ext2) fn whole_from(&self, at: Pointer) -> u64 {
        if at.lblk < self.range.start {
            return 0;
        }
        let whole = (self.range.end - at.lblk) >> self.fs.reach.span_bits(at.height);
        whole.min((self.way[self.level].end - at.slot) / 4)
    }

    /// Passes over the next `count` pointers of the table that it is in.
    #[inline]
    pub(in crate::ext2) fn skip(&mut self, count: u64) {
        self.way[self.level].next += count * 4;
    }

    /// Returns the block behind `at`, where the cursor is.
    ///
    /// # Errors
    /// No block of a file can be there.
    #[inline]
    pub(in crate::ext2) fn block(&self, at: Pointer) -> Result<u32> {
        checked(self.fs, self.ino, at.block, || if at.height > 0 { LeadsTo::Table } else { LeadsTo::Data })
    }

    /// Goes on, and into every table, to the next pointer to data.
    #[inline]
    pub(in crate::ext2) fn next_data(&mut self) -> Result<Option<Pointer>> {
        while let Some(step) = self.next() {
            match step {
                CursorStep::Up(_) => {}
                CursorStep::Down(at) if at.height > 0 => self.enter(at)?,
                CursorStep::Down(at) => {
                    self.spend(1, self.block(at)?)?;
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    /// Goes on to the next pointer to data, as [`next_data`](Self::next_data) does, and to the last of those
    /// after it that lead to neighbouring blocks: of one table at a time.
    #[inline]
    pub(in crate::ext2) fn next_run(&mut self) -> Result<Option<Run>> {
        match self.next_data()? {
            Some(at) => self.run_from(at).map(Some),
            None => Ok(None),
        }
    }

    /// Goes from `at`, a pointer to data where it is, to the last of those after it that lead to neighbouring
    /// blocks.
    #[inline]
    pub(in crate::ext2) fn run_from(&mut self, at: Pointer) -> Result<Run> {
        let (fs, pmem, block) = (self.fs, self.fs.pmem(), self.block(at)?);
        let table = &mut self.way[self.level];
        let mut count = 1;
        while table.next < table.end {
            let next = block.wrapping_add(count);
            if pmem.load_u32(table.next) != next || next == 0 || !fs.groups().may_be_a_files(next) {
                break;
            }
            table.next += 4;
            count += 1;
        }
        self.spend(count - 1, block)?;
        Ok(Run { lblk: at.lblk, block, count })
    }
}
