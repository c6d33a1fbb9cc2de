//! The interrupt descriptor table: every exception, the sixteen legacy interrupts, and those of the local
//! APIC.
//!
//! Entries are interrupt gates (interrupts off on entry). The handlers are the assembly stubs of
//! [`super::trap`].

use spin::Once;
use x86_64::VirtAddr;
use x86_64::structures::idt::InterruptDescriptorTable;

use super::trap;
use crate::arch::gdt::InterruptStack;

static TABLE: Once<InterruptDescriptorTable> = Once::new();

/// Loads the table, which all CPUs share; the first call fills it.
pub fn load() {
    let table = TABLE.call_once(|| {
        let mut idt = InterruptDescriptorTable::new();
        let stub = |vector: usize| VirtAddr::new(trap::stub(vector));
        // SAFETY: each stub saves and restores what an interrupt of its vector needs: error codes are popped
        // where the CPU pushes one, and the three stacks of the interrupt stack table are valid.
        unsafe {
            idt.divide_error.set_handler_addr(stub(0));
            idt.debug.set_handler_addr(stub(1));
            idt.non_maskable_interrupt.set_handler_addr(stub(2)).set_stack_index(InterruptStack::Nmi as u16);
            idt.breakpoint.set_handler_addr(stub(3));
            idt.overflow.set_handler_addr(stub(4));
            idt.bound_range_exceeded.set_handler_addr(stub(5));
            idt.invalid_opcode.set_handler_addr(stub(6));
            idt.device_not_available.set_handler_addr(stub(7));
            idt.double_fault.set_handler_addr(stub(8)).set_stack_index(InterruptStack::DoubleFault as u16);
            idt.invalid_tss.set_handler_addr(stub(10));
            idt.segment_not_present.set_handler_addr(stub(11));
            idt.stack_segment_fault.set_handler_addr(stub(12));
            idt.general_protection_fault.set_handler_addr(stub(13));
            idt.page_fault.set_handler_addr(VirtAddr::new(trap::page_fault_stub()));
            idt.x87_floating_point.set_handler_addr(stub(16));
            idt.alignment_check.set_handler_addr(stub(17));
            idt.machine_check.set_handler_addr(stub(18)).set_stack_index(InterruptStack::MachineCheck as u16);
            idt.simd_floating_point.set_handler_addr(stub(19));
            idt.virtualization.set_handler_addr(stub(20));
            idt.cp_protection_exception.set_handler_addr(stub(21));
            for vector in 32..trap::STUBS {
                idt[vector].set_handler_addr(stub(usize::from(vector)));
            }
        }
        idt
    });
    table.load();
}
