//! Writing by copying.
//!
//! Within blocks that hold content, bytes are overwritten where they are, beside faults: no operation. What
//! fills a hole, or what was never written, is durable before an operation lets the file lead there; beyond
//! the end the same operation makes the file longer, so no crash shows blocks without their content, or
//! content beyond the end. Each run of blocks is an operation of its own.
//!
//! # Locking
//! Takes the inode lock exclusively, and the invalidate lock too where blocks come or the file gets longer.

use super::RegularFile;
use crate::error::{Errno, Result, Unsupported};
use crate::ext::features::RO_COMPAT_LARGE_FILE;
use crate::ext::layout::*;
use crate::ext4::disk::extent::DiskExtent;
use crate::ext4::map::SIZE_CREDITS;
use crate::ext4::operation::Ext4Operation;
use crate::lab::{Point, mistake};
use crate::platform::Platform;
use crate::pmem::{Pmem, poison};
use crate::vfs::mapping::Changing;
use crate::vfs::{AllocOk, ChangeOk, State, check_range};

/// The most blocks that one operation fills: others wait for its end where they wait for a commit.
const MOST_FILLED: u64 = 2048;

impl<P: Platform> RegularFile<'_, P> {
    /// Writes, as [`Inode::write_at`](crate::vfs::Inode::write_at).
    pub(in crate::ext4) fn write(self, offset: u64, from: &[u8]) -> Result<usize> {
        let lab = self.fs.platform.lab();
        let _thawed = self.fs.start_change()?;
        if from.is_empty() {
            return Ok(0);
        }
        self.expect_changeable()?;
        let max = self.max_size();
        if offset >= max {
            check_range(offset, from.len())?;
            return Err(Errno::FileTooBig.into());
        }
        let from = &from[..from.len().min((max - offset) as usize)];
        let exclusive = self.lock.exclusive_but_for(mistake!(lab, WriteUnlocked));
        let lock = exclusive.change_ok();
        let (size, end) = (self.mapping.size(), offset + from.len() as u64);
        self.raw().expect_writable_at(offset, size)?;
        let growing = (end > size).then(|| self.keep_faults_out());
        let ok = growing.as_ref().map(Changing::alloc_ok);
        if ok.is_some() {
            self.trim(size)?;
        }
        if offset > size {
            // Bytes between the old end and the new data may hold anything: zeros.
            self.zero_gap(size, offset)?;
        }
        let (done, outcome) = self.write_pieces(lock, ok, offset, from);
        // What stopped it is told, and noted, by the caller if nothing was written; else it is noted here.
        if done == 0 {
            return outcome.map(|()| 0);
        }
        let _ = self.fs.noted(outcome);
        self.fs.platform.pmem().fence();
        // What had blocks beyond the end already is durable, too.
        let end = offset + done as u64;
        if end > self.mapping.size() {
            let op = self.fs.begin(SIZE_CREDITS)?;
            self.store_size(lock, &op, end)?;
        }
        self.touch_content();
        Ok(done)
    }

    /// Refuses a file whose content cannot be changed as it is.
    ///
    /// # Errors
    /// Unsupported; [`Errno::NotPermitted`]: hashes protect it.
    pub(super) fn expect_changeable(self) -> Result<()> {
        let unsupported = |what| Err(Unsupported::Operation(what).into());
        if self.has(VERITY_FL) {
            return Err(Errno::NotPermitted.into());
        }
        if self.has(ENCRYPT_FL) {
            return unsupported("writing what is encrypted");
        }
        if self.has(INLINE_DATA_FL) {
            return unsupported("writing a file whose content is in its inode");
        }
        Ok(())
    }

    /// Returns the largest size that the file can have.
    pub(super) fn max_size(self) -> u64 {
        let (reach, bits) = (&self.fs.reach, self.fs.sb.block_bits);
        (if self.has(EXTENTS_FL) { u32::MAX.into() } else { reach.max_lblks }) << bits
    }

    /// Takes the invalidate lock exclusively, to fill holes.
    #[inline]
    fn keep_faults_out(&self) -> Changing<'_, P> {
        self.mapping.exclusive_but_for(mistake!(self.fs.platform.lab(), WriteShared))
    }

    /// Writes run by run; without leave to allocate, it takes that for each hole. Returns how many bytes were
    /// written, and why it stopped before the end.
    fn write_pieces(
        self,
        lock: ChangeOk<'_>,
        ok: Option<AllocOk<'_>>,
        offset: u64,
        from: &[u8],
    ) -> (usize, Result<()>) {
        let mut done = 0;
        while done < from.len() {
            match self.write_piece(lock, ok, offset + done as u64, &from[done..]) {
                Ok(count) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// Writes to one run, or hole, of the file: how many bytes of `from` that took.
    fn write_piece(self, lock: ChangeOk<'_>, ok: Option<AllocOk<'_>>, at: u64, from: &[u8]) -> Result<usize> {
        let (block_size, bits) = (self.fs.sb.block_size(), self.fs.sb.block_bits);
        let within = at & (block_size - 1);
        let most = (within + from.len() as u64).div_ceil(block_size);
        let (backing, count) = self.map().look(at >> bits, most)?;
        match (backing.state(), ok) {
            (State::Mapped(place), _) => {
                let count = ((count << bits) - within).min(from.len() as u64) as usize;
                let pmem = self.fs.platform.pmem();
                poison::overwrite(pmem, place + within, count as u64)?;
                pmem.write_nt(place + within, &from[..count]);
                Ok(count)
            }
            (_, Some(ok)) => self.fs.with_freed_space(|| self.fill(lock, ok, at, from, count)),
            // A fault may be filling it: it is looked at again.
            (_, None) => {
                let exclusive = self.keep_faults_out();
                self.write_piece(lock, Some(exclusive.alloc_ok()), at, from)
            }
        }
    }

    /// Writes `from` from byte `at` on, where the file has no content, to one run of up to `most` blocks.
    /// Returns how many bytes that took. The file gets longer if they lie beyond its end.
    #[inline(never)]
    fn fill(self, lock: ChangeOk<'_>, ok: AllocOk<'_>, at: u64, from: &[u8], most: u64) -> Result<usize> {
        let (fs, bits) = (&self.fs, self.fs.sb.block_bits);
        let lblk = u32::try_from(at >> bits).map_err(|_| Errno::FileTooBig)?;
        let op = fs.begin(self.map().credits_to_fill() + SIZE_CREDITS)?;
        // 1. Blocks, to which nothing leads.
        let run = self.map().fresh(&op, lblk, most.min(MOST_FILLED) as u32)?;
        let run = run.ok_or_else(|| self.corrupt("content in a hole", lblk.into()))?;
        // 2. Their content; durable.
        let within = at & (fs.sb.block_size() - 1);
        let count = (fs.sb.byte(run.len.into()) - within).min(from.len() as u64) as usize;
        self.fill_run(&run, within, &from[..count]);
        // 3. The file leads there, and is as long.
        self.map().publish(&op, &run)?;
        let end = at + count as u64;
        if end > self.mapping.size() {
            self.store_size(lock, &op, end)?;
        }
        drop(op);
        fs.platform.at(Point::WriteAllocated, self.ino.into(), lblk.into(), run.len.into());
        if !mistake!(fs.platform.lab(), WriteKeepsZeroPage) {
            self.mapping.unmap_zero(&fs.platform, ok, run.lblk.into()..run.end().into());
        }
        Ok(count)
    }

    /// Stores `bytes` to the blocks of `run` from byte `within` on, zeros around them; durable.
    fn fill_run(self, run: &DiskExtent, within: u64, bytes: &[u8]) {
        let (pmem, sb) = (self.fs.platform.pmem(), &self.fs.sb);
        let (place, len) = (sb.byte(run.block), sb.byte(run.len.into()));
        let end = within + bytes.len() as u64;
        pmem.clear_poison(place, len);
        pmem.zero_nt(place, within);
        pmem.write_nt(place + within, bytes);
        pmem.zero_nt(place + end, len - end);
        pmem.fence();
    }

    /// Zeroes the bytes `size..to` in the block of the last byte, if it holds content: in flight.
    pub(in crate::ext4) fn zero_gap(self, size: u64, to: u64) -> Result<()> {
        let within = size % self.fs.sb.block_size();
        if within != 0 {
            let (backing, _) = self.map().look(size >> self.fs.sb.block_bits, 1)?;
            if let Some(place) = backing.place() {
                let len = (self.fs.sb.block_size() - within).min(to - size);
                self.fs.platform.pmem().zero_nt(place + within, len);
            }
        }
        Ok(())
    }

    /// Stores `size`, in an operation with [`SIZE_CREDITS`].
    ///
    /// # Errors
    /// The superblock, or the inode's table, cannot be read.
    pub(super) fn store_size(self, lock: ChangeOk<'_>, op: &Ext4Operation<'_, P>, size: u64) -> Result<()> {
        if size > i32::MAX as u64 {
            self.need_large_file(op)?;
        }
        self.0.store_size(lock, size);
        self.mark_data(op)
    }

    /// Says in the superblock that there are files of 2 GiB and more, unless it does.
    fn need_large_file(self, op: &Ext4Operation<'_, P>) -> Result<()> {
        if self.fs.sb.feature_ro_compat & RO_COMPAT_LARGE_FILE != 0 {
            return Ok(());
        }
        let (buffer, at) = op.super_block()?;
        let features = buffer.load_u32(at + S_FEATURE_RO_COMPAT);
        buffer.store_u32(at + S_FEATURE_RO_COMPAT, features | RO_COMPAT_LARGE_FILE);
        Ok(())
    }
}
