//! Where CPUs ask each other to forget translations: [`super::tlb`] reads and writes it, [`super::percpu`]
//! has one for each.

use core::sync::atomic::AtomicU64;

/// A CPU's requests to others, one at a time, and what others ask of it.
pub(super) struct Mailbox {
    /// The CPUs whose request waits for this one.
    pub(super) asked_by: AtomicU64,
    /// This CPU's request: the pages, and the CPUs that have not answered yet.
    pub(super) start: AtomicU64,
    pub(super) pages: AtomicU64,
    pub(super) unanswered: AtomicU64,
}

impl Mailbox {
    pub(super) const fn new() -> Self {
        Self {
            asked_by: AtomicU64::new(0),
            start: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        }
    }
}
