//! What a page fault asks for, and how it is answered.
//!
//! [`handle`] is called by the lean entry of [`crate::entry::trap`] with interrupts as they were at the fault.
//! A refused fault inside [`crate::entry::user_access`] becomes an error of that access; anywhere else, a
//! panic.

use core::fmt;

use super::aspace::{self, Rights};
use super::layout::{TASK_END, TASK_START};
use crate::counters::stats;
use crate::task;

/// A page fault's error code (Intel SDM volume 3A, "Page-Fault Exceptions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(pub u64);

impl Access {
    /// A present entry forbade it; otherwise there was none.
    pub const fn is_protection(self) -> bool {
        self.0 & 1 != 0
    }

    /// It was a store.
    pub const fn is_write(self) -> bool {
        self.0 & 2 != 0
    }

    /// It was an instruction fetch.
    pub const fn is_fetch(self) -> bool {
        self.0 & 16 != 0
    }
}

/// How a fault was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The access can be tried again.
    Resumed,
    /// It can't be served: [`take_refusal`] says why.
    Refused,
}

/// Why a fault can't be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is mapped at the address (Unix: SIGSEGV, SEGV_MAPERR).
    NoArea,
    /// The area does not allow this access (SIGSEGV, SEGV_ACCERR).
    NoRight(Rights),
    /// The file can't: beyond its end, no space left, damaged (SIGBUS).
    File(fs::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArea => f.write_str("nothing is mapped there"),
            Self::NoRight(rights) => write!(f, "the mapping allows {rights}"),
            Self::File(error) => error.fmt(f),
        }
    }
}

/// Answers a fault at `address`.
#[inline]
pub fn handle(address: u64, access: Access) -> Resolution {
    let refusal = match aspace::try_current() {
        // Nothing is executed from a task's areas: a fetch there is a wild jump.
        Some(space) if (TASK_START..TASK_END).contains(&address) && !access.is_fetch() => {
            match space.fault(address, access) {
                Ok(()) => return Resolution::Resumed,
                Err(refusal) => refusal,
            }
        }
        _ => {
            stats().fault_no_area.inc();
            Refusal::NoArea
        }
    };
    if let Some(task) = task::try_current() {
        *task.refusal().lock() = Some(refusal);
    }
    Resolution::Refused
}

/// The reason of the fault that was just refused.
pub fn take_refusal() -> Refusal {
    task::try_current().and_then(task::Task::take_refusal).unwrap_or(Refusal::NoArea)
}
