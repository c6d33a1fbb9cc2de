//! Taking bytes out of the middle of a file, and putting a hole in: what comes after moves, without being
//! copied.
//!
//! The block map is built anew from the first pointer that changes on, beside the old one, which stays as it
//! is:
//!
//! 1. no address space shows what moves; stores through mappings are durable;
//! 2. new tables of pointers are built where nobody looks; durable. Tables of which nothing changes are in
//!    both maps;
//! 3. the pointers in the inode, its size and its count of blocks change together: a crash shows the old file
//!    or the new one ([`redo`](crate::ext2::redo));
//! 4. the old tables, and what was taken out, are freed.
//!
//! # Locking
//! Under the inode lock and `dax_sem`, both held exclusively; takes group mutexes and the superblock's.

use super::BlockMap;
use super::cursor::{Cursor, CursorStep, LeadsTo, Pointer, load};
use super::cut::Freed;
use crate::error::{Errno, Result};
use crate::ext::indirect::{DIRECT, LEVELS};
use crate::ext::layout::*;
use crate::ext2::alloc::taken::Taken;
use crate::ext2::facts::Cut;
use crate::ext2::redo::Words;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{InFlight, Staged};
use crate::vfs::{AllocOk, ChangeOk};
use alloc::vec::Vec;
use core::ops::Range;

/// Pointers in an inode.
const ROOTS: usize = DIRECT as usize + LEVELS;

/// The fact that the tables of a new map are filled and taken; nothing points to them yet.
struct Aside;

/// A move: logical blocks from `from` on become those from `to` on. Moving down takes out what is in between;
/// moving up leaves a hole there.
#[derive(Clone, Copy)]
struct Move {
    from: u64,
    to: u64,
    /// Logical blocks of the file before, and after.
    old_end: u64,
    new_end: u64,
}

impl Move {
    /// No pointer before this logical block changes.
    fn first(self) -> u64 {
        self.from.min(self.to)
    }

    /// What is taken out.
    fn removed(self) -> Range<u64> {
        self.to..self.from
    }

    /// Where the new map's logical block `lblk` was, and how many from it on are side by side in the old map
    /// too; `None` for a hole that is put in.
    fn source(self, lblk: u64) -> (Option<u64>, u64) {
        if lblk < self.first() {
            (Some(lblk), self.first() - lblk)
        } else if lblk < self.to {
            (None, self.to - lblk)
        } else {
            (Some(lblk - self.to + self.from), self.new_end.saturating_sub(lblk))
        }
    }
}

/// Tables of a new map that are taken.
type NewTables = Vec<Staged<Taken, InFlight>>;

impl<P: Platform> BlockMap<'_, P> {
    /// Takes the bytes `range` out of a file of `size` bytes.
    pub(in crate::ext2) fn collapse(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: Range<u64>,
        size: u64,
    ) -> Result<()> {
        let block_size = self.fs.block_size();
        let aligned = [range.start, range.end].iter().all(|at| at.is_multiple_of(block_size));
        if !aligned || range.end >= size {
            return Err(Errno::Invalid.into());
        }
        let new_size = size - (range.end - range.start);
        self.shift(lock, ok, range.end / block_size, range.start / block_size, size, new_size)
    }

    /// Puts a hole at the bytes `range` into a file of `size` bytes; what was there comes after it.
    pub(in crate::ext2) fn insert(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: Range<u64>,
        size: u64,
    ) -> Result<()> {
        let block_size = self.fs.block_size();
        let aligned = [range.start, range.end].iter().all(|at| at.is_multiple_of(block_size));
        if !aligned || range.start >= size {
            return Err(Errno::Invalid.into());
        }
        let new_size = size + (range.end - range.start);
        if new_size > self.fs.max_file_size() {
            return Err(Errno::FileTooBig.into());
        }
        if new_size > i32::MAX as u64 {
            self.fs.super_in_place().need_large_file()?;
        }
        self.shift(lock, ok, range.start / block_size, range.end / block_size, size, new_size)
    }

    fn shift(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        from: u64,
        to: u64,
        size: u64,
        new_size: u64,
    ) -> Result<()> {
        let (pmem, block_size) = (self.pmem(), self.fs.block_size());
        let [old_end, new_end] = [size, new_size].map(|size| size.div_ceil(block_size));
        let change = Move { from, to, old_end, new_end };
        // What was allocated ahead beyond the end does not move along.
        self.cut(lock, ok, old_end)?;
        // 1. No address space shows what moves.
        self.settle(ok, change.first())?;
        // 2. The new map, aside.
        let mut tables = NewTables::new();
        let roots = match self.build_roots(change, &mut tables) {
            Ok(roots) => roots,
            Err(error) => {
                tables.into_iter().for_each(|taken| self.fs.groups().give_back(taken));
                pmem.fence();
                return Err(error);
            }
        };
        let mut gone = 0u64;
        let old = self.roots();
        self.each_gone(&old, change, &mut |_| {
            gone += 1;
            Ok(())
        })?;
        let units = |blocks: u64| blocks << (self.fs.sb.block_bits - 9);
        let blocks = u64::from(self.raw().units()) + units(tables.len() as u64);
        let blocks = blocks.saturating_sub(units(gone)).min(u32::MAX.into()) as u32;
        // 3. All at once.
        let mut words = Words::new();
        for ((&new, &old), index) in roots.iter().zip(&old).zip(0..) {
            if new != old {
                words.push(self.raw().slot(index), new);
            }
        }
        words.push(self.raw().at + I_SIZE, new_size as u32);
        words.push(self.raw().at + I_SIZE_HIGH, (new_size >> 32) as u32);
        words.push(self.raw().at + I_BLOCKS, blocks);
        let aside = Staged::streamed(Aside, self.raw().at, 0).fence(pmem);
        let swapped = match self.fs.redo().commit(words, aside) {
            Ok(swapped) => swapped,
            Err(error) => {
                tables.into_iter().for_each(|taken| self.fs.groups().give_back(taken));
                return Err(error);
            }
        };
        self.mapping.set_size(lock, new_size);
        // 4. Nothing leads to the old tables, nor to what was taken out.
        self.forget_goals();
        let cut = swapped.map(|_| Cut);
        let mut freed = Freed::default();
        self.each_gone(&old, change, &mut |block| freed.add(&self.fs, &cut, block, 1))?;
        freed.flush(&self.fs, &cut)
    }

    /// Makes what was stored through mappings from logical block `first` on durable, and takes it out of
    /// every address space.
    fn settle(self, ok: AllocOk<'_>, first: u64) -> Result<()> {
        let result = self
            .mapping
            .write_back_all(&self.fs.platform, ok.held(), first..u64::MAX, |page| self.place(page));
        self.pmem().fence();
        result?;
        self.mapping.unmap(&self.fs.platform, ok, first..u64::MAX);
        Ok(())
    }

    fn roots(self) -> [u32; ROOTS] {
        core::array::from_fn(|index| self.pmem().load_u32(self.raw().slot(index as u64)))
    }

    /// The first logical block and the depth of each pointer in the inode.
    fn root_place(self, index: usize) -> (u64, usize) {
        match index.checked_sub(DIRECT as usize) {
            None => (index as u64, 0),
            Some(level) => (self.fs.reach.first_lblk(level + 1), level + 1),
        }
    }

    fn build_roots(self, change: Move, tables: &mut NewTables) -> Result<[u32; ROOTS]> {
        let mut roots = self.roots();
        for (index, root) in roots.iter_mut().enumerate() {
            let (base, depth) = self.root_place(index);
            *root = self.build(*root, base, depth, change, tables)?;
        }
        Ok(roots)
    }

    /// The new map's pointer to what is from logical block `base` on, with `depth` tables above the data; the
    /// old map's is `old`. New tables are in flight.
    fn build(self, old: u32, base: u64, depth: usize, change: Move, tables: &mut NewTables) -> Result<u32> {
        let each = self.fs.reach.span(depth);
        if base + each <= change.first() {
            return Ok(old);
        }
        // Whatever is not there needs no table.
        let (mut lblk, end) = (base, (base + each).min(change.new_end));
        loop {
            if lblk >= end {
                return Ok(0);
            }
            let (source, len) = change.source(lblk);
            let len = len.min(end - lblk);
            if let Some(source) = source
                && self.first_block_in(source..source + len)?.is_some()
            {
                break;
            }
            lblk += len;
        }
        if depth == 0 {
            return Ok(match change.source(base).0 {
                Some(source) => self.find(source)?.unwrap_or(0),
                None => 0,
            });
        }
        tables.try_reserve(1).map_err(|_| Errno::NoMemory)?;
        let near = tables.last().map_or(self.home(), |last| last.fact().block() + 1);
        let taken = self.fs.groups().take_block(near)?;
        let place = self.fs.byte(taken.fact().block());
        tables.push(taken);
        let pmem = self.pmem();
        pmem.zero_nt(place, self.fs.block_size());
        if depth == 1 {
            self.build_leaf(place, base, end, change)?;
        } else {
            let inner = self.fs.reach.span(depth - 1);
            for index in 0..self.fs.reach.span(1) {
                let base = base + index * inner;
                if base >= end {
                    break;
                }
                // A part that stays is the old one; it has no other place.
                let old = match old {
                    0 => 0,
                    _ if base + inner > change.first() => 0,
                    old => load(&self.fs, self.ino, self.fs.byte(old) + index * 4, || LeadsTo::Table)?,
                };
                pmem.store_u32(place + index * 4, self.build(old, base, depth - 1, change, tables)?);
            }
        }
        pmem.flush(place, self.fs.block_size());
        Ok((place >> self.fs.sb.block_bits) as u32)
    }

    /// Stores the pointers to the logical blocks `base..end` of the new map from byte offset `place` on.
    fn build_leaf(self, place: u64, base: u64, end: u64, change: Move) -> Result<()> {
        let mut lblk = base;
        while lblk < end {
            let (source, len) = change.source(lblk);
            let len = len.min(end - lblk);
            if let Some(source) = source {
                let mut cursor = self.cursor(source..source + len);
                while let Some(run) = cursor.next_run()? {
                    let slot = place + (run.lblk - source + lblk - base) * 4;
                    for index in 0..run.count {
                        self.pmem().store_u32(slot + u64::from(index) * 4, run.block + index);
                    }
                }
            }
            lblk += len;
        }
        Ok(())
    }

    /// Calls `f` with each block of the map `roots` that the new one does not have: tables, after what is
    /// below them, and what is taken out.
    fn each_gone(
        self,
        roots: &[u32; ROOTS],
        change: Move,
        f: &mut dyn FnMut(u32) -> Result<()>,
    ) -> Result<()> {
        let (removed, changed) = (change.removed(), change.first()..change.old_end);
        let meets = |at: Pointer, range: &Range<u64>| {
            at.lblk < range.end && range.start < at.lblk + self.fs.reach.span(at.height)
        };
        for (index, &block) in roots.iter().enumerate().filter(|&(_, &block)| block != 0) {
            let (lblk, height) = self.root_place(index);
            let root = Pointer { slot: 0, block, lblk, height };
            if !meets(root, &changed) {
                continue;
            }
            let mut cursor = Cursor::below(&self.fs, self.ino, root, changed.clone());
            while let Some(step) = cursor.next() {
                match step {
                    CursorStep::Up(at) => f(at.block)?,
                    // Data that moves is of no interest, one by one.
                    CursorStep::Down(at) if at.height > 1 || at.height == 1 && meets(at, &removed) => {
                        cursor.enter(at)?
                    }
                    CursorStep::Down(at) if at.height == 1 || meets(at, &removed) => f(cursor.block(at)?)?,
                    CursorStep::Down(_) => {}
                }
            }
        }
        Ok(())
    }
}
