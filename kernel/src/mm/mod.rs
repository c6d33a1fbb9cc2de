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
//! | [`aspace`] | address spaces: areas of files |
//! | [`dax_tables`] | a task's page tables as the fault protocols want them |
//! | [`fault`] | what a page fault asks for, and how it is answered |
//!
//! Lock order: heap → stacks → frames. Page tables take no lock but the frames'.

pub(crate) mod aspace;
pub(crate) mod boot;
pub(crate) mod dax_tables;
pub(crate) mod fault;
pub(crate) mod frames;
pub(crate) mod heap;
pub(crate) mod layout;
pub(crate) mod paging;
pub(crate) mod stack;
