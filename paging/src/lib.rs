//! x86-64 page tables, four levels deep, without a line of unsafe code.
//!
//! The algorithms live here, where they are tested on the host; memory comes through [`TableMachine`]: the
//! kernel implements it over its direct map, tests over an array. Two kinds of callers:
//!
//! - **the owner of a layout** (kernel start, stacks, heap, devices) uses [`TableTree`];
//! - **a task's address space** uses [`TaskTables`]: many faults at a time, files that take pages back, the
//!   owner's munmap and mprotect, private copies.
//!
//! Not here: which frame belongs at an address (the address space and the file know), who else has a stale
//! translation (the shootdown behind [`TableMachine::invalidate`]), five-level paging, PCID, protection keys.
//!
//! | module | what |
//! |---|---|
//! | [`entry`] | one entry: address, flags, page sizes |
//! | [`tables`] | the tree: map, unmap, protect, split, prune |
//! | [`task`] | a task's half: faults, removal, private copies |
//! | [`show`] | walking and printing |
//!
//! # Invariants
//! - A present non-leaf entry points to a table that [`TableMachine::allocate_table`] gave.
//! - A table is freed only by [`TableTree::prune`] and [`TableTree::clear`], after it is unreachable and
//!   invalidated.
//! - Frames that leaf entries point to are never owned here, private copies excepted.
//!
//! # References
//! Intel SDM volume 3A, chapter 5 "Paging" (older editions: chapter 4): 4-level paging, "Caching Translation
//! Information".
#![no_std]
#![forbid(unsafe_code)]

pub mod entry;
pub mod show;
pub mod tables;
pub mod task;

pub use entry::{FaultCode, Flags, LeafSize, PageTableEntry};
pub use show::{MappedRange, Walk};
pub use tables::{EntryWord, Half, MapError, PageTable, TableMachine, TableTree};
pub use task::{TaskMachine, TaskTables};

#[cfg(test)]
mod tests;
