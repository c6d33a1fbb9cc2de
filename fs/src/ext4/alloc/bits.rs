//! A bitmap's bits, by words of 64: a set bit is a thing in use. Bits that are kept back count as set
//! where something free is looked for.

use crate::ext::bits::words;
use crate::jbd2::BufferMut;
use core::ops::Range;

/// The bits of a bitmap's block that an operation may change. The caller holds the group's lock.
pub(super) struct GroupBits<'a> {
    bitmap: &'a BufferMut<'a>,
    kept_back: &'a [u64],
}

/// Returns where in the block the word is that holds `bit`.
fn place(bit: u32) -> u64 {
    u64::from(bit / 64) * 8
}

/// Sets the bits of `range`.
pub(super) fn set_words(bits: &mut [u64], range: Range<u32>) {
    for (bit, mask) in words(range) {
        if let Some(word) = bits.get_mut(bit as usize / 64) {
            *word |= mask;
        }
    }
}

/// Clears the bits of `range`.
pub(super) fn clear_words(bits: &mut [u64], range: Range<u32>) {
    for (bit, mask) in words(range) {
        if let Some(word) = bits.get_mut(bit as usize / 64) {
            *word &= !mask;
        }
    }
}

impl<'a> GroupBits<'a> {
    /// Returns the bits of `bitmap`, of which those of `kept_back` are not free.
    pub(super) fn new(bitmap: &'a BufferMut<'a>, kept_back: &'a [u64]) -> Self {
        Self { bitmap, kept_back }
    }

    /// The word that holds `bit`.
    #[inline]
    fn word(&self, bit: u32) -> u64 {
        let kept_back = self.kept_back.get(bit as usize / 64).copied().unwrap_or(0);
        self.bitmap.load_u64(place(bit)) | kept_back
    }

    /// Returns the first bit of `range` that is clear.
    #[inline]
    pub(super) fn find_clear(&self, range: Range<u32>) -> Option<u32> {
        words(range).find_map(|(bit, mask)| {
            let clear = !self.word(bit) & mask;
            (clear != 0).then(|| (bit & !63) + clear.trailing_zeros())
        })
    }

    /// Returns the first bit of `range` that is set.
    #[inline]
    pub(super) fn find_set(&self, range: Range<u32>) -> Option<u32> {
        words(range).find_map(|(bit, mask)| {
            let set = self.word(bit) & mask;
            (set != 0).then(|| (bit & !63) + set.trailing_zeros())
        })
    }

    /// Returns the end of the clear bits with which `range` begins.
    #[inline]
    pub(super) fn end_of_clear(&self, range: Range<u32>) -> u32 {
        self.find_set(range.clone()).unwrap_or(range.end)
    }

    /// Sets the bits of `range`.
    #[inline]
    pub(super) fn set(&self, range: Range<u32>) {
        for (bit, mask) in words(range) {
            let at = place(bit);
            self.bitmap.store_u64(at, self.bitmap.load_u64(at) | mask);
        }
    }

    /// Clears the bits of `range`.
    pub(super) fn clear(&self, range: Range<u32>) {
        for (bit, mask) in words(range) {
            let at = place(bit);
            self.bitmap.store_u64(at, self.bitmap.load_u64(at) & !mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jbd2::BlockBuffer;
    use alloc::sync::Arc;

    #[test]
    fn bits_are_found_set_and_cleared_and_what_is_kept_back_is_not_free() {
        let bitmap = BufferMut::new(Arc::new(BlockBuffer::zeros(32)));
        let mut kept_back = [0; 4];
        set_words(&mut kept_back, 60..70);
        let bits = GroupBits::new(&bitmap, &[]);
        bits.set(0..60);
        assert_eq!((bits.find_clear(0..256), bits.find_set(60..256)), (Some(60), None));
        let bits = GroupBits::new(&bitmap, &kept_back);
        assert_eq!((bits.find_clear(0..256), bits.find_clear(0..65)), (Some(70), None));
        assert_eq!(bits.end_of_clear(70..200), 200);
        bits.set(128..192);
        assert_eq!((bits.end_of_clear(70..200), bits.end_of_clear(70..100)), (128, 100));
        bits.clear(130..131);
        assert_eq!((bits.find_clear(128..256), bits.end_of_clear(130..256)), (Some(130), 131));
        clear_words(&mut kept_back, 63..64);
        assert_eq!(GroupBits::new(&bitmap, &kept_back).find_clear(0..256), Some(63));
    }
}
