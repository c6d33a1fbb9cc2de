//! Which memory has lost its content: a list by physical address, for all regions. No lock.

use core::ops::Range;

use fs::pmem::poison::{Full, Poison};

/// What is bad, by physical address.
static BAD: Poison = Poison::new();

/// Returns the bad ranges of physical addresses, in order.
pub fn ranges() -> alloc::vec::Vec<Range<u64>> {
    BAD.ranges()
}

/// Notes that `len` bytes from `physical` on are bad. Mappings may still lead there: crate `store` takes
/// them away.
///
/// # Errors
/// The list is full.
pub fn note(physical: u64, len: u64) -> Result<(), Full> {
    BAD.add(physical, len)
}

/// Notes that the lines which lie as a whole in the `len` bytes from `physical` on are good again, with
/// whatever is in them.
///
/// # Errors
/// The list is full: more became good.
#[inline]
pub fn clear(physical: u64, len: u64) -> Result<(), Full> {
    BAD.clear(physical, len)
}

/// Returns the first bad range of a region, as [`Pmem`](fs::pmem::Pmem) wants it.
#[inline]
pub(super) fn first_in(physical: u64, len: u64) -> Option<u64> {
    BAD.first_in(physical, len)
}
