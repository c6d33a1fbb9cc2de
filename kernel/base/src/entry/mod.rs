//! Where a CPU comes into the kernel by itself: traps, interrupts, its start.
//!
//! | module | what |
//! |---|---|
//! | [`idt`] | which vector goes where |
//! | [`trap`] | entry code, exceptions, the page fault |
//! | [`user_access`] | loads and stores at task addresses that can fail |
//! | [`transfer`] | read(2) into memory of a task |
//! | [`mce`] | machine checks |
//! | [`smp`], [`trampoline`] | starting the other CPUs |
//! | [`stacks`] | the exceptions' stacks |
//!
//! This is above tasks and memory, which serve what comes; [`crate::arch`], below both, is what a CPU can do.

pub mod idt;
pub mod mce;
pub mod smp;
pub mod stacks;
mod trampoline;
pub mod transfer;
pub mod trap;
pub mod user_access;
