//! Waiting for what is typed on the console.

use crate::{console, task};

/// Returns the next byte typed on the console; the task sleeps until it comes.
pub fn read() -> u8 {
    loop {
        if let Some(byte) = console::try_read() {
            return byte;
        }
        task::wait(console::input_key(), &mut || !console::take_input());
    }
}

/// Wakes whoever waits for input, after the console's interrupt came.
pub fn on_interrupt() {
    console::take_input();
    task::wake(console::input_key());
}
