//! Linux's since 4.7: the invalidate lock is shared for all faults; the entry for the page, or for its 2 MiB,
//! is locked, then looked up, then allocated if need be.
//!
//! Faults on different pages of one file allocate side by side. What else changes the block map (write(2),
//! truncate) still takes the invalidate lock exclusively, so it meets no fault.
//!
//! Order: `dax_sem (shared) → transaction → entry → block map`.

use super::super::fault::{FaultResult, Request, Served};
use crate::platform::Platform;
use crate::vfs::Transaction;

#[inline(always)]
pub(super) fn serve<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let shared = request.shared();
    let mut transaction = Transaction::none();
    let mut entry = request.entry();
    let mut found = request.look_up(shared.held())?;
    if request.needs_transaction(found) {
        // To open it may take a commit, which may wait for whoever waits for this entry in a transaction of
        // his own: the entry is let go of meanwhile (R11).
        drop(entry);
        transaction = request.open(shared.held())?;
        entry = request.entry();
        found = request.look_up(shared.held())?;
    }
    request.complete(found, entry.alloc_ok(), &transaction)
}
