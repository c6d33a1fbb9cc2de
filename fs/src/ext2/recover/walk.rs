//! The block map of an inode as a repair looks at it: each pointer before what is below it, up to an end.

use crate::error::Result;
use crate::ext::inode::{RawInode, bad_inode};
use crate::ext2::fs::Ext2;
use crate::ext2::map::cursor::{Cursor, CursorStep, Pointer};
use crate::platform::Platform;

/// A walk through a block map.
pub(super) struct TreeWalk<'a, P: Platform> {
    fs: &'a Ext2<P>,
    ino: u32,
    cursor: Cursor<'a, P>,
    /// Logical blocks from this one on are beyond the end.
    end: u64,
    /// The pointer to a table that it is at.
    table: Option<Pointer>,
}

impl<'a, P: Platform> TreeWalk<'a, P> {
    /// Makes a walk through the block map of `raw`, whose logical blocks from `end` on are beyond its end.
    pub(super) fn new(fs: &'a Ext2<P>, raw: RawInode<'a, P::Pmem>, end: u64) -> Self {
        Self { fs, ino: raw.ino, cursor: Cursor::new(fs, raw, 0..u64::MAX), end, table: None }
    }

    /// Goes to the next pointer that is not empty. Below one that is beyond the end it does not look, nor at
    /// where that leads.
    pub(super) fn next(&mut self) -> Result<Option<Pointer>> {
        if let Some(table) = self.table.take() {
            self.cursor.enter(table)?;
        }
        let at = loop {
            match self.cursor.next() {
                Some(CursorStep::Down(at)) => break at,
                Some(CursorStep::Up(_)) => {}
                None => return Ok(None),
            }
        };
        if at.lblk < self.end {
            if !(self.fs.sb.first_data_block..self.fs.sb.blocks_count).contains(&at.block) {
                return Err(bad_inode(self.ino, "block pointer out of range", at.block.into()));
            }
            self.table = (at.height > 0).then_some(at);
        }
        Ok(Some(at))
    }
}
