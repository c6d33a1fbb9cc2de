//! An inode's times, read and stored in place.

use super::disk::inode::{CTIME, MTIME, Time, decode, encode};
use super::disk::layout::*;
use super::fs::Ext2;
use super::inode::Inode;
use crate::platform::{Platform, Timestamp};
use crate::pmem::Pmem;
use core::sync::atomic::Ordering::Relaxed;

impl<P: Platform> Ext2<P> {
    /// Where the fields of the inode at byte offset `raw` end that are in use.
    #[inline]
    fn fields_end(&self, raw: u64) -> u64 {
        let size = u64::from(self.sb.inode_size);
        let good_old = u64::from(GOOD_OLD_INODE_SIZE);
        if size == good_old {
            return good_old;
        }
        (good_old + u64::from(self.pmem().load_u16(raw + I_EXTRA_ISIZE))).min(size)
    }

    /// When the content of the inode at byte offset `raw` was last changed.
    pub(super) fn mtime_at(&self, raw: u64) -> Timestamp {
        let pmem = self.pmem();
        let has_extra = I_MTIME_EXTRA + 4 <= self.fields_end(raw);
        let extra = if has_extra { pmem.load_u32(raw + I_MTIME_EXTRA) } else { 0 };
        decode(pmem.load_u32(raw + I_MTIME), extra)
    }
}

impl<P: Platform> Inode<P> {
    /// True if the field of four bytes at `at`, beyond the first 128 bytes, is in use.
    #[inline]
    pub(super) fn has_field(&self, at: u64) -> bool {
        at + 4 <= self.fields_end()
    }

    /// Where the fields of the raw inode end that are in use.
    #[inline]
    fn fields_end(&self) -> u64 {
        self.fs.fields_end(self.raw)
    }

    pub(super) fn time(&self, Time(low, extra): Time) -> Timestamp {
        let pmem = self.pmem();
        let extra = if self.has_field(extra) { pmem.load_u32(self.raw + extra) } else { 0 };
        decode(pmem.load_u32(self.raw + low), extra)
    }

    /// Stores `now` into each of `times`, and flushes. A write fault leaves it at that: a time is advisory,
    /// and a crash may bring back an earlier one.
    #[inline]
    pub(super) fn touch(&self, times: &[Time], now: Timestamp) {
        let (pmem, end) = (self.pmem(), self.fields_end());
        let (secs, more) = encode(now, true);
        // Whatever the times say from here on, the next write fault looks at its clock.
        self.fault_time.store(0, Relaxed);
        for &Time(low, extra) in times {
            if extra + 4 <= end {
                pmem.store_u32(self.raw + low, secs);
                pmem.store_u32(self.raw + extra, more);
            } else {
                pmem.store_u32(self.raw + low, encode(now, false).0);
            }
        }
        pmem.flush(self.raw + I_ATIME, 12);
        if end > I_CTIME_EXTRA {
            pmem.flush(self.raw + I_CTIME_EXTRA, 12);
        }
    }
}

impl<P: Platform> Inode<P> {
    /// Times are about to be set to what somebody asks for. An inode that is large enough for all of it, but
    /// whose fields end before, as some drivers leave it, gets the others, unless attributes are in their
    /// place. Durable; under the inode lock, held exclusively.
    pub(super) fn make_room_for_times(&self) {
        let (pmem, sb, start) = (self.pmem(), &self.fs.sb, self.raw + u64::from(GOOD_OLD_INODE_SIZE));
        let extra = u64::from(sb.extra_isize);
        if self.has_field(I_ATIME_EXTRA) || u64::from(GOOD_OLD_INODE_SIZE) + extra < I_ATIME_EXTRA + 4 {
            return;
        }
        let old = u64::from(pmem.load_u16(self.raw + I_EXTRA_ISIZE));
        let has_attributes = old.is_multiple_of(4) && pmem.load_u32(start + old) == XATTR_MAGIC;
        if !old.is_multiple_of(4) || old >= extra || has_attributes {
            return;
        }
        // 1. What is there is nothing's; zeros are seconds without a fraction, as they were. 2. The fields
        //    reach over it.
        let from = old.max(4);
        pmem.zero_nt(start + from, extra - from);
        pmem.fence();
        pmem.store_u16(self.raw + I_EXTRA_ISIZE, sb.extra_isize);
        pmem.flush(self.raw + I_EXTRA_ISIZE, 2);
        pmem.fence();
    }

    /// A write fault: content and inode change now, as a clock sees it that stands still for some
    /// milliseconds. Stores and flushes nothing if another fault did so at the same time.
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
        self.fault_time.store(stamp, Relaxed);
    }
}
