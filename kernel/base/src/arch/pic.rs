//! The two 8259 interrupt controllers: IRQ 0 to 15 become vectors 32 to 47; only the console's IRQ 4 is let
//! through.
//!
//! Both firmwares leave the local APIC's LINT0 in virtual-wire mode, so the 8259s reach the boot CPU.
//! Reference: Intel 8259A data sheet.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::instructions::port::Port;

const FIRST: u16 = 0x20;
const SECOND: u16 = 0xa0;
const END_OF_INTERRUPT: u8 = 0x20;
/// Interrupts that nobody asked for; 7 and 15 can be spurious.
static UNEXPECTED: AtomicU64 = AtomicU64::new(0);

fn write(port: u16, value: u8) {
    // SAFETY: the 8259s' ports; the sequences below are the data sheet's, and vectors 32 to 47 have handlers.
    unsafe {
        Port::<u8>::new(port).write(value);
        // Old controllers want a moment: port 0x80 is the POST display, a write there takes about 1 µs.
        Port::<u8>::new(0x80).write(0);
    }
}

/// Initialises both controllers and masks all but IRQ 4.
pub fn init() {
    for (base, vector, wiring) in [(FIRST, 32, 1 << 2), (SECOND, 40, 2)] {
        write(base, 0x11); // ICW1: edge-triggered, cascade, ICW4 follows
        write(base + 1, vector); // ICW2
        write(base + 1, wiring); // ICW3: the second hangs on line 2 of the first
        write(base + 1, 0x01); // ICW4: 8086 mode
    }
    write(FIRST + 1, !(1 << 4));
    write(SECOND + 1, 0xff);
}

/// Lets the next interrupt of this line come.
pub fn end_of_interrupt(line: u8) {
    if line >= 8 {
        write(SECOND, END_OF_INTERRUPT);
    }
    write(FIRST, END_OF_INTERRUPT);
}

/// Counts and ends an interrupt that came although it is masked: spurious, or of a device left over from the
/// firmware.
pub fn unexpected(line: u8) {
    UNEXPECTED.fetch_add(1, Ordering::Relaxed);
    // A spurious 7 or 15 is not in service at its own controller.
    match line {
        7 => {}
        15 => write(FIRST, END_OF_INTERRUPT),
        _ => end_of_interrupt(line),
    }
}
