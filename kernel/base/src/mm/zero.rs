//! The pages of zeros that stand in for holes, of both sizes.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use super::frames;

/// The page of 4 KiB; nobody writes to it.
static ZERO_PAGE: Once<u64> = Once::new();
/// Physical address of the huge zero page (2 MiB), once it was asked for; 0 before. Never freed.
static LARGE_ZERO_PAGE: AtomicU64 = AtomicU64::new(0);

/// Takes the frame for the zero page. `false` if there is none.
pub fn init() -> bool {
    frames::allocate_zeroed().map(|frame| ZERO_PAGE.call_once(|| frame)).is_some()
}

/// Returns the physical address of the zero page.
///
/// # Panics
/// Before [`init`].
#[inline]
pub(super) fn small() -> u64 {
    *ZERO_PAGE.get().expect("the zero page is made before the first task")
}

/// Returns the physical address of the huge zero page (2 MiB), made when it is asked for the first time;
/// `None` when memory is out.
#[inline]
pub(super) fn large() -> Option<u64> {
    match LARGE_ZERO_PAGE.load(Ordering::Acquire) {
        0 => make_large(),
        frame => Some(frame),
    }
}

#[cold]
fn make_large() -> Option<u64> {
    let new = frames::allocate_zeroed_large()?;
    match LARGE_ZERO_PAGE.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(new),
        Err(other) => {
            frames::free_large(new);
            Some(other)
        }
    }
}
