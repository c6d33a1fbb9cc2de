//! Starting the other CPUs: INIT, STARTUP, STARTUP.
//!
//! Reference: Intel SDM volume 3A, "MP Initialization Protocol Algorithm": 10 ms after INIT, 200 µs after
//! STARTUP.

use super::{idt, stacks, trampoline};
use crate::arch::percpu::{self, MOST, PerCpu};
use crate::arch::{apic, cpu, time, tlb};
use crate::mm::frames::TRAMPOLINE;
use crate::mm::layout::DEVICES;
use crate::mm::paging::{self, Flags, LeafSize, MapError};
use crate::mm::stack::KernelStack;
use crate::{acpi, klog, task};
use alloc::vec::Vec;

/// Pages of the stack that a CPU starts on.
const STACK_PAGES: u64 = 16;
/// A CPU that has not come up after so many milliseconds is left alone.
const PATIENCE_MS: u64 = 2000;

/// Starts every CPU of the MADT that can be used. Problems are logged; the CPUs that run do without the
/// others.
pub fn start() {
    let boot = percpu::this();
    if let Err(error) = init_apic() {
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

/// Maps the boot CPU's APIC registers, and sets the APIC up.
fn init_apic() -> Result<(), MapError> {
    if let Some(page) = apic::registers() {
        paging::kernel().map(DEVICES, page, LeafSize::Small, Flags::KERNEL_DEVICE)?;
    }
    apic::init_boot(DEVICES);
    Ok(())
}

fn start_others(ids: &[u32]) {
    if !trampoline::prepare(started) {
        return klog!(Warn, "cpus: the page at {TRAMPOLINE:#x} is not RAM, so no other CPU can be started");
    }
    for id in ids {
        // The number is given only to a CPU that can run.
        let stack = KernelStack::new(STACK_PAGES);
        let segments = stack.and_then(|stack| {
            let cpu = percpu::add(*id);
            stacks::allocate(cpu).map(|()| (cpu, stack))
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

/// Starts a CPU; `true` if it came up. If not, it might still, and use the trampoline: nobody else may be
/// started after.
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

/// Goes on with a started CPU, on its own stack and the kernel's tables.
extern "C" fn started(cpu: &'static PerCpu) -> ! {
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
