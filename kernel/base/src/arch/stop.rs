//! Stopping the other CPUs when the kernel ends, by an interrupt that nobody can turn off.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use x86_64::instructions::{hlt, interrupts};

use super::{apic, percpu, time};

static STOPPING: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Stops every other CPU, whatever it does, for the kernel's last words. Waits a moment for each CPU to say
/// that it stops.
pub fn stop_others() {
    if STOPPING.swap(true, Ordering::AcqRel) {
        // Somebody else does it, and will stop this one too.
        return;
    }
    let own = percpu::number();
    let others = percpu::all().filter(|cpu| cpu.is_online() && cpu.number() != own);
    let count = others.map(apic::send_nmi).count();
    let end = time::monotonic_ns() + 100_000_000;
    while STOPPED.load(Ordering::Acquire) < count && time::monotonic_ns() < end {
        core::hint::spin_loop();
    }
}

/// Obeys a non-maskable interrupt: returns if it is not [`stop_others`]'s, which is the end of this CPU.
pub fn obey() {
    if STOPPING.load(Ordering::Acquire) {
        STOPPED.fetch_add(1, Ordering::AcqRel);
        loop {
            interrupts::disable();
            hlt();
        }
    }
}
