//! mprotect, madvise, msync, and filling page tables in beforehand.

use core::ops::Range;

use fs::dax;
use fs::{Errno, Result};
use paging::task::{Copies, Leave, Partial};

use super::area::{Area, Areas, Kind, Rights};
use super::space::{AddressSpace, mapped_range, pages};
use super::tables::SpacePlatform;

/// What madvise says (Linux: `MADV_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Entries go; private copies are forgotten, and the file shows again.
    DontNeed,
    /// Fill in for loads.
    PopulateRead,
    /// Fill in for stores: allocates, copies.
    PopulateWrite,
    /// 2 MiB pages are welcome.
    HugePage,
    /// They are not.
    NoHugePage,
}

impl<P: SpacePlatform> AddressSpace<P> {
    /// Changes what may be done from `start` on. Rights that are taken away are gone from every TLB on
    /// return; the right to store that is given shows in the page tables when the first store faults.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for an address inside a page; [`Errno::NoMemory`] where nothing is mapped,
    /// [`Errno::NoAccess`] or [`Errno::ReadOnly`] for stores to a file that can't have them: what is in front
    /// of that was changed, as in Linux.
    pub fn mprotect(&self, start: u64, len: u64, rights: Rights) -> Result<()> {
        let Some(range) = mapped_range(start, len, Errno::NoMemory)? else { return Ok(()) };
        let mut areas = self.areas.write();
        // 1. How far it goes, and why not farther.
        let (mut end, mut result) = (range.start, Ok(()));
        for area in areas.some(areas.overlap(&range)) {
            if area.start > end {
                break;
            }
            result = Kind { rights, ..area.kind }.check();
            if result.is_err() {
                break;
            }
            end = area.end.min(range.end);
        }
        if result.is_ok() && end < range.end {
            result = Err(Errno::NoMemory.into());
        }
        if end == range.start {
            return result;
        }
        // 2. So far.
        let range = range.start..end;
        let which = areas.cut(&self.tables, &range);
        for area in areas.some_mut(which.clone()) {
            let old = core::mem::replace(&mut area.kind.rights, rights);
            let leave = match rights {
                Rights { read: false, write: false, .. } => Leave::Nothing,
                Rights { write: false, .. } if old.write => Leave::Read,
                _ => continue,
            };
            self.tables.protect(area.start, area.len_pages(), leave);
        }
        areas.join(&self.tables, which);
        result
    }

    /// Takes advice about `len` bytes from `start` on.
    ///
    /// # Errors
    /// [`Errno::Invalid`] as for [`munmap`](Self::munmap), but for no bytes, or for filling in without the
    /// right; [`Errno::NoMemory`] if part of the range is not mapped (the rest was advised); filling in: the
    /// file's own.
    pub fn madvise(&self, start: u64, len: u64, advice: Advice) -> Result<()> {
        let Some(range) = mapped_range(start, len, Errno::Invalid)? else { return Ok(()) };
        match advice {
            Advice::PopulateRead => return self.populate(&range, false),
            Advice::PopulateWrite => return self.populate(&range, true),
            Advice::HugePage | Advice::NoHugePage => {
                let mut areas = self.areas.write();
                let which = areas.cut(&self.tables, &range);
                let areas_there = areas.some_mut(which.clone());
                areas_there.iter_mut().for_each(|area| area.kind.large = advice == Advice::HugePage);
                areas.join(&self.tables, which);
            }
            Advice::DontNeed => {
                // Faults go on beside it: no area changes, and no table is freed.
                for (_, part) in parts(&self.areas.read(), &range) {
                    self.tables.remove(part.start, pages(&part), Partial::Whole, Copies::Free);
                }
            }
        }
        if self.areas.read().cover(&range) { Ok(()) } else { Err(Errno::NoMemory.into()) }
    }

    /// Faults in what is not mapped of `range`, for loads or for stores.
    ///
    /// # Errors
    /// [`Errno::NoMemory`] at an address without an area, [`Errno::Invalid`] without the right, and the
    /// file's own.
    pub(super) fn populate(&self, range: &Range<u64>, write: bool) -> Result<()> {
        let mut va = range.start;
        while va < range.end {
            // For each fault anew: others get in.
            let areas = self.areas.read();
            let area = areas.find(va).ok_or(Errno::NoMemory)?;
            let rights = area.kind.rights;
            if !(if write { rights.write } else { rights.read }) {
                return Err(Errno::Invalid.into());
            }
            let bytes = match self.tables.tables().leaf(va) {
                Some((entry, size)) if !write || entry.is_writable() => size.bytes(),
                _ => {
                    let (file, fault) = area.fault(va, write);
                    dax::fault(area.kind.protocol, file, &self.tables, fault)?.1.bytes()
                }
            };
            va = (va & !(bytes - 1)) + bytes;
        }
        Ok(())
    }

    /// Makes what was stored to `len` bytes from `start` on durable.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for an address inside a page, [`Errno::NoMemory`] if part of the range is not
    /// mapped (what is mapped was synced), and the file's own.
    pub fn msync(&self, start: u64, len: u64) -> Result<()> {
        let Some(range) = mapped_range(start, len, Errno::NoMemory)? else { return Ok(()) };
        let areas = self.areas.read();
        for (area, part) in parts(&areas, &range) {
            // What was stored to a private area is nobody else's business.
            if !area.kind.private {
                dax::msync(&**area.file(), area.page(part.start)..area.page(part.end))?;
            }
        }
        if areas.cover(&range) { Ok(()) } else { Err(Errno::NoMemory.into()) }
    }
}

/// The areas in `range`, with the part of each that is.
fn parts<'a, P: SpacePlatform>(
    areas: &'a Areas<P>,
    range: &'a Range<u64>,
) -> impl Iterator<Item = (&'a Area<P>, Range<u64>)> + 'a {
    let inside = areas.some(areas.overlap(range));
    inside.iter().map(|area| (area, area.start.max(range.start)..area.end.min(range.end)))
}
