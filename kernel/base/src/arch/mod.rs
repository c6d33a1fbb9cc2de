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

pub mod apic;
pub mod cpu;
pub mod gdt;
pub mod idt;
pub mod mce;
pub mod percpu;
pub mod pic;
pub mod rtc;
pub mod smp;
pub mod time;
pub mod tlb;
mod trampoline;
pub mod trap;
pub mod user_access;
