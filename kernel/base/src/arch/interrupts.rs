//! Interrupts of this CPU, off for a while.

use x86_64::instructions::interrupts;

/// Interrupts are off until this is dropped; then they are as before.
pub struct InterruptsOff {
    were_on: bool,
}

impl InterruptsOff {
    /// Turns interrupts off on this CPU.
    pub fn new() -> Self {
        let were_on = interrupts::are_enabled();
        interrupts::disable();
        Self { were_on }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        if self.were_on {
            interrupts::enable();
        }
    }
}
