//! loom's atomic words for `fs` and `locks` under `--cfg loom`; nothing at all in any other build.
//!
//! They differ from loom's own in three ways.
//!
//! - `new` is `const`, as the code under test needs it. The word is known to loom from its first access on.
//!   loom fails a model in which another access does not happen after that.
//! - Its first value is stored sequentially consistently, if the first access comes before there are threads
//!   ([`concurrent`]; `prepare` is such an access). loom keeps of `SeqCst` accesses that such a load never
//!   returns a `SeqCst` store older than another one that has been made; but it takes a word's first value
//!   for an ordinary store, and would let both sides of "store mine, then look at yours" miss each other. As
//!   a first value comes before all else, to give it a place in the order of `SeqCst` operations changes
//!   nothing but that.
//! - Each access in the source is a [`Site`], and one of them can be made wrong ([`sabotage`]).

#![cfg(loom)]

mod sabotage;
mod words;

pub use sabotage::{Site, Wrong, sabotage, sites};
pub use words::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, concurrent, fence};
