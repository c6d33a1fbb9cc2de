//! The other CPUs: starting them (INIT, STARTUP, STARTUP), and stopping them when the kernel ends.
//!
//! Reference: Intel SDM volume 3A, "MP Initialization Protocol Algorithm": 10 ms after INIT, 200 µs after STARTUP.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use x86_64::instructions::{hlt, interrupts};

use super::percpu::{self, MOST, PerCpu};
use super::trap::TrapFrame;
use super::{apic, cpu, idt, time, tlb, trampoline};
use crate::mm::frames::TRAMPOLINE;
use crate::mm::stack::KernelStack;
use crate::{acpi, klog, task};

/// Pages of the stack that a CPU starts on.
const STACK_PAGES: u64 = 16;
/// A CPU that has not come up after so many milliseconds is left alone.
const PATIENCE_MS: u64 = 2000;

/// Starts every CPU of the MADT that can be used. Problems are logged; the CPUs that run do without the others.
pub fn start() {
    let boot = percpu::this();
    if let Err(error) = apic::init_boot() {
        klog!(Warn, "cpus: no local APIC: {error}");
        return;
    }
    boot.set_online();
    let ids = match acpi::cpu_apic_ids() {
        Ok(ids) => ids,
        Err(error) => return klog!(Warn, "cpus: {error}"),
    };
    let own = boot.apic_id();
    // A number without x2APIC mode has eight bits, and 255 means everybody.
    let reachable = |id: &u32| cpu::features().x2apic || *id < 255;
    let others: Vec<u32> = ids.iter().copied().filter(|id| *id != own && reachable(id)).collect();
    if others.len() >= MOST {
        klog!(Warn, "cpus: {} of {} stay off: {MOST} are the most", others.len() + 1 - MOST, ids.len());
    }
    if !others.is_empty() {
        start_others(&others[..others.len().min(MOST - 1)]);
    }
    klog!(Info, "cpus: {} enabled, {} running", ids.len(), percpu::online());
}

fn start_others(ids: &[u32]) {
    if !trampoline::prepare() {
        return klog!(Warn, "cpus: the page at {TRAMPOLINE:#x} is not RAM, so no other CPU can be started");
    }
    for id in ids {
        // The number is given only to a CPU that can run.
        let stack = KernelStack::new(STACK_PAGES);
        let segments = stack.and_then(|stack| {
            let cpu = percpu::add(*id);
            cpu.allocate_interrupt_stacks().map(|()| (cpu, stack))
        });
        let (cpu, stack) = match segments {
            Ok(both) => both,
            Err(error) => return klog!(Warn, "cpus: no stack for CPU {id}: {error}"),
        };
        trampoline::address_to(cpu, stack.top());
        core::mem::forget(stack);
        if !start_one(cpu) {
            return klog!(Warn, "cpus: CPU {} (APIC {id:#x}) does not start", cpu.number());
        }
    }
}

/// `true` if it came up. If not, it might still, and use the trampoline: nobody else may be started after.
fn start_one(cpu: &PerCpu) -> bool {
    apic::send_init(cpu);
    time::stall_us(10_000);
    apic::send_startup(cpu, TRAMPOLINE);
    if wait_for(cpu, 1) {
        return true;
    }
    apic::send_startup(cpu, TRAMPOLINE);
    wait_for(cpu, PATIENCE_MS)
}

fn wait_for(cpu: &PerCpu, ms: u64) -> bool {
    let end = time::monotonic_ns() + ms * 1_000_000;
    while !cpu.is_online() {
        if time::monotonic_ns() > end {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Where a started CPU comes to, on its own stack and the kernel's tables.
pub(super) extern "C" fn started(cpu: &'static PerCpu) -> ! {
    // SAFETY: the trampoline was told this area for this CPU.
    unsafe { percpu::init_started(cpu) };
    idt::load();
    cpu::init();
    apic::init();
    cpu.set_online();
    // Shootdowns before this moment were not sent here.
    tlb::flush_all(true);
    task::become_idle()
}

static STOPPING: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Stops every other CPU, whatever it does, for the kernel's last words. Waits a moment for each to say so.
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

/// A non-maskable interrupt came: [`stop_others`]'s, which is the end of this CPU, or the hardware complains.
pub(super) fn on_nmi(frame: &TrapFrame) {
    if STOPPING.load(Ordering::Acquire) {
        STOPPED.fetch_add(1, Ordering::AcqRel);
        loop {
            interrupts::disable();
            hlt();
        }
    }
    crate::panic::exception("non-maskable interrupt", frame)
}
