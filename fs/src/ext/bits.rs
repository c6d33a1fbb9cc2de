//! The words of 64 bits that a bitmap is searched and changed by.

use core::ops::Range;

/// Returns the words that hold the bits of `range`: a bit of each, and the mask of those meant.
#[inline]
pub(crate) fn words(range: Range<u32>) -> impl Iterator<Item = (u32, u64)> {
    let Range { start: mut bit, end } = range;
    core::iter::from_fn(move || {
        (bit < end).then(|| {
            let next = ((bit & !63) + 64).min(end);
            let word = (bit, (u64::MAX >> (64 - (next - bit))) << (bit % 64));
            bit = next;
            word
        })
    })
}
