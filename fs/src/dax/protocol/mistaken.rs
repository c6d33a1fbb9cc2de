//! Protocols that take their steps in a wrong order: for the lab, to see that the mistake is found. A mistake
//! inside one step is asked for in that step.

use super::super::fault::{Attempt, FaultResult, Request, Served};
use super::{Protocol, racy, read_first};
use crate::lab::{Point, mistake};
use crate::platform::{PageSize, Platform};
use crate::vfs::{Backing, Held, Transaction};

/// Serves the fault by the protocol, or by the wrong one of it that the lab asks for: the first, if there are
/// several.
pub(super) fn serve<P: Platform, const LAB: bool>(
    protocol: Protocol,
    request: &Request<'_, P, LAB>,
) -> FaultResult<Served> {
    let (is_large, is_copied) =
        (request.size == PageSize::Large, request.fault.write && request.fault.area.private);
    match protocol {
        _ if is_copied && mistake!(request, CopyUnlocked) => copy_unlocked(request),
        _ if mistake!(request, MarkAfterUnlock) => mark_after_unlock(protocol, request),
        _ if mistake!(request, BeginBeforeLock) => begin_before_lock(protocol, request),
        Protocol::ReadFirst if mistake!(request, InstallUnlocked) => install_unlocked(request),
        Protocol::ReadFirst if is_large && mistake!(request, LargeAllocatesShared) => racy::serve(request),
        Protocol::ReadFirst if mistake!(request, RetryHolding) => retry_holding(request),
        Protocol::EntryLock if mistake!(request, LookUpBeforeLock) => look_up_before_lock(request),
        Protocol::EntryLock if !request.fault.write && mistake!(request, ReadTakesNoEntry) => {
            racy::serve(request)
        }
        Protocol::EntryLock if mistake!(request, WakeBeforeUnlock) => wake_before_unlock(request),
        Protocol::EntryLock if mistake!(request, BeginUnderEntry) => begin_under_entry(request),
        _ => protocol.follow(request),
    }
}

/// Copies without the lock that keeps the source.
fn copy_unlocked<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let found = request.look_up(request.shared().held())?;
    request.copy(found).map(Served::Mapped)
}

/// Marks the page dirty when all locks are let go of; [`Request::install`] leaves it out.
fn mark_after_unlock<P: Platform, const LAB: bool>(
    protocol: Protocol,
    request: &Request<'_, P, LAB>,
) -> FaultResult<Served> {
    let served = protocol.follow(request)?;
    if matches!(served, Served::Mapped(_)) && request.fault.write && !request.fault.area.private {
        request.mark_dirty();
    }
    Ok(served)
}

/// Opens a transaction for each store to a shared area before any lock; the protocol's own is in it.
fn begin_before_lock<P: Platform, const LAB: bool>(
    protocol: Protocol,
    request: &Request<'_, P, LAB>,
) -> FaultResult<Served> {
    let _transaction = request.begin(Held::no_more(), Some(Backing::HOLE))?;
    protocol.follow(request)
}

/// `read-first` that lets go of the shared lock between its look-up and its installing.
fn install_unlocked<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let shared = request.shared();
    let found = request.look_up(shared.held())?;
    drop(shared);
    match request.attempt_with(found, Held::no_more(), None)? {
        Attempt::Served(served) => Ok(served),
        Attempt::Retry => read_first::serve(request),
    }
}

/// `read-first` that keeps the shared lock while it waits for the exclusive one: as long as the mistake is
/// made, that does not come.
fn retry_holding<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let shared = request.shared();
    if let Attempt::Served(served) = request.attempt(shared.held())? {
        return Ok(served);
    }
    request.report(Point::Retry, 0);
    request.report(Point::ExclusiveWait, 0);
    let key = core::ptr::from_ref(request.mapping).addr();
    while mistake!(request, RetryHolding) {
        request.platform.wait(key, &mut || mistake!(request, RetryHolding));
    }
    drop(shared);
    read_first::serve(request)
}

/// `entry-lock` that uses what it looked up before it had the entry: the bug that came after the fix.
fn look_up_before_lock<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let shared = request.shared();
    let found = request.look_up(shared.held())?;
    let entry = request.entry();
    request.complete(found, entry.alloc_ok(), &Transaction::none())
}

/// `entry-lock` that wakes those who wait for the entry before it unlocks it.
fn wake_before_unlock<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let shared = request.shared();
    let entry = request.entry();
    let found = request.look_up(shared.held())?;
    let served = request.complete(found, entry.alloc_ok(), &Transaction::none());
    entry.wake_then_unlock();
    served
}

/// `entry-lock` that opens the transaction while it holds the entry, for which somebody may wait in his own.
fn begin_under_entry<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let shared = request.shared();
    let entry = request.entry();
    let found = request.look_up(shared.held())?;
    let transaction = request.begin(shared.held(), found)?;
    request.complete(found, entry.alloc_ok(), &transaction)
}
