//! What the fields of a raw inode say: its kind, and its times.
//!
//! Inodes of 128 bytes have times in seconds (32 bits, signed); larger ones may have 2 more bits of seconds
//! and 30 bits of nanoseconds in an `_extra` field, if `i_extra_isize` covers it.

use super::layout::*;
use crate::platform::Timestamp;
use crate::vfs::FileKind;

/// The kind that `i_mode` tells.
pub(in crate::ext2) fn kind_of_mode(mode: u16) -> Option<FileKind> {
    Some(match mode >> 12 {
        0x1 => FileKind::Fifo,
        0x2 => FileKind::CharDevice,
        0x4 => FileKind::Directory,
        0x6 => FileKind::BlockDevice,
        0x8 => FileKind::File,
        0xa => FileKind::Symlink,
        0xc => FileKind::Socket,
        _ => return None,
    })
}

/// One of an inode's times: the offsets of its two halves.
#[derive(Clone, Copy)]
pub(in crate::ext2) struct Time(pub u64, pub u64);

pub(in crate::ext2) const ATIME: Time = Time(I_ATIME, I_ATIME_EXTRA);
pub(in crate::ext2) const CTIME: Time = Time(I_CTIME, I_CTIME_EXTRA);
pub(in crate::ext2) const MTIME: Time = Time(I_MTIME, I_MTIME_EXTRA);

/// The latest time the extra bits can say (in the year 2446).
const LAST: i64 = (3 << 32) + i32::MAX as i64;

/// Both halves of a time, as stored; what does not fit is brought to the nearest that does.
pub(in crate::ext2) fn encode(time: Timestamp, has_extra: bool) -> (u32, u32) {
    let last = if has_extra { LAST } else { i32::MAX.into() };
    let secs = time.secs.clamp(i32::MIN.into(), last);
    let low = secs as u32;
    let epoch = ((secs - i64::from(low as i32)) >> 32) as u32 & 3;
    (low, time.nanos.min(999_999_999) << 2 | epoch)
}

/// The time of both halves.
pub(in crate::ext2) fn decode(low: u32, extra: u32) -> Timestamp {
    let secs = i64::from(low as i32) + (i64::from(extra & 3) << 32);
    Timestamp { secs, nanos: (extra >> 2).min(999_999_999) }
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
