//! An inode's block map: a tree of extents, or an indirect tree as in ext2, which is not changed.
//!
//! The blocks of a tree of extents are checked by their checksums when they are first met, its root when it
//! is first used; every entry that is followed is checked each time.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | looking up and listing |
//! | `grow` | holes filled, unwritten extents made written |
//! | `cut` | blocks taken out |
//! | `shift` | ranges taken out of the middle, or put in |
//!
//! # Locking
//! Who looks something up in a tree of extents holds its *block map lock* shared, for as long as that takes;
//! who changes the tree exclusively, in an operation that is open already. That what was found stays where it
//! is takes the inode lock or the invalidate lock.

mod cut;
mod grow;
mod shift;

pub(super) use cut::Unfinished;
pub(super) use grow::SIZE_CREDITS;

use super::disk::extent::{self, AllowedBlocks, DiskExtent, ExtentBlock, ExtentNode, ExtentOrHole};
use super::extents;
use super::inode::Ext4Inode;
use super::meta::MetaBlock;
use crate::error::{Result, Unsupported};
use crate::ext::inode::bad_inode;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::jbd2::BlockBuffer;
use crate::platform::Platform;
use crate::vfs::{Backing, Extent, Joiner, State};
use core::ops::{ControlFlow, Range};
use core::sync::atomic::Ordering::Relaxed;

/// The block map of an inode.
pub(super) struct BlockMap<'a, P: Platform>(&'a Ext4Inode<P>);

view!(BlockMap of Ext4Inode);

impl<P: Platform> Ext4Inode<P> {
    /// Returns its block map.
    #[inline(always)]
    pub(super) fn map(&self) -> BlockMap<'_, P> {
        BlockMap(self)
    }
}

/// Logical blocks that all have the same behind them.
type Piece = (Backing, u64);

impl<'a, P: Platform> BlockMap<'a, P> {
    /// Returns what is behind logical block `lblk`, and for how many of the `most` blocks from it on that
    /// goes on: neighbouring blocks, or a hole. It may go on for more than it says.
    ///
    /// # Errors
    /// The map contradicts itself; unsupported, if a journal that is not replayed holds some of the blocks.
    pub(super) fn look(self, lblk: u64, most: u64) -> Result<Piece> {
        let (backing, count) = self.piece(lblk, most)?;
        let count = count.min(most);
        if let (Some(overlay), State::Mapped(place)) = (&self.0.fs.overlay, backing.state()) {
            let first = place >> self.0.fs.sb.block_bits;
            if overlay.keys().any(|&block| block.wrapping_sub(first) < count) {
                let what = "reading content that is in a journal: a mount for writing replays it";
                return Err(Unsupported::Operation(what).into());
            }
        }
        Ok((backing, count))
    }

    /// Tells whether nothing is behind any logical block of `range`.
    ///
    /// # Errors
    /// The map contradicts itself.
    pub(super) fn is_hole(self, range: Range<u32>) -> Result<bool> {
        let (mut next, end) = (u64::from(range.start), u64::from(range.end));
        while next < end {
            match self.piece(next, end - next)? {
                (Backing::HOLE, count) => next += count,
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Returns the block of metadata behind logical block `lblk`; `None` for a hole.
    pub(super) fn metadata(self, lblk: u64) -> Result<Option<u64>> {
        let (backing, _) = self.piece(lblk, 1)?;
        Ok(backing.place().map(|place| place >> self.0.fs.sb.block_bits))
    }

    fn piece(self, lblk: u64, most: u64) -> Result<Piece> {
        match self.0.has(EXTENTS_FL) {
            true => self.look_in_extents(lblk, most),
            false => self.look_in_tables(lblk, most),
        }
    }

    // -- Extents

    /// Where the blocks of its tree, and of its content, may be.
    fn allowed(self) -> AllowedBlocks<impl Fn(u64, u32) -> bool> {
        let sb = &self.0.fs.sb;
        AllowedBlocks {
            blocks: sb.first_data_block.into()..sb.blocks_count,
            may_be_a_files: move |block, len: u32| self.0.fs.may_be_a_files(self.0.ino, block, len.into()),
        }
    }

    /// Opens a block of its tree.
    fn node(self, child: &ExtentBlock) -> Result<ExtentNode<MetaBlock<'a, P>>> {
        let (inode, what) = (self.0, "extent block");
        let (fs, bits) = (&inode.fs, inode.fs.sb.block_bits);
        let block = fs.meta(child.block, what, child.block)?;
        fs.check_once(child.block, inode.ino, || {
            extents::check_block(child, &*block, 1 << bits, inode.seed, &self.allowed())
        })?;
        child.open(block, 0, 1 << bits)
    }

    /// Checks the root of its tree, once. The block map lock is held.
    #[inline]
    fn check_root(self, root: &ExtentNode<&BlockBuffer>) -> Result<()> {
        if !self.0.is_root_checked.load(Relaxed) {
            root.check(&self.allowed())?;
            self.0.is_root_checked.store(true, Relaxed);
        }
        Ok(())
    }

    /// Returns what is behind logical block `lblk` in the tree of extents.
    fn find(self, lblk: u32) -> Result<ExtentOrHole> {
        let inode = self.0;
        let _shared = inode.map_lock.read();
        let root = ExtentNode::root(inode.bytes(), I_BLOCK, inode.ino)?;
        self.check_root(&root)?;
        extent::look_up(&root, lblk, &self.allowed(), &mut |child| self.node(child))
    }

    fn look_in_extents(self, lblk: u64, most: u64) -> Result<Piece> {
        let Ok(lblk) = u32::try_from(lblk) else { return Ok((Backing::HOLE, most)) };
        Ok(match self.find(lblk)? {
            ExtentOrHole::Hole { len, .. } => (Backing::HOLE, len.into()),
            ExtentOrHole::Extent(extent) => {
                let skip = lblk - extent.lblk;
                (self.backing(&extent).after(self.0.fs.sb.byte(skip.into())), (extent.len - skip).into())
            }
        })
    }

    fn backing(self, extent: &DiskExtent) -> Backing {
        let place = self.0.fs.sb.byte(extent.block);
        if extent.unwritten { Backing::unwritten(place) } else { Backing::mapped(place) }
    }

    // -- Tables of pointers

    fn look_in_tables(self, lblk: u64, most: u64) -> Result<Piece> {
        let (inode, fs) = (self.0, &self.0.fs);
        let reach = &fs.reach;
        let Some(path) = reach.path(lblk) else { return Ok((Backing::HOLE, most)) };
        let mut pointer = inode.bytes().load_u32(inode.raw().slot(path.slots[0].into()));
        let mut table = None;
        for level in 1..=path.depth {
            if pointer == 0 {
                // All that is below the pointer is missing.
                let into = (level..=path.depth)
                    .map(|below| u64::from(path.slots[below]) * reach.span(path.depth - below))
                    .sum::<u64>();
                return Ok((Backing::HOLE, reach.span(path.depth + 1 - level) - into));
            }
            let block = self.pointed_to(pointer)?;
            let entries = table.insert(fs.meta(block, "inode", inode.ino.into())?);
            pointer = entries.load_u32(4 * u64::from(path.slots[level]));
        }
        let slot = u64::from(path.slots[path.depth]);
        let after = |count: u64| match &table {
            Some(table) => table.load_u32(4 * (slot + count)),
            None => inode.bytes().load_u32(inode.raw().slot(slot + count)),
        };
        let most = most.min(reach.left_in_table(&path));
        let mut count = 1;
        if pointer == 0 {
            while count < most && after(count) == 0 {
                count += 1;
            }
            return Ok((Backing::HOLE, count));
        }
        let first = self.pointed_to(pointer)?;
        while count < most
            && u64::from(after(count)) == first + count
            && fs.sb.holds(first, count + 1)
            && fs.may_be_a_files(inode.ino, first + count, 1)
        {
            count += 1;
        }
        Ok((Backing::mapped(fs.sb.byte(first)), count))
    }

    /// Returns the block that `pointer`, which is not 0, leads to.
    fn pointed_to(self, pointer: u32) -> Result<u64> {
        let (fs, block) = (&self.0.fs, u64::from(pointer));
        if !fs.sb.holds(block, 1) {
            return Err(bad_inode(self.0.ino, "a pointer leads out of the file system", block));
        }
        if !fs.may_be_a_files(self.0.ino, block, 1) {
            return Err(bad_inode(self.0.ino, "a pointer leads to the file system's own structures", block));
        }
        Ok(block)
    }

    // -- Lists

    /// Calls `f` with each run and hole of the logical blocks `range`, in order.
    ///
    /// # Errors
    /// The map contradicts itself; it has more pieces than the file system has blocks for them: tables lead
    /// to each other.
    pub(super) fn extents(
        self,
        range: Range<u64>,
        f: &mut dyn FnMut(Extent) -> ControlFlow<()>,
    ) -> Result<()> {
        let (bits, mut joiner, mut next) = (self.0.fs.sb.block_bits, Joiner::new(f), range.start);
        // Between two blocks there is a hole at most, and in front of the first, and behind every table.
        let mut left = self.0.fs.sb.blocks_count.saturating_mul(2).saturating_add(2);
        while next < range.end {
            left =
                left.checked_sub(1).ok_or_else(|| self.0.corrupt("tables that lead to each other", next))?;
            let (backing, count) = self.look(next, range.end - next)?;
            let extent = Extent { offset: next << bits, len: count << bits, backing };
            if joiner.add(extent).is_break() {
                return Ok(());
            }
            next += count;
        }
        joiner.finish();
        Ok(())
    }
}
