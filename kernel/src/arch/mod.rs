//! The CPU and what is wired to it.
//!
//! | module | what |
//! |---|---|
//! | [`cpu`] | features by CPUID, control bits |
//! | [`gdt`] | segments, task state, interrupt stacks |
//! | [`idt`] | which vector goes where |
//! | [`trap`] | entry code, exceptions, the page fault |
//! | [`user_access`] | loads and stores at task addresses that can fail |
//! | [`pic`] | the 8259 interrupt controllers |
//! | [`time`], [`rtc`] | monotonic time by TSC, wall clock by CMOS |
//! | [`tlb`] | forgetting translations |
//!
//! Only 64-bit ring 0 exists: tasks run in the kernel's privilege, in the lower half.

pub(crate) mod cpu;
pub(crate) mod gdt;
pub(crate) mod idt;
pub(crate) mod pic;
pub(crate) mod rtc;
pub(crate) mod time;
pub(crate) mod tlb;
pub(crate) mod trap;
pub(crate) mod user_access;

/// What a CPU does each time round while it waits for a lock: nothing yet; with several CPUs, it will answer
/// the shootdowns sent to it.
#[inline]
pub(crate) fn answer_while_waiting() {}
