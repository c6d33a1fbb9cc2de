//! Which parts of a file lie where: runs of neighbouring blocks, and holes, for fiemap and lseek.
//!
//! What is absent is skipped by whole subtrees, so a sparse file costs what is there.

use super::BlockMap;
use crate::error::Result;
use crate::platform::Platform;
use crate::vfs::{Backing, Extent, Joiner};
use core::ops::{ControlFlow, Range};

impl<P: Platform> BlockMap<'_, P> {
    /// Calls `f` with each run and hole of the logical blocks `range`, in order.
    pub(in crate::ext2) fn extents(
        self,
        range: Range<u64>,
        f: &mut dyn FnMut(Extent) -> ControlFlow<()>,
    ) -> Result<()> {
        let bits = self.fs.sb.block_bits;
        let piece = |lblks: Range<u64>, backing| Extent {
            offset: lblks.start << bits,
            len: lblks.end.saturating_sub(lblks.start) << bits,
            backing,
        };
        let (mut joiner, mut cursor) = (Joiner::new(f), self.cursor(range.clone()));
        let mut next = range.start;
        while let Some(run) = cursor.next_run()? {
            let (hole, end) = (next..run.lblk, run.lblk + u64::from(run.count));
            let mapped = piece(run.lblk..end, Backing::mapped(self.fs.byte(run.block)));
            next = end;
            if joiner.add(piece(hole, Backing::HOLE)).is_break() || joiner.add(mapped).is_break() {
                return Ok(());
            }
        }
        if joiner.add(piece(next..range.end, Backing::HOLE)).is_continue() {
            joiner.finish();
        }
        Ok(())
    }

    /// Finds the first block that logical blocks `range` have, and which of them has it.
    pub(in crate::ext2) fn first_block_in(self, range: Range<u64>) -> Result<Option<(u64, u32)>> {
        if range.is_empty() {
            return Ok(None);
        }
        Ok(self.cursor(range).next_data()?.map(|at| (at.lblk, at.block)))
    }
}
