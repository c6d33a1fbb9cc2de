//! The RFC's: look up under the shared lock; for a store to a hole let go, lock exclusively, look again,
//! allocate.
//!
//! A block can only appear when no other fault on the inode is between its look-up and its installing, for
//! those hold the lock shared.

use super::super::fault::{Attempt, FaultResult, Request, Served};
use crate::lab::Point;
use crate::platform::{PageSize, Platform};
use crate::vfs::Backing;

#[inline(always)]
pub(super) fn serve<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    // 1. Shared: serve it if that takes no allocation.
    let shared = request.shared();
    if let Attempt::Served(served) = request.attempt(shared.held())? {
        return Ok(served);
    }
    // 2. Let go of everything before waiting for the lock exclusively: other faults must be able to finish
    //    (docs/laws.md, law 4).
    drop(shared);
    request.report(Point::Retry, 0);
    request.platform.stats().fault_retry.inc();
    // 3. Exclusive: from here on no other fault is between its look-up and its installing. Look again,
    //    allocate.
    let exclusive = request.exclusive();
    let found = match request.size {
        // Allocating a block begins with a look-up: the second is that one.
        PageSize::Small => Some(Backing::HOLE),
        PageSize::Large => request.look_up(exclusive.held())?,
    };
    let transaction = request.begin(exclusive.held(), found)?;
    let served = request.complete(found, exclusive.alloc_ok(), &transaction)?;
    if !served.allocated() {
        request.platform.stats().fault_retry_found.inc();
    }
    Ok(served)
}
