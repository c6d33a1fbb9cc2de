//! The local APIC: interrupts between CPUs, and each CPU's timer.
//!
//! x2APIC registers by MSR where the CPU has them, else the page of registers at the address in
//! IA32_APIC_BASE. The boot CPU's LINT0 lets the 8259s through ([`super::pic`]).
//!
//! | vector | what |
//! |---|---|
//! | [`TIMER`] | this CPU's timer |
//! | [`RESCHEDULE`] | look at the run queue |
//! | [`SHOOTDOWN`] | forget translations ([`super::tlb`]) |
//! | [`MEMORY_ERROR`] | report what a machine check told ([`crate::entry::mce`]) |
//! | [`SPURIOUS`] | nothing; not acknowledged |
//!
//! Reference: Intel SDM volume 3A, "Advanced Programmable Interrupt Controller".

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::registers::model_specific::Msr;

use super::interrupts::InterruptsOff;
use super::{cpu, percpu, time};

/// Vector of the timer.
pub const TIMER: u8 = 48;
/// Vector that makes a CPU look at its run queue.
pub const RESCHEDULE: u8 = 49;
/// Vector that makes a CPU answer shootdowns.
pub const SHOOTDOWN: u8 = 50;
/// Vector that makes a CPU report what a machine check told.
pub const MEMORY_ERROR: u8 = 51;
/// Vector of interrupts that went away before they were delivered. On old CPUs, the vector's low four bits
/// must be ones.
pub const SPURIOUS: u8 = 63;

/// IA32_APIC_BASE, and in it: enabled, and in x2APIC mode.
const BASE: u32 = 0x1b;
const ENABLED: u64 = 1 << 11;
const X2APIC: u64 = 1 << 10;

// Registers, as offsets in the page; the MSR is 0x800 plus a sixteenth.
const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS_VECTOR: u32 = 0xf0;
const COMMAND: u32 = 0x300;
const COMMAND_HIGH: u32 = 0x310;
const LVT_TIMER: u32 = 0x320;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const TIMER_START: u32 = 0x380;
const TIMER_COUNT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;

const SOFTWARE_ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const EXTERNAL: u32 = 7 << 8;
const NMI: u32 = 4 << 8;
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;
const ASSERT: u32 = 1 << 14;
/// The command was not taken by the bus yet (not in x2APIC mode).
const PENDING: u32 = 1 << 12;

/// Where the registers are mapped; 0: they are MSRs, or not set up yet.
static REGISTERS: AtomicU64 = AtomicU64::new(0);

fn read(register: u32) -> u32 {
    match REGISTERS.load(Ordering::Relaxed) {
        // SAFETY: x2APIC mode is on, where this register has this MSR; reading has no side effect.
        0 => unsafe { Msr::new(0x800 + register / 16).read() as u32 },
        // SAFETY: the page is mapped uncached for good, and the register lies in it.
        at => unsafe { ((at + u64::from(register)) as *const u32).read_volatile() },
    }
}

fn write(register: u32, value: u32) {
    match REGISTERS.load(Ordering::Relaxed) {
        // SAFETY: as in `read`. What is written lets only vectors come that have handlers.
        0 => unsafe { Msr::new(0x800 + register / 16).write(u64::from(value)) },
        // SAFETY: as above.
        at => unsafe { ((at + u64::from(register)) as *mut u32).write_volatile(value) },
    }
}

/// Returns where the physical page of registers is; `None` where they are MSRs.
pub fn registers() -> Option<u64> {
    // SAFETY: the MSR exists wherever there is a local APIC, which 64-bit CPUs have.
    (!cpu::features().x2apic).then(|| unsafe { Msr::new(BASE).read() } & 0x000f_ffff_ffff_f000)
}

/// Sets the boot CPU's up. Where [`registers`] says that there is a page of them, it is mapped uncached at
/// `at`, for good.
pub fn init_boot(at: u64) {
    if !cpu::features().x2apic {
        REGISTERS.store(at, Ordering::Relaxed);
    }
    init();
    write(LVT_LINT0, EXTERNAL);
    write(LVT_LINT1, NMI);
    calibrate();
}

/// Sets this CPU's APIC up: enabled, nothing masked by priority, the timer still.
pub fn init() {
    // SAFETY: the bits are the manual's; x2APIC mode is supported where it is turned on, from enabled mode,
    // and is left only by a reset.
    unsafe {
        let mut base = Msr::new(BASE);
        let mut value = base.read();
        if value & ENABLED == 0 {
            value |= ENABLED;
            base.write(value);
        }
        if cpu::features().x2apic && value & X2APIC == 0 {
            base.write(value | X2APIC);
        }
    }
    write(TASK_PRIORITY, 0);
    write(LVT_TIMER, MASKED | u32::from(TIMER));
    write(SPURIOUS_VECTOR, SOFTWARE_ENABLE | u32::from(SPURIOUS));
    let id = read(ID);
    let id = if cpu::features().x2apic { id } else { id >> 24 };
    percpu::this().apic_id.store(id, Ordering::Relaxed);
}

/// Ends an interrupt that is dealt with: lets the next one come.
pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Writes a command for the CPU with this identifier.
fn command(apic_id: u32, what: u32) {
    // The two halves belong together.
    let _off = InterruptsOff::new();
    if REGISTERS.load(Ordering::Relaxed) == 0 {
        // Unlike a write to the page, this one waits for no earlier store.
        core::sync::atomic::fence(Ordering::SeqCst);
        // SAFETY: x2APIC mode is on; the vectors sent have handlers, and INIT and STARTUP go to CPUs that are
        // off.
        unsafe { Msr::new(0x800 + COMMAND / 16).write(u64::from(apic_id) << 32 | u64::from(what)) };
        return;
    }
    while read(COMMAND) & PENDING != 0 {
        core::hint::spin_loop();
    }
    write(COMMAND_HIGH, apic_id << 24);
    write(COMMAND, what);
}

/// Interrupts another CPU.
pub fn send(cpu: &percpu::PerCpu, vector: u8) {
    command(cpu.apic_id.load(Ordering::Relaxed), ASSERT | u32::from(vector));
}

/// Interrupts another CPU, whatever it does.
pub fn send_nmi(cpu: &percpu::PerCpu) {
    command(cpu.apic_id.load(Ordering::Relaxed), ASSERT | NMI);
}

/// Resets another CPU; it then waits for [`send_startup`].
pub fn send_init(cpu: &percpu::PerCpu) {
    command(cpu.apic_id.load(Ordering::Relaxed), ASSERT | INIT);
}

/// Lets another CPU begin at a page below 1 MiB, in real mode.
pub fn send_startup(cpu: &percpu::PerCpu, page: u64) {
    command(cpu.apic_id.load(Ordering::Relaxed), ASSERT | STARTUP | (page >> 12) as u32);
}

/// Divides the timer's clock by one.
const DIVIDE_BY_ONE: u32 = 0b1011;
/// The timer's clock is compared with the time-stamp counter for so long.
const CALIBRATION_US: u64 = 1000;
/// Counts per nanosecond, times 2³².
static TIMER_SCALE: AtomicU64 = AtomicU64::new(0);

/// Finds the rate of the timer, which is the same on every CPU.
fn calibrate() {
    write(TIMER_DIVIDE, DIVIDE_BY_ONE);
    write(TIMER_START, u32::MAX);
    let start = time::monotonic_ns();
    time::stall_us(CALIBRATION_US);
    let count = u32::MAX - read(TIMER_COUNT);
    let ns = time::monotonic_ns() - start;
    write(TIMER_START, 0);
    TIMER_SCALE.store((u64::from(count.max(1)) << 32) / ns.max(1), Ordering::Relaxed);
}

/// Lets [`TIMER`] come on this CPU after about `ns` nanoseconds, once; earlier if that is too long for the
/// counter.
pub fn start_timer(ns: u64) {
    let count = (u128::from(ns) * u128::from(TIMER_SCALE.load(Ordering::Relaxed))) >> 32;
    write(TIMER_DIVIDE, DIVIDE_BY_ONE);
    write(LVT_TIMER, u32::from(TIMER));
    write(TIMER_START, u32::try_from(count).unwrap_or(u32::MAX).max(1));
}

/// Lets the timer not come.
pub fn stop_timer() {
    write(TIMER_START, 0);
}
