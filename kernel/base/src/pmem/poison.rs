//! Which memory has lost its content: a list by physical address, for all regions. No lock.

use core::ops::Range;

use fs::pmem::poison::{Full, Poison};

/// What is bad, by physical address.
static BAD: Poison = Poison::new();

/// The bad ranges of physical addresses, in order.
pub fn ranges() -> alloc::vec::Vec<Range<u64>> {
    BAD.ranges()
}

/// `len` bytes from `physical` on are bad, which mappings may still lead to: crate `store` takes them away.
///
/// # Errors
/// The list is full.
pub fn note(physical: u64, len: u64) -> Result<(), Full> {
    BAD.add(physical, len)
}

/// The lines that lie in the `len` bytes from `physical` on as a whole are good again, with whatever is in
/// them.
///
/// # Errors
/// The list is full: more became good.
#[inline]
pub fn clear(physical: u64, len: u64) -> Result<(), Full> {
    BAD.clear(physical, len)
}

/// What is bad of a region: for [`Pmem`](fs::pmem::Pmem).
#[inline]
pub(super) fn first_in(physical: u64, len: u64) -> Option<u64> {
    BAD.first_in(physical, len)
}
