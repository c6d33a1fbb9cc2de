//! Names made and removed.
//!
//! An inode is initialised, durably, before a name shows it; a name is gone, durably, before the inode may
//! go.
//!
//! # Locking
//! `inode lock of the directory → inode lock of what is named`, both exclusively.

use super::dir::{Found, check_name, is_dot_name};
use super::diredit::Room;
use super::dirent::Entry;
use super::ialloc::Nameable;
use super::inode::Inode;
use super::layout::*;
use super::times::CTIME;
use crate::error::{Errno, Result, Unsupported};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged, fence_all};
use crate::vfs::FileKind;
use alloc::sync::Arc;

impl<P: Platform> Inode<P> {
    pub(super) fn create_name(&self, name: &[u8], kind: FileKind, mode: u16) -> Result<Arc<Self>> {
        self.expect_dir()?;
        check_name(name)?;
        self.fs.check_writable()?;
        if is_dot_name(name) {
            return Err(Errno::Exists.into());
        }
        if !matches!(kind, FileKind::File | FileKind::Directory) {
            return Err(Unsupported::Operation("making anything but files and directories").into());
        }
        let _exclusive = self.mapping.exclusive();
        self.expect_alive()?;
        // 1. Is the name free, and where is room for it?
        let Ok(room) = self.find_room(name)? else {
            return Err(Errno::Exists.into());
        };
        if kind == FileKind::Directory && self.links() >= LINK_MAX {
            return Err(Errno::TooManyLinks.into());
        }
        // 2. The inode. From here on, an error takes its links away: it is freed with its only handle.
        let links = if kind == FileKind::Directory { 2 } else { 1 };
        let target = self.fs.new_inode(self, kind, mode, links)?;
        let child = self.fs.inode(target.fact().ino)?;
        match self.name_new(room, name, &child, target) {
            Ok(()) => Ok(child),
            Err(error) => {
                child.store_links(0).unordered();
                Err(error)
            }
        }
    }

    /// Gives a new inode its first name, and a new directory its first entries.
    fn name_new(
        &self,
        room: Room,
        name: &[u8],
        child: &Self,
        target: Staged<Nameable, InFlight>,
    ) -> Result<()> {
        let is_dir = child.kind == FileKind::Directory;
        // 3. What will be published: the inode's content, the name; all of it durable.
        if is_dir {
            child.add_dots(self.ino)?;
        }
        let prepared = self.prepare(room, name, target.fact())?;
        if is_dir {
            self.raise_links()?.flush(self.pmem()).unfenced();
        }
        let (prepared, target) = fence_all(self.pmem(), (prepared, target));
        // 4. The name; durable on return.
        self.publish_entry(prepared, target)?;
        self.pmem().fence();
        Ok(())
    }

    /// Gives a new directory, which nobody knows yet, its entries `.` and `..`.
    fn add_dots(&self, parent: u32) -> Result<()> {
        let mut bytes = [0; 24];
        let file_type = self.fs.entry_type(FileKind::Directory);
        let first = Entry::need(1);
        bytes[..4].copy_from_slice(&self.ino.to_le_bytes());
        bytes[4..10].copy_from_slice(&[first as u8, 0, 1, file_type, b'.', 0]);
        bytes[12..16].copy_from_slice(&parent.to_le_bytes());
        bytes[16..18].copy_from_slice(&(self.fs.block_size() as u16 - first).to_le_bytes());
        bytes[18..22].copy_from_slice(&[2, file_type, b'.', b'.']);
        let chain = self.fresh_dir_block(0, &bytes)?;
        self.publish_dir_block(chain.fence(self.pmem()))
    }

    /// Refuses to make names in a directory that was removed.
    pub(super) fn expect_alive(&self) -> Result<()> {
        if self.links() == 0 { Err(Errno::NotFound.into()) } else { Ok(()) }
    }

    pub(super) fn unlink_name(&self, name: &[u8]) -> Result<()> {
        self.expect_dir()?;
        check_name(name)?;
        self.fs.check_writable()?;
        if is_dot_name(name) {
            return Err(Errno::IsDirectory.into());
        }
        // The handle is dropped after the lock: the inode may go with it.
        drop(self.unlink_locked(name)?);
        Ok(())
    }

    fn unlink_locked(&self, name: &[u8]) -> Result<Arc<Self>> {
        let _exclusive = self.mapping.exclusive();
        let found = self.expect_name(name)?;
        let child = self.named(&found.entry)?;
        if child.kind == FileKind::Directory {
            return Err(Errno::IsDirectory.into());
        }
        {
            let _exclusive = child.mapping.exclusive();
            self.remove_name(&found, &child).fence(self.pmem()).into_fact();
        }
        Ok(child)
    }

    /// Takes a name out, durably, then the link, which the caller fences. Both inode locks are held exclusively.
    fn remove_name(&self, found: &Found, child: &Self) -> Staged<(), InFlight> {
        let pmem = self.pmem();
        let gone: Staged<_, Clean> = self.take_out(found).flush(pmem).fence(pmem);
        let _ = gone.into_fact();
        child.touch(&[CTIME], self.fs.platform.now());
        child.lower_links().flush(pmem).map(|_| ())
    }

    pub(super) fn rmdir_name(&self, name: &[u8]) -> Result<()> {
        self.expect_dir()?;
        check_name(name)?;
        self.fs.check_writable()?;
        match name {
            b"." => return Err(Errno::Invalid.into()),
            b".." => return Err(Errno::NotEmpty.into()),
            _ => {}
        }
        drop(self.rmdir_locked(name)?);
        Ok(())
    }

    fn rmdir_locked(&self, name: &[u8]) -> Result<Arc<Self>> {
        // Whoever locks a directory below another holds this: in a hostile circle of directories, two would wait for
        // each other.
        let _rename = self.fs.rename.lock();
        let _exclusive = self.mapping.exclusive();
        let found = self.expect_name(name)?;
        let child = self.named(&found.entry)?;
        child.expect_dir()?;
        self.expect_child(&found, &child)?;
        {
            let _exclusive = child.mapping.exclusive();
            if !child.is_empty_dir()? {
                return Err(Errno::NotEmpty.into());
            }
            let pmem = self.pmem();
            // `.` goes with the directory: no link is left.
            self.remove_name(&found, &child).unfenced();
            child.store_links(0).flush(pmem).unfenced();
            self.lower_links().flush(pmem).fence(pmem).into_fact();
        }
        Ok(child)
    }

    /// Refuses a subdirectory that says it belongs elsewhere, this directory itself among them: locking it
    /// could wait for ever. Without the child's lock: its `..` changes only under ours.
    pub(super) fn expect_child(&self, found: &Found, child: &Self) -> Result<()> {
        if child.ino == self.ino || child.ino == ROOT_INO || child.dot_dot()?.ino != self.ino {
            return Err(self.bad_dir("a subdirectory names another parent", found.entry.pos));
        }
        Ok(())
    }
}
