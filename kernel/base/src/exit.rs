//! Leaving QEMU through its isa-debug-exit device.
//!
//! QEMU's exit status is `value * 2 + 1`; the values are the contract with `qemu-run.sh`. QEMU's own 0 never
//! means success (a triple fault gives it).

use core::fmt::Write;

use x86_64::instructions::{hlt, interrupts, port::Port};

use crate::console::{self, Emergency};

/// The device's port, as `qemu-run.sh` configures it.
const PORT: u16 = 0xf4;

/// How the kernel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitOutcome {
    /// All went well (QEMU exits 33).
    Success = 0x10,
    /// A command failed (QEMU exits 35).
    Failure = 0x11,
    /// The kernel panicked (QEMU exits 101).
    Panic = 0x32,
    /// This machine cannot run the kernel (QEMU exits 125).
    CannotStart = 0x3e,
}

/// Ends the machine. Without the device, the CPU halts for ever, and the console says so.
pub fn exit(outcome: ExitOutcome) -> ! {
    interrupts::disable();
    // QEMU ends at once, with whatever its serial ports still hold.
    console::drain();
    // SAFETY: the port is isa-debug-exit's or nobody's; a write to an absent port does nothing.
    unsafe { Port::<u32>::new(PORT).write(outcome as u32) };
    // Writing to a serial port can't fail.
    let _ = Emergency::console().write_str("No isa-debug-exit device: halted.\n");
    loop {
        interrupts::disable();
        hlt();
    }
}
