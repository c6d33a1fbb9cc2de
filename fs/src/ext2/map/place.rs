//! Where a file's next block had best be: small files packed, large ones in runs that one entry can map.
//!
//! A file's *window* `w` is its logical blocks `512w..512w + 512`. A window that is, or will be, full gets a
//! [run](crate::ext2::alloc::runs) of its own, block `i` of the window in block `i` of the run, so that a
//! file written in order is mapped by entries of 2 MiB from its start. Which windows are that?
//!
//! * those that the file's size covers, or the end of what is being written or allocated;
//! * the first, of a file of more than [`PACKED`] blocks: a file that outgrows those moves into a run;
//! * the others, of a file that grew into them from the window before.
//!
//! Everything else, and all indirect blocks, are packed into runs that are broken already. The run of the
//! window that is being filled is *kept*: other files stay out of it while there is room elsewhere. It is let
//! go when the window is full, when the file goes on in another window, and when the inode leaves memory.
//!
//! docs/decisions/0008.
//!
//! # Locking
//! An inode has a few *goals*, each with its mutex, one for each window that is being filled just now: so
//! CPUs that fill different windows of one file share nothing here. `dax_sem → goal → group`; the block-map
//! mutex is not held under a goal's.

use super::BlockMap;
use super::cursor::{LeadsTo, load};
use super::geometry::{Hole, Spot};
use crate::error::{Errno, Result};
use crate::ext2::alloc::goals::Goal;
use crate::ext2::alloc::runs::RUN;
use crate::ext2::alloc::taken::Taken;
use crate::ext2::facts::Cut;
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{InFlight, Staged};
use crate::vfs::{AllocOk, ChangeOk};

/// A file of this many blocks or fewer is packed with other small ones.
const PACKED: u64 = 16;

impl<P: Platform> BlockMap<'_, P> {
    pub(super) fn home(self) -> u32 {
        self.fs.sb.group_start(self.fs.sb.group_of_inode(self.ino))
    }

    /// The block of the logical block before `hole`, if it has one.
    #[inline]
    fn block_before(self, hole: &Hole) -> Result<Option<u32>> {
        match *hole {
            Hole { lblk: 0, .. } => Ok(None),
            Hole { path, level, slot, .. } if level == path.depth && path.slots[level] > 0 => {
                let block = load(&self.fs, self.ino, slot - 4, || LeadsTo::Data)?;
                Ok(Some(block).filter(|&block| block != 0))
            }
            Hole { lblk, .. } => self.find(lblk - 1),
        }
    }

    /// Takes a block for `hole`, and up to `want` in all of neighbouring ones for those after it. The file
    /// has, or is about to have, `end` blocks.
    #[inline]
    pub(super) fn take_data(
        self,
        goal: &mut Goal,
        hole: &Hole,
        want: u32,
        end: u64,
    ) -> Result<Staged<Taken, InFlight>> {
        let run = u64::from(RUN);
        let (window, at) = (hole.lblk / run, (hole.lblk % run) as u32);
        let want = want.min(RUN - at);
        if goal.run != 0 && goal.window != window {
            self.let_go(goal);
        }
        if goal.run == 0 && end > PACKED {
            self.choose_run(goal, hole, end)?;
        }
        let taken = match goal.run {
            0 => None,
            // Somebody who was short of space may have been there.
            first => self.fs.groups().take_kept(first + at, want)?,
        };
        let taken = match taken {
            Some(taken) => taken,
            None => self.fs.groups().take_blocks(self.near(goal, hole)?, want)?,
        };
        let count = taken.fact().count();
        (goal.lblk, goal.block) = (hole.lblk + u64::from(count) - 1, taken.fact().block() + count - 1);
        if at + count == RUN {
            self.let_go(goal);
        }
        Ok(taken)
    }

    /// Takes the block of logical block `lblk` in the run that is kept for its window: what faults mostly do.
    /// `None`, and nothing changed, where there is more to it: that is for [`take_data`](Self::take_data).
    #[inline]
    pub(super) fn take_in_run(self, lblk: u64) -> Option<Staged<Taken, InFlight>> {
        let run = u64::from(RUN);
        let (window, at) = (lblk / run, (lblk % run) as u32);
        let mut goal = self.goals.lock(lblk);
        // After the last of a run it is let go.
        if goal.run == 0 || goal.window != window || at == RUN - 1 {
            return None;
        }
        let taken = self.fs.groups().take_kept_one(goal.run + at)?;
        (goal.lblk, goal.block) = (lblk, taken.fact().block());
        Some(taken)
    }

    /// Where a block of small data had best be.
    #[inline]
    fn near(self, goal: &Goal, hole: &Hole) -> Result<u32> {
        if goal.block != 0 && hole.lblk == goal.lblk + 1 {
            return Ok(goal.block + 1);
        }
        // After the block of the logical block before; else after the indirect block; else in the inode's
        // group.
        Ok(match self.block_before(hole)? {
            Some(before) => before + 1,
            None if hole.level > 0 => (hole.slot >> self.fs.sb.block_bits) as u32 + 1,
            None => self.home(),
        })
    }

    /// Takes a block for a table of pointers: outside of runs that data will fill.
    pub(super) fn take_table(self, goal: &mut Goal) -> Result<Staged<Taken, InFlight>> {
        let near = if goal.table != 0 { goal.table + 1 } else { self.home() };
        let taken = self.fs.groups().take_block(near)?;
        goal.table = taken.fact().block();
        Ok(taken)
    }

    /// Keeps the run that belongs to the window of `hole`, if there is one.
    fn choose_run(self, goal: &mut Goal, hole: &Hole, end: u64) -> Result<()> {
        let run = u64::from(RUN);
        let (window, at) = (hole.lblk / run, (hole.lblk % run) as u32);
        let before = self.block_before(hole)?;
        // 1. The window has begun: it goes on where it did, if that is a run.
        let begun = match before {
            _ if at == 0 => self.first_block_in(hole.lblk + 1..(hole.lblk + run).min(end))?,
            Some(before) => Some((hole.lblk - 1, before)),
            None => self.first_block_in(window * run..((window + 1) * run).min(end))?,
        };
        if let Some((lblk, block)) = begun {
            let first = block.saturating_sub((lblk % run) as u32);
            if first != 0 && self.fs.groups().keep_run(first) {
                (goal.window, goal.run) = (window, first);
            }
            return Ok(());
        }
        // 2. A fresh one, after the run of the window before.
        let will_be_full = end >= (window + 1) * run || window == 0 || at == 0 && before.is_some();
        if will_be_full {
            let near = before.map_or(self.home(), |before| (before + 1).min(self.fs.sb.blocks_count - 1));
            if let Some(first) = self.fs.groups().keep_free_run(near) {
                (goal.window, goal.run) = (window, first);
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn let_go(self, goal: &mut Goal) {
        if goal.run != 0 {
            self.fs.groups().let_go_run(core::mem::take(&mut goal.run));
        }
    }

    /// Forgets all goals, as the block map changes, or the inode leaves memory: what was meant for it is
    /// anybody's.
    pub(in crate::ext2) fn forget_goals(self) {
        self.goals.for_each(|goal| {
            self.let_go(goal);
            *goal = Goal::default();
        });
    }

    /// Moves the blocks of the file, of `size` bytes so far and about to have `end`, into a run if it
    /// outgrows [`PACKED`] of them, so that it is mapped by large entries from its start. If there is no
    /// room, or the file has holes, the blocks stay. Durable.
    #[inline]
    pub(in crate::ext2) fn outgrow(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        size: u64,
        end: u64,
    ) -> Result<()> {
        let packed = PACKED << self.fs.sb.block_bits;
        if size <= packed && packed < end && size > 0 {
            return self.move_into_run(lock, ok, size.div_ceil(self.fs.block_size()));
        }
        Ok(())
    }

    #[inline(never)]
    fn move_into_run(self, _lock: ChangeOk<'_>, ok: AllocOk<'_>, blocks: u64) -> Result<()> {
        let (pmem, fs) = (self.pmem(), &self.fs);
        // Nor what a transfer is using.
        if self.mapping.index.is_pinned(0..blocks) && !mistake!(fs.platform.lab(), IgnorePins) {
            return Ok(());
        }
        let (mut old, mut slots) = ([0; PACKED as usize], [0; PACKED as usize]);
        for ((lblk, old), slot) in (0..blocks).zip(&mut old).zip(&mut slots) {
            match self.locate(lblk)? {
                // What cannot be read cannot be moved.
                (Spot::Block(block), at) if fs.groups().poisoned_block(block).is_none() => {
                    (*old, *slot) = (block, at)
                }
                _ => return Ok(()),
            }
        }
        let old = &old[..blocks.min(PACKED) as usize];
        let in_order = old.iter().zip(old[0]..).all(|(&block, expected)| block == expected);
        if in_order && fs.groups().keep_run(old[0]) {
            fs.groups().let_go_run(old[0]);
            return Ok(());
        }
        let Some(run) = fs.groups().keep_free_run(old[0]) else { return Ok(()) };
        let taken = match fs.groups().take_kept(run, old.len() as u32) {
            Ok(Some(taken)) if taken.fact().count() as usize == old.len() => taken,
            other => {
                if let Ok(Some(taken)) = other {
                    fs.groups().give_back(taken);
                } else if let Err(error) = other
                    && error != Errno::NoSpace.into()
                {
                    return Err(error);
                }
                fs.groups().let_go_run(run);
                return Ok(());
            }
        };
        // 1. No address space shows the old blocks: nothing is stored to them any more.
        self.mapping.unmap_shared(&fs.platform, ok, 0..blocks);
        {
            let mut goal = self.goals.lock(0);
            self.let_go(&mut goal);
            (goal.window, goal.run) = (0, run);
        }
        // 2. Copied; durable.
        pmem.clear_poison(fs.byte(run), blocks << fs.sb.block_bits);
        for (&from, to) in old.iter().zip(run..) {
            let mut piece = [0; 512];
            for at in (0..fs.block_size()).step_by(piece.len()) {
                pmem.read(fs.byte(from) + at, &mut piece);
                pmem.write_nt(fs.byte(to) + at, &piece);
            }
        }
        let copied = taken.fence(pmem);
        // 3. Each pointer is replaced; durable.
        let first = copied.into_fact().block();
        old.iter().zip(slots).zip(first..).for_each(|((_, slot), to)| pmem.put_u32(slot, to));
        let cut = Staged::stored(Cut, slots[0], 4).flush(pmem).fence(pmem);
        // 4. Nothing leads to the old ones.
        old.iter().try_for_each(|&block| fs.groups().free_run(&cut, block, 1))
    }
}
