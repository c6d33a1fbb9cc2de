//! What is behind a range moved in front of it (collapse), or a range made where there was none (insert).
//!
//! ```text
//!                                 A [0+20 |30+5 ] B [40+8 |50+9 ]
//! shift_down 30.., by 10          A [0+20 |20+5 ] B [40+8 |50+9 ]     the lowest leaf first
//!                                 A [0+20 |20+5 ] B [30+8 |40+9 ]
//!
//! make_room 10, by 10             A [0+10 |10+10 |30+5 ] B [40+8 |50+9 ]     the step that may lack space
//! shift_up 10.., by 10            A [0+10 |10+10 |30+5 ] B [50+8 |60+9 ]     the highest leaf first
//!                                 A [0+10 |20+10 |40+5 ] B [50+8 |60+9 ]
//! ```
//!
//! Between two steps the tree is sound, but the file's content is torn: some of it has moved. Where a crash
//! may not show that, all steps are one transaction's.

use super::super::disk::extent::*;
use super::super::edit::Change;
use super::ExtentTree;
use super::splice::Splice;
use crate::error::{Errno, Result};
use core::ops::Range;

impl<C: Change, F: Fn(u64, u32) -> bool> ExtentTree<'_, C, F> {
    /// Moves the extents of one leaf in `range`, which goes up to the last block that there can be, down by
    /// `by` blocks, at least 1: those of `range` from its start on. In front of it are at least so many
    /// blocks of a hole. The first is joined with the extent in front of it where that gives one. Returns
    /// what is left to do.
    ///
    /// # Errors
    /// [`Errno::Exists`]: in front of it is no such hole. A block contradicts itself or cannot be read.
    /// Nothing was changed.
    pub(crate) fn shift_down(&self, range: &Range<u32>, by: u32) -> Result<Option<Range<u32>>> {
        let hole = range.start.checked_sub(by).ok_or(Errno::Exists)?;
        let path = self.path(range.start)?;
        let leaf = &path.leaf.node;
        let (first, entries) = (leaf.entries_up_to(range.start.saturating_sub(1)), leaf.entries());
        let next = leaf.begin(entries);
        if first < entries {
            let extent = leaf.extent(first, self.allowed)?;
            let mut moved = DiskExtent { lblk: extent.lblk - by, ..extent };
            let mut slots = first..first + 1;
            if first > 0 {
                let before = leaf.extent(first - 1, self.allowed)?;
                if before.end() > hole {
                    return Err(Errno::Exists.into());
                }
                if let Some(joined) = before.joined(&moved) {
                    moved = joined;
                    slots.start -= 1;
                }
            }
            let splice = Splice::of_extents(slots, [Some(moved), None, None]);
            self.splice(&path, &splice.shifting(by.wrapping_neg()))?;
            self.fold();
        }
        Ok((next < range.end).then_some(next..range.end))
    }

    /// Sees to it that no extent lies across logical block `lblk`, and that what begins there or behind it
    /// can be shifted up by `by` blocks.
    ///
    /// # Errors
    /// [`Errno::FileTooBig`]: that would go beyond the last block that there can be. No space for a block of
    /// the tree; a block contradicts itself or cannot be read. Nothing was changed.
    pub(crate) fn make_room(&self, lblk: u32, by: u32) -> Result<()> {
        let last = self.path(ALL.end - 1)?.leaf;
        if let Some(i) = last.slot.checked_sub(1) {
            let end = last.node.extent(i, self.allowed)?.end();
            end.checked_add(by).ok_or(Errno::FileTooBig)?;
        }
        let path = self.path(lblk)?;
        let Some(i) = path.leaf.slot.checked_sub(1) else { return Ok(()) };
        let extent = path.leaf.node.extent(i, self.allowed)?;
        match [extent.part(0..lblk), extent.part(lblk..ALL.end)] {
            [before @ Some(_), after @ Some(_)] => {
                self.splice(&path, &Splice::of_extents(i..i + 1, [before, after, None]))
            }
            _ => Ok(()),
        }
    }

    /// Moves the extents of one leaf in `range`, which is not empty, up by `by` blocks: the last of them. No
    /// extent lies across its start, and behind it are at least so many blocks of a hole; at first it goes up
    /// to the last block that there can be. Returns what is left to do.
    ///
    /// # Errors
    /// [`Errno::Exists`]: behind it is no such hole. A block contradicts itself or cannot be read. Nothing
    /// was changed.
    pub(crate) fn shift_up(&self, range: &Range<u32>, by: u32) -> Result<Option<Range<u32>>> {
        let path = self.path(range.end - 1)?;
        let (leaf, end) = (&path.leaf.node, path.leaf.slot);
        let start = match range.start.checked_sub(1) {
            Some(before) => leaf.entries_up_to(before),
            None => 0,
        };
        if start >= end {
            return Ok(None);
        }
        let last = leaf.extent(end - 1, self.allowed)?.end();
        if end < leaf.entries() || last.checked_add(by).is_none_or(|last| last > leaf.begin(end)) {
            return Err(Errno::Exists.into());
        }
        let next = leaf.begin(start);
        self.splice(&path, &Splice::of_extents(start..start, [None; 3]).shifting(by))?;
        Ok((start == 0 && next > range.start).then_some(range.start..next))
    }
}
