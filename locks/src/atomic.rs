//! The atomic words of this crate: `core`'s.

pub(crate) use core::sync::atomic::{AtomicI64, AtomicU32, fence};
