//! The stacks of the exceptions that can't trust the current one, with guard pages.

use crate::arch::gdt::InterruptStack;
use crate::arch::percpu::PerCpu;
use crate::mm::paging::MapError;
use crate::mm::stack::KernelStack;

/// Pages of an interrupt stack.
const PAGES: u64 = 8;

/// Gives each exception of a CPU that has a stack of its own one with a guard page.
///
/// # Errors
/// Those of [`KernelStack::new`]; the early stack, if there is one, stays for those that got none.
pub fn allocate(cpu: &PerCpu) -> Result<(), MapError> {
    for which in InterruptStack::ALL {
        let stack = KernelStack::new(PAGES)?;
        cpu.set_interrupt_stack(which, stack.top());
        core::mem::forget(stack);
    }
    Ok(())
}
