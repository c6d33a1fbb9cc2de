//! Page faults served straight from persistent memory.
//!
//! A file is mapped without a page cache: a page-table entry points at the block itself. What makes that hard
//! is the moment when a fault meets a hole. The zero page that a *read* of a hole maps, and the block that a
//! *write* to it allocates, exclude each other, and both decisions rest on one look-up. When two CPUs fault
//! on one page,
//!
//! ```text
//! CPU 1: load from the page            CPU 2: store to the page
//! looks up: a hole
//!                                      looks up: a hole; allocates; maps the block; stores
//! maps the zero page: the store is lost to this CPU
//! ```
//!
//! # Read first, retry exclusively
//!
//! The answer of the RFC of 2016 (R. Zwisler, J. Kara: "dax, ext2, ext4, XFS: fix data corruption race"), and
//! the default here. Every fault, a write too, first looks up under the shared `dax_sem` and installs what it
//! finds while still holding it. Only a write that meets a hole lets go of everything, takes `dax_sem`
//! exclusively, looks again (someone may have been faster) and allocates. So a block can only appear when no
//! other fault on this inode is between its look-up and its installing.
//!
//! [`EntryLock`](Protocol::EntryLock), what Linux does since 4.7, and [`Racy`](Protocol::Racy), what it did
//! before, are values beside it: [`protocol`].
//!
//! # Two page sizes
//!
//! Where 2 MiB of a file lie in one aligned run, or are a hole as a whole, and the area has room for them,
//! one entry of a page directory maps all of it (Linux: a PMD fault). Otherwise the fault goes on with 4 KiB;
//! [`Fallback`] says why.
//!
//! | file | what it holds |
//! |---|---|
//! | [`protocol`] | the protocols as values: who may allocate under which lock |
//! | [`fault`] | one fault's way: look up, install, retry |
//! | `fallback` | why 2 MiB could not be mapped as one |
//! | [`writeback`] | msync and fsync: protect, flush, fence |
//!
//! # Locking
//! `freeze → dax_sem → entry → areas → page tables`, and what the file system takes in between. Nothing but
//! the freeze protection is held when a fault answers "retry" (docs/laws.md, law 4).

mod fallback;
pub mod fault;
pub mod protocol;
pub mod writeback;

pub use fallback::Fallback;
pub use fault::{Area, Fault, Outcome, fault};
pub use protocol::Protocol;
pub use writeback::{fsync, msync, sync};
