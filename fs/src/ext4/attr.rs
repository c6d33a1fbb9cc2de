//! An inode's attributes, in memory: links, owner and mode, size.

use super::edit::Edit;
use super::inode::Ext4Inode;
use crate::error::{Errno, Result};
use crate::ext::inode::{ATIME, CTIME, MTIME};
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::platform::Platform;
use crate::vfs::{ChangeOk, SetAttr};

impl<P: Platform> Ext4Inode<P> {
    /// Returns `i_links_count`.
    pub(super) fn links(&self) -> u16 {
        self.raw().links()
    }

    /// Stores `i_links_count`.
    pub(super) fn store_links(&self, links: u16) {
        self.edit().store_u16(I_LINKS_COUNT, links);
    }

    /// Stores `i_size`.
    pub(super) fn store_size(&self, lock: ChangeOk<'_>, size: u64) {
        let edit = self.edit();
        edit.store_u32(I_SIZE, size as u32);
        edit.store_u32(I_SIZE_HIGH, (size >> 32) as u32);
        self.mapping.set_size(lock, size);
    }

    /// Refuses what has no name any more: nothing is named in such a directory, nor is it named again.
    pub(super) fn expect_alive(&self) -> Result<()> {
        if self.links() == 0 { Err(Errno::NotFound.into()) } else { Ok(()) }
    }

    /// Makes room for times that somebody is about to set. An inode that is large enough for all of it, but
    /// whose fields end before, as some drivers leave it, gets the others, unless attributes are in their
    /// place.
    fn make_room_for_times(&self) {
        let (edit, start) = (self.edit(), u64::from(GOOD_OLD_INODE_SIZE));
        let (old, extra) = (self.raw().extra(), u64::from(self.fs.sb.extra_isize));
        let needed = I_ATIME_EXTRA + 4 - start;
        // What is there is nothing's; zeros are seconds without a fraction, as they were.
        if old < needed && needed <= extra && edit.load_u32(start + old.max(4)) != XATTR_MAGIC {
            (old.max(4)..extra).step_by(4).for_each(|at| edit.store_u32(start + at, 0));
            edit.store_u16(I_EXTRA_ISIZE, extra as u16);
        }
    }

    /// Changes attributes, as [`Inode::set_attr`](crate::vfs::Inode::set_attr).
    pub(super) fn change_attr(&self, change: &SetAttr) -> Result<()> {
        // All ones are nobody: chown(2) takes them for "as it is", which is `None` here.
        if change.uid == Some(u32::MAX) || change.gid == Some(u32::MAX) {
            return Err(Errno::Invalid.into());
        }
        let _thawed = self.fs.start_change()?;
        let _exclusive = self.lock.exclusive();
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        let op = self.fs.begin(1)?;
        self.copy().expect_place(&op)?;
        let edit = self.edit();
        if let Some(mode) = change.mode {
            edit.store_u16(I_MODE, self.raw().mode() & !0o7777 | mode & 0o7777);
        }
        for (id, low, high) in [(change.uid, I_UID, I_UID_HIGH), (change.gid, I_GID, I_GID_HIGH)] {
            if let Some(id) = id {
                edit.store_u16(low, id as u16);
                edit.store_u16(high, (id >> 16) as u16);
            }
        }
        if change.atime.is_some() || change.mtime.is_some() {
            self.make_room_for_times();
        }
        for (time, at) in
            [(change.atime, ATIME), (change.mtime, MTIME), (Some(self.fs.platform.now()), CTIME)]
        {
            if let Some(time) = time {
                self.touch(&[at], time);
            }
        }
        self.mark(&op)
    }
}
