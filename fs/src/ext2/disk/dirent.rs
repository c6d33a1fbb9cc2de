//! A directory entry, as it is in place.
//!
//! ```text
//! 0      4        6         7      8
//! | inode | rec_len | name_len | type | name … (padded to 4) | … rec_len
//! ```
//!
//! The entries of a block fill it; an entry with inode 0 is free. The space of an entry beyond its own need
//! is free too.

use super::layout::*;
use crate::pmem::Pmem;
use crate::vfs::FileKind;

/// A checked entry.
#[derive(Clone, Copy, Debug)]
pub(in crate::ext2) struct Entry {
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
    pub(in crate::ext2) const fn need(len: usize) -> u16 {
        (D_NAME as usize + len).next_multiple_of(4) as u16
    }

    /// Bytes of it that are in use.
    pub(in crate::ext2) fn used(&self) -> u16 {
        if self.ino == 0 { 0 } else { Self::need(self.name_len.into()) }
    }

    /// True if it is in use and called `name`. Compares by words of 4 bytes, which the entry's padding
    /// allows.
    #[inline]
    pub(in crate::ext2) fn is_called(&self, pmem: &impl Pmem, name: &[u8]) -> bool {
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
    pub(in crate::ext2) fn is_dot(&self, pmem: &impl Pmem) -> bool {
        self.is_called(pmem, b".") || self.is_called(pmem, b"..")
    }

    /// The kind that `file_type` tells.
    pub(in crate::ext2) fn kind(&self) -> Option<FileKind> {
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
pub(in crate::ext2) const fn file_type(kind: FileKind) -> u8 {
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
