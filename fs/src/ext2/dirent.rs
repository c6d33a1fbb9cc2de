//! Directory entries, read in place, each field checked before the next entry is looked at.
//!
//! ```text
//! 0      4        6         7      8
//! | inode | rec_len | name_len | type | name … (padded to 4) | … rec_len
//! ```
//!
//! The entries of a block fill it; an entry with inode 0 is free. The space of an entry beyond its own need
//! is free too.

use super::Ext2;
use super::inode::Inode;
use super::layout::*;
use crate::error::{Corrupt, Error, Result};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::FileKind;
use core::ops::ControlFlow;

/// A checked entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Byte offset in the region.
    pub at: u64,
    /// Byte position in the directory.
    pub pos: u64,
    /// Byte position in its block.
    pub within: u16,
    pub ino: u32,
    pub rec_len: u16,
    pub name_len: u8,
    pub file_type: u8,
}

impl Entry {
    /// Bytes that an entry with a name of `len` bytes needs.
    pub(super) const fn need(len: usize) -> u16 {
        (D_NAME as usize + len).next_multiple_of(4) as u16
    }

    /// Bytes of it that are in use.
    pub(super) fn used(&self) -> u16 {
        if self.ino == 0 { 0 } else { Self::need(self.name_len.into()) }
    }

    /// True if it is in use and called `name`. Compares by words of 4 bytes, which the entry's padding
    /// allows.
    #[inline]
    pub(super) fn is_called(&self, pmem: &impl Pmem, name: &[u8]) -> bool {
        if self.ino == 0 || usize::from(self.name_len) != name.len() {
            return false;
        }
        let mut at = self.at + D_NAME;
        let (words, rest) = name.as_chunks::<4>();
        for word in words {
            if pmem.load_u32(at) != u32::from_le_bytes(*word) {
                return false;
            }
            at += 4;
        }
        rest.is_empty() || {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            let mask = u32::MAX >> (32 - 8 * rest.len() as u32);
            pmem.load_u32(at) & mask == u32::from_le_bytes(last)
        }
    }

    /// True if it is `.` or `..`.
    pub(super) fn is_dot(&self, pmem: &impl Pmem) -> bool {
        self.is_called(pmem, b".") || self.is_called(pmem, b"..")
    }

    /// The kind that `file_type` tells.
    pub(super) fn kind(&self) -> Option<FileKind> {
        Some(match self.file_type {
            1 => FileKind::File,
            2 => FileKind::Directory,
            3 => FileKind::CharDevice,
            4 => FileKind::BlockDevice,
            5 => FileKind::Fifo,
            6 => FileKind::Socket,
            7 => FileKind::Symlink,
            _ => return None,
        })
    }
}

/// What `file_type` is for `kind`.
pub(super) const fn file_type(kind: FileKind) -> u8 {
    match kind {
        FileKind::File => 1,
        FileKind::Directory => 2,
        FileKind::CharDevice => 3,
        FileKind::BlockDevice => 4,
        FileKind::Fifo => 5,
        FileKind::Socket => 6,
        FileKind::Symlink => 7,
    }
}

impl<P: Platform> Inode<P> {
    /// A contradiction in this directory, at byte `pos` of it.
    pub(super) fn bad_dir(&self, why: &'static str, pos: u64) -> Error {
        Corrupt::with("directory", self.ino.into(), why, pos).into()
    }

    /// The byte offset of the block that holds logical block `lblk` of this directory.
    pub(super) fn dir_block(&self, lblk: u64) -> Result<u64> {
        match self.find_metadata(lblk)? {
            Some(block) => Ok(self.fs.byte(block)),
            None => Err(self.bad_dir("a hole in a directory", lblk * self.fs.block_size())),
        }
    }

    /// The entry at byte `within` of the block at byte offset `block`, which is logical block `lblk` of the directory.
    #[inline]
    pub(super) fn entry(&self, lblk: u64, block: u64, within: u64) -> Result<Entry> {
        self.fs.dir_entry(self.ino, lblk, block, within)
    }

    /// The entry at byte `pos` of this directory, where one starts.
    #[inline]
    pub(super) fn entry_at(&self, pos: u64) -> Result<Entry> {
        let (lblk, within) = (pos >> self.fs.sb.block_bits, pos & (self.fs.block_size() - 1));
        self.entry(lblk, self.dir_block(lblk)?, within)
    }

    /// Calls `f` for every entry from the block of byte `from` on, free ones too, in order. Under the inode lock.
    ///
    /// # Errors
    /// What is wrong with the first block that cannot be read, or not to its end, after those behind it: it hides only its
    /// own names.
    #[inline]
    pub(super) fn each_entry<B>(
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
    pub(super) fn each_in_block<B>(
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
    /// The entry at byte `within` of the block at byte offset `block`, which is logical block `lblk` of directory `dir`.
    #[inline]
    pub(super) fn dir_entry(&self, dir: u32, lblk: u64, block: u64, within: u64) -> Result<Entry> {
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
