//! Cutting the block map: pointers cleared, durable; then what they led to is freed. A crash in between leaks
//! blocks.
//!
//! # Locking
//! Under the inode lock and the invalidate lock, both held exclusively; takes group mutexes.

use super::BlockMap;
use super::cursor::{Cursor, CursorStep, Pointer};
use crate::error::Result;
use crate::ext::indirect::DIRECT;
use crate::ext::inode::bad_inode;
use crate::ext::layout::*;
use crate::ext2::facts::Cut;
use crate::ext2::fs::Ext2;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged};
use crate::vfs::{AllocOk, ChangeOk};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// Pointers cleared under one fence.
const CHUNK: usize = 64;

/// Collects neighbouring blocks, to free them together. They are counted off the inode at the end.
#[derive(Default)]
pub(super) struct Freed {
    first: u32,
    count: u32,
    total: u32,
}

impl Freed {
    /// Adds `count` blocks from `first` on.
    #[inline]
    pub(super) fn add<P: Platform>(
        &mut self,
        fs: &Ext2<P>,
        cut: &Staged<Cut, Clean>,
        first: u32,
        count: u32,
    ) -> Result<()> {
        if self.count == 0 || first != self.first + self.count {
            self.flush(fs, cut)?;
            self.first = first;
        }
        self.count += count;
        Ok(())
    }

    /// Frees what is collected. Each chunk's blocks are freed before the evidence for them goes.
    #[inline(never)]
    pub(super) fn flush<P: Platform>(&mut self, fs: &Ext2<P>, cut: &Staged<Cut, Clean>) -> Result<()> {
        let count = core::mem::take(&mut self.count);
        if count > 0 {
            fs.groups().free_run(cut, self.first, count)?;
            self.total = self.total.saturating_add(count);
        }
        Ok(())
    }
}

impl<P: Platform> BlockMap<'_, P> {
    /// Frees, before the file or directory becomes longer than `size`, blocks beyond it, which a truncation
    /// that failed may have left. Otherwise what was cut, or never was in the file, would appear in it. Costs
    /// nothing on a file system that met no errors; else once an inode. Durable.
    ///
    /// # Errors
    /// What lies there contradicts itself: the file must not become longer.
    pub(in crate::ext2) fn trim(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, size: u64) -> Result<()> {
        if self.fs.is_sound() || self.trimmed.load(Relaxed) {
            return Ok(());
        }
        self.cut(lock, ok, size.div_ceil(self.fs.block_size()))?;
        self.trimmed.store(true, Relaxed);
        Ok(())
    }

    /// Frees every block from logical block `first` on, and indirect blocks that become empty.
    #[inline(never)]
    pub(in crate::ext2) fn cut(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, first: u64) -> Result<()> {
        // Beyond the end nothing was unmapped, but of 2 MiB around it more may be known than what is in the
        // file.
        self.mapping.forget(&self.fs.platform, ok, first..u64::MAX);
        let result = self.cut_range(lock, ok, first..u64::MAX);
        match result {
            Ok(()) => self.beyond.store(false, Relaxed),
            Err(_) => self.trimmed.store(false, Relaxed),
        }
        result
    }

    /// Returns false if `i_block` is all zeros.
    pub(in crate::ext2) fn has_pointers(self) -> bool {
        let from = self.raw().slot(0);
        let words = I_BLOCK_BYTES / 8;
        (0..words).any(|word| self.pmem().load_u64(from + word * 8) != 0)
            || self.pmem().load_u32(from + words * 8) != 0
    }

    /// Cuts, as [`cut`](Self::cut) does, a file that has nothing from logical block `end` on.
    pub(in crate::ext2) fn cut_to(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        first: u64,
        end: u64,
    ) -> Result<()> {
        // What hangs below an indirect block as a whole goes with one pointer.
        self.cut_range(lock, ok, first..if end > DIRECT { u64::MAX } else { end })
    }

    /// Frees what was allocated ahead beyond the end. It is mapped nowhere: mappings end with the file.
    pub(in crate::ext2) fn cut_beyond(self, lock: ChangeOk<'_>, ok: AllocOk<'_>) -> Result<()> {
        if self.beyond.load(Relaxed) {
            self.cut(lock, ok, self.load_size().div_ceil(self.fs.block_size()))?;
            self.pmem().fence();
        }
        Ok(())
    }

    /// Frees the blocks of logical blocks `range`, and indirect blocks that become empty. No address space
    /// shows them, and nothing is known of them any more ([`Mapping::forget`](crate::vfs::Mapping::forget)).
    pub(in crate::ext2) fn cut_range(
        self,
        _lock: ChangeOk<'_>,
        _ok: AllocOk<'_>,
        range: Range<u64>,
    ) -> Result<()> {
        let mut freed = Freed::default();
        let result = self.cut_pointers(self.cursor(range), &mut freed);
        self.forget_goals();
        let units = freed.total.saturating_mul((self.fs.block_size() / 512) as u32);
        let raw = self.raw();
        self.pmem().put_u32(raw.at + I_BLOCKS, raw.units().saturating_sub(units));
        result
    }

    fn cut_pointers(self, mut cursor: Cursor<'_, P>, freed: &mut Freed) -> Result<()> {
        let (fs, pmem) = (&self.fs, self.pmem());
        while let Some(step) = cursor.next() {
            let (at, whole) = match step {
                CursorStep::Down(at) => (at, cursor.whole_from(at)),
                CursorStep::Up(at) => (at, 0),
            };
            match step {
                // 1. A subtree of which something stays; the table, if that is nothing.
                CursorStep::Down(_) if whole == 0 => cursor.enter(at)?,
                CursorStep::Up(_) => {
                    let table = fs.byte(at.block);
                    if pmem.is_series(table, fs.block_size() / 8, 0, 0) {
                        let cut = self.clear_pointers(at.slot, 1);
                        freed.add(fs, &cut, at.block, 1)?;
                        freed.flush(fs, &cut)?;
                    }
                }
                // 2. What goes as a whole, some pointers at a time: cleared, durable, then freed with all
                //    that is below.
                CursorStep::Down(_) => {
                    let mut blocks = [0; CHUNK];
                    let mut len = 0;
                    let most = whole.min(CHUNK as u64) as usize;
                    for (index, block) in blocks.iter_mut().enumerate().take(most) {
                        // Most are none; what is cleared ends with the last that is one.
                        let found = pmem.load_u32(at.slot + index as u64 * 4);
                        if found != 0 {
                            *block = cursor.block(Pointer { block: found, ..at })?;
                            len = index + 1;
                        }
                    }
                    let cut = self.clear_pointers(at.slot, len as u64);
                    for &block in blocks[..len].iter().filter(|&&block| block != 0) {
                        self.free_tree(Pointer { block, ..at }, &cut, freed)?;
                    }
                    freed.flush(fs, &cut)?;
                    cursor.skip(len as u64 - 1);
                }
            }
        }
        Ok(())
    }

    fn clear_pointers(self, from: u64, len: u64) -> Staged<Cut, Clean> {
        let pmem = self.pmem();
        for slot in 0..len {
            pmem.store_u32(from + slot * 4, 0);
        }
        Staged::stored(Cut, from, len * 4).flush(pmem).fence(pmem)
    }

    /// Frees the block behind `top`, to which no pointer is left, and what is below it. What was freed
    /// already is not entered: so pointers in a circle come to an end.
    fn free_tree(self, top: Pointer, cut: &Staged<Cut, Clean>, freed: &mut Freed) -> Result<()> {
        let fs = &self.fs;
        if top.height == 0 {
            return freed.add(fs, cut, top.block, 1);
        }
        let mut cursor = Cursor::below(fs, self.ino, top, 0..u64::MAX);
        while let Some(step) = cursor.next() {
            match step {
                CursorStep::Up(at) => freed.add(fs, cut, at.block, 1)?,
                CursorStep::Down(at) if at.height == 0 => {
                    let run = cursor.run_from(at)?;
                    freed.add(fs, cut, run.block, run.count)?;
                }
                CursorStep::Down(at) if fs.groups().block_in_use(cursor.block(at)?)? => cursor.enter(at)?,
                CursorStep::Down(at) => {
                    return Err(bad_inode(self.ino, "an indirect block is free", at.block.into()));
                }
            }
        }
        Ok(())
    }
}
