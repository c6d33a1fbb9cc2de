//! Reading and writing files by copying.
//!
//! # Locking
//! Reading takes the inode lock shared, writing exclusively.

use super::grow::{Batch, Fill};
use super::inode::Inode;
use super::times::{CTIME, MTIME};
use crate::error::{Errno, Result};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::AllocOk;

impl<P: Platform> Inode<P> {
    pub(super) fn read_file(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        self.expect_file()?;
        let _shared = self.mapping.shared();
        let size = self.load_size();
        let len = (to.len() as u64).min(size.saturating_sub(offset)) as usize;
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = at % self.fs.block_size();
            let count = ((self.fs.block_size() - within) as usize).min(len - done);
            let piece = &mut to[done..done + count];
            match self.find(at / self.fs.block_size())? {
                Some(block) => self.pmem().read(self.fs.byte(block) + within, piece),
                None => piece.fill(0),
            }
            done += count;
        }
        Ok(len)
    }

    pub(super) fn write_file(&self, offset: u64, from: &[u8]) -> Result<usize> {
        self.expect_file()?;
        self.fs.check_writable()?;
        if from.is_empty() {
            return Ok(0);
        }
        if offset >= self.fs.sb.max_file_size() {
            return Err(Errno::FileTooBig.into());
        }
        let from = &from[..from.len().min((self.fs.sb.max_file_size() - offset) as usize)];
        let exclusive = self.mapping.exclusive();
        let size = self.load_size();
        self.expect_writable_at(offset, size)?;
        if offset + from.len() as u64 > i32::MAX as u64 {
            self.fs.need_large_file()?;
        }
        if offset + from.len() as u64 > size {
            self.trim(size)?;
        }
        // 1. Bytes between the old end and the new data may hold anything: zeros.
        if offset > size {
            self.zero_gap(size, offset)?;
        }
        // 2. Data, and fresh blocks for what was a hole; durable, then published.
        let mut batch = Batch::new();
        let (done, outcome) = self.write_pieces(&mut batch, exclusive.alloc_ok(), offset, from);
        batch.publish(self, exclusive.alloc_ok());
        // What stopped it is told only if nothing was written; what it says of the image is kept in any case.
        let outcome = self.fs.noted(outcome);
        if done == 0 {
            return outcome.map(|()| 0);
        }
        // 3. What is in the file is durable: it may become longer.
        let end = offset + done as u64;
        if end > size {
            self.pmem().fence();
            self.store_size(end)?;
        }
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        // 4. All of it is durable, whoever syncs it or does not.
        self.pmem().fence();
        Ok(done)
    }

    /// Writes block by block. Returns how many bytes were written, and why it stopped before the end.
    fn write_pieces(
        &self,
        batch: &mut Batch,
        ok: AllocOk<'_>,
        offset: u64,
        from: &[u8],
    ) -> (usize, Result<()>) {
        let mut done = 0;
        while done < from.len() {
            let at = offset + done as u64;
            let within = (at % self.fs.block_size()) as usize;
            let count = (self.fs.block_size() as usize - within).min(from.len() - done);
            let piece = &from[done..done + count];
            match batch.add(self, ok, at / self.fs.block_size(), Fill::Bytes(within, piece)) {
                Ok(Some(block)) => self.pmem().write_nt(self.fs.byte(block) + within as u64, piece),
                Ok(None) => {}
                Err(error) => return (done, Err(error)),
            }
            done += count;
        }
        (done, Ok(()))
    }

    /// Zeroes the bytes `size..to` in the block of the last byte, if it has one: in flight. Under the inode
    /// lock, held exclusively.
    pub(super) fn zero_gap(&self, size: u64, to: u64) -> Result<()> {
        let within = size % self.fs.block_size();
        if within != 0
            && let Some(block) = self.find(size / self.fs.block_size())?
        {
            let len = (self.fs.block_size() - within).min(to - size);
            self.pmem().zero_nt(self.fs.byte(block) + within, len);
        }
        Ok(())
    }
}
