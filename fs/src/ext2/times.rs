//! An inode's times. Inodes of 128 bytes have seconds (32 bits, signed); larger ones may have 2 more bits of
//! seconds and 30 bits of nanoseconds in an `_extra` field, if `i_extra_isize` covers it.

use super::Ext2;
use super::inode::Inode;
use super::layout::*;
use crate::platform::{Platform, Timestamp};
use crate::pmem::Pmem;
use core::sync::atomic::Ordering::Relaxed;

/// One of an inode's times: the offsets of its two halves.
#[derive(Clone, Copy)]
pub(super) struct Time(u64, u64);

pub(super) const ATIME: Time = Time(I_ATIME, I_ATIME_EXTRA);
pub(super) const CTIME: Time = Time(I_CTIME, I_CTIME_EXTRA);
pub(super) const MTIME: Time = Time(I_MTIME, I_MTIME_EXTRA);

/// The latest time the extra bits can say (in the year 2446).
const LAST: i64 = (3 << 32) + i32::MAX as i64;

/// Both halves of a time, as stored; what does not fit is brought to the nearest that does.
pub(super) fn encode(time: Timestamp, has_extra: bool) -> (u32, u32) {
    let last = if has_extra { LAST } else { i32::MAX.into() };
    let secs = time.secs.clamp(i32::MIN.into(), last);
    let low = secs as u32;
    let epoch = ((secs - i64::from(low as i32)) >> 32) as u32 & 3;
    (low, time.nanos.min(999_999_999) << 2 | epoch)
}

/// The time of both halves.
pub(super) fn decode(low: u32, extra: u32) -> Timestamp {
    let secs = i64::from(low as i32) + (i64::from(extra & 3) << 32);
    Timestamp { secs, nanos: (extra >> 2).min(999_999_999) }
}

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

    /// Stores `now` into each of `times`, and flushes. A write fault leaves it at that: a time is advisory, and a crash
    /// may bring back an earlier one.
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
    /// Times are about to be set to what somebody asks for. An inode that is large enough for all of it, but whose fields end
    /// before, as some drivers leave it, gets the others, unless attributes are in their place. Durable; under the inode
    /// lock, held exclusively.
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
        // 1. What is there is nothing's; zeros are seconds without a fraction, as they were. 2. The fields reach over it.
        let from = old.max(4);
        pmem.zero_nt(start + from, extra - from);
        pmem.fence();
        pmem.store_u16(self.raw + I_EXTRA_ISIZE, sb.extra_isize);
        pmem.flush(self.raw + I_EXTRA_ISIZE, 2);
        pmem.fence();
    }

    /// A write fault: content and inode change now, as a clock sees it that stands still for some milliseconds. Stores and
    /// flushes nothing if another fault did so at the same time.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_encoding_within_their_range() {
        for secs in [i64::from(i32::MIN), -1, 0, 1, i32::MAX.into(), 1 << 31, 1 << 32, 5 << 31, LAST] {
            let time = Timestamp { secs, nanos: 123_456_789 };
            let (low, extra) = encode(time, true);
            assert_eq!(decode(low, extra), time);
        }
        let late = Timestamp { secs: i64::MAX, nanos: 0 };
        assert_eq!(decode(encode(late, false).0, 0).secs, i32::MAX.into());
    }
}
