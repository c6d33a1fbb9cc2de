//! An address space's page tables as the fault protocols want them, over [`paging::task`].
//!
//! Lock order: page-table lock → frames.

use core::ops::Deref;

use fs::lab::{Lab, Mutant};
use fs::platform::{Mapped, NoFrames, PageSize, PageTables, Platform};
use paging::task::{self, Copies, Partial, TableMistake};
use paging::{MapError, TaskMachine, TaskTables};

/// What an address space needs of its machine besides what its page tables do.
pub trait SpaceMachine: TaskMachine<Lock: Send + Sync> + Send + Sync + Sized + 'static {
    /// Returns the same machine, for the tables of another address space.
    fn another(&self) -> Self;

    /// Prepares new tables, which nobody uses yet: a kernel shares its half with them here.
    fn prepare(&self, _tables: &TaskTables<Self>) {}

    /// Returns the physical address of the page of zeros that stands in for every hole; nobody stores to
    /// that page.
    fn zero_page(&self) -> u64;

    /// Returns the physical address of the huge zero page (2 MiB); `None` when memory is out.
    fn large_zero_page(&self) -> Option<u64>;

    /// Returns the lab, which says what mistakes are to be made.
    fn lab(&self) -> &Lab;

    /// Lets VMAs go, whose files may be held by nobody else: then a file without a name is freed. Here for
    /// whoever owns every step.
    #[inline]
    fn let_go<T>(&self, vmas: T) {
        drop(vmas);
    }
}

/// A machine as the storage code sees it whose address spaces are those of this crate. Every [`Platform`]
/// with [`SpaceTables`] is one.
pub trait SpacePlatform: Platform<PageTables = SpaceTables<<Self as SpacePlatform>::Machine>> {
    /// Where the page tables are.
    type Machine: SpaceMachine;
}

impl<P: Platform<PageTables = SpaceTables<M>>, M: SpaceMachine> SpacePlatform for P {
    type Machine = M;
}

/// One address space's tables. Freed on drop; the leaves' frames are not, private copies excepted, which the
/// owner has unmapped before.
#[derive(Debug)]
pub struct SpaceTables<M: SpaceMachine> {
    tables: TaskTables<M>,
}

impl<M: SpaceMachine> SpaceTables<M> {
    /// Makes tables without an entry in the task's half.
    ///
    /// # Errors
    /// [`MapError::NoFrames`].
    pub fn new(machine: M) -> Result<Self, MapError> {
        let tables = TaskTables::new(machine)?;
        tables.tables().machine().prepare(&tables);
        Ok(Self { tables })
    }

    /// Returns the machine that the tables are on.
    #[inline]
    pub fn machine(&self) -> &M {
        self.tables.tables().machine()
    }
}

impl<M: SpaceMachine> Deref for SpaceTables<M> {
    type Target = TaskTables<M>;
    #[inline]
    fn deref(&self) -> &TaskTables<M> {
        &self.tables
    }
}

impl<M: SpaceMachine> Drop for SpaceTables<M> {
    fn drop(&mut self) {
        // In no CR3: whoever keeps the tables that a CPU uses would hold a reference.
        self.tables.clear();
        let root = self.tables.tables().root();
        self.machine().free_table(root);
    }
}

impl<M: SpaceMachine> PageTables for SpaceTables<M> {
    #[inline(always)]
    fn map(&self, va: u64, frame: u64, size: PageSize, writable: bool) -> Result<Mapped, NoFrames> {
        translate(match size {
            PageSize::Small => self.map_small(va, frame, writable),
            PageSize::Large => self.map_large(va, frame, writable),
        })
    }

    #[inline(always)]
    fn map_zero(&self, va: u64, size: PageSize) -> Result<Mapped, NoFrames> {
        translate(match size {
            PageSize::Small => self.keep_small(va, self.machine().zero_page()),
            // No 2 MiB are zeroed where they can't be used.
            PageSize::Large if self.tables.has_small(va) => Ok(task::InstallResult::Table),
            PageSize::Large => self.keep_large(va, self.machine().large_zero_page().ok_or(NoFrames)?),
        })
    }

    fn map_copy(&self, va: u64, from: Option<u64>) -> Result<Mapped, NoFrames> {
        translate(self.tables.map_copy(va, from))
    }

    #[inline]
    fn has_small(&self, va: u64) -> bool {
        self.tables.has_small(va)
    }

    fn unmap(&self, va: u64, pages: u64, copies: bool) -> u64 {
        self.remove(va, pages, Partial::Whole, if copies { Copies::Free } else { Copies::Keep })
    }

    #[inline(never)] // a piece of its own, with all of its loop: one call for a range
    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        self.tables.write_protect(va, pages)
    }
}

#[inline]
fn translate(mapped: Result<task::InstallResult, task::OutOfFrames>) -> Result<Mapped, NoFrames> {
    match mapped {
        Ok(task::InstallResult::New) => Ok(Mapped::New),
        Ok(task::InstallResult::Upgraded) => Ok(Mapped::Upgraded),
        Ok(task::InstallResult::Already) => Ok(Mapped::Already),
        Ok(task::InstallResult::Replaced) => Ok(Mapped::Replaced),
        Ok(task::InstallResult::Table) => Ok(Mapped::Table),
        Err(task::OutOfFrames) => Err(NoFrames),
    }
}

/// Returns which of the lab's mistakes one of the page tables' is: what [`TaskMachine::makes`] has to look
/// for.
#[inline]
pub const fn mutant(mistake: TableMistake) -> Mutant {
    match mistake {
        TableMistake::ShootdownFirst => Mutant::ShootdownFirst,
        TableMistake::LargeOverTable => Mutant::LargeOverTable,
        TableMistake::FreeBeforeShootdown => Mutant::FreeBeforeShootdown,
        TableMistake::ForkKeepsWritable => Mutant::ForkKeepsWritable,
    }
}
