//! A block of metadata in ordinary memory: from the first change in a transaction to its commit.
//!
//! Several handles may change different bytes of one block at the same time. A store of less than 8 aligned
//! bytes changes the word around it by compare-exchange, so neither loses the other's. That a reader does not
//! see half of what belongs together is the file system's part, by its locks, as for blocks in persistent
//! memory.

use crate::atomic::AtomicU64;
use crate::pmem::Pmem;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::ops::Deref;
use core::sync::atomic::Ordering::{Acquire, Release};

/// A block's bytes. Numbers are little-endian, and aligned to their size.
///
/// # Panics
/// What is not inside is a bug of the caller, as for [`Pmem`].
#[derive(Debug)]
pub struct BlockBuffer {
    words: Box<[AtomicU64]>,
    /// See [`BufferMut::set_note`].
    note: AtomicU64,
}

/// A block that may be changed until its handle ends.
#[derive(Debug)]
pub struct BufferMut<'h> {
    buffer: Arc<BlockBuffer>,
    handle: PhantomData<&'h ()>,
}

impl BlockBuffer {
    /// Returns a block of zeros, of `len` bytes, a multiple of 8.
    pub fn zeros(len: u64) -> Self {
        Self::of_words((0..len / 8).map(|_| AtomicU64::new(0)).collect())
    }

    /// Returns a copy of the `len` bytes of the region from `at` on.
    pub(super) fn of_home(pmem: &impl Pmem, at: u64, len: u64) -> Self {
        Self::of_words((0..len).step_by(8).map(|word| AtomicU64::new(pmem.load_u64(at + word))).collect())
    }

    /// Returns a copy of it, without its note.
    pub(super) fn copy(&self) -> Self {
        Self::of_words(self.words.iter().map(|word| AtomicU64::new(word.load(Acquire))).collect())
    }

    fn of_words(words: Box<[AtomicU64]>) -> Self {
        Self { words, note: AtomicU64::new(0) }
    }

    /// Returns its note; 0 if it has none.
    pub(super) fn note(&self) -> u64 {
        self.note.load(Acquire)
    }

    /// Copies all of it to `to`, which has its length.
    pub(super) fn copy_to(&self, to: &mut [u8]) {
        for (bytes, word) in to.as_chunks_mut::<8>().0.iter_mut().zip(&self.words) {
            *bytes = word.load(Acquire).to_le_bytes();
        }
    }

    /// Loads the word with byte `at`, from that byte on.
    #[inline]
    fn load(&self, at: u64) -> u64 {
        self.words[(at / 8) as usize].load(Acquire) >> (at % 8 * 8)
    }

    /// Loads one byte.
    #[inline]
    pub fn load_u8(&self, at: u64) -> u8 {
        self.load(at) as u8
    }

    /// Loads a number of two bytes.
    #[inline]
    pub fn load_u16(&self, at: u64) -> u16 {
        debug_assert!(at.is_multiple_of(2));
        self.load(at) as u16
    }

    /// Loads a number of four bytes.
    #[inline]
    pub fn load_u32(&self, at: u64) -> u32 {
        debug_assert!(at.is_multiple_of(4));
        self.load(at) as u32
    }

    /// Loads a number of eight bytes.
    #[inline]
    pub fn load_u64(&self, at: u64) -> u64 {
        debug_assert!(at.is_multiple_of(8));
        self.load(at)
    }

    /// Copies bytes out.
    pub fn read(&self, at: u64, to: &mut [u8]) {
        let (mut at, mut left) = (at, to);
        while !left.is_empty() {
            let (part, rest) = left.split_at_mut(left.len().min(8 - at as usize % 8));
            part.copy_from_slice(&self.load(at).to_le_bytes()[..part.len()]);
            at += part.len() as u64;
            left = rest;
        }
    }
}

impl BufferMut<'_> {
    /// Returns the right to change `buffer`: a block of the running transaction, or bytes that are no block's
    /// (those of an inode in memory).
    pub fn new(buffer: Arc<BlockBuffer>) -> Self {
        Self { buffer, handle: PhantomData }
    }

    /// Returns the buffer, and gives up the right.
    pub fn into_buffer(self) -> Arc<BlockBuffer> {
        self.buffer
    }

    /// Notes what the block's owner is to do with it when its transaction ends
    /// ([`JournalOwner::finish`](super::JournalOwner::finish)): any number but 0. It replaces an older note.
    #[inline]
    pub fn set_note(&self, note: u64) {
        self.note.store(note, Release);
    }

    /// Stores the low `len` bytes of `value` at `at`, all in one word.
    #[inline]
    fn store(&self, at: u64, len: usize, value: u64) {
        let word = &self.words[(at / 8) as usize];
        if len == 8 {
            return word.store(value, Release);
        }
        let shift = at % 8 * 8;
        let mask = (1 << (len * 8)) - 1;
        let change = |old| Some(old & !(mask << shift) | (value & mask) << shift);
        // The closure always answers.
        let _ = word.fetch_update(Release, Acquire, change);
    }

    /// Stores one byte.
    #[inline]
    pub fn store_u8(&self, at: u64, value: u8) {
        self.store(at, 1, value.into());
    }

    /// Stores a number of two bytes.
    #[inline]
    pub fn store_u16(&self, at: u64, value: u16) {
        debug_assert!(at.is_multiple_of(2));
        self.store(at, 2, value.into());
    }

    /// Stores a number of four bytes.
    #[inline]
    pub fn store_u32(&self, at: u64, value: u32) {
        debug_assert!(at.is_multiple_of(4));
        self.store(at, 4, value.into());
    }

    /// Stores a number of eight bytes.
    #[inline]
    pub fn store_u64(&self, at: u64, value: u64) {
        debug_assert!(at.is_multiple_of(8));
        self.store(at, 8, value);
    }

    /// Copies bytes in.
    pub fn write(&self, at: u64, from: &[u8]) {
        let (mut at, mut left) = (at, from);
        while !left.is_empty() {
            let (part, rest) = left.split_at(left.len().min(8 - at as usize % 8));
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.store(at, part.len(), u64::from_le_bytes(word));
            at += part.len() as u64;
            left = rest;
        }
    }
}

impl Deref for BufferMut<'_> {
    type Target = BlockBuffer;

    fn deref(&self) -> &BlockBuffer {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_numbers_agree_at_every_alignment() {
        let block = BufferMut::new(Arc::new(BlockBuffer::zeros(64)));
        block.write(3, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!((block.load_u8(3), block.load_u32(4)), (1, u32::from_le_bytes([2, 3, 4, 5])));
        block.store_u16(6, 0xaabb);
        block.store_u8(16, 0xcc);
        block.store_u32(20, 0x1122_3344);
        let mut back = [0; 23];
        block.read(2, &mut back);
        let expected =
            [0, 1, 2, 3, 0xbb, 0xaa, 6, 7, 8, 9, 10, 11, 12, 13, 0xcc, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0];
        assert_eq!(back, expected);
        block.store_u64(24, u64::MAX - 1);
        assert_eq!(
            (block.load_u64(24), block.load_u16(24), block.load_u16(30)),
            (u64::MAX - 1, 0xfffe, 0xffff)
        );
        let mut whole = [0; 64];
        block.copy().copy_to(&mut whole);
        assert_eq!(whole[2..24], expected[..22]);
    }

    #[test]
    fn threads_that_store_side_by_side_lose_nothing() {
        let block = Arc::new(BlockBuffer::zeros(8));
        std::thread::scope(|scope| {
            for at in 0..4 {
                let block = BufferMut::new(block.clone());
                scope.spawn(move || (0..=u16::MAX).for_each(|value| block.store_u16(at * 2, value)));
            }
        });
        assert_eq!(block.load_u64(0), u64::MAX);
    }
}
