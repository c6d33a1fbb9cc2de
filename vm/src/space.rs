//! An address space: VMAs and page tables, and the faults that lead from the ones to the others.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use fs::dax;
use fs::platform::RwLock;
use fs::vfs::InodeRef;
use fs::{Errno, PAGE_SIZE, Result};
use paging::task::{Copies, MappedCount, Partial};
use paging::{FaultCode, Walk};

use super::tables::{SpacePlatform, SpaceTables};
use super::vma::{Rights, Vma, VmaKind, VmaList};
use super::{TASK_END, TASK_START};

/// A task's view of memory.
pub struct AddressSpace<P: SpacePlatform> {
    pub(super) tables: Arc<SpaceTables<P::Machine>>,
    pub(super) vmas: RwLock<P, VmaList<P>>,
}

/// One VMA, for listings.
pub struct VmaInfo<P: SpacePlatform> {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Byte offset in the file.
    pub offset: u64,
    /// How the VMA shows the file.
    pub kind: VmaKind,
    /// The file.
    pub file: InodeRef<P>,
    /// The name that the file was opened by.
    pub name: String,
}

/// Why a fault can't be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is mapped at the address (Unix: SIGSEGV, SEGV_MAPERR).
    NoVma,
    /// The VMA does not allow this access (SIGSEGV, SEGV_ACCERR).
    NoRight(Rights),
    /// The file can't: beyond its end, no space left, damaged (SIGBUS).
    File(fs::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVma => f.write_str("nothing is mapped there"),
            Self::NoRight(rights) => write!(f, "the mapping allows {rights}"),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl<P: SpacePlatform> AddressSpace<P> {
    /// Makes an empty address space.
    ///
    /// # Errors
    /// [`Errno::NoMemory`].
    pub fn new(machine: P::Machine) -> Result<Self> {
        let tables = SpaceTables::new(machine).map_err(|_| Errno::NoMemory)?;
        Ok(Self { tables: Arc::new(tables), vmas: RwLock::<P, _>::new(VmaList::default()) })
    }

    /// Returns the address space's page tables, for the CPU.
    pub fn page_tables(&self) -> &Arc<SpaceTables<P::Machine>> {
        &self.tables
    }

    /// Serves a fault at `va`.
    ///
    /// # Errors
    /// The reason for the task's error; nothing changed.
    #[inline]
    pub fn fault(&self, va: u64, access: FaultCode) -> core::result::Result<(), Refusal> {
        let vmas = self.vmas.read();
        let Some(vma) = vmas.find(va) else { return Err(Refusal::NoVma) };
        let rights = vma.kind.rights;
        let allowed = if access.is_write() { rights.write } else { rights.read };
        if !allowed {
            return Err(Refusal::NoRight(rights));
        }
        let (file, fault) = vma.fault(va & !(PAGE_SIZE - 1), access.is_write());
        let served = dax::fault(vma.kind.protocol, file, &self.tables, fault);
        served.map(|_| ()).map_err(Refusal::File)
    }

    /// Returns all VMAs, by address.
    pub fn vmas(&self) -> Vec<VmaInfo<P>> {
        let info = |vma: &Vma<P>| VmaInfo {
            start: vma.start,
            len: vma.end - vma.start,
            offset: vma.offset(),
            kind: vma.kind,
            file: vma.file().clone(),
            name: vma.name.to_string(),
        };
        self.vmas.read().iter().map(info).collect()
    }

    /// Returns how `len` bytes from `start` on are mapped just now.
    pub fn count(&self, start: u64, len: u64) -> MappedCount {
        let _no_table_goes = self.vmas.read();
        self.tables.count(start, len.div_ceil(PAGE_SIZE))
    }

    /// Returns the page-table entries that lead to an address.
    pub fn walk(&self, va: u64) -> Walk {
        let _no_table_goes = self.vmas.read();
        self.tables.tables().walk(va)
    }
}

impl<P: SpacePlatform> Drop for AddressSpace<P> {
    fn drop(&mut self) {
        for vma in self.vmas.get_mut().drain() {
            self.tables.remove(vma.start, vma.len_pages(), Partial::Whole, Copies::Free);
            vma.detach(&self.tables, []);
        }
    }
}

/// Returns `len` bytes from `start` on, in whole pages.
///
/// # Errors
/// [`Errno::Invalid`] for no bytes, an address inside a page, or beyond the task's half.
pub(super) fn page_range(start: u64, len: u64) -> Result<Range<u64>> {
    let end = len.checked_next_multiple_of(PAGE_SIZE).and_then(|len| start.checked_add(len));
    match end {
        Some(end) if len != 0 && start.is_multiple_of(PAGE_SIZE) && end <= TASK_END => Ok(start..end),
        _ => Err(Errno::Invalid.into()),
    }
}

/// Returns the range like [`page_range`], for what is advised or changed where it is mapped; `None` for no
/// bytes, of which there is nothing to do.
///
/// # Errors
/// [`Errno::Invalid`] for an address inside a page, or `wrapped` for a range that is not the task's.
#[inline]
pub(super) fn mapped_range(start: u64, len: u64, wrapped: Errno) -> Result<Option<Range<u64>>> {
    page_range(start, len).map(Some).or_else(|_| match len {
        _ if !start.is_multiple_of(PAGE_SIZE) => Err(Errno::Invalid.into()),
        0 => Ok(None),
        _ => Err(wrapped.into()),
    })
}

/// Returns whether `len` bytes from `start` on are a task's.
pub(super) fn is_task(start: u64, len: u64) -> bool {
    start >= TASK_START && start.checked_add(len).is_some_and(|end| end <= TASK_END)
}

/// Returns how many pages a range has.
pub(super) fn pages(range: &Range<u64>) -> u64 {
    (range.end - range.start) / PAGE_SIZE
}
