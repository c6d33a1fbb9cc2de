//! The block map of an inode, pointer by pointer. At most three levels deep, so it may call itself.

use crate::error::Result;
use crate::ext2::disk::geometry::{DIRECT, LEVELS};
use crate::ext2::disk::inode::{RawInode, bad_inode};
use crate::ext2::fs::Ext2;
use crate::platform::Platform;
use crate::pmem::Pmem;

/// One pointer that is not empty.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// To a block that belongs to logical block `lblk`, or to that one and others behind it.
    Block { block: u32, lblk: u64, is_data: bool },
    /// A pointer, at byte offset `slot`, to what is at or beyond the end. What is below it is not looked at.
    Beyond { slot: u64 },
}

/// The block map of one inode.
pub(super) struct Map<'a, P: Platform> {
    pub(super) fs: &'a Ext2<P>,
    pub(super) raw: RawInode<'a, P::Pmem>,
    /// Logical blocks from this one on are beyond the end.
    pub(super) end: u64,
}

impl<P: Platform> Map<'_, P> {
    /// The logical block after the last that has a block of data.
    pub(super) fn data_end(&self) -> Result<u64> {
        let mut end = 0;
        self.each(&mut |step| {
            if let Step::Block { lblk, is_data: true, .. } = step {
                end = lblk + 1;
            }
            Ok(())
        })?;
        Ok(end)
    }

    /// Calls `f` with each pointer that is not empty, before what is below it.
    pub(super) fn each(&self, f: &mut dyn FnMut(Step) -> Result<()>) -> Result<()> {
        let (root, reach) = (self.raw.slot(0), &self.fs.sb.reach);
        self.table(root, DIRECT, 0, 0, f)?;
        for depth in 1..=LEVELS {
            self.table(root + (DIRECT + depth as u64 - 1) * 4, 1, reach.first_lblk(depth), depth, f)?;
        }
        Ok(())
    }

    /// `count` pointers from byte offset `table` on, each with `depth` levels below, the first for logical
    /// block `base`.
    fn table(
        &self,
        table: u64,
        count: u64,
        base: u64,
        depth: usize,
        f: &mut dyn FnMut(Step) -> Result<()>,
    ) -> Result<()> {
        let (fs, span) = (self.fs, self.fs.sb.reach.span(depth));
        for index in 0..count {
            let (slot, lblk) = (table + index * 4, base + index * span);
            let block = fs.pmem().load_u32(slot);
            if block == 0 {
                continue;
            }
            if lblk >= self.end {
                f(Step::Beyond { slot })?;
                continue;
            }
            if !(fs.sb.first_data_block..fs.sb.blocks_count).contains(&block) {
                return Err(bad_inode(self.raw.ino, "block pointer out of range", block.into()));
            }
            f(Step::Block { block, lblk, is_data: depth == 0 })?;
            if depth > 0 {
                fs.expect_readable(fs.byte(block), fs.block_size(), "indirect block", block.into())?;
                self.table(fs.byte(block), fs.sb.pointers(), lblk, depth - 1, f)?;
            }
        }
        Ok(())
    }
}
