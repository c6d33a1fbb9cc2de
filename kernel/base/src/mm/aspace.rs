//! Address spaces: the crate `vm` on this machine, and which one the running task has.
//!
//! What a VMA is, and what mmap and its like do, is in `vm`; its generic code is instantiated here, once,
//! for the shell as for the fault path (docs/decisions/0016).

use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::Result;
use fs::dax::Protocol;
use paging::task::MappedCount;
use paging::{FaultCode, Walk};
pub use vm::{Advice, Placement, Rights, VmaKind};

use super::fault::Refusal;
use super::paging::{KernelTableMachine, SpaceTables};
use crate::arch::percpu;
use crate::machine::{File, KernelPlatform};

/// What is to be mapped.
pub type MapRequest<'a> = vm::MapRequest<'a, KernelPlatform>;
/// One VMA, as `maps` and `io mmap` list it.
pub type VmaInfo = vm::VmaInfo<KernelPlatform>;

/// A task's view of memory: [`vm::AddressSpace`], whose functions these are.
pub struct AddressSpace(vm::AddressSpace<KernelPlatform>);

/// Returns the running task's address space.
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

/// Returns the running task's address space, also where a fault may come before there is one.
#[inline]
pub(super) fn try_current() -> Option<&'static AddressSpace> {
    // SAFETY: what the task that runs was given, which keeps it.
    unsafe { percpu::space().cast::<AddressSpace>().as_ref() }
}

impl AddressSpace {
    /// Makes an empty address space: [`vm::AddressSpace::new`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::new`].
    pub fn new() -> Result<Self> {
        vm::AddressSpace::new(KernelTableMachine::task()).map(Self)
    }

    /// Returns the address space's page tables, for the CPU.
    pub fn page_tables(&self) -> &Arc<SpaceTables> {
        self.0.page_tables()
    }

    /// Serves a fault: [`vm::AddressSpace::fault`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::fault`].
    #[inline]
    pub(super) fn fault(&self, va: u64, access: FaultCode) -> core::result::Result<(), Refusal> {
        self.0.fault(va, access)
    }

    /// Returns all VMAs: [`vm::AddressSpace::vmas`].
    pub fn vmas(&self) -> Vec<VmaInfo> {
        self.0.vmas()
    }

    /// Counts how a range is mapped: [`vm::AddressSpace::count`].
    pub fn count(&self, start: u64, len: u64) -> MappedCount {
        self.0.count(start, len)
    }

    /// Returns the entries that lead to an address: [`vm::AddressSpace::walk`].
    pub fn walk(&self, va: u64) -> Walk {
        self.0.walk(va)
    }

    /// Maps a file as is usual: [`vm::AddressSpace::mmap`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::mmap`].
    pub fn mmap(
        &self,
        file: &File,
        protocol: Protocol,
        name: &str,
        offset: u64,
        len: u64,
        rights: Rights,
    ) -> Result<u64> {
        self.0.mmap(file, protocol, name, offset, len, rights)
    }

    /// Maps a file: [`vm::AddressSpace::map`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::map`].
    pub fn map(&self, request: &MapRequest<'_>) -> Result<u64> {
        self.0.map(request)
    }

    /// Unmaps a range: [`vm::AddressSpace::munmap`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::munmap`].
    pub fn munmap(&self, start: u64, len: u64) -> Result<()> {
        self.0.munmap(start, len)
    }

    /// Moves or resizes a mapping: [`vm::AddressSpace::mremap`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::mremap`].
    pub fn mremap(&self, start: u64, old: u64, new: u64, may_move: bool, to: Option<u64>) -> Result<u64> {
        self.0.mremap(start, old, new, may_move, to)
    }

    /// Changes the rights in a range: [`vm::AddressSpace::mprotect`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::mprotect`].
    pub fn mprotect(&self, start: u64, len: u64, rights: Rights) -> Result<()> {
        self.0.mprotect(start, len, rights)
    }

    /// Advises how a range is used: [`vm::AddressSpace::madvise`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::madvise`].
    pub fn madvise(&self, start: u64, len: u64, advice: Advice) -> Result<()> {
        self.0.madvise(start, len, advice)
    }

    /// Syncs what was stored to a range: [`vm::AddressSpace::msync`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::msync`].
    pub fn msync(&self, start: u64, len: u64) -> Result<()> {
        self.0.msync(start, len)
    }

    /// Copies the address space: [`vm::AddressSpace::fork`].
    ///
    /// # Errors
    /// Those of [`vm::AddressSpace::fork`].
    pub fn fork(&self) -> Result<Arc<Self>> {
        self.0.fork().map(Self).map(Arc::new)
    }
}
