//! A range taken out of the middle of a file, or a hole put in: what is behind it moves. All of it is one
//! operation, for in between the content is torn.

use super::super::disk::extent::{self, ALL, ExtentNode};
use super::super::extents::TreeCredits;
use super::super::operation::Ext4Operation;
use super::BlockMap;
use super::grow::SIZE_CREDITS;
use crate::error::{Errno, Error, Result, Unsupported};
use crate::ext::layout::I_BLOCK;
use crate::platform::Platform;
use core::ops::Range;

impl<'a, P: Platform> BlockMap<'a, P> {
    /// Begins the operation in which everything from logical block `first` on moves, and the blocks `removed`
    /// go. Looks at every extent there: what follows meets no contradiction.
    ///
    /// # Errors
    /// Unsupported: there are more than a transaction has room for. A block contradicts itself or cannot be
    /// read; the journal was given up.
    pub(in crate::ext4) fn begin_shift(
        self,
        first: u32,
        removed: Range<u32>,
    ) -> Result<Ext4Operation<'a, P>> {
        self.expect_extents()?;
        let (inode, mut nodes, mut freed) = (self.0, 0_u32, 0_u32);
        {
            let _shared = inode.map_lock.read();
            let root = ExtentNode::root(inode.bytes(), I_BLOCK, inode.ino)?;
            self.check_root(&root)?;
            let mut node = |child: &_| {
                nodes += 1;
                self.node(child)
            };
            extent::walk(&root, &(first..ALL.end), &self.allowed(), &mut node, &mut |extent| {
                freed += u32::from(extent.lblk < removed.end);
                Ok(())
            })?;
        }
        // A node that changes may also go: it is freed as an extent is.
        let tree = TreeCredits::of_removal(self.depth()).blocks().saturating_add(nodes);
        let freed = self.credits_to_free(freed.saturating_add(nodes));
        let credits = tree.saturating_add(freed).saturating_add(SIZE_CREDITS);
        inode.fs.begin(credits).map_err(|error| match error {
            Error::Op(Errno::Overflow) => {
                Unsupported::Operation("moving more extents than a transaction has room for").into()
            }
            error => error,
        })
    }

    /// Takes the logical blocks `range` out; what is behind them moves in their place.
    ///
    /// # Errors
    /// No space for a block of the tree: nothing was changed. What else there is has the journal given up.
    pub(in crate::ext4) fn collapse(self, op: &Ext4Operation<'_, P>, range: &Range<u32>) -> Result<()> {
        let by = range.end - range.start;
        self.edit_tree(op, |tree| {
            let left = tree.remove(range, u16::MAX)?;
            self.or_give_up(|| {
                let mut left = left;
                while let Some(range) = left {
                    left = tree.remove(&range, u16::MAX)?;
                }
                let mut left = Some(range.end..ALL.end);
                while let Some(range) = left {
                    left = tree.shift_down(&range, by)?;
                }
                Ok(())
            })
        })
    }

    /// Puts a hole at the logical blocks `range`; what is there moves behind it.
    ///
    /// # Errors
    /// [`Errno::FileTooBig`], no space for a block of the tree: nothing was changed. What else there is has
    /// the journal given up.
    pub(in crate::ext4) fn insert_hole(self, op: &Ext4Operation<'_, P>, range: &Range<u32>) -> Result<()> {
        let by = range.end - range.start;
        self.edit_tree(op, |tree| {
            tree.make_room(range.start, by)?;
            self.or_give_up(|| {
                let mut left = Some(range.start..ALL.end);
                while let Some(range) = left {
                    left = tree.shift_up(&range, by)?;
                }
                Ok(())
            })
        })
    }

    /// Does what must not be left half done: an error is the journal's end.
    fn or_give_up(self, steps: impl FnOnce() -> Result<()>) -> Result<()> {
        steps().inspect_err(|&error| {
            if let Ok(journal) = self.0.fs.written_journal() {
                journal.abort(error);
            }
        })
    }
}
