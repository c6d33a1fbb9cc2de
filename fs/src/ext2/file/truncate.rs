//! Changing a file's size.
//!
//! Shrinking goes from the outside in, so that a crash leaks blocks at worst:
//!
//! 1. the size, durable: nothing beyond it is the file's;
//! 2. every mapping of what is beyond goes;
//! 3. the pointers, durable;
//! 4. the bitmap bits.
//!
//! Growing starts with a look beyond the end where a crash may have left something: `BlockMap::trim`.
//!
//! # Locking
//! Takes the inode lock and the invalidate lock exclusively; group mutexes below.

use super::RegularFile;
use crate::error::{Errno, Result};
use crate::ext::inode::{CTIME, MTIME};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{AllocOk, ChangeOk};
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> RegularFile<'_, P> {
    /// Sets the size of a regular file.
    pub(in crate::ext2) fn set_size(self, size: u64) -> Result<()> {
        if size > self.fs.max_file_size() {
            self.fs.check_writable()?;
            return Err(Errno::FileTooBig.into());
        }
        // What is beyond the new size may be in use by a transfer.
        let gone = size.div_ceil(self.fs.block_size())..u64::MAX;
        if mistake!(self, UnmapBeforeLock) {
            let exclusive = self.mapping.exclusive();
            self.mapping.unmap(&self.fs.platform, exclusive.alloc_ok(), gone.clone());
        }
        let begin = || Ok((self.fs.start_change()?, self.lock.exclusive()));
        let (begun, exclusive) = self.mapping.exclusive_unpinned(&self.fs.platform, gone, begin)?;
        let result = self.resize(begun.1.change_ok(), exclusive.alloc_ok(), size);
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        self.pmem().fence();
        result
    }

    fn resize(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, size: u64) -> Result<()> {
        let old = self.load_size();
        if size > old {
            self.map().trim(lock, ok, old)?;
            self.zero_gap(lock, old, size)?;
            self.pmem().fence();
            self.store_size(lock, size)
        } else if size < old {
            self.shrink(lock, ok, old, size)
        } else if self.beyond.load(Relaxed) {
            self.map().cut(lock, ok, size.div_ceil(self.fs.block_size()))
        } else {
            Ok(())
        }
    }

    fn shrink(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, old: u64, size: u64) -> Result<()> {
        let [first, end] = [size, old].map(|size| size.div_ceil(self.fs.block_size()));
        // 1. The size, durable.
        self.store_size(lock, size)?;
        self.pmem().fence();
        // 2. No address space shows what is beyond, nor bytes of the last block that are not the file's.
        if mistake!(self, FreeBeforeUnmap) {
            self.map().cut(lock, ok, first)?;
        }
        if !mistake!(self, UnmapBeforeLock) {
            let copies = !mistake!(self, TruncateKeepsCopies);
            self.mapping.take_out(&self.fs.platform, ok, first..u64::MAX, copies);
        }
        self.zero_gap(lock, size, first * self.fs.block_size())?;
        // 3 and 4. Beyond the old end is nothing, but for what was put there on purpose or left by an error.
        if self.beyond.load(Relaxed) || !self.fs.is_sound() {
            self.map().cut(lock, ok, first)
        } else {
            self.map().cut_to(lock, ok, first, end)
        }
    }
}
