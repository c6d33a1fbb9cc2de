//! `fsx`: random operations on one file, each compared with a model in memory.
//!
//! The exerciser drives a [`Target`], which is a file of `fs` on the host, an open file of the shell in the
//! kernel, and a deliberately broken one in tests; the file system may be any. Its options carry the letters
//! that users of fsx know.
//!
//! Whoever else does operations of `fs` at random shares [`FileOp`] and [`NameOp`], and compares with
//! [`FileContents`] and [`NameTree`]: the tests of `fs`, and the fuzzer. So this crate depends on `fs`, whose
//! words for operations are the only ones, and the storage on nothing that tests it.
//!
//! After each operation the following hold, or the run ends with a report ([`Fsx::explain`]) that tells
//! where, what was expected, what was found, which operation stored there last, and how to repeat it:
//!
//! 1. What a read, or a load through a mapping, returns is what the model holds.
//! 2. The bytes between the end of the file and the end of its last page are zeros, seen through a mapping.
//! 3. The file is as long as the model, asked for in two ways ([`Target::size`], [`Target::end`]).
//! 4. What seeking says is a hole holds zeros: whenever the whole file is compared.
//!
//! Operation number *n* stores the byte *n* mod 256, at odd offsets plus a random byte that belongs to the
//! offset: a byte tells which operation it came from, and data that was moved to a wrong place is noticed.
//!
//! | file | what it holds |
//! |---|---|
//! | [`target`] | what an exercised file must be able to do, and how it refuses |
//! | [`options`] | the options, from a command line and back |
//! | [`op`] | one operation, and its line in a file of operations |
//! | [`contents`] | what the file should hold |
//! | [`names`] | one operation on names, and the tree that they should make |
//! | [`rng`] | repeatable random numbers |
//! | [`exercise`] | choosing, doing and checking operations |
//! | [`report`] | what is said when something differs |
//!
//! Left out: asynchronous and direct I/O, reflinks, deduplication, copying within the file.
//!
//! No locks. Memory: twice the file's greatest length, and the buffer of one operation.
//!
//! Reference: the description of fsx in xfstests' documentation; no code was taken from it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod contents;
pub mod exercise;
pub mod names;
pub mod op;
pub mod options;
pub mod report;
pub mod rng;
pub mod target;

pub use contents::FileContents;
pub use exercise::{EarlyStop, Fsx};
pub use names::{NameOp, NameTree};
pub use op::{FileOp, OpKind};
pub use options::Options;
pub use report::FsxFailure;
pub use rng::Rng;
pub use target::{Target, TargetError, TargetResult};
