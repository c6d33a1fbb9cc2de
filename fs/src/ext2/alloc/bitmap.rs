//! One bitmap block, in place: finding, setting and clearing bits by 64-bit words. A set bit is a thing in
//! use.
//!
//! The caller holds the group's lock; a word is stored whole, so a crash never tears it.

use crate::ext::bits::words;
use crate::pmem::Pmem;
use crate::pmem::state::{Dirty, InFlight, Staged};
use core::ops::Range;

/// A bitmap at a byte offset, of which the first `limit` bits count.
#[derive(Clone, Copy)]
pub(in crate::ext2) struct Bitmap {
    at: u64,
    limit: u32,
}

impl Bitmap {
    /// Returns the bitmap in the block at byte `at`; its bits from `limit` on are padding.
    #[inline]
    pub(in crate::ext2) fn new(at: u64, limit: u32) -> Self {
        Self { at, limit }
    }

    #[inline]
    fn word(&self, bit: u32) -> u64 {
        self.at + u64::from(bit / 64) * 8
    }

    /// Returns whether `bit` is set. Bits beyond the limit are.
    pub(in crate::ext2) fn is_set(&self, pmem: &impl Pmem, bit: u32) -> bool {
        bit >= self.limit || pmem.load_u64(self.word(bit)) & 1 << (bit % 64) != 0
    }

    /// Finds the first clear bit in `from..to`.
    #[inline]
    pub(in crate::ext2) fn find_clear(&self, pmem: &impl Pmem, from: u32, to: u32) -> Option<u32> {
        let to = to.min(self.limit);
        let mut bit = from;
        while bit < to {
            let clear = !pmem.load_u64(self.word(bit)) & u64::MAX << (bit % 64);
            if clear != 0 {
                let found = (bit & !63) + clear.trailing_zeros();
                return (found < to).then_some(found);
            }
            bit = (bit & !63) + 64;
        }
        None
    }

    /// Counts the bits from `bit` on, which is clear, that are clear in a row, up to `most`.
    #[inline]
    pub(in crate::ext2) fn clear_len(&self, pmem: &impl Pmem, bit: u32, most: u32) -> u32 {
        let end = bit.saturating_add(most).min(self.limit);
        let mut at = bit + 1;
        while at < end {
            let set = pmem.load_u64(self.word(at)) & u64::MAX << (at % 64);
            if set != 0 {
                return ((at & !63) + set.trailing_zeros()).min(end) - bit;
            }
            at = (at & !63) + 64;
        }
        end - bit
    }

    /// Returns whether all bits of `range` are clear.
    pub(in crate::ext2) fn is_clear(&self, pmem: &impl Pmem, range: Range<u32>) -> bool {
        words(range).all(|(bit, mask)| pmem.load_u64(self.word(bit)) & mask == 0)
    }

    /// Sets `count` bits from `first` on, one at least, which makes `fact` one.
    #[inline]
    pub(in crate::ext2) fn set<T>(
        &self,
        pmem: &impl Pmem,
        first: u32,
        count: u32,
        fact: T,
    ) -> Staged<T, Dirty> {
        debug_assert!(count > 0 && first + count <= self.limit);
        for (bit, mask) in words(first..first + count) {
            let word = self.word(bit);
            pmem.store_u64(word, pmem.load_u64(word) | mask);
        }
        let start = self.word(first);
        Staged::stored(fact, start, self.word(first + count - 1) + 8 - start)
    }

    /// Sets `bit` and flushes, which makes `fact` one; `None`, and nothing changed, if it is set or beyond
    /// the limit, or `claim` refuses.
    #[inline]
    pub(in crate::ext2) fn set_one<T>(
        &self,
        pmem: &impl Pmem,
        bit: u32,
        claim: impl FnOnce() -> bool,
        fact: T,
    ) -> Option<Staged<T, InFlight>> {
        if bit >= self.limit {
            return None;
        }
        let (at, mask) = (self.word(bit), 1 << (bit % 64));
        let word = pmem.load_u64(at);
        if word & mask != 0 || !claim() {
            return None;
        }
        pmem.put_u64(at, word | mask);
        Some(Staged::streamed(fact, at, 8))
    }

    /// Clears `count` bits from `first` on. `None` if one was clear already or beyond the limit: nothing was
    /// changed.
    pub(in crate::ext2) fn clear(
        &self,
        pmem: &impl Pmem,
        first: u32,
        count: u32,
    ) -> Option<Staged<(), Dirty>> {
        let end = first.checked_add(count)?;
        if end > self.limit || self.find_clear(pmem, first, end).is_some() {
            return None;
        }
        for (bit, mask) in words(first..end) {
            let word = self.word(bit);
            pmem.store_u64(word, pmem.load_u64(word) & !mask);
        }
        let start = self.word(first);
        Some(Staged::stored((), start, self.word(end.saturating_sub(1).max(first)) + 8 - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmem::ram::Ram;

    #[test]
    fn bits_are_found_set_and_cleared_up_to_the_limit() {
        let ram = Ram::from_bytes(&[0; 4096]);
        let map = Bitmap::new(0, 200);
        for bit in 0..200 {
            assert_eq!(map.find_clear(&ram, 0, 32768), Some(bit));
            map.set(&ram, bit, 1, ()).unordered();
        }
        assert_eq!(map.find_clear(&ram, 0, 32768), None);
        assert!(map.is_set(&ram, 200));
        assert!(map.clear(&ram, 190, 11).is_none());
        map.clear(&ram, 60, 70).unwrap().unordered();
        assert!(map.clear(&ram, 129, 2).is_none());
        assert_eq!(map.find_clear(&ram, 0, 32768), Some(60));
        assert_eq!(map.find_clear(&ram, 100, 32768), Some(100));
        assert_eq!(map.find_clear(&ram, 0, 60), None);
        assert_eq!((map.clear_len(&ram, 60, 500), map.clear_len(&ram, 63, 3)), (70, 3));
        assert!(map.is_clear(&ram, 60..130) && !map.is_clear(&ram, 59..61) && !map.is_clear(&ram, 100..131));
        map.set(&ram, 64, 64, ()).unordered();
        assert_eq!((map.clear_len(&ram, 60, 500), map.find_clear(&ram, 64, 200)), (4, Some(128)));
        map.clear(&ram, 64, 64).unwrap().unordered();
        assert!(map.is_set(&ram, 59) && !map.is_set(&ram, 129) && map.is_set(&ram, 130));
    }
}
