//! Inodes made: in memory first, from where the commit writes them to their table. No name leads to one yet.

use super::Dir;
use super::edit::DirectoryEdit;
use crate::error::Result;
use crate::ext::inode::{ATIME, CTIME, Heir, MTIME, TimeOffsets, encode_device};
use crate::ext::layout::*;
use crate::ext4::change::{EditBytes, InodeChange};
use crate::ext4::disk::extent::{MAGIC, ROOT_MAX};
use crate::ext4::edit::Edit;
use crate::ext4::inode::Ext4Inode;
use crate::ext4::operation::Ext4Operation;
use crate::jbd2::{BlockBuffer, BufferMut};
use crate::platform::Platform;
use crate::vfs::{ChangeOk, Device, FileKind};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// What a new inode starts with.
#[derive(Clone, Copy)]
pub(super) enum FirstContent<'a> {
    /// Nothing; a directory has `.` and `..`.
    Empty,
    /// A symbolic link's target.
    Target(&'a [u8]),
    /// A device's numbers.
    Device(Device),
}

impl FirstContent<'_> {
    /// Whether `i_block` is the root of a tree of extents.
    fn has_extents(&self, kind: FileKind) -> bool {
        match self {
            Self::Empty => matches!(kind, FileKind::File | FileKind::Directory),
            Self::Target(target) => target.len() as u64 >= I_BLOCK_BYTES,
            Self::Device(_) => false,
        }
    }
}

impl<P: Platform> Dir<'_, P> {
    /// Takes an inode for a name in this directory and makes it, with what it starts with.
    ///
    /// # Errors
    /// No space, no memory; damage. Nothing was taken.
    pub(super) fn give_birth(
        self,
        op: &Ext4Operation<'_, P>,
        kind: FileKind,
        mode: u16,
        content: FirstContent<'_>,
    ) -> Result<Arc<Ext4Inode<P>>> {
        let (fs, is_dir) = (&self.fs, kind == FileKind::Directory);
        let ino = fs.groups.take_inode(op, self.ino, is_dir)?;
        let child = match self.new_inode(op, ino, kind, mode, content) {
            Ok(child) => child,
            Err(error) => {
                let _ = fs.noted(fs.groups.free_inode(op, ino, is_dir));
                return Err(error);
            }
        };
        let filled = match content {
            FirstContent::Empty if is_dir => {
                let change = InodeChange::new(op, &child);
                DirectoryEdit { blocks: &change, sb: &fs.sb, ino }.start(self.ino)
            }
            FirstContent::Target(target) if content.has_extents(kind) => {
                InodeChange::new(op, &child).append_block(0).map(|bytes| bytes.write(0, target))
            }
            _ => Ok(()),
        };
        match filled.and_then(|()| child.mark_data(op)) {
            Ok(()) => Ok(child),
            Err(error) => {
                child.take_back(op);
                Err(error)
            }
        }
    }

    /// Makes inode `ino`, which was taken, in memory. Once this is done, writing it cannot fail.
    fn new_inode(
        self,
        op: &Ext4Operation<'_, P>,
        ino: u32,
        kind: FileKind,
        mode: u16,
        content: FirstContent<'_>,
    ) -> Result<Arc<Ext4Inode<P>>> {
        let (fs, sb) = (&self.fs, &self.fs.sb);
        let place = fs.place_of_inode(ino)?;
        op.change(place.block)?;
        let bytes = EditBytes(BufferMut::new(Arc::new(BlockBuffer::zeros(sb.inode_size.into()))));
        let Heir { mode, uid, gid, links, mut flags } = self.raw().heir(kind, mode, fs.platform.user());
        for (low, high, id) in [(I_UID, I_UID_HIGH, uid), (I_GID, I_GID_HIGH, gid)] {
            bytes.store_u16(low, id as u16);
            bytes.store_u16(high, (id >> 16) as u16);
        }
        bytes.store_u16(I_MODE, mode);
        bytes.store_u16(I_LINKS_COUNT, links);
        if content.has_extents(kind) {
            flags |= EXTENTS_FL;
            bytes.store_u32(I_BLOCK, MAGIC);
            bytes.store_u32(I_BLOCK + 4, ROOT_MAX as u32);
        }
        bytes.store_u32(I_FLAGS, flags);
        bytes.store_u32(I_GENERATION, fs.next_generation.fetch_add(1, Relaxed));
        if sb.inode_size > GOOD_OLD_INODE_SIZE {
            bytes.store_u16(I_EXTRA_ISIZE, sb.extra_isize);
        }
        let mut size = 0;
        match content {
            FirstContent::Empty => {}
            FirstContent::Target(target) => {
                size = target.len() as u64;
                if !content.has_extents(kind) {
                    bytes.write(I_BLOCK, target);
                }
            }
            FirstContent::Device(device) => bytes.write(I_BLOCK, &encode_device(device)),
        }
        let child = fs.inode_of(ino, (place.block, place.at), bytes.0.into_buffer(), kind, 0).known();
        child.store_size(ChangeOk::nobody_else(), size);
        let now = fs.platform.now();
        child.touch(&[ATIME, CTIME, MTIME], now);
        if child.raw().fields_end() >= I_CRTIME_EXTRA + 4 {
            child.touch(&[TimeOffsets(I_CRTIME, I_CRTIME_EXTRA)], now);
        }
        Ok(child)
    }
}
