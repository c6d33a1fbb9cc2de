//! The tests of `nfit`, in one program.

mod common;
mod hostile;
mod pfn;
mod qemu;
mod regions;
mod structures;
