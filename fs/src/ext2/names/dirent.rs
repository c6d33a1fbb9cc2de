//! Directory entries, read in place, each field checked before the next entry is looked at.

use crate::error::{Corrupt, Error, Result};
use crate::ext2::disk::dirent::Entry;
use crate::ext2::disk::layout::*;
use crate::ext2::fs::Ext2;
use crate::ext2::inode::Inode;
use crate::platform::Platform;
use crate::pmem::Pmem;
use core::ops::ControlFlow;

impl<P: Platform> Inode<P> {
    /// A contradiction in this directory, at byte `pos` of it.
    pub(in crate::ext2) fn bad_dir(&self, why: &'static str, pos: u64) -> Error {
        Corrupt::with("directory", self.ino.into(), why, pos).into()
    }

    /// The byte offset of the block that holds logical block `lblk` of this directory.
    pub(in crate::ext2) fn dir_block(&self, lblk: u64) -> Result<u64> {
        match self.map().find_metadata(lblk)? {
            Some(block) => Ok(self.fs.byte(block)),
            None => Err(self.bad_dir("a hole in a directory", lblk * self.fs.block_size())),
        }
    }

    /// The entry at byte `within` of the block at byte offset `block`, which is logical block `lblk` of the
    /// directory.
    #[inline]
    pub(in crate::ext2) fn entry(&self, lblk: u64, block: u64, within: u64) -> Result<Entry> {
        self.fs.dir_entry(self.ino, lblk, block, within)
    }

    /// The entry at byte `pos` of this directory, where one starts.
    #[inline]
    pub(in crate::ext2) fn entry_at(&self, pos: u64) -> Result<Entry> {
        let (lblk, within) = (pos >> self.fs.sb.block_bits, pos & (self.fs.block_size() - 1));
        self.entry(lblk, self.dir_block(lblk)?, within)
    }

    /// Calls `f` for every entry from the block of byte `from` on, free ones too, in order. Under the inode
    /// lock.
    ///
    /// # Errors
    /// What is wrong with the first block that cannot be read, or not to its end, after those behind it: it
    /// hides only its own names.
    #[inline]
    pub(in crate::ext2) fn each_entry<B>(
        &self,
        from: u64,
        mut f: impl FnMut(&Entry) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let lblks = self.load_size() / self.fs.block_size();
        let mut bad = None;
        for lblk in from / self.fs.block_size()..lblks {
            match self.each_in_block(lblk, &mut f) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => Bad::add(&mut bad, error)?,
            }
        }
        match bad {
            None => Ok(None),
            Some(Bad { first, .. }) => Err(first),
        }
    }

    /// As [`each_entry`](Self::each_entry), of logical block `lblk`.
    #[inline]
    pub(in crate::ext2) fn each_in_block<B>(
        &self,
        lblk: u64,
        f: &mut impl FnMut(&Entry) -> ControlFlow<B>,
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

/// Blocks of a directory that could not be read.
struct Bad {
    first: Error,
    count: u32,
}

impl Bad {
    /// So many of them are passed over: a directory whose size is a lie has no end.
    const MOST: u32 = 1024;

    #[cold]
    fn add(bad: &mut Option<Self>, error: Error) -> Result<()> {
        let bad = bad.get_or_insert(Self { first: error, count: 0 });
        bad.count += 1;
        if bad.count < Self::MOST { Ok(()) } else { Err(bad.first) }
    }
}

impl<P: Platform> Ext2<P> {
    /// The entry at byte `within` of the block at byte offset `block`, which is logical block `lblk` of
    /// directory `dir`.
    #[inline]
    pub(in crate::ext2) fn dir_entry(&self, dir: u32, lblk: u64, block: u64, within: u64) -> Result<Entry> {
        let (pmem, sb, pos) = (self.pmem(), &self.sb, lblk * self.block_size() + within);
        let bad = |why, pos| Error::from(Corrupt::with("directory", dir.into(), why, pos));
        // `within` is a multiple of 4 and at least 8 below the end of the block: see below.
        let at = block + within;
        let ino = pmem.load_u32(at + D_INODE);
        let word = pmem.load_u32(at + D_REC_LEN);
        let (rec_len, name_len) = (word as u16, (word >> 16) as u8);
        let mut file_type = (word >> 24) as u8;
        if !sb.has_filetype() {
            if file_type != 0 {
                return Err(bad("name_len is too large", pos));
            }
            file_type = 0;
        }
        let end = within + u64::from(rec_len);
        if rec_len < Entry::need(1) || !rec_len.is_multiple_of(4) {
            return Err(bad("bad rec_len", pos));
        }
        if end > self.block_size()
            || (end != self.block_size() && self.block_size() - end < u64::from(Entry::need(1)))
        {
            return Err(bad("rec_len reaches beyond the block", pos));
        }
        if Entry::need(name_len.into()) > rec_len {
            return Err(bad("name_len does not fit into rec_len", pos));
        }
        if ino > sb.inodes_count {
            return Err(bad("an entry names an inode that cannot be", pos));
        }
        if ino != 0 && name_len == 0 {
            return Err(bad("an entry without a name", pos));
        }
        Ok(Entry { at, pos, within: within as u16, ino, rec_len, name_len, file_type })
    }
}
