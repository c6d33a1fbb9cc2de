//! Segments and the task state: one code segment, and stacks of their own for the exceptions that can't trust
//! the current one (Intel SDM volume 3A, "Interrupt Stack Table").
//!
//! The interrupt stacks come from [`crate::mm::stack`], with guard pages; until paging is up, static ones
//! serve.

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// Exceptions with a stack of their own, as indices into the interrupt stack table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InterruptStack {
    /// Double fault: a stack overflow ends here.
    DoubleFault = 0,
    /// Non-maskable interrupt.
    Nmi = 1,
    /// Machine check.
    MachineCheck = 2,
}

const EARLY_SIZE: usize = 8 * 1024;

#[repr(align(16))]
struct EarlyStack(#[expect(dead_code, reason = "only its address is used")] [u8; EARLY_SIZE]);

/// One early stack for the three: at this stage any of these exceptions is the end.
static mut EARLY: EarlyStack = EarlyStack([0; EARLY_SIZE]);

/// The descriptor table and the task state of one CPU.
struct Segments {
    gdt: GlobalDescriptorTable,
    code: SegmentSelector,
    task: SegmentSelector,
}

static mut TASK_STATE: TaskStateSegment = TaskStateSegment::new();
static SEGMENTS: Once<Segments> = Once::new();

/// Loads our descriptor table and task state, with early interrupt stacks.
pub(crate) fn init() {
    let early_top = &raw const EARLY as u64 + EARLY_SIZE as u64;
    for which in [InterruptStack::DoubleFault, InterruptStack::Nmi, InterruptStack::MachineCheck] {
        set_interrupt_stack(which, early_top);
    }
    let segments = SEGMENTS.call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        let code = gdt.append(Descriptor::kernel_code_segment());
        gdt.append(Descriptor::kernel_data_segment());
        // SAFETY: the task state is static, and changes later only in its stack pointers.
        let task = gdt.append(unsafe { Descriptor::tss_segment_unchecked(&raw const TASK_STATE) });
        Segments { gdt, code, task }
    });
    segments.gdt.load();
    // SAFETY: the selectors belong to the table just loaded; in 64-bit mode data segments may be null, and
    // the task-state descriptor is not busy yet.
    unsafe {
        CS::set_reg(segments.code);
        for clear in [SS::set_reg, DS::set_reg, ES::set_reg, FS::set_reg, GS::set_reg] {
            clear(SegmentSelector::NULL);
        }
        load_tss(segments.task);
    }
}

/// Gives an exception its stack.
pub(crate) fn set_interrupt_stack(which: InterruptStack, top: u64) {
    // SAFETY: the field is ours, packed, hence written unaligned. Only the boot CPU calls this, during start-up; the CPU
    // reads it when one of these three exceptions comes, none of which is expected meanwhile and after which nothing goes
    // on.
    unsafe {
        let stack = &raw mut TASK_STATE.interrupt_stack_table[which as usize];
        stack.write_unaligned(VirtAddr::new(top));
    }
}
