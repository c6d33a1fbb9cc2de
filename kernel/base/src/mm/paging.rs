//! Page tables on this machine: the `paging` crate over frames, direct map and TLB.

use alloc::sync::Arc;
use core::sync::atomic::AtomicU64;

use fs::lab::Lab;
use paging::task::TableMistake;
pub use paging::{Flags, LeafSize, MapError, PageTableEntry};
use paging::{PageTable, TableMachine, TableTree, TaskMachine, TaskTables};
use spin::Once;
use vm::SpaceMachine;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

use super::layout::{self, direct};
use super::{frames, zero};
use crate::arch::{cpu, percpu, tlb};
use crate::steps::LAB;
use crate::sync::{InterruptsOff, IrqLock, RawMutex};

/// The machine the page tables are on, and for whom they are.
#[derive(Debug)]
pub enum KernelTableMachine {
    /// The kernel's.
    Kernel,
    /// A task's, which may not take the last frames; and which CPUs may know translations of it.
    Task(tlb::Holders),
}

impl KernelTableMachine {
    /// Returns the machine of a new address space's tables: no CPU knows a translation of them.
    pub fn task() -> Self {
        Self::Task(tlb::Holders::new())
    }

    /// Returns which CPUs may know translations: all, for tables that are not a task's.
    fn holders(&self) -> Option<&tlb::Holders> {
        match self {
            Self::Kernel => None,
            Self::Task(holders) => Some(holders),
        }
    }
}

impl TableMachine for KernelTableMachine {
    type Word = AtomicU64;

    fn allocate_table(&self) -> Option<u64> {
        match self {
            Self::Kernel => frames::allocate_zeroed(),
            Self::Task(_) => frames::allocate_zeroed_for_task(),
        }
    }

    fn free_table(&self, frame: u64) {
        frames::free(frame);
    }

    #[inline]
    fn table(&self, frame: u64) -> &PageTable {
        // SAFETY: the frame came from `allocate_table`: it is RAM, in the direct map, holds 512 entries, and
        // is only accessed as atomics. The paging crate frees it after it has let go of every reference.
        unsafe { &*(direct(frame) as *const PageTable) }
    }

    fn invalidate(&self, start: u64, pages: u64) {
        tlb::shootdown(self.holders(), start, pages);
    }
}

impl TaskMachine for KernelTableMachine {
    type Lock = RawMutex;

    #[inline(always)] // in a fault
    fn new_copy(&self, from: Option<u64>) -> Option<u64> {
        let frame = frames::allocate_copy()?;
        let to = direct(frame) as *mut u8;
        let bytes = frames::FRAME as usize;
        // SAFETY: the frame is RAM in the direct map, and ours since a moment ago. So is what `from` leads
        // to: a block of a region, or another copy; stores to it meanwhile tear the copy, not the kernel:
        // nobody looks at its bytes here.
        unsafe {
            match from {
                Some(from) => core::ptr::copy_nonoverlapping(direct(from) as *const u8, to, bytes),
                None => core::ptr::write_bytes(to, 0, bytes),
            }
        }
        Some(frame)
    }

    fn share_copy(&self, frame: u64) {
        frames::share_copy(frame);
    }

    fn is_shared(&self, frame: u64) -> bool {
        frames::is_shared(frame)
    }

    #[inline(never)] // a private copy's fault needs it only when it lost
    fn release_copy(&self, frame: u64) {
        frames::release_copy(frame);
    }

    #[inline]
    fn makes(&self, mistake: TableMistake) -> bool {
        LAB.has(vm::tables::mutant(mistake))
    }
}

impl SpaceMachine for KernelTableMachine {
    fn another(&self) -> Self {
        Self::task()
    }

    fn prepare(&self, tables: &TaskTables<Self>) {
        tables.tables().share_upper_half(kernel());
    }

    #[inline]
    fn zero_page(&self) -> u64 {
        zero::small()
    }

    #[inline]
    fn large_zero_page(&self) -> Option<u64> {
        zero::large()
    }

    #[inline]
    fn lab(&self) -> &Lab {
        &LAB
    }
}

static KERNEL: Once<TableTree<KernelTableMachine>> = Once::new();

/// Returns the kernel's own tables, whose upper half all share.
///
/// # Panics
/// Before [`super::boot`] has built them.
pub fn kernel() -> &'static TableTree<KernelTableMachine> {
    match KERNEL.get() {
        Some(tables) => tables,
        None => panic!("the kernel's page tables are not built yet"),
    }
}

/// Returns the kernel's tables, if they are there yet (for the panic).
pub fn try_kernel() -> Option<&'static TableTree<KernelTableMachine>> {
    KERNEL.get()
}

pub(super) fn set_kernel(tables: TableTree<KernelTableMachine>) -> &'static TableTree<KernelTableMachine> {
    KERNEL.call_once(|| tables)
}

/// Returns the largest page the CPU has.
pub fn largest() -> LeafSize {
    if cpu::features().giant_pages { LeafSize::Giant } else { LeafSize::Large }
}

/// Loads a tree's root into CR3.
///
/// # Safety
/// The tree maps the code that runs, its data and its stack just as the current one does, and it lives until
/// another is loaded.
unsafe fn load_root(root: u64) {
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(root));
    // SAFETY: by the caller.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

/// The tables that a CPU's CR3 holds, if they are not the kernel's; kept alive for that long. A leaf of the
/// lock order, taken with interrupts off and by its own CPU only.
#[repr(align(64))]
struct Active(IrqLock<Option<Arc<SpaceTables>>>);

/// By the CPU's number.
static ACTIVE: [Active; percpu::MOST] = [const { Active(IrqLock::new(None)) }; percpu::MOST];

/// Returns the current address space's tables.
pub fn active() -> Option<Arc<SpaceTables>> {
    let _here = InterruptsOff::new();
    ACTIVE[percpu::number()].0.lock().clone()
}

/// Makes these tables the current ones of this CPU and keeps them alive as long as they are that; `None` for
/// the kernel's own, without a lower half.
pub fn activate(tables: Option<Arc<SpaceTables>>) {
    let before = {
        let _here = InterruptsOff::new();
        let cpu = percpu::this();
        let mut active = ACTIVE[cpu.number()].0.lock();
        if active.as_ref().map(Arc::as_ptr) == tables.as_ref().map(Arc::as_ptr) {
            return;
        }
        let root = tables.as_ref().map_or(kernel().root(), |tables| tables.tables().root());
        // Before the first translation is looked up: who takes one away from here on tells this CPU.
        if let Some(holders) = tables.as_ref().and_then(|tables| tables.tables().machine().holders()) {
            holders.enter(cpu);
        }
        // SAFETY: every tree's upper half, where code, data and stacks are, is the kernel's. A task's tree
        // lives until the next switch, since `active` holds it from here on.
        unsafe { load_root(root) };
        let before = core::mem::replace(&mut *active, tables);
        if let Some(holders) = before.as_ref().and_then(|tables| tables.tables().machine().holders()) {
            holders.leave(cpu);
        }
        before
    };
    // May be the last reference: dropped outside the lock.
    drop(before);
}

/// Returns the root that CR3 holds.
pub fn active_root() -> u64 {
    Cr3::read_raw().0.start_address().as_u64()
}

/// Shows a physical range in the direct map, write-back, with the largest pages that fit. What is mapped
/// there already stays. Returns where it begins.
///
/// # Errors
/// [`MapError::OutOfRange`] beyond the direct map or what the CPU can address, [`MapError::NoFrames`].
pub fn map_direct(physical: u64, bytes: u64, flags: Flags) -> Result<u64, MapError> {
    let most = layout::DIRECT_MAP_BYTES.min(1 << cpu::features().physical_bits.min(52));
    let end = physical.checked_add(bytes).filter(|end| *end <= most);
    let end = end.ok_or(MapError::OutOfRange { at: physical })?;
    let (start, end) = (physical & !4095, end.next_multiple_of(4096));
    match kernel().map_range(direct(start), start, end - start, flags, largest()) {
        Ok(()) => {}
        Err(MapError::AlreadyMapped { .. }) => map_missing(start, end, flags)?,
        Err(error) => return Err(error),
    }
    Ok(direct(physical))
}

/// Makes the root entries for a physical range's place in the direct map, which address spaces made from now
/// on will share.
///
/// # Errors
/// Those of [`map_direct`].
pub fn reserve_direct(physical: u64, bytes: u64) -> Result<(), MapError> {
    match physical.checked_add(bytes) {
        Some(end) if end <= layout::DIRECT_MAP_BYTES => kernel().reserve_slots(direct(physical), bytes),
        _ => Err(MapError::OutOfRange { at: physical }),
    }
}

/// The slow way where a part is mapped already: page by page.
fn map_missing(start: u64, end: u64, flags: Flags) -> Result<(), MapError> {
    let mut at = start;
    while at < end {
        match kernel().leaf(direct(at)) {
            Some((_, size)) => at = (at & !(size.bytes() - 1)) + size.bytes(),
            None => {
                let whole = LeafSize::Large.divides(at) && at + LeafSize::Large.bytes() <= end;
                let size = if whole { LeafSize::Large } else { LeafSize::Small };
                match kernel().map(direct(at), at, size, flags) {
                    Err(MapError::AlreadyMapped { .. }) if whole => {
                        kernel().map(direct(at), at, LeafSize::Small, flags)?;
                        at += 4096;
                    }
                    Err(error) => return Err(error),
                    Ok(()) => at += size.bytes(),
                }
            }
        }
    }
    Ok(())
}

/// One address space's tables: an own lower half, the kernel's upper half.
pub type SpaceTables = vm::SpaceTables<KernelTableMachine>;
