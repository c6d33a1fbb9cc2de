//! Memory: frames, page tables, the kernel's layout, heap and stacks.
//!
//! | module | what |
//! |---|---|
//! | [`layout`] | the virtual address space, drawn |
//! | [`boot`] | from the boot loader's tables to our own |
//! | [`frames`] | physical frames: a buddy allocator |
//! | [`paging`] | page tables on this machine |
//! | [`stack`] | kernel stacks with guard pages |
//! | [`heap`] | `alloc`'s allocator |
//! | [`zero`] | the pages of zeros |
//! | [`aspace`] | address spaces: the crate `vm`; the running task's |
//! | [`fault`] | what a page fault asks for, and how it is answered |
//!
//! Lock order: heap → stacks → frames. Page tables take no lock but the frames'.

pub mod aspace;
pub mod boot;
pub mod fault;
pub mod frames;
pub mod heap;
pub mod layout;
pub mod paging;
pub mod stack;
pub mod zero;
