//! Machine checks: memory that lost its content, told by an exception.
//!
//! The exception may come anywhere, also where locks are held, so its handler takes none: it reads the banks
//! into a ring, clears them, and interrupts its own CPU ([`crate::arch::apic::MEMORY_ERROR`]). When
//! interrupts are on again, [`report`] logs each error and hands those in persistent memory to whoever keeps
//! the list of bad ranges ([`on_memory_error`]).
//!
//! | the error | is answered by |
//! |---|---|
//! | the context is corrupt, or the interrupted code can't go on | a panic |
//! | consumed by an access of [`super::user_access`] | that access is refused, as poisoned |
//! | consumed by anything else | a panic |
//! | not consumed yet (found by scrubbing, or QEMU's `mce`) | the log, and the list |
//!
//! Reference: Intel SDM volume 3B, "Machine-Check Architecture": IA32_MCG_CAP, IA32_MCG_STATUS,
//! IA32_MCi_STATUS, _ADDR, _MISC; "Recovery of Uncorrected Recoverable (UCR) Errors".

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fs::Error;
use spin::Once;
use x86_64::registers::model_specific::Msr;

use super::user_access;
use crate::arch::frame::TrapFrame;
use crate::arch::{apic, cpu, percpu};
use crate::klog;
use crate::mm::fault::Refusal;
use crate::mm::layout::TASK_END;
use crate::{panic, pmem, task};

const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
/// The interrupted code can go on.
const RESTART_VALID: u64 = 1;

/// First register of bank 0; each has four: control, status, address, misc.
const BANK: u32 = 0x400;
const VALID: u64 = 1 << 63;
const UNCORRECTED: u64 = 1 << 61;
const MISC_VALID: u64 = 1 << 59;
const ADDRESS_VALID: u64 = 1 << 58;
const CONTEXT_CORRUPT: u64 = 1 << 57;
/// The interrupted code used what is bad.
const ACTION_REQUIRED: u64 = 1 << 55;

const RING: usize = 64;
/// Physical address with the exponent of the length in the low bits; 0: free.
static ERRORS: [AtomicU64; RING] = [const { AtomicU64::new(0) }; RING];
/// Errors that found no room.
static LOST: AtomicUsize = AtomicUsize::new(0);

/// Gets the first physical address and the length of what went bad.
type PoisonListener = fn(u64, u64);
static LISTENER: Once<PoisonListener> = Once::new();

/// Sets who is told of errors in persistent memory from now on. `listener` is called with interrupts off and
/// must wait for no lock that sleeps.
pub fn on_memory_error(listener: PoisonListener) {
    LISTENER.call_once(|| listener);
}

fn read(msr: u32) -> u64 {
    // SAFETY: the CPU has machine-check registers (`cpu::features().mce`), and this one exists: it is global,
    // or of a bank below the number in IA32_MCG_CAP. Reading changes nothing.
    unsafe { Msr::new(msr).read() }
}

fn clear(msr: u32) {
    // SAFETY: as in `read`; zero is the one value that may always be written to a status register.
    unsafe { Msr::new(msr).write(0) };
}

/// Handles a machine check.
pub(super) fn on_exception(frame: &mut TrapFrame) {
    let (mut fatal, mut consumed) = (!cpu::features().mce, None);
    let banks = if fatal { 0 } else { (read(MCG_CAP) & 0xff) as u32 };
    for bank in (0..banks).map(|bank| BANK + 4 * bank) {
        let status = read(bank + 1);
        if status & VALID == 0 {
            continue;
        }
        // The low bits of MISC tell how many of the address's say nothing.
        let exponent = if status & MISC_VALID != 0 { (read(bank + 3) & 0x3f).clamp(6, 30) } else { 12 };
        let address = (status & ADDRESS_VALID != 0).then(|| read(bank + 2) >> exponent << exponent);
        match address {
            Some(address) => note(address, exponent),
            None => fatal |= status & UNCORRECTED != 0,
        }
        fatal |= status & CONTEXT_CORRUPT != 0;
        if status & ACTION_REQUIRED != 0 {
            fatal |= address.is_none_or(|address| pmem::offset_of(address).is_none());
            consumed = address;
        }
        clear(bank + 1);
    }
    // Some machines tell every CPU of each error: then most find nothing.
    if fatal || read(MCG_STATUS) & RESTART_VALID == 0 {
        panic::exception("machine check", frame);
    }
    if let Some(physical) = consumed {
        let Some(fixup) = user_access::fixup(frame.rip) else {
            panic::exception("machine check: the kernel used bad memory", frame);
        };
        // Of a copy's two addresses, the task's.
        let address = if frame.rdi < TASK_END { frame.rdi } else { frame.rsi };
        if let Some(task) = task::try_current() {
            let offset = pmem::offset_of(physical).unwrap_or(0);
            *task.refusal().lock() = Some(Refusal::File(Error::Poisoned(offset)));
        }
        (frame.rip, frame.rax, frame.rdx) = (fixup, 1, address);
    }
    clear(MCG_STATUS);
    // When interrupts are on again.
    apic::send(percpu::this(), apic::MEMORY_ERROR);
}

fn note(address: u64, exponent: u64) {
    let error = address | exponent;
    let free =
        |slot: &&AtomicU64| slot.compare_exchange(0, error, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if ERRORS.iter().find(free).is_none() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says what machine checks have told. No lock is held by the interrupted code.
pub(super) fn report() {
    for slot in &ERRORS {
        let error = slot.swap(0, Ordering::AcqRel);
        if error == 0 {
            continue;
        }
        let (address, len) = (error >> 6 << 6, 1 << (error & 0x3f));
        match pmem::offset_of(address) {
            Some(_) => {
                klog!(Warn, "machine check: {len} bytes of persistent memory at {address:#x} are bad");
                if let Some(listener) = LISTENER.get() {
                    listener(address, len);
                }
            }
            None => klog!(Error, "machine check: {len} bytes of RAM at {address:#x} are bad"),
        }
    }
    let lost = LOST.swap(0, Ordering::Relaxed);
    if lost > 0 {
        klog!(Error, "machine check: {lost} more errors");
    }
}
