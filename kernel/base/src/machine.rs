//! The machine as the storage code sees it: a region of persistent memory, this kernel's locks, page tables
//! and clock.

use core::sync::atomic::{AtomicBool, Ordering};

use fs::error::Corrupt;
use fs::lab::{Lab, Step};
use fs::platform::{Platform, Timestamp};
use fs::stats::Stats;
use spin::relax::RelaxStrategy;

use crate::arch::time;
use crate::counters::stats;
use crate::klog;
use crate::mm::frames;
use crate::mm::paging::SpaceTables;
use crate::pmem::MappedRegion;
use crate::steps;
use crate::sync::{self, Answering, RawInodeLock, RawMutex, RawRwLock};

/// A handle to a file on a mounted region.
pub type File = fs::vfs::InodeRef<KernelPlatform>;

/// The machine around one region.
#[derive(Clone, Copy)]
pub struct KernelPlatform {
    region: &'static MappedRegion,
}

impl KernelPlatform {
    /// Returns the machine, with `region` as the file system's memory.
    pub fn new(region: &'static MappedRegion) -> Self {
        Self { region }
    }
}

impl Platform for KernelPlatform {
    type Pmem = MappedRegion;
    type Mutex = RawMutex;
    type RwLock = RawRwLock;
    type InodeLock = RawInodeLock;
    type PageTables = SpaceTables;

    fn pmem(&self) -> &MappedRegion {
        self.region
    }

    #[inline]
    fn now(&self) -> Timestamp {
        time::now()
    }

    #[inline]
    fn now_coarse(&self) -> Timestamp {
        time::now_coarse()
    }

    fn has_memory_for_tasks() -> bool {
        frames::has_some_for_tasks()
    }

    fn relax(&self) {
        Answering::relax();
    }

    fn bug(&self, what: &str) {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if !TOLD.swap(true, Ordering::Relaxed) {
            klog!(Error, "a bug: {what}");
        }
    }

    fn fatal(&self, what: &Corrupt) {
        panic!("{what}: the file system is to stop the machine on errors (errors=panic)");
    }

    fn stopped(&self, what: &Corrupt) {
        klog!(Error, "{what}: the file system is read-only from now on (errors=remount-ro)");
    }

    fn wait(&self, key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        sync::wait(key, still_waiting);
    }

    fn wake(&self, key: usize) {
        sync::wake(key);
    }

    #[inline]
    fn stats(&self) -> &Stats {
        stats()
    }

    #[inline]
    fn lab(&self) -> &Lab {
        &steps::LAB
    }

    fn reached(&self, step: Step) {
        steps::reached(step);
    }
}
