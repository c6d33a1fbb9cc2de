//! Directories: names looked up and listed. Everything here runs under the directory's inode lock.

use super::dirent::Entry;
use super::inode::Inode;
use super::layout::*;
use crate::error::{Errno, Result};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::DirEntry;
use alloc::sync::Arc;
use core::ops::ControlFlow;

/// Refuses what cannot be a name: empty, too long, or with a `/` or NUL in it.
pub(super) fn check_name(name: &[u8]) -> Result<()> {
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

/// True for `.` and `..`.
pub(super) fn is_dot_name(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

/// A name that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub entry: Entry,
}

impl<P: Platform> Inode<P> {
    /// The entry called `name`.
    pub(super) fn find_name(&self, name: &[u8]) -> Result<Option<Found>> {
        self.each_entry(0, |entry| {
            Ok(if entry.is_called(self.pmem(), name) {
                ControlFlow::Break(Found { entry: *entry })
            } else {
                ControlFlow::Continue(())
            })
        })
    }

    /// The entry called `name`, or [`Errno::NotFound`].
    pub(super) fn expect_name(&self, name: &[u8]) -> Result<Found> {
        Ok(self.find_name(name)?.ok_or(Errno::NotFound)?)
    }

    /// The inode that an entry names. Under the inode lock, which keeps it from being freed meanwhile.
    pub(super) fn named(&self, entry: &Entry) -> Result<Arc<Self>> {
        self.fs.inode(entry.ino)
    }

    pub(super) fn list(&self, from: u64, f: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        let mut name = [0; NAME_MAX];
        self.each_entry(from, |entry| {
            if entry.pos < from || entry.ino == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            let name = &mut name[..entry.name_len.into()];
            self.pmem().read(entry.at + D_NAME, name);
            let next = entry.pos + u64::from(entry.rec_len);
            Ok(f(DirEntry { name, ino: entry.ino.into(), kind: entry.kind(), next }))
        })?;
        Ok(())
    }
}
