//! Which bytes of a file have blocks: fallocate(2).
//!
//! | kind | how | after a crash in the middle |
//! |---|---|---|
//! | allocate | unwritten extents: nothing is zeroed | some holes have blocks; the size grows last |
//! | punch a hole | blocks are taken out | some of it reads as zeros, or is a hole already |
//! | zero a range | whole blocks become unwritten | some of it reads as zeros already |
//! | collapse, insert | extents move | the file as it was, or as it is to be |
//!
//! Blocks beyond the end (`keep_size`) are unwritten, and stay until a truncation.
//!
//! # Locking
//! Takes the inode lock and the invalidate lock exclusively.

use super::RegularFile;
use crate::error::{Errno, Result};
use crate::ext::inode::{CTIME, MTIME};
use crate::ext::layout::{APPEND_FL, IMMUTABLE_FL};
use crate::ext4::map::{SIZE_CREDITS, Unfinished};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::{Pmem, poison};
use crate::vfs::{AllocOk, ChangeOk, Fallocate};
use core::ops::Range;

impl<P: Platform> RegularFile<'_, P> {
    /// Changes which bytes have blocks, as [`Inode::fallocate`](crate::vfs::Inode::fallocate).
    pub(in crate::ext4) fn change_range(self, how: Fallocate, offset: u64, len: u64) -> Result<()> {
        self.fs.check_writable()?;
        let range = Fallocate::range(offset, len, self.max_size())?;
        self.expect_changeable()?;
        self.map().expect_extents()?;
        // What a transfer may be using is neither freed nor moved, nor made unwritten under it.
        let block_size = self.fs.sb.block_size();
        let gone = match how {
            Fallocate::PunchHole | Fallocate::ZeroRange { .. } => {
                range.start / block_size..range.end.div_ceil(block_size)
            }
            Fallocate::CollapseRange | Fallocate::InsertRange => range.start / block_size..u64::MAX,
            Fallocate::Allocate { .. } => 0..0,
        };
        let begin = || Ok((self.fs.start_change()?, self.lock.exclusive()));
        let (begun, exclusive) = self.mapping.exclusive_unpinned(&self.fs.platform, gone, begin)?;
        self.expect_without(if how.only_adds() { IMMUTABLE_FL } else { IMMUTABLE_FL | APPEND_FL })?;
        let (lock, ok) = (begun.1.change_ok(), exclusive.alloc_ok());
        let size = self.mapping.size();
        match how {
            Fallocate::Allocate { keep_size } => self.allocate_range(lock, ok, &range, keep_size),
            Fallocate::PunchHole => self.punch(ok, range),
            Fallocate::ZeroRange { keep_size } => self.zero_range(lock, ok, range, keep_size),
            Fallocate::CollapseRange => self.collapse(lock, ok, &range, size),
            Fallocate::InsertRange => self.insert(lock, ok, &range, size),
        }?;
        let has_changed = how.changes_content(self.mapping.size() != size);
        let times = if has_changed { &[MTIME, CTIME][..] } else { &[CTIME] };
        self.touch(times, self.fs.platform.now());
        self.mark_times();
        Ok(())
    }

    /// Returns the logical blocks that hold a byte of `range`, which is within what a file may have.
    fn lblks(self, range: &Range<u64>) -> Range<u32> {
        let block_size = self.fs.sb.block_size();
        (range.start / block_size) as u32..range.end.div_ceil(block_size) as u32
    }

    /// Returns the logical blocks of which `range` holds every byte.
    fn whole_lblks(self, range: &Range<u64>) -> Range<u32> {
        let block_size = self.fs.sb.block_size();
        range.start.div_ceil(block_size) as u32..(range.end / block_size) as u32
    }

    /// Gives the holes of `range` blocks, which read as zeros; then the file reaches as far, unless it keeps
    /// its size.
    fn allocate_range(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: &Range<u64>,
        keep_size: bool,
    ) -> Result<()> {
        let (fs, size, lblks) = (&self.fs, self.mapping.size(), self.lblks(range));
        if range.end > size {
            self.trim(size)?;
        }
        let has = size.div_ceil(fs.sb.block_size()) as u32;
        let was_empty = lblks.end > has && self.map().is_hole(has..u32::MAX)?;
        if let Err(error) = self.map().allocate(lblks.clone()) {
            // What was allocated in the file stays; what is beyond its end goes, if nothing was there before.
            if was_empty {
                let op = fs.begin(self.map().credits_to_remove())?;
                drop(self.map().remove(op, has..u32::MAX, Unfinished::Sound, 0)?);
            }
            return Err(error);
        }
        // What was in pieces may be whole now.
        self.mapping.unmap_zero(&fs.platform, ok, lblks.start.into()..lblks.end.into());
        if range.end > size && !keep_size {
            self.zero_gap(size, range.end)?;
            fs.platform.pmem().fence();
            self.store_size(lock, &fs.begin(SIZE_CREDITS)?, range.end)?;
        }
        Ok(())
    }

    /// Makes `range` zeros, with blocks. Holes get theirs first: if there is no space for that, nothing was
    /// overwritten.
    fn zero_range(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: Range<u64>,
        keep_size: bool,
    ) -> Result<()> {
        self.allocate_range(lock, ok, &range, keep_size)?;
        let whole = self.zero_parts(&range)?;
        self.mapping.take_out(&self.fs.platform, ok, whole.start.into()..whole.end.into(), false);
        self.map().forget_content(whole)
    }

    /// Whole blocks of `range` become holes, the rest reads as zeros.
    fn punch(self, ok: AllocOk<'_>, range: Range<u64>) -> Result<()> {
        let fs = &self.fs;
        let whole = self.zero_parts(&range)?;
        let copies = mistake!(fs.platform.lab(), PunchDropsCopies);
        self.mapping.take_out(&fs.platform, ok, whole.start.into()..whole.end.into(), copies);
        fs.with_freed_space(|| {
            let op = fs.begin(self.map().credits_to_remove())?;
            self.map().remove(op, whole.clone(), Unfinished::Sound, 0).map(drop)
        })
    }

    /// Zeroes what `range` holds of blocks that it does not hold as a whole; durable. Returns the others.
    fn zero_parts(self, range: &Range<u64>) -> Result<Range<u32>> {
        let (sb, whole) = (&self.fs.sb, self.whole_lblks(range));
        let whole = if whole.start > whole.end {
            self.zero_bytes(range.clone())?;
            0..0
        } else {
            self.zero_bytes(range.start..sb.byte(whole.start.into()))?;
            self.zero_bytes(sb.byte(whole.end.into())..range.end)?;
            whole
        };
        self.fs.platform.pmem().fence();
        Ok(whole)
    }

    /// Zeroes the bytes of `range`, which lie in one block, if that holds content: in flight.
    fn zero_bytes(self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (sb, pmem, len) = (&self.fs.sb, self.fs.platform.pmem(), range.end - range.start);
        let (backing, _) = self.map().look(range.start >> sb.block_bits, 1)?;
        if let Some(place) = backing.after(range.start & (sb.block_size() - 1)).place() {
            poison::overwrite(pmem, place, len)?;
            pmem.zero_nt(place, len);
        }
        Ok(())
    }

    /// Takes the bytes `range` out of a file of `size` bytes.
    fn collapse(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, range: &Range<u64>, size: u64) -> Result<()> {
        let lblks = self.lblks(range);
        if lblks != self.whole_lblks(range) || range.end >= size {
            return Err(Errno::Invalid.into());
        }
        self.settle(ok, lblks.start)?;
        self.fs.with_freed_space(|| {
            let op = self.map().begin_shift(lblks.start, lblks.clone())?;
            self.map().collapse(&op, &lblks)?;
            self.store_size(lock, &op, size - (range.end - range.start))
        })
    }

    /// Puts a hole at the bytes `range` into a file of `size` bytes; what was there comes after it.
    fn insert(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, range: &Range<u64>, size: u64) -> Result<()> {
        let lblks = self.lblks(range);
        if lblks != self.whole_lblks(range) || range.start >= size {
            return Err(Errno::Invalid.into());
        }
        let new_size = size + (range.end - range.start);
        if new_size > self.max_size() {
            return Err(Errno::FileTooBig.into());
        }
        self.settle(ok, lblks.start)?;
        self.fs.with_freed_space(|| {
            let op = self.map().begin_shift(lblks.start, 0..0)?;
            self.map().insert_hole(&op, &lblks)?;
            self.store_size(lock, &op, new_size)
        })
    }

    /// Makes what was stored through mappings from logical block `first` on durable, and takes it out of
    /// every address space.
    fn settle(self, ok: AllocOk<'_>, first: u32) -> Result<()> {
        let (platform, pages) = (&self.fs.platform, first.into()..u64::MAX);
        let place = |page| self.map().look(page, 1).map(|(backing, _)| backing.place());
        let result = self.mapping.write_back_all(platform, ok.held(), pages.clone(), place);
        platform.pmem().fence();
        result?;
        self.mapping.unmap(platform, ok, pages);
        Ok(())
    }
}
