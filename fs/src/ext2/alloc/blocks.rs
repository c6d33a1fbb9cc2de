//! Taking blocks from the bitmaps and giving them back.
//!
//! Small data is packed into runs of blocks that are broken already, near where it was meant to be; a large
//! file keeps whole runs to itself while it fills them: see [`runs`](super::runs) and `map::place`.
//!
//! CPUs stay out of each other's way: a group whose lock is held is passed over as long as another has room.
//! So is one that contradicts itself, or whose bitmap cannot be read: that is noted.
//!
//! # Locking
//! Takes one group's mutex at a time; called under a goal's mutex, an inode's block-map mutex or its inode
//! lock, or when nobody has a handle of the inode.

use super::Groups;
use super::bitmap::Bitmap;
use super::runs::{GroupRuns, Into, RUN};
use super::state::GroupState;
use super::taken::Taken;
use crate::error::{Corrupt, Errno, Error, Result};
use crate::ext::layout::*;
use crate::ext2::disk::descriptor::Group;
use crate::ext2::facts::Cut;
use crate::lab::Point;
use crate::platform::{Platform, User};
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> Groups<'_, P> {
    #[inline]
    fn block_bitmap(self, group: &Group) -> Bitmap {
        Bitmap::new(self.byte(group.block_bitmap), group.blocks)
    }

    /// What is remembered of a group's blocks, looked at now if it never was. Under the group's lock.
    #[inline]
    fn space(self, state: &mut GroupState, index: u32) -> Result<&mut GroupRuns> {
        if state.space.is_none() {
            state.space = Some(self.new_space(index)?);
        }
        state.space.as_mut().ok_or(Errno::NoSpace.into())
    }

    #[cold]
    fn new_space(self, index: u32) -> Result<GroupRuns> {
        let (group, pmem) = (self.group(index)?, self.pmem());
        self.expect_readable(self.byte(group.block_bitmap), self.block_size(), "block bitmap", index.into())?;
        let bitmap = self.block_bitmap(&group);
        let phase = (pmem.frame(0) >> self.sb.block_bits) % u64::from(RUN);
        let structures_end = group.structures_end().max(self.sb.front_blocks(index));
        Ok(GroupRuns::new(pmem, group, &bitmap, phase as u32, structures_end))
    }

    /// Takes free blocks out of the count of all, before any bit is looked for: `want` of them, or fewer if
    /// only those are there for the user.
    #[inline]
    fn claim(self, want: u32) -> Result<u32> {
        let left = self.free_blocks.fetch_sub(want.into(), Relaxed) - i64::from(want);
        if left >= i64::from(self.sb.r_blocks_count) { Ok(want) } else { self.claim_last(want, left) }
    }

    /// As [`claim`](Self::claim), where only reserved blocks would be left.
    #[cold]
    fn claim_last(self, want: u32, left: i64) -> Result<u32> {
        let User { uid, gid } = self.platform.user();
        let sb = &self.sb;
        if uid == 0 || uid == sb.def_resuid.into() || gid != 0 && gid == sb.def_resgid.into() {
            return Ok(want);
        }
        let room = (left + i64::from(want) - i64::from(sb.r_blocks_count)).clamp(0, want.into()) as u32;
        self.unclaim(want - room);
        if room == 0 { Err(Errno::NoSpace.into()) } else { Ok(room) }
    }

    #[inline]
    fn unclaim(self, count: u32) {
        if count > 0 {
            self.free_blocks.fetch_add(count.into(), Relaxed);
        }
    }

    /// Claims up to `want` blocks and lets `take` take them; what it does not take is nobody's claim.
    #[inline]
    fn claimed<T>(self, want: u32, take: impl FnOnce(u32) -> (u32, T)) -> Result<T> {
        let want = self.claim(want)?;
        let (taken, result) = take(want);
        self.unclaim(want - taken);
        Ok(result)
    }

    /// Takes a free block for small data: `goal`, or one near it.
    ///
    /// # Errors
    /// [`Errno::NoSpace`]; [`Error::Corrupt`] where there is no room but in groups that contradict
    /// themselves.
    pub(in crate::ext2) fn take_block(self, goal: u32) -> Result<Staged<Taken, InFlight>> {
        self.take_blocks(goal, 1)
    }

    /// Takes up to `want` neighbouring blocks, otherwise as [`take_block`](Self::take_block).
    pub(in crate::ext2) fn take_blocks(self, goal: u32, want: u32) -> Result<Staged<Taken, InFlight>> {
        self.claimed(want, |want| {
            let result = self.take_near(goal, want);
            (result.as_ref().map_or(0, |taken| taken.fact().count), result)
        })?
    }

    #[inline]
    fn take_near(self, goal: u32, want: u32) -> Result<Staged<Taken, InFlight>> {
        let first = self.sb.first_data_block;
        let goal = if (first..self.sb.blocks_count).contains(&goal) { goal } else { first };
        let (home, count) = (self.sb.group_of_block(goal), self.sb.group_count);
        // Groups that nobody is busy with; then waiting for those that are; then what others keep for
        // themselves.
        let (mut was_busy, mut bad) = (false, None);
        for (wait, ways) in
            [(false, &[Into::Broken, Into::Any][..]), (true, &[Into::Any]), (true, &[Into::Kept])]
        {
            if ways == [Into::Any] && !was_busy {
                continue;
            }
            for index in (home..count).chain(0..home) {
                if self.free_in(index) == 0 {
                    continue;
                }
                let mutex = &self.groups[index as usize];
                let Some(mut state) = (if wait { Some(mutex.lock()) } else { mutex.try_lock() }) else {
                    was_busy = true;
                    continue;
                };
                let taken = self.space(&mut state, index).and_then(|space| {
                    let from = if index == home { goal - space.group.start } else { 0 };
                    self.take_in(space, from, want, ways)
                });
                match taken {
                    Ok(Some(taken)) => return Ok(taken),
                    Ok(None) => {}
                    Err(error) => {
                        drop(state);
                        self.pass_over(index, &mut bad, error);
                    }
                }
            }
        }
        Err(bad.unwrap_or(Errno::NoSpace.into()))
    }

    /// No block is taken from group `index` because of `error`. Whoever calls holds no group's lock.
    #[cold]
    fn pass_over(self, index: u32, first: &mut Option<Error>, error: Error) {
        self.passed_over(index, |state| &mut state.blocks_noted, first, error);
    }

    /// Passes over group `index` because of `error`, which is remembered if it is the first, and noted once,
    /// not each time that the search comes by.
    #[cold]
    pub(in crate::ext2) fn passed_over(
        self,
        index: u32,
        was_noted: fn(&mut GroupState) -> &mut bool,
        first: &mut Option<Error>,
        error: Error,
    ) {
        let again = core::mem::replace(was_noted(&mut self.groups[index as usize].lock()), true);
        if !again {
            let _ = self.noted::<()>(Err(error));
        }
        first.get_or_insert(error);
    }

    /// Free blocks of a group, by its descriptor.
    #[inline]
    fn free_in(self, index: u32) -> u32 {
        self.pmem().load_u16(self.sb.desc(index) + BG_FREE_BLOCKS_COUNT).into()
    }

    #[inline]
    fn take_in(
        self,
        space: &mut GroupRuns,
        from: u32,
        want: u32,
        ways: &[Into],
    ) -> Result<Option<Staged<Taken, InFlight>>> {
        let pmem = self.pmem();
        let bitmap = self.block_bitmap(&space.group);
        // The count is what e2fsck and we believe: a bit that is clear although it is 0 is left alone.
        let want = want.min(pmem.load_u16(space.group.desc + BG_FREE_BLOCKS_COUNT).into());
        if want == 0 {
            return Ok(None);
        }
        for &into in ways {
            if let Some((bit, count)) = space.pick(pmem, &bitmap, from, want, into) {
                return self.set_bits(space, &bitmap, bit, count).map(Some);
            }
        }
        Ok(None)
    }

    #[inline]
    fn set_bits(
        self,
        space: &mut GroupRuns,
        bitmap: &Bitmap,
        bit: u32,
        count: u32,
    ) -> Result<Staged<Taken, InFlight>> {
        let pmem = self.pmem();
        let first = space.group.start + bit;
        self.check_none_own(space, first, count)?;
        space.note_taken(bit);
        self.add_to_count(&space.group, BG_FREE_BLOCKS_COUNT, -(count as i32));
        self.platform.stats().block_allocated.add(count.into());
        Ok(bitmap.set(pmem, bit, count, Taken { first, count }).flush(pmem))
    }

    /// Refuses blocks of a group that hold structures.
    #[inline]
    fn check_none_own(self, space: &GroupRuns, first: u32, count: u32) -> Result<()> {
        if first - space.group.start < space.structures_end {
            (first..first + count).try_for_each(|block| self.check_not_own(&space.group, block))?;
        }
        Ok(())
    }

    /// Takes `block` and up to `want` in all of those after it in its run, which the caller keeps. `None` if
    /// `block` is in use.
    pub(in crate::ext2) fn take_kept(self, block: u32, want: u32) -> Result<Option<Staged<Taken, InFlight>>> {
        let index = self.sb.group_of_block(block);
        self.claimed(want, |want| {
            let mut state = self.groups[index as usize].lock();
            let result = self.space(&mut state, index).and_then(|space| {
                let (pmem, bitmap) = (self.pmem(), self.block_bitmap(&space.group));
                let bit = block - space.group.start;
                let want = want.min(self.free_in(index));
                if want == 0 || bitmap.is_set(pmem, bit) {
                    return Ok(None);
                }
                let count = bitmap.clear_len(pmem, bit, want);
                self.set_bits(space, &bitmap, bit, count).map(Some)
            });
            let taken = result.as_ref().ok().and_then(Option::as_ref);
            (taken.map_or(0, |taken| taken.fact().count), result)
        })?
        .or_else(|error| {
            // Others have room.
            self.pass_over(index, &mut None, error);
            Ok(None)
        })
    }

    /// Takes just `block` as [`take_kept`](Self::take_kept) does, where nothing is in the way. Returns
    /// `None`, and changes nothing, if anything is, whatever it is.
    #[inline]
    pub(in crate::ext2) fn take_kept_one(self, block: u32) -> Option<Staged<Taken, InFlight>> {
        let pmem = self.pmem();
        let mut state = self.groups.get(self.sb.group_of_block(block) as usize)?.lock();
        let space = state.space.as_mut()?;
        let bit = block.wrapping_sub(space.group.start);
        let free_at = space.group.desc + BG_FREE_BLOCKS_COUNT;
        let free = pmem.load_u16(free_at);
        if bit < space.structures_end || free == 0 {
            return None;
        }
        let claim = || {
            let left = self.free_blocks.fetch_sub(1, Relaxed) - 1;
            let enough = left >= i64::from(self.sb.r_blocks_count);
            if !enough {
                self.unclaim(1);
            }
            enough
        };
        let bitmap = self.block_bitmap(&space.group);
        let taken = bitmap.set_one(pmem, bit, claim, Taken { first: block, count: 1 })?;
        space.note_taken(bit);
        pmem.put_u16(free_at, free - 1);
        self.platform.stats().block_allocated.inc();
        Some(taken)
    }

    /// Keeps a run that is free as a whole for the caller: the one at block `near` if it is, else in its
    /// group or one after it, those first in which nobody keeps one. Returns its first block.
    pub(in crate::ext2) fn keep_free_run(self, near: u32) -> Option<u32> {
        let (home, count) = (self.sb.group_of_block(near), self.sb.group_count);
        for (alone, wait) in [(true, false), (false, false), (false, true)] {
            for index in (home..count).chain(0..home) {
                if self.free_in(index) < RUN {
                    continue;
                }
                let mutex = &self.groups[index as usize];
                let state = if wait { Some(mutex.lock()) } else { mutex.try_lock() };
                let Some(mut state) = state else { continue };
                let space = match self.space(&mut state, index) {
                    Ok(space) => space,
                    Err(error) => {
                        drop(state);
                        self.pass_over(index, &mut None, error);
                        continue;
                    }
                };
                let prefer = (index == home).then(|| near - space.group.start);
                if let Some(bit) = space.keep_free(prefer, alone) {
                    return Some(space.group.start + bit);
                }
            }
        }
        None
    }

    /// Keeps the run that starts at `first` for the caller, though part of it is taken; false if it is none,
    /// or another inode keeps it, or its group contradicts itself.
    pub(in crate::ext2) fn keep_run(self, first: u32) -> bool {
        if !(self.sb.first_data_block..self.sb.blocks_count).contains(&first) {
            return false;
        }
        let index = self.sb.group_of_block(first);
        let mut state = self.groups[index as usize].lock();
        match self.space(&mut state, index) {
            Ok(space) => {
                let bit = first - space.group.start;
                space.keep(bit)
            }
            Err(error) => {
                drop(state);
                self.pass_over(index, &mut None, error);
                false
            }
        }
    }

    /// Lets go of the run that starts at `first`: it is kept no more.
    pub(in crate::ext2) fn let_go_run(self, first: u32) {
        let mut state = self.groups[self.sb.group_of_block(first) as usize].lock();
        if let Some(space) = &mut state.space {
            space.let_go(first - space.group.start);
        }
    }

    /// Gives back blocks that were never published.
    pub(in crate::ext2) fn give_back(self, taken: Staged<Taken, InFlight>) {
        let Taken { first, count } = taken.unfenced();
        self.give_back_blocks(first, count);
    }

    /// Gives back the blocks of a chain that was filled, as [`give_back`](Self::give_back) does.
    pub(in crate::ext2) fn give_back_blocks(self, first: u32, count: u32) {
        // They were taken a moment ago, so nothing about them can be wrong.
        let result = self.clear_bits(first, count);
        let _ = self.noted(result);
    }

    /// Frees `count` neighbouring blocks, to which no pointer is left. Their bits become durable with a later
    /// fence: a crash before it leaks them.
    ///
    /// # Errors
    /// Some of them are free already, or the file system's own.
    pub(in crate::ext2) fn free_run(self, _gone: &Staged<Cut, Clean>, first: u32, count: u32) -> Result<()> {
        let (mut block, mut left) = (first, count);
        while left > 0 {
            let index = self.sb.group_of_block(block);
            let end = self.sb.group_start(index) + self.sb.group_blocks(index);
            let step = left.min(end.saturating_sub(block)).max(1);
            self.clear_bits(block, step)?;
            block += step;
            left -= step;
        }
        Ok(())
    }

    /// Clears the bits of blocks that lie in one group.
    fn clear_bits(self, first: u32, count: u32) -> Result<()> {
        let pmem = self.pmem();
        let index = self.sb.group_of_block(first);
        let mut state = self.groups[index as usize].lock();
        let space = self.space(&mut state, index)?;
        if first < space.group.start {
            let why = "a block of the file system's own was taken for a file's";
            return Err(Corrupt::with("group", index.into(), why, first.into()).into());
        }
        self.check_none_own(space, first, count)?;
        let (bit, bitmap) = (first - space.group.start, self.block_bitmap(&space.group));
        let Some(cleared) = bitmap.clear(pmem, bit, count) else {
            let why = "a block was freed that is free";
            return Err(Corrupt::with("block bitmap", index.into(), why, first.into()).into());
        };
        cleared.flush(pmem).unfenced();
        space.note_freed(pmem, &bitmap, bit, count);
        self.add_to_count(&space.group, BG_FREE_BLOCKS_COUNT, count as i32);
        self.free_blocks.fetch_add(count.into(), Relaxed);
        self.platform.stats().block_freed.add(count.into());
        self.platform.at(Point::Freed, 0, first.into(), count.into());
        Ok(())
    }

    /// Returns whether the bitmap says that `block`, which is below `blocks_count`, is in use.
    pub(in crate::ext2) fn block_in_use(self, block: u32) -> Result<bool> {
        let group = self.group(self.sb.group_of_block(block))?;
        self.expect_readable(
            self.byte(group.block_bitmap),
            self.block_size(),
            "block bitmap",
            group.index.into(),
        )?;
        Ok(self.block_bitmap(&group).is_set(self.pmem(), block - group.start))
    }
}
