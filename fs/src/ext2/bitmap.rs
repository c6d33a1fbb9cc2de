//! One bitmap block, in place: finding, setting and clearing bits by 64-bit words. A set bit is a thing in
//! use.
//!
//! The caller holds the group's lock; a word is stored whole, so a crash never tears it.

use crate::pmem::Pmem;
use crate::pmem::state::{Dirty, Staged};

/// A bitmap at a byte offset, of which the first `limit` bits count.
#[derive(Clone, Copy)]
pub(super) struct Bitmap {
    at: u64,
    limit: u32,
}

impl Bitmap {
    /// The bitmap in the block at byte `at`; its bits from `limit` on are padding.
    pub(super) fn new(at: u64, limit: u32) -> Self {
        Self { at, limit }
    }

    #[inline]
    fn word(&self, bit: u32) -> u64 {
        self.at + u64::from(bit / 64) * 8
    }

    /// True if `bit` is set. Bits beyond the limit are.
    pub(super) fn is_set(&self, pmem: &impl Pmem, bit: u32) -> bool {
        bit >= self.limit || pmem.load_u64(self.word(bit)) & 1 << (bit % 64) != 0
    }

    /// The first clear bit in `from..to`.
    #[inline]
    pub(super) fn find_clear(&self, pmem: &impl Pmem, from: u32, to: u32) -> Option<u32> {
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

    /// Sets `bit`, which makes `fact` one.
    #[inline]
    pub(super) fn set<T>(&self, pmem: &impl Pmem, bit: u32, fact: T) -> Staged<T, Dirty> {
        debug_assert!(bit < self.limit);
        let word = self.word(bit);
        pmem.store_u64(word, pmem.load_u64(word) | 1 << (bit % 64));
        Staged::stored(fact, word, 8)
    }

    /// Clears `count` bits from `first` on. `None` if one was clear already or beyond the limit: nothing was
    /// changed.
    pub(super) fn clear(&self, pmem: &impl Pmem, first: u32, count: u32) -> Option<Staged<(), Dirty>> {
        let end = first.checked_add(count)?;
        if end > self.limit || self.find_clear(pmem, first, end).is_some() {
            return None;
        }
        let mut bit = first;
        while bit < end {
            let next = ((bit & !63) + 64).min(end);
            let mask = (u64::MAX >> (64 - (next - bit))) << (bit % 64);
            let word = self.word(bit);
            pmem.store_u64(word, pmem.load_u64(word) & !mask);
            bit = next;
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
            map.set(&ram, bit, ()).unordered();
        }
        assert_eq!(map.find_clear(&ram, 0, 32768), None);
        assert!(map.is_set(&ram, 200));
        assert!(map.clear(&ram, 190, 11).is_none());
        map.clear(&ram, 60, 70).unwrap().unordered();
        assert!(map.clear(&ram, 129, 2).is_none());
        assert_eq!(map.find_clear(&ram, 0, 32768), Some(60));
        assert_eq!(map.find_clear(&ram, 100, 32768), Some(100));
        assert_eq!(map.find_clear(&ram, 0, 60), None);
        assert!(map.is_set(&ram, 59) && !map.is_set(&ram, 129) && map.is_set(&ram, 130));
    }
}
