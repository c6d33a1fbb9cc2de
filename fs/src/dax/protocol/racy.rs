//! What Linux did before 2016: a fault allocates under the shared lock, beside other faults on the same page.
//! It loses data; for tests and the lab only.

use super::super::fault::{Attempt, Request, Served, Step};
use crate::platform::Platform;
use crate::vfs::AllocOk;

// Apart, so that the compiler does not weave it into the protocols that are to be fast.
#[inline(never)]
pub(super) fn serve<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> Step<Served> {
    let shared = request.shared();
    let ok = AllocOk::mistaken(shared.held());
    let found = request.look_up(shared.held())?;
    let transaction = request.begin(shared.held(), found)?;
    match request.attempt_with(found, shared.held(), Some((ok, &transaction)))? {
        Attempt::Served(served) => {
            request.zero_once_more(shared.held(), found, served)?;
            Ok(served)
        }
        Attempt::Retry => unreachable!("with leave to allocate, a hole is filled or an error"),
    }
}
