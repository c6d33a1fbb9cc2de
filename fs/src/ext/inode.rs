//! The raw inode, in place: the one place where its fields are decoded.
//!
//! Inodes of 128 bytes have times in seconds (32 bits, signed); larger ones may have 2 more bits of seconds
//! and 30 bits of nanoseconds in an `_extra` field, if `i_extra_isize` covers it.

use super::geometry::Geometry;
use super::layout::*;
use super::load::Load;
use super::unreadable;
use crate::atomic::AtomicU64;
use crate::error::{Corrupt, Errno, Error, Result};
use crate::platform::{Timestamp, User};
use crate::vfs::{Attr, Device, FileKind};
use core::sync::atomic::Ordering::Relaxed;

/// A raw inode in a region. What is read of it is what it says at this moment.
pub(crate) struct RawInode<'a, M: ?Sized> {
    bytes: &'a M,
    pub ino: u32,
    /// Byte offset.
    pub at: u64,
    /// `s_inode_size`: its bytes.
    len: u32,
}

impl<M: ?Sized> Clone for RawInode<'_, M> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: ?Sized> Copy for RawInode<'_, M> {}

/// Makes a contradiction in inode `ino`.
pub(crate) fn bad_inode(ino: u32, why: &'static str, value: u64) -> Error {
    Corrupt::with("inode", ino.into(), why, value).into()
}

impl<'a, M: Load + ?Sized> RawInode<'a, M> {
    /// Returns inode `ino`, which is at byte offset `at`.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a M, sb: &Geometry, ino: u32, at: u64) -> Self {
        Self { bytes, ino, at, len: sb.inode_size }
    }

    #[inline(always)]
    fn u16(&self, field: u64) -> u16 {
        self.bytes.load_u16(self.at + field)
    }

    #[inline(always)]
    fn u32(&self, field: u64) -> u32 {
        self.bytes.load_u32(self.at + field)
    }

    /// Refuses it if a memory error took some of it.
    #[inline]
    pub(crate) fn expect_readable(&self) -> Result<()> {
        let bad = self.bytes.poisoned(self.at, self.len.into());
        bad.map_or(Ok(()), |bad| Err(unreadable("inode", self.ino.into(), bad)))
    }

    /// Returns `i_mode`.
    #[inline]
    pub(crate) fn mode(&self) -> u16 {
        self.u16(I_MODE)
    }

    /// Returns the kind that `i_mode` tells.
    #[inline]
    pub(crate) fn kind(&self) -> Option<FileKind> {
        Some(match self.mode() >> 12 {
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

    /// Returns the inode's [`kind`](Self::kind), which there must be.
    #[inline]
    pub(crate) fn expect_kind(&self) -> Result<FileKind> {
        self.kind().ok_or_else(|| bad_inode(self.ino, "i_mode tells no kind", self.mode().into()))
    }

    /// Returns `i_links_count`.
    #[inline]
    pub(crate) fn links(&self) -> u16 {
        self.u16(I_LINKS_COUNT)
    }

    /// Returns `i_dtime`.
    pub(crate) fn dtime(&self) -> u32 {
        self.u32(I_DTIME)
    }

    /// Returns `i_blocks`: the inode's space, in units of 512 bytes.
    #[inline(always)]
    pub(crate) fn units(&self) -> u32 {
        self.u32(I_BLOCKS)
    }

    /// Returns `i_flags`.
    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        self.u32(I_FLAGS)
    }

    /// Refuses one whose `i_block` holds something else than a block map.
    #[inline]
    pub(crate) fn expect_native(&self) -> Result<()> {
        match self.flags() {
            flags if flags & FOREIGN_FL != 0 => {
                let why = "i_flags of a feature that the file system does not have";
                Err(bad_inode(self.ino, why, flags.into()))
            }
            _ => Ok(()),
        }
    }

    /// Returns `i_file_acl`: the block of the inode's extended attributes, or 0.
    pub(crate) fn file_acl(&self) -> u32 {
        self.u32(I_FILE_ACL)
    }

    /// Returns `i_file_acl`, with the upper half that ext4 has.
    pub(crate) fn wide_file_acl(&self) -> u64 {
        u64::from(self.u16(I_FILE_ACL_HIGH)) << 32 | u64::from(self.file_acl())
    }

    /// Returns `i_blocks` with the upper half that ext4 has, in units of 512 bytes.
    pub(crate) fn wide_units(&self, block_bits: u32) -> u64 {
        let count = u64::from(self.u16(I_BLOCKS_HIGH)) << 32 | u64::from(self.units());
        if self.flags() & HUGE_FILE_FL != 0 { count << (block_bits - 9) } else { count }
    }

    /// Returns `i_generation`.
    pub(crate) fn generation(&self) -> u32 {
        self.u32(I_GENERATION)
    }

    /// Returns `i_uid` and `i_gid`, each with its upper half.
    pub(crate) fn owner(&self) -> (u32, u32) {
        let wide = |low, high| u32::from(self.u16(high)) << 16 | u32::from(self.u16(low));
        (wide(I_UID, I_UID_HIGH), wide(I_GID, I_GID_HIGH))
    }

    /// Returns `i_size` with its upper half, which a directory has too if it may be that large.
    pub(crate) fn wide_size(&self) -> u64 {
        u64::from(self.u32(I_SIZE_HIGH)) << 32 | u64::from(self.u32(I_SIZE))
    }

    /// Returns `i_size`, of which only a regular file has the upper half.
    #[inline]
    pub(crate) fn size(&self, kind: FileKind) -> u64 {
        let high = if kind == FileKind::File { self.u32(I_SIZE_HIGH) } else { 0 };
        u64::from(high) << 32 | u64::from(self.u32(I_SIZE))
    }

    /// Refuses a [`size`](Self::size) above `limit`. Between its halves a crash may leave one, with the
    /// limit's upper half: with `crashed` that is taken for the limit.
    #[inline]
    pub(crate) fn size_within(&self, size: u64, kind: FileKind, limit: u64, crashed: bool) -> Result<u64> {
        if size > limit && !(crashed && kind == FileKind::File && size >> 32 == limit >> 32) {
            let why = "i_size is too large";
            return Err(Corrupt::against("inode", self.ino.into(), why, size, limit).into());
        }
        Ok(size.min(limit))
    }

    /// Returns whether the target of a symbolic link is in `i_block`: the link has no block but that of its
    /// attributes.
    pub(crate) fn is_fast_symlink(&self, block_size: u64) -> bool {
        let xattrs = if self.file_acl() == 0 { 0 } else { block_size / 512 };
        u64::from(self.units()) == xattrs
    }

    /// Returns the length of a symbolic link's target, in bytes.
    pub(crate) fn target_len(&self, block_size: u64) -> Result<u64> {
        let len = self.size(FileKind::Symlink);
        let limit = if self.is_fast_symlink(block_size) { I_BLOCK_BYTES } else { block_size };
        if (1..limit).contains(&len) {
            return Ok(len);
        }
        let why = "bad length of a symbolic link";
        Err(Corrupt::against("inode", self.ino.into(), why, len, limit - 1).into())
    }

    /// Returns the byte offset of word `index` of `i_block`.
    #[inline(always)]
    pub(crate) fn slot(&self, index: u64) -> u64 {
        self.at + I_BLOCK + index * 4
    }

    /// Refuses to write at `offset` of a file of `size` bytes what may not be changed, or only get longer.
    #[inline]
    pub(crate) fn expect_writable_at(&self, offset: u64, size: u64) -> Result<()> {
        match self.flags() & (IMMUTABLE_FL | APPEND_FL) {
            0 => Ok(()),
            APPEND_FL if offset == size => Ok(()),
            _ => Err(Errno::NotPermitted.into()),
        }
    }

    /// Returns what an inode of `kind` starts with that `user` makes in this directory, with permission bits
    /// `mode`.
    #[inline]
    pub(crate) fn heir(&self, kind: FileKind, mode: u16, user: User) -> Heir {
        let User { uid, mut gid } = user;
        let mut mode = kind.mode_bits() | mode & 0o7777;
        if self.mode() & S_ISGID != 0 {
            gid = self.owner().1;
            if kind == FileKind::Directory {
                mode |= S_ISGID;
            }
        }
        let flags = match kind {
            FileKind::Directory => INHERITED_FL,
            FileKind::File => INHERITED_BY_FILES_FL,
            _ => INHERITED_BY_OTHERS_FL,
        };
        // Names to come; a directory is in itself too.
        let links = if kind == FileKind::Directory { 2 } else { 1 };
        Heir { mode, uid, gid, links, flags: self.flags() & flags }
    }

    /// Returns the device that a device's `i_block` tells: old numbers of 8 bits in its first word, or new
    /// ones in its second.
    pub(crate) fn device(&self) -> Device {
        match self.bytes.load_u32(self.slot(0)) {
            0 => {
                let new = self.bytes.load_u32(self.slot(1));
                Device { major: new >> 8 & 0xfff, minor: new & 0xff | new >> 12 & 0xf_ff00 }
            }
            old => Device { major: old >> 8 & 0xff, minor: old & 0xff },
        }
    }

    /// Returns `i_extra_isize`: how far the inode's fields reach beyond the first 128 bytes; 0 if it has no
    /// more.
    #[inline]
    pub(crate) fn extra(&self) -> u64 {
        if self.len == GOOD_OLD_INODE_SIZE { 0 } else { self.u16(I_EXTRA_ISIZE).into() }
    }

    /// Returns where those of the inode's fields end that are in use.
    #[inline]
    pub(crate) fn fields_end(&self) -> u64 {
        (u64::from(GOOD_OLD_INODE_SIZE) + self.extra()).min(self.len.into())
    }

    /// Returns the time in the field of four bytes at `low`, with what the one at `extra` adds, if that is in
    /// use.
    pub(crate) fn time(&self, TimeOffsets(low, extra): TimeOffsets) -> Timestamp {
        let extra = if extra + 4 <= self.fields_end() { self.u32(extra) } else { 0 };
        decode(self.u32(low), extra)
    }

    /// Returns all attributes of one of `kind` that has `size` bytes and takes `blocks` units of 512 bytes.
    pub(crate) fn attr(&self, kind: FileKind, size: u64, blocks: u64) -> Attr {
        let (uid, gid) = self.owner();
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        Attr {
            ino: self.ino.into(),
            kind,
            mode: self.mode() & 0o7777,
            links: self.links().into(),
            uid,
            gid,
            size,
            blocks,
            atime: self.time(ATIME),
            mtime: self.time(MTIME),
            ctime: self.time(CTIME),
            crtime: self.crtime(),
            device: if is_device { self.device() } else { Device::default() },
        }
    }

    /// Returns when the inode was made, if it tells.
    pub(crate) fn crtime(&self) -> Option<Timestamp> {
        (I_CRTIME_EXTRA + 4 <= self.fields_end()).then(|| self.time(TimeOffsets(I_CRTIME, I_CRTIME_EXTRA)))
    }
}

/// `S_ISGID`: what is made in such a directory belongs to its group.
const S_ISGID: u16 = 0o2000;

/// What a new inode starts with, in a directory whose group and flags it may have.
pub(crate) struct Heir {
    /// `i_mode`
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `i_links_count`
    pub links: u16,
    /// `i_flags`
    pub flags: u32,
}

/// Returns a device's numbers as the start of `i_block` tells them: old ones of 8 bits, or new ones in the
/// second word.
pub(crate) fn encode_device(Device { major, minor }: Device) -> [u8; 8] {
    let mut bytes = [0; 8];
    if major < 256 && minor < 256 {
        bytes[..4].copy_from_slice(&(major << 8 | minor).to_le_bytes());
    } else {
        bytes[4..].copy_from_slice(&(minor & 0xff | major << 8 | (minor & !0xff) << 12).to_le_bytes());
    }
    bytes
}

/// When a write fault last stored an inode's times, as long as nothing else has stored them since; or 0.
#[derive(Default)]
pub(crate) struct FaultTime(AtomicU64);

impl FaultTime {
    fn stamp(time: Timestamp) -> u64 {
        (time.secs as u64) << 30 | u64::from(time.nanos)
    }

    /// Tells whether a fault stored `now`, and nothing was stored since.
    #[inline(always)]
    pub(crate) fn is(&self, now: Timestamp) -> bool {
        self.0.load(Relaxed) == Self::stamp(now)
    }

    /// Remembers that a fault stored `now`.
    #[inline(always)]
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(Self::stamp(now), Relaxed);
    }

    /// Forgets it: whatever the times say from here on, the next write fault looks at its clock.
    #[inline(always)]
    pub(crate) fn forget(&self) {
        self.0.store(0, Relaxed);
    }
}

/// One of an inode's times: the offsets of its two halves.
#[derive(Clone, Copy)]
pub(crate) struct TimeOffsets(pub u64, pub u64);

pub(crate) const ATIME: TimeOffsets = TimeOffsets(I_ATIME, I_ATIME_EXTRA);
pub(crate) const CTIME: TimeOffsets = TimeOffsets(I_CTIME, I_CTIME_EXTRA);
pub(crate) const MTIME: TimeOffsets = TimeOffsets(I_MTIME, I_MTIME_EXTRA);

/// The latest time the extra bits can say (in the year 2446).
const LAST: i64 = (3 << 32) + i32::MAX as i64;

/// Returns both halves of a time, as stored; what does not fit is brought to the nearest that does.
pub(crate) fn encode(time: Timestamp, has_extra: bool) -> (u32, u32) {
    let last = if has_extra { LAST } else { i32::MAX.into() };
    let secs = time.secs.clamp(i32::MIN.into(), last);
    let low = secs as u32;
    let epoch = ((secs - i64::from(low as i32)) >> 32) as u32 & 3;
    (low, time.nanos.min(999_999_999) << 2 | epoch)
}

/// The time of both halves.
fn decode(low: u32, extra: u32) -> Timestamp {
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
