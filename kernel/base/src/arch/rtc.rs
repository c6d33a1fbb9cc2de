//! The CMOS real-time clock's registers; what they mean is `cli::date::Rtc`'s to know.
//!
//! Reference: Motorola MC146818A data sheet.

use x86_64::instructions::port::Port;

/// Reads the register with this number, below 0x80.
pub fn register(index: u8) -> u8 {
    // SAFETY: CMOS index and data ports; bit 7 keeps NMIs on when clear, as it was.
    unsafe {
        Port::<u8>::new(0x70).write(index & 0x7f);
        Port::<u8>::new(0x71).read()
    }
}
