//! Who has which block and which inode: bitmaps and counts of block groups.
//!
//! A bit changes in the bitmap's block, in the operation's transaction. Counts are kept in memory: what a
//! group's descriptor says of them, and the checksums of its bitmaps, go into the transaction when that ends
//! ([`BlockGroups::seal`]).
//!
//! ```text
//! free_blocks ──► bit clear, count up, bit kept back ──► commit ──► reusable ──► bit may be taken
//! ```
//!
//! A block that is freed counts as free at once, but nobody gets it before the commit: after a crash it is
//! what it was.
//!
//! | file | what it holds |
//! |---|---|
//! | `state` | what is remembered of a group: loaded and checked at first use, sealed at a commit |
//! | `bits` | a bitmap's words: finding, setting and clearing bits |
//!
//! # Locking
//! A mutex for each group, inside an operation; the list of groups that a commit is to write is a leaf.

mod bits;
mod state;

use super::disk::descriptor::Group;
use super::disk::superblock::SuperBlock;
use super::operation::Ext4Operation;
use crate::PAGE_SIZE;
use crate::atomic::{AtomicI64, AtomicU32};
use crate::error::{Corrupt, Errno, Error, Result};
use crate::jbd2::{BufferMut, Handle};
use crate::platform::{Mutex, Platform, User};
use crate::pmem::Pmem;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bits::GroupBits;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use lock_api::MutexGuard;
use state::WrittenGroup;

/// What a contradiction in one is told of.
const GROUP: &str = "block group";
/// Blocks of a huge page.
const HUGE: u32 = 512;
/// Blocks that only metadata gets: to free a part of a file may take some.
const KEPT_FOR_METADATA: u64 = 32;

/// What blocks are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The file system's own: blocks of a tree, of names, of attributes.
    Metadata,
    /// A file's content.
    Data,
    /// A file's content that one entry of a page table is to map: 512 blocks, whose first lies at a multiple
    /// of 2 MiB.
    HugePage,
}

/// The block groups of a file system that is written.
pub(super) struct BlockGroups<P: Platform> {
    platform: Arc<P>,
    sb: Arc<SuperBlock>,
    /// What is known of each group; nothing before it is first used.
    states: Box<[Mutex<P, Option<WrittenGroup>>]>,
    /// Groups whose descriptors a commit is to write.
    unsealed: Mutex<P, Vec<u32>>,
    free_blocks: AtomicI64,
    /// Of those, the ones that the running transaction frees.
    pending: AtomicI64,
    free_inodes: AtomicI64,
    /// Where the next directory in the root goes.
    spread: AtomicU32,
}

impl<P: Platform> BlockGroups<P> {
    /// Returns those of the file system in the platform's region, nothing of it read yet.
    pub(super) fn new(platform: Arc<P>, sb: Arc<SuperBlock>) -> Self {
        let states = (0..sb.group_count).map(|_| Mutex::<P, _>::new(None)).collect();
        Self {
            platform,
            sb,
            states,
            unsealed: Mutex::<P, _>::new(Vec::new()),
            free_blocks: AtomicI64::new(0),
            pending: AtomicI64::new(0),
            free_inodes: AtomicI64::new(0),
            spread: AtomicU32::new(0),
        }
    }

    /// Starts with so many free blocks and inodes in all.
    pub(super) fn start(&self, (blocks, inodes): (u64, u64)) {
        self.free_blocks.store(blocks as i64, Relaxed);
        self.free_inodes.store(inodes as i64, Relaxed);
    }

    /// Returns how many blocks and inodes are free.
    pub(super) fn free(&self) -> (u64, u64) {
        let count = |of: &AtomicI64| of.load(Relaxed).max(0) as u64;
        (count(&self.free_blocks), count(&self.free_inodes))
    }

    /// Tells whether the running transaction frees blocks, which nobody gets before its commit.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.load(Relaxed) > 0
    }

    /// Calls `f` with what is known of group `index`.
    ///
    /// # Errors
    /// The group's descriptor or bitmaps are damaged; what `f` answers.
    fn with<T>(&self, index: u32, f: impl FnOnce(&mut WrittenGroup) -> Result<T>) -> Result<T> {
        let mut state = self.lock(index)?;
        if state.is_none() {
            *state = Some(WrittenGroup::load(self.platform.pmem(), &self.sb, index)?);
        }
        f(state.as_mut().ok_or(Corrupt::new(GROUP, index.into(), "it is not loaded"))?)
    }

    #[inline]
    fn lock(&self, index: u32) -> Result<MutexGuard<'_, P::Mutex, Option<WrittenGroup>>> {
        let state = self.states.get(index as usize);
        Ok(state.ok_or(Corrupt::new(GROUP, index.into(), "no such group"))?.lock())
    }

    /// Returns the descriptor of group `index`, of which only where the structures are is as it is now: the
    /// rest is kept in memory, and the blocks of the journal may have half of it.
    ///
    /// # Errors
    /// It is damaged.
    pub(super) fn descriptor(&self, index: u32) -> Result<Group> {
        match &*self.lock(index)? {
            Some(state) => Ok(state.group),
            None => WrittenGroup::descriptor(self.platform.pmem(), &self.sb, index),
        }
    }

    /// Has the next commit write the descriptor of a group.
    fn unseal(&self, state: &mut WrittenGroup) -> Result<()> {
        if !state.is_unsealed {
            let mut unsealed = self.unsealed.lock();
            unsealed.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            unsealed.push(state.group.index);
            state.is_unsealed = true;
        }
        Ok(())
    }

    /// Returns all groups, from `first` on and round.
    fn from(&self, first: u32) -> impl Iterator<Item = u32> {
        let count = self.sb.group_count;
        (0..count).map(move |step| (first + step) % count)
    }

    // -- Blocks

    /// Returns how many blocks may be taken for `why` by whoever asks.
    fn available(&self, why: Purpose) -> u64 {
        let (free, pending) = (self.free().0, self.pending.load(Relaxed).max(0) as u64);
        let User { uid, gid } = self.platform.user();
        let (resuid, resgid) = (u32::from(self.sb.def_resuid), u32::from(self.sb.def_resgid));
        let is_root = uid == 0 || uid == resuid || gid != 0 && gid == resgid;
        let kept = match why {
            Purpose::Metadata => 0,
            _ if is_root => KEPT_FOR_METADATA,
            _ => self.sb.r_blocks_count + KEPT_FOR_METADATA,
        };
        free.saturating_sub(pending).saturating_sub(kept)
    }

    /// Takes up to `most` neighbouring blocks, one at least, of one group: near `goal` if they are free
    /// there. Whoever asks has credits for a bitmap and a descriptor.
    ///
    /// # Errors
    /// [`Errno::NoSpace`]; every group with free blocks is damaged; the journal was given up.
    pub(super) fn take_blocks(
        &self,
        op: &Ext4Operation<'_, P>,
        goal: u64,
        most: u32,
        why: Purpose,
    ) -> Result<Range<u64>> {
        let most = u64::from(most).min(self.available(why)) as u32;
        if most < if why == Purpose::HugePage { HUGE } else { 1 } {
            return Err(Errno::NoSpace.into());
        }
        let goal = if self.sb.holds(goal, 1) { goal } else { self.sb.first_data_block.into() };
        let first = self.sb.group_of_block(goal);
        let mut damaged = None;
        for index in self.from(first) {
            let start = self.sb.first_block(index);
            let near = if index == first { (goal - start) as u32 } else { 0 };
            let taken = self.with(index, |state| match why {
                Purpose::HugePage => self.take_aligned(op, state, near, most),
                // What is long enough to be mapped by huge pages begins where one can.
                Purpose::Data if most >= HUGE => match self.take_aligned(op, state, near, most)? {
                    None => self.take_near(op, state, near, most),
                    taken => Ok(taken),
                },
                _ => self.take_near(op, state, near, most),
            });
            match taken {
                Ok(Some(bits)) => {
                    self.free_blocks.fetch_sub((bits.end - bits.start).into(), Relaxed);
                    return Ok(start + u64::from(bits.start)..start + u64::from(bits.end));
                }
                Ok(None) => {}
                Err(error @ Error::Corrupt(_)) => damaged = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(damaged.unwrap_or(Errno::NoSpace.into()))
    }

    /// Takes the first free blocks of a group from bit `near` on, or else the first at all.
    fn take_near(
        &self,
        op: &Ext4Operation<'_, P>,
        state: &mut WrittenGroup,
        near: u32,
        most: u32,
    ) -> Result<Option<Range<u32>>> {
        self.take_found(op, state, most, |bits, free| {
            let near = near.clamp(free.start, free.end);
            bits.find_clear(near..free.end).or_else(|| bits.find_clear(free.start..near))
        })
    }

    /// Takes up to `most` blocks, a huge page's at least, from a multiple of 2 MiB on: the first from bit
    /// `near` on, or else the first at all.
    fn take_aligned(
        &self,
        op: &Ext4Operation<'_, P>,
        state: &mut WrittenGroup,
        near: u32,
        most: u32,
    ) -> Result<Option<Range<u32>>> {
        if state.free_blocks < HUGE || self.sb.block_size() != PAGE_SIZE {
            return Ok(None);
        }
        // How far the group starts behind a multiple of 2 MiB.
        let frame = self.platform.pmem().frame(self.sb.byte(self.sb.first_block(state.group.index)));
        let skew = (frame / PAGE_SIZE % u64::from(HUGE)) as u32;
        self.take_found(op, state, most, |bits, free| {
            let at = |bit: u32| bit.saturating_add(skew).next_multiple_of(HUGE) - skew;
            let is_free = |start: &u32| bits.find_set(*start..*start + HUGE).is_none();
            let all = |from| (at(from)..free.end.saturating_sub(HUGE - 1)).step_by(HUGE as usize);
            all(near.max(free.start)).find(is_free).or_else(|| all(free.start).find(is_free))
        })
    }

    /// Takes up to `most` blocks of a group from the bit on that `find` returns, which is clear: one of those
    /// that it is given.
    #[inline]
    fn take_found(
        &self,
        op: &Ext4Operation<'_, P>,
        state: &mut WrittenGroup,
        most: u32,
        find: impl FnOnce(&GroupBits<'_>, Range<u32>) -> Option<u32>,
    ) -> Result<Option<Range<u32>>> {
        if state.free_blocks == 0 {
            return Ok(None);
        }
        let bitmap = state.block_bitmap(op, &self.platform, &self.sb)?;
        let (bits, end) = (GroupBits::new(&bitmap, &state.kept_back), state.group_blocks);
        let Some(start) = find(&bits, state.first_free.min(end)..end) else { return Ok(None) };
        let run = start..bits.end_of_clear(start..end.min(start.saturating_add(most)));
        self.take_bits(&bitmap, state, run.clone())?;
        Ok(Some(run))
    }

    fn take_bits(&self, bitmap: &BufferMut<'_>, state: &mut WrittenGroup, run: Range<u32>) -> Result<()> {
        let len = run.end - run.start;
        let Some(left) = state.free_blocks.checked_sub(len) else {
            let index = state.group.index.into();
            return Err(Corrupt::with("block bitmap", index, "more is free than counted", len.into()).into());
        };
        self.unseal(state)?;
        GroupBits::new(bitmap, &[]).set(run.clone());
        state.free_blocks = left;
        state.has_new_blocks = true;
        if run.start == state.first_free {
            state.first_free = run.end;
        }
        Ok(())
    }

    /// Frees blocks, which nobody gets before the transaction is durable. Whoever asks has credits for a
    /// bitmap and a descriptor of each group.
    ///
    /// # Errors
    /// "block bitmap": one is free already; the group is damaged; the journal was given up. Blocks of groups
    /// before that one are free.
    pub(super) fn free_blocks(&self, op: &Ext4Operation<'_, P>, range: Range<u64>) -> Result<()> {
        let mut left = range;
        while !left.is_empty() {
            let index = self.sb.group_of_block(left.start);
            let start = self.sb.first_block(index);
            let end = left.end.min(start + self.sb.group_blocks(index));
            if end <= left.start {
                return Err(Corrupt::with("block bitmap", index.into(), "no such block", left.start).into());
            }
            let run = (left.start - start) as u32..(end - start) as u32;
            self.with(index, |state| {
                let bitmap = state.block_bitmap(op, &self.platform, &self.sb)?;
                state.make_room_to_keep_back(&self.sb)?;
                let bits = GroupBits::new(&bitmap, &[]);
                if let Some(clear) = bits.find_clear(run.clone()) {
                    let block = start + u64::from(clear);
                    return Err(Corrupt::with("block bitmap", index.into(), "free already", block).into());
                }
                self.unseal(state)?;
                bits.clear(run.clone());
                bits::set_words(&mut state.kept_back, run.clone());
                state.free_blocks += run.end - run.start;
                state.has_new_blocks = true;
                Ok(())
            })?;
            let len = i64::from(run.end - run.start);
            self.free_blocks.fetch_add(len, Relaxed);
            self.pending.fetch_add(len, Relaxed);
            // With no lock held: it may be reusable at once.
            op.handle().free(left.start..end);
            left.start = end;
        }
        Ok(())
    }

    /// Lets blocks be taken again: the transaction that freed them is durable.
    pub(super) fn reusable(&self, ranges: &[Range<u64>]) {
        for range in ranges {
            let index = self.sb.group_of_block(range.start);
            let start = self.sb.first_block(index);
            let run = (range.start - start) as u32..(range.end - start) as u32;
            // A group of which blocks were freed is known.
            let _ = self.with(index, |state| {
                bits::clear_words(&mut state.kept_back, run.clone());
                state.first_free = state.first_free.min(run.start);
                Ok(())
            });
            self.pending.fetch_sub((range.end - range.start) as i64, Relaxed);
        }
    }

    // -- Inodes

    /// Takes an inode for somebody in directory `parent`: near that, but for directories in the root, which
    /// go round. Whoever asks has credits for a bitmap and a descriptor.
    ///
    /// # Errors
    /// As for [`take_blocks`](Self::take_blocks).
    pub(super) fn take_inode(&self, op: &Ext4Operation<'_, P>, parent: u32, is_dir: bool) -> Result<u32> {
        let sb = &self.sb;
        let first = match is_dir && parent == crate::ext::layout::ROOT_INO {
            true => self.spread.fetch_add(1, Relaxed) % sb.group_count,
            false => sb.group_of_inode(parent),
        };
        let mut damaged = None;
        for index in self.from(first) {
            let taken = self.with(index, |state| {
                let first_ino = index * sb.inodes_per_group + 1;
                if state.free_inodes == 0 {
                    return Ok(None);
                }
                let bitmap = state.inode_bitmap(op, sb)?;
                let bits = GroupBits::new(&bitmap, &[]);
                let from = state.first_free_inode.max(sb.first_ino.saturating_sub(first_ino));
                let Some(slot) = bits.find_clear(from..sb.inodes_per_group) else { return Ok(None) };
                self.unseal(state)?;
                bits.set(slot..slot + 1);
                state.free_inodes -= 1;
                state.first_free_inode = slot + 1;
                state.unused_inodes = state.unused_inodes.min(sb.inodes_per_group - slot - 1);
                state.directories += u32::from(is_dir);
                state.has_new_inodes = true;
                Ok(Some(first_ino + slot))
            });
            match taken {
                Ok(Some(ino)) => {
                    self.free_inodes.fetch_sub(1, Relaxed);
                    return Ok(ino);
                }
                Ok(None) => {}
                Err(error @ Error::Corrupt(_)) => damaged = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(damaged.unwrap_or(Errno::NoSpace.into()))
    }

    /// Frees inode `ino`. Whoever asks has credits for a bitmap and a descriptor.
    ///
    /// # Errors
    /// "inode bitmap": it is free already; the group is damaged; the journal was given up.
    pub(super) fn free_inode(&self, op: &Ext4Operation<'_, P>, ino: u32, is_dir: bool) -> Result<()> {
        let (sb, index) = (&self.sb, self.sb.group_of_inode(ino));
        self.with(index, |state| {
            let slot = (ino - 1) % sb.inodes_per_group;
            let bitmap = state.inode_bitmap(op, sb)?;
            let bits = GroupBits::new(&bitmap, &[]);
            if bits.find_clear(slot..slot + 1).is_some() {
                return Err(Corrupt::with("inode bitmap", index.into(), "free already", ino.into()).into());
            }
            self.unseal(state)?;
            bits.clear(slot..slot + 1);
            state.free_inodes += 1;
            state.first_free_inode = state.first_free_inode.min(slot);
            state.directories = state.directories.saturating_sub(is_dir.into());
            state.has_new_inodes = true;
            Ok(())
        })?;
        self.free_inodes.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Returns the block of the bitmap that tells whether inode `ino` is in use; `None` if it never was.
    ///
    /// # Errors
    /// The group is damaged.
    pub(super) fn bitmap_of_inode(&self, ino: u32) -> Result<Option<u64>> {
        let per_group = self.sb.inodes_per_group;
        self.with(self.sb.group_of_inode(ino), |state| {
            let was_used = (ino - 1) % per_group < per_group - state.unused_inodes;
            let is_there = was_used && !state.has_no_inode_bitmap();
            Ok(is_there.then_some(state.group.inode_bitmap))
        })
    }

    // -- The end of a transaction

    /// Writes what is known of groups that changed to their descriptors, and the checksums of their bitmaps.
    ///
    /// # Errors
    /// A block cannot be read; the journal was given up.
    pub(super) fn seal(&self, handle: &Handle<'_, P>) -> Result<()> {
        let unsealed = core::mem::take(&mut *self.unsealed.lock());
        unsealed.into_iter().try_for_each(|index| self.with(index, |state| state.seal(handle, &self.sb)))
    }
}
