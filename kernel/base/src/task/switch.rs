//! From one task's stack to another's.
//!
//! The compiler keeps no floating-point or vector registers alive (soft-float target), and everything else
//! that a call may clobber is saved by the caller. Interrupts are off on both sides.

use core::arch::naked_asm;

/// Words that [`switch`] leaves on a stack: six registers and the return address.
const SAVED: u64 = 7;

/// Saves this stack's pointer at `from`, and goes on where the stack at `to` was left.
///
/// # Safety
/// `to` was stored by this function or made by [`first`], and nobody else runs on it. Interrupts are off.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch(from: *mut u64, to: u64) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// Prepares a new stack, so that the first switch to it calls `entry`. Returns its stack pointer.
///
/// # Safety
/// The page below `top` is mapped, and nobody uses it.
pub(super) unsafe fn first(top: u64, entry: extern "C" fn() -> !) -> u64 {
    // Above the return address a null one, where a backtrace ends; so RSP is 8 below a multiple of 16 in
    // `entry`, as after a call.
    let at = top - 8 - SAVED * 8;
    // SAFETY: by the caller.
    unsafe {
        let words = at as *mut u64;
        for register in 0..6 {
            words.add(register).write(0);
        }
        words.add(6).write(entry as usize as u64);
        words.add(7).write(0);
    }
    at
}
