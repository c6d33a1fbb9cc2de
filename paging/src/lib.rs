//! x86-64 page tables, four levels deep, without a line of unsafe code.
//!
//! The algorithms live here, where they are tested on the host; memory comes through [`Machine`]: the kernel
//! implements it over its direct map, tests over an array. Two kinds of callers use [`Tables`]:
//!
//! - **the owner of a layout** (kernel start, stacks, devices, `munmap`): [`Tables::map`], [`Tables::map_range`],
//!   [`Tables::unmap_range`], [`Tables::protect_range`], [`Tables::prune`];
//! - **page faults**, many at a time in one address space: [`Tables::install`], [`Tables::replace`],
//!   [`Tables::write_protect_range`]. They publish with compare-exchange and take no lock.
//!
//! Not here: which frame belongs at an address (the address space and the file know), who else has a stale
//! translation (the shootdown behind [`Machine::invalidate`]), five-level paging, PCID, protection keys.
//!
//! | module | what |
//! |---|---|
//! | [`entry`] | one entry: address, flags, page sizes |
//! | [`tables`] | the tree: map, unmap, protect, split, prune |
//! | [`fault`] | lock-free primitives of the fault path |
//! | [`show`] | walking and printing |
//!
//! # Invariants
//! - A present non-leaf entry points to a table that [`Machine::allocate_table`] gave.
//! - A table is freed only by [`Tables::prune`] and [`Tables::clear`], after it is unreachable and invalidated.
//! - Frames that leaf entries point to are never owned here.
//!
//! # References
//! Intel SDM volume 3A, chapter 5 "Paging" (older editions: chapter 4): 4-level paging, "Caching Translation
//! Information".
#![no_std]
#![forbid(unsafe_code)]

pub mod entry;
pub mod fault;
pub mod show;
pub mod tables;

pub use entry::{Entry, Flags, PageSize};
pub use fault::Installed;
pub use show::{Region, Walk};
pub use tables::{Half, Machine, MapError, Partial, Table, Tables};

#[cfg(test)]
mod tests;
