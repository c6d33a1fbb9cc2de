//! 2 MiB of a file at once, for page-table entries of that size: found as one run, though the block map has
//! them in two tables, and allocated as one.
//!
//! ```text
//! page       0        512       1024      1536      2048      2560
//! windows    |    0    |    1    |    2    |    3    |    4    |
//! tables     |12|       1024        |       1024        |
//!             ^ i_block  ^ i_block[12]    ^ below i_block[13]
//! ```
//!
//! # Locking
//! Under `dax_sem`, as [`grow`](super::grow): goal and group to take the blocks, nothing while they are
//! zeroed, the block-map mutex to publish them.

use super::BlockMap;
use super::cursor::PathEnd;
use super::grow::Chain;
use crate::PAGE_SIZE;
use crate::error::{Errno, Error, Result};
use crate::ext::indirect::{LEVELS, Path};
use crate::ext2::alloc::runs::RUN;
use crate::ext2::alloc::taken::Taken;
use crate::ext2::fs::Ext2;
use crate::ext2::inode::Changes;
use crate::platform::{LARGE_PAGES, Platform};
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use crate::vfs::{AllocOk, Backing};

/// Pointers of a window in one table.
struct TablePart {
    /// Their first logical block, and the way to it.
    lblk: u64,
    path: Path,
    count: u64,
    /// The first pointer, if there is a table.
    end: PathEnd,
}

impl TablePart {
    /// Indirect blocks it needs.
    fn missing(&self) -> usize {
        match self.end {
            PathEnd::Slot(_) => 0,
            PathEnd::Missing { level, .. } => self.path.depth - level,
        }
    }
}

/// Indirect blocks that were taken: as many as a run may need.
type RunTables = [Option<Staged<Taken, InFlight>>; 2 * LEVELS];

impl<P: Platform> Ext2<P> {
    /// Returns whether any 2 MiB of blocks lie where one entry of a page table can map them. Where the region
    /// begins does not matter to that: runs are counted by physical addresses.
    pub fn has_large_runs(&self) -> bool {
        let phase = (self.pmem().frame(0) >> self.sb.block_bits) % u64::from(RUN);
        self.block_size() == PAGE_SIZE && self.sb.has_run(phase)
    }
}

impl<P: Platform> BlockMap<'_, P> {
    /// The pointers from `lblk` on that are in one table, `most` of them at most.
    #[inline(always)]
    fn part(self, lblk: u64, most: u64) -> Option<TablePart> {
        let path = self.fs.reach.path(lblk)?;
        let count = self.fs.reach.left_in_table(&path).min(most);
        Some(TablePart { lblk, path, count, end: self.seek(&path).ok()? })
    }

    /// The window that begins at logical block `first`, by tables: one or two. `None` for one that no file
    /// can have, or whose way contradicts itself.
    fn parts(self, first: u64) -> Option<[Option<TablePart>; 2]> {
        let one = self.part(first, LARGE_PAGES)?;
        let (next, left) = (first + one.count, LARGE_PAGES - one.count);
        let two = if left > 0 { Some(self.part(next, left)?) } else { None };
        let whole = two.as_ref().is_none_or(|two| two.count == left);
        whole.then_some([Some(one), two])
    }

    /// Finds the 2 MiB from logical block `first` on, a multiple of 512, as one run. What is wrong with a
    /// pointer is for whoever follows that pointer alone to say: here the 2 MiB are in pieces, which is
    /// `None`.
    #[inline(always)]
    pub(super) fn find_run(self, first: u64) -> Option<Backing> {
        let size_fits = self.fs.block_size() == PAGE_SIZE && first.is_multiple_of(LARGE_PAGES);
        match &self.parts(first) {
            Some(parts) if size_fits => self.run_of(parts),
            _ => None,
        }
    }

    fn run_of(self, parts: &[Option<TablePart>; 2]) -> Option<Backing> {
        let pmem = self.pmem();
        let parts = || parts.iter().flatten();
        let slot = |part: &TablePart, index: u64| match part.end {
            PathEnd::Slot(slot) => pmem.load_u32(slot + index * 4),
            PathEnd::Missing { .. } => 0,
        };
        let begin = parts().next().map(|part| slot(part, 0))?;
        let expected = |index: u64| if begin == 0 { 0 } else { begin.wrapping_add(index as u32) };
        // 1. Most that are no run are none at the last pointer of a table, or in the middle. (For zeros it is
        //    quicker to look at all of them.)
        let mut at = 0;
        for part in parts().filter(|_| begin != 0) {
            let (middle, last) = (part.count / 2, part.count - 1);
            if slot(part, last) != expected(at + last) || slot(part, middle) != expected(at + middle) {
                return None;
            }
            at += part.count;
        }
        // 2. Each pointer, two at a time: the parts of a window begin and end at even ones.
        let (mut pair, step) = match begin {
            0 => (0, 0),
            _ => (u64::from(begin) | u64::from(begin.wrapping_add(1)) << 32, 2 << 32 | 2),
        };
        for part in parts() {
            match part.end {
                PathEnd::Slot(slot) => {
                    if !pmem.is_series(slot, part.count / 2, pair, step) {
                        return None;
                    }
                    pair = pair.wrapping_add(step.wrapping_mul(part.count / 2));
                }
                PathEnd::Missing { .. } if begin == 0 => {}
                PathEnd::Missing { .. } => return None,
            }
        }
        match begin {
            0 => Some(Backing::HOLE),
            // Is it a file's, all of it?
            _ if self.fs.groups().run_may_be_a_files(begin) => Some(Backing::mapped(self.fs.byte(begin))),
            _ => None,
        }
    }

    /// Fills the hole of 2 MiB from logical block `first` on, or looks it up if that cannot be: a hole if it
    /// is in pieces.
    pub(in crate::ext2) fn look_up_run_for_write(self, ok: AllocOk<'_>, first: u64) -> Result<Backing> {
        Ok(match self.fs.noted(self.fill_run(ok, first))? {
            Some(block) => Backing::mapped(self.fs.byte(block)).new(),
            None => self.find_run(first).unwrap_or(Backing::HOLE),
        })
    }

    /// Fills the hole of 2 MiB from logical block `first` on, a multiple of 512, with a run; durable. `None`
    /// if it is no hole as a whole, or no run is free: nothing changed.
    ///
    /// Until all of it is published, a crash leaves pointers that are 0 or lead to zeros, and leaks the rest.
    fn fill_run(self, _ok: AllocOk<'_>, first: u64) -> Result<Option<u32>> {
        self.fs.check_writable()?;
        let (fs, pmem) = (&self.fs, self.pmem());
        if fs.block_size() != PAGE_SIZE || !first.is_multiple_of(LARGE_PAGES) {
            return Ok(None);
        }
        // 1. A hole as a whole?
        let seen = self.map_lock.lock().count;
        let Some(parts) = self.parts(first) else { return Ok(None) };
        let needed = parts.iter().flatten().map(TablePart::missing).sum::<usize>();
        let units = (LARGE_PAGES + needed as u64) << (fs.sb.block_bits - 9);
        let room = u64::from(self.raw().units()) + units <= u64::from(u32::MAX);
        if !room || self.run_of(&parts) != Some(Backing::HOLE) {
            return Ok(None);
        }
        // 2. Take it, and zero all of it, and the tables; durable.
        let mut tables: RunTables = [const { None }; 2 * LEVELS];
        let tables = &mut tables[..needed];
        let Some(run) = self.take_run(first, tables)? else { return Ok(None) };
        let block = run.fact().block();
        pmem.clear_poison(fs.byte(block), LARGE_PAGES * PAGE_SIZE);
        pmem.zero_nt(fs.byte(block), LARGE_PAGES * PAGE_SIZE);
        for table in tables.iter().flatten() {
            pmem.clear_poison(fs.byte(table.fact().block()), fs.block_size());
            pmem.zero_nt(fs.byte(table.fact().block()), fs.block_size());
        }
        let filled = Staged::streamed((), fs.byte(block), LARGE_PAGES * PAGE_SIZE);
        let run = run.join(filled, |taken, ()| taken).fence(pmem);
        // 3. Still a hole? Whoever published something since may have filled a part of it, or made a table
        //    for it.
        let mut map = self.map_lock.lock();
        let unchanged = map.count == seen;
        let hole = unchanged || self.find_run(first) == Some(Backing::HOLE);
        // 4. Publish it, table by table; durable.
        let result = if hole { self.publish_run(&mut map, &parts, &run, tables) } else { Ok(()) };
        drop(map);
        if !hole {
            fs.groups().give_back_blocks(block, RUN);
        }
        tables.iter_mut().filter_map(Option::take).for_each(|table| fs.groups().give_back(table));
        result.map(|()| hole.then_some(block))
    }

    /// Takes a run for the window of `first`, and a block for each of `tables`. `None` if there is none;
    /// nothing is taken then.
    fn take_run(
        self,
        first: u64,
        tables: &mut [Option<Staged<Taken, InFlight>>],
    ) -> Result<Option<Staged<Taken, InFlight>>> {
        let fs = &self.fs;
        let mut goal = self.goals.lock(first);
        // What was kept for single blocks of this window, or of another, is free as a whole perhaps.
        self.let_go(&mut goal);
        let before = if first > 0 { self.find(first - 1).ok().flatten() } else { None };
        let near = before.map_or(self.home(), |before| (before + 1).min(fs.sb.blocks_count - 1));
        // 1. The run: kept, so that nobody begins it, then taken.
        let Some(block) = fs.groups().keep_free_run(near) else { return Ok(None) };
        let run = fs.groups().take_kept(block, RUN);
        fs.groups().let_go_run(block);
        let run = match none_for_no_space(run)?.flatten() {
            Some(run) if run.fact().count() == RUN => run,
            Some(part) => {
                fs.groups().give_back(part);
                self.pmem().fence();
                return Ok(None);
            }
            None => return Ok(None),
        };
        // 2. Tables.
        for index in 0..tables.len() {
            match self.take_table(&mut goal) {
                Ok(taken) => tables[index] = Some(taken),
                Err(error) => {
                    fs.groups().give_back(run);
                    tables.iter_mut().filter_map(Option::take).for_each(|table| fs.groups().give_back(table));
                    self.pmem().fence();
                    return none_for_no_space(Err(error));
                }
            }
        }
        Ok(Some(run))
    }

    /// Stores the pointers to `run`, which is durable, for each part; durable. What it needs of `tables` it
    /// takes out of them.
    fn publish_run(
        self,
        map: &mut Changes,
        parts: &[Option<TablePart>; 2],
        run: &Staged<Taken, Clean>,
        tables: &mut [Option<Staged<Taken, InFlight>>],
    ) -> Result<()> {
        let (pmem, fs) = (self.pmem(), &self.fs);
        let mut data = run.fact().block();
        let mut tables = tables.iter_mut();
        for part in parts.iter().flatten() {
            let count = part.count as u32;
            let mut chain = Chain {
                slot: 0,
                pointers: count,
                root: data,
                data,
                lblk: part.lblk,
                count,
                tables: [0; LEVELS],
                blocks: count,
            };
            data += count;
            // A table stays. One that was missing, the part before may have made.
            let end = match part.end {
                PathEnd::Slot(_) => part.end,
                PathEnd::Missing { .. } => self.seek(&part.path)?,
            };
            match end {
                PathEnd::Slot(slot) => chain.slot = slot,
                PathEnd::Missing { slot, level } => {
                    for level in (level + 1..=part.path.depth).rev() {
                        let table = tables.next().and_then(Option::take).ok_or(Errno::NoSpace)?;
                        let table = table.unfenced().block();
                        let entry = fs.byte(table) + u64::from(part.path.slots[level]) * 4;
                        self.store_pointers(entry, chain.root, chain.pointers);
                        (chain.root, chain.pointers, chain.blocks) = (table, 1, chain.blocks + 1);
                    }
                    chain.slot = slot;
                    pmem.fence();
                }
            }
            let chain = run.implies(chain);
            self.publish(map, chain).fence(pmem).into_fact();
        }
        Ok(())
    }
}

/// `None` where there was no space.
fn none_for_no_space<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Op(Errno::NoSpace)) => Ok(None),
        Err(error) => Err(error),
    }
}
