//! The machine as the storage code sees it: a region of persistent memory, this kernel's locks, page tables and clock.

use fs::platform::{Platform, Timestamp};
use fs::stats::Stats;
use spin::relax::RelaxStrategy;

use crate::mm::paging::PageTables;
use crate::pmem::Region;
use crate::sync::Answering;

/// Every counter of the kernel.
pub(crate) static STATS: Stats = Stats::new();

/// A handle to a file on a mounted region.
pub(crate) type File = fs::vfs::InodeRef<Machine>;

/// The machine around one region.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    region: &'static Region,
}

impl Machine {
    /// The machine, with `region` as the file system's memory.
    pub(crate) fn new(region: &'static Region) -> Self {
        Self { region }
    }
}

impl Platform for Machine {
    type Pmem = Region;
    // One CPU runs and tasks do not preempt each other: spinning locks do until there are sleeping ones. Who waits
    // answers shootdowns (law 7).
    type Mutex = spin::mutex::SpinMutex<(), Answering>;
    type RwLock = spin::rwlock::RwLock<(), Answering>;
    type PageTables = PageTables;

    fn pmem(&self) -> &Region {
        self.region
    }

    fn now(&self) -> Timestamp {
        crate::arch::time::now()
    }

    fn relax(&self) {
        Answering::relax();
    }

    fn stats(&self) -> &Stats {
        &STATS
    }
}
