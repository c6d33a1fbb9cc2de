//! The journal's superblock, the first block of its log.
//!
//! ```text
//! 00 magic, type, sequence of no meaning   24 features, compatible     50 type of checksums, 4 = CRC-32C
//! 0c bytes in a block                      28 features, incompatible   54 blocks for fast commits
//! 10 blocks in the log                     2c features, read-only      fc checksum of 1024 bytes
//! 14 the log's first block                 30 UUID
//! 18 s_sequence, s_start                   40 file systems that use it
//! 20 s_errno
//! ```
//!
//! # What a crash leaves of a change
//! The checksum lies in another unit of 8 bytes than what changes, so a crash could leave one without the
//! other, and nobody would take the journal. So the superblock changes only when everything in the log is
//! home, and in steps that are durable one after the other, each of which leaves a journal that is right and
//! empty, to Linux too:
//!
//! 1. the first block of the log that counts loses its magic number: nothing is left to replay;
//! 2. so do the others (a later transaction of the same number could run into them), and the bit that says
//!    that there are checksums goes: one store;
//! 3. all else is stored;
//! 4. the bit comes back.

use super::format::{Checksums, LogFormat, MAGIC, be32};
use super::log::LogMap;
use crate::crc32c;
use crate::error::{Corrupt, Error, Features, Result, Unsupported};
use crate::pmem::state::{Clean, Staged};
use crate::pmem::{LINE, Pmem};
use core::ops::Range;

const WHAT: &str = "journal";
/// Bytes of it.
pub(super) const LEN: usize = 1024;

const V1: u32 = 3;
const V2: u32 = 4;
const TYPE: usize = 0x04;
pub(super) const BLOCKSIZE: usize = 0x0c;
pub(super) const MAXLEN: usize = 0x10;
pub(super) const FIRST: usize = 0x14;
pub(super) const SEQUENCE: usize = 0x18;
pub(super) const START: usize = 0x1c;
pub(super) const ERRNO: usize = 0x20;
pub(super) const COMPAT: usize = 0x24;
pub(super) const INCOMPAT: usize = 0x28;
pub(super) const RO_COMPAT: usize = 0x2c;
const UUID: Range<usize> = 0x30..0x40;
pub(super) const CHECKSUM_TYPE: usize = 0x50;
pub(super) const FAST_BLOCKS: usize = 0x54;
pub(super) const CHECKSUM: usize = 0xfc;

/// Compatible: transactions have a checksum as a whole.
pub(super) const COMPAT_CHECKSUM: u32 = 1;
const REVOKES: u32 = 1;
const BITS_64: u32 = 2;
const ASYNC_COMMIT: u32 = 4;
pub(super) const CSUM_V2: u32 = 8;
pub(super) const CSUM_V3: u32 = 0x10;
pub(super) const FAST_COMMIT: u32 = 0x20;
const KNOWN: u32 = 0x3f;
/// Names of the incompatible features, as dumpe2fs prints them.
pub(super) const NAMES: &[(u32, &str)] = &[
    (REVOKES, "journal_incompat_revoke"),
    (BITS_64, "journal_64bit"),
    (ASYNC_COMMIT, "journal_async_commit"),
    (CSUM_V2, "journal_checksum_v2"),
    (CSUM_V3, "journal_checksum_v3"),
    (FAST_COMMIT, "fast_commit"),
];
const CRC32C: u8 = 4;
/// Blocks for fast commits if the superblock does not say how many.
pub(super) const FAST_BLOCKS_DEFAULT: u32 = 256;

/// What the file system wants its log to have.
#[derive(Clone, Copy, Debug)]
pub struct LogFeatures {
    /// Block numbers of 64 bits: the file system has the feature `64bit`.
    pub wide: bool,
    /// Checksums: the file system has the feature `metadata_csum`.
    pub checksums: bool,
}

/// The journal's superblock, decoded.
#[derive(Clone, Debug)]
pub struct JournalSuper {
    /// The number of the first transaction in the log.
    pub sequence: u32,
    /// Where it starts, in blocks of the log; 0 if there is nothing to replay.
    pub start: u32,
    /// Why the journal was aborted, as a negative number of Linux's; 0 if it was not.
    pub errno: i32,
    /// The log's blocks that transactions go round in.
    pub(super) ring: Range<u32>,
    /// Those after it that are for fast commits.
    pub(super) fast: Range<u32>,
    /// The first version has none.
    has_features: bool,
    compat: u32,
    incompat: u32,
    ro_compat: u32,
    seed: u32,
    block_size: usize,
}

/// The fact that all that the log holds is home, or does not count.
pub(super) struct AllHome;
/// The fact that the log holds nothing any more that anybody would replay.
struct Empty;

impl JournalSuper {
    /// Reads and checks the superblock of `log`.
    ///
    /// # Errors
    /// "journal" says what is wrong; features that are not known are named.
    pub fn read(pmem: &impl Pmem, log: &LogMap) -> Result<Self> {
        let at = log.offset(0);
        if let Some(bad) = pmem.poisoned(at, LEN as u64) {
            return Err(Error::Poisoned(bad));
        }
        let mut bytes = [0; LEN];
        pmem.read(at, &mut bytes);
        Self::decode(&bytes, log)
    }

    fn decode(bytes: &[u8; LEN], log: &LogMap) -> Result<Self> {
        let field = |at| be32(bytes, at);
        let wrong = |why, value: u32| Corrupt::with(WHAT, 0, why, value.into());
        if field(0) != MAGIC {
            return Err(wrong("bad magic number", field(0)).into());
        }
        if ![V1, V2].contains(&field(TYPE)) {
            return Err(wrong("its first block is no superblock, by its type", field(TYPE)).into());
        }
        let has_features = field(TYPE) == V2;
        let feature = |at| if has_features { field(at) } else { 0 };
        let mut sb = Self {
            sequence: field(SEQUENCE),
            start: field(START),
            errno: field(ERRNO) as i32,
            ring: field(FIRST)..field(MAXLEN),
            fast: field(MAXLEN)..field(MAXLEN),
            has_features,
            compat: feature(COMPAT),
            incompat: feature(INCOMPAT),
            ro_compat: feature(RO_COMPAT),
            seed: crc32c::update(!0, &bytes[UUID]),
            block_size: log.block_size() as usize,
        };
        sb.incompat |= lost_bit(bytes, sb.incompat);
        sb.check_features(bytes)?;
        if u64::from(field(BLOCKSIZE)) != log.block_size() {
            return Err(wrong("another block size than the file system's", field(BLOCKSIZE)).into());
        }
        if sb.ring.end > log.blocks() {
            return Err(wrong("it is longer than its inode", sb.ring.end).into());
        }
        if sb.incompat & FAST_COMMIT != 0 {
            let blocks = if field(FAST_BLOCKS) == 0 { FAST_BLOCKS_DEFAULT } else { field(FAST_BLOCKS) };
            let end = sb.ring.end.checked_sub(blocks).ok_or(wrong("fast commits fill it", blocks))?;
            (sb.fast.start, sb.ring.end) = (end, end);
        }
        if sb.ring.start == 0 || sb.ring.is_empty() {
            return Err(wrong("its log is empty, by its first block", sb.ring.start).into());
        }
        if sb.start != 0 && !sb.ring.contains(&sb.start) {
            return Err(wrong("its log starts outside of itself", sb.start).into());
        }
        Ok(sb)
    }

    fn check_features(&self, bytes: &[u8; LEN]) -> Result<()> {
        for unknown in [self.incompat & !KNOWN, self.ro_compat] {
            if unknown != 0 {
                let features = Features { bits: unknown, names: NAMES, hint: "of the journal" };
                return Err(Unsupported::Features(features).into());
            }
        }
        let kinds = [self.incompat & CSUM_V2, self.incompat & CSUM_V3, self.compat & COMPAT_CHECKSUM];
        if kinds.iter().filter(|&&kind| kind != 0).count() > 1 {
            return Err(Corrupt::with(WHAT, 0, "two kinds of checksums", self.incompat.into()).into());
        }
        if self.incompat & (CSUM_V2 | CSUM_V3) != 0 {
            if bytes[CHECKSUM_TYPE] != CRC32C {
                let kind = bytes[CHECKSUM_TYPE].into();
                return Err(Corrupt::with(WHAT, 0, "unknown type of checksums", kind).into());
            }
            if be32(bytes, CHECKSUM) != checksum(bytes, self.incompat) {
                let found = be32(bytes, CHECKSUM).into();
                return Err(Corrupt::with(WHAT, 0, "bad checksum of its superblock", found).into());
            }
        }
        Ok(())
    }

    /// Gives the log these features and revokes, with its next change: it is empty. What Linux sets when it
    /// first writes to a log.
    ///
    /// # Errors
    /// The first version of the superblock has no features.
    pub(super) fn set_features(&mut self, features: LogFeatures) -> Result<()> {
        if !self.has_features {
            return Err(Unsupported::Operation("writing to a journal of the first version").into());
        }
        let wide = if features.wide { BITS_64 } else { 0 };
        let checksums = if features.checksums { CSUM_V3 } else { 0 };
        self.incompat = self.incompat & FAST_COMMIT | REVOKES | wide | checksums;
        self.compat &= !COMPAT_CHECKSUM;
        Ok(())
    }

    /// Returns how blocks of its log are laid out.
    pub(super) fn format(&self) -> LogFormat {
        let checksums = match (self.compat & COMPAT_CHECKSUM, self.incompat & (CSUM_V2 | CSUM_V3)) {
            (0, 0) => Checksums::No,
            (_, CSUM_V2) => Checksums::V2,
            (_, CSUM_V3) => Checksums::V3,
            _ => Checksums::Whole,
        };
        let wide = self.incompat & BITS_64 != 0;
        LogFormat { block_size: self.block_size, wide, checksums, seed: self.seed }
    }

    /// Returns true if a commit block may be on the disk before the blocks that it commits: only its checksum
    /// says.
    pub(super) fn is_async(&self) -> bool {
        self.incompat & ASYNC_COMMIT != 0
    }

    /// Returns the block of the ring `count` after `block`; `count` is no more than the ring has.
    pub(super) fn after(&self, block: u32, count: u32) -> u32 {
        let left = self.ring.end - block;
        if count < left { block + count } else { self.ring.start + (count - left) }
    }

    /// Empties the log and has it start anew at block `start` (0: only with the next transaction) with
    /// transaction `sequence`. Its blocks that count are the `live` from `self.start` on. Durable on return.
    pub(super) fn restart(
        &mut self,
        pmem: &impl Pmem,
        log: &LogMap,
        live: u32,
        (sequence, start): (u32, u32),
        home: Staged<AllHome, Clean>,
    ) {
        let empty = self.wipe(pmem, log, live, home);
        (self.sequence, self.start) = (sequence, start);
        self.store(pmem, log, empty);
    }

    /// Steps 1 and the first half of 2: takes the magic numbers out of the log.
    fn wipe(
        &self,
        pmem: &impl Pmem,
        log: &LogMap,
        live: u32,
        _home: Staged<AllHome, Clean>,
    ) -> Staged<Empty, Clean> {
        if self.start == 0 {
            return Staged::nothing(Empty);
        }
        let first = log.offset(self.start);
        pmem.put_u64(first, 0);
        let empty = Staged::streamed(Empty, first, 8).fence(pmem);
        for at in (1..live).map(|count| log.offset(self.after(self.start, count))) {
            pmem.clear_poison(at, LINE);
            pmem.zero_nt(at, LINE);
        }
        empty
    }

    /// The rest: stores what changes. (The fence of step 2 lands what `wipe` left in flight.)
    fn store(&self, pmem: &impl Pmem, log: &LogMap, _empty: Staged<Empty, Clean>) {
        let at = log.offset(0);
        let mut bytes = [0; LEN];
        pmem.read(at, &mut bytes);
        // A unit of 8 bytes is stored as one.
        let put = |fields: Range<usize>, bytes: &[u8; LEN]| {
            for (unit, number) in (0..).step_by(8).zip(bytes[fields.clone()].as_chunks::<8>().0) {
                pmem.store_u64(at + fields.start as u64 + unit, u64::from_le_bytes(*number));
            }
            pmem.flush(at + fields.start as u64, fields.len() as u64);
        };
        let set = |bytes: &mut [u8; LEN], field: usize, value: u32| {
            bytes[field..field + 4].copy_from_slice(&value.to_be_bytes());
        };
        set(&mut bytes, SEQUENCE, self.sequence);
        set(&mut bytes, START, self.start);
        set(&mut bytes, ERRNO, self.errno as u32);
        if self.has_features {
            set(&mut bytes, COMPAT, self.compat);
            set(&mut bytes, INCOMPAT, self.incompat & !(CSUM_V2 | CSUM_V3));
            put(INCOMPAT..INCOMPAT + 8, &bytes);
        }
        let has_checksum = self.incompat & (CSUM_V2 | CSUM_V3) != 0;
        if has_checksum {
            bytes[CHECKSUM_TYPE] = CRC32C;
            let sum = checksum(&bytes, self.incompat);
            set(&mut bytes, CHECKSUM, sum);
        }
        pmem.fence();
        put(SEQUENCE..INCOMPAT, &bytes);
        put(CHECKSUM_TYPE..CHECKSUM_TYPE + 8, &bytes);
        put(CHECKSUM - 4..CHECKSUM + 4, &bytes);
        pmem.fence();
        if has_checksum {
            set(&mut bytes, INCOMPAT, self.incompat);
            put(INCOMPAT..INCOMPAT + 8, &bytes);
            pmem.fence();
        }
    }
}

/// Returns the checksum of a superblock with these incompatible features, its own field taken as zeros.
fn checksum(bytes: &[u8; LEN], incompat: u32) -> u32 {
    let start = crc32c::update(!0, &bytes[..INCOMPAT]);
    let features = crc32c::update(start, &incompat.to_be_bytes());
    let before = crc32c::update(features, &bytes[RO_COMPAT..CHECKSUM]);
    crc32c::update(crc32c::update(before, &[0; 4]), &bytes[CHECKSUM + 4..])
}

/// Returns the bit for checksums that a superblock has lost: a change of it was cut short, and its checksum
/// is right if the bit is there.
fn lost_bit(bytes: &[u8; LEN], incompat: u32) -> u32 {
    let fits = |bit: &u32| be32(bytes, CHECKSUM) == checksum(bytes, incompat | bit);
    let looks = be32(bytes, TYPE) == V2 && incompat & (CSUM_V2 | CSUM_V3) == 0;
    let bits = if looks && bytes[CHECKSUM_TYPE] == CRC32C { [CSUM_V3, CSUM_V2] } else { [0, 0] };
    bits.into_iter().find(|bit| *bit != 0 && fits(bit)).unwrap_or(0)
}
