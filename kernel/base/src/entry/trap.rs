//! Exceptions and interrupts: entry code, dispatch, and the page fault's two ways.
//!
//! # The page fault
//! [`page_fault_stub`] is the lean way: it saves only what Rust may clobber, and asks [`crate::mm::fault`] to
//! serve the fault. If that succeeds it returns at once. If not, everything is put back, and the full way is
//! taken as if the CPU had come there directly: all registers are saved, an access of [`super::user_access`]
//! continues at its fixup with an error, anything else panics with the registers of the fault.
//!
//! Handlers run with interrupts off; a page fault is served with interrupts as they were when it happened.
//!
//! References: Intel SDM volume 3A, "Interrupt and Exception Handling": error codes, stack layout (SS, RSP,
//! RFLAGS, CS, RIP, error code; RSP aligned to 16 before).

use core::arch::global_asm;
use core::sync::atomic::Ordering;

use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;

use super::{mce, user_access};
use crate::arch::frame::{FaultFrame, TrapFrame};
use crate::arch::{apic, pic, stop, tlb};
use crate::mm::fault::{self, FaultCode, Resolution};
use crate::mm::stack;
use crate::{keyboard, panic, task};

/// Vectors that have entry code.
pub(super) const STUBS: u8 = 64;
const TIMER: u64 = apic::TIMER as u64;
const RESCHEDULE: u64 = apic::RESCHEDULE as u64;
const SHOOTDOWN: u64 = apic::SHOOTDOWN as u64;
const MEMORY_ERROR: u64 = apic::MEMORY_ERROR as u64;
const SPURIOUS: u64 = apic::SPURIOUS as u64;
const INTERRUPT_FLAG: u64 = 1 << 9;

global_asm!(
    r#"
    .macro trap_stub vector
    .balign 16
    trap_stub_\vector:
    .if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21)
    .else
        push 0
    .endif
        push \vector
        jmp trap_full
    .endm

    .text
    .balign 16
    .global trap_stubs
    trap_stubs:
    .altmacro
    .set i, 0
    .rept {stubs}
        trap_stub %i
        .set i, i + 1
    .endr
    .noaltmacro

    /* On the stack: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
    trap_full:
        push rax
        push rcx
        push rdx
        push rsi
        push rdi
        push r8
        push r9
        push r10
        push r11
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        cld
        mov rdi, rsp
        call {trap}
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rdx
        pop rcx
        pop rax
        add rsp, 16
        iretq

    .balign 64
    .global trap_page_fault
    trap_page_fault:
        push rax
        push rcx
        push rdx
        push rsi
        push rdi
        push r8
        push r9
        push r10
        push r11
        mov rax, cr2
        push rax
        cld
        mov rdi, rsp
        call {page_fault}
        test al, al
        jz 2f
        add rsp, 8
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rdx
        pop rcx
        pop rax
        add rsp, 8
        iretq
    2:  /* Not served. Faults inside the handler may have changed CR2. */
        pop rax
        mov cr2, rax
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rdx
        pop rcx
        pop rax
        push 14
        jmp trap_full
    "#,
    stubs = const STUBS,
    trap = sym trap,
    page_fault = sym page_fault,
);

unsafe extern "C" {
    fn trap_stubs();
    fn trap_page_fault();
}

/// Returns the address of the entry code for a vector below [`STUBS`].
pub(super) fn stub(vector: usize) -> u64 {
    // Each stub is aligned to 16 bytes and shorter than that.
    trap_stubs as *const () as u64 + 16 * vector as u64
}

/// Returns the address of the lean page-fault entry.
pub(super) fn page_fault_stub() -> u64 {
    trap_page_fault as *const () as u64
}

/// Serves a page fault; `false` sends it the full way.
extern "C" fn page_fault(frame: &mut FaultFrame) -> bool {
    let on = frame.rflags & INTERRUPT_FLAG != 0;
    if on {
        interrupts::enable();
    }
    let served = matches!(fault::handle(frame.cr2, FaultCode(frame.error)), Resolution::Resumed);
    if on {
        interrupts::disable();
    }
    served
}

/// Everything else, and page faults that were not served.
extern "C" fn trap(frame: &mut TrapFrame) {
    match frame.vector {
        14 => unserved_page_fault(frame),
        36 => {
            keyboard::on_interrupt();
            pic::end_of_interrupt(4);
        }
        2 => {
            stop::obey();
            panic::exception("non-maskable interrupt", frame)
        }
        SHOOTDOWN => {
            tlb::answer();
            apic::end_of_interrupt();
        }
        TIMER => {
            apic::end_of_interrupt();
            task::on_timer();
        }
        RESCHEDULE => {
            apic::end_of_interrupt();
            task::on_reschedule();
        }
        MEMORY_ERROR => {
            apic::end_of_interrupt();
            mce::report();
        }
        SPURIOUS => {}
        18 => mce::on_exception(frame),
        vector @ 32..48 => pic::unexpected(vector as u8 - 32),
        8 if stack::is_guard(Cr2::read_raw()) => panic::exception("kernel stack overflow", frame),
        vector => panic::exception(name(vector), frame),
    }
}

fn unserved_page_fault(frame: &mut TrapFrame) {
    let address = Cr2::read_raw();
    if let Some(fixup) = user_access::fixup(frame.rip) {
        frame.rip = fixup;
        frame.rax = 1;
        frame.rdx = address;
        return;
    }
    // A jump to a task's address: nothing is executed there, so this is its first instruction, and the return
    // address is what lies on the stack.
    if address == frame.rip && task::try_current().is_some_and(|task| task.calling().load(Ordering::Relaxed))
    {
        frame.rip = user_access::call_fixup();
        frame.rax = 1;
        frame.rdx = address;
        return;
    }
    panic::page_fault(address, FaultCode(frame.error), frame)
}

/// An exception's name (Intel SDM volume 3A, table "Protected-Mode Exceptions and Interrupts").
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack-segment fault",
        13 => "general protection fault",
        16 => "x87 floating-point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point exception",
        20 => "virtualization exception",
        21 => "control protection exception",
        _ => "unexpected exception",
    }
}
