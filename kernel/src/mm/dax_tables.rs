//! A task's page tables as the fault protocols want them: one 4 KiB leaf at a time, published by compare-exchange.
//!
//! Lock order: none taken here but the frames' (a leaf of the order).

use fs::platform::{Mapped, NoFrames, PageSize as Size};
use paging::{Entry, Flags, Installed, Machine as _, MapError, PageSize, Partial};
use spin::Once;

use super::frames;
use super::paging::PageTables;

/// The page of zeros that stands in for every hole; nobody writes to it.
static ZERO_PAGE: Once<u64> = Once::new();

/// Takes the frame for the zero page. `false` if there is none.
pub(crate) fn init() -> bool {
    frames::allocate_zeroed().map(|frame| ZERO_PAGE.call_once(|| frame)).is_some()
}

/// Physical address of the zero page.
///
/// # Panics
/// Before [`init`].
pub(crate) fn zero_page() -> u64 {
    *ZERO_PAGE.get().expect("the zero page is made before the first task")
}

/// Data is never executed.
const READ: Flags = Flags::PRESENT.with(Flags::NO_EXECUTE);

impl fs::platform::PageTables for PageTables {
    #[inline]
    fn map(&self, va: u64, frame: u64, size: Size, writable: bool) -> Result<Mapped, NoFrames> {
        let flags = if writable { READ.with(Flags::WRITE) } else { READ };
        if size == Size::Large {
            return Ok(Mapped::Table);
        }
        loop {
            match self.install(va, frame, PageSize::Small, flags).map_err(no_frames)? {
                Installed::New => return Ok(Mapped::New),
                // No shootdown: a CPU that still holds the weaker entry faults once more and finds this one.
                Installed::Upgraded => return Ok(Mapped::Upgraded),
                Installed::Already => return Ok(Mapped::Already),
                Installed::Occupied(old, _) => {
                    let new = Entry::new(frame, flags);
                    if self.replace(va, PageSize::Small, old, new).is_ok() {
                        if old.is_present() {
                            self.machine().invalidate(va, 1);
                        }
                        return Ok(Mapped::Replaced);
                    }
                    // It changed meanwhile: look again.
                }
            }
        }
    }

    #[inline]
    fn map_zero(&self, va: u64, size: Size) -> Result<Mapped, NoFrames> {
        if size == Size::Large {
            return Ok(Mapped::Table);
        }
        match self.install(va, zero_page(), PageSize::Small, READ).map_err(no_frames)? {
            Installed::New => Ok(Mapped::New),
            _ => Ok(Mapped::Already),
        }
    }

    fn map_copy(&self, _va: u64, _from: Option<u64>) -> Result<Mapped, NoFrames> {
        // Areas are not private yet.
        Err(NoFrames)
    }

    fn has_small(&self, _va: u64) -> bool {
        true
    }

    fn unmap(&self, va: u64, pages: u64, _copies: bool) -> u64 {
        // Only 4 KiB leaves are installed, so nothing needs splitting, which alone could fail.
        self.unmap_range(va, pages * frames::FRAME, |_, _, _| {})
            .unwrap_or_else(|error| panic!("unmap: {error}"))
    }

    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        let mut writable = 0;
        let count = |_, entry: Entry, _| writable += u64::from(entry.is_writable());
        let done = self.write_protect_range(va, pages * frames::FRAME, Partial::Whole, count);
        done.unwrap_or_else(|error| panic!("write-protect: {error}"));
        writable
    }
}

fn no_frames(error: MapError) -> NoFrames {
    match error {
        MapError::NoFrames => NoFrames,
        // The address space hands over page-aligned addresses of the task's half.
        other => panic!("installing a page: {other}"),
    }
}
