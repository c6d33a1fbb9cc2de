//! Directories and the names in them.

pub(super) mod dir;
pub(super) mod diredit;
pub(super) mod dirent;
pub(super) mod namei;
pub(super) mod nameindex;
pub(super) mod rename;
pub(super) mod room;

use super::inode::Ext2Inode;
use crate::error::{Errno, Result};
use crate::platform::Platform;
use crate::vfs::FileKind;

/// A directory: an inode whose kind was looked at.
pub(super) struct Dir<'a, P: Platform>(&'a Ext2Inode<P>);

view!(Dir of Ext2Inode);

impl<P: Platform> Ext2Inode<P> {
    /// Returns the inode as a directory.
    ///
    /// # Errors
    /// [`Errno::NotDirectory`] if it is something else.
    #[inline]
    pub(super) fn dir(&self) -> Result<Dir<'_, P>> {
        if self.kind == FileKind::Directory { Ok(Dir(self)) } else { Err(Errno::NotDirectory.into()) }
    }
}
