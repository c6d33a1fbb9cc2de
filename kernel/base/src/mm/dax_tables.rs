//! A task's page tables as the fault protocols want them, over [`paging::task`], and the pages of zeros.
//!
//! Lock order: `removal` of the tables → frames.

use core::sync::atomic::{AtomicU64, Ordering};

use fs::platform::{Mapped, NoFrames, PageSize};
use paging::task::{self, Copies, Partial};
use spin::Once;

use super::frames;
use super::paging::PageTables;

/// The page of zeros that stands in for every hole; nobody writes to it.
static ZERO_PAGE: Once<u64> = Once::new();
/// The same of 2 MiB, once it was asked for; 0 before. Never freed.
static LARGE_ZERO_PAGE: AtomicU64 = AtomicU64::new(0);

/// Takes the frame for the zero page. `false` if there is none.
pub fn init() -> bool {
    frames::allocate_zeroed().map(|frame| ZERO_PAGE.call_once(|| frame)).is_some()
}

/// Physical address of the zero page.
///
/// # Panics
/// Before [`init`].
#[inline]
pub fn zero_page() -> u64 {
    *ZERO_PAGE.get().expect("the zero page is made before the first task")
}

/// Physical address of the zero page of 2 MiB, made when it is asked for the first time.
#[inline]
fn large_zero_page() -> Result<u64, NoFrames> {
    match LARGE_ZERO_PAGE.load(Ordering::Acquire) {
        0 => make_large_zero_page(),
        frame => Ok(frame),
    }
}

#[cold]
fn make_large_zero_page() -> Result<u64, NoFrames> {
    let new = frames::allocate_zeroed_large().ok_or(NoFrames)?;
    match LARGE_ZERO_PAGE.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(new),
        Err(other) => {
            frames::free_large(new);
            Ok(other)
        }
    }
}

impl fs::platform::PageTables for PageTables {
    #[inline]
    fn map(&self, va: u64, frame: u64, size: PageSize, writable: bool) -> Result<Mapped, NoFrames> {
        translate(match size {
            PageSize::Small => self.map_small(va, frame, writable),
            PageSize::Large => self.map_large(va, frame, writable),
        })
    }

    #[inline]
    fn map_zero(&self, va: u64, size: PageSize) -> Result<Mapped, NoFrames> {
        translate(match size {
            PageSize::Small => self.keep_small(va, zero_page()),
            // No 2 MiB are zeroed where they can't be used.
            PageSize::Large if task_has_small(self, va) => Ok(task::Mapped::Table),
            PageSize::Large => self.keep_large(va, large_zero_page()?),
        })
    }

    fn map_copy(&self, va: u64, from: Option<u64>) -> Result<Mapped, NoFrames> {
        translate((**self).map_copy(va, from))
    }

    #[inline]
    fn has_small(&self, va: u64) -> bool {
        task_has_small(self, va)
    }

    fn unmap(&self, va: u64, pages: u64, copies: bool) -> u64 {
        self.remove(va, pages, Partial::Whole, if copies { Copies::Free } else { Copies::Keep })
    }

    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        (**self).write_protect(va, pages)
    }
}

#[inline]
fn task_has_small(tables: &PageTables, va: u64) -> bool {
    (**tables).has_small(va)
}

#[inline]
fn translate(mapped: Result<task::Mapped, task::NoFrames>) -> Result<Mapped, NoFrames> {
    match mapped {
        Ok(task::Mapped::New) => Ok(Mapped::New),
        Ok(task::Mapped::Upgraded) => Ok(Mapped::Upgraded),
        Ok(task::Mapped::Already) => Ok(Mapped::Already),
        Ok(task::Mapped::Replaced) => Ok(Mapped::Replaced),
        Ok(task::Mapped::Table) => Ok(Mapped::Table),
        Err(task::NoFrames) => Err(NoFrames),
    }
}
