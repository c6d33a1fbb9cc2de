//! Blocks taken out of a file: truncation, holes punched, a file's end. Large ones take several operations.
//!
//! No address space shows them any more, and nothing is known of their pages
//! ([`Mapping::forget`](crate::vfs::Mapping::forget)). They are used again when the operation is durable.

use super::super::disk::extent::MAX_WRITTEN;
use super::super::extents::TreeCredits;
use super::super::names::death::ORPHAN;
use super::super::operation::Ext4Operation;
use super::BlockMap;
use super::grow::GROUP_CREDITS;
use crate::error::Result;
use crate::platform::Platform;
use crate::vfs::FileKind;
use core::ops::Range;

/// Extents that go in one step,
const STEP: u16 = 16;
/// and blocks that were written through the journal, which has to know of each.
const JOURNALLED: u32 = 64;
/// With many small groups, what it takes to free the longest extents would be more than the smallest log has
/// room for. Such extents are not there; and a transaction may get twice as long as it is meant to be.
const MOST_FREED: u32 = 128;

/// What else is to be said where a file's blocks go in more than one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::ext4) enum Unfinished {
    /// Nothing: what is left is a file, or an orphan already.
    Sound,
    /// Blocks are left beyond its end: it is an orphan until they are gone.
    BeyondEnd,
}

impl<'a, P: Platform> BlockMap<'a, P> {
    /// Returns how many blocks of metadata an operation may change that [`remove`](Self::remove) begins with.
    pub(in crate::ext4) fn credits_to_remove(self) -> u32 {
        let tree = TreeCredits::of_removal(self.depth());
        tree.blocks() + self.credits_to_free(STEP.into()).min(MOST_FREED) + ORPHAN + 1
    }

    /// Returns how many blocks change at most when `extents` are freed.
    pub(super) fn credits_to_free(self, extents: u32) -> u32 {
        let sb = &self.0.fs.sb;
        let each = 2 + MAX_WRITTEN / sb.blocks_per_group;
        extents.saturating_mul(each).min(sb.group_count).saturating_mul(GROUP_CREDITS)
    }

    /// Takes the logical blocks `range` out, from the end to the start, and frees what was behind them.
    /// Returns the operation that is open when it is done, `op` or another; if that is another, it may change
    /// `last` blocks more.
    ///
    /// # Errors
    /// No space for a block of the tree, where the middle of an extent goes; a block contradicts itself or
    /// cannot be read; the journal was given up. What is behind the place where that was is gone.
    pub(in crate::ext4) fn remove(
        self,
        mut op: Ext4Operation<'a, P>,
        range: Range<u32>,
        unfinished: Unfinished,
        last: u32,
    ) -> Result<Ext4Operation<'a, P>> {
        let (inode, mut is_orphan) = (self.0, false);
        let mut left = (!range.is_empty()).then_some(range);
        while let Some(range) = left {
            let now = match inode.kind {
                FileKind::File => range.clone(),
                _ => range.start.max(range.end.saturating_sub(JOURNALLED))..range.end,
            };
            let end = self.edit_tree(&op, |tree| tree.remove(&now, STEP))?.map_or(now.start, |left| left.end);
            left = (end > range.start).then_some(range.start..end);
            let credits = self.credits_to_remove();
            if left.is_some() && !op.extend(credits) {
                if unfinished == Unfinished::BeyondEnd && !is_orphan {
                    inode.add_orphan(&op)?;
                    is_orphan = true;
                }
                drop(op);
                op = inode.fs.begin(credits + last)?;
            }
        }
        if is_orphan {
            inode.remove_orphan(&op)?;
        }
        Ok(op)
    }
}
