//! Names made and removed: each in one operation, in which all that may fail comes before the first store.
//!
//! An inode that loses its last name becomes an orphan in the same operation: see `death`.
//!
//! # Locking
//! `inode lock of the directory → inode lock of what is named`, both exclusively, then the operation.

use super::Dir;
use super::birth::FirstContent;
use super::blocks::BLOCK;
use super::death::ORPHAN;
use super::edit::{CHANGED_BY_ENTRY, DirectoryEdit, NewEntry};
use crate::error::{Errno, Result, Unsupported};
use crate::ext::dirent::{Dirent, bad_dir, check_name, entry_type, is_dot_name};
use crate::ext::features::RO_COMPAT_DIR_NLINK;
use crate::ext::inode::{CTIME, MTIME};
use crate::ext::layout::*;
use crate::ext::names;
use crate::ext4::change::InodeChange;
use crate::ext4::inode::Ext4Inode;
use crate::ext4::operation::Ext4Operation;
use crate::platform::{Platform, Timestamp};
use crate::vfs::{Device, FileKind};
use alloc::sync::Arc;

/// An inode that was made, and the one that had to make room for it in the cache.
type Made<P> = (Arc<Ext4Inode<P>>, Option<Arc<Ext4Inode<P>>>);

/// The most links that are counted.
const LINK_MAX: u16 = 65_000;
/// Links of a directory that has more than that, from then on.
const NOT_COUNTED: u16 = 1;
/// Blocks that an operation changes which makes an inode, or takes back what it made: its bit, its group's
/// counts, its place in the table; the directory's; its first block.
const BIRTH: u32 = 4 + BLOCK;

impl<'a, P: Platform> Dir<'a, P> {
    /// Makes a regular file, directory, named pipe or socket.
    pub(in crate::ext4) fn create_name(
        self,
        name: &[u8],
        kind: FileKind,
        mode: u16,
    ) -> Result<Arc<Ext4Inode<P>>> {
        names::expect_nameable(kind)?;
        self.make_name(name, kind, mode, FirstContent::Empty)
    }

    /// Makes a device.
    pub(in crate::ext4) fn make_device_name(
        self,
        name: &[u8],
        kind: FileKind,
        mode: u16,
        device: Device,
    ) -> Result<Arc<Ext4Inode<P>>> {
        names::expect_device(kind, device)?;
        self.make_name(name, kind, mode, FirstContent::Device(device))
    }

    /// Makes a symbolic link to `target`.
    pub(in crate::ext4) fn symlink_name(self, name: &[u8], target: &[u8]) -> Result<Arc<Ext4Inode<P>>> {
        names::expect_target(target, self.fs.sb.block_size())?;
        self.make_name(name, FileKind::Symlink, 0o777, FirstContent::Target(target))
    }

    fn make_name(
        self,
        name: &[u8],
        kind: FileKind,
        mode: u16,
        content: FirstContent<'_>,
    ) -> Result<Arc<Ext4Inode<P>>> {
        check_name(name)?;
        let _thawed = self.fs.start_change()?;
        if is_dot_name(name) {
            return Err(Errno::Exists.into());
        }
        let (child, evicted) = self.fs.with_freed_space(|| self.make_locked(name, kind, mode, content))?;
        // An inode that had to make room in the cache is let go of without a lock.
        drop(evicted);
        Ok(child)
    }

    fn make_locked(
        self,
        name: &[u8],
        kind: FileKind,
        mode: u16,
        content: FirstContent<'_>,
    ) -> Result<Made<P>> {
        let _exclusive = self.lock.exclusive();
        self.expect_room_for(name)?;
        let (fs, is_dir) = (&self.fs, kind == FileKind::Directory);
        let links = if is_dir { self.links_with(1)? } else { self.links() };
        let op = fs.begin(self.added_name_credits() + BIRTH)?;
        // 1. All that may fail: the inode, with its first block; the name.
        let child = self.give_birth(&op, kind, mode, content)?;
        let named = fs.cache.add(&fs.platform, &child).and_then(|evicted| {
            self.add_entry(&op, name, &child)?;
            Ok(evicted)
        });
        let evicted = match named {
            Ok(evicted) => evicted,
            Err(error) => {
                child.take_back(&op);
                return Err(error);
            }
        };
        // 2. The directory.
        self.store_links(links);
        self.changed(&op, fs.platform.now())?;
        fs.platform.stats().inode_allocated.inc();
        Ok((child, evicted))
    }

    /// Makes one more name for inode `ino`.
    pub(in crate::ext4) fn link_name(self, name: &[u8], ino: u64) -> Result<()> {
        check_name(name)?;
        let _thawed = self.fs.start_change()?;
        // The caller has a handle, so it is in memory.
        let target = self.fs.inode_if_in_use(ino)?;
        if target.kind == FileKind::Directory {
            return Err(Errno::NotPermitted.into());
        }
        if is_dot_name(name) {
            return Err(Errno::Exists.into());
        }
        self.fs.with_freed_space(|| self.link_locked(name, &target))
    }

    fn link_locked(self, name: &[u8], target: &Ext4Inode<P>) -> Result<()> {
        let _exclusive = self.lock.exclusive();
        self.expect_room_for(name)?;
        let _target = target.lock.exclusive();
        target.expect_alive()?;
        target.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        if target.links() >= LINK_MAX {
            return Err(Errno::TooManyLinks.into());
        }
        let op = self.fs.begin(self.added_name_credits() + 2)?;
        self.add_entry(&op, name, target)?;
        let now = self.fs.platform.now();
        target.store_links(target.links() + 1);
        target.touch(&[CTIME], now);
        target.mark(&op)?;
        self.changed(&op, now)
    }

    /// Removes a name of what is no directory.
    pub(in crate::ext4) fn unlink_name(self, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let _thawed = self.fs.start_change()?;
        if is_dot_name(name) {
            return Err(Errno::IsDirectory.into());
        }
        // The handle is dropped after the lock: the inode may go with it.
        drop(self.unlink_locked(name)?);
        Ok(())
    }

    fn unlink_locked(self, name: &[u8]) -> Result<Arc<Ext4Inode<P>>> {
        let _exclusive = self.lock.exclusive();
        let found = self.expect_name(name)?;
        let child = self.fs.inode(found.ino)?;
        self.expect_removable(&child)?;
        if child.kind == FileKind::Directory {
            return Err(Errno::IsDirectory.into());
        }
        {
            let _child = child.lock.exclusive();
            let now = self.fs.platform.now();
            let op = self.fs.begin(CHANGED_BY_ENTRY + ORPHAN + 2)?;
            let (change, left) = (InodeChange::new(&op, &self), child.links().saturating_sub(1));
            self.edit(&change).expect_entry(found.pos)?;
            child.expect_losable(&op, left)?;
            self.edit(&change).remove(found.pos)?;
            child.lose_name(&op, left, now)?;
            self.changed(&op, now)?;
        }
        Ok(child)
    }

    /// Removes an empty directory.
    pub(in crate::ext4) fn rmdir_name(self, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let _thawed = self.fs.start_change()?;
        match name {
            b"." => return Err(Errno::Invalid.into()),
            b".." => return Err(Errno::NotEmpty.into()),
            _ => {}
        }
        drop(self.rmdir_locked(name)?);
        Ok(())
    }

    fn rmdir_locked(self, name: &[u8]) -> Result<Arc<Ext4Inode<P>>> {
        // Whoever locks a directory below another holds this: in a hostile circle of directories, two would
        // wait for each other.
        let _rename = self.fs.rename.lock();
        let _exclusive = self.lock.exclusive();
        let found = self.expect_name(name)?;
        let child = self.fs.inode(found.ino)?;
        self.expect_removable(&child)?;
        let subdir = child.dir()?;
        self.expect_child(&found, subdir)?;
        {
            let _child = child.lock.exclusive();
            let now = self.fs.platform.now();
            let op = self.fs.begin(CHANGED_BY_ENTRY + ORPHAN + 2)?;
            subdir.expect_empty(&op, self.ino)?;
            let change = InodeChange::new(&op, &self);
            self.edit(&change).expect_entry(found.pos)?;
            child.expect_losable(&op, 0)?;
            self.edit(&change).remove(found.pos)?;
            // `.` goes with the directory: no link is left. And `..`.
            child.lose_name(&op, 0, now)?;
            self.store_links(self.links_with(-1)?);
            self.changed(&op, now)?;
        }
        Ok(child)
    }

    // -- What the operations consist of

    /// Returns what changes the entries of this directory.
    pub(super) fn edit<'c>(self, change: &'c InodeChange<'_, P>) -> DirectoryEdit<'c, InodeChange<'c, P>> {
        DirectoryEdit { blocks: change, sb: &change.inode.fs.sb, ino: change.inode.ino }
    }

    /// Adds an entry called `name` that names `target`.
    pub(super) fn add_entry(
        self,
        op: &Ext4Operation<'_, P>,
        name: &[u8],
        target: &Ext4Inode<P>,
    ) -> Result<()> {
        let file_type = entry_type(&self.fs.sb, target.kind);
        self.edit(&InodeChange::new(op, &self)).add(&NewEntry { name, ino: target.ino, file_type })
    }

    /// Notes that names of it changed, at `now`.
    pub(super) fn changed(self, op: &Ext4Operation<'_, P>, now: Timestamp) -> Result<()> {
        self.touch(&[MTIME, CTIME], now);
        self.mark(op)
    }

    /// Refuses to change the entries of a directory that has none in blocks, or whose blocks are in tables.
    pub(super) fn expect_editable(self) -> Result<()> {
        if self.has(EXTENTS_FL) {
            return Ok(());
        }
        let what = match self.has(INLINE_DATA_FL) {
            true => "changing names in a directory that is in its inode",
            false => "changing names in a directory without extents",
        };
        Err(Unsupported::Operation(what).into())
    }

    /// Refuses to make a new entry called `name` unless this directory, alive and changeable, has none.
    fn expect_room_for(self, name: &[u8]) -> Result<()> {
        self.expect_alive()?;
        if self.find_entry(name)?.is_some() {
            return Err(Errno::Exists.into());
        }
        self.expect_without(IMMUTABLE_FL)?;
        self.expect_editable()
    }

    /// Returns the entry called `name`, of a directory that can be changed.
    pub(super) fn expect_name(self, name: &[u8]) -> Result<Dirent> {
        let found = self.find_entry(name)?.ok_or(Errno::NotFound)?;
        self.fs.sb.expect_ino(found.ino)?;
        self.expect_editable().map(|()| found)
    }

    /// Refuses to take the name of `child` out of this directory if the flags of either forbid it.
    pub(super) fn expect_removable(self, child: &Ext4Inode<P>) -> Result<()> {
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        child.expect_without(IMMUTABLE_FL | APPEND_FL)
    }

    /// Refuses a subdirectory that says it belongs elsewhere, this directory itself among them: locking it
    /// could wait for ever. The rename lock is held.
    pub(super) fn expect_child(self, found: &Dirent, child: Dir<'_, P>) -> Result<()> {
        if child.ino == self.ino || child.ino == ROOT_INO || child.parent()? != self.ino {
            return Err(bad_dir(self.ino, "a subdirectory names another parent", found.pos));
        }
        Ok(())
    }

    /// Refuses a directory in which there is something but its own `.` and `..`, which names `parent`.
    pub(super) fn expect_empty(self, op: &Ext4Operation<'_, P>, parent: u32) -> Result<()> {
        self.expect_editable()?;
        match self.edit(&InodeChange::new(op, &self)).is_empty(parent)? {
            true => Ok(()),
            false => Err(Errno::NotEmpty.into()),
        }
    }

    /// Returns the entry `..`, under the directory's lock.
    pub(super) fn dot_dot(self) -> Result<Dirent> {
        let none = || bad_dir(self.ino, "no entry `..`", 0);
        self.search_block(0, b"..")?.ok_or_else(none)
    }

    /// Returns the directory that `..` names. Takes this directory's lock for that.
    pub(super) fn parent(self) -> Result<u32> {
        let _shared = self.lock.shared();
        match self.has(INLINE_DATA_FL) {
            true => Ok(self.bytes().load_u32(I_BLOCK)),
            false => Ok(self.dot_dot()?.ino),
        }
    }

    /// Returns how many links it has with so many subdirectories more.
    ///
    /// # Errors
    /// [`Errno::TooManyLinks`]
    pub(super) fn links_with(self, more: i32) -> Result<u16> {
        let links = self.links();
        let count = i32::from(links) + more;
        let may_not_count = self.fs.sb.feature_ro_compat & RO_COMPAT_DIR_NLINK != 0 && self.has(INDEX_FL);
        match more {
            0 => Ok(links),
            _ if links == NOT_COUNTED => Ok(links),
            1.. if count > LINK_MAX.into() && may_not_count => Ok(NOT_COUNTED),
            1.. if count > LINK_MAX.into() => Err(Errno::TooManyLinks.into()),
            _ => Ok(count.max(2) as u16),
        }
    }
}
