//! Changing a file's size, and freeing blocks.
//!
//! Shrinking goes from the outside in, so that a crash leaks blocks at worst:
//!
//! 1. the size, durable: nothing beyond it is the file's;
//! 2. every mapping of what is beyond goes;
//! 3. the pointers, durable;
//! 4. the bitmap bits.
//!
//! Growing starts with a look beyond the end where a crash may have left something: [`Inode::trim`].
//!
//! # Locking
//! Under the inode lock and the invalidate lock, both held exclusively (or the inode is nobody's any more);
//! takes group mutexes.

use crate::error::{Errno, Result};
use crate::ext2::disk::geometry::{DIRECT, LEVELS};
use crate::ext2::disk::inode::{CTIME, MTIME};
use crate::ext2::disk::layout::*;
use crate::ext2::facts::{Cut, Nameless};
use crate::ext2::inode::Inode;
use crate::lab::Mutant;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged};
use crate::vfs::{AllocOk, FileKind};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// Pointers cleared under one fence.
const CHUNK: usize = 64;

/// Collects neighbouring blocks, to free them together. They are counted off the inode at the end.
#[derive(Default)]
pub(in crate::ext2) struct Freed {
    first: u32,
    count: u32,
    total: u32,
}

impl Freed {
    #[inline]
    pub(in crate::ext2) fn add<P: Platform>(
        &mut self,
        inode: &Inode<P>,
        cut: &Staged<Cut, Clean>,
        block: u32,
    ) -> Result<()> {
        if self.count > 0 && block == self.first + self.count {
            self.count += 1;
            return Ok(());
        }
        self.start(inode, cut, block)
    }

    #[inline(never)]
    fn start<P: Platform>(&mut self, inode: &Inode<P>, cut: &Staged<Cut, Clean>, block: u32) -> Result<()> {
        self.flush(inode, cut)?;
        (self.first, self.count) = (block, 1);
        Ok(())
    }

    /// Frees what is collected. Each chunk's blocks are freed before the evidence for them goes.
    pub(in crate::ext2) fn flush<P: Platform>(
        &mut self,
        inode: &Inode<P>,
        cut: &Staged<Cut, Clean>,
    ) -> Result<()> {
        let count = core::mem::take(&mut self.count);
        if count > 0 {
            inode.fs.free_run(cut, self.first, count)?;
            self.total = self.total.saturating_add(count);
        }
        Ok(())
    }
}

impl<P: Platform> Inode<P> {
    /// Sets the size of a regular file.
    pub(in crate::ext2) fn set_size(&self, size: u64) -> Result<()> {
        self.expect_file()?;
        if size > self.fs.sb.max_file_size() {
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
            self.trim(old)?;
            self.zero_gap(old, size)?;
            self.pmem().fence();
            self.store_size(size)
        } else if size < old {
            self.shrink(ok, old, size)
        } else if self.beyond.load(Relaxed) {
            self.cut(size.div_ceil(self.fs.block_size()))
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
            self.cut(first)?;
        }
        if !self.has(Mutant::UnmapBeforeLock) {
            let copies = !self.has(Mutant::TruncateKeepsCopies);
            self.mapping.take_out(&self.fs.platform, ok, first..u64::MAX, copies);
        }
        self.zero_gap(size, first * self.fs.block_size())?;
        // 3 and 4. Beyond the old end is nothing, but for what was put there on purpose or left by an error.
        if self.beyond.load(Relaxed) || !self.fs.is_sound() {
            self.cut(first)
        } else {
            // What hangs below an indirect block as a whole goes with one pointer.
            self.cut_range(first..if end > DIRECT { u64::MAX } else { end })
        }
    }

    /// Whether a mistake is to be made.
    #[inline]
    pub(in crate::ext2) fn has(&self, mutant: Mutant) -> bool {
        self.fs.platform.lab().has(mutant)
    }

    /// Before the file or directory becomes longer than `size`: frees blocks beyond it, which a truncation
    /// that failed may have left. Otherwise what was cut, or never was in the file, would appear in it. Costs
    /// nothing on a file system that met no errors; else once an inode. Under the inode lock, and of a file
    /// `dax_sem`, held exclusively; durable.
    ///
    /// # Errors
    /// What lies there contradicts itself: the file must not become longer.
    pub(in crate::ext2) fn trim(&self, size: u64) -> Result<()> {
        if self.fs.is_sound() || self.trimmed.load(Relaxed) {
            return Ok(());
        }
        self.cut(size.div_ceil(self.fs.block_size()))?;
        self.trimmed.store(true, Relaxed);
        Ok(())
    }

    /// Frees every block from logical block `first` on, and indirect blocks that become empty. Under the
    /// inode lock, and of a file `dax_sem`, held exclusively.
    pub(in crate::ext2) fn cut(&self, first: u64) -> Result<()> {
        let result = self.cut_range(first..u64::MAX);
        match result {
            Ok(()) => self.beyond.store(false, Relaxed),
            Err(_) => self.trimmed.store(false, Relaxed),
        }
        result
    }

    /// Frees the blocks of logical blocks `range`, and indirect blocks that become empty. Under the inode
    /// lock, and of a file `dax_sem`, held exclusively; no address space shows them.
    pub(in crate::ext2) fn cut_range(&self, range: Range<u64>) -> Result<()> {
        // Nor does anybody know a run that these blocks are part of: beyond the end nothing was unmapped.
        self.mapping.forget(&self.fs.platform, range.clone());
        let mut freed = Freed::default();
        let root = self.raw().slot(0);
        let mut result = self.cut_table(root, DIRECT, 0, 0, &range, &mut freed);
        for depth in 1..=LEVELS {
            let slot = root + (DIRECT + depth as u64 - 1) * 4;
            let base = self.fs.sb.reach.first_lblk(depth);
            result = result.and_then(|()| self.cut_table(slot, 1, base, depth, &range, &mut freed));
        }
        self.forget_goals();
        let pmem = self.pmem();
        let units = freed.total.saturating_mul((self.fs.block_size() / 512) as u32);
        pmem.store_u32(self.raw().at + I_BLOCKS, self.raw().units().saturating_sub(units));
        pmem.flush(self.raw().at + I_BLOCKS, 4);
        result
    }

    /// Cuts those of the `count` pointers from byte offset `table` on, each with `depth` levels below, the
    /// first for logical block `base`, that lead to blocks of `range`.
    fn cut_table(
        &self,
        table: u64,
        count: u64,
        base: u64,
        depth: usize,
        range: &Range<u64>,
        freed: &mut Freed,
    ) -> Result<()> {
        let pmem = self.pmem();
        let each = self.fs.sb.reach.span(depth);
        let mut index = range.start.saturating_sub(base) / each;
        // Pointers before this one lead to nothing behind the range.
        let whole_end = (range.end.saturating_sub(base) / each).min(count);
        while index < count && base + index * each < range.end {
            let slot = table + index * 4;
            if pmem.load_u32(slot) == 0 {
                index += 1;
                continue;
            }
            // 1. A subtree of which something stays.
            if index >= whole_end || base + index * each < range.start {
                let child = self.table_pointer(slot)?;
                let (inner, pointers) = (self.fs.byte(child), self.fs.sb.pointers());
                self.cut_table(inner, pointers, base + index * each, depth - 1, range, freed)?;
                let is_empty = (0..self.fs.block_size() / 8).all(|word| pmem.load_u64(inner + word * 8) == 0);
                if is_empty {
                    let cut = self.clear_pointers(slot, 1);
                    freed.add(self, &cut, child)?;
                    freed.flush(self, &cut)?;
                }
                index += 1;
                continue;
            }
            // 2. What goes as a whole, some pointers at a time: cleared, durable, then freed with all that is
            //    below.
            let mut blocks = [0; CHUNK];
            let mut len = 0;
            let most = (whole_end - index).min(CHUNK as u64) as usize;
            for (at, block) in blocks.iter_mut().enumerate().take(most) {
                // Most are none; what is cleared ends with the last that is one.
                let slot = slot + at as u64 * 4;
                if pmem.load_u32(slot) != 0 {
                    *block = self.pointer_at(slot, depth)?;
                    len = at + 1;
                }
            }
            let cut = self.clear_pointers(slot, len as u64);
            for &block in blocks[..len].iter().filter(|&&block| block != 0) {
                self.free_tree(block, depth, &cut, freed)?;
            }
            freed.flush(self, &cut)?;
            index += len as u64;
        }
        Ok(())
    }

    fn clear_pointers(&self, from: u64, len: u64) -> Staged<Cut, Clean> {
        let pmem = self.pmem();
        for slot in 0..len {
            pmem.store_u32(from + slot * 4, 0);
        }
        Staged::stored(Cut, from, len * 4).flush(pmem).fence(pmem)
    }

    /// Frees `block`, to which no pointer is left, and what is `depth` levels below it. What was freed
    /// already is not entered: so pointers in a circle come to an end.
    fn free_tree(&self, block: u32, depth: usize, cut: &Staged<Cut, Clean>, freed: &mut Freed) -> Result<()> {
        if depth > 0 {
            if !self.fs.block_in_use(block)? {
                return Err(self.corrupt("an indirect block is free", block.into()));
            }
            let end = self.fs.byte(block) + self.fs.block_size();
            let mut next = self.fs.byte(block);
            while next < end {
                let slot = next;
                // Two at a time where there is nothing.
                if slot.is_multiple_of(8) && self.pmem().load_u64(slot) == 0 {
                    next += 8;
                    continue;
                }
                next += 4;
                let child = self.pointer_at(slot, depth - 1)?;
                match depth {
                    _ if child == 0 => {}
                    1 => freed.add(self, cut, child)?,
                    _ => self.free_tree(child, depth - 1, cut, freed)?,
                }
            }
        }
        freed.add(self, cut, block)
    }

    /// Frees the inode and all that it holds: it has durably no name, and no handle any more.
    pub(in crate::ext2) fn release(&self, nameless: Staged<Nameless, Clean>) -> Result<()> {
        let pmem = self.pmem();
        // 1. Its blocks.
        let has_blocks = matches!(self.kind, FileKind::File | FileKind::Directory | FileKind::Symlink);
        let in_place = self.kind == FileKind::Symlink && self.raw().is_fast_symlink(self.fs.block_size());
        if has_blocks && !in_place && self.has_pointers() {
            self.store_size(0)?;
            self.cut(0)?;
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
