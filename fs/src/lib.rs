//! Storage on persistent memory, with no hardware in it.
//!
//! This is the code that boots inside Daxiom's kernel *and* the code that the host explores, crash-tests and
//! fuzzes: persistent memory, page tables, locks and the clock reach it through the traits of [`platform`]
//! and [`pmem`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`pmem`] | the [`Pmem`](pmem::Pmem) trait; typed persistence states (dirty, in flight, clean) |
//! | [`platform`] | what a machine supplies: memory, locks, page tables, clock, counters |
//! | [`vfs`] | inodes and file systems as `dax` and the shell need them; where a file is mapped |
//! | [`dax`] | the page-fault protocols and write-back |
//! | [`ext`] | what ext2, ext3 and ext4 have in common |
//! | [`ext2`], [`ext4`] | file systems on disk |
//! | [`block`] | raw devices: whole regions as files |
//! | [`jbd2`] | the journal of ext3 and ext4 |
//! | [`registry`] | the types of file systems that can be mounted |
//! | [`crc32c`] | the checksum of ext4 and of its journal |
//! | [`stats`] | every counter the kernel can print |
//! | [`lab`] | named steps to watch, named mistakes to make |
//! | [`error`] | four kinds of error, kept apart |
//! | [`atomic`] | the words that CPUs share: `core`'s, watched, or loom's |
//! | `sim` | a machine in RAM for host tests (feature `sim`) |
//!
//! `dax` and `ext2` do not know each other; both know `vfs` and `pmem`.
//!
//! # Lock order
//!
//! `address space → freeze → inode lock → dax_sem → mapping entry →` either `areas of the file → page tables`
//! or `block map → allocation group`. docs/laws.md has all of it; each module's head says what it takes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod atomic;
pub mod block;
pub mod crc32c;
pub mod dax;
pub mod error;
#[macro_use]
pub mod ext;
pub mod ext2;
pub mod ext4;
pub mod jbd2;
pub mod lab;
pub mod platform;
pub mod pmem;
pub mod registry;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod stats;
pub mod vfs;

pub use error::{Corrupt, Errno, Error, Result, Unsupported};

/// Bytes in a page, and in a block that can be mapped.
pub const PAGE_SIZE: u64 = 4096;
