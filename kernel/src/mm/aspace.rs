//! Address spaces: which part of which file a task sees where.
//!
//! An address space is a sorted list of areas and the page tables that faults fill in behind them. `mmap` only notes the
//! area; a page is looked up, or allocated, when it is first touched ([`AddressSpace::fault`]).
//!
//! ```text
//! 0x0000_0000_0001_0000  LOWEST   (the null page and its neighbours stay empty)
//! 0x0000_0100_0000_0000  MMAP     areas are placed upwards from here, a guard page after each
//! 0x0000_8000_0000_0000  TASK_END
//! ```
//!
//! # Locking
//! `areas → dax_sem → …` (DESIGN.md). A fault holds `areas` shared from its look-up to its end, so that an area can't go
//! while its page is being installed.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use fs::dax::{self, Fault, Protocol};
use fs::platform::PageTables as _;
use fs::{Errno, PAGE_SIZE, Result};
use paging::task::{Copies, Partial};

use super::fault::{Access, Refusal};
use super::layout::TASK_END;
use super::paging::PageTables;
use crate::arch::percpu;
use crate::machine::{File, stats};
use crate::sync::RwLock;

/// Areas are placed from here on.
const MMAP: u64 = 1 << 40;
/// Areas of at least this size lie congruent to their file offset modulo it, for 2 MiB pages.
const HUGE: u64 = 2 << 20;

/// What may be done in an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) exec: bool,
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |on, letter| if on { letter } else { '-' };
        write!(f, "{}{}{}", letter(self.read, 'r'), letter(self.write, 'w'), letter(self.exec, 'x'))
    }
}

/// A range of addresses that shows a range of a file.
struct Area {
    start: u64,
    end: u64,
    /// The file's page at `start`.
    first_page: u64,
    rights: Rights,
    protocol: Protocol,
    file: File,
    name: Arc<str>,
}

impl Area {
    /// The file's page at `va`.
    fn page(&self, va: u64) -> u64 {
        self.first_page + (va - self.start) / PAGE_SIZE
    }

    /// The same area, reduced to `start..end`.
    fn part(&self, start: u64, end: u64) -> Self {
        Self {
            start,
            end,
            first_page: self.page(start),
            file: self.file.clone(),
            name: self.name.clone(),
            ..*self
        }
    }

    /// The file's pages it shows.
    fn pages(&self) -> core::ops::Range<u64> {
        self.first_page..self.page(self.end)
    }
}

/// A task's view of memory.
pub(crate) struct AddressSpace {
    tables: Arc<PageTables>,
    areas: RwLock<Vec<Area>>,
}

/// One area, as `maps` and `io mmap` list it.
pub(crate) struct AreaInfo {
    /// First address.
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) len: u64,
    /// Byte offset in the file.
    pub(crate) offset: u64,
    pub(crate) rights: Rights,
    pub(crate) file: File,
    /// The name it was opened by.
    pub(crate) name: String,
}

/// The running task's address space.
///
/// # Panics
/// If it has none.
pub(crate) fn current() -> Arc<AddressSpace> {
    let space = percpu::space();
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
    unsafe { percpu::space().as_ref() }
}

impl AddressSpace {
    /// An empty one.
    ///
    /// # Errors
    /// [`Errno::NoMemory`].
    pub(crate) fn new() -> Result<Self> {
        let tables = PageTables::new_user().map_err(|_| Errno::NoMemory)?;
        Ok(Self { tables: Arc::new(tables), areas: RwLock::new(Vec::new()) })
    }

    /// Its page tables, for the CPU.
    pub(crate) fn page_tables(&self) -> &Arc<PageTables> {
        &self.tables
    }

    /// Its page tables, to look at.
    pub(crate) fn tables(&self) -> &PageTables {
        &self.tables
    }

    /// Serves a fault at `va`.
    ///
    /// # Errors
    /// The reason for the task's error; nothing changed.
    #[inline]
    pub(crate) fn fault(&self, va: u64, access: Access) -> core::result::Result<(), Refusal> {
        let areas = self.areas.read();
        let Some(area) = find(&areas, va) else {
            stats().fault_no_area.inc();
            return Err(Refusal::NoArea);
        };
        let allowed = if access.is_write() { area.rights.write } else { area.rights.read };
        if !allowed {
            stats().fault_no_right.inc();
            return Err(Refusal::NoRight(area.rights));
        }
        let va = va & !(PAGE_SIZE - 1);
        let view = dax::Area { start: area.start, end: area.end, private: false, large: true };
        let fault = Fault { va, page: area.page(va), write: access.is_write(), area: view };
        dax::fault(area.protocol, &*area.file, &self.tables, fault).map(|_| ()).map_err(Refusal::File)
    }

    /// Maps `len` bytes of `file` from byte `offset` on, shared, at an address of the kernel's choice, which it returns.
    /// Whole pages are mapped; `name` is for listings.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for no bytes or an offset inside a page, [`Errno::Overflow`] beyond what the index covers or
    /// what an address space holds, and what [`expect_mappable`](fs::vfs::Inode::expect_mappable) refuses.
    pub(crate) fn mmap(
        &self,
        file: &File,
        protocol: Protocol,
        name: &str,
        offset: u64,
        len: u64,
        rights: Rights,
    ) -> Result<u64> {
        file.expect_mappable()?;
        if len == 0 || !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::Invalid.into());
        }
        let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::Overflow)?;
        let end = offset.checked_add(len).ok_or(Errno::Overflow)?;
        if end / PAGE_SIZE > fs::vfs::index::MAX_PAGES {
            return Err(Errno::Overflow.into());
        }
        let mut areas = self.areas.write();
        let start = place(&areas, offset, len).ok_or(Errno::NoMemory)?;
        let (file, name) = (file.clone(), Arc::from(name));
        let area =
            Area { start, end: start + len, first_page: offset / PAGE_SIZE, rights, protocol, file, name };
        area.file.mapping().attach(self.tables.clone(), start, area.pages());
        let at = areas.partition_point(|other| other.start < start);
        areas.insert(at, area);
        Ok(start)
    }

    /// Unmaps `len` bytes from `start` on; areas that reach beyond are cut, holes are fine. What was stored stays in the
    /// file, and dirty until it is synced.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for no bytes, an address inside a page, or beyond the task's half.
    pub(crate) fn munmap(&self, start: u64, len: u64) -> Result<()> {
        let range = page_range(start, len)?;
        let mut areas = self.areas.write();
        // Entries first: whoever frees a block meanwhile must still find the area. No fault can bring an entry back,
        // the lock is held.
        let pages = (range.end - range.start) / PAGE_SIZE;
        self.tables.remove(range.start, pages, Partial::Split, Copies::Free);
        let mut kept = Vec::with_capacity(areas.len() + 1);
        for area in areas.drain(..) {
            if area.end <= range.start || area.start >= range.end {
                kept.push(area);
                continue;
            }
            let before = (area.start < range.start).then(|| area.part(area.start, range.start));
            let after = (area.end > range.end).then(|| area.part(range.end, area.end));
            let parts = || before.iter().chain(after.iter());
            area.file.mapping().detach(
                &self.tables,
                area.start,
                parts().map(|part| (part.start, part.pages())),
            );
            kept.extend(before.into_iter().chain(after));
        }
        *areas = kept;
        // Tables that are empty now go, with the lock held: no fault works in this address space.
        self.tables.prune(range.start, pages);
        Ok(())
    }

    /// Makes what was stored to `len` bytes from `start` on durable.
    ///
    /// # Errors
    /// [`Errno::Invalid`] as for [`munmap`](Self::munmap), [`Errno::NoMemory`] if part of the range is not mapped (what
    /// is mapped was synced), and the file's own.
    pub(crate) fn msync(&self, start: u64, len: u64) -> Result<()> {
        let range = page_range(start, len)?;
        let areas = self.areas.read();
        let mut reached = range.start;
        let mut gap = false;
        for area in areas.iter().filter(|area| area.start < range.end && area.end > range.start) {
            gap |= area.start > reached;
            let pages = area.page(area.start.max(range.start))..area.page(area.end.min(range.end));
            dax::msync(&*area.file, pages)?;
            reached = area.end;
        }
        if gap || reached < range.end { Err(Errno::NoMemory.into()) } else { Ok(()) }
    }

    /// All areas, by address.
    pub(crate) fn areas(&self) -> Vec<AreaInfo> {
        let info = |area: &Area| AreaInfo {
            start: area.start,
            len: area.end - area.start,
            offset: area.first_page * PAGE_SIZE,
            rights: area.rights,
            file: area.file.clone(),
            name: area.name.to_string(),
        };
        self.areas.read().iter().map(info).collect()
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        for area in self.areas.get_mut().drain(..) {
            self.tables.unmap(area.start, (area.end - area.start) / PAGE_SIZE, true);
            area.file.mapping().detach(&self.tables, area.start, []);
        }
    }
}

#[inline]
fn find(areas: &[Area], va: u64) -> Option<&Area> {
    let at = areas.partition_point(|area| area.end <= va);
    areas.get(at).filter(|area| area.start <= va)
}

/// Where `len` bytes fit, congruent to `offset` modulo 2 MiB if large: above the last area, else in the first gap.
fn place(areas: &[Area], offset: u64, len: u64) -> Option<u64> {
    let fit = |from: u64, to: u64| {
        let from = from.max(MMAP);
        let start = if len < HUGE { from } else { from + (offset.wrapping_sub(from) & (HUGE - 1)) };
        (start.checked_add(len)? <= to).then_some(start)
    };
    let above = areas.last().map_or(MMAP, |last| last.end + PAGE_SIZE);
    fit(above, TASK_END).or_else(|| {
        let ends = core::iter::once(MMAP).chain(areas.iter().map(|area| area.end + PAGE_SIZE));
        let starts = areas.iter().map(|area| area.start.saturating_sub(PAGE_SIZE));
        ends.zip(starts).find_map(|(from, to)| fit(from, to))
    })
}

fn page_range(start: u64, len: u64) -> Result<core::ops::Range<u64>> {
    let end = len.checked_next_multiple_of(PAGE_SIZE).and_then(|len| start.checked_add(len));
    match end {
        Some(end) if len != 0 && start.is_multiple_of(PAGE_SIZE) && end <= TASK_END => Ok(start..end),
        _ => Err(Errno::Invalid.into()),
    }
}
