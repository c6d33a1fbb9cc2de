//! Linux's since 4.7: the inode lock is shared for all faults; the entry for the page, or for its 2 MiB, is
//! locked, then looked up, then allocated if need be.
//!
//! Faults on different pages of one file allocate side by side. What else changes the block map (write(2),
//! truncate) still takes the inode lock exclusively, so it meets no fault.
//!
//! Order: `dax_sem (shared) → transaction → entry → block map`.

use super::super::fault::{Attempt, Request, Served, Step};
use crate::lab::Mutant;
use crate::platform::Platform;
use crate::vfs::{AllocOk, Transaction};

#[inline(always)]
pub(super) fn serve<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> Step<Served> {
    let shared = request.shared();
    // The bug that came after the fix: what was looked up before the lock is not true any more under it.
    let early =
        request.mutant(Mutant::LookUpBeforeLock).then(|| request.look_up(shared.held())).transpose()?;
    let locks = request.write || !request.mutant(Mutant::ReadTakesNoEntry);
    let mut transaction = Transaction::none();
    let mut entry = locks.then(|| request.entry());
    let mut found = early.map_or_else(|| request.look_up(shared.held()), Ok)?;
    if request.needs_transaction(found) {
        // To open it may take a commit, which may wait for whoever waits for this entry in a transaction of
        // his own: the entry is let go of meanwhile (R11).
        drop(entry.take());
        transaction = request.open(shared.held())?;
        entry = Some(request.entry());
        found = request.look_up(shared.held())?;
    }
    let ok = entry.as_ref().map_or_else(|| AllocOk::mistaken(shared.held()), |entry| entry.alloc_ok());
    let attempt = request.attempt_with(found, shared.held(), Some((ok, &transaction)));
    if request.mutant(Mutant::WakeBeforeUnlock)
        && let Some(entry) = entry
    {
        entry.wake_then_unlock();
    }
    match attempt? {
        Attempt::Served(served) => Ok(served),
        Attempt::Retry => unreachable!("with leave to allocate, a hole is filled or an error"),
    }
}
