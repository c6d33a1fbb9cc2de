//! mmap, munmap, mremap.
//!
//! Order in taking away: entries first, then the VMA goes from the file's list. Whoever frees a block
//! meanwhile must still find it there; no fault brings an entry back in between, for the lock is held
//! exclusively.

use alloc::sync::Arc;
use core::ops::Range;

use fs::dax::Protocol;
use fs::lab::Mutant;
use fs::vfs::InodeRef;
use fs::vfs::index::MAX_PAGES;
use fs::{Errno, PAGE_SIZE, Result};

use super::space::{AddressSpace, is_task, page_range, pages};
use super::tables::{SpaceMachine, SpacePlatform};
use super::vma::{Rights, Vma, VmaKind, VmaList};
use super::{TASK_END, TASK_START};

/// Where a mapping is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Where there is room.
    Any,
    /// At this address, if there is room.
    Near(u64),
    /// At this address; what is mapped there goes (`MAP_FIXED`).
    Exactly(u64),
}

/// What is to be mapped.
pub struct MapRequest<'a, P: SpacePlatform> {
    /// Of this file.
    pub file: &'a InodeRef<P>,
    /// For listings.
    pub name: &'a Arc<str>,
    /// First byte of the file.
    pub offset: u64,
    /// Bytes; whole pages are mapped.
    pub len: u64,
    /// Where.
    pub at: Placement,
    /// How.
    pub kind: VmaKind,
    /// Fill the page tables in at once, as far as that goes (`MAP_POPULATE`).
    pub populate: bool,
}

impl<P: SpacePlatform> AddressSpace<P> {
    /// Maps like [`map`](Self::map) with what is usual: shared, anywhere.
    ///
    /// # Errors
    /// Those of [`map`](Self::map).
    pub fn mmap(
        &self,
        file: &InodeRef<P>,
        protocol: Protocol,
        name: &str,
        offset: u64,
        len: u64,
        rights: Rights,
    ) -> Result<u64> {
        let kind = VmaKind::shared(rights, protocol);
        let name = &Arc::from(name);
        self.map(&MapRequest { file, name, offset, len, at: Placement::Any, kind, populate: false })
    }

    /// Maps a part of a file; returns the address.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for no bytes, an offset or wanted address inside a page, or a place below the
    /// task's; `no_write` if shared stores are asked for; [`Errno::NoMemory`] for more than an address space
    /// holds, [`Errno::Overflow`] beyond what the index covers, and what
    /// [`expect_mappable`](fs::vfs::Inode::expect_mappable) refuses.
    pub fn map(&self, request: &MapRequest<'_, P>) -> Result<u64> {
        let &MapRequest { file, offset, len, at, ref kind, .. } = request;
        file.expect_mappable()?;
        if len == 0 || !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::Invalid.into());
        }
        kind.check()?;
        let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::NoMemory)?;
        check_end(offset / PAGE_SIZE, len)?;
        let mut vmas = self.vmas.write();
        let start = match at {
            Placement::Any => None,
            Placement::Near(at) => Some(at).filter(|at| is_free(&vmas, *at & !(PAGE_SIZE - 1), len)),
            Placement::Exactly(at) => {
                if at < TASK_START || !at.is_multiple_of(PAGE_SIZE) {
                    return Err(Errno::Invalid.into());
                }
                // There is no memory beyond the task's half.
                let range = page_range(at, len).map_err(|_| Errno::NoMemory)?;
                self.unmap_locked(&mut vmas, &range);
                Some(at)
            }
        };
        let start = match start {
            Some(at) => at & !(PAGE_SIZE - 1),
            None => vmas.place(offset, len).ok_or(Errno::NoMemory)?,
        };
        let (file, name) = (file.clone(), request.name.clone());
        let vma = Vma::of_file(start..start + len, file, offset / PAGE_SIZE, *kind, name);
        let index = vmas.insert(&self.tables, vma);
        vmas.join(&self.tables, index..index + 1);
        drop(vmas);
        if request.populate {
            // As Unix: what can't be filled in faults later, and is told then.
            let _ = self.populate(&(start..start + len), kind.private && kind.rights.write);
        }
        Ok(start)
    }

    /// Unmaps `len` bytes from `start` on; VMAs that reach beyond are cut, holes are fine. What was stored
    /// to shared VMAs stays in the file, and dirty until it is synced.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for no bytes, an address inside a page, or beyond the task's half.
    pub fn munmap(&self, start: u64, len: u64) -> Result<()> {
        let range = page_range(start, len)?;
        self.unmap_locked(&mut self.vmas.write(), &range);
        Ok(())
    }

    fn unmap_locked(&self, vmas: &mut VmaList<P>, range: &Range<u64>) {
        let inside = vmas.overlap(range);
        if inside.is_empty() {
            return;
        }
        if self.tables.machine().lab().has(Mutant::DetachFirst) {
            vmas.some(inside.clone()).iter().for_each(|vma| vma.detach(&self.tables, []));
        }
        // Tables that are empty go too: the lock is held, so no fault works in this address space.
        self.tables.remove_and_prune(range.start, pages(range));
        vmas.take_out(&self.tables, range, inside);
    }

    /// Makes the `old_len` bytes from `start` on `new_len` long, in their place if there is room, else
    /// somewhere else if `may_move`, or at `to`. Returns where they are.
    ///
    /// Only private copies move; the file's pages fault in again.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for no bytes, addresses inside a page, or overlapping ranges; [`Errno::BadAddress`]
    /// if the old range is not in one VMA; [`Errno::Overflow`]; [`Errno::NoMemory`]. Nothing changed, but
    /// that `to` may be free now.
    pub fn mremap(
        &self,
        start: u64,
        old_len: u64,
        new_len: u64,
        may_move: bool,
        to: Option<u64>,
    ) -> Result<u64> {
        let old = page_range(start, old_len)?;
        if new_len == 0 {
            return Err(Errno::Invalid.into());
        }
        let new_len = new_len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::NoMemory)?;
        let mut vmas = self.vmas.write();
        let vma = vmas.find(start).filter(|vma| vma.end >= old.end).ok_or(Errno::BadAddress)?;
        check_end(vma.page(start), new_len)?;
        let at_end = vma.end == old.end;
        if let Some(to) = to {
            let new = page_range(to, new_len)?;
            if to < TASK_START || (new.start < old.end && old.start < new.end) {
                return Err(Errno::Invalid.into());
            }
            self.unmap_locked(&mut vmas, &new);
            return self.relocate(&mut vmas, &old, new);
        }
        let Some(more) = new_len.checked_sub(old.end - start) else {
            self.unmap_locked(&mut vmas, &(start + new_len..old.end));
            return Ok(start);
        };
        if more == 0 {
            return Ok(start);
        }
        if at_end && is_free(&vmas, old.end, more) {
            let index = vmas.overlap(&(old.end - PAGE_SIZE..old.end)).start;
            vmas.set_end(&self.tables, index, old.end + more);
            vmas.join(&self.tables, index..index + 1);
            return Ok(start);
        }
        if !may_move {
            return Err(Errno::NoMemory.into());
        }
        let offset = vmas.find(start).map_or(0, |vma| vma.page(start) * PAGE_SIZE);
        let to = vmas.place(offset, new_len).ok_or(Errno::NoMemory)?;
        self.relocate(&mut vmas, &old, to..to + new_len)
    }

    /// Moves `old`, which is in one VMA, to `new`, where nothing is; cuts what is too much.
    fn relocate(&self, vmas: &mut VmaList<P>, old: &Range<u64>, new: Range<u64>) -> Result<u64> {
        let vma = vmas.find(old.start).ok_or(Errno::BadAddress)?;
        let moved = vma.part(old.start, new.start, new.end);
        let kept = pages(old).min(pages(&new));
        let move_copies = || self.tables.move_copies(old.start, new.start, kept);
        let too_early = self.tables.machine().lab().has(Mutant::MoveBeforeAttach).then(move_copies);
        // The file learns of the new place, after the old one, before anything is there: whoever takes the
        // copies of pages away comes to them at the one place or the other.
        vmas.insert(&self.tables, moved);
        if too_early.unwrap_or_else(move_copies).is_err() {
            self.unmap_locked(vmas, &new);
            return Err(Errno::NoMemory.into());
        }
        self.unmap_locked(vmas, old);
        let index = vmas.overlap(&new);
        vmas.join(&self.tables, index);
        Ok(new.start)
    }
}

/// Whether `len` bytes from `start` on are the task's, and nothing is there.
fn is_free<P: SpacePlatform>(vmas: &VmaList<P>, start: u64, len: u64) -> bool {
    is_task(start, len) && vmas.overlap(&(start..start + len)).is_empty()
}

/// The index must cover the file's pages; whoever asks for more than a task can have is told that.
fn check_end(first_page: u64, len: u64) -> Result<()> {
    match first_page.checked_add(len / PAGE_SIZE) {
        Some(end) if end <= MAX_PAGES => Ok(()),
        _ if len > TASK_END - TASK_START => Err(Errno::NoMemory.into()),
        _ => Err(Errno::Overflow.into()),
    }
}
