//! An inode's times, read and stored in place.

use super::inode::Ext2Inode;
use crate::ext::inode::{CTIME, MTIME, TimeOffsets, encode};
use crate::ext::layout::*;
use crate::platform::{Platform, Timestamp};
use crate::pmem::Pmem;
use crate::vfs::ChangeOk;

impl<P: Platform> Ext2Inode<P> {
    /// Stores `now` into each of `times`, and flushes. A write fault leaves it at that: a time is advisory,
    /// and a crash may bring back an earlier one.
    #[inline]
    pub(super) fn touch(&self, times: &[TimeOffsets], now: Timestamp) {
        let (pmem, raw) = (self.pmem(), self.raw());
        let (at, end) = (raw.at, raw.fields_end());
        let (secs, more) = encode(now, true);
        self.fault_time.forget();
        for &TimeOffsets(low, extra) in times {
            if extra + 4 <= end {
                pmem.store_u32(at + low, secs);
                pmem.store_u32(at + extra, more);
            } else {
                pmem.store_u32(at + low, encode(now, false).0);
            }
        }
        pmem.flush(at + I_ATIME, 12);
        if end > I_CTIME_EXTRA {
            pmem.flush(at + I_CTIME_EXTRA, 12);
        }
    }

    /// Makes room for times that somebody is about to set. An inode that is large enough for all of it, but
    /// whose fields end before, as some drivers leave it, gets the others, unless attributes are in their
    /// place. Durable.
    pub(super) fn make_room_for_times(&self, _lock: ChangeOk<'_>) {
        let (pmem, sb, raw) = (self.pmem(), &self.fs.sb, self.raw());
        let start = raw.at + u64::from(GOOD_OLD_INODE_SIZE);
        let (old, extra) = (raw.extra(), u64::from(sb.extra_isize));
        let needed = I_ATIME_EXTRA + 4 - u64::from(GOOD_OLD_INODE_SIZE);
        if old >= needed || extra < needed {
            return;
        }
        let has_attributes = old.is_multiple_of(4) && pmem.load_u32(start + old) == XATTR_MAGIC;
        if !old.is_multiple_of(4) || old >= extra || has_attributes {
            return;
        }
        // 1. What is there is nothing's; zeros are seconds without a fraction, as they were. 2. The fields
        //    reach over it.
        let from = old.max(4);
        pmem.zero_nt(start + from, extra - from);
        pmem.fence();
        pmem.store_u16(raw.at + I_EXTRA_ISIZE, sb.extra_isize);
        pmem.flush(raw.at + I_EXTRA_ISIZE, 2);
        pmem.fence();
    }

    /// Notes a write fault: content and inode change now, as a clock sees it that stands still for some
    /// milliseconds. Stores and flushes nothing if another fault did so at the same time.
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
        self.fault_time.set(now);
    }
}
