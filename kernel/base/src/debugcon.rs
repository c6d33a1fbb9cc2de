//! QEMU's debug console, a port that takes a byte at a time: how `qemu-run.sh --trace` gets its trace.
//!
//! Reference: QEMU, device `isa-debugcon`: what is read back from its port is the port's own number.

use core::fmt;

use x86_64::instructions::port::Port;

/// The device's port, as qemu-run.sh configures it.
const PORT: u16 = 0xe9;

/// The device.
pub struct DebugConsole(Port<u8>);

impl DebugConsole {
    /// Returns the device, if it is there.
    pub fn find() -> Option<Self> {
        let mut port = Port::new(PORT);
        // SAFETY: the port is isa-debugcon's or nobody's; reading it changes nothing.
        (unsafe { port.read() } == PORT as u8).then_some(Self(port))
    }
}

impl fmt::Write for DebugConsole {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: it is isa-debugcon's port: a byte written goes to the host, and nowhere else.
            unsafe { self.0.write(byte) };
        }
        Ok(())
    }
}
