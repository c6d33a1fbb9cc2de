//! An inode's times, stored in memory: the next commit takes them to the disk.

use super::edit::Edit;
use super::inode::Ext4Inode;
use crate::ext::inode::{CTIME, MTIME, TimeOffsets, encode};
use crate::platform::{Platform, Timestamp};
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> Ext4Inode<P> {
    /// Stores `now` into each of `times`. The caller marks the inode.
    pub(super) fn touch(&self, times: &[TimeOffsets], now: Timestamp) {
        let (edit, end) = (self.edit(), self.raw().fields_end());
        // Whatever the times say from here on, the next write fault looks at its clock.
        self.fault_time.store(0, Relaxed);
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
        let stamp = (now.secs as u64) << 30 | u64::from(now.nanos);
        if self.fault_time.load(Relaxed) != stamp {
            self.touch_anew(now, stamp);
        }
    }

    #[cold]
    #[inline(never)]
    fn touch_anew(&self, now: Timestamp, stamp: u64) {
        self.touch(&[MTIME, CTIME], now);
        self.mark_times();
        self.fault_time.store(stamp, Relaxed);
    }
}
