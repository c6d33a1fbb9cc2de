//! Changing a file's size.
//!
//! Shrinking: no address space shows what is beyond; then, in one operation, or several with the inode among
//! the orphans in between, the size and the blocks. A crash shows the old size or the new one; the rest of
//! the last block may read as zeros with the old one, too.
//!
//! # Locking
//! Takes the inode lock and the invalidate lock exclusively.

use super::RegularFile;
use crate::error::{Errno, Result};
use crate::ext4::map::{SIZE_CREDITS, Unfinished};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{AllocOk, ChangeOk};

impl<P: Platform> RegularFile<'_, P> {
    /// Sets the size.
    pub(in crate::ext4) fn set_size(self, size: u64) -> Result<()> {
        let (fs, lab) = (&self.fs, self.fs.platform.lab());
        if size > self.max_size() {
            fs.check_writable()?;
            return Err(Errno::FileTooBig.into());
        }
        self.expect_changeable()?;
        // What is beyond the new size may be in use by a transfer.
        let gone = size.div_ceil(fs.sb.block_size())..u64::MAX;
        if mistake!(lab, UnmapBeforeLock) {
            let exclusive = self.mapping.exclusive();
            self.mapping.unmap(&fs.platform, exclusive.alloc_ok(), gone.clone());
        }
        let begin = || Ok((fs.start_change()?, self.lock.exclusive()));
        let (begun, exclusive) = self.mapping.exclusive_unpinned(&fs.platform, gone, begin)?;
        let result = self.resize(begun.1.change_ok(), exclusive.alloc_ok(), size);
        self.touch_content();
        result
    }

    fn resize(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, size: u64) -> Result<()> {
        let (old, pmem) = (self.mapping.size(), self.fs.platform.pmem());
        if size > old {
            self.trim(old)?;
            self.zero_gap(old, size)?;
            pmem.fence();
            let op = self.fs.begin(SIZE_CREDITS)?;
            return self.store_size(lock, &op, size);
        }
        let first = size.div_ceil(self.fs.sb.block_size()) as u32;
        // Something may be beyond an end that stays, too.
        if size == old && self.map().is_hole(first..u32::MAX)? {
            return Ok(());
        }
        self.map().expect_extents()?;
        // 1. No address space shows what is beyond, nor bytes of the last block that are not the file's.
        if !mistake!(self.fs.platform.lab(), UnmapBeforeLock) {
            let copies = !mistake!(self.fs.platform.lab(), TruncateKeepsCopies);
            self.mapping.take_out(&self.fs.platform, ok, first.into()..u64::MAX, copies);
        }
        self.zero_gap(size, self.fs.sb.byte(first.into()))?;
        pmem.fence();
        // 2. The size, and what is beyond.
        let op = self.fs.begin(self.map().credits_to_remove() + SIZE_CREDITS)?;
        self.store_size(lock, &op, size)?;
        self.map().remove(op, first..u32::MAX, Unfinished::BeyondEnd, 0).map(drop)
    }

    /// Frees, before the file becomes longer than `size`, what a truncation that failed may have left beyond:
    /// it would appear in the file. Where no error was met, there is none.
    ///
    /// # Errors
    /// What lies there contradicts itself: the file must not become longer.
    pub(super) fn trim(self, size: u64) -> Result<()> {
        if !self.fs.met_errors() {
            return Ok(());
        }
        let first = size.div_ceil(self.fs.sb.block_size()) as u32;
        let op = self.fs.begin(self.map().credits_to_remove())?;
        self.map().remove(op, first..u32::MAX, Unfinished::Sound, 0).map(drop)
    }
}
