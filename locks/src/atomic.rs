//! The atomic words of this crate: `core`'s, or loom's with `--cfg loom` (docs/memory-orders.md).

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicI64, AtomicU32, fence};
#[cfg(loom)]
pub(crate) use loomed::{AtomicI64, AtomicU32, fence};
