//! What a page fault asks for, and how it is answered.
//!
//! [`handle`] is called by the lean entry of [`crate::arch::trap`] with interrupts as they were at the fault. A
//! refused fault inside [`crate::arch::user_access`] becomes an error of that access; anywhere else, a panic.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use super::layout::{TASK_END, TASK_START};
use crate::arch::trap::FaultFrame;

/// A page fault's error code (Intel SDM volume 3A, "Page-Fault Exceptions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access(pub(crate) u64);

impl Access {
    /// A present entry forbade it; otherwise there was none.
    pub(crate) const fn is_protection(self) -> bool {
        self.0 & 1 != 0
    }

    /// It was a store.
    pub(crate) const fn is_write(self) -> bool {
        self.0 & 2 != 0
    }

    /// It was an instruction fetch.
    pub(crate) const fn is_fetch(self) -> bool {
        self.0 & 16 != 0
    }
}

/// How a fault was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// The access can be tried again.
    Resumed,
    /// It can't be served.
    Refused(Refusal),
}

/// Why a fault can't be served. Zero is not used: see [`Refusal::from_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Refusal {
    /// Nothing is mapped at the address (Unix: SIGSEGV, SEGV_MAPERR).
    NoArea = 1,
    /// The mapping does not allow this access (SIGSEGV, SEGV_ACCERR).
    NoRight = 2,
    /// Beyond the end of the file (SIGBUS).
    BeyondEnd = 3,
    /// No block is left for a hole (SIGBUS).
    NoSpace = 4,
    /// No frame is left for a page table or a copy (SIGBUS; Linux kills for memory).
    NoMemory = 5,
    /// The memory is damaged (SIGBUS, BUS_MCEERR_AR).
    Poisoned = 6,
    /// The file system is damaged, or refused for another reason (SIGBUS).
    Broken = 7,
}

impl Refusal {
    const ALL: [Self; 7] = [
        Self::NoArea,
        Self::NoRight,
        Self::BeyondEnd,
        Self::NoSpace,
        Self::NoMemory,
        Self::Poisoned,
        Self::Broken,
    ];

    /// The refusal with this number, `None` for 0. Numbers beyond are read as [`Refusal::Broken`].
    pub(crate) fn from_code(code: u64) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|refusal| *refusal as u64 == code);
        known.or((code != 0).then_some(Self::Broken))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoArea => "nothing is mapped there",
            Self::NoRight => "the mapping does not allow it",
            Self::BeyondEnd => "beyond the end of the file",
            Self::NoSpace => "no space left on the device",
            Self::NoMemory => "out of memory",
            Self::Poisoned => "the memory there is damaged",
            Self::Broken => "the file system is damaged",
        })
    }
}

/// The last refusal, on its way from [`handle`] to the fixup. One CPU runs so far.
static REFUSAL: AtomicU8 = AtomicU8::new(0);

/// Answers a fault at `address`.
#[inline]
pub(crate) fn handle(address: u64, access: Access, frame: &FaultFrame) -> Resolution {
    let resolution = if (TASK_START..TASK_END).contains(&address) && !access.is_fetch() {
        serve(address, access, frame)
    } else {
        Resolution::Refused(Refusal::NoArea)
    };
    if let Resolution::Refused(why) = resolution {
        REFUSAL.store(why as u8, Ordering::Relaxed);
    }
    resolution
}

/// Asks the current address space. There is none yet, so nothing is mapped.
fn serve(_address: u64, _access: Access, _frame: &FaultFrame) -> Resolution {
    Resolution::Refused(Refusal::NoArea)
}

/// The reason of the fault that is just being refused.
pub(crate) fn take_refusal() -> Refusal {
    Refusal::from_code(u64::from(REFUSAL.swap(0, Ordering::Relaxed))).unwrap_or(Refusal::NoArea)
}
