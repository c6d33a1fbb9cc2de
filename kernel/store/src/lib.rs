//! The file system on this machine.
//!
//! | module | what |
//! |---|---|
//! | [`mounts`] | what is mounted where |
//! | [`bad_memory`] | what becomes of memory that has lost its content |
//!
//! A crate of its own: `fs`'s file system is compiled for this machine here, side by side with `base`, which
//! reaches it through `dyn Inode` alone (docs/decisions/0018).
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
// As in `base`.
#![allow(missing_docs, unreachable_pub)]

extern crate alloc;

pub mod bad_memory;
pub mod mounts;

use base::arch::time;
use base::{acpi, entry, fw_cfg, klog, machine, mm, pmem, sync, task};
