//! Segments and the task state of each CPU: one code segment, and stacks of their own for the exceptions that
//! can't trust the current one (Intel SDM volume 3A, "Interrupt Stack Table").
//!
//! The interrupt stacks are given by [`crate::entry::stacks`], with guard pages; until paging is up, static
//! ones serve the CPU that boots.

use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// Exceptions with a stack of their own, as indices into the interrupt stack table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptStack {
    /// Double fault: a stack overflow ends here.
    DoubleFault = 0,
    /// Non-maskable interrupt.
    Nmi = 1,
    /// Machine check.
    MachineCheck = 2,
}

impl InterruptStack {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::DoubleFault, Self::Nmi, Self::MachineCheck];
}

const EARLY_SIZE: usize = 8 * 1024;

#[repr(align(16))]
struct EarlyStack(#[expect(dead_code, reason = "only its address is used")] [u8; EARLY_SIZE]);

/// One early stack for the three: at this stage any of these exceptions is the end.
static mut EARLY: EarlyStack = EarlyStack([0; EARLY_SIZE]);

/// The descriptor table and the task state of one CPU.
pub(super) struct Segments {
    gdt: UnsafeCell<GlobalDescriptorTable>,
    task: UnsafeCell<TaskStateSegment>,
}

// SAFETY: written before the CPU it belongs to loads it, and by that CPU; the CPU itself reads it.
unsafe impl Sync for Segments {}
// SAFETY: plain data; nothing in it points to the CPU that made it.
unsafe impl Send for Segments {}

impl Segments {
    pub(super) const fn new() -> Self {
        Self {
            gdt: UnsafeCell::new(GlobalDescriptorTable::new()),
            task: UnsafeCell::new(TaskStateSegment::new()),
        }
    }

    /// Gives an exception its stack.
    pub(super) fn set(&self, which: InterruptStack, top: u64) {
        // SAFETY: the field is packed, hence written unaligned. Only the CPU that starts, or the one that
        // starts it, calls this; the CPU reads it when one of these three exceptions comes, none of which is
        // expected meanwhile.
        unsafe {
            let stack = &raw mut (*self.task.get()).interrupt_stack_table[which as usize];
            stack.write_unaligned(VirtAddr::new(top));
        }
    }
}

/// Loads the boot CPU's early interrupt stacks.
pub(super) fn early_stacks(segments: &Segments) {
    let top = &raw const EARLY as u64 + EARLY_SIZE as u64;
    InterruptStack::ALL.into_iter().for_each(|which| segments.set(which, top));
}

/// Fills the table and loads it. Clears the segment registers, GS with its base among them.
pub(super) fn load(segments: &'static Segments) {
    // SAFETY: called once for each CPU, before anything else looks at the table; the task state lies in the
    // same area, which is never freed, and changes later only in its stack pointers. The selectors belong to
    // the table just loaded; in 64-bit mode data segments may be null, and the task-state descriptor is not
    // busy yet.
    unsafe {
        let gdt = &mut *segments.gdt.get();
        let code = gdt.append(Descriptor::kernel_code_segment());
        gdt.append(Descriptor::kernel_data_segment());
        let task = gdt.append(Descriptor::tss_segment_unchecked(segments.task.get()));
        (*segments.gdt.get()).load_unsafe();
        CS::set_reg(code);
        for clear in [SS::set_reg, DS::set_reg, ES::set_reg, FS::set_reg, GS::set_reg] {
            clear(SegmentSelector::NULL);
        }
        load_tss(task);
    }
}
