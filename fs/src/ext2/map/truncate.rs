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
//! Under the inode lock and the invalidate lock, both held exclusively (or the inode is nobody's any more);
//! takes group mutexes.

use super::geometry::DIRECT;
use crate::error::{Errno, Result};
use crate::ext2::disk::inode::{CTIME, MTIME};
use crate::ext2::disk::layout::*;
use crate::ext2::facts::Nameless;
use crate::ext2::inode::Inode;
use crate::lab::Mutant;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged};
use crate::vfs::{AllocOk, FileKind};
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> Inode<P> {
    /// Sets the size of a regular file.
    pub(in crate::ext2) fn set_size(&self, size: u64) -> Result<()> {
        self.expect_file()?;
        if size > self.fs.max_file_size() {
            self.fs.check_writable()?;
            return Err(Errno::FileTooBig.into());
        }
        // What is beyond the new size may be in use by a transfer.
        let gone = size.div_ceil(self.fs.block_size())..u64::MAX;
        if self.has(Mutant::UnmapBeforeLock) {
            let exclusive = self.mapping.exclusive();
            self.mapping.unmap(&self.fs.platform, exclusive.alloc_ok(), gone.clone());
        }
        let begin = || Ok((self.fs.start_change()?, self.lock.exclusive()));
        let (_begun, exclusive) = self.mapping.exclusive_unpinned(&self.fs.platform, gone, begin)?;
        let result = self.resize(exclusive.alloc_ok(), size);
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        self.pmem().fence();
        result
    }

    fn resize(&self, ok: AllocOk<'_>, size: u64) -> Result<()> {
        let old = self.load_size();
        if size > old {
            self.map().trim(old)?;
            self.zero_gap(old, size)?;
            self.pmem().fence();
            self.store_size(size)
        } else if size < old {
            self.shrink(ok, old, size)
        } else if self.beyond.load(Relaxed) {
            self.map().cut(size.div_ceil(self.fs.block_size()))
        } else {
            Ok(())
        }
    }

    fn shrink(&self, ok: AllocOk<'_>, old: u64, size: u64) -> Result<()> {
        let [first, end] = [size, old].map(|size| size.div_ceil(self.fs.block_size()));
        // 1. The size, durable.
        self.store_size(size)?;
        self.pmem().fence();
        // 2. No address space shows what is beyond, nor bytes of the last block that are not the file's.
        if self.has(Mutant::FreeBeforeUnmap) {
            self.map().cut(first)?;
        }
        if !self.has(Mutant::UnmapBeforeLock) {
            let copies = !self.has(Mutant::TruncateKeepsCopies);
            self.mapping.take_out(&self.fs.platform, ok, first..u64::MAX, copies);
        }
        self.zero_gap(size, first * self.fs.block_size())?;
        // 3 and 4. Beyond the old end is nothing, but for what was put there on purpose or left by an error.
        if self.beyond.load(Relaxed) || !self.fs.is_sound() {
            self.map().cut(first)
        } else {
            // What hangs below an indirect block as a whole goes with one pointer.
            self.map().cut_range(first..if end > DIRECT { u64::MAX } else { end })
        }
    }

    /// Whether a mistake is to be made.
    #[inline]
    pub(in crate::ext2) fn has(&self, mutant: Mutant) -> bool {
        self.fs.platform.lab().has(mutant)
    }

    /// Frees the inode and all that it holds: it has durably no name, and no handle any more.
    pub(in crate::ext2) fn release(&self, nameless: Staged<Nameless, Clean>) -> Result<()> {
        let pmem = self.pmem();
        // 1. Its blocks.
        let has_blocks = matches!(self.kind, FileKind::File | FileKind::Directory | FileKind::Symlink);
        let in_place = self.kind == FileKind::Symlink && self.raw().is_fast_symlink(self.fs.block_size());
        if has_blocks && !in_place && self.has_pointers() {
            self.store_size(0)?;
            self.map().cut(0)?;
        }
        // 2. Its share of an attribute block.
        self.release_xattrs()?;
        // 3. The inode. A pointer that is gone is so durably: what was freed came after.
        self.fs.free_inode(self.ino, self.kind, nameless)?;
        pmem.fence();
        Ok(())
    }

    /// False if `i_block` is all zeros.
    fn has_pointers(&self) -> bool {
        let from = self.raw().slot(0);
        let words = I_BLOCK_BYTES / 8;
        (0..words).any(|word| self.pmem().load_u64(from + word * 8) != 0)
            || self.pmem().load_u32(from + words * 8) != 0
    }
}
