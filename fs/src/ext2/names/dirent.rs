//! Directory entries, read in place, each field checked before the next entry is looked at.

use super::Dir;
use crate::error::Result;
use crate::ext::dirent::{Dirent, bad_dir, each_block};
use crate::platform::Platform;
use crate::vfs::InodeHeld;
use core::ops::ControlFlow;

impl<P: Platform> Dir<'_, P> {
    /// Returns the byte offset of the block that holds logical block `lblk` of this directory.
    pub(in crate::ext2) fn dir_block(self, lblk: u64) -> Result<u64> {
        match self.map().find_metadata(lblk)? {
            Some(block) => Ok(self.fs.byte(block)),
            None => Err(bad_dir(self.ino, "a hole in a directory", lblk * self.fs.block_size())),
        }
    }

    /// Loads the entry at byte `within` of the block at byte offset `block`, which is logical block `lblk` of
    /// the directory.
    #[inline]
    pub(in crate::ext2) fn entry(self, lblk: u64, block: u64, within: u64) -> Result<Dirent> {
        Dirent::load(self.pmem(), &self.fs.sb, self.ino, lblk, block, within, self.fs.block_size())
    }

    /// Loads the entry at byte `pos` of this directory, where one starts.
    #[inline]
    pub(in crate::ext2) fn entry_at(self, pos: u64) -> Result<Dirent> {
        let (lblk, within) = (pos >> self.fs.sb.block_bits, pos & (self.fs.block_size() - 1));
        self.entry(lblk, self.dir_block(lblk)?, within)
    }

    /// Calls `f` for every entry from the block of byte `from` on, free ones too, in order.
    ///
    /// # Errors
    /// What is wrong with the first block that cannot be read, or not to its end, after those behind it: it
    /// hides only its own names.
    #[inline]
    pub(in crate::ext2) fn each_entry<B>(
        self,
        _lock: InodeHeld<'_>,
        from: u64,
        mut f: impl FnMut(&Dirent) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let size = self.fs.block_size();
        each_block(from / size..self.load_size() / size, |lblk| self.each_in_block(lblk, &mut f))
    }

    /// Calls `f` as [`each_entry`](Self::each_entry) does, with the entries of logical block `lblk`.
    #[inline]
    pub(in crate::ext2) fn each_in_block<B>(
        self,
        lblk: u64,
        f: &mut impl FnMut(&Dirent) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let block = self.dir_block(lblk)?;
        let mut within = 0;
        while within < self.fs.block_size() {
            let entry = self.entry(lblk, block, within)?;
            if let ControlFlow::Break(found) = f(&entry) {
                return Ok(Some(found));
            }
            within += u64::from(entry.rec_len);
        }
        Ok(None)
    }
}
