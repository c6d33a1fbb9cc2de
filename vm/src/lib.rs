//! Address spaces: which part of which file a task sees where, without a line of unsafe code.
//!
//! An address space is a sorted list of virtual memory areas (VMAs) and the page tables that faults fill in
//! behind them. Mapping only notes the VMA; a page is looked up, or allocated, when it is first touched
//! ([`AddressSpace::fault`]).
//!
//! ```text
//! 0x0000_0000_0001_0000  TASK_START  (the null page and its neighbours stay empty)
//! 0x0000_0100_0000_0000  MMAP        VMAs are placed upwards from here, a guard page after each
//! 0x0000_7fff_ffff_f000  TASK_END
//! ```
//!
//! The machine comes in by two ways: locks, memory and clock as the storage code has them
//! ([`fs::platform::Platform`]), frames, TLBs and pages of zeros by [`SpaceMachine`]. The kernel has both
//! over hardware; the tests here, and the explorer (docs/exploration.md), over simulated ones. What stays in
//! the kernel: whose address space the CPU runs (CR3), and what becomes of a task whose fault is refused.
//!
//! Not here: memory without a file. [`vma`] has the one place where that would be another kind of backing.
//!
//! | module | what |
//! |---|---|
//! | [`space`] | an address space; faults, listing |
//! | [`vma`] | one VMA, the list of them: finding, splitting, joining |
//! | [`map`] | mmap, munmap, mremap |
//! | [`advise`] | mprotect, madvise, msync, filling in beforehand |
//! | `fork` | a copy of the address space |
//! | [`tables`] | its page tables, as the fault protocols want them, over [`paging`] |
//!
//! # Locking
//! `vmas → freeze → dax_sem → …` (docs/laws.md). A fault holds `vmas` shared from its look-up to its end,
//! so that a VMA can't go while its page is being installed, and no table either. In the kernel the lock is
//! distributed: faults on different CPUs share no cache line. What changes VMAs, or frees tables, holds it
//! exclusively.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod advise;
mod fork;
pub mod map;
pub mod space;
pub mod tables;
pub mod vma;

pub use advise::Advice;
pub use map::{MapRequest, Placement};
pub use space::{AddressSpace, Refusal, VmaInfo};
pub use tables::{SpaceMachine, SpacePlatform, SpaceTables};
pub use vma::{Rights, VmaKind};

/// The first address a task can map.
pub const TASK_START: u64 = 0x1_0000;
/// The first address beyond a task's.
pub const TASK_END: u64 = 0x7fff_ffff_f000;
/// VMAs are placed from here on, if nobody says where.
pub const MMAP: u64 = 1 << 40;
