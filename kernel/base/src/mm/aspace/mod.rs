//! Address spaces: which part of which file a task sees where.
//!
//! An address space is a sorted list of areas and the page tables that faults fill in behind them. Mapping only notes the
//! area; a page is looked up, or allocated, when it is first touched ([`AddressSpace::fault`]).
//!
//! ```text
//! 0x0000_0000_0001_0000  TASK_START  (the null page and its neighbours stay empty)
//! 0x0000_0100_0000_0000  MMAP        areas are placed upwards from here, a guard page after each
//! 0x0000_7fff_ffff_f000  TASK_END
//! ```
//!
//! | file | what |
//! |---|---|
//! | this one | the running task's address space, faults, listing |
//! | `area.rs` | one area, the list of them: finding, splitting, joining |
//! | `map.rs` | mmap, munmap, mremap |
//! | `advise.rs` | mprotect, madvise, msync, filling in beforehand |
//! | `fork.rs` | a copy of the address space |
//!
//! # Locking
//! `areas → freeze → dax_sem → …` (docs/laws.md). A fault holds `areas` shared from its look-up to its end,
//! so that an area can't go while its page is being installed, and no table either. The lock is distributed:
//! faults on different CPUs share no cache line. What changes areas, or frees tables, holds it exclusively.

mod advise;
mod area;
mod fork;
mod map;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::dax;
use fs::{Errno, PAGE_SIZE, Result};
use paging::Walk;
use paging::task::{Copies, Count, Partial};

use super::fault::{Access, Refusal};
use super::layout::{TASK_END, TASK_START};
use super::paging::PageTables;
use crate::arch::percpu;
use crate::counters::stats;
use crate::machine::File;
use crate::sync::RwLock;
pub use advise::Advice;
use area::{Area, Areas};
pub use area::{Kind, Rights};
pub use map::{At, Request};

/// A task's view of memory.
pub struct AddressSpace {
    tables: Arc<PageTables>,
    areas: RwLock<Areas>,
}

/// One area, as `maps` and `io mmap` list it.
pub struct AreaInfo {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Byte offset in the file.
    pub offset: u64,
    pub kind: Kind,
    pub file: File,
    /// The name it was opened by.
    pub name: String,
}

/// The running task's address space.
///
/// # Panics
/// If it has none.
#[inline]
pub fn current() -> Arc<AddressSpace> {
    let space: *const AddressSpace = percpu::space().cast();
    assert!(!space.is_null(), "this task has no address space");
    // SAFETY: the pointer is that of an `Arc` that the running task holds.
    unsafe {
        Arc::increment_strong_count(space);
        Arc::from_raw(space)
    }
}

/// As [`current`], where a fault may come before there is one.
#[inline]
pub(super) fn try_current() -> Option<&'static AddressSpace> {
    // SAFETY: what the task that runs was given, which keeps it.
    unsafe { percpu::space().cast::<AddressSpace>().as_ref() }
}

impl AddressSpace {
    /// An empty one.
    ///
    /// # Errors
    /// [`Errno::NoMemory`].
    pub fn new() -> Result<Self> {
        let tables = PageTables::new_user().map_err(|_| Errno::NoMemory)?;
        Ok(Self { tables: Arc::new(tables), areas: RwLock::new(Areas::default()) })
    }

    /// Its page tables, for the CPU.
    pub fn page_tables(&self) -> &Arc<PageTables> {
        &self.tables
    }

    /// Serves a fault at `va`.
    ///
    /// # Errors
    /// The reason for the task's error; nothing changed.
    #[inline]
    pub fn fault(&self, va: u64, access: Access) -> core::result::Result<(), Refusal> {
        let areas = self.areas.read();
        let Some(area) = areas.find(va) else {
            stats().fault_no_area.inc();
            return Err(Refusal::NoArea);
        };
        let rights = area.kind.rights;
        let allowed = if access.is_write() { rights.write } else { rights.read };
        if !allowed {
            stats().fault_no_right.inc();
            return Err(Refusal::NoRight(rights));
        }
        let served = dax::fault(
            area.kind.protocol,
            &*area.file,
            &self.tables,
            area.fault(va & !(PAGE_SIZE - 1), access.is_write()),
        );
        served.map(|_| ()).map_err(Refusal::File)
    }

    /// All areas, by address.
    pub fn areas(&self) -> Vec<AreaInfo> {
        let info = |area: &Area| AreaInfo {
            start: area.start,
            len: area.end - area.start,
            offset: area.first_page * PAGE_SIZE,
            kind: area.kind,
            file: area.file.clone(),
            name: area.name.to_string(),
        };
        self.areas.read().iter().map(info).collect()
    }

    /// How `len` bytes from `start` on are mapped just now.
    pub fn count(&self, start: u64, len: u64) -> Count {
        let _no_table_goes = self.areas.read();
        self.tables.count(start, len.div_ceil(PAGE_SIZE))
    }

    /// The page-table entries that lead to an address.
    pub fn walk(&self, va: u64) -> Walk {
        let _no_table_goes = self.areas.read();
        self.tables.tables().walk(va)
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        for area in self.areas.get_mut().drain(..) {
            self.tables.remove(area.start, area.len_pages(), Partial::Whole, Copies::Free);
            area.file.mapping().detach(&self.tables, area.start, []);
        }
    }
}

/// `len` bytes from `start` on, in whole pages.
///
/// # Errors
/// [`Errno::Invalid`] for no bytes, an address inside a page, or beyond the task's half.
fn page_range(start: u64, len: u64) -> Result<core::ops::Range<u64>> {
    let end = len.checked_next_multiple_of(PAGE_SIZE).and_then(|len| start.checked_add(len));
    match end {
        Some(end) if len != 0 && start.is_multiple_of(PAGE_SIZE) && end <= TASK_END => Ok(start..end),
        _ => Err(Errno::Invalid.into()),
    }
}

/// As [`page_range`], for what is advised or changed where it is mapped: of no bytes there is nothing to do.
///
/// # Errors
/// [`Errno::Invalid`] for an address inside a page, or `wrapped` for a range that is not the task's.
#[inline]
fn mapped_range(start: u64, len: u64, wrapped: Errno) -> Result<Option<core::ops::Range<u64>>> {
    page_range(start, len).map(Some).or_else(|_| match len {
        _ if !start.is_multiple_of(PAGE_SIZE) => Err(Errno::Invalid.into()),
        0 => Ok(None),
        _ => Err(wrapped.into()),
    })
}

/// How many pages a range has.
fn pages(range: &core::ops::Range<u64>) -> u64 {
    (range.end - range.start) / PAGE_SIZE
}
