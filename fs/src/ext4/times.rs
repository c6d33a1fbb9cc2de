//! An inode's times, stored in memory: the next commit takes them to the disk.

use super::edit::Edit;
use super::inode::Ext4Inode;
use crate::ext::inode::{CTIME, MTIME, TimeOffsets, encode};
use crate::platform::{Platform, Timestamp};

impl<P: Platform> Ext4Inode<P> {
    /// Stores `now` into each of `times`. The caller marks the inode.
    pub(super) fn touch(&self, times: &[TimeOffsets], now: Timestamp) {
        let (edit, end) = (self.edit(), self.raw().fields_end());
        self.fault_time.forget();
        for &TimeOffsets(low, extra) in times {
            let has_extra = extra + 4 <= end;
            let (secs, more) = encode(now, has_extra);
            edit.store_u32(low, secs);
            if has_extra {
                edit.store_u32(extra, more);
            }
        }
    }

    /// Notes that content and inode changed now, in no operation.
    pub(super) fn touch_content(&self) {
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        self.mark_times();
    }

    /// Notes a write fault, as a clock sees it that stands still for some milliseconds. Does nothing if
    /// another fault did so at the same time.
    #[inline]
    pub(super) fn touch_for_fault(&self) {
        let now = self.fs.platform.now_coarse();
        if !self.fault_time.is(now) {
            self.touch_anew(now);
        }
    }

    #[cold]
    #[inline(never)]
    fn touch_anew(&self, now: Timestamp) {
        self.touch(&[MTIME, CTIME], now);
        self.mark_times();
        self.fault_time.set(now);
    }
}
