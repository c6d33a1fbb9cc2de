//! The machine under the `fs` crate, and what a page fault runs through.
//!
//! | module | what |
//! |---|---|
//! | [`steps`] | mistakes made on purpose, and who listens to the storage code's steps |
//! | [`arch`], [`counters`] | what a CPU can do, and has for itself; what was counted |
//! | [`sync`] | locks |
//! | [`console`], [`klog`], [`exit`] | serial ports, log, the end of QEMU |
//! | [`mm`] | frames, page tables, layout, heap, stacks; above them, address spaces and faults |
//! | [`acpi`], [`pmem`] | NFIT, regions of persistent memory, flushing |
//! | [`machine`] | the machine as the `fs` crate sees it |
//! | [`task`], [`keyboard`] | tasks; waiting for what is typed |
//! | [`panic`](mod@panic) | the end |
//! | [`entry`] | traps, accesses to task memory, machine checks, the start of the other CPUs |
//! | [`crash`], [`debugcon`], [`fw_cfg`] | a panic on purpose; two devices of QEMU |
//!
//! From the bottom up, but the last: a module knows those above it in this list, and none below
//! (tests/tests/layers.rs).
//!
//! A crate of its own, so that what a page fault runs through is compiled in one piece for speed, and a line
//! changed in the shell or the lab leaves it alone (docs/decisions/0016, docs/decisions/0018). Its users are
//! the crates of the kernel beside it, to which `pub` here means what `pub` meant in one crate.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
// `pub` is for the rest of the kernel, as `pub(crate)` would be were it one crate: no interface to document
// field by field.
#![allow(missing_docs, unreachable_pub, clippy::new_without_default)]

extern crate alloc;

pub mod acpi;
pub mod arch;
pub mod console;
pub mod counters;
pub mod crash;
pub mod debugcon;
pub mod entry;
pub mod exit;
pub mod fw_cfg;
pub mod keyboard;
pub mod klog;
pub mod machine;
pub mod mm;
pub mod panic;
pub mod pmem;
pub mod steps;
pub mod sync;
pub mod task;
