//! Waiting for other tasks that do not know of it.

use crate::task;

/// Waits for others: looks often at first, then sleeps between looks.
pub fn until(mut done: impl FnMut() -> bool) {
    let mut looks = 0_u32;
    while !done() {
        looks += 1;
        if looks < 200 {
            task::yield_now();
            core::hint::spin_loop();
        } else {
            task::sleep_ns(50_000);
        }
    }
}

/// Waits for others who are on their way, without sleep.
pub fn until_soon(mut done: impl FnMut() -> bool) {
    while !done() {
        task::yield_now();
        core::hint::spin_loop();
    }
}
