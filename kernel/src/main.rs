//! Daxiom's kernel: the start, and the shell on top of the machine, which is the `base` crate.
//!
//! | module | what |
//! |---|---|
//! | [`shell`] | the commands |
//! | [`selftest`] | checks that need the machine |
//!
//! [`start`] runs on the boot loader's stack until there are page tables and a stack of our own; [`main`]
//! does the rest. The boot loader is the `bootloader` crate's.
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]

extern crate alloc;

mod selftest;
mod shell;

use ::lab;
use base::{
    acpi, arch, console, counters, crash, debugcon, entry, exit, fw_cfg, keyboard, klog, machine, mm, pmem,
    steps, sync, task,
};
use store::{bad_memory, mounts};

use alloc::sync::Arc;
use core::arch::asm;
use core::fmt::Write;

use bootloader_api::config::Mapping;
use bootloader_api::{BootInfo, BootloaderConfig, entry_point};

use arch::{cpu, crc32c, percpu, pic, rtc, time};
use cli::date::Rtc;
use entry::{idt, smp, stacks};
use mm::stack::KernelStack;
use mm::{frames, layout};

/// Pages of the stack that `main` and the shell run on.
const MAIN_STACK_PAGES: u64 = 48;

static CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = 128 * 1024;
    config.mappings.kernel_base = Mapping::FixedAddress(layout::IMAGE);
    config.mappings.physical_memory = Some(Mapping::FixedAddress(layout::DIRECT_MAP));
    config
};

entry_point!(start, config = &CONFIG);

/// The first part, on the boot loader's stack and page tables.
fn start(boot: &'static mut BootInfo) -> ! {
    // 1. A console, so that everything after can complain; what nothing can be done without; traps.
    console::init();
    refuse_lacking_cpu();
    klog::init();
    percpu::init_boot();
    idt::load();
    // 2. The CPU's control bits and instructions, the clock.
    cpu::init();
    crc32c::init();
    let (hz, measured) = time::init();
    klog!(
        Info,
        "Daxiom {} on {} ({})",
        env!("CARGO_PKG_VERSION"),
        cpu::features().brand(),
        cpu::features().vendor()
    );
    let how = if measured { "measured" } else { "by CPUID" };
    klog!(Info, "time-stamp counter: {}.{:03} MHz, {how}", hz / 1_000_000, hz / 1000 % 1000);
    // 3. Frames and our page tables, then a stack in them. What is needed of the boot information is copied.
    mm::boot::init(boot);
    acpi::init(boot.rsdp_addr.into_option());
    // SAFETY: our tables map image and direct map as the current ones do. The boot loader's stack is lost,
    // and nothing on it is used after; `on_new_stack` never returns.
    unsafe {
        let Ok(stack) = KernelStack::new(MAIN_STACK_PAGES) else { panic!("no memory for the first stack") };
        let top = stack.top();
        core::mem::forget(stack);
        asm!(
            "mov cr3, {root}",
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {main}",
            "ud2",
            root = in(reg) mm::paging::kernel().root(),
            top = in(reg) top,
            main = sym main,
            options(noreturn)
        );
    }
}

/// Ends with one line that qemu-run.sh knows if the CPU lacks what is needed. There is no clock and no log
/// yet.
fn refuse_lacking_cpu() {
    if cpu::missing().next().is_none() {
        return;
    }
    let mut console = console::Emergency::console();
    // Writing to a serial port can't fail.
    let _ = console.write_str("cannot start: this CPU lacks");
    for (number, (name, words)) in cpu::missing().enumerate() {
        let _ = write!(console, "{} {name} ({words})", if number == 0 { "" } else { "," });
    }
    let _ = console.write_str("\n");
    exit::exit(exit::ExitOutcome::CannotStart)
}

/// The second part, on our own.
extern "C" fn main() -> ! {
    // 4. The boot loader's memory, and interrupt stacks with guard pages.
    let gained = mm::boot::reclaim();
    if let Err(error) = stacks::allocate(percpu::this()) {
        klog!(Warn, "no interrupt stacks: {error}");
    }
    let counts = frames::counts();
    klog!(
        Info,
        "memory: {} MiB RAM, {} MiB free ({} KiB from the boot loader)",
        counts.total * 4 / 1024,
        counts.free * 4 / 1024,
        gained * 4
    );
    // 5. Interrupts: the console's input.
    pic::init();
    x86_64::instructions::interrupts::enable();
    // 6. What ACPI tells: where the clock has its century, persistent memory, CPUs.
    match Rtc::read(acpi::century_register(), rtc::register).to_epoch() {
        Some(seconds) => time::set_date(seconds),
        None => klog!(Warn, "clock: the CMOS clock shows no date that exists: it is 1970"),
    }
    let found = pmem::init();
    for problem in &found.problems {
        klog!(Warn, "pmem: {problem}");
    }
    klog!(Info, "pmem: {} region(s), write-back with {}", found.regions.len(), pmem::flush::method());
    smp::start();
    // 7. The first task: an address space, and the zero page that all share.
    let space = mm::aspace::AddressSpace::new().and_then(|space| task::init("shell", Arc::new(space)));
    if !mm::zero::init() || space.is_err() {
        panic!("no memory for the first task");
    }
    bad_memory::init();
    // 8. The shell: the script that QEMU's configuration holds, or a prompt. It mounts pmem0 first.
    klog!(Info, "ready");
    shell::run(&[&shell::cmd::ROOM, &shell::instruments::ROOM])
}
