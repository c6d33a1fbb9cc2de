//! Direct transfers: a file's bytes are copied to or from the blocks that a mapping shows, by physical
//! address, as a device does it for `O_DIRECT`.
//!
//! [`Pinned`] pins the pages of the buffer in their file's index: until it is dropped, nobody frees or moves
//! their blocks. Pages are pinned first and looked up then, both under `dax_sem` shared; whoever frees takes
//! it exclusively and looks for pins under it. The copy holds no lock of the buffer's file, and takes its
//! time: other tasks run in between.
//!
//! Locks: freeze, then `dax_sem` of the buffer's file, shared; after that was let go, `dax_sem` of the other
//! file, shared.

use alloc::vec::Vec;

use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::{Errno, Error, PAGE_SIZE, Result};

use crate::machine::File;
use crate::mm::aspace::{self, Advice};
use crate::task;

/// Bytes that a transfer copies at once.
const PIECE: u64 = 512;

/// What a transfer does to the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The transfer stores to the buffer: read(2).
    Into,
    /// The transfer loads from the buffer: write(2).
    From,
}

/// A buffer whose blocks stay where they are.
pub(super) struct Pinned {
    file: File,
    pages: core::ops::Range<u64>,
    /// Where the blocks are, in the region; none for a hole, which is only loaded from.
    places: Vec<Option<u64>>,
}

impl Pinned {
    /// Pins the pages at `at..at + len`, both multiples of the page size, of the running task.
    ///
    /// # Errors
    /// [`Errno::BadAddress`] where no file is mapped shared, or not with this right, or beyond the file's
    /// end; what a fault there says.
    pub(super) fn new(at: u64, len: u64, way: Way) -> Result<Self> {
        let space = aspace::current();
        let vmas = space.vmas();
        let inside = vmas.iter().find(|vma| vma.start <= at && at + len <= vma.start + vma.len);
        let vma = inside.ok_or(Errno::BadAddress)?;
        let right = if way == Way::Into { vma.kind.rights.write } else { vma.kind.rights.read };
        if !right || vma.kind.private {
            return Err(Errno::BadAddress.into());
        }
        let first = (vma.offset + at - vma.start) / PAGE_SIZE;
        let pages = first..first + len / PAGE_SIZE;
        let file = vma.file.clone();
        loop {
            if way == Way::Into {
                space.madvise(at, len, Advice::PopulateWrite)?;
            }
            if let Some(places) = pin(&file, &pages, way)? {
                return Ok(Self { file, pages, places });
            }
            // Punched since: once more.
        }
    }

    /// Copies `bytes` into the pinned pages, page after page.
    fn store(&self, page: usize, at: u64, bytes: &[u8]) {
        if let Some(place) = self.places[page] {
            self.file.platform().pmem().write_nt(place + at, bytes);
        }
    }

    /// Copies bytes out of the pinned pages.
    fn load(&self, page: usize, at: u64, to: &mut [u8]) {
        match self.places[page] {
            Some(place) => self.file.platform().pmem().read(place + at, to),
            None => to.fill(0),
        }
    }

    /// Stores `byte` everywhere, as a device that is done.
    pub(super) fn fill(&self, byte: u8) {
        (0..self.places.len()).for_each(|page| self.store(page, 0, &[byte; PAGE_SIZE as usize]));
        self.file.platform().pmem().fence();
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.file.mapping().index.unpin(self.file.platform(), self.pages.clone());
    }
}

/// Pins the pages and finds their blocks; `None`, and nothing is pinned, if there is a hole where there must
/// be none.
fn pin(file: &File, pages: &core::ops::Range<u64>, way: Way) -> Result<Option<Vec<Option<u64>>>> {
    // A store: waits while frozen, is refused on a read-only file system, changes the times.
    let _thawed = if way == Way::Into { Some(file.start_write_fault()?) } else { None };
    let lock = file.mapping().shared();
    if pages.end > file.size(lock.held()).div_ceil(PAGE_SIZE) {
        return Err(Errno::BadAddress.into());
    }
    file.mapping().index.pin(pages.clone())?;
    let places: Result<Vec<_>> = pages.clone().map(|page| file.place(lock.held(), page)).collect();
    match places {
        Ok(places) if way == Way::From || places.iter().all(Option::is_some) => Ok(Some(places)),
        other => {
            file.mapping().index.unpin(file.platform(), pages.clone());
            other.map(|_| None)
        }
    }
}

/// Reads with `O_DIRECT`, as read(2) would: copies `len` bytes of `file` from `offset` on, all of them
/// multiples of the page size, to the address `to`, by physical addresses. Returns how many bytes there
/// were.
///
/// # Errors
/// Those of [`Pinned::new`], and what reading the file meets.
pub(super) fn read(file: &File, offset: u64, to: u64, len: u64) -> Result<u64> {
    let buffer = Pinned::new(to, len, Way::Into)?;
    let mut piece = [0; PIECE as usize];
    let mut done = 0;
    while done < len {
        // Whole pages of the file, each under its lock; a device would have queued them.
        let got = file.read_at(offset + done, &mut piece)?;
        if got == 0 {
            break;
        }
        buffer.store((done / PAGE_SIZE) as usize, done % PAGE_SIZE, &piece[..got]);
        done += got as u64;
        task::yield_now();
    }
    buffer.file.platform().pmem().fence();
    Ok(done)
}

/// Writes with `O_DIRECT`, as write(2) would: like [`read`], the other way.
///
/// # Errors
/// Those of [`Pinned::new`], and what writing to the file meets.
pub(super) fn write(file: &File, offset: u64, from: u64, len: u64) -> Result<u64> {
    let buffer = Pinned::new(from, len, Way::From)?;
    let mut piece = [0; PIECE as usize];
    let mut done = 0;
    while done < len {
        buffer.load((done / PAGE_SIZE) as usize, done % PAGE_SIZE, &mut piece);
        let wrote = file.write_at(offset + done, &piece)? as u64;
        if wrote == 0 {
            return Err(Error::Op(Errno::NoSpace));
        }
        done += wrote;
        task::yield_now();
    }
    Ok(done)
}
