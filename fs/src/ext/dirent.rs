//! A directory entry, as it is in place.
//!
//! ```text
//! 0      4        6         7      8
//! | inode | rec_len | name_len | type | name … (padded to 4) | … rec_len
//! ```
//!
//! The entries of a block fill it; an entry with inode 0 is free. The space of an entry beyond its own need
//! is free too.

use super::geometry::Geometry;
use super::layout::*;
use super::load::Load;
use crate::error::{Corrupt, Errno, Error, Result};
use crate::vfs::FileKind;
use core::ops::Range;

/// Makes a contradiction in directory `ino`, at byte `pos` of it.
pub(crate) fn bad_dir(ino: u32, why: &'static str, pos: u64) -> Error {
    Corrupt::with("directory", ino.into(), why, pos).into()
}

/// A checked entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dirent {
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

impl Dirent {
    /// Loads the entry at byte `within` of the block at byte offset `block`, which is logical block `lblk` of
    /// directory `dir`, and checks it.
    #[inline]
    pub(crate) fn load(
        bytes: &(impl Load + ?Sized),
        sb: &Geometry,
        dir: u32,
        lblk: u64,
        block: u64,
        within: u64,
        limit: u64,
    ) -> Result<Self> {
        let pos = lblk * sb.block_size() + within;
        let bad = |why, pos| bad_dir(dir, why, pos);
        // `within` is a multiple of 4 and at least 8 below the end of the block: see below.
        let at = block + within;
        let ino = bytes.load_u32(at + D_INODE);
        let word = bytes.load_u32(at + D_REC_LEN);
        let (rec_len, name_len) = (word as u16, (word >> 16) as u8);
        let mut file_type = (word >> 24) as u8;
        if !sb.has_filetype() {
            if file_type != 0 {
                return Err(bad("name_len is too large", pos));
            }
            file_type = 0;
        }
        let end = within + u64::from(rec_len);
        if rec_len < Self::need(1) || !rec_len.is_multiple_of(4) {
            return Err(bad("bad rec_len", pos));
        }
        if end > limit || (end != limit && limit - end < u64::from(Self::need(1))) {
            return Err(bad("rec_len reaches beyond the block", pos));
        }
        if Self::need(name_len.into()) > rec_len {
            return Err(bad("name_len does not fit into rec_len", pos));
        }
        if ino > sb.inodes_count {
            return Err(bad("an entry names an inode that cannot be", pos));
        }
        if ino != 0 && name_len == 0 {
            return Err(bad("an entry without a name", pos));
        }
        Ok(Self { at, pos, within: within as u16, ino, rec_len, name_len, file_type })
    }

    /// Returns how many bytes an entry with a name of `len` bytes needs.
    pub(crate) const fn need(len: usize) -> u16 {
        (D_NAME as usize + len).next_multiple_of(4) as u16
    }

    /// Returns how many bytes of the entry are in use.
    pub(crate) fn used(&self) -> u16 {
        if self.ino == 0 { 0 } else { Self::need(self.name_len.into()) }
    }

    /// Returns whether the entry is in use and called `name`. Compares by words of 4 bytes, which the entry's
    /// padding allows.
    #[inline]
    pub(crate) fn is_called(&self, bytes: &(impl Load + ?Sized), name: &[u8]) -> bool {
        if self.ino == 0 || usize::from(self.name_len) != name.len() {
            return false;
        }
        let mut at = self.at + D_NAME;
        let (words, rest) = name.as_chunks::<4>();
        for word in words {
            if bytes.load_u32(at) != u32::from_le_bytes(*word) {
                return false;
            }
            at += 4;
        }
        rest.is_empty() || {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            let mask = u32::MAX >> (32 - 8 * rest.len() as u32);
            bytes.load_u32(at) & mask == u32::from_le_bytes(last)
        }
    }

    /// Returns whether the entry is `.` or `..`.
    pub(crate) fn is_dot(&self, bytes: &(impl Load + ?Sized)) -> bool {
        self.is_called(bytes, b".") || self.is_called(bytes, b"..")
    }

    /// Returns the kind that `file_type` tells.
    pub(crate) fn kind(&self) -> Option<FileKind> {
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

/// Returns what a directory entry says of `kind`.
pub(crate) fn entry_type(sb: &Geometry, kind: FileKind) -> u8 {
    if sb.has_filetype() { file_type(kind) } else { 0 }
}

/// Returns what `file_type` is for `kind`.
pub(crate) const fn file_type(kind: FileKind) -> u8 {
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

/// Refuses what cannot be a name: empty, too long, or with a `/` or NUL in it.
pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() {
        return Err(Errno::NotFound.into());
    }
    if name.len() > NAME_MAX {
        return Err(Errno::NameTooLong.into());
    }
    if name.iter().any(|&byte| byte == b'/' || byte == 0) {
        return Err(Errno::Invalid.into());
    }
    Ok(())
}

/// Returns whether `name` is `.` or `..`.
pub(crate) fn is_dot_name(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

/// Calls `f` for each of a directory's logical blocks `lblks`, until it finds something.
///
/// # Errors
/// What is wrong with the first block that cannot be read, or not to its end, after those behind it: it hides
/// only its own names.
#[inline]
pub(crate) fn each_block<B>(
    lblks: Range<u64>,
    mut f: impl FnMut(u64) -> Result<Option<B>>,
) -> Result<Option<B>> {
    let mut bad = None;
    for lblk in lblks {
        match f(lblk) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => BadBlocks::add(&mut bad, error)?,
        }
    }
    match bad {
        None => Ok(None),
        Some(BadBlocks { first, .. }) => Err(first),
    }
}

/// Blocks of a directory that could not be read.
struct BadBlocks {
    first: Error,
    count: u32,
}

impl BadBlocks {
    /// So many of them are passed over: a directory whose size is a lie has no end.
    const MOST: u32 = 1024;

    /// Counts another one, of which `error` is to be told if it is the first.
    ///
    /// # Errors
    /// The first, if there are too many.
    #[cold]
    fn add(bad: &mut Option<Self>, error: Error) -> Result<()> {
        let bad = bad.get_or_insert(Self { first: error, count: 0 });
        bad.count += 1;
        if bad.count < Self::MOST { Ok(()) } else { Err(bad.first) }
    }
}
