//! Blocks of the log: headers, tags, revoke records, commit blocks, and their checksums.
//!
//! ```text
//! any block     | magic | type | sequence |                                            12 bytes
//! descriptor    | header | tag | uuid | tag | tag | …                   | checksum |   checksum: v2, v3
//! tag, v3       | block | flags (4) | block high | checksum |
//! tag           | block | checksum (2) | flags (2) | block high: 64bit | 2 bytes: v2 |
//! revoke        | header | bytes in use | block | block | …             | checksum |
//! commit        | header | type, size | checksum (at 16) | … | seconds (at 48) | nanoseconds |
//! ```
//!
//! A tag is followed by 16 bytes of a UUID unless it says that its is the one before.

use crate::crc32c;
use crate::platform::Timestamp;
use core::ops::Range;
use crc::{CRC_32_MPEG_2, Crc, Table};

/// What every block of the log starts with that is no image.
pub(super) const MAGIC: u32 = 0xc03b_3998;
/// Bytes of what every such block starts with.
pub(super) const HEADER: usize = 12;
/// Its type: a descriptor, whose tags say where the images behind it belong.
pub(super) const DESCRIPTOR: u32 = 1;
/// Its type: the end of a transaction.
pub(super) const COMMIT: u32 = 2;
/// Its type: blocks whose images are not to be written any more.
pub(super) const REVOKE: u32 = 5;

/// The image begins with zeros where the block begins with [`MAGIC`].
pub(super) const ESCAPED: u32 = 1;
/// No UUID follows the tag.
pub(super) const SAME_UUID: u32 = 2;
/// It is the descriptor's last.
pub(super) const LAST_TAG: u32 = 8;
pub(super) const UUID_LEN: usize = 16;

/// Where a revoke block says how many of its bytes are in use, and where its records start.
pub(super) const REVOKE_COUNT: usize = 12;
pub(super) const REVOKE_RECORDS: usize = 16;
/// Where a commit block has the type and size of its checksum, the checksum, and the time.
const COMMIT_TYPE: Range<usize> = 12..14;
const COMMIT_CHECKSUM: usize = 16;
const COMMIT_SECONDS: usize = 48;
const COMMIT_NANOS: usize = 56;

/// The checksum of whole transactions: CRC-32 from the highest bit on.
static WHOLE: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_MPEG_2);
/// What that one starts with, before the first block.
pub(super) const WHOLE_START: u32 = CRC_32_MPEG_2.init;
/// What a commit block says of it: its type and its size.
const WHOLE_TYPE: [u8; 2] = [1, 4];

/// Returns the big-endian number at byte `at`.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |number| u32::from_be_bytes(*number))
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Which checksums a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksums {
    /// None.
    No,
    /// One in the commit block, of the transaction's descriptors and images.
    Whole,
    /// One in every block, and 16 bits in each tag.
    V2,
    /// One in every block, and 32 bits in each tag.
    V3,
}

/// How the blocks of one log are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogFormat {
    /// Bytes in a block.
    pub(super) block_size: usize,
    /// Block numbers have 64 bits.
    pub(super) wide: bool,
    pub(super) checksums: Checksums,
    /// What checksums start with: that of the journal's UUID.
    pub(super) seed: u32,
}

/// What a descriptor says of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// Where it belongs.
    pub(super) block: u64,
    pub(super) flags: u32,
    pub(super) checksum: u32,
}

impl LogFormat {
    /// Returns true if each block has a checksum in its last four bytes.
    pub(super) fn has_tails(&self) -> bool {
        matches!(self.checksums, Checksums::V2 | Checksums::V3)
    }

    /// Returns where the last tag or revoke record of a block has to end.
    pub(super) fn end(&self) -> usize {
        self.block_size - if self.has_tails() { 4 } else { 0 }
    }

    /// Returns the bytes of a tag, without a UUID.
    pub(super) fn tag_len(&self) -> usize {
        match (self.checksums, self.wide) {
            (Checksums::V3, _) => 16,
            (Checksums::V2, true) => 14,
            (Checksums::V2, false) => 10,
            (_, true) => 12,
            (_, false) => 8,
        }
    }

    /// Returns the bytes of a revoke record.
    pub(super) fn record_len(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// Returns the tags of a descriptor: up to the last, or as many as fit.
    pub(super) fn tags<'a>(&self, block: &'a [u8]) -> impl Iterator<Item = Tag> + use<'a> {
        let format = *self;
        let mut next = Some(HEADER);
        core::iter::from_fn(move || {
            let at = next.filter(|at| at + format.tag_len() <= format.end())?;
            let tag = format.tag(&block[at..]);
            let uuid = if tag.flags & SAME_UUID == 0 { UUID_LEN } else { 0 };
            next = (tag.flags & LAST_TAG == 0).then_some(at + format.tag_len() + uuid);
            Some(tag)
        })
    }

    fn tag(&self, bytes: &[u8]) -> Tag {
        let (low, second) = (u64::from(be32(bytes, 0)), be32(bytes, 4));
        let high = if self.wide { u64::from(be32(bytes, 8)) << 32 } else { 0 };
        let (flags, checksum) = match self.checksums {
            Checksums::V3 => (second & 0xffff, be32(bytes, 12)),
            _ => (second & 0xffff, second >> 16),
        };
        Tag { block: high | low, flags, checksum }
    }

    /// Returns the block numbers of a revoke block; `None` if what it says of its length cannot be.
    pub(super) fn records<'a>(&self, block: &'a [u8]) -> Option<impl Iterator<Item = u64> + use<'a>> {
        let (used, len) = (be32(block, REVOKE_COUNT) as usize, self.record_len());
        let records = block[..self.end()].get(REVOKE_RECORDS..used)?;
        let number = |record: &[u8]| record.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        records.len().is_multiple_of(len).then(|| records.chunks_exact(len).map(number))
    }

    /// Returns the checksum that a descriptor or revoke block is to have, and has.
    pub(super) fn tail(&self, block: &[u8]) -> (u32, u32) {
        (self.without(block, self.end()), be32(block, self.end()))
    }

    /// Returns the checksum of a block up to the four bytes from `at` on, taken as zeros.
    fn without(&self, block: &[u8], at: usize) -> u32 {
        crc32c::update(crc32c::update(self.seed, &block[..at]), &[0; 4])
    }

    /// Returns the checksum of an image as it is in the log, in transaction `sequence`.
    pub(super) fn image_checksum(&self, sequence: u32, image: &[u8]) -> u32 {
        let sum = crc32c::update(crc32c::update(self.seed, &sequence.to_be_bytes()), image);
        if self.checksums == Checksums::V3 { sum } else { sum & 0xffff }
    }

    /// Returns the checksum of whole transactions, with one more block.
    pub(super) fn whole(sum: u32, block: &[u8]) -> u32 {
        let mut digest = WHOLE.digest_with_initial(sum);
        digest.update(block);
        digest.finalize()
    }

    /// Returns true if a commit block's checksum is right; `whole` is that of its transaction.
    pub(super) fn is_commit_right(&self, block: &[u8], whole: u32) -> bool {
        let found = be32(block, COMMIT_CHECKSUM);
        match self.checksums {
            Checksums::No => true,
            Checksums::Whole if block[COMMIT_TYPE] == [0, 0] => found == 0,
            Checksums::Whole => block[COMMIT_TYPE] == WHOLE_TYPE && found == whole,
            Checksums::V2 | Checksums::V3 => found == self.commit_checksum(block),
        }
    }

    fn commit_checksum(&self, block: &[u8]) -> u32 {
        crc32c::update(self.without(block, COMMIT_CHECKSUM), &block[COMMIT_CHECKSUM + 4..])
    }

    /// Returns the seconds of a commit block's time.
    pub(super) fn commit_seconds(block: &[u8]) -> u64 {
        u64::from(be32(block, COMMIT_SECONDS)) << 32 | u64::from(be32(block, COMMIT_SECONDS + 4))
    }

    /// Makes `block` one of this type in transaction `sequence`, with nothing in it.
    fn put_header(block: &mut [u8], kind: u32, sequence: u32) {
        block.fill(0);
        put32(block, 0, MAGIC);
        put32(block, 4, kind);
        put32(block, 8, sequence);
    }

    /// Gives a descriptor or revoke block its checksum.
    fn put_tail(&self, block: &mut [u8]) {
        if self.has_tails() {
            let (right, _) = self.tail(block);
            put32(block, self.end(), right);
        }
    }

    /// Makes `block` a descriptor of `tags`, which fit. Of checksums there is only the third version, or
    /// none.
    pub(super) fn put_descriptor(&self, block: &mut [u8], sequence: u32, tags: &[Tag]) {
        Self::put_header(block, DESCRIPTOR, sequence);
        let mut at = HEADER;
        for (index, tag) in tags.iter().enumerate() {
            // The first is followed by a UUID, which is zeros.
            let uuid = if index == 0 { 0 } else { SAME_UUID };
            let last = if index + 1 == tags.len() { LAST_TAG } else { 0 };
            put32(block, at, tag.block as u32);
            put32(block, at + 4, tag.flags | uuid | last);
            if self.wide {
                put32(block, at + 8, (tag.block >> 32) as u32);
            }
            if self.checksums == Checksums::V3 {
                put32(block, at + 12, tag.checksum);
            }
            at += self.tag_len() + if index == 0 { UUID_LEN } else { 0 };
        }
        self.put_tail(block);
    }

    /// Makes `block` a revoke block of `records`, which fit.
    pub(super) fn put_revokes(&self, block: &mut [u8], sequence: u32, records: impl Iterator<Item = u64>) {
        Self::put_header(block, REVOKE, sequence);
        let mut at = REVOKE_RECORDS;
        for record in records {
            let bytes = &record.to_be_bytes()[8 - self.record_len()..];
            block[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        }
        put32(block, REVOKE_COUNT, at as u32);
        self.put_tail(block);
    }

    /// Makes `block` a commit block.
    pub(super) fn put_commit(&self, block: &mut [u8], sequence: u32, now: Timestamp) {
        Self::put_header(block, COMMIT, sequence);
        block[COMMIT_SECONDS..COMMIT_SECONDS + 8].copy_from_slice(&now.secs.to_be_bytes());
        put32(block, COMMIT_NANOS, now.nanos);
        if self.has_tails() {
            let right = self.commit_checksum(block);
            put32(block, COMMIT_CHECKSUM, right);
        }
    }
}
