//! The machine under the `fs` crate: all of the kernel but its shell.
//!
//! | module | what |
//! |---|---|
//! | [`arch`] | CPU, traps, interrupts, time |
//! | [`mm`] | frames, page tables, address space layout, heap, stacks |
//! | [`acpi`], [`pmem`] | NFIT, regions of persistent memory, flushing |
//! | [`console`], [`klog`], [`fw_cfg`], [`exit`] | serial ports, log, QEMU's configuration and exit |
//! | [`panic`](mod@panic), [`crash`] | the end, and how to bring it about |
//! | [`sync`], [`task`] | locks; tasks |
//! | [`machine`], [`mounts`] | the machine as the `fs` crate sees it; what is mounted where |
//! | [`lab`], [`debugcon`] | steps that are traced or held, mistakes made on purpose; the trace's way out |
//!
//! A crate of its own, so that what a page fault runs through is compiled in one piece for speed, and a line changed in
//! the shell leaves it alone (docs/decisions/0016). Its one user is the binary beside it, to which `pub` here means
//! what `pub` meant in one crate.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
// `pub` is for the shell, as `pub(crate)` would be were it one crate: no interface to document field by field.
#![allow(missing_docs, unreachable_pub, clippy::new_without_default)]

extern crate alloc;

pub mod acpi;
pub mod arch;
pub mod console;
pub mod crash;
pub mod debugcon;
pub mod exit;
pub mod fw_cfg;
pub mod klog;
pub mod lab;
pub mod machine;
pub mod mm;
pub mod mounts;
pub mod panic;
pub mod pmem;
pub mod sync;
pub mod task;
