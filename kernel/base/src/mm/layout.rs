//! The virtual address space.
//!
//! ```text
//! 0x0000_0000_0000_0000 ┌──────────────────────────────┐
//!                       │ never mapped (null pages)    │ 64 KiB
//! 0x0000_0000_0001_0000 ├──────────────────────────────┤ TASK_START
//!                       │ a task's VMAs                │ one tree of tables each
//! 0x0000_7fff_ffff_f000 ├──────────────────────────────┤ TASK_END
//!                       ╎ not canonical                ╎
//! 0xffff_8000_0000_0000 ├──────────────────────────────┤ DIRECT_MAP: physical address + this
//!                       │ RAM, ACPI tables, NVDIMMs    │ 64 TiB, write-back, not executable
//! 0xffff_c000_0000_0000 ├──────────────────────────────┤ HEAP
//!                       │ grows upwards                │ 512 GiB
//! 0xffff_c080_0000_0000 ├──────────────────────────────┤ STACKS
//!                       │ ┌ guard, never mapped ┐      │ slots of 256 KiB
//!                       │ └ stack, at its top   ┘ …    │
//! 0xffff_c100_0000_0000 ├──────────────────────────────┤ DEVICES
//!                       │ device registers, uncached   │ 512 GiB
//! 0xffff_c180_0000_0000 ├──────────────────────────────┤
//!                       ╎ free                         ╎
//! 0xffff_ffff_8000_0000 ├──────────────────────────────┤ IMAGE
//!                       │ the kernel's ELF segments    │ text r-x, rodata r--, data rw-
//!                       └──────────────────────────────┘ at most 2 GiB (code model "kernel")
//! ```
//!
//! The upper half is the same in every address space. Its tables at the second level exist before the first
//! task does, so a later change below them is seen by all.

pub use vm::{TASK_END, TASK_START};

/// Where physical address 0 appears. The boot loader is told to use the same place.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Physical addresses the direct map can hold.
pub const DIRECT_MAP_BYTES: u64 = 64 << 40;
/// Where the heap begins.
pub const HEAP: u64 = 0xffff_c000_0000_0000;
/// Room for the heap, in bytes.
pub const HEAP_BYTES: u64 = 512 << 30;
/// Where the stacks' slots begin.
pub const STACKS: u64 = 0xffff_c080_0000_0000;
/// One root entry for each of these three.
pub const SLOT_BYTES: u64 = 512 << 30;
/// Where device registers are mapped.
pub const DEVICES: u64 = 0xffff_c100_0000_0000;
/// Where the boot loader puts the kernel, so that `gdb` finds its symbols.
pub const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// Returns the direct map's address for a physical one.
#[inline]
pub const fn direct(physical: u64) -> u64 {
    DIRECT_MAP + physical
}
