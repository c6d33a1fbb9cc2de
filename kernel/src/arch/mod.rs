//! The CPU and what is wired to it.
//!
//! | module | what |
//! |---|---|
//! | [`cpu`] | features by CPUID, control bits |
//! | [`percpu`] | what each CPU has for itself |
//! | [`smp`], [`trampoline`] | starting and stopping the other CPUs |
//! | [`apic`] | interrupts between CPUs, timers |
//! | [`gdt`] | segments, task state, interrupt stacks |
//! | [`idt`] | which vector goes where |
//! | [`trap`] | entry code, exceptions, the page fault |
//! | [`user_access`] | loads and stores at task addresses that can fail |
//! | [`mce`] | machine checks |
//! | [`pic`] | the 8259 interrupt controllers |
//! | [`time`], [`rtc`] | monotonic time by TSC, wall clock by CMOS |
//! | [`tlb`] | forgetting translations, on every CPU that may hold them |
//!
//! Only 64-bit ring 0 exists: tasks run in the kernel's privilege, in the lower half.

pub(crate) mod apic;
pub(crate) mod cpu;
pub(crate) mod gdt;
pub(crate) mod idt;
pub(crate) mod mce;
pub(crate) mod percpu;
pub(crate) mod pic;
pub(crate) mod rtc;
pub(crate) mod smp;
pub(crate) mod time;
pub(crate) mod tlb;
mod trampoline;
pub(crate) mod trap;
pub(crate) mod user_access;
