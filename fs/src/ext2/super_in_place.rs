//! The superblock's fields that change, stored in place: state, counts, times, errors, features that come to
//! be used, and who mounted last.
//!
//! # Locking
//! Takes the superblock's mutex, a leaf.

use super::fs::Ext2;
use crate::error::{Corrupt, Errno, Result, Unsupported};
use crate::ext::features::{COMPAT_EXT_ATTR, RO_COMPAT_LARGE_FILE};
use crate::ext::layout::*;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::StatFs;

/// The superblock of a mounted file system, in place.
pub(super) struct SuperInPlace<'a, P: Platform>(&'a Ext2<P>);

view!(SuperInPlace of Ext2);

impl<P: Platform> Ext2<P> {
    /// Returns the file system's superblock, in place.
    #[inline(always)]
    pub(super) fn super_in_place(&self) -> SuperInPlace<'_, P> {
        SuperInPlace(self)
    }
}

impl<P: Platform> SuperInPlace<'_, P> {
    /// Stores the state; under the superblock's mutex. The caller flushes.
    fn store_state(self, state: u16) {
        self.pmem().store_u16(SUPERBLOCK + S_STATE, state);
    }

    /// Stores the time it is to the superblock, where these fields hold the low 32 bits and the 8 above;
    /// flushes these 8.
    fn store_now(self, (low, high): (u64, u64)) {
        let (pmem, now) = (self.pmem(), self.platform.now().secs);
        pmem.store_u32(SUPERBLOCK + low, now as u32);
        let above = (now >> 32) as u8;
        if self.sb.rev_level > 0 && pmem.load_u8(SUPERBLOCK + high) != above {
            pmem.store_u8(SUPERBLOCK + high, above);
            pmem.flush(SUPERBLOCK + high, 1);
        }
    }

    /// Returns when the file system was last mounted, in seconds since 1970.
    pub(super) fn mounted_at(self) -> i64 {
        let pmem = self.pmem();
        let above = if self.sb.rev_level > 0 { pmem.load_u8(SUPERBLOCK + S_MTIME_HI) } else { 0 };
        i64::from(above) << 32 | i64::from(pmem.load_u32(SUPERBLOCK + S_MTIME))
    }

    /// Says on the image that it is mounted for writing, since when, and by whom; durable.
    pub(super) fn mark_mounted(self) {
        let pmem = self.pmem();
        let _lock = self.super_lock.lock();
        // What was repaired has no errors any more.
        self.store_state(if self.recovered().is_some() { 0 } else { self.sb.state & !VALID_FS });
        let count = pmem.load_u16(SUPERBLOCK + S_MNT_COUNT).saturating_add(1);
        pmem.store_u16(SUPERBLOCK + S_MNT_COUNT, count);
        self.store_now((S_MTIME, S_MTIME_HI));
        self.store_now((S_WTIME, S_WTIME_HI));
        self.mark_owner();
        if self.sb.rev_level > 0 {
            let mut last_mounted = [0; 64];
            last_mounted[0] = b'/';
            pmem.write(SUPERBLOCK + S_LAST_MOUNTED, &last_mounted);
        }
        pmem.flush(SUPERBLOCK, 1024);
        pmem.fence();
    }

    /// Makes the superblock's counts right and everything stored so far durable.
    pub(super) fn sync(self, state: Option<u16>) {
        let pmem = self.pmem();
        let _lock = self.super_lock.lock();
        // Looked at under the lock: an unmount that comes after has the last word.
        if self.check_writable().is_ok() || state.is_some() {
            let (blocks, inodes) = self.groups().sum_free();
            pmem.store_u32(SUPERBLOCK + S_FREE_BLOCKS_COUNT, blocks);
            pmem.store_u32(SUPERBLOCK + S_FREE_INODES_COUNT, inodes);
            self.store_now((S_WTIME, S_WTIME_HI));
            if self.met_errors() {
                self.store_state(pmem.load_u16(SUPERBLOCK + S_STATE) | ERROR_FS);
            }
            pmem.flush(SUPERBLOCK, 128);
            // Everything before is durable before the image may say that it is clean.
            pmem.fence();
            if let Some(state) = state {
                self.store_state(state);
                pmem.flush(SUPERBLOCK + S_STATE, 2);
            }
        }
        pmem.fence();
    }

    /// Returns the state of an image of which nobody wants anything any more: the one that was found, unless
    /// there is more to say.
    pub(super) fn final_state(self) -> u16 {
        let found = if self.recovered().is_some() { VALID_FS } else { self.sb.state };
        if self.met_errors() { found & !VALID_FS | ERROR_FS } else { found }
    }

    /// Says on the image that it has a file of 2 GiB or more, before there is one.
    pub(super) fn need_large_file(self) -> Result<()> {
        let pmem = self.pmem();
        let at = SUPERBLOCK + S_FEATURE_RO_COMPAT;
        if self.sb.rev_level == 0 {
            return Err(Errno::FileTooBig.into());
        }
        if pmem.load_u32(at) & RO_COMPAT_LARGE_FILE == 0 {
            let _lock = self.super_lock.lock();
            pmem.store_u32(at, pmem.load_u32(at) | RO_COMPAT_LARGE_FILE);
            pmem.flush(at, 4);
            pmem.fence();
        }
        Ok(())
    }

    /// Marks the image as not clean, for as long as it may change.
    pub(super) fn mark_in_use(self) {
        let pmem = self.pmem();
        let _lock = self.super_lock.lock();
        let errors = if self.met_errors() { ERROR_FS } else { 0 };
        self.store_state(pmem.load_u16(SUPERBLOCK + S_STATE) & !VALID_FS | errors);
        pmem.flush(SUPERBLOCK + S_STATE, 2);
        pmem.fence();
    }

    /// Writes that this mount is ours, and that there is no record. At mount, after the mount's count and
    /// time are stored, under the superblock's mutex; the caller flushes and fences.
    pub(super) fn mark_owner(self) {
        let pmem = self.pmem();
        pmem.store_u64(SUPERBLOCK + S_REDO, 0);
        pmem.store_u32(SUPERBLOCK + S_OWNER, OWNER_MAGIC);
        pmem.store_u32(SUPERBLOCK + S_OWNER_MNT_COUNT, pmem.load_u16(SUPERBLOCK + S_MNT_COUNT).into());
        pmem.store_u32(SUPERBLOCK + S_OWNER_MTIME, pmem.load_u32(SUPERBLOCK + S_MTIME));
    }

    /// Returns whether the last mount for writing was ours: what it left follows our order of stores. Called
    /// at mount, before this mount is marked.
    pub(super) fn last_mount_was_ours(self) -> bool {
        let pmem = self.pmem();
        pmem.load_u32(SUPERBLOCK + S_OWNER) == OWNER_MAGIC
            && pmem.load_u32(SUPERBLOCK + S_OWNER_MNT_COUNT)
                == u32::from(pmem.load_u16(SUPERBLOCK + S_MNT_COUNT))
            && pmem.load_u32(SUPERBLOCK + S_OWNER_MTIME) == pmem.load_u32(SUPERBLOCK + S_MTIME)
    }

    /// Says on the image that it has errors; durable.
    pub(super) fn store_error_state(self) {
        let _lock = self.super_lock.lock();
        if self.flush_error_state() {
            self.pmem().fence();
        }
    }

    /// Says on the image that it has errors, for which the superblock's mutex is held; flushed. Returns false
    /// if a memory error took some of the superblock: nothing can be told there.
    fn flush_error_state(self) -> bool {
        let pmem = self.pmem();
        if pmem.poisoned(SUPERBLOCK, 1024).is_some() {
            return false;
        }
        self.store_state(pmem.load_u16(SUPERBLOCK + S_STATE) | ERROR_FS);
        pmem.flush(SUPERBLOCK + S_STATE, 2);
        true
    }

    /// Says on the image that it has errors, and which was the first and the last; durable.
    pub(super) fn store_error(self, what: &Corrupt) {
        let pmem = self.pmem();
        let _lock = self.super_lock.lock();
        if !self.flush_error_state() {
            return;
        }
        // Revision 0 has no fields behind the first.
        if self.sb.rev_level > 0 {
            let count = pmem.load_u32(SUPERBLOCK + S_ERROR_COUNT).saturating_add(1);
            pmem.store_u32(SUPERBLOCK + S_ERROR_COUNT, count);
            let ino = if matches!(what.what, "inode" | "directory") { what.index as u32 } else { 0 };
            let first = ((S_FIRST_ERROR_TIME, S_FIRST_ERROR_TIME_HI), S_FIRST_ERROR_INO, S_FIRST_ERROR_FUNC);
            let last = ((S_LAST_ERROR_TIME, S_LAST_ERROR_TIME_HI), S_LAST_ERROR_INO, S_LAST_ERROR_FUNC);
            for (time, inode, func) in [first, last].into_iter().skip(usize::from(count > 1)) {
                self.store_now(time);
                pmem.store_u32(SUPERBLOCK + inode, ino);
                // A function's name belongs here; the structure's tells more, since there is no log to look
                // into.
                let mut name = [0; S_ERROR_FUNC_LEN];
                let len = what.what.len().min(S_ERROR_FUNC_LEN);
                name[..len].copy_from_slice(&what.what.as_bytes()[..len]);
                pmem.write(SUPERBLOCK + func, &name);
            }
            pmem.flush(SUPERBLOCK + S_ERROR_COUNT, S_ERRORS_END - S_ERROR_COUNT);
        }
        pmem.fence();
    }

    /// Says on the image that it has a block of attributes, before there is one.
    pub(super) fn need_ext_attr(self) -> Result<()> {
        let (pmem, at) = (self.pmem(), SUPERBLOCK + S_FEATURE_COMPAT);
        if self.sb.rev_level == 0 {
            return Err(Unsupported::Operation("extended attributes on revision 0").into());
        }
        if pmem.load_u32(at) & COMPAT_EXT_ATTR == 0 {
            let _lock = self.super_lock.lock();
            pmem.store_u32(at, pmem.load_u32(at) | COMPAT_EXT_ATTR);
            pmem.flush(at, 4);
            pmem.fence();
        }
        Ok(())
    }

    /// Returns space and inodes, used and free.
    pub(super) fn stat(self) -> StatFs {
        let (blocks, inodes) = self.groups().sum_free();
        StatFs {
            block_size: self.block_size(),
            blocks: u64::from(self.sb.blocks_count).saturating_sub(self.sb.overhead()),
            // Not more than `blocks`: no group is believed that it has more.
            blocks_free: blocks.into(),
            blocks_available: blocks.saturating_sub(self.sb.r_blocks_count).into(),
            inodes: self.sb.inodes_count.into(),
            inodes_free: inodes.into(),
            label: self.sb.volume_name,
            uuid: self.sb.uuid,
        }
    }
}
