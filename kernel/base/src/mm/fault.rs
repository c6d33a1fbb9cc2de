//! What a page fault asks for, and how it is answered.
//!
//! [`handle`] is called by the lean entry of [`crate::entry::trap`] with interrupts as they were at the
//! fault. A refused fault inside [`crate::entry::user_access`] becomes an error of that access; anywhere
//! else, a panic.

pub use paging::FaultCode;
pub use vm::Refusal;

use super::aspace;
use super::layout::{TASK_END, TASK_START};
use crate::counters::stats;
use crate::task;

/// How a fault was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The access can be tried again.
    Resumed,
    /// The fault can't be served: [`take_refusal`] says why.
    Refused,
}

/// Answers a fault at `address`.
#[inline]
pub fn handle(address: u64, access: FaultCode) -> Resolution {
    match aspace::try_current() {
        // Nothing is executed from a task's VMAs: a fetch there is a wild jump.
        Some(space) if (TASK_START..TASK_END).contains(&address) && !access.is_fetch() => {
            match space.fault(address, access) {
                Ok(()) => Resolution::Resumed,
                Err(refusal) => refuse(refusal),
            }
        }
        Some(_) => refuse(Refusal::NoVma),
        // Nor is it counted: whoever asked for no fault to be served has its answer.
        None => Resolution::Refused,
    }
}

/// Counts the refusal and keeps it for whoever asks.
#[cold]
#[inline(never)]
fn refuse(refusal: Refusal) -> Resolution {
    match refusal {
        Refusal::NoVma => stats().fault_no_area.inc(),
        Refusal::NoRight(_) => stats().fault_no_right.inc(),
        // Counted where the file refused it.
        Refusal::File(_) => {}
    }
    if let Some(task) = task::try_current() {
        *task.refusal().lock() = Some(refusal);
    }
    Resolution::Refused
}

/// Returns the reason of the fault that was just refused.
pub fn take_refusal() -> Refusal {
    task::try_current().and_then(task::Task::take_refusal).unwrap_or(Refusal::NoVma)
}
