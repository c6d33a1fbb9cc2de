//! A regular file's content: read and written by copying; its size; which parts of it have blocks. Content in
//! the inode itself.
//!
//! # Memory errors
//! A read ends before a bad line, or fails at it. A write makes the lines good that it overwrites as a whole
//! (whole blocks always are); one that begins or ends inside a bad line fails, and changes nothing.

mod fallocate;
mod truncate;
mod write;

use super::inode::Ext4Inode;
use crate::error::{Errno, Result};
use crate::ext::layout::*;
use crate::platform::Platform;
use crate::pmem::poison;
use crate::vfs::{FileKind, ReadTo, Seek, check_range};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// A regular file: an inode whose kind was looked at.
pub(super) struct RegularFile<'a, P: Platform>(&'a Ext4Inode<P>);

view!(RegularFile of Ext4Inode);

impl<P: Platform> Ext4Inode<P> {
    /// Returns it as a regular file.
    ///
    /// # Errors
    /// [`Errno::IsDirectory`], or [`Errno::Invalid`] for what is neither.
    pub(super) fn file(&self) -> Result<RegularFile<'_, P>> {
        match self.kind {
            FileKind::File => Ok(RegularFile(self)),
            FileKind::Directory => Err(Errno::IsDirectory.into()),
            _ => Err(Errno::Invalid.into()),
        }
    }

    /// Returns the content that is in the inode: first in `i_block`, then in the attribute `system.data`.
    ///
    /// # Errors
    /// It is shorter than the inode's size.
    pub(super) fn inline(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; I_BLOCK_BYTES as usize];
        self.bytes().read(I_BLOCK, &mut bytes);
        if let Some(rest) = self.xattrs().inline_rest()? {
            bytes.extend(rest);
        }
        let size = self.mapping.size() as usize;
        if bytes.len() < size {
            return Err(self.corrupt("its content is not all in it", size as u64));
        }
        bytes.truncate(size);
        Ok(bytes)
    }
}

impl<P: Platform> RegularFile<'_, P> {
    /// Reads, as [`Inode::read_to`](crate::vfs::Inode::read_to).
    pub(super) fn read(self, offset: u64, len: usize, to: &mut dyn ReadTo<P>) -> Result<usize> {
        let _shared = self.lock.shared();
        self.expect_readable()?;
        let (wanted, size) = (len, self.mapping.size());
        let len = (len as u64).min(size.saturating_sub(offset)) as usize;
        if len == 0 {
            return check_range(offset, wanted).map(|()| 0);
        }
        if self.has(INLINE_DATA_FL) {
            return Ok(to.take_copy(&self.inline()?[offset as usize..][..len]));
        }
        let (pmem, bits) = (self.fs.platform.pmem(), self.fs.sb.block_bits);
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = at & (self.fs.sb.block_size() - 1);
            let most = (within + (len - done) as u64).div_ceil(self.fs.sb.block_size());
            let (backing, count) = match self.map().look(at >> bits, most) {
                Err(_) if done > 0 => return Ok(done),
                found => found?,
            };
            let count = ((count << bits) - within).min((len - done) as u64) as usize;
            let taken = match backing.after(within).place() {
                Some(place) => match poison::good(pmem, place, count) {
                    Ok(good) => to.take(pmem, Some(place), good),
                    // What comes before a bad line is read; the next read fails.
                    Err(_) if done > 0 => return Ok(done),
                    Err(error) => return Err(error),
                },
                None => to.take(pmem, None, count),
            };
            done += taken;
            if taken < count {
                return Ok(done);
            }
        }
        Ok(len)
    }

    /// Returns the first byte from `offset` on that is data, or in a hole, as lseek(2) finds it: blocks that
    /// were never written are a hole.
    pub(super) fn seek(self, offset: u64, what: Seek) -> Result<u64> {
        let _shared = self.lock.shared();
        let (size, bits) = (self.mapping.size(), self.fs.sb.block_bits);
        if offset >= size {
            return Err(Errno::NoSuchAddress.into());
        }
        if self.has(INLINE_DATA_FL) {
            return Ok(if what == Seek::Data { offset } else { size });
        }
        let mut found = None;
        self.map().extents(offset >> bits..size.div_ceil(self.fs.sb.block_size()), &mut |extent| {
            if extent.backing.is_mapped() == (what == Seek::Data) {
                found = Some(extent.offset.max(offset));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        match (found, what) {
            (Some(found), _) => Ok(found),
            (None, Seek::Hole) => Ok(size),
            (None, Seek::Data) => Err(Errno::NoSuchAddress.into()),
        }
    }
}
