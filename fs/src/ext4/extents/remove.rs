//! A range taken out: truncation, holes punched.
//!
//! ```text
//! remove 10..70, 2 at a time    A [0+8 |8+4 |20+9] B [40+8 |50+9 |60+20]
//! first step                    A [0+8 |8+4 |20+9] B [40+8 |70+10]            50..59, 60..70 freed
//! second                        A [0+8 |8+4 |20+9] B [70+10]                  40..48
//! third                         A [0+8 |8+2]       B [70+10]                  10..12, 20..29
//! ```
//!
//! It goes from the end to the start, so that what is left to do is always a range, and a file that is cut
//! off loses its last leaf first. Before the next step, content is freed that nothing leads to.

use super::super::disk::extent::*;
use super::super::edit::Change;
use super::ExtentTree;
use super::splice::Splice;
use crate::error::Result;
use alloc::vec::Vec;
use core::ops::Range;

impl<C: Change, F: Fn(u64, u32) -> bool> ExtentTree<'_, C, F> {
    /// Takes the last of the logical blocks `range`, which is not empty, out of the tree and frees what was
    /// behind them: at most `most` extents, at least one, of one leaf. Returns what is left to do.
    ///
    /// # Errors
    /// No space for a block of the tree, where the middle of an extent goes; a block contradicts itself or
    /// cannot be read. Nothing was changed.
    pub(crate) fn remove(&self, range: &Range<u32>, most: u16) -> Result<Option<Range<u32>>> {
        let path = self.path(range.end - 1)?;
        let (leaf, end) = (&path.leaf.node, path.leaf.slot);
        if end == 0 {
            return Ok(None);
        }
        let (mut start, mut cut, mut before, mut after) = (end, Vec::new(), None, None);
        while start > 0 && end - start < most {
            let extent = leaf.extent(start - 1, self.allowed)?;
            let Some(part) = extent.part(range.clone()) else { break };
            cut.push(part);
            before = extent.part(0..range.start);
            after = after.or_else(|| extent.part(range.end..ALL.end));
            start -= 1;
        }
        let is_through = start > 0 && end - start < most;
        let next = if is_through { range.start } else { leaf.begin(start) };
        if !cut.is_empty() {
            self.splice(&path, &Splice::of_extents(start..end, [before, after, None]))?;
            cut.iter().for_each(|part| self.change.free_data(part.block, part.len));
            self.fold();
        }
        Ok((next > range.start).then_some(range.start..next))
    }
}
