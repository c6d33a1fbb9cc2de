//! A regular file's content: reading and writing by copying; its size; which parts of it have blocks.
//!
//! # Locking
//! Reading takes the inode lock shared, writing exclusively: the blocks that are there stay the file's.
//! Filling a hole takes the invalidate lock too, exclusively, for no fault may be about to map the zero page
//! there; so does making the file longer. Overwriting runs beside faults.
//!
//! # Memory errors
//! A read ends before a bad line, or fails at it. A write makes the lines good that it overwrites as a whole
//! (whole blocks always are); one that begins or ends inside a bad line fails, and changes nothing.

mod fallocate;
mod truncate;

use super::inode::Ext2Inode;
use super::map::geometry::Spot;
use super::map::grow::Fill;
use crate::error::{Errno, Result};
use crate::ext::inode::{CTIME, MTIME};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::{Pmem, poison};
use crate::vfs::mapping::Changing;
use crate::vfs::{AllocOk, ChangeOk, FileKind, ReadTo, Seek, check_range};
use core::ops::ControlFlow;

/// A regular file: an inode whose kind was looked at.
pub(super) struct RegularFile<'a, P: Platform>(&'a Ext2Inode<P>);

view!(RegularFile of Ext2Inode);

impl<P: Platform> Ext2Inode<P> {
    /// Returns the inode as a regular file.
    ///
    /// # Errors
    /// [`Errno::IsDirectory`], or [`Errno::Invalid`] for what is neither.
    #[inline]
    pub(super) fn file(&self) -> Result<RegularFile<'_, P>> {
        match self.kind {
            FileKind::File => Ok(RegularFile(self)),
            FileKind::Directory => Err(Errno::IsDirectory.into()),
            _ => Err(Errno::Invalid.into()),
        }
    }
}

impl<P: Platform> RegularFile<'_, P> {
    #[inline]
    pub(super) fn read<T: ReadTo<P> + ?Sized>(self, offset: u64, len: usize, to: &mut T) -> Result<usize> {
        let shared = self.lock.shared();
        let size = self.load_size();
        let _kept = (!mistake!(self, ReadUnlocked)).then_some(shared);
        let wanted = len;
        let len = (len as u64).min(size.saturating_sub(offset)) as usize;
        if len == 0 {
            return check_range(offset, wanted).map(|()| 0);
        }
        let block_bits = self.fs.sb.block_bits;
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = at & (self.fs.block_size() - 1);
            let most = (within + (len - done) as u64).div_ceil(self.fs.block_size());
            let (spot, count) = self.map().look(at >> block_bits, most)?;
            let count = ((count << block_bits) - within).min((len - done) as u64) as usize;
            let taken = match spot {
                Spot::Block(block) => {
                    let place = self.fs.byte(block) + within;
                    match poison::good(self.pmem(), place, count) {
                        Ok(good) => to.take(self.pmem(), Some(place), good),
                        // What comes before a bad line is read; the next read fails.
                        Err(_) if done > 0 => return Ok(done),
                        Err(error) => return Err(error),
                    }
                }
                Spot::Hole(_) => to.take(self.pmem(), None, count),
            };
            done += taken;
            if taken < count {
                return Ok(done);
            }
        }
        Ok(len)
    }

    pub(super) fn write(self, offset: u64, from: &[u8]) -> Result<usize> {
        let _thawed = self.fs.start_change()?;
        if from.is_empty() {
            return Ok(0);
        }
        let max = self.fs.max_file_size();
        if offset >= max {
            check_range(offset, from.len())?;
            return Err(Errno::FileTooBig.into());
        }
        let from = &from[..from.len().min((max - offset) as usize)];
        let exclusive = self.lock.exclusive_but_for(mistake!(self, WriteUnlocked));
        let lock = exclusive.change_ok();
        let (size, end) = (self.load_size(), offset + from.len() as u64);
        self.raw().expect_writable_at(offset, size)?;
        let growing = (end > size).then(|| self.keep_faults_out());
        let ok = growing.as_ref().map(Changing::alloc_ok);
        if let Some(ok) = ok {
            self.prepare_growth(lock, ok, size, offset, end)?;
        }
        // 1. Data, and fresh blocks for what was a hole; durable, then published.
        let (done, outcome) = self.write_pieces(lock, ok, offset, from, size.max(end));
        // What stopped it is told, and noted, by the caller if nothing was written; else it is noted here.
        if done == 0 {
            return outcome.map(|()| 0);
        }
        let _ = self.fs.noted(outcome);
        // 2. What is in the file is durable: it may become longer.
        let end = offset + done as u64;
        if end > size {
            self.pmem().fence();
            self.store_size(lock, end)?;
        }
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        // 3. All of it is durable, whoever syncs it or does not.
        self.pmem().fence();
        Ok(done)
    }

    /// Takes the invalidate lock exclusively, to fill holes.
    #[inline]
    fn keep_faults_out(&self) -> Changing<'_, P> {
        self.mapping.exclusive_but_for(mistake!(self, WriteShared))
    }

    /// The file, of `size` bytes, is about to get bytes from `offset` to `end`, beyond its end.
    #[inline]
    fn prepare_growth(
        self,
        lock: ChangeOk<'_>,
        ok: AllocOk<'_>,
        size: u64,
        offset: u64,
        end: u64,
    ) -> Result<()> {
        if end > i32::MAX as u64 {
            self.fs.super_in_place().need_large_file()?;
        }
        self.map().trim(lock, ok, size)?;
        // Bytes between the old end and the new data may hold anything: zeros.
        if offset > size {
            self.zero_gap(lock, size, offset)?;
        }
        self.map().outgrow(lock, ok, size, end)
    }

    /// Writes run by run into a file that is, or will be, `size` bytes long. Without leave to allocate, it
    /// takes that for each hole. Returns how many bytes were written, and why it stopped before the end.
    #[inline]
    fn write_pieces(
        self,
        lock: ChangeOk<'_>,
        ok: Option<AllocOk<'_>>,
        offset: u64,
        from: &[u8],
        size: u64,
    ) -> (usize, Result<()>) {
        let mut done = 0;
        while done < from.len() {
            match self.write_piece(lock, ok, offset + done as u64, &from[done..], size) {
                Ok(count) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// Writes to one run, or hole, of the file: how many bytes of `from` that took.
    #[inline]
    fn write_piece(
        self,
        lock: ChangeOk<'_>,
        ok: Option<AllocOk<'_>>,
        at: u64,
        from: &[u8],
        size: u64,
    ) -> Result<usize> {
        let (block_size, block_bits) = (self.fs.block_size(), self.fs.sb.block_bits);
        let (lblk, within) = (at >> block_bits, at & (block_size - 1));
        let most = (within + from.len() as u64).div_ceil(block_size);
        let (spot, count) = self.map().look(lblk, most)?;
        let bytes = |count: u64| ((count << block_bits) - within).min(from.len() as u64) as usize;
        Ok(match (spot, ok) {
            (Spot::Block(block), _) => {
                let count = bytes(count);
                poison::overwrite(self.pmem(), self.fs.byte(block) + within, count as u64)?;
                self.pmem().write_nt(self.fs.byte(block) + within, &from[..count]);
                count
            }
            // A fault may be filling it: it is looked at again.
            (Spot::Hole(_), None) => self.write_hole(lock, at, from, size)?,
            (Spot::Hole(hole), Some(ok)) => {
                let end = size.div_ceil(block_size);
                bytes(self.map().fill(lock, ok, &hole, count, end, Fill::Bytes(within as usize, from))?)
            }
        })
    }

    /// As [`write_piece`](Self::write_piece), with leave to allocate.
    #[inline(never)]
    fn write_hole(self, lock: ChangeOk<'_>, at: u64, from: &[u8], size: u64) -> Result<usize> {
        let exclusive = self.keep_faults_out();
        self.write_piece(lock, Some(exclusive.alloc_ok()), at, from, size)
    }

    /// Zeroes the bytes `size..to` in the block of the last byte, if it has one: in flight.
    fn zero_gap(self, _lock: ChangeOk<'_>, size: u64, to: u64) -> Result<()> {
        let within = size % self.fs.block_size();
        if within != 0
            && let Some(block) = self.map().find(size / self.fs.block_size())?
        {
            let len = (self.fs.block_size() - within).min(to - size);
            self.pmem().zero_nt(self.fs.byte(block) + within, len);
        }
        Ok(())
    }

    /// Finds the first byte from `offset` on that is data, or in a hole, as lseek(2) does: blocks are data,
    /// whatever they hold.
    pub(super) fn seek(self, offset: u64, what: Seek) -> Result<u64> {
        let _shared = self.lock.shared();
        let (size, bits) = (self.load_size(), self.fs.sb.block_bits);
        if offset >= size {
            return Err(Errno::NoSuchAddress.into());
        }
        let lblks = offset >> bits..size.div_ceil(self.fs.block_size());
        if what == Seek::Data {
            let found = self.map().first_block_in(lblks)?;
            return found.map(|(lblk, _)| (lblk << bits).max(offset)).ok_or(Errno::NoSuchAddress.into());
        }
        let mut hole = size;
        self.map().extents(lblks, &mut |extent| match extent.place() {
            Some(_) => ControlFlow::Continue(()),
            None => {
                hole = extent.offset.max(offset);
                ControlFlow::Break(())
            }
        })?;
        Ok(hole)
    }
}
