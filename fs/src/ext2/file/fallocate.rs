//! Which bytes of a file have blocks: fallocate(2).
//!
//! | kind | after a crash in the middle |
//! |---|---|
//! | allocate | some holes are filled with zeros; the size grows last |
//! | punch a hole | some of it reads as zeros, or is a hole already |
//! | zero a range | some of it reads as zeros already |
//! | collapse, insert | the file as it was, or as it is to be: see `map::shift` |
//!
//! Blocks beyond the end (`keep_size`) live as long as the inode is in memory: docs/decisions/0007.
//!
//! # Locking
//! Takes the inode lock and the invalidate lock exclusively; block map and group mutexes below.

use super::RegularFile;
use crate::error::Result;
use crate::ext::inode::{CTIME, MTIME};
use crate::ext::layout::{APPEND_FL, IMMUTABLE_FL};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::{Pmem, poison};
use crate::vfs::{AllocOk, ChangeOk, Fallocate};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> RegularFile<'_, P> {
    pub(in crate::ext2) fn change_range(self, how: Fallocate, offset: u64, len: u64) -> Result<()> {
        self.fs.check_writable()?;
        let range = Fallocate::range(offset, len, self.fs.max_file_size())?;
        // What a transfer may be using is neither freed nor moved.
        let block_size = self.fs.block_size();
        let gone = match how {
            Fallocate::PunchHole => range.start / block_size..range.end.div_ceil(block_size),
            Fallocate::CollapseRange | Fallocate::InsertRange => range.start / block_size..u64::MAX,
            Fallocate::Allocate { .. } | Fallocate::ZeroRange { .. } => 0..0,
        };
        let begin = || Ok((self.fs.start_change()?, self.lock.exclusive()));
        let (begun, exclusive) = self.mapping.exclusive_unpinned(&self.fs.platform, gone, begin)?;
        self.expect_without(if how.only_adds() { IMMUTABLE_FL } else { IMMUTABLE_FL | APPEND_FL })?;
        let (lock, ok) = (begun.1.change_ok(), exclusive.alloc_ok());
        let size = self.load_size();
        let result = match how {
            Fallocate::Allocate { keep_size } => self.allocate_range(lock, ok, range, keep_size),
            Fallocate::PunchHole => self.punch(lock, ok, range),
            Fallocate::ZeroRange { keep_size } => self.zero_range(lock, ok, range, keep_size),
            Fallocate::CollapseRange => self.map().collapse(lock, ok, range, size),
            Fallocate::InsertRange => self.map().insert(lock, ok, range, size),
        };
        let has_changed = how.changes_content(self.load_size() != size);
        let times = if has_changed { &[MTIME, CTIME][..] } else { &[CTIME] };
        if result.is_ok() {
            self.touch(times, self.fs.platform.now());
        }
        self.pmem().fence();
        result
    }

    /// Fills the holes of `range` with blocks of zeros; then the file reaches as far, unless it keeps its
    /// size.
    fn allocate_range(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: Range<u64>,
        keep_size: bool,
    ) -> Result<()> {
        self.with_blocks(lock, ok, range, keep_size, || Ok(()))
    }

    /// Makes `range` zeros, with blocks. Holes are filled first: if there is no space for that, nothing was
    /// overwritten.
    fn zero_range(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: Range<u64>,
        keep_size: bool,
    ) -> Result<()> {
        self.with_blocks(lock, ok, range.clone(), keep_size, || self.zero_blocks(range))
    }

    /// Fills the holes of `range`, calls `then`, and lets the file reach as far, unless it keeps its size.
    fn with_blocks(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        range: Range<u64>,
        keep_size: bool,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let block_size = self.fs.block_size();
        let size = self.load_size();
        let (lblks, has) =
            (range.start / block_size..range.end.div_ceil(block_size), size.div_ceil(block_size));
        if range.end > size {
            if range.end > i32::MAX as u64 && !keep_size {
                self.fs.super_in_place().need_large_file()?;
            }
            self.map().trim(lock, ok, size)?;
        }
        let had_beyond = self.beyond.load(Relaxed);
        if lblks.end > has {
            self.beyond.store(true, Relaxed);
            // They go with the last handle, not when the cache needs the place.
            self.fs.cache.unkeep(self.ino);
        }
        let end = size.max(range.end).div_ceil(block_size);
        if let Err(error) = self.map().fill_holes(lock, ok, lblks.clone(), end) {
            // What was filled in the file stays; what would be beyond its end goes, unless some was there
            // before.
            if lblks.end > has && !had_beyond {
                self.pmem().fence();
                self.map().cut(lock, ok, has)?;
            }
            return Err(error);
        }
        then()?;
        if range.end > size && !keep_size {
            self.zero_gap(lock, size, range.end)?;
            self.pmem().fence();
            self.store_size(lock, range.end)?;
            self.beyond.store(had_beyond, Relaxed);
        }
        Ok(())
    }

    /// Zeroes the bytes of `range` that have blocks: in flight.
    fn zero_blocks(self, range: Range<u64>) -> Result<()> {
        let bits = self.fs.sb.block_bits;
        let mut cursor = self.map().cursor(range.start >> bits..range.end.div_ceil(self.fs.block_size()));
        while let Some(run) = cursor.next_run()? {
            let first = run.lblk << bits;
            let from = first.max(range.start);
            let len = ((run.lblk + u64::from(run.count)) << bits).min(range.end) - from;
            let place = self.fs.byte(run.block) + (from - first);
            poison::overwrite(self.pmem(), place, len)?;
            self.pmem().zero_nt(place, len);
        }
        Ok(())
    }

    /// Whole blocks of `range` become holes, the rest reads as zeros.
    fn punch(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, range: Range<u64>) -> Result<()> {
        let block_size = self.fs.block_size();
        let whole = range.start.div_ceil(block_size)..range.end / block_size;
        // 1. Parts of blocks; durable.
        if whole.start > whole.end {
            self.zero_blocks(range)?;
            self.pmem().fence();
            return Ok(());
        }
        self.zero_blocks(range.start..whole.start * block_size)?;
        self.zero_blocks(whole.end * block_size..range.end)?;
        self.pmem().fence();
        // 2. No address space shows the others.
        let copies = mistake!(self, PunchDropsCopies);
        self.mapping.take_out(&self.fs.platform, ok, whole.clone(), copies);
        // 3. Their pointers, durable; then the bitmap's bits.
        self.map().cut_range(lock, ok, whole)
    }
}
