//! The CPU and what is wired to it.
//!
//! | module | what |
//! |---|---|
//! | [`cpu`] | features by CPUID, control bits |
//! | [`crc32c`] | checksums by an instruction |
//! | [`percpu`] | what each CPU has for itself |
//! | [`interrupts`] | off for a while |
//! | [`apic`] | interrupts between CPUs, timers |
//! | [`gdt`] | segments, task state, interrupt stacks |
//! | [`frame`] | what a trap leaves on the stack |
//! | [`pic`] | the 8259 interrupt controllers |
//! | [`time`], [`rtc`] | monotonic time by TSC, wall clock by CMOS |
//! | [`tlb`], [`mailbox`] | forgetting translations, on every CPU that may hold them |
//! | [`stop`] | stopping the other CPUs at the end |
//!
//! Nothing here knows of memory or tasks; what does, and is entered by the CPU itself, is in
//! [`crate::entry`]. Only 64-bit ring 0 exists: tasks run in the kernel's privilege, in the lower half.

pub mod apic;
pub mod cpu;
pub mod crc32c;
pub mod frame;
pub mod gdt;
pub mod interrupts;
mod mailbox;
pub mod percpu;
pub mod pic;
pub mod rtc;
pub mod stop;
pub mod time;
pub mod tlb;
