//! Where locks lie and what they are called, for whoever watches who takes them (the feature `watched`).

use core::ops::Range;

/// Is told of each lock: its name, and which addresses it has with what it guards.
pub type Tell<'a> = &'a mut dyn FnMut(&str, Range<usize>);

/// Returns the addresses that a lock has.
pub(crate) fn lies<T>(lock: &T) -> Range<usize> {
    let start = core::ptr::from_ref(lock).addr();
    start..start + size_of::<T>()
}
