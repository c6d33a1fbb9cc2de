//! What Linux did before 2016: a fault allocates under the shared lock, beside other faults on the same page.
//! It loses data; for tests and the lab only.

use super::super::fault::{FaultResult, Request, Served, is_absent};
use crate::PAGE_SIZE;
use crate::platform::{PageSize, Platform};
use crate::pmem::Pmem;
use crate::vfs::AllocOk;

// Apart, so that the compiler does not weave it into the protocols that are to be fast.
#[inline(never)]
pub(super) fn serve<P: Platform, const LAB: bool>(request: &Request<'_, P, LAB>) -> FaultResult<Served> {
    let shared = request.shared();
    let found = request.look_up(shared.held())?;
    let transaction = request.begin(shared.held(), found)?;
    let served = request.complete(found, AllocOk::mistaken(shared.held()), &transaction)?;
    // What was done before 2015 by whoever had seen a hole, also when somebody else had filled it meanwhile:
    // it is zeroed (R1).
    let late = is_absent(found) && matches!(served, Served::Mapped(_)) && !served.allocated();
    if late && request.fault.write && !request.fault.area.private && request.size == PageSize::Small {
        let place = request.step(request.file.place(shared.held(), request.page))?;
        place.into_iter().for_each(|place| request.platform.pmem().zero_nt(place, PAGE_SIZE));
    }
    Ok(served)
}
