//! Holes filled, and what is unwritten made written, or the reverse.
//!
//! ```text
//! insert 12+4    [8+4 →108] [20+4 →200]      112 follows 111: joined    [8+8 →108] [20+4 →200]
//!                                            else                       [8+4] [12+4] [20+4]
//! convert 10..12 of unwritten [8+8]          whole, left, right,
//!                                            or in the middle           u[8+2] w[10+2] u[12+4]
//! ```

use super::super::disk::extent::*;
use super::super::edit::Change;
use super::ExtentTree;
use super::path::TreePath;
use super::splice::Splice;
use crate::error::{Errno, Result};
use core::ops::Range;

impl<C: Change, F: Fn(u64, u32) -> bool> ExtentTree<'_, C, F> {
    /// Puts `run` into a hole: joined with its neighbours in the leaf where that gives one extent.
    ///
    /// # Errors
    /// [`Errno::Invalid`]: it has no blocks, or more than [`DiskExtent::most`]. [`Errno::Exists`]: there is
    /// no hole. [`Errno::FileTooBig`]: there can be no such blocks, or no level more. No space for a block of
    /// the tree; a block contradicts itself or cannot be read. Nothing was changed.
    pub(crate) fn insert(&self, run: DiskExtent) -> Result<()> {
        if run.len == 0 || run.len > DiskExtent::most(run.unwritten) {
            return Err(Errno::Invalid.into());
        }
        let end = run.lblk.checked_add(run.len).ok_or(Errno::FileTooBig)?;
        let path = self.path(run.lblk)?;
        let (leaf, slot) = (&path.leaf.node, path.leaf.slot);
        if leaf.begin(slot) < end || slot > 0 && leaf.extent(slot - 1, self.allowed)?.end() > run.lblk {
            return Err(Errno::Exists.into());
        }
        self.replace(&path, slot..slot, [None, Some(run), None])
    }

    /// Makes the first blocks of `range`, which is not empty, unwritten or written, as far as they lie in one
    /// extent; holes, and what is so already, stay as they are. Returns the logical block up to which all is
    /// done.
    ///
    /// # Errors
    /// No space for a block of the tree, where a part of an extent becomes one; a block contradicts itself or
    /// cannot be read. Nothing was changed.
    pub(crate) fn convert(&self, range: &Range<u32>, unwritten: bool) -> Result<u32> {
        let path = self.path(range.start)?;
        let (leaf, mut slot) = (&path.leaf.node, path.leaf.slot);
        if slot > 0 && leaf.extent(slot - 1, self.allowed)?.end() > range.start {
            slot -= 1;
        }
        if leaf.begin(slot) >= range.end || slot == leaf.entries() {
            return Ok(leaf.begin(slot).min(range.end));
        }
        let extent = leaf.extent(slot, self.allowed)?;
        let start = extent.lblk.max(range.start);
        let most = start.saturating_add(DiskExtent::most(unwritten));
        let end = extent.end().min(range.end);
        if extent.unwritten == unwritten {
            return Ok(end);
        }
        let end = end.min(most);
        let part = extent.part(start..end).map(|part| DiskExtent { unwritten, ..part });
        let pieces = [extent.part(0..start), part, extent.part(end..ALL.end)];
        self.replace(&path, slot..slot + 1, pieces)?;
        Ok(end)
    }

    /// Replaces the extents `slots` of a leaf by `pieces`. One that is the first, or the last, is joined with
    /// its neighbour where that gives one extent.
    fn replace(
        &self,
        path: &TreePath<'_, C::Read>,
        mut slots: Range<u16>,
        mut pieces: [Option<DiskExtent>; 3],
    ) -> Result<()> {
        let leaf = &path.leaf.node;
        if let [None, Some(piece), _] = &mut pieces
            && slots.start > 0
            && let Some(joined) = leaf.extent(slots.start - 1, self.allowed)?.joined(piece)
        {
            *piece = joined;
            slots.start -= 1;
        }
        if let [_, Some(piece), None] = &mut pieces
            && slots.end < leaf.entries()
            && let Some(joined) = piece.joined(&leaf.extent(slots.end, self.allowed)?)
        {
            *piece = joined;
            slots.end += 1;
        }
        self.splice(path, &Splice::of_extents(slots, pieces))
    }
}
