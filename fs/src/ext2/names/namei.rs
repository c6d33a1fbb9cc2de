//! Names made and removed.
//!
//! An inode is initialised, durably, before a name shows it. One of several names is gone, durably, before
//! the inode loses the link for it. The last name of what is no directory goes after the link: whoever looks
//! after a crash finds an inode without a name that says so, and one that does not was there before, and is
//! not ours to free (see `recover`). An inode is without names and links, durably, before it is freed. Each
//! step asks for evidence of the one before, in the types.
//!
//! # Locking
//! `inode lock of the directory → inode lock of what is named`, both exclusively.

use super::Dir;
use super::dir::FoundName;
use super::room::Room;
use crate::error::{Errno, Result};
use crate::ext::dirent::{Dirent, bad_dir, check_name, entry_type, is_dot_name};
use crate::ext::inode::{CTIME, encode_device};
use crate::ext::layout::*;
use crate::ext::names;
use crate::ext2::alloc::inodes::New;
use crate::ext2::alloc::taken::{Taken, TakenInode};
use crate::ext2::disk::superblock::SuperBlock;
use crate::ext2::facts::{Cut, Nameable};
use crate::ext2::inode::Ext2Inode;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged, fence_all};
use crate::vfs::{ChangeOk, Device, FileKind, InodeHeld};
use alloc::sync::Arc;

/// What a new inode starts with.
#[derive(Clone, Copy)]
pub(in crate::ext2) enum Content<'a> {
    /// Nothing; a directory has `.` and `..`.
    Empty,
    /// A symbolic link's target.
    Target(&'a [u8]),
    /// A device's numbers.
    Device(Device),
}

impl<P: Platform> Dir<'_, P> {
    /// Makes a regular file, directory, named pipe or socket.
    pub(in crate::ext2) fn create_name(
        self,
        name: &[u8],
        kind: FileKind,
        mode: u16,
    ) -> Result<Arc<Ext2Inode<P>>> {
        names::expect_nameable(kind)?;
        self.make_name(name, kind, mode, Content::Empty)
    }

    pub(in crate::ext2) fn make_device_name(
        self,
        name: &[u8],
        kind: FileKind,
        mode: u16,
        device: Device,
    ) -> Result<Arc<Ext2Inode<P>>> {
        names::expect_device(kind, device)?;
        self.make_name(name, kind, mode, Content::Device(device))
    }

    pub(in crate::ext2) fn symlink_name(self, name: &[u8], target: &[u8]) -> Result<Arc<Ext2Inode<P>>> {
        names::expect_target(target, self.fs.block_size())?;
        self.make_name(name, FileKind::Symlink, 0o777, Content::Target(target))
    }

    /// Where there is room for `name`, which this directory, alive and changeable, does not have yet.
    #[inline]
    fn room_for_new(self, lock: ChangeOk<'_>, name: &[u8]) -> Result<Room> {
        self.expect_alive()?;
        let Ok(room) = self.find_room(lock, name)? else {
            return Err(Errno::Exists.into());
        };
        self.expect_without(IMMUTABLE_FL)?;
        Ok(room)
    }

    fn make_name(
        self,
        name: &[u8],
        kind: FileKind,
        mode: u16,
        content: Content<'_>,
    ) -> Result<Arc<Ext2Inode<P>>> {
        check_name(name)?;
        let _thawed = self.fs.start_change()?;
        if is_dot_name(name) {
            return Err(Errno::Exists.into());
        }
        let exclusive = self.lock.exclusive();
        let lock = exclusive.change_ok();
        // 1. Is the name free, and where is room for it?
        let room = self.room_for_new(lock, name)?;
        if kind == FileKind::Directory && self.links() >= LINK_MAX {
            return Err(Errno::TooManyLinks.into());
        }
        let (fs, pmem) = (&self.fs, self.pmem());
        // 2. A number, and a handle; a block with what is in it, durable; the name, where nobody sees it.
        let taken = fs.groups().take_inode(lock, &self, kind)?;
        let child = match fs.new_handle(taken.fact(), kind) {
            Ok(child) => child,
            Err(error) => {
                fs.groups().give_back_inode(taken, kind);
                pmem.fence();
                return Err(error);
            }
        };
        let nameable = Nameable::new(&fs.sb, child.ino, kind);
        let ready = self.first_block(taken.fact(), kind, content).and_then(|block| {
            match self.prepare(lock, room, name, &nameable) {
                Ok(prepared) => Ok((block, prepared)),
                Err(error) => {
                    if let Some(block) = block {
                        let number = block.fact().block();
                        // Nothing ever pointed to it.
                        let _ = fs.noted(fs.groups().free_run(&block.map(|_| Cut), number, 1));
                    }
                    Err(error)
                }
            }
        });
        let (block, prepared) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                child.abandon();
                fs.groups().give_back_inode(taken, kind);
                pmem.fence();
                return Err(error);
            }
        };
        // 3. The inode. With the name, and the parent's link from a new directory, durable. Nothing fails
        //    from here on.
        let new = self.new_of(kind, mode, content, block);
        let now = new.now;
        let target = fs.groups().write_inode(lock, taken, &self, &new);
        child.mapping.set_size(ChangeOk::nobody_else(), u64::from(new.size));
        if kind == FileKind::Directory {
            self.raise_links(lock)?.flush(pmem).unfenced();
        }
        let (prepared, target) = fence_all(pmem, (prepared, target));
        // 4. The name; durable on return.
        self.publish_entry(lock, prepared, target, name, now)?;
        pmem.fence();
        Ok(child)
    }

    /// The block that a new inode starts with, if it does: filled, durable.
    fn first_block(
        self,
        taken: &TakenInode,
        kind: FileKind,
        content: Content<'_>,
    ) -> Result<Option<Staged<Taken, Clean>>> {
        let (fs, pmem) = (&self.fs, self.pmem());
        let entries;
        let bytes: &[u8] = match content {
            Content::Target(target) if target.len() as u64 >= I_BLOCK_BYTES => target,
            Content::Empty if kind == FileKind::Directory => {
                entries = dots(&fs.sb, taken.ino, self.ino);
                &entries
            }
            _ => return Ok(None),
        };
        let block = fs.groups().take_block(fs.sb.group_start(fs.sb.group_of_inode(taken.ino)))?;
        let (at, len) = (fs.byte(block.fact().block()), bytes.len() as u64);
        pmem.write_nt(at, bytes);
        pmem.zero_nt(at + len, fs.block_size() - len);
        let filled = Staged::streamed((), at, fs.block_size());
        Ok(Some(block.join(filled, |taken, ()| taken).fence(pmem)))
    }

    /// Makes one more name for inode `ino`.
    pub(in crate::ext2) fn link_name(self, name: &[u8], ino: u64) -> Result<()> {
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
        let exclusive = self.lock.exclusive();
        let lock = exclusive.change_ok();
        let room = self.room_for_new(lock, name)?;
        let target_lock = target.lock.exclusive();
        target.expect_alive()?;
        target.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        if target.links() >= LINK_MAX {
            return Err(Errno::TooManyLinks.into());
        }
        let (pmem, now) = (self.pmem(), self.fs.platform.now());
        let nameable = Nameable::new(&self.fs.sb, target.ino, target.kind);
        // 1. The name, where nobody sees it; the link for it.
        let prepared = self.prepare(lock, room, name, &nameable)?;
        target.touch(&[CTIME], now);
        let raised = target.raise_links(target_lock.change_ok())?.flush(pmem).map(|_| nameable);
        let (prepared, raised) = fence_all(pmem, (prepared, raised));
        // 2. The name appears; durable on return.
        self.publish_entry(lock, prepared, raised, name, now)?;
        pmem.fence();
        Ok(())
    }

    pub(in crate::ext2) fn unlink_name(self, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let _thawed = self.fs.start_change()?;
        if is_dot_name(name) {
            return Err(Errno::IsDirectory.into());
        }
        // The handle is dropped after the lock: the inode may go with it.
        drop(self.unlink_locked(name)?);
        Ok(())
    }

    fn unlink_locked(self, name: &[u8]) -> Result<Arc<Ext2Inode<P>>> {
        let exclusive = self.lock.exclusive();
        let lock = exclusive.change_ok();
        let found = self.expect_name(lock.held(), name)?;
        let child = self.named(lock.held(), &found.entry)?;
        self.expect_removable(&child)?;
        if child.kind == FileKind::Directory {
            return Err(Errno::IsDirectory.into());
        }
        {
            let exclusive = child.lock.exclusive();
            let child_lock = exclusive.change_ok();
            let (pmem, now) = (self.pmem(), self.fs.platform.now());
            match child.links().saturating_sub(1) {
                0 => {
                    // 1. That it has no link any more, durably, while only this name leads to it, which
                    //    nobody looks at.
                    let goes = child.say_it_goes(child_lock, now).flush(pmem).fence(pmem);
                    // 2. The name. What a crash leaves without one, but with a link, is not ours to free.
                    let gone = self.take_out_last(lock, &found, name, now, &goes).flush(pmem).fence(pmem);
                    child.links_left(child_lock, goes, &gone);
                }
                left => {
                    // 1. The name.
                    let gone = self.take_out(lock, &found, name, now).flush(pmem).fence(pmem);
                    // 2. The link.
                    let stored = child.lose_name(child_lock, &gone, left, now).flush(pmem).fence(pmem);
                    child.links_left(child_lock, stored, &gone);
                }
            }
        }
        Ok(child)
    }

    /// What a new inode is to be, with its first block, if it has one.
    fn new_of(
        self,
        kind: FileKind,
        mode: u16,
        content: Content<'_>,
        block: Option<Staged<Taken, Clean>>,
    ) -> New {
        let now = self.fs.platform.now();
        let mut new = New { kind, mode, now, size: 0, units: 0, i_block: [0; I_BLOCK_BYTES as usize] };
        match content {
            Content::Empty => {}
            Content::Target(target) => {
                new.size = target.len() as u32;
                if block.is_none() {
                    new.i_block[..target.len()].copy_from_slice(target);
                }
            }
            Content::Device(device) => new.i_block[..8].copy_from_slice(&encode_device(device)),
        }
        if let Some(block) = block {
            new.i_block[..4].copy_from_slice(&block.into_fact().block().to_le_bytes());
            new.units = (self.fs.block_size() / 512) as u32;
            if kind == FileKind::Directory {
                new.size = self.fs.block_size() as u32;
            }
        }
        new
    }

    /// Refuses to take the name of `child` out of this directory if the flags of either forbid it.
    pub(in crate::ext2) fn expect_removable(self, child: &Ext2Inode<P>) -> Result<()> {
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        child.expect_without(IMMUTABLE_FL | APPEND_FL)
    }

    pub(in crate::ext2) fn rmdir_name(self, name: &[u8]) -> Result<()> {
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

    fn rmdir_locked(self, name: &[u8]) -> Result<Arc<Ext2Inode<P>>> {
        // Whoever locks a directory below another holds this: in a hostile circle of directories, two would
        // wait for each other.
        let _rename = self.fs.rename.lock();
        let exclusive = self.lock.exclusive();
        let lock = exclusive.change_ok();
        let found = self.expect_name(lock.held(), name)?;
        let child = self.named(lock.held(), &found.entry)?;
        self.expect_removable(&child)?;
        let subdir = child.dir()?;
        self.expect_child(lock.held(), &found, subdir)?;
        {
            let exclusive = child.lock.exclusive();
            let child_lock = exclusive.change_ok();
            if !subdir.is_empty_dir(child_lock.held(), self.ino)? {
                return Err(Errno::NotEmpty.into());
            }
            let (pmem, now) = (self.pmem(), self.fs.platform.now());
            let gone = self.take_out(lock, &found, name, now).flush(pmem).fence(pmem);
            // `.` goes with the directory: no link is left. And `..`.
            let left = child.lose_name(child_lock, &gone, 0, now).flush(pmem);
            self.lose_name(lock, &gone, self.links().saturating_sub(1), now).flush(pmem).unfenced();
            child.links_left(child_lock, left.fence(pmem), &gone);
        }
        Ok(child)
    }

    /// Refuses a subdirectory that says it belongs elsewhere, this directory itself among them: locking it
    /// could wait for ever. Without the child's lock: its `..` changes only under ours.
    pub(in crate::ext2) fn expect_child(
        self,
        lock: InodeHeld<'_>,
        found: &FoundName,
        child: Dir<'_, P>,
    ) -> Result<()> {
        if child.ino == self.ino || child.ino == ROOT_INO || child.dot_dot(lock)?.ino != self.ino {
            return Err(bad_dir(self.ino, "a subdirectory names another parent", found.entry.pos));
        }
        Ok(())
    }
}

/// The start of a new directory's only block: its entries `.` and `..`.
fn dots(sb: &SuperBlock, ino: u32, parent: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    let file_type = entry_type(sb, FileKind::Directory);
    let first = Dirent::need(1);
    bytes[..4].copy_from_slice(&ino.to_le_bytes());
    bytes[4..10].copy_from_slice(&[first as u8, 0, 1, file_type, b'.', 0]);
    bytes[12..16].copy_from_slice(&parent.to_le_bytes());
    bytes[16..18].copy_from_slice(&(sb.block_size() as u16 - first).to_le_bytes());
    bytes[18..22].copy_from_slice(&[2, file_type, b'.', b'.']);
    bytes
}
