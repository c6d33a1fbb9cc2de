//! mprotect, madvise, msync, and filling page tables in beforehand.

use core::ops::Range;

use fs::dax;
use fs::{Errno, Result};
use paging::task::{Copies, Partial, RightsLeft};

use super::space::{AddressSpace, mapped_range, pages};
use super::tables::SpacePlatform;
use super::vma::{Rights, Vma, VmaKind, VmaList};

/// What madvise says (Linux: `MADV_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Entries go; private copies are forgotten, and the file shows again.
    DontNeed,
    /// Fill in for loads.
    PopulateRead,
    /// Fill in for stores: allocates, copies.
    PopulateWrite,
    /// Huge pages are welcome.
    HugePage,
    /// Huge pages are not wanted (`MADV_NOHUGEPAGE`).
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
        let mut vmas = self.vmas.write();
        // 1. How far it goes, and why not farther.
        let (mut end, mut result) = (range.start, Ok(()));
        for vma in vmas.some(vmas.overlap(&range)) {
            if vma.start > end {
                break;
            }
            result = VmaKind { rights, ..vma.kind }.check();
            if result.is_err() {
                break;
            }
            end = vma.end.min(range.end);
        }
        if result.is_ok() && end < range.end {
            result = Err(Errno::NoMemory.into());
        }
        if end == range.start {
            return result;
        }
        // 2. So far.
        let range = range.start..end;
        let which = vmas.cut(&self.tables, &range);
        for vma in vmas.some_mut(which.clone()) {
            let old = core::mem::replace(&mut vma.kind.rights, rights);
            let leave = match rights {
                Rights { read: false, write: false, .. } => RightsLeft::Nothing,
                Rights { write: false, .. } if old.write => RightsLeft::Read,
                _ => continue,
            };
            self.tables.protect(vma.start, vma.len_pages(), leave);
        }
        vmas.join(&self.tables, which);
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
                let mut vmas = self.vmas.write();
                let which = vmas.cut(&self.tables, &range);
                let vmas_there = vmas.some_mut(which.clone());
                vmas_there.iter_mut().for_each(|vma| vma.kind.large = advice == Advice::HugePage);
                vmas.join(&self.tables, which);
            }
            Advice::DontNeed => {
                // Faults go on beside it: no VMA changes, and no table is freed.
                for (_, part) in parts(&self.vmas.read(), &range) {
                    self.tables.remove(part.start, pages(&part), Partial::Whole, Copies::Free);
                }
            }
        }
        if self.vmas.read().cover(&range) { Ok(()) } else { Err(Errno::NoMemory.into()) }
    }

    /// Faults in what is not mapped of `range`, for loads or for stores.
    ///
    /// # Errors
    /// [`Errno::NoMemory`] at an address without a VMA, [`Errno::Invalid`] without the right, and the
    /// file's own.
    pub(super) fn populate(&self, range: &Range<u64>, write: bool) -> Result<()> {
        let mut va = range.start;
        while va < range.end {
            // For each fault anew: others get in.
            let vmas = self.vmas.read();
            let vma = vmas.find(va).ok_or(Errno::NoMemory)?;
            let rights = vma.kind.rights;
            if !(if write { rights.write } else { rights.read }) {
                return Err(Errno::Invalid.into());
            }
            let bytes = match self.tables.tables().leaf(va) {
                Some((entry, size)) if !write || entry.is_writable() => size.bytes(),
                _ => {
                    let (file, fault) = vma.fault(va, write);
                    dax::fault(vma.kind.protocol, file, &self.tables, fault)?.1.bytes()
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
        let vmas = self.vmas.read();
        for (vma, part) in parts(&vmas, &range) {
            // What was stored to a private VMA is nobody else's business.
            if !vma.kind.private {
                dax::msync(&**vma.file(), vma.page(part.start)..vma.page(part.end))?;
            }
        }
        if vmas.cover(&range) { Ok(()) } else { Err(Errno::NoMemory.into()) }
    }
}

/// The VMAs in `range`, with the part of each that is.
fn parts<'a, P: SpacePlatform>(
    vmas: &'a VmaList<P>,
    range: &'a Range<u64>,
) -> impl Iterator<Item = (&'a Vma<P>, Range<u64>)> + 'a {
    let inside = vmas.some(vmas.overlap(range));
    inside.iter().map(|vma| (vma, vma.start.max(range.start)..vma.end.min(range.end)))
}
