//! Holes filled with blocks, and unwritten extents made written, in an operation.
//!
//! ```text
//! fresh     a hole: blocks are taken, near those in front of it       unwritten: they are there
//! (caller)  fills them, past the cache, and fences
//! publish   the tree leads to them: before, nobody reads what they held
//! ```
//!
//! Faults do this side by side on pages of one file, each under the lock of its page's entry: nothing is held
//! while blocks are filled.

use super::super::alloc::Purpose;
use super::super::change::InodeChange;
use super::super::disk::extent::{DiskExtent, ExtentOrHole, MAX_DEPTH};
use super::super::edit::Change;
use super::super::extents::{ExtentTree, TreeCredits};
use super::super::operation::Ext4Operation;
use super::{AllowedBlocks, BlockMap};
use crate::error::{Errno, Error, Result, Unsupported};
use crate::ext::layout::{EXTENTS_FL, I_BLOCK};
use crate::platform::{LARGE_PAGES, PageSize, Platform};
use crate::pmem::Pmem;
use core::ops::Range;

/// What changes in a group of which blocks are taken or freed: the bitmap and the descriptor.
pub(super) const GROUP_CREDITS: u32 = 2;
/// What an operation changes that only sets a size: the inode, and the superblock perhaps.
pub(in crate::ext4) const SIZE_CREDITS: u32 = 2;

/// An inode's tree of extents, to be changed in an operation.
type InodeTree<'a, P> = ExtentTree<'a, InodeChange<'a, P>, &'a dyn Fn(u64, u32) -> bool>;

impl<'a, P: Platform> BlockMap<'a, P> {
    /// Refuses a file whose block map is of an older kind: it is not changed.
    ///
    /// # Errors
    /// Unsupported.
    pub(in crate::ext4) fn expect_extents(self) -> Result<()> {
        match self.0.has(EXTENTS_FL) {
            true => Ok(()),
            false => Err(Unsupported::Operation("changing the block map of a file without extents").into()),
        }
    }

    /// Returns how many levels of the tree are below its root.
    pub(in crate::ext4) fn depth(self) -> u16 {
        // The upper half of the header's second word.
        self.0.bytes().load_u16(I_BLOCK + 6).min(MAX_DEPTH)
    }

    /// Returns how many blocks of metadata an operation changes at most that fills one hole, or makes one
    /// extent written.
    pub(in crate::ext4) fn credits_to_fill(self) -> u32 {
        // Until it gets to the tree, another may have made that one level higher.
        let tree = TreeCredits::of_filling(self.depth() + 1);
        tree.blocks() + 2 * GROUP_CREDITS + 1
    }

    /// Changes the tree, and remembers that `op` did.
    ///
    /// # Errors
    /// Those of `change`; as for [`mark_data`](super::Ext4Inode::mark_data).
    pub(in crate::ext4) fn edit_tree<R>(
        self,
        op: &Ext4Operation<'_, P>,
        change: impl FnOnce(&InodeTree<'_, P>) -> Result<R>,
    ) -> Result<R> {
        self.expect_extents()?;
        let (inode, AllowedBlocks { blocks, may_be_a_files }) = (self.0, self.allowed());
        let allowed = AllowedBlocks { blocks, may_be_a_files: &may_be_a_files as &dyn Fn(u64, u32) -> bool };
        let _exclusive = inode.map_lock.write();
        let tree = ExtentTree {
            change: &InodeChange::new(op, inode),
            inode: &inode.edit(),
            at: I_BLOCK,
            ino: inode.ino,
            allowed: &allowed,
            goal: self.home(),
        };
        let result = change(&tree)?;
        // Under the lock: who finds what was published is to find that it is not durable.
        inode.mark_data(op)?;
        Ok(result)
    }

    /// Returns where blocks are looked for that have no neighbour: the first of the inode's group.
    pub(in crate::ext4) fn home(self) -> u64 {
        let sb = &self.0.fs.sb;
        sb.first_block(sb.group_of_inode(self.0.ino))
    }

    /// Returns blocks for the `most` logical blocks from `lblk` on, or the first of them: in a hole they are
    /// taken, unwritten ones are there. `None` if there is content. Until [`publish`](Self::publish) nobody
    /// reads what they hold.
    ///
    /// # Errors
    /// [`Errno::NoSpace`]; a block contradicts itself or cannot be read.
    pub(in crate::ext4) fn fresh(
        self,
        op: &Ext4Operation<'_, P>,
        lblk: u32,
        most: u32,
    ) -> Result<Option<DiskExtent>> {
        self.expect_extents()?;
        match self.find(lblk)? {
            ExtentOrHole::Hole { len, near } => {
                self.take(op, lblk, most.min(len).min(DiskExtent::most(false)), near).map(Some)
            }
            ExtentOrHole::Extent(extent) if extent.unwritten => {
                Ok(extent.part(lblk..lblk.saturating_add(most)))
            }
            ExtentOrHole::Extent(_) => Ok(None),
        }
    }

    /// Takes up to `most` neighbouring blocks for the hole at `lblk`, if possible from `near` on. Where
    /// entries of 2 MiB could map what there is to fill, it begins with blocks that one can.
    fn take(self, op: &Ext4Operation<'_, P>, lblk: u32, most: u32, near: Option<u64>) -> Result<DiskExtent> {
        let goes_on = near.is_some_and(|near| self.0.fs.sb.holds(near, 1) && self.is_aligned(near));
        let (run, near) = (LARGE_PAGES as u32, self.near(near));
        if !lblk.is_multiple_of(run) || most < run {
            return self.take_for(op, lblk, most, near, Purpose::Data);
        }
        if !goes_on {
            match self.take_for(op, lblk, run, near, Purpose::HugePage) {
                Err(Error::Op(Errno::NoSpace)) => {}
                taken => return taken,
            }
        }
        self.take_for(op, lblk, most / run * run, near, Purpose::Data)
    }

    /// Returns the block from which on others are looked for, to come near `near`; without that they lie in
    /// the inode's group.
    fn near(self, near: Option<u64>) -> u64 {
        near.unwrap_or_else(|| self.home()).min(self.0.fs.sb.blocks_count - 1)
    }

    /// Tells whether an entry of 2 MiB can map what begins with `block`.
    fn is_aligned(self, block: u64) -> bool {
        let fs = &self.0.fs;
        fs.platform.pmem().frame(fs.sb.byte(block)).is_multiple_of(PageSize::Large.bytes())
    }

    fn take_for(
        self,
        op: &Ext4Operation<'_, P>,
        lblk: u32,
        most: u32,
        near: u64,
        why: Purpose,
    ) -> Result<DiskExtent> {
        let taken = self.0.fs.groups.take_blocks(op, near, most, why)?;
        let len = (taken.end - taken.start) as u32;
        Ok(DiskExtent { lblk, block: taken.start, len, unwritten: false })
    }

    /// Returns 512 blocks that one entry can map for the 512 logical blocks from `lblk` on, as
    /// [`fresh`](Self::fresh) does. `None` if they are no hole as a whole, nor unwritten in such blocks; or
    /// there is no such space.
    ///
    /// # Errors
    /// A block contradicts itself or cannot be read.
    pub(in crate::ext4) fn fresh_run(
        self,
        op: &Ext4Operation<'_, P>,
        lblk: u32,
    ) -> Result<Option<DiskExtent>> {
        self.expect_extents()?;
        let run = LARGE_PAGES as u32;
        match self.find(lblk)? {
            ExtentOrHole::Hole { len, near } if len >= run => {
                match self.take_for(op, lblk, run, self.near(near), Purpose::HugePage) {
                    Err(Error::Op(Errno::NoSpace)) => Ok(None),
                    taken => taken.map(Some),
                }
            }
            ExtentOrHole::Extent(extent) if extent.unwritten && extent.end() - lblk >= run => {
                Ok(extent.part(lblk..lblk + run).filter(|part| self.is_aligned(part.block)))
            }
            _ => Ok(None),
        }
    }

    /// Lets the file lead to `run`, which [`fresh`](Self::fresh) returned, as its content: it is filled, and
    /// that is durable. On an error, blocks that were taken for it are free again.
    ///
    /// # Errors
    /// No space for a block of the tree; a block contradicts itself or cannot be read.
    pub(in crate::ext4) fn publish(self, op: &Ext4Operation<'_, P>, run: &DiskExtent) -> Result<()> {
        self.edit_tree(op, |tree| {
            if !run.unwritten {
                return self.insert(tree, run);
            }
            let mut left = run.lblk..run.end();
            while !left.is_empty() {
                left.start = tree.convert(&left, false)?;
            }
            self.0.fs.platform.stats().block_converted.add(run.len.into());
            Ok(())
        })
    }

    /// Gives the holes of `range` blocks that read as zeros, without storing any, in as many operations as it
    /// takes.
    ///
    /// # Errors
    /// [`Errno::NoSpace`], after some have got theirs; a block contradicts itself or cannot be read; the
    /// journal was given up.
    pub(in crate::ext4) fn allocate(self, mut range: Range<u32>) -> Result<()> {
        while !range.is_empty() {
            self.0
                .fs
                .with_freed_space(|| self.in_steps(&mut range, |op, left| self.allocate_one(op, left)))?;
        }
        Ok(())
    }

    /// Gives the first blocks of `left` blocks, or finds that they have them; returns up to where.
    fn allocate_one(self, op: &Ext4Operation<'_, P>, left: &Range<u32>) -> Result<u32> {
        let (len, near) = match self.find(left.start)? {
            ExtentOrHole::Hole { len, near } => (len.min(left.end - left.start), near),
            ExtentOrHole::Extent(extent) => return Ok(extent.end()),
        };
        let run = self.take(op, left.start, len.min(DiskExtent::most(true)), near)?;
        let run = DiskExtent { unwritten: true, ..run };
        self.edit_tree(op, |tree| self.insert(tree, &run))?;
        Ok(run.end())
    }

    /// Lets what there is of `range` read as zeros, though its blocks stay: they are unwritten. No address
    /// space shows them.
    ///
    /// # Errors
    /// As for [`allocate`](Self::allocate).
    pub(in crate::ext4) fn forget_content(self, mut range: Range<u32>) -> Result<()> {
        let convert = |op: &Ext4Operation<'_, P>, left: &Range<u32>| {
            self.edit_tree(op, |tree| tree.convert(left, true))
        };
        while !range.is_empty() {
            self.0.fs.with_freed_space(|| self.in_steps(&mut range, convert))?;
        }
        Ok(())
    }

    /// Lets `step` do the start of `range` and say up to where, again and again, in one operation: as long as
    /// that has room.
    fn in_steps(
        self,
        range: &mut Range<u32>,
        step: impl Fn(&Ext4Operation<'_, P>, &Range<u32>) -> Result<u32>,
    ) -> Result<()> {
        let credits = self.credits_to_fill();
        let mut op = self.0.fs.begin(credits)?;
        loop {
            range.start = step(&op, range)?;
            if Range::is_empty(range) || !op.extend(credits) {
                return Ok(());
            }
        }
    }

    /// Lets the file lead to `run`, which was taken for a hole. On an error its blocks are free again.
    pub(super) fn insert(self, tree: &InodeTree<'_, P>, run: &DiskExtent) -> Result<()> {
        self.0.add_blocks(run.len.into());
        tree.insert(*run).inspect_err(|_| tree.change.free_data(run.block, run.len))
    }
}
