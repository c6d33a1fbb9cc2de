//! The RFC's: look up under the shared lock; for a store to a hole let go, lock exclusively, look again,
//! allocate.
//!
//! A block can only appear when no other fault on the inode is between its look-up and its installing, for
//! those hold the lock shared.

use super::super::fault::{Attempt, Request, Served, Step};
use crate::lab::{Mutant, Point};
use crate::platform::{PageSize, Platform};
use crate::vfs::{AllocOk, Backing, Transaction};

#[inline(always)]
pub(super) fn serve<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> Step<Served> {
    if request.mutant(Mutant::InstallUnlocked)
        && let Attempt::Served(served) = request.attempt_unlocked(request.shared())?
    {
        return Ok(served);
    }
    // 1. Shared: serve it if that takes no allocation.
    let shared = request.shared();
    let allocates = request.mutant(Mutant::LargeAllocatesShared) && request.size == PageSize::Large;
    let none = Transaction::none();
    let leave = allocates.then(|| (AllocOk::mistaken(shared.held()), &none));
    if let Attempt::Served(served) = request.attempt(shared.held(), leave)? {
        return Ok(served);
    }
    // 2. Let go of everything before waiting for the lock exclusively: other faults must be able to finish
    //    (docs/laws.md, law 4).
    let kept = request.mutant(Mutant::RetryHolding).then_some(shared);
    request.report(Point::Retry, 0);
    request.platform.stats().fault_retry.inc();
    // 3. Exclusive: from here on no other fault is between its look-up and its installing. Look again,
    //    allocate.
    let exclusive = match kept {
        None => request.exclusive(),
        Some(shared) => request.exclusive_holding(shared),
    };
    let found = match request.size {
        // Allocating a block begins with a look-up: the second is that one.
        PageSize::Small => Some(Backing::HOLE),
        PageSize::Large => request.look_up(exclusive.held())?,
    };
    let transaction = request.begin(exclusive.held(), found)?;
    match request.attempt_with(found, exclusive.held(), Some((exclusive.alloc_ok(), &transaction)))? {
        Attempt::Served(served) => {
            if !served.allocated() {
                request.platform.stats().fault_retry_found.inc();
            }
            Ok(served)
        }
        Attempt::Retry => unreachable!("with leave to allocate, a hole is filled or an error"),
    }
}
