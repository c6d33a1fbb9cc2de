//! The redo record: several aligned 4-byte stores that a crash shows all of, or none of.
//!
//! It lies in bytes of the superblock that e2fsprogs and Linux leave alone, in every revision:
//!
//! ```text
//! 0x290        0x29c  0x2a0      0x2a8    0x2aa        0x2ac     0x2b0         0x2b4     0x2b8         0x3fc
//! | owner mark | 0    | checksum | count  | mnt_count  | mtime   | lastcheck   | wtime   | word | word … |
//!   = magic, mnt_count, mtime      word = byte offset in the region (8 bytes), value (4 bytes)
//! ```
//!
//! A commit takes three steps, each durable before the next: the record is written; the words are stored; the
//! checksum becomes 0. A checksum that is neither 0 nor right is a record whose writing was cut short:
//! nothing was stored yet. A right one is replayed at the next mount, which stores the same words again.
//!
//! The record keeps `s_mnt_count`, `s_mtime`, `s_lastcheck` and `s_wtime` as they were when it was written.
//! If one of them has changed, another system mounted, checked or changed the image since: the record is
//! void.
//!
//! The *owner mark* says which mount of ours was the last: recovery trusts a crash of ours further than
//! another's.
//!
//! # Locking
//! Takes the superblock's mutex, a leaf: `rename → inode locks → block map → superblock`. `s_wtime` is stored
//! under it only, and durable when it is let go, so no record is voided by ourselves. The caller holds the
//! locks of everything that the words belong to until the commit is over.

use super::disk::superblock::SuperBlock;
use super::fs::Ext2;
use crate::error::{Errno, Result};
use crate::ext::layout::*;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};

/// Words that fit into a record.
pub(super) const CAPACITY: usize = ((S_REDO_END - S_REDO_WORDS) / WORD) as usize;
/// Bytes of a word in the record.
const WORD: u64 = 12;
/// Bytes of the longest record.
const LEN: usize = (S_REDO_END - S_REDO) as usize;
/// Where the words start in the record.
const HEAD: usize = (S_REDO_WORDS - S_REDO) as usize;
/// Where the checksum starts: another format of the record takes another number.
const SEED: u64 = 0x6461_7869_6f6d_0001;

const _: () = assert!(CAPACITY == 27 && S_REDO.is_multiple_of(8) && HEAD.is_multiple_of(8));

/// Aligned words of 4 bytes that are to change together, and their new values.
#[derive(Clone)]
pub(super) struct Words {
    /// The record as it will be, but for its head.
    bytes: [u8; LEN],
    count: usize,
    /// More were pushed than fit, or one that is not aligned.
    unfit: bool,
}

/// The fact that a record is written.
struct Written;
/// The fact that the words of a record are stored.
struct Stored;
/// The fact that there is no record any more.
struct Cleared;

/// The fact that all words of a commit are stored, and that no record is left.
#[derive(Debug)]
pub(super) struct Committed;

impl Words {
    pub(super) fn new() -> Self {
        Self { bytes: [0; LEN], count: 0, unfit: false }
    }

    /// Adds that the word at byte `offset` of the region is to be `value`. A word that is there twice has the
    /// later value.
    #[inline]
    pub(super) fn push(&mut self, offset: u64, value: u32) {
        let at = HEAD + self.count * WORD as usize;
        match self.bytes.get_mut(at..at + WORD as usize) {
            Some(word) if offset.is_multiple_of(4) => {
                word[..8].copy_from_slice(&offset.to_le_bytes());
                word[8..].copy_from_slice(&value.to_le_bytes());
                self.count += 1;
            }
            _ => self.unfit = true,
        }
    }

    /// Adds 2 bytes as [`push`](Words::push) does; the word's other half stays as it is, or as it was pushed.
    #[inline]
    pub(super) fn push_u16(&mut self, pmem: &impl Pmem, offset: u64, value: u16) {
        let (at, shift) = (offset & !3, (offset & 2) * 8);
        let old =
            self.iter().filter(|word| word.0 == at).last().map_or_else(|| pmem.load_u32(at), |word| word.1);
        self.push(at, old & !(0xffff << shift) | u32::from(value) << shift);
    }

    /// Returns how many more words fit.
    pub(super) fn room(&self) -> usize {
        CAPACITY - self.count
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        let words = self.bytes[HEAD..].as_chunks::<{ WORD as usize }>().0.iter().take(self.count);
        words.map(|&[a, b, c, d, e, f, g, h, value @ ..]| {
            (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes(value))
        })
    }

    /// Bytes of the record.
    fn len(&self) -> usize {
        HEAD + self.count * WORD as usize
    }

    /// True if every word is the file system's, and none the superblock's.
    fn fits(&self, sb: &SuperBlock) -> bool {
        let end = sb.byte(sb.blocks_count);
        let apart = |at: u64| at + 4 <= SUPERBLOCK || at >= SUPERBLOCK + 1024;
        let fits = |at: u64| at.is_multiple_of(4) && at < end && apart(at);
        !self.unfit && self.iter().all(|(at, _)| fits(at))
    }

    /// Fills in what the record keeps of the superblock.
    fn stamp(&mut self, pmem: &impl Pmem) {
        let mut put = |at: u64, value: &[u8]| {
            let at = (at - S_REDO) as usize;
            self.bytes[at..at + value.len()].copy_from_slice(value);
        };
        put(S_REDO_COUNT, &(self.count as u16).to_le_bytes());
        put(S_REDO_MNT_COUNT, &pmem.load_u16(SUPERBLOCK + S_MNT_COUNT).to_le_bytes());
        put(S_REDO_MTIME, &pmem.load_u32(SUPERBLOCK + S_MTIME).to_le_bytes());
        put(S_REDO_LASTCHECK, &pmem.load_u32(SUPERBLOCK + S_LASTCHECK).to_le_bytes());
        put(S_REDO_WTIME, &pmem.load_u32(SUPERBLOCK + S_WTIME).to_le_bytes());
    }

    /// Mixes all but the checksum itself, which is never 0. Each step is one-to-one, so that no single change
    /// is missed.
    fn checksum(&self) -> u64 {
        let (numbers, rest) = self.bytes[8..self.len()].as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let mixed = numbers.iter().chain([&last]).fold(SEED, |sum, number| {
            let sum = (sum ^ u64::from_le_bytes(*number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sum ^ sum >> 29
        });
        mixed.max(1)
    }
}

/// The redo record of a mounted file system.
pub(super) struct Redo<'a, P: Platform>(&'a Ext2<P>);

view!(Redo of Ext2);

impl<P: Platform> Ext2<P> {
    /// Returns the file system's redo record.
    #[inline(always)]
    pub(super) fn redo(&self) -> Redo<'_, P> {
        Redo(self)
    }

    /// Commits `words`, byte offsets with values; for tests on the host.
    #[cfg(any(test, feature = "sim"))]
    pub fn commit_words(&self, words: &[(u64, u32)]) -> Result<()> {
        let mut list = Words::new();
        words.iter().for_each(|&(at, value)| list.push(at, value));
        self.redo().commit(list, Staged::nothing(()))?.into_fact();
        Ok(())
    }
}

impl<P: Platform> Redo<'_, P> {
    /// Stores all of `words`: after a crash all have the new values or none has. Durable on return, as is
    /// what was flushed before. `ready` is the evidence that what the words lead to is durable. Three fences;
    /// a single word needs no record and one.
    ///
    /// # Errors
    /// [`Errno::Overflow`] if the words don't fit into a record or the file system; nothing was changed.
    pub(super) fn commit<T>(
        self,
        mut words: Words,
        ready: Staged<T, Clean>,
    ) -> Result<Staged<Committed, Clean>> {
        if !words.fits(&self.sb) {
            return Err(Errno::Overflow.into());
        }
        let pmem = self.pmem();
        if words.count <= 1 {
            return Ok(self.store_one(&words, ready).fence(pmem).map(|Stored| Committed));
        }
        let _lock = self.super_lock.lock();
        words.stamp(pmem);
        let written = self.write(&mut words, ready).fence(pmem);
        let stored = self.store_words(&words, written).fence(pmem);
        Ok(self.clear(stored).fence(pmem).map(|Cleared| Committed))
    }

    fn write<T>(self, words: &mut Words, _ready: Staged<T, Clean>) -> Staged<Written, InFlight> {
        let sum = words.checksum();
        words.bytes[..8].copy_from_slice(&sum.to_le_bytes());
        let record = &words.bytes[..words.len()];
        self.pmem().write_nt(SUPERBLOCK + S_REDO, record);
        Staged::streamed(Written, SUPERBLOCK + S_REDO, record.len() as u64)
    }

    /// Stores and flushes the words of a durable record.
    fn store_words(self, words: &Words, _written: Staged<Written, Clean>) -> Staged<Stored, InFlight> {
        self.store_each(words)
    }

    /// Stores and flushes a word that a crash cannot tear.
    fn store_one<T>(self, words: &Words, _ready: Staged<T, Clean>) -> Staged<Stored, InFlight> {
        self.store_each(words)
    }

    fn store_each(self, words: &Words) -> Staged<Stored, InFlight> {
        let pmem = self.pmem();
        for (at, value) in words.iter() {
            pmem.store_u32(at, value);
            pmem.flush(at, 4);
        }
        Staged::streamed(Stored, SUPERBLOCK, 0)
    }

    /// Takes the record away, after its words.
    fn clear(self, _stored: Staged<Stored, Clean>) -> Staged<Cleared, InFlight> {
        let pmem = self.pmem();
        pmem.store_u64(SUPERBLOCK + S_REDO, 0);
        Staged::stored(Cleared, SUPERBLOCK + S_REDO, 8).flush(pmem)
    }

    /// The record on the image, if it is whole, ours, and nobody changed the image since.
    fn load(self) -> Option<(Words, Staged<Written, Clean>)> {
        let pmem = self.pmem();
        let sum = pmem.load_u64(SUPERBLOCK + S_REDO);
        let count = usize::from(pmem.load_u16(SUPERBLOCK + S_REDO_COUNT));
        if sum == 0 || count == 0 || count > CAPACITY {
            return None;
        }
        let mut words = Words { count, ..Words::new() };
        let len = words.len();
        pmem.read(SUPERBLOCK + S_REDO, &mut words.bytes[..len]);
        let whole = words.checksum() == sum;
        words.stamp(pmem);
        let current = words.checksum() == sum;
        // It was read from memory, after a crash: nothing of it is in a cache.
        let written = Staged::streamed(Written, SUPERBLOCK + S_REDO, len as u64);
        (whole && current && words.fits(&self.sb)).then(|| (words, written.fence(pmem)))
    }

    /// Returns whether a crash left a record whose words have to be stored before anything is read.
    pub(super) fn is_there(self) -> bool {
        self.load().is_some()
    }

    /// Finishes a commit that a crash cut short: durable on return. True if there was one. At mount, before
    /// anything else than the superblock is read.
    pub(super) fn replay(self) -> bool {
        let pmem = self.pmem();
        let _lock = self.super_lock.lock();
        let Some((words, written)) = self.load() else {
            return false;
        };
        let stored = self.store_words(&words, written).fence(pmem);
        self.clear(stored).fence(pmem).into_fact();
        true
    }
}
